// A closed loop of HTTP requests over a unix socket (or HOST:PORT): so many clients, each with one
// kept connection, each asking again as soon as it is answered.
//
//   bench_api [--anew] SOCKET CLIENTS COUNT METHOD TARGET [BODY]   %d in TARGET, BODY counts up
//
// COUNT is a number, or seconds to go on asking for ("20s"). With --anew each request is what a
// command of docker's makes: a connection of its own, a ping on it and then the question; its time
// is all of it.
//
// Prints one line: requests, failures (statuses of 400 and more), per second, p50 and p99 in
// microseconds, bytes of the last answer.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define CLIENTS_MAX   1024
#define REQUEST_BYTES 65536
#define HEAD_BYTES    16384
#define TIMED_MAX     4000000 // requests by time

struct client {
    char head[HEAD_BYTES];
    size_t head_bytes;
    bool in_body, chunked;
    bool pinging; // the ping before the question
    int64_t left; // bytes of the body, or of the present chunk with its end
    char line[32];
    size_t line_bytes; // of a chunk's size
    int status;
    uint64_t began_ns, bytes;
};

static struct client clients[CLIENTS_MAX];
static struct pollfd polls[CLIENTS_MAX];
static uint64_t *times_ns;
static size_t wanted, sent, done, failed;
static uint64_t until_ns; // 0: `wanted` requests are asked
static bool anew;
static const char *at_path;
static const char *method, *target, *body;

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

// The text with each %d as the request's number.
static void fill(char *out, size_t size, const char *text, size_t number)
{
    size_t used = 0;
    for (; *text && used + 32 < size; text++) {
        if (text[0] == '%' && text[1] == 'd') {
            used += (size_t)snprintf(out + used, size - used, "%zu", number);
            text++;
        } else {
            out[used++] = *text;
        }
    }
    out[used] = '\0';
}

static void send_all(int fd, const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t wrote = write(fd, bytes + at, size - at);
        if (wrote < 0) {
            perror("write");
            exit(1);
        }
        at += (size_t)wrote;
    }
}

