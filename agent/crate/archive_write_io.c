// Archives of what lies in a container's root, or in its layer.
#include "agent/crate/archive_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/crate/archive_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/base/tar.h"

#define HEAD_BYTES       (4u << 20)
#define LINKS_MAX        1000000 // files with several names; more of them become copies
#define ATTRIBUTES_MAX   64
#define ATTRIBUTES_BYTES (64u << 10) // of all names, and of all values, of one file

struct writing {
    int out;
    dev_t device;     // 0: not looked at
    bool layer;       // overlayfs's marks become OCI's
    struct map links; // device and inode of a file with several names -> the first one written
    struct err *err;
};

static int write_all(struct writing *writing, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t wrote = write(writing->out, at, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return err_set_errno(writing->err, errno, "write archive");
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

static int write_head(struct writing *writing, const struct tar_entry *entry)
{
    struct buf head;
    buf_init(&head, HEAD_BYTES);
    tar_put(&head, entry);
    int rc = write_all(writing, head.data, head.len);
    buf_fini(&head);
    return rc;
}

// A file that changes while it is read keeps the size its header says.
static int write_file(struct writing *writing, int dir, const char *name, uint64_t size)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t *piece = mem_alloc(ARCHIVE_COPY_BYTES);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int rc = 0;
    uint64_t left = size;
    while (left > 0 && !rc) {
        size_t want = left < ARCHIVE_COPY_BYTES ? (size_t)left : ARCHIVE_COPY_BYTES;
        ssize_t got = fd < 0 ? 0 : read(fd, piece, want);
        if (got <= 0) {
            memset(piece, 0, want);
            got = (ssize_t)want;
        }
        rc = write_all(writing, piece, (size_t)got);
        left -= (uint64_t)got;
    }
    if (!rc)
        rc = write_all(writing, zeros, tar_padding(size));
    if (fd >= 0)
        close(fd);
    free(piece);
    return rc;
}

static bool fill_entry(const struct stat *st, struct tar_entry *entry)
{
    static const struct {
        mode_t type;
        enum tar_kind kind;
    } rows[] = {{S_IFREG, TAR_FILE}, {S_IFDIR, TAR_DIR},          {S_IFLNK, TAR_SYMLINK},
                {S_IFCHR, TAR_CHAR}, {S_IFBLK, TAR_BLOCK_DEVICE}, {S_IFIFO, TAR_FIFO}};
    size_t at = 0;
    while (at < COUNT_OF(rows) && rows[at].type != (st->st_mode & S_IFMT))
        at++;
    if (at == COUNT_OF(rows))
        return false; // sockets are in no archive
    entry->kind = rows[at].kind;
    entry->mode = st->st_mode & 07777;
    entry->uid = st->st_uid;
    entry->gid = st->st_gid;
    entry->size = entry->kind == TAR_FILE ? (uint64_t)st->st_size : 0;
    entry->mtime_s = st->st_mtim.tv_sec;
    entry->major = major(st->st_rdev);
    entry->minor = minor(st->st_rdev);
    return true;
}

// A file with several names is written once. True when it was: then the entry is a link to it.
static bool is_written(struct writing *writing, const struct stat *st, struct tar_entry *entry)
{
    const uint64_t key[2] = {st->st_dev, st->st_ino};
    if (entry->kind == TAR_DIR || st->st_nlink < 2)
        return false;
    const char *first = map_get(&writing->links, key, sizeof key);
    if (first) {
        entry->kind = TAR_HARD_LINK;
        entry->size = 0;
        str_copy(entry->link, sizeof entry->link, first);
        return true;
    }
    if (map_count(&writing->links) < LINKS_MAX)
        map_put(&writing->links, key, sizeof key, str_dup(entry->name));
    return false;
}

static void forget_links(struct writing *writing)
{
    MAP_EACH (entry, &writing->links)
        free(entry->value);
    map_fini(&writing->links);
}

// What a file has of attributes that belong in an image: what it may do, and its users' own.
struct attributes {
    size_t count;
    struct tar_attribute list[ATTRIBUTES_MAX];
    char names[ATTRIBUTES_BYTES];
    char values[ATTRIBUTES_BYTES];
};

static void read_attributes(int dir, const char *name, struct attributes *out)
{
    char path[512];
    out->count = 0;
    if (!str_format(path, sizeof path, "/proc/self/fd/%d/%s", dir, name))
        return;
    ssize_t bytes = llistxattr(path, out->names, sizeof out->names);
    size_t used = 0;
    for (const char *at = out->names;
         bytes > 0 && at < out->names + bytes && out->count < ATTRIBUTES_MAX;
         at += strlen(at) + 1) {
        if (!str_equal(at, "security.capability") && !str_starts(at, "user."))
            continue;
        ssize_t size = lgetxattr(path, at, out->values + used, sizeof out->values - used);
        if (size < 0)
            continue;
        out->list[out->count++] =
            (struct tar_attribute){.name = at, .value = out->values + used, .size = (size_t)size};
        used += (size_t)size;
    }
}

static int write_tree(struct writing *writing, int dir, const char *name, const char *shown,
                      unsigned depth);

// An empty file that says what is not there.
static int write_whiteout(struct writing *writing, const char *folder, const char *name)
{
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    int rc = str_format(entry->name, sizeof entry->name, "%s.wh.%s", folder, name)
                 ? write_head(writing, entry)
                 : err_set(writing->err, ERR_INVALID_ARGUMENT, "a path is too long");
    free(entry);
    return rc;
}

static bool is_whiteout(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
           st.st_rdev == makedev(0, 0);
}

// A folder that hides the one below, or that overlayfs joins with one elsewhere.
static int write_folder_marks(struct writing *writing, int fd, const char *shown)
{
    char value[8];
    if (fgetxattr(fd, "trusted.overlay.redirect", value, 0) > 0)
        return err_set(writing->err, ERR_UNIMPLEMENTED,
                       "the folder %s was moved by a kernel that overlayfs lets do so: its content "
                       "is not in the container's layer",
                       shown);
    if (fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y')
        return write_whiteout(writing, shown, ".wh..opq");
    return 0;
}

static int write_content(struct writing *writing, int fd, const char *shown, unsigned depth)
{
    DIR *folder = fdopendir(fd);
    struct dirent *item;
    int rc = 0;
    if (!folder) {
        close(fd);
        return err_set_errno(writing->err, errno, "read folder");
    }
    if (writing->layer)
        rc = write_folder_marks(writing, dirfd(folder), shown);
    while (!rc && (item = readdir(folder))) {
        char below[TAR_NAME_MAX];
        if (str_equal(item->d_name, ".") || str_equal(item->d_name, ".."))
            continue;
        if (writing->layer && is_whiteout(dirfd(folder), item->d_name)) {
            rc = write_whiteout(writing, shown, item->d_name);
            continue;
        }
        if (!str_format(below, sizeof below, "%s%s", shown, item->d_name))
            rc = err_set(writing->err, ERR_INVALID_ARGUMENT, "a path is too long");
        else
            rc = write_tree(writing, dirfd(folder), item->d_name, below, depth + 1);
    }
    closedir(folder);
    return rc;
}

static int write_tree(struct writing *writing, int dir, const char *name, const char *shown,
                      unsigned depth)
{
    struct stat st;
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    int rc = 0;
    if (depth > ARCHIVE_DEPTH_MAX)
        rc = err_set(writing->err, ERR_INVALID_ARGUMENT, "folders are nested too deeply");
    // What vanished meanwhile, and what lies on another file system (/proc), is left out.
    bool there = !rc && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && fill_entry(&st, entry);
    if (there && writing->device && st.st_dev != writing->device && entry->kind == TAR_DIR)
        there = false;
    if (there) {
        bool folder = entry->kind == TAR_DIR;
        str_format(entry->name, sizeof entry->name, folder ? "%.4000s/" : "%.4000s", shown);
        if (entry->kind == TAR_SYMLINK) {
            ssize_t length = readlinkat(dir, name, entry->link, sizeof entry->link - 1);
            entry->link[length > 0 ? length : 0] = '\0';
        }
        struct attributes *attributes = MEM_NEW(struct attributes);
        if (!is_written(writing, &st, entry)) {
            read_attributes(dir, name, attributes);
            entry->attributes = attributes->list;
            entry->attributes_count = attributes->count;
        }
        rc = write_head(writing, entry);
        free(attributes);
        if (!rc && entry->kind == TAR_FILE)
            rc = write_file(writing, dir, name, entry->size);
        int fd =
            !rc && folder ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (fd >= 0)
            rc = write_content(writing, fd, entry->name, depth);
    }
    free(entry);
    return rc;
}

static int write_end(struct writing *writing)
{
    struct buf end;
    buf_init(&end, 4 * TAR_BLOCK);
    tar_put_end(&end);
    int rc = write_all(writing, end.data, end.len);
    buf_fini(&end);
    return rc;
}

int archive_write_layer(const char *upper, const char *target, struct err *err)
{
    struct writing writing = {.layer = true, .err = err};
    int fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", upper);
    map_init(&writing.links);
    writing.out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writing.out < 0) {
        int errnum = errno;
        close(fd);
        map_fini(&writing.links);
        return err_set_errno(err, errnum, "make %s", target);
    }
    int rc = write_content(&writing, fd, "", 0);
    if (!rc)
        rc = write_end(&writing);
    close(writing.out);
    forget_links(&writing);
    return rc;
}

int archive_write(const char *root, const char *path, bool whole, const char *target,
                  struct err *err)
{
    char last[256];
    struct stat st;
    struct writing writing = {.err = err};
    bool content = whole || str_ends(path, "/.");
    int fd = archive_open_above(root, path, last, err);
    if (fd < 0)
        return fd;
    map_init(&writing.links);
    writing.out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = writing.out < 0 ? err_set_errno(err, errno, "make %s", target) : 0;
    if (!rc && fstatat(fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = errno == ENOENT ? archive_not_found(path, err) : err_set_errno(err, errno, "%s", path);
    if (!rc && whole)
        writing.device = st.st_dev;
    if (!rc && content && S_ISDIR(st.st_mode)) {
        int dir = openat(fd, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        rc = dir < 0 ? err_set_errno(err, errno, "%s", path)
                     : write_content(&writing, dir, whole ? "" : "./", 0);
    } else if (!rc) {
        rc = write_tree(&writing, fd, last, str_equal(last, ".") ? "" : last, 0);
    }
    if (!rc)
        rc = write_end(&writing);
    if (writing.out >= 0)
        close(writing.out);
    forget_links(&writing);
    close(fd);
    return rc;
}
