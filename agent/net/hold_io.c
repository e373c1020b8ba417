#include "agent/net/hold_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"

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
