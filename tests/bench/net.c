// Load for the data plane: a server and a client between two network namespaces, and a balancer's
// table in the one it runs in.
//
//   bench_net serve PORT                           TCP echo and UDP on PORT, a TCP sink on PORT + 1
//   bench_net stream ADDRESS PORT SECONDS          bytes in one TCP stream: rate N (Gbit/s)
//   bench_net packets ADDRESS PORT SECONDS SIZE    UDP packets that arrived: rate N (1000/s); what
//                                                  sending one took of a processor: cost_us N
//   bench_net connects ADDRESS PORT SECONDS        one after the other: rate N (1/s)
//   bench_net trips ADDRESS PORT SECONDS           64 bytes there and back: p50_us N p99_us N
//   bench_net balance SERVICES BACKENDS            ms N: virtual addresses from 10.99.0.1 on, each
//                                                  with backends from 10.98.0.1 on
//
// One thread on each side, so that what is measured is the way between them.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/nft_io.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define BACKEND     0x0a620001u // 10.98.0.1
#define VIP         0x0a630001u // 10.99.0.1
#define MESSAGE     64
#define CHUNK       (128u * 1024u)
#define SAMPLES_MAX (1u << 20)
#define BURST       64 // packets between two looks at the clock
// Of these, between two looks at what they cost: more than the kernel's grain of accounting.
#define ROUND_BURSTS 50

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double s_since(struct mono start)
{
    return (double)mono_since(mono_now(), start) / (double)NS_PER_S;
}

// ---- the server ---------------------------------------------------------------------------------

static int bound(int type, unsigned port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    need(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0, "socket");
    need(bind(fd, (struct sockaddr *)&any, sizeof any) == 0, "bind");
    need(type == SOCK_DGRAM || listen(fd, 1024) == 0, "listen");
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    need(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

// A packet of one byte asks how many others came since the last such question.
static void count_packets(int fd, uint64_t *packets)
{
    char data[2048];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    for (;;) {
        ssize_t got =
            recvfrom(fd, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (got < 0)
            return;
        if (got > 1) {
            (*packets)++;
            continue;
        }
        (void)sendto(fd, packets, sizeof *packets, 0, (struct sockaddr *)&from, size);
        *packets = 0;
    }
}

static void serve(unsigned port)
{
    static char data[CHUNK];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int echo = bound(SOCK_STREAM, port), udp = bound(SOCK_DGRAM, port);
    int sink = bound(SOCK_STREAM, port + 1);
    int most = 4 << 20;
    (void)setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &most, sizeof most);
    watch(epoll, echo);
    watch(epoll, udp);
    watch(epoll, sink);
    uint64_t packets = 0;
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == udp) {
                count_packets(udp, &packets);
                continue;
            }
            if (fd == echo || fd == sink) {
                int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
                if (peer < 0)
                    continue;
                (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                watch(epoll, peer);
                continue;
            }
            ssize_t got = read(fd, data, sizeof data);
            if (got <= 0 && !(got < 0 && errno == EAGAIN))
                close(fd);
            else if (got <= MESSAGE) // what a stream brings is longer, or its answer not read
                (void)send(fd, data, (size_t)got, MSG_NOSIGNAL);
        }
    }
}

// ---- the client ---------------------------------------------------------------------------------

static struct sockaddr_in target(const char *address, unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    need(inet_pton(AF_INET, address, &to.sin_addr) == 1, address);
    return to;
}

