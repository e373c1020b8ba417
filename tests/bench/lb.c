// Bench: the balancer's table in a network namespace of its own (needs root): a full load, single
// changes, reading back, and first packets to a virtual address against direct ones.
//
//   bench_lb [services [backends per service [changes]]]
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/nft_io.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define BACKEND     0x7f020000u // loopback answers all of 127.0.0.0/8
#define VIP         0x0a000000u
#define PORT        8080
#define CONNECTIONS 20000

static struct services services;
static struct ruleset actual;
static struct nft *nft;

static double ms_since(struct mono start)
{
    return (double)mono_since(mono_now(), start) * 1000 / (double)NS_PER_S;
}

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void bring(void)
{
    struct err err = ERR_INIT;
    struct ruleset wanted;
    bool changed;
    ruleset_init(&wanted);
    ruleset_compile(&wanted, &services, RULESET_BY_ADDRESS);
    if (nft_bring(nft, &actual, &wanted, &changed, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

static void set(uint32_t vip, uint32_t count)
{
    struct err err = ERR_INIT;
    struct backend *backends = (struct backend *)mem_alloc_array(count, sizeof *backends);
    for (uint32_t i = 0; i < count; i++)
        backends[i] = (struct backend){BACKEND + 1 + i, 1};
    need(services_set(&services, vip, backends, count, &err) == 0, err.message);
    free(backends);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void bench_changes(size_t changes, uint32_t services_count, uint32_t backends_count)
{
    double *took = (double *)mem_alloc_array(changes, sizeof *took);
    double *rested = (double *)mem_alloc_array(changes, sizeof *rested);
    for (size_t i = 0; i < changes; i++) {
        struct err err = ERR_INIT;
        uint32_t vip = VIP + (uint32_t)(i / 2 % services_count) + 1;
        uint32_t weight = i % 2;
        need(services_set_weight(&services, vip, BACKEND + backends_count, weight, &err) == 0,
             err.message);
        struct mono start = mono_now();
        bring();
        took[i] = ms_since(start);
        nft_rest(nft);
        rested[i] = ms_since(start);
    }
    qsort(took, changes, sizeof *took, compare);
    qsort(rested, changes, sizeof *rested, compare);
    printf("one change       p50 %.2f ms  p99 %.2f ms  (%zu drains and returns)\n",
           took[changes / 2], took[changes * 99 / 100], changes);
    printf("and rested       p50 %.2f ms  p99 %.2f ms\n", rested[changes / 2],
           rested[changes * 99 / 100]);
    free(took);
    free(rested);
}

// Brings up loopback with an address that has the virtual ones in its subnet, so that there is a
// route for a first packet.
static void loopback_up(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(request.ifr_name, "lo", 3);
    need(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0, "loopback");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0affffffu - 1)};
    memcpy(request.ifr_name, "lo:1", 5);
    memcpy(&request.ifr_addr, &address, sizeof address);
    need(ioctl(fd, SIOCSIFADDR, &request) == 0, "address");
    close(fd);
}

static double connections_per_s(uint32_t address, int listener)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(address)};
    struct linger reset = {.l_onoff = 1};
    struct mono start = mono_now();
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        need(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "connect");
        int peer = accept(listener, NULL, NULL);
        need(peer >= 0, "accept");
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); // no TIME_WAIT
        close(fd);
        close(peer);
    }
    return CONNECTIONS * 1000 / ms_since(start);
}

// Rounds take turns, and each side keeps its best one: the machine is shared.
static void bench_connections(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 128) == 0,
         "listen");
    double direct = 0, vip = 0;
    for (int round = 0; round < 5; round++) {
        double rate = connections_per_s(BACKEND + 1, listener);
        direct = rate > direct ? rate : direct;
        rate = connections_per_s(VIP + 1, listener);
        vip = rate > vip ? rate : vip;
    }
    printf("connections      direct %.0f/s  by service %.0f/s  ratio %.2f\n", direct, vip,
           vip / direct);
    close(listener);
}

int main(int argc, char **argv)
{
    uint32_t services_count = argc > 1 ? (uint32_t)atoi(argv[1]) : 10000;
    uint32_t backends_count = argc > 2 ? (uint32_t)atoi(argv[2]) : 3;
    size_t changes = argc > 3 ? (size_t)atoi(argv[3]) : 200;
    need(services_count > 0 && backends_count > 0 && changes > 0, "counts are at least 1");
    need(unshare(CLONE_NEWNET) == 0, "a network namespace");
    loopback_up();
    struct err err = ERR_INIT;
    nft = nft_open(NFT_NETNS_OWN, &err);
    need(nft != NULL, err.message);
    services_init(&services);
    ruleset_init(&actual);
    for (uint32_t i = 1; i <= services_count; i++)
        set(VIP + i, backends_count);

    printf("%u services, %u backends each\n", services_count, backends_count);
    struct mono start = mono_now();
    bring();
    printf("full load        %.0f ms\n", ms_since(start));
    bench_changes(changes, services_count, backends_count);

    struct ruleset listed;
    ruleset_init(&listed);
    start = mono_now();
    need(nft_read(nft, &listed, &err) == 0, err.message);
    printf("read back        %.0f ms\n", ms_since(start));
    need(listed.sound && listed.slots_count == actual.slots_count, "the listing differs");
    ruleset_fini(&listed);
    bench_connections();
    nft_close(nft);
    ruleset_fini(&actual);
    services_fini(&services);
    return 0;
}
