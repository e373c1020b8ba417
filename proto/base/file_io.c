#include "proto/base/file_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define READ_PART_BYTES 16384u
// Deepest tree dir_remove walks; each level holds one descriptor.
#define DIR_DEPTH_MAX 128

int file_read(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    size_t before = out->len;
    int result = 0;
    for (;;) {
        char part[READ_PART_BYTES];
        ssize_t got = read(fd, part, sizeof part);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = err_set_errno(err, errno, "read %s", path);
        if (got <= 0)
            break;
        buf_put(out, part, (size_t)got);
        if (!buf_ok(out)) {
            result = err_set(err, ERR_RESOURCE_EXHAUSTED, "%s is larger than %zu bytes", path,
                             out->limit - before);
            break;
        }
    }
    close(fd);
    if (result)
        out->len = before;
    return result;
}

int file_write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t wrote = write(fd, at, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -errno;
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

// Writes, sets the mode and syncs a new file; 0 or -errno.
static int write_new(const char *path, const void *bytes, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int result = file_write_all(fd, bytes, size);
    if (!result && fchmod(fd, mode) != 0)
        result = -errno;
    if (!result && fsync(fd) != 0)
        result = -errno;
    if (close(fd) != 0 && !result)
        result = -errno;
    return result;
}

// Splits into folder and name, both in the caller's buffers; false when too long.
static bool split_path(const char *path, char folder[PATH_MAX], char name[PATH_MAX])
{
    char copy[PATH_MAX];
    if (!str_copy(copy, sizeof copy, path))
        return false;
    str_copy(folder, PATH_MAX, dirname(copy));
    str_copy(copy, sizeof copy, path);
    str_copy(name, PATH_MAX, basename(copy));
    return true;
}

int file_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode,
                      struct err *err)
{
    char folder[PATH_MAX], name[PATH_MAX], aside[PATH_MAX];
    if (!split_path(path, folder, name) ||
        !str_format(aside, sizeof aside, "%s/.%s.tmp", folder, name))
        return err_set(err, ERR_INVALID_ARGUMENT, "path is too long: %.200s", path);
    int result = write_new(aside, bytes, size, mode);
    if (!result && rename(aside, path) != 0)
        result = -errno;
    if (result) {
        unlink(aside);
        return err_set_errno(err, result, "write %s", path);
    }
    return dir_sync(folder, err);
}

bool file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int file_remove(const char *path, struct err *err)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set_errno(err, errno, "remove %s", path);
    return 0;
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
    char partial[PATH_MAX];
    if (!*path || !str_copy(partial, sizeof partial, path))
        return err_set(err, ERR_INVALID_ARGUMENT, "path is empty or too long: %.200s", path);
    for (char *slash = partial + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST)
            return err_set_errno(err, errno, "make folder %s", partial);
        *slash = '/';
    }
    struct stat st;
    if (mkdir(path, mode) != 0) {
        int why = errno;
        if (why != EEXIST)
            return err_set_errno(err, why, "make folder %s", path);
        if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
            return err_set(err, ERR_ALREADY_EXISTS, "%s exists and is no folder", path);
        return 0;
    }
    // The umask may have taken bits away.
    if (chmod(path, mode) != 0)
        return err_set_errno(err, errno, "set mode of %s", path);
    return 0;
}

// Empties the folder behind `fd` (consumed), which lies on device `device`. 0 or -errno.
static int empty_folder(int fd, dev_t device, int depth)
{
    if (depth > DIR_DEPTH_MAX) {
        close(fd);
        return -ELOOP;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int why = errno;
        close(fd);
        return -why;
    }
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM) {
            result = -errno;
            break;
        }
        int child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (child < 0 || fstat(child, &st) != 0) {
            result = -errno;
            if (child >= 0)
                close(child);
        } else if (st.st_dev != device) {
            close(child);
            result = -EBUSY;
        } else {
            result = empty_folder(child, device, depth + 1);
            if (!result && unlinkat(fd, entry->d_name, AT_REMOVEDIR) != 0)
                result = -errno;
        }
    }
    closedir(dir);
    return result;
}

int dir_remove(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, errno, "remove folder %s", path);
    struct stat st;
    int result = fstat(fd, &st) == 0 ? 0 : -errno;
    if (result)
        close(fd);
    else
        result = empty_folder(fd, st.st_dev, 0);
    if (!result && rmdir(path) != 0)
        result = -errno;
    return result ? err_set_errno(err, result, "remove folder %s", path) : 0;
}

int dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open folder %s", path);
    int result = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return result ? err_set_errno(err, result, "sync folder %s", path) : 0;
}
