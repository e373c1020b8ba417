#include "agent/oci/copy_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/oci/root_io.h"
#include "proto/base/str.h"

#define DEPTH_MAX    200
#define CHUNK_BYTES  (256u << 10)
#define XATTRS_BYTES 65536

static int copy_folder(int from, int to, unsigned depth, struct err *err);

static int failed(const char *what, const char *name, struct err *err)
{
    return err_set_errno(err, errno, "copy %.200s: %s", name, what);
}

static int copy_bytes(int from, int to, const char *name, struct err *err)
{
    char *chunk = mem_alloc(CHUNK_BYTES);
    int rc = 0;
    while (!rc) {
        ssize_t got = read(from, chunk, CHUNK_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = failed("read", name, err);
        if (got <= 0)
            break;
        for (ssize_t sent = 0; sent < got && !rc;) {
            ssize_t put = write(to, chunk + sent, (size_t)(got - sent));
            if (put < 0 && errno != EINTR)
                rc = failed("write", name, err);
            else if (put > 0)
                sent += put;
        }
    }
    free(chunk);
    return rc;
}

// Extended attributes that file systems do not know are no reason to fail.
static void copy_xattrs(int from, int to)
{
    char *names = mem_alloc(XATTRS_BYTES);
    char *value = mem_alloc(XATTRS_BYTES);
    ssize_t size = flistxattr(from, names, XATTRS_BYTES);
    for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        if (str_starts(name, "trusted.overlay."))
            continue;
        ssize_t got = fgetxattr(from, name, value, XATTRS_BYTES);
        if (got >= 0)
            fsetxattr(to, name, value, (size_t)got, 0);
    }
    free(names);
    free(value);
}

// Owner, then mode (changing the owner clears set-id bits), then times (writing changes them).
static int copy_metadata(int from, int to, const struct stat *st, const char *name, struct err *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (fchown(to, st->st_uid, st->st_gid) < 0)
        return failed("set owner", name, err);
    copy_xattrs(from, to);
    if (fchmod(to, st->st_mode & 07777) < 0)
        return failed("set mode", name, err);
    futimens(to, times);
    return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st,
                     struct err *err)
{
    int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return failed("open", name, err);
    int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = to < 0 ? failed("make", name, err) : copy_bytes(from, to, name, err);
    if (!rc)
        rc = copy_metadata(from, to, st, name, err);
    close(from);
    if (to >= 0)
        close(to);
    return rc;
}

static int copy_subfolder(int from_dir, int to_dir, const char *name, const struct stat *st,
                          unsigned depth, struct err *err)
{
    if (depth >= DEPTH_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "copy %.200s: more than %d folders deep", name,
                       DEPTH_MAX);
    int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return failed("open", name, err);
    int rc = mkdirat(to_dir, name, 0700) < 0 ? failed("make", name, err) : 0;
    int to = rc ? -1 : openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!rc && to < 0)
        rc = failed("open copy", name, err);
    if (!rc)
        rc = copy_folder(from, to, depth + 1, err);
    if (!rc)
        rc = copy_metadata(from, to, st, name, err);
    close(from);
    if (to >= 0)
        close(to);
    return rc;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st,
                     struct err *err)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(from_dir, name, target, sizeof target - 1);
    if (size < 0)
        return failed("read link", name, err);
    target[size] = '\0';
    if (symlinkat(target, to_dir, name) < 0 ||
        fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return failed("make link", name, err);
    return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st, struct err *err)
{
    if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
        fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
        return failed("make node", name, err);
    return 0;
}

static int copy_entry(int from, int to, const char *name, unsigned depth, struct err *err)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return failed("look", name, err);
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(from, to, name, &st, err);
    case S_IFDIR:
        return copy_subfolder(from, to, name, &st, depth, err);
    case S_IFLNK:
        return copy_link(from, to, name, &st, err);
    case S_IFSOCK: // means nothing without its listener
        return 0;
    default:
        return copy_node(to, name, &st, err);
    }
}

static int copy_folder(int from, int to, unsigned depth, struct err *err)
{
    int list = fcntl(from, F_DUPFD_CLOEXEC, 0);
    DIR *dir = list < 0 ? NULL : fdopendir(list);
    if (!dir) {
        int rc = failed("list", "folder", err);
        if (list >= 0)
            close(list);
        return rc;
    }
    int rc = 0;
    struct dirent *entry;
    while (!rc && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = copy_entry(from, to, entry->d_name, depth, err);
    closedir(dir);
    return rc;
}

int copy_out_of_root(const char *root, const char *path, const char *target, struct err *err)
{
    int from = root_open(root, path, O_RDONLY | O_DIRECTORY, 0, err);
    if (from < 0)
        return from;
    struct stat st;
    int to = open(target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = to < 0 || fstat(from, &st) < 0 ? failed("open", target, err) : 0;
    if (!rc)
        rc = copy_folder(from, to, 0, err);
    if (!rc)
        rc = copy_metadata(from, to, &st, path, err);
    close(from);
    if (to >= 0)
        close(to);
    return rc;
}
