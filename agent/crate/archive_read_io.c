// Archives into a container's root: nothing in them leads out of the folder they are unpacked in.
#include "agent/crate/archive_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/crate/archive_priv_io.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/base/tar.h"

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
    archive_split(path, dir, last);
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
    uint8_t *piece = mem_alloc(ARCHIVE_COPY_BYTES);
    int fd = openat(dir, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_set_errno(unpacking->err, errno, "make %s", entry->name) : 0;
    for (uint64_t left = entry->size; left > 0 && !rc;) {
        size_t want = left < ARCHIVE_COPY_BYTES ? (size_t)left : ARCHIVE_COPY_BYTES;
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
                   ? archive_not_found(path, err)
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
