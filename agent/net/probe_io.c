#include "agent/net/probe_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"

#define PACKET_BYTES_MAX 9216
#define IP_BYTES         20
#define STAMP_BYTES      20 // of an ICMP timestamp message
#define DNS_PORT         53
#define DAY_MS           86400000

// The fixed part of an ICMP echo or timestamp message.
struct icmp_head {
    uint8_t type, code;
    uint16_t sum, id, seq;
};

struct asking {
    struct probe *probe;
    int fd;
    uint16_t id;
    bool done;
};

// ---- packets ------------------------------------------------------------------------------------

static uint16_t sum_of(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (size % 2)
        sum += (uint32_t)bytes[size - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

// Since midnight, as ICMP timestamps count.
static uint32_t day_ms(void)
{
    return (uint32_t)(wall_now().ns / NS_PER_MS % DAY_MS);
}

static size_t icmp_of(const struct asking *asking, uint8_t out[PACKET_BYTES_MAX])
{
    const struct probe *probe = asking->probe;
    bool echo = probe->kind == PROBE_ECHO;
    size_t size = echo ? probe->bytes - IP_BYTES : STAMP_BYTES;
    struct icmp_head head = {.type = echo ? ICMP_ECHO : ICMP_TIMESTAMP, .id = asking->id};
    CHECK(size >= sizeof head);
    CHECK(size <= PACKET_BYTES_MAX);
    memset(out, 0, size);
    if (!echo) {
        uint32_t now = htonl(day_ms());
        memcpy(out + sizeof head, &now, sizeof now);
    }
    memcpy(out, &head, sizeof head);
    head.sum = sum_of(out, size);
    memcpy(out, &head, sizeof head);
    return size;
}

// A question for the address of the name. 0: it is none.
static size_t question_of(const struct asking *asking, uint8_t out[PACKET_BYTES_MAX])
{
    static const uint8_t tail[] = {0, 0, 1, 0, 1};
    uint8_t *at = out + 12;
    const char *label = asking->probe->name;
    memset(out, 0, 12);
    memcpy(out, &asking->id, sizeof asking->id);
    out[2] = 1; // recursion desired
    out[5] = 1; // one question
    while (*label) {
        size_t length = strcspn(label, ".");
        if (!length || length > 63)
            return 0;
        *at++ = (uint8_t)length;
        memcpy(at, label, length);
        at += length;
        label += length + (label[length] == '.');
    }
    memcpy(at, tail, sizeof tail);
    return (size_t)(at - out) + sizeof tail;
}

// ---- asking -------------------------------------------------------------------------------------

static struct sockaddr_in place_of(const struct probe *probe)
{
    uint16_t port = probe->kind == PROBE_TCP    ? probe->port
                    : probe->kind == PROBE_NAME ? DNS_PORT
                                                : 0;
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(probe->to)};
}

static int open_here(void *ctx, struct err *err)
{
    struct asking *asking = ctx;
    struct probe *probe = asking->probe;
    const int whole = IP_PMTUDISC_PROBE, on = 1;
    bool icmp = probe->kind == PROBE_ECHO || probe->kind == PROBE_CLOCK;
    int type = probe->kind == PROBE_TCP ? SOCK_STREAM : icmp ? SOCK_RAW : SOCK_DGRAM;
    struct sockaddr_in to = place_of(probe), own;
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(probe->own)};
    socklen_t size = sizeof own;
    (void)err;
    asking->fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, icmp ? IPPROTO_ICMP : 0);
    if (asking->fd < 0)
        return -errno;
    if (probe->whole)
        (void)setsockopt(asking->fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof whole);
    if (icmp)
        (void)setsockopt(asking->fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    // Tunnels leave with that address where they can, too.
    if (probe->own)
        (void)bind(asking->fd, (struct sockaddr *)&from, sizeof from);
    if (connect(asking->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        return -errno;
    if (getsockname(asking->fd, (struct sockaddr *)&own, &size) == 0)
        probe->from = ntohl(own.sin_addr.s_addr);
    return 0;
}

static void note_error(struct asking *asking, int errnum)
{
    struct probe *probe = asking->probe;
    probe->errnum = errnum;
    probe->too_big |= errnum == EMSGSIZE;
    probe->refused |= errnum == ECONNREFUSED;
    // Whoever refuses a connection is there.
    probe->answered |= probe->kind == PROBE_TCP && errnum == ECONNREFUSED;
    asking->done = true;
}

static void begin(struct asking *asking, struct probe *probe)
{
    int netns = NETNS_OWN;
    *asking = (struct asking){.probe = probe, .fd = -1};
    entropy_bytes(&asking->id, sizeof asking->id);
    if (probe->netns[0] && netns_open(probe->netns, &netns, NULL)) {
        note_error(asking, ENOENT);
        return;
    }
    int rc = netns_in(netns, open_here, asking, NULL);
    if (netns != NETNS_OWN)
        close(netns);
    if (rc < 0)
        note_error(asking, -rc);
}

static void send_one(struct asking *asking)
{
    uint8_t packet[PACKET_BYTES_MAX];
    if (asking->done || asking->probe->kind == PROBE_TCP)
        return;
    size_t size =
        asking->probe->kind == PROBE_NAME ? question_of(asking, packet) : icmp_of(asking, packet);
    if (send(asking->fd, packet, size, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        note_error(asking, errno);
}

// ---- answers ------------------------------------------------------------------------------------

static void hear_icmp(struct asking *asking, const uint8_t *bytes, size_t size)
{
    struct probe *probe = asking->probe;
    struct icmp_head head;
    uint32_t stamps[3];
    size_t skip = size ? (size_t)(bytes[0] & 15) * 4 : 0;
    if (size < skip + sizeof head)
        return;
    memcpy(&head, bytes + skip, sizeof head);
    uint8_t wanted = probe->kind == PROBE_ECHO ? ICMP_ECHOREPLY : ICMP_TIMESTAMPREPLY;
    if (head.type != wanted || head.id != asking->id)
        return;
    if (probe->kind == PROBE_CLOCK) {
        if (size < skip + sizeof head + sizeof stamps)
            return;
        memcpy(stamps, bytes + skip + sizeof head, sizeof stamps);
        // Ours when asked, theirs when it came and went, ours now.
        int64_t sent = ntohl(stamps[0]), theirs = ntohl(stamps[2]), now = day_ms();
        int64_t ahead = theirs - (sent + (now - sent) / 2);
        if (ahead > DAY_MS / 2)
            ahead -= DAY_MS;
        if (ahead < -DAY_MS / 2)
            ahead += DAY_MS;
        probe->ahead_ms = ahead;
    }
    probe->answered = true;
    asking->done = true;
}

static void hear_name(struct asking *asking, const uint8_t *bytes, size_t size)
{
    uint32_t wanted = htonl(asking->probe->wanted);
    if (size < 12 || memcmp(bytes, &asking->id, sizeof asking->id) != 0)
        return;
    asking->done = true;
    for (size_t i = 12; i + sizeof wanted <= size && !asking->probe->answered; i++)
        asking->probe->answered = memcmp(bytes + i, &wanted, sizeof wanted) == 0;
}

static void hear(struct asking *asking)
{
    uint8_t bytes[PACKET_BYTES_MAX];
    int error = 0;
    socklen_t size = sizeof error;
    if (asking->probe->kind == PROBE_TCP) {
        (void)getsockopt(asking->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error)
            note_error(asking, error);
        asking->probe->answered |= error == 0;
        asking->done = true;
        return;
    }
    ssize_t got;
    while (!asking->done && (got = recv(asking->fd, bytes, sizeof bytes, 0)) >= 0) {
        if (asking->probe->kind == PROBE_NAME)
            hear_name(asking, bytes, (size_t)got);
        else
            hear_icmp(asking, bytes, (size_t)got);
    }
    if (!asking->done && got < 0 && errno != EAGAIN && errno != EINTR)
        note_error(asking, errno);
}

static void wait_until(struct asking *askings, size_t count, struct mono due)
{
    struct pollfd *fds = mem_alloc_array(count + 1, sizeof *fds);
    for (;;) {
        size_t waiting = 0;
        int64_t left_ms = mono_since(due, mono_now()) / NS_PER_MS;
        for (size_t i = 0; i < count; i++) {
            bool tcp = askings[i].probe->kind == PROBE_TCP;
            fds[i] =
                (struct pollfd){askings[i].done ? -1 : askings[i].fd, tcp ? POLLOUT : POLLIN, 0};
            waiting += !askings[i].done;
        }
        if (!waiting || left_ms <= 0 || poll(fds, (nfds_t)count, (int)left_ms) == 0)
            break;
        for (size_t i = 0; i < count; i++)
            if (!askings[i].done && fds[i].revents)
                hear(&askings[i]);
    }
    free(fds);
}

void probe_all(struct probe *probes, size_t count, int64_t timeout_ms)
{
    CHECK(count <= PROBES_MAX);
    struct asking *askings = mem_alloc_array(count + 1, sizeof *askings);
    for (size_t i = 0; i < count; i++)
        begin(&askings[i], &probes[i]);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++)
            send_one(&askings[i]);
        wait_until(askings, count, mono_add(mono_now(), timeout_ms / 2 * NS_PER_MS));
    }
    for (size_t i = 0; i < count; i++)
        if (askings[i].fd >= 0)
            close(askings[i].fd);
    free(askings);
}
