#include "cmd/skepd/sockets_io.h"

#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/skepd/notify_io.h"
#include "proto/base/accounts_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"

// The port of tcp:// hosts that name none; the one the documents use for TLS.
#define API_PORT 2376

// ---- unix paths ---------------------------------------------------------------------------------

// Without a name it is docker's group, where there is one.
static int find_group(const char *name, gid_t *gid, struct err *err)
{
    int result = accounts_group(str_empty(name) ? "docker" : name, gid, err);
    if (result != -ERR_NOT_FOUND || !str_empty(name))
        return result;
    err_clear(err);
    *gid = 0;
    return 0;
}

// Makes room for a socket file: the folder, and no dead socket in the way.
static int prepare_path(const struct sockaddr_un *sock, socklen_t size, struct err *err)
{
    char folder[sizeof sock->sun_path];
    struct stat st;
    CHECK(str_copy(folder, sizeof folder, sock->sun_path));
    int result = dir_make(dirname(folder), 0755, err);
    if (result)
        return result;
    if (lstat(sock->sun_path, &st))
        return errno == ENOENT ? 0 : err_set_errno(err, errno, "look at %s", sock->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_ALREADY_EXISTS, "%s is there and is no socket", sock->sun_path);
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return err_set_errno(err, errno, "make a socket");
    bool served = connect(probe, (const struct sockaddr *)sock, size) == 0;
    close(probe);
    if (served)
        return err_set(err, ERR_UNAVAILABLE, "%s is served by another process", sock->sun_path);
    return file_remove(sock->sun_path, err);
}

// Nobody but root between bind and chmod: the process's umask sees to that.
static int bind_path(int fd, const struct sockaddr_un *sock, socklen_t size, const char *group,
                     struct err *err)
{
    gid_t gid = 0;
    int result = find_group(group, &gid, err);
    if (!result)
        result = prepare_path(sock, size, err);
    if (result)
        return result;
    mode_t before = umask(0177);
    result = bind(fd, (const struct sockaddr *)sock, size) ? errno : 0;
    umask(before);
    if (result)
        return err_set_errno(err, result, "bind %s", sock->sun_path);
    if (chown(sock->sun_path, 0, gid) || chmod(sock->sun_path, 0660)) {
        result = err_set_errno(err, errno, "give %s to its group", sock->sun_path);
        unlink(sock->sun_path);
    }
    return result;
}

// ---- one socket ---------------------------------------------------------------------------------

static int bind_fd(int fd, const struct addr *addr, const char *group, struct err *err)
{
    struct sockaddr_storage sock;
    socklen_t size;
    int result = addr_to_sock(addr, &sock, &size, err);
    if (result)
        return result;
    if (addr->kind == ADDR_UNIX && addr->host[0] != '@')
        return bind_path(fd, (const struct sockaddr_un *)&sock, size, group, err);
    // A manager that restarts must get its port back while old connections linger.
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&sock, size)) {
        char text[ADDR_TEXT_BYTES];
        return err_set_errno(err, errno, "bind %s", addr_format(addr, text));
    }
    return 0;
}

int socket_bind(const struct addr *addr, const char *group, struct bound_socket *out,
                struct err *err)
{
    int family = addr->kind == ADDR_UNIX ? AF_UNIX : addr->kind == ADDR_IP6 ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "make a socket");
    int result = bind_fd(fd, addr, group, err);
    if (result) {
        close(fd);
        return result;
    }
    *out = (struct bound_socket){
        .fd = fd,
        .addr = *addr,
        .remove_path = addr->kind == ADDR_UNIX && addr->host[0] != '@',
    };
    struct sockaddr_storage sock;
    socklen_t size = sizeof sock;
    if (addr->kind != ADDR_UNIX && getsockname(fd, (struct sockaddr *)&sock, &size) == 0)
        addr_from_sock((struct sockaddr *)&sock, size, &out->addr, NULL);
    return 0;
}

void socket_unbind(struct bound_socket *bound)
{
    if (bound->fd >= 0)
        close(bound->fd);
    if (bound->remove_path)
        unlink(bound->addr.host);
    *bound = (struct bound_socket){.fd = -1};
}

// ---- all hosts ----------------------------------------------------------------------------------

static int take_handed_over(struct sockets *sockets, struct err *err)
{
    int count = notify_listen_fds();
    if (count == 0)
        return err_set(err, ERR_NOT_FOUND, "fd:// without sockets from the service manager");
    for (int i = 0; i < count; i++) {
        if (sockets->count == SOCKETS_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d sockets", SOCKETS_MAX);
        struct bound_socket *item = &sockets->items[sockets->count];
        struct sockaddr_storage sock;
        socklen_t size = sizeof sock;
        *item = (struct bound_socket){.fd = NOTIFY_FIRST_FD + i};
        if (getsockname(item->fd, (struct sockaddr *)&sock, &size))
            return err_set_errno(err, errno, "descriptor %d", item->fd);
        int result = addr_from_sock((struct sockaddr *)&sock, size, &item->addr, err);
        if (result)
            return result;
        sockets->count++;
    }
    return 0;
}

static int bind_host(struct sockets *sockets, const char *host, const char *group, struct err *err)
{
    if (str_starts(host, "fd://"))
        return take_handed_over(sockets, err);
    if (sockets->count == SOCKETS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d sockets", SOCKETS_MAX);
    struct addr addr;
    int result = addr_parse(host, API_PORT, &addr, err);
    if (!result)
        result = socket_bind(&addr, group, &sockets->items[sockets->count], err);
    if (!result)
        sockets->count++;
    return result;
}

int sockets_bind_hosts(struct sockets *sockets, char *const *hosts, size_t count, const char *group,
                       struct err *err)
{
    sockets->count = 0;
    for (size_t i = 0; i < count; i++) {
        int result = bind_host(sockets, hosts[i], group, err);
        if (result) {
            sockets_unbind(sockets);
            return err_wrap(err, "host %s", hosts[i]);
        }
    }
    return 0;
}

void sockets_unbind(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        socket_unbind(&sockets->items[i]);
    sockets->count = 0;
}