static int connected(const struct sockaddr_in *to)
{
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    need(fd >= 0, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    need(connect(fd, (const struct sockaddr *)to, sizeof *to) == 0, "connect");
    return fd;
}

// Without waiting for the other side: no port stays behind in TIME_WAIT.
static void reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void stream(const struct sockaddr_in *to, double seconds)
{
    static char data[CHUNK];
    int fd = connected(to);
    uint64_t bytes = 0;
    struct mono start = mono_now();
    double took;
    while ((took = s_since(start)) < seconds) {
        ssize_t sent = send(fd, data, sizeof data, MSG_NOSIGNAL);
        need(sent > 0, "send");
        bytes += (uint64_t)sent;
    }
    reset(fd);
    printf("rate %.3f\n", (double)bytes * 8 / took / 1e9);
}

static uint64_t arrived(int fd)
{
    uint64_t count = 0;
    for (int times = 0; times < 20; times++) {
        if (send(fd, "?", 1, 0) == 1 && recv(fd, &count, sizeof count, 0) == sizeof count)
            return count;
    }
    need(false, "no answer");
    return 0;
}

static double cpu_us(void)
{
    struct rusage used;
    need(getrusage(RUSAGE_THREAD, &used) == 0, "getrusage");
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

// A packet goes its whole way while it is sent, so its cost shows also where others use the
// processors: the least of all rounds that are long enough to be counted.
static void packets(const struct sockaddr_in *to, double seconds, size_t size)
{
    static char data[2048];
    struct timeval limit = {.tv_usec = 200000};
    need(size > 1 && size <= sizeof data, "a size");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    need(fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof *to) == 0, "socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)arrived(fd);
    struct mono start = mono_now();
    double took, cost = 1e9, before = cpu_us();
    uint64_t sent = 0;
    while ((took = s_since(start)) < seconds) {
        for (int i = 0; i < BURST; i++)
            (void)send(fd, data, size, 0);
        if (++sent % ROUND_BURSTS != 0)
            continue;
        double now = cpu_us(), each = (now - before) / (ROUND_BURSTS * BURST);
        cost = each < cost ? each : cost;
        before = now;
    }
    if (sent < ROUND_BURSTS)
        cost = (cpu_us() - before) / (double)(sent * BURST);
    printf("rate %.3f cost_us %.2f\n", (double)arrived(fd) / took / 1e3, cost);
    close(fd);
}

static void connects(const struct sockaddr_in *to, double seconds)
{
    uint64_t count = 0;
    struct mono start = mono_now();
    double took;
    while ((took = s_since(start)) < seconds) {
        reset(connected(to));
        count++;
    }
    printf("rate %.0f\n", (double)count / took);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void trips(const struct sockaddr_in *to, double seconds)
{
    uint32_t *took = (uint32_t *)mem_alloc_array(SAMPLES_MAX, sizeof *took);
    size_t count = 0;
    char data[MESSAGE] = {0};
    int fd = connected(to);
    struct mono start = mono_now();
    while (s_since(start) < seconds && count < SAMPLES_MAX) {
        struct mono sent = mono_now();
        need(send(fd, data, sizeof data, MSG_NOSIGNAL) == MESSAGE, "send");
        need(recv(fd, data, sizeof data, MSG_WAITALL) == MESSAGE, "recv");
        took[count++] = (uint32_t)(mono_since(mono_now(), sent) / 100);
    }
    qsort(took, count, sizeof *took, compare);
    printf("p50_us %.1f p99_us %.1f\n", took[count / 2] / 10.0, took[count * 99 / 100] / 10.0);
    free(took);
    reset(fd);
}

// ---- the balancer -------------------------------------------------------------------------------

static void balance(uint32_t services_count, uint32_t backends_count)
{
    struct err err = ERR_INIT;
    struct services services;
    struct ruleset wanted, none;
    bool changed;
    struct backend *backends = (struct backend *)mem_alloc_array(backends_count, sizeof *backends);
    for (uint32_t i = 0; i < backends_count; i++)
        backends[i] = (struct backend){BACKEND + i, 1};
    services_init(&services);
    for (uint32_t i = 0; i < services_count; i++)
        need(services_set(&services, VIP + i, backends, backends_count, &err) == 0, err.message);
    struct nft *nft = nft_open(NFT_NETNS_OWN, &err);
    need(nft != NULL, err.message);
    struct mono start = mono_now();
    ruleset_init(&wanted);
    ruleset_init(&none);
    ruleset_compile(&wanted, &services, RULESET_BY_ADDRESS);
    need(nft_bring(nft, &none, &wanted, &changed, &err) == 0, err.message);
    printf("ms %.1f\n", s_since(start) * 1000);
    ruleset_fini(&wanted);
    ruleset_fini(&none);
    services_fini(&services);
    nft_close(nft);
    free(backends);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (argc == 3 && str_equal(what, "serve")) {
        serve((unsigned)atoi(argv[2]));
    } else if (argc == 4 && str_equal(what, "balance")) {
        need(atoi(argv[2]) > 0 && atoi(argv[3]) > 0, "counts are at least 1");
        balance((uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
    } else if (argc >= 5) {
        unsigned port = (unsigned)atoi(argv[3]) + (str_equal(what, "stream") ? 1 : 0);
        struct sockaddr_in to = target(argv[2], port);
        double seconds = atof(argv[4]);
        if (str_equal(what, "stream"))
            stream(&to, seconds);
        else if (str_equal(what, "packets") && argc == 6)
            packets(&to, seconds, (size_t)atoi(argv[5]));
        else if (str_equal(what, "connects"))
            connects(&to, seconds);
        else if (str_equal(what, "trips"))
            trips(&to, seconds);
        else
            need(false, "another word was expected");
    } else {
        fprintf(stderr, "usage: see the beginning of tests/bench/net.c\n");
        return 2;
    }
    return 0;
}
