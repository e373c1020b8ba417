#include "agent/oci/root_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define READ_BYTES 16384
// openat2 answers EAGAIN when a rename races with ".."; a hostile container may try that for ever.
#define RETRIES 32

static int open_in(int root_fd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    if (!(flags & O_PATH))
        how.flags |= O_NONBLOCK | O_NOCTTY;
    int fd = -1;
    for (int i = 0; i < RETRIES; i++) {
        fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd;
}

static int open_root(const char *root, struct err *err)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : err_set_errno(err, errno, "open %s", root);
}

int root_open(const char *root, const char *path, int flags, mode_t mode, struct err *err)
{
    int root_fd = open_root(root, err);
    if (root_fd < 0)
        return root_fd;
    int fd = open_in(root_fd, path, flags, mode);
    int errnum = errno;
    close(root_fd);
    return fd >= 0 ? fd : err_set_errno(err, errnum, "open %s in container", path);
}

int root_read(const char *root, const char *path, struct buf *out, struct err *err)
{
    int fd = root_open(root, path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        rc = err_set(err, ERR_FAILED_PRECONDITION, "%s in container is no regular file", path);
    char chunk[READ_BYTES];
    size_t before = out->len;
    while (!rc) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = err_set_errno(err, errno, "read %s in container", path);
        if (got <= 0)
            break;
        buf_put(out, chunk, (size_t)got);
        if (!buf_ok(out)) {
            out->len = before;
            rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "%s in container is larger than %zu bytes",
                         path, out->limit);
        }
    }
    close(fd);
    return rc;
}

// Makes one folder below `parent`; an existing one is left as it is.
static int make_one(int parent, const char *name, mode_t mode, uint32_t uid, uint32_t gid)
{
    if (mkdirat(parent, name, 0700) < 0)
        return errno == EEXIST ? 0 : errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int errnum = fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0 ? errno : 0;
    close(fd);
    return errnum;
}

int root_mkdir(const char *root, const char *path, mode_t mode, uint32_t uid, uint32_t gid,
               struct err *err)
{
    int root_fd = open_root(root, err);
    if (root_fd < 0)
        return root_fd;
    // One component at a time, each looked up from the root, so that links on the way stay inside.
    char so_far[4096] = "";
    const char *rest = path;
    struct str_part part;
    int rc = 0;
    while (!rc && str_split(&rest, '/', &part)) {
        if (!part.len || str_part_is(part, "."))
            continue;
        char name[256];
        size_t used = strlen(so_far);
        if (part.len >= sizeof name || used + part.len + 2 > sizeof so_far ||
            str_part_is(part, "..")) {
            rc = err_set(err, ERR_INVALID_ARGUMENT, "invalid path \"%.100s\"", path);
            break;
        }
        memcpy(name, part.at, part.len);
        name[part.len] = '\0';
        int parent = open_in(root_fd, *so_far ? so_far : "/", O_PATH | O_DIRECTORY, 0);
        int errnum = parent < 0 ? errno : make_one(parent, name, mode, uid, gid);
        if (parent >= 0)
            close(parent);
        if (errnum)
            rc = err_set_errno(err, errnum, "make folder %.100s in container", path);
        str_format(so_far + used, sizeof so_far - used, "/%s", name);
    }
    close(root_fd);
    return rc;
}

// The file's text, or "" when the root has none: scratch images have no /etc at all.
static int read_optional(const char *root, const char *path, struct buf *out, struct err *err)
{
    buf_init(out, USER_FILE_BYTES);
    int rc = root_read(root, path, out, err);
    if (rc == -ERR_NOT_FOUND) {
        err_clear(err);
        rc = 0;
    }
    return rc;
}

int root_user(const char *root, const char *spec, const char *const *extra_groups,
              size_t extra_count, struct user *out, struct err *err)
{
    struct err local = ERR_INIT;
    struct buf passwd;
    struct buf group = {0};
    int rc = read_optional(root, "/etc/passwd", &passwd, &local);
    if (!rc)
        rc = read_optional(root, "/etc/group", &group, &local);
    const char *passwd_text = rc ? NULL : buf_cstr(&passwd);
    const char *group_text = rc ? NULL : buf_cstr(&group);
    if (rc)
        err_copy(err, &local);
    else if (!passwd_text || !group_text)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "/etc/passwd or /etc/group is too large");
    else
        rc = user_resolve(spec, extra_groups, extra_count, passwd_text, group_text, out, err);
    buf_fini(&passwd);
    buf_fini(&group);
    return rc;
}
