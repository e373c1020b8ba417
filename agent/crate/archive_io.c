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

#include "proto/base/tar.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define COPY_BYTES       (128 * 1024)
#define HEAD_BYTES       (4u << 20)
#define LINKS_MAX        1000000 // files with several names; more of them become copies
#define ATTRIBUTES_MAX   64
#define ATTRIBUTES_BYTES (64u << 10) // of all names, and of all values, of one file

// ---- paths -------------------------------------------------------------------------------------

// The folder a path lies in, and its last part ("." for the root itself).
static void split_path(const char *path, char dir[4096], char last[256])
{
    char clean[4096];
    str_copy(clean, sizeof clean, path);
    size_t length = strlen(clean);
    while (length > 1 &&
           (clean[length - 1] == '/' || (clean[length - 1] == '.' && clean[length - 2] == '/')))
        clean[--length] = '\0';
    char *slash = strrchr(clean, '/');
    const char *name = slash ? slash + 1 : clean;
    // ".." and the root have no name that could be looked at in the folder above.
    if (!*name || str_equal(name, "..") || str_equal(name, ".")) {
        str_copy(dir, 4096, *clean ? clean : "/");
        str_copy(last, 256, ".");
        return;
    }
    str_copy(last, 256, name);
    if (slash)
        *slash = '\0';
    str_copy(dir, 4096, slash && *clean ? clean : "/");
}

static int not_found(const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "%.300s", path);
}

// Opens the folder of the path; the last part comes out.
static int open_above(const char *root, const char *path, char last[256], struct err *err)
{
    char dir[4096];
    struct err why = ERR_INIT;
    split_path(path, dir, last);
    int fd = root_open(root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &why);
    if (fd >= 0)
        return fd;
    return why.code == ERR_NOT_FOUND || why.code == ERR_FAILED_PRECONDITION ? not_found(path, err)
                                                                            : err_copy(err, &why);
}

static uint32_t go_mode(mode_t mode)
{
    static const struct {
        mode_t type;
        uint32_t go;
    } rows[] = {{S_IFDIR, 1u << 31}, {S_IFLNK, 1u << 27},  {S_IFBLK, 1u << 26},
                {S_IFIFO, 1u << 25}, {S_IFSOCK, 1u << 24}, {S_IFCHR, (1u << 26) | (1u << 21)}};
    uint32_t out = mode & 0777;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if ((mode & S_IFMT) == rows[i].type)
            out |= rows[i].go;
    out |= mode & S_ISUID ? 1u << 23 : 0;
    out |= mode & S_ISGID ? 1u << 22 : 0;
    out |= mode & S_ISVTX ? 1u << 20 : 0;
    return out;
}