static void ask(size_t i)
{
    static char path[REQUEST_BYTES], content[REQUEST_BYTES], request[2 * REQUEST_BYTES];
    struct client *client = &clients[i];
    fill(path, sizeof path, target, sent);
    fill(content, sizeof content, body, sent);
    int size = snprintf(request, sizeof request,
                        "%s %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        method, path, strlen(content), content);
    *client = (struct client){.began_ns = client->pinging ? client->began_ns : now_ns()};
    sent++;
    send_all(polls[i].fd, request, (size_t)size);
}

// Reads the head's end: status and how the body's end is known.
static void read_head(struct client *client)
{
    client->head[client->head_bytes] = '\0';
    client->status = atoi(client->head + strlen("HTTP/1.1 "));
    const char *length = strcasestr(client->head, "\r\nContent-Length:");
    client->chunked = strcasestr(client->head, "\r\nTransfer-Encoding: chunked") != NULL;
    client->left = length ? atoll(length + strlen("\r\nContent-Length:")) : 0;
    if (client->pinging) { // a HEAD: its answer has no body
        client->chunked = false;
        client->left = 0;
    }
    client->in_body = true;
}

// Takes bytes; true when the answer is whole.
static bool take(struct client *client, const char *bytes, size_t size)
{
    size_t at = 0;
    while (!client->in_body && at < size) {
        CHECK(client->head_bytes + 1 < HEAD_BYTES);
        client->head[client->head_bytes++] = bytes[at++];
        if (client->head_bytes >= 4 &&
            memcmp(client->head + client->head_bytes - 4, "\r\n\r\n", 4) == 0)
            read_head(client);
    }
    if (!client->in_body)
        return false;
    if (!client->chunked) {
        client->left -= (int64_t)(size - at);
        client->bytes += size - at;
        return client->left <= 0;
    }
    while (at < size) {
        if (client->left > 0) {
            size_t part = size - at < (size_t)client->left ? size - at : (size_t)client->left;
            client->left -= (int64_t)part;
            client->bytes += part;
            at += part;
            continue;
        }
        char c = bytes[at++];
        if (c != '\n') {
            CHECK(client->line_bytes + 1 < sizeof client->line);
            client->line[client->line_bytes++] = c;
            continue;
        }
        client->line[client->line_bytes] = '\0';
        client->line_bytes = 0;
        long chunk = strtol(client->line, NULL, 16);
        if (chunk == 0)
            return true; // its empty line comes with it
        client->left = chunk + 2;
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static int open_client(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET};
    str_copy(addr.sun_path, sizeof addr.sun_path, path);
    bool is_unix = path[0] == '/';
    char *colon = strrchr(addr.sun_path, ':');
    if (!is_unix && colon) {
        *colon = '\0';
        inet.sin_port = htons((uint16_t)atoi(colon + 1));
        inet_pton(AF_INET, addr.sun_path, &inet.sin_addr);
    }
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (!is_unix)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const struct sockaddr *at = is_unix ? (struct sockaddr *)&addr : (struct sockaddr *)&inet;
    if (fd < 0 || connect(fd, at, is_unix ? sizeof addr : sizeof inet)) {
        perror(path);
        exit(1);
    }
    return fd;
}

// The client's next question, or with --anew what comes before it.
static void begin(size_t i)
{
    static const char ping[] = "HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
    if (!anew && polls[i].fd > 0) {
        ask(i);
        return;
    }
    uint64_t began_ns = now_ns();
    if (polls[i].fd > 0)
        close(polls[i].fd);
    polls[i] = (struct pollfd){.fd = open_client(at_path), .events = POLLIN};
    if (!anew) {
        ask(i);
        return;
    }
    clients[i] = (struct client){.pinging = true, .began_ns = began_ns};
    send_all(polls[i].fd, ping, sizeof ping - 1);
}

static bool more_to_ask(void)
{
    return until_ns ? now_ns() < until_ns && sent < wanted : sent < wanted;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 20];
    anew = argc > 1 && str_equal(argv[1], "--anew");
    argc -= anew;
    argv += anew;
    if (argc < 6) {
        fprintf(stderr, "usage: bench_api [--anew] SOCKET CLIENTS COUNT METHOD TARGET [BODY]\n");
        return 2;
    }
    at_path = argv[1];
    size_t count = (size_t)atoi(argv[2]);
    wanted = (size_t)atoi(argv[3]);
    if (strchr(argv[3], 's')) {
        until_ns = now_ns() + wanted * 1000000000u;
        wanted = TIMED_MAX;
    }
    method = argv[4];
    target = argv[5];
    body = argc > 6 ? argv[6] : "";
    if (count == 0 || count > CLIENTS_MAX || wanted < count) {
        fprintf(stderr, "bench_api: from 1 to %d clients, and a request for each\n", CLIENTS_MAX);
        return 2;
    }
    times_ns = mem_alloc_array(wanted, sizeof *times_ns);
    uint64_t began = now_ns(), bytes = 0;
    for (size_t i = 0; i < count; i++)
        begin(i);
    size_t asking = count;
    while (asking > 0) {
        if (poll(polls, (nfds_t)count, 60000) <= 0) {
            fprintf(stderr, "bench_api: no answer within a minute\n");
            return 1;
        }
        for (size_t i = 0; i < count; i++) {
            if (!polls[i].revents)
                continue;
            ssize_t got = read(polls[i].fd, buffer, sizeof buffer);
            if (got <= 0) {
                fprintf(stderr, "bench_api: the connection ended\n");
                return 1;
            }
            if (!take(&clients[i], buffer, (size_t)got))
                continue;
            if (clients[i].pinging) {
                ask(i);
                continue;
            }
            times_ns[done++] = now_ns() - clients[i].began_ns;
            failed += clients[i].status >= 400;
            bytes = clients[i].bytes;
            if (more_to_ask()) {
                begin(i);
            } else {
                polls[i].fd = -1; // nothing more to ask: poll passes it over
                asking--;
            }
        }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    qsort(times_ns, done, sizeof *times_ns, by_value);
    printf("requests %zu failed %zu per_second %.0f p50_us %.0f p99_us %.0f bytes %zu\n", done,
           failed, (double)done / seconds, (double)times_ns[done / 2] / 1e3,
           (double)times_ns[done * 99 / 100] / 1e3, (size_t)bytes);
    free(times_ns);
    return 0;
}
