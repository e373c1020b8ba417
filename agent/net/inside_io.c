#include "agent/net/inside_io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/netns_io.h"
#include "proto/base/str.h"

int inside_netns(int netns_fd, int (*fn)(void *ctx, struct err *err), void *ctx, struct err *err)
{
    return netns_fd < 0 ? fn(ctx, err) : netns_in(netns_fd, fn, ctx, err);
}

int inside_sysctl(const char *name, const char *value, struct err *err)
{
    char path[160];
    if (!str_format(path, sizeof path, "/proc/sys/%s", name))
        return err_set(err, ERR_INVALID_ARGUMENT, "no such setting: %s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", path);
    ssize_t put = write(fd, value, strlen(value));
    int errnum = errno;
    close(fd);
    return put == (ssize_t)strlen(value) ? 0 : err_set_errno(err, errnum, "write %s", path);
}
