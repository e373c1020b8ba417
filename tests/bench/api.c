// A closed loop of HTTP requests over a unix socket (or HOST:PORT): so many clients, each with one
// kept connection, each asking again as soon as it is answered.
//
//   bench_api SOCKET CLIENTS COUNT METHOD TARGET [BODY]     %d in TARGET and BODY counts up
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

struct client {
    char head[HEAD_BYTES];
    size_t head_bytes;
    bool in_body, chunked;
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
    *client = (struct client){.began_ns = now_ns()};
    sent++;
    for (ssize_t at = 0; at < size;) {
        ssize_t wrote = write(polls[i].fd, request + at, (size_t)(size - at));
        if (wrote < 0) {
            perror("write");
            exit(1);
        }
        at += wrote;
    }
}

// Reads the head's end: status and how the body's end is known.
static void read_head(struct client *client)
{
    client->head[client->head_bytes] = '\0';
    client->status = atoi(client->head + strlen("HTTP/1.1 "));
    const char *length = strcasestr(client->head, "\r\nContent-Length:");
    client->chunked = strcasestr(client->head, "\r\nTransfer-Encoding: chunked") != NULL;
    client->left = length ? atoll(length + strlen("\r\nContent-Length:")) : 0;
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

int main(int argc, char **argv)
{
    static char buffer[1 << 20];
    if (argc < 6) {
        fprintf(stderr, "usage: bench_api SOCKET CLIENTS COUNT METHOD TARGET [BODY]\n");
        return 2;
    }
    size_t count = (size_t)atoi(argv[2]);
    wanted = (size_t)atoi(argv[3]);
    method = argv[4];
    target = argv[5];
    body = argc > 6 ? argv[6] : "";
    if (count == 0 || count > CLIENTS_MAX || wanted < count) {
        fprintf(stderr, "bench_api: from 1 to %d clients, and a request for each\n", CLIENTS_MAX);
        return 2;
    }
    times_ns = mem_alloc_array(wanted, sizeof *times_ns);
    uint64_t began = now_ns(), bytes = 0;
    for (size_t i = 0; i < count; i++) {
        polls[i] = (struct pollfd){.fd = open_client(argv[1]), .events = POLLIN};
        ask(i);
    }
    while (done < wanted) {
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
            times_ns[done++] = now_ns() - clients[i].began_ns;
            failed += clients[i].status >= 400;
            bytes = clients[i].bytes;
            if (sent < wanted)
                ask(i);
            else
                polls[i].fd = -1; // nothing more to ask: poll passes it over
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
