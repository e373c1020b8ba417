#include "cmd/skepd/notify_io.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/str.h"

static char notify_path[sizeof((struct sockaddr_un *)0)->sun_path];

static const char *path(void)
{
    const char *given = getenv("NOTIFY_SOCKET");
    if (given)
        str_copy(notify_path, sizeof notify_path, given);
    return notify_path;
}

void notify_send(const char *state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t length = strlen(path());
    if (length < 2 || length >= sizeof addr.sun_path)
        return;
    memcpy(addr.sun_path, notify_path, length);
    if (addr.sun_path[0] == '@')
        addr.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr, size);
    close(fd);
}

int notify_listen_fds(void)
{
    uint64_t pid = 0, count = 0;
    const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
    if (!pid_text || !count_text || !str_to_u64(pid_text, INT32_MAX, &pid) ||
        pid != (uint64_t)getpid() || !str_to_u64(count_text, NOTIFY_FDS_MAX, &count))
        return 0;
    for (int i = 0; i < (int)count; i++)
        fcntl(NOTIFY_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
    return (int)count;
}

void notify_forget(void)
{
    path(); // remembered for later messages
    unsetenv("NOTIFY_SOCKET");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}
