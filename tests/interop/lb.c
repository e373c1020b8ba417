// The pieces that lb.sh puts into network namespaces:
//
//   interop_lb serve PORT                  answers each TCP connection with a byte, echoes what
//                                          comes after
//   interop_lb set [VIP [BACKEND=WEIGHT...]]...   brings this namespace to these services
//   interop_lb count VIP[,VIP] PORT N      N connections (to each in turn), how many reached
//                                          which peer
//   interop_lb hold VIP PORT               one connection; echoes each line of stdin through it
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/nft_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define SERVE_FDS_MAX 64
#define IO_TIMEOUT_S  60

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static uint32_t address_of(const char *text)
{
    struct in_addr address;
    if (inet_pton(AF_INET, text, &address) != 1)
        die(text);
    return ntohl(address.s_addr);
}

// Answers with the last byte of the address that the connection arrived at.
static void greet(int fd)
{
    struct sockaddr_in own;
    socklen_t size = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        return;
    uint8_t last = (uint8_t)ntohl(own.sin_addr.s_addr);
    if (send(fd, &last, 1, MSG_NOSIGNAL) < 0)
        perror("send");
}

// False when the connection is at its end.
static bool echo(int fd)
{
    char bytes[256];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    return got > 0 && send(fd, bytes, (size_t)got, MSG_NOSIGNAL) == got;
}

static int serve(uint16_t port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct pollfd fds[SERVE_FDS_MAX] = {{.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN}};
    nfds_t count = 1;
    if (bind(fds[0].fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fds[0].fd, 128) < 0)
        die("listen");
    while (poll(fds, count, -1) > 0) {
        for (nfds_t i = count - 1; i > 0; i--) {
            if (fds[i].revents && !echo(fds[i].fd)) {
                close(fds[i].fd);
                fds[i] = fds[--count];
            }
        }
        if (!(fds[0].revents & POLLIN) || count == SERVE_FDS_MAX)
            continue;
        int fd = accept(fds[0].fd, NULL, NULL);
        if (fd < 0)
            continue;
        greet(fd);
        fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    return 1;
}

// Reads what is there, and brings it to the services.
static int bring(const struct services *services)
{
    struct err err = ERR_INIT;
    struct ruleset actual, wanted;
    bool changed;
    ruleset_init(&actual);
    ruleset_init(&wanted);
    ruleset_compile(&wanted, services, RULESET_BY_ADDRESS);
    struct nft *nft = nft_open(NFT_NETNS_OWN, &err);
    int rc = nft ? nft_read(nft, &actual, &err) : -1;
    if (rc == 0)
        rc = nft_bring(nft, &actual, &wanted, &changed, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.message);
    nft_close(nft);
    ruleset_fini(&actual);
    ruleset_fini(&wanted);
    return rc < 0;
}

static int set(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct services services;
    services_init(&services);
    for (int i = 0; i < argc; i++) {
        struct backend backends[16];
        size_t count = 0;
        uint32_t vip = address_of(argv[i]);
        while (i + 1 < argc && strchr(argv[i + 1], '=') && count < COUNT_OF(backends)) {
            char *weight = strchr(argv[++i], '=');
            *weight++ = '\0';
            backends[count++] = (struct backend){address_of(argv[i]), (uint32_t)atoi(weight)};
        }
        if (services_set(&services, vip, backends, count, &err) < 0) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
    }
    int rc = bring(&services);
    services_fini(&services);
    return rc;
}

// A connection and the byte it is greeted with. -1 with errno when there is none.
static int dial(uint32_t vip, uint16_t port, uint8_t *who)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(vip)};
    struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && recv(fd, who, 1, 0) == 1)
        return fd;
    int errnum = errno;
    close(fd);
    errno = errnum;
    return -1;
}

static int count(char *vips, uint16_t port, int n)
{
    unsigned seen[256] = {0};
    char *second = strchr(vips, ',');
    if (second)
        *second++ = '\0';
    uint32_t to[] = {address_of(vips), address_of(second ? second : vips)};
    for (int i = 0; i < n; i++) {
        uint8_t who;
        struct linger reset = {.l_onoff = 1};
        int fd = dial(to[i % 2], port, &who);
        if (fd < 0)
            die("connect");
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        seen[who]++;
    }
    for (int who = 0; who < 256; who++)
        if (seen[who])
            printf("%d %u\n", who, seen[who]);
    return 0;
}

static int hold(uint32_t vip, uint16_t port)
{
    char line[128], back[128];
    uint8_t who;
    int fd = dial(vip, port, &who);
    if (fd < 0)
        die("connect");
    printf("%d\n", who);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        ssize_t size = (ssize_t)strlen(line);
        if (send(fd, line, (size_t)size, MSG_NOSIGNAL) != size ||
            recv(fd, back, (size_t)size, MSG_WAITALL) != size)
            die("echo");
        printf("%.*s", (int)size, back);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (str_equal(verb, "serve") && argc == 3)
        return serve((uint16_t)atoi(argv[2]));
    if (str_equal(verb, "set"))
        return set(argc - 2, argv + 2);
    if (str_equal(verb, "count") && argc == 5)
        return count(argv[2], (uint16_t)atoi(argv[3]), atoi(argv[4]));
    if (str_equal(verb, "hold") && argc == 4)
        return hold(address_of(argv[2]), (uint16_t)atoi(argv[3]));
    fprintf(stderr, "usage: interop_lb serve|set|count|hold ...\n");
    return 2;
}
