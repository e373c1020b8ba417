#include "proto/base/log_io.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "proto/base/clock_io.h"

static atomic_int log_fd = 2;

void log_io_set(int fd)
{
    atomic_store(&log_fd, fd);
}

void log_io_write(const void *line, size_t size)
{
    int saved = errno;
    ssize_t wrote;
    do
        wrote = write(atomic_load(&log_fd), line, size);
    while (wrote < 0 && errno == EINTR);
    errno = saved;
}

void log_io_time(char out[WALL_TEXT_BYTES])
{
    struct wall now = wall_now();
    // A fixed width reads better in columns: keep the last millisecond digit even when it is zero.
    now.ns = now.ns / NS_PER_MS * NS_PER_MS;
    wall_format((struct wall){.ns = now.ns / NS_PER_S * NS_PER_S}, out);
    int ms = (int)(now.ns % NS_PER_S / NS_PER_MS);
    char *z = out + 19; // after "2026-11-20T13:35:20"
    z[0] = '.';
    z[1] = (char)('0' + ms / 100);
    z[2] = (char)('0' + ms / 10 % 10);
    z[3] = (char)('0' + ms % 10);
    z[4] = 'Z';
    z[5] = '\0';
}
