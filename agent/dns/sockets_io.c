#include "agent/dns/sockets_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define RESOLVER_ADDRESS 0x7f00000bu // 127.0.0.11
// TCP clients that wait to be taken.
#define TCP_BACKLOG 64
// Questions that wait in the kernel while the resolver starts anew or is busy.
#define UDP_BUFFER_BYTES (512 * 1024)

static int open_socket(int family, int type, struct err *err)
{
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 ? fd : err_set_errno(err, errno, "make a socket for DNS");
}

// ---- to answer ----------------------------------------------------------------------------------

static int bind_answer(int fd, uint16_t *port, struct err *err)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(RESOLVER_ADDRESS),
    };
    socklen_t size = sizeof addr;
    // The sandbox's loopback device may still be down.
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&addr, size) ||
        getsockname(fd, (struct sockaddr *)&addr, &size))
        return err_set_errno(err, errno, "bind 127.0.0.11");
    *port = ntohs(addr.sin_port);
    return 0;
}

static int open_answer(struct dns_sockets *out, struct err *err)
{
    int buffer = UDP_BUFFER_BYTES;
    out->answer_udp = open_socket(AF_INET, SOCK_DGRAM, err);
    if (out->answer_udp < 0)
        return out->answer_udp;
    setsockopt(out->answer_udp, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(out->answer_udp, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    int result = bind_answer(out->answer_udp, &out->udp_port, err);
    if (result)
        return result;
    out->answer_tcp = open_socket(AF_INET, SOCK_STREAM, err);
    if (out->answer_tcp < 0)
        return out->answer_tcp;
    result = bind_answer(out->answer_tcp, &out->tcp_port, err);
    if (!result && listen(out->answer_tcp, TCP_BACKLOG))
        result = err_set_errno(err, errno, "listen at 127.0.0.11");
    return result;
}

// ---- to ask -------------------------------------------------------------------------------------

static int add_ask(struct dns_sockets *out, int family, int type, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        int fd = open_socket(family, type, err);
        if (fd < 0)
            return fd;
        CHECK(out->ask_count < DNS_SOCKETS_MAX);
        out->ask[out->ask_count++] = fd;
    }
    return 0;
}

static int open_ask(struct dns_sockets *out, size_t udp, size_t tcp, struct err *err)
{
    out->ask = mem_alloc_array(DNS_SOCKETS_MAX, sizeof *out->ask);
    int result = add_ask(out, AF_INET, SOCK_DGRAM, udp, err);
    if (!result)
        result = add_ask(out, AF_INET, SOCK_STREAM, tcp, err);
    if (result)
        return result;
    // A kernel without IPv6 has none of these, and no servers to ask with them either.
    int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0 && errno == EAFNOSUPPORT)
        return 0;
    if (probe >= 0)
        close(probe);
    result = add_ask(out, AF_INET6, SOCK_DGRAM, udp / DNS_SOCKETS_IP6_SHARE, err);
    if (!result)
        result = add_ask(out, AF_INET6, SOCK_STREAM, tcp / DNS_SOCKETS_IP6_SHARE, err);
    return result;
}

// ---- all of a namespace -------------------------------------------------------------------------

static const struct dns_sockets none = {.answer_udp = -1, .answer_tcp = -1};

void dns_sockets_close(struct dns_sockets *sockets)
{
    if (sockets->answer_udp >= 0)
        close(sockets->answer_udp);
    if (sockets->answer_tcp >= 0)
        close(sockets->answer_tcp);
    for (size_t i = 0; i < sockets->ask_count; i++)
        close(sockets->ask[i]);
    free(sockets->ask);
    *sockets = none;
}

int dns_sockets_open_host(struct dns_sockets *out, struct err *err)
{
    *out = none;
    int result = open_ask(out, DNS_SOCKETS_HOST_UDP, DNS_SOCKETS_HOST_TCP, err);
    if (result)
        dns_sockets_close(out);
    return result;
}

int dns_sockets_open(int netns_fd, bool ask, struct dns_sockets *out, struct err *err)
{
    *out = none;
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return err_set_errno(err, errno, "open the thread's network namespace");
    int result = 0;
    if (setns(netns_fd, CLONE_NEWNET)) {
        result = err_set_errno(err, errno, "go into a sandbox");
    } else {
        result = open_answer(out, err);
        if (!result && ask)
            result = open_ask(out, DNS_SOCKETS_SANDBOX_UDP, DNS_SOCKETS_SANDBOX_TCP, err);
        CHECK(setns(home, CLONE_NEWNET) == 0);
    }
    close(home);
    if (result)
        dns_sockets_close(out);
    return result;
}

void dns_redirect_text(struct buf *out, const struct dns_sockets *sockets)
{
    buf_put_str(out, "add table ip skep_dns\ndelete table ip skep_dns\n"
                     "table ip skep_dns {\n"
                     "  chain out {\n"
                     // Before connection tracking, which then sees neither direction.
                     "    type filter hook output priority -310; policy accept;\n");
    const struct {
        const char *protocol;
        uint16_t port;
    } rows[] = {{"udp", sockets->udp_port}, {"tcp", sockets->tcp_port}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buf_printf(out,
                   "    ip daddr 127.0.0.11 %s dport 53 notrack %s dport set %u\n"
                   "    ip saddr 127.0.0.11 %s sport %u notrack %s sport set 53\n",
                   rows[i].protocol, rows[i].protocol, rows[i].port, rows[i].protocol, rows[i].port,
                   rows[i].protocol);
    buf_put_str(out, "  }\n}\n");
}
