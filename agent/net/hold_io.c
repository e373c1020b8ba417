#include "agent/net/hold_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"

#define BACKLOG 128

int hold_open(uint8_t protocol, uint32_t address, uint16_t *port, struct err *err)
{
    CHECK(protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(address)};
    socklen_t size = sizeof at;
    int type = protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, protocol);
    if (fd < 0 && (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT))
        return err_set(err, ERR_UNIMPLEMENTED, "this kernel has no SCTP");
    if (fd < 0)
        return err_set_errno(err, errno, "open a socket");
    // What arrives all the same (by IPv4 broadcast, say) is thrown away early.
    int least = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &size) < 0) {
        int errnum = errno;
        close(fd);
        if (errnum == EADDRINUSE)
            return err_set(err, ERR_ALREADY_EXISTS, "port %u is already in use", *port);
        return err_set_errno(err, errnum, "bind port %u", *port);
    }
    *port = ntohs(at.sin_port);
    return fd;
}

int hold_open6(uint8_t protocol, const uint8_t address[16], uint16_t *port, struct err *err)
{
    static const int on = 1;
    CHECK(protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);
    bool tcp = protocol == IPPROTO_TCP;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    socklen_t size = sizeof at;
    memcpy(&at.sin6_addr, address, sizeof at.sin6_addr);
    int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "open a socket for IPv6");
    bool fine = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0;
    if (tcp) // connections of before may still be ending
        fine = fine && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    else
        fine = fine && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0;
    // Another that is bound as well is only seen by listening.
    fine = fine && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 &&
           (!tcp || listen(fd, BACKLOG) == 0) &&
           getsockname(fd, (struct sockaddr *)&at, &size) == 0;
    if (!fine) {
        int errnum = errno;
        char text[INET6_ADDRSTRLEN] = "";
        close(fd);
        (void)inet_ntop(AF_INET6, address, text, sizeof text);
        if (errnum == EADDRINUSE)
            return err_set(err, ERR_ALREADY_EXISTS, "port %u of %s is already in use", *port, text);
        return err_set_errno(err, errnum, "bind [%s]:%u", text, *port);
    }
    *port = ntohs(at.sin6_port);
    return fd;
}
