// Asks a name server as fast as it answers: each client has one socket and one open question.
//
//   bench_dns IP PORT NAME CLIENTS SECONDS   prints: rate N p50_us N p99_us N lost N
//
// One thread serves all clients, so that what is measured is the server and not the load's own
// switching between threads.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/dns/dns_msg.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define CLIENTS_MAX 1000
#define SAMPLES_MAX (8u * 1024u * 1024u)
#define LOST_US     500000 // an answer that takes longer is lost, and the question asked again

struct client {
    int fd;
    uint16_t id;
    int64_t asked_us;
};

static struct buf question;

static int64_t now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void make_question(const char *text)
{
    struct dns_name name;
    int result = dns_name_parse(text, &name, NULL);
    CHECK(result == 0);
    buf_init(&question, DNS_UDP_BYTES);
    const uint16_t header[] = {0, 0x0100, 1, 0, 0, 0}; // RD, one question
    for (size_t i = 0; i < COUNT_OF(header); i++)
        buf_put_u16be(&question, header[i]);
    buf_put(&question, name.wire, name.size);
    buf_put_u16be(&question, DNS_TYPE_A);
    buf_put_u16be(&question, DNS_CLASS_IN);
}

static void ask(struct client *client)
{
    client->id++;
    question.data[0] = (uint8_t)(client->id >> 8);
    question.data[1] = (uint8_t)client->id;
    client->asked_us = now_us();
    ssize_t sent = send(client->fd, question.data, question.len, 0);
    (void)sent; // shows as lost
}

// The answer to the open question, with an address in it.
static bool answered(const struct client *client, const uint8_t *bytes, ssize_t size)
{
    struct dns_msg got;
    return size > 0 && dns_msg_parse(bytes, (size_t)size, &got, NULL) == 0 && got.response &&
           got.id == client->id && got.rcode == DNS_RCODE_NOERROR && got.answers_count > 0;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS_MAX];
    if (argc != 6) {
        fprintf(stderr, "usage: bench_dns IP PORT NAME CLIENTS SECONDS\n");
        return 2;
    }
    size_t count = strtoul(argv[4], NULL, 10);
    CHECK(count >= 1);
    CHECK(count <= CLIENTS_MAX);
    make_question(argv[3]);
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10))};
    inet_pton(AF_INET, argv[1], &addr.sin_addr);
    uint32_t *samples = mem_alloc_array(SAMPLES_MAX, sizeof *samples);
    size_t samples_count = 0, lost = 0;
    int epoll = epoll_create1(0);
    for (size_t i = 0; i < count; i++) {
        clients[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (clients[i].fd < 0 || connect(clients[i].fd, (struct sockaddr *)&addr, sizeof addr) ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event)) {
            perror("socket");
            return 1;
        }
    }
    int64_t start = now_us();
    int64_t end = start + (int64_t)(strtod(argv[5], NULL) * 1e6), swept = start;
    for (size_t i = 0; i < count; i++)
        ask(&clients[i]);
    while (now_us() < end && samples_count < SAMPLES_MAX) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, COUNT_OF(events), 100);
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            uint8_t bytes[DNS_UDP_BYTES];
            ssize_t got = recv(client->fd, bytes, sizeof bytes, 0);
            if (!answered(client, bytes, got))
                continue;
            if (samples_count < SAMPLES_MAX)
                samples[samples_count++] = (uint32_t)(now_us() - client->asked_us);
            ask(client);
        }
        int64_t now = now_us();
        if (now - swept < LOST_US / 5)
            continue;
        swept = now;
        for (size_t i = 0; i < count; i++)
            if (now - clients[i].asked_us > LOST_US) {
                lost++;
                ask(&clients[i]);
            }
    }
    double seconds = (double)(now_us() - start) / 1e6;
    if (samples_count == 0) {
        fprintf(stderr, "no answer\n");
        return 1;
    }
    qsort(samples, samples_count, sizeof *samples, compare);
    printf("rate %.0f p50_us %u p99_us %u lost %zu\n", (double)samples_count / seconds,
           samples[samples_count / 2], samples[samples_count * 99 / 100], lost);
    free(samples);
    buf_fini(&question);
    return 0;
}