int archive_stat(const char *root, const char *path, struct archive_stat *out, struct err *err)
{
    char last[256];
    struct stat st;
    *out = (struct archive_stat){0};
    int fd = open_above(root, path, last, err);
    if (fd < 0)
        return fd;
    int rc = fstatat(fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0
                 ? errno == ENOENT ? not_found(path, err) : err_set_errno(err, errno, "%s", path)
                 : 0;
    if (!rc && S_ISLNK(st.st_mode)) {
        char target[4096];
        ssize_t length = readlinkat(fd, last, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        char dir[4096], ignored[256];
        split_path(path, dir, ignored);
        str_format(out->link, sizeof out->link, target[0] == '/' ? "%.0s%s" : "%s/%s",
                   str_equal(dir, "/") ? "" : dir, target);
    }
    close(fd);
    if (rc)
        return rc;
    str_copy(out->name, sizeof out->name, str_equal(last, ".") ? "/" : last);
    out->size = st.st_size;
    out->go_mode = go_mode(st.st_mode);
    out->mtime = (struct wall){st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec};
    return 0;
}

// ---- writing -----------------------------------------------------------------------------------

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
    uint8_t *piece = mem_alloc(COPY_BYTES);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    int rc = 0;
    uint64_t left = size;
    while (left > 0 && !rc) {
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
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
    int fd = open_above(root, path, last, err);
    if (fd < 0)
        return fd;
    map_init(&writing.links);
    writing.out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = writing.out < 0 ? err_set_errno(err, errno, "make %s", target) : 0;
    if (!rc && fstatat(fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = errno == ENOENT ? not_found(path, err) : err_set_errno(err, errno, "%s", path);
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

// ---- reading -----------------------------------------------------------------------------------

struct unpacking {
    int in;
    char *root; // of the container
    char *base; // the folder, in it
    bool keep_kind;
    struct err *err;
};

static int read_whole(struct unpacking *unpacking, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = read(unpacking->in, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(unpacking->err, ERR_INVALID_ARGUMENT, "unexpected EOF");
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

static int pass_over(struct unpacking *unpacking, uint64_t size)
{
    uint8_t piece[4096];
    size += tar_padding(size);
    while (size > 0) {
        size_t want = size < sizeof piece ? (size_t)size : sizeof piece;
        int rc = read_whole(unpacking, piece, want);
        if (rc)
            return rc;
        size -= want;
    }
    return 0;
}

// The folder an entry belongs in, made when it is missing; the entry's last part comes out. Names
// lead down only: what climbs is refused.
static int place_of(struct unpacking *unpacking, const char *name, char last[256])
{
    char path[2 * TAR_NAME_MAX], dir[4096];
    const char *rest = name;
    struct str_part part;
    while (str_split(&rest, '/', &part))
        if (str_part_is(part, ".."))
            return err_set(unpacking->err, ERR_INVALID_ARGUMENT,
                           "the archive's entry \"%.200s\" leads out of its folder", name);
    if (!str_format(path, sizeof path, "%s/%s", unpacking->base, name) || strlen(path) >= 4096)
        return err_set(unpacking->err, ERR_INVALID_ARGUMENT, "a path is too long");
    split_path(path, dir, last);
    struct err why = ERR_INIT;
    int fd = root_open(unpacking->root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &why);
    if (fd < 0 && why.code == ERR_NOT_FOUND) {
        if (root_mkdir(unpacking->root, dir, 0755, 0, 0, unpacking->err))
            return -(int)ERR_INTERNAL;
        fd = root_open(unpacking->root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, unpacking->err);
        return fd;
    }
    return fd < 0 ? err_copy(unpacking->err, &why) : fd;
}

static int take_file(struct unpacking *unpacking, int dir, const char *last,
                     const struct tar_entry *entry)
{
    uint8_t *piece = mem_alloc(COPY_BYTES);
    int fd = openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_set_errno(unpacking->err, errno, "make %s", entry->name) : 0;
    for (uint64_t left = entry->size; left > 0 && !rc;) {
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        rc = read_whole(unpacking, piece, want);
        for (size_t at = 0; at < want && !rc;) {
            ssize_t wrote = write(fd, piece + at, want - at);
            if (wrote < 0 && errno != EINTR)
                rc = err_set_errno(unpacking->err, errno, "write %s", entry->name);
            else if (wrote > 0)
                at += (size_t)wrote;
        }
        left -= want;
    }
    if (!rc)
        rc = read_whole(unpacking, piece, tar_padding(entry->size));
    if (fd >= 0)
        close(fd);
    free(piece);
    return rc;
}

// Hard links name another entry, which is looked up inside the folder as well.
static int take_link(struct unpacking *unpacking, int dir, const char *last,
                     const struct tar_entry *entry)
{
    char other[256];
    int from = place_of(unpacking, entry->link, other);
    if (from < 0)
        return from;
    int rc = linkat(from, other, dir, last, 0) < 0
                 ? err_set_errno(unpacking->err, errno, "link %s", entry->name)
                 : 0;
    close(from);
    return rc;
}

static int clear_way(struct unpacking *unpacking, int dir, const char *last,
                     const struct tar_entry *entry)
{
    struct stat st;
    bool folder = entry->kind == TAR_DIR;
    if (fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    bool is_folder = S_ISDIR(st.st_mode);
    if (folder && is_folder)
        return 0;
    if (unpacking->keep_kind && folder != is_folder)
        return err_set(unpacking->err, ERR_INVALID_ARGUMENT, "cannot overwrite %s with %s: %.200s",
                       is_folder ? "directory" : "non-directory",
                       folder ? "directory" : "non-directory", entry->name);
    if (unlinkat(dir, last, is_folder ? AT_REMOVEDIR : 0) < 0)
        return err_set_errno(unpacking->err, errno, "replace %s", entry->name);
    return 0;
}

static int set_owner(struct unpacking *unpacking, int dir, const char *last,
                     const struct tar_entry *entry)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = entry->mtime_s}};
    if (fchownat(dir, last, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set_errno(unpacking->err, errno, "chown %s", entry->name);
    if (entry->kind != TAR_SYMLINK) {
        // Through a descriptor: fchmodat would follow what somebody put there meanwhile.
        char self[64];
        int fd = openat(dir, last, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        str_format(self, sizeof self, "/proc/self/fd/%d", fd);
        if (fd < 0 || chmod(self, entry->mode) < 0) {
            int errnum = errno;
            if (fd >= 0)
                close(fd);
            return err_set_errno(unpacking->err, errnum, "chmod %s", entry->name);
        }
        close(fd);
    }
    utimensat(dir, last, times, AT_SYMLINK_NOFOLLOW);
    return 0;
}

static int take_entry(struct unpacking *unpacking, const struct tar_entry *entry)
{
    char last[256];
    int dir = place_of(unpacking, entry->name, last);
    if (dir < 0)
        return dir;
    bool here = str_equal(last, "."); // the folder itself
    int rc = here ? 0 : clear_way(unpacking, dir, last, entry);
    dev_t device = makedev(entry->major, entry->minor);
    static const mode_t types[] = {
        [TAR_CHAR] = S_IFCHR, [TAR_BLOCK_DEVICE] = S_IFBLK, [TAR_FIFO] = S_IFIFO};
    if (!rc && !here)
        switch (entry->kind) {
        case TAR_FILE:
            rc = take_file(unpacking, dir, last, entry);
            break;
        case TAR_HARD_LINK:
            rc = take_link(unpacking, dir, last, entry);
            break;
        case TAR_SYMLINK:
            if (symlinkat(entry->link, dir, last) < 0)
                rc = err_set_errno(unpacking->err, errno, "link %s", entry->name);
            break;
        case TAR_DIR:
            if (mkdirat(dir, last, 0700) < 0 && errno != EEXIST)
                rc = err_set_errno(unpacking->err, errno, "make %s", entry->name);
            break;
        case TAR_CHAR:
        case TAR_BLOCK_DEVICE:
        case TAR_FIFO:
            if (mknodat(dir, last, types[entry->kind] | 0600, device) < 0)
                rc = err_set_errno(unpacking->err, errno, "make %s", entry->name);
            break;
        }
    if (!rc && !here && entry->kind != TAR_HARD_LINK)
        rc = set_owner(unpacking, dir, last, entry);
    close(dir);
    return rc;
}

static int read_record(struct unpacking *unpacking, struct tar_reader *reader, uint64_t size)
{
    size_t whole = (size_t)size + tar_padding(size);
    uint8_t *bytes = mem_alloc(whole + 1);
    int rc = read_whole(unpacking, bytes, whole);
    if (!rc)
        rc = tar_record(reader, bytes, (size_t)size, unpacking->err);
    free(bytes);
    return rc;
}

static int read_entries(struct unpacking *unpacking)
{
    struct tar_reader *reader = MEM_NEW(struct tar_reader);
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    uint8_t block[TAR_BLOCK];
    int rc = 0;
    bool end = false;
    while (!rc && !end) {
        uint64_t skip;
        rc = read_whole(unpacking, block, sizeof block);
        if (rc)
            break;
        switch (tar_read(reader, block, entry, &skip, unpacking->err)) {
        case TAR_ENTRY:
            rc = take_entry(unpacking, entry);
            break;
        case TAR_MORE:
            rc = read_record(unpacking, reader, skip);
            break;
        case TAR_PASS:
            rc = pass_over(unpacking, skip);
            break;
        case TAR_END:
            end = true;
            break;
        case TAR_BROKEN:
            rc = -ERR_INVALID_ARGUMENT;
            break;
        }
    }
    free(reader);
    free(entry);
    return rc;
}

int archive_read(const char *root, const char *path, const char *source, bool keep_kind,
                 struct err *err)
{
    struct err why = ERR_INIT;
    int fd = root_open(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &why);
    if (fd < 0)
        return why.code == ERR_NOT_FOUND
                   ? not_found(path, err)
                   : err_set(err, ERR_INVALID_ARGUMENT, "extraction point is not a directory");
    close(fd);
    struct unpacking unpacking = {
        .root = str_dup(root), .base = str_dup(path), .keep_kind = keep_kind, .err = err};
    unpacking.in = open(source, O_RDONLY | O_CLOEXEC);
    int rc =
        unpacking.in < 0 ? err_set_errno(err, errno, "open %s", source) : read_entries(&unpacking);
    if (unpacking.in >= 0)
        close(unpacking.in);
    free(unpacking.root);
    free(unpacking.base);
    return rc;
}
