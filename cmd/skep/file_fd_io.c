#include "cmd/skep/file_fd_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/skep/client_io.h"
#include "proto/base/str.h"

int file_fd_open(const char *path, struct err *err)
{
    if (strcmp(path, "-") == 0)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_set_errno(err, errno, "%s", path) : fd;
}

void file_fd_close(int fd)
{
    if (fd > 0)
        close(fd);
}

struct sink {
    struct cli *cli;
    int fd; // -1: standard output
    int failed;
};

static bool take(void *owner, const uint8_t *bytes, size_t size)
{
    struct sink *sink = owner;
    if (sink->fd < 0) {
        say_bytes(sink->cli, bytes, size);
        return true;
    }
    while (size && !sink->failed) {
        ssize_t wrote = write(sink->fd, bytes, size);
        if (wrote < 0 && errno != EINTR)
            sink->failed = errno;
        if (wrote > 0) {
            bytes += wrote;
            size -= (size_t)wrote;
        }
    }
    return !sink->failed;
}

int file_fd_download(struct cli *cli, const char *target, const char *path)
{
    struct sink sink = {.cli = cli, .fd = -1};
    struct stream_request request = {
        .method = "GET", .target = target, .upload_fd = -1, .on_data = take, .owner = &sink};
    const char *aside = path ? textf(cli, "%s.part", path) : NULL;
    if (path) {
        sink.fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (sink.fd < 0)
            return err_set_errno(&cli->error, errno, "%s", aside);
    }
    int result = stream_run(cli, &request);
    if (sink.fd >= 0)
        close(sink.fd);
    if (sink.failed)
        result = err_set_errno(&cli->error, sink.failed, "%s", aside);
    if (path && result == 0 && rename(aside, path) < 0)
        result = err_set_errno(&cli->error, errno, "%s", path);
    if (path && result < 0)
        unlink(aside);
    return result;
}
