#include "agent/crate/archive_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/crate/archive_priv_io.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

void archive_split(const char *path, char dir[4096], char last[256])
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

int archive_not_found(const char *path, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "%.300s", path);
}

int archive_open_above(const char *root, const char *path, char last[256], struct err *err)
{
    char dir[4096];
    struct err why = ERR_INIT;
    archive_split(path, dir, last);
    int fd = root_open(root, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, &why);
    if (fd >= 0)
        return fd;
    return why.code == ERR_NOT_FOUND || why.code == ERR_FAILED_PRECONDITION
               ? archive_not_found(path, err)
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
    int fd = archive_open_above(root, path, last, err);
    if (fd < 0)
        return fd;
    int rc =
        fstatat(fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0
            ? errno == ENOENT ? archive_not_found(path, err) : err_set_errno(err, errno, "%s", path)
            : 0;
    if (!rc && S_ISLNK(st.st_mode)) {
        char target[4096];
        ssize_t length = readlinkat(fd, last, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        char dir[4096], ignored[256];
        archive_split(path, dir, ignored);
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
