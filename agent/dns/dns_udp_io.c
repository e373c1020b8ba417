// A sandbox's side towards questions over UDP: taken and answered in batches.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dns/dns_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define UDP_MAGIC 0x444e5355u
// Batches per wake-up, so that one sandbox's flood does not starve the others.
#define BATCHES 4

struct dns_udp {
    unsigned magic;
    struct dns_sandbox *sandbox;
    uv_poll_t poll;
    int fd;
};

static void set_message(struct mmsghdr *message, struct iovec *part, struct sockaddr_in *peer)
{
    *message = (struct mmsghdr){
        .msg_hdr = {.msg_name = peer,
                    .msg_namelen = sizeof *peer,
                    .msg_iov = part,
                    .msg_iovlen = 1},
    };
}

static void send_batch(struct dns_udp *udp, struct mmsghdr *messages, unsigned count)
{
    unsigned at = 0;
    while (at < count) {
        int sent = sendmmsg(udp->fd, messages + at, count - at, 0);
        if (sent < 0 && errno == EINTR)
            continue;
        // What the kernel does not take is lost, as anything over UDP may be; but one asker whose
        // address cannot be reached must not cost the others their replies.
        if (sent < 0) {
            udp->sandbox->server->counters.dropped++;
            sent = 1;
        }
        at += (unsigned)sent;
    }
}

// True when there may be more.
static bool take_batch(struct dns_udp *udp)
{
    struct dns_server *server = udp->sandbox->server;
    struct mmsghdr questions[DNS_BATCH], replies[DNS_BATCH];
    struct iovec question_parts[DNS_BATCH], reply_parts[DNS_BATCH];
    struct sockaddr_in peers[DNS_BATCH];
    unsigned replies_count = 0;
    for (size_t i = 0; i < DNS_BATCH; i++) {
        question_parts[i] = (struct iovec){server->questions[i], sizeof server->questions[i]};
        set_message(&questions[i], &question_parts[i], &peers[i]);
    }
    int got = recvmmsg(udp->fd, questions, DNS_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        struct buf *reply = &server->replies[replies_count];
        struct dns_origin origin = {.peer = peers[i]};
        // One that is cut is not whole, and reads as such.
        dns_question(udp->sandbox, server->questions[i], questions[i].msg_len, &origin, reply);
        if (reply->len == 0)
            continue;
        reply_parts[replies_count] = (struct iovec){reply->data, reply->len};
        set_message(&replies[replies_count], &reply_parts[replies_count], &peers[i]);
        replies_count++;
    }
    send_batch(udp, replies, replies_count);
    return got == DNS_BATCH;
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void watch(struct dns_udp *udp)
{
    int result = uv_poll_start(&udp->poll, UV_READABLE, on_readable);
    CHECK(result == 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct dns_udp *udp = CONTAINER_OF(poll, struct dns_udp, poll);
    MAGIC_CHECK(udp, UDP_MAGIC);
    (void)events;
    // An error is of one message and means nothing to the others, but libuv stops at it.
    if (status < 0) {
        int error;
        socklen_t size = sizeof error;
        getsockopt(udp->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        watch(udp);
    }
    for (int i = 0; i < BATCHES && take_batch(udp); i++)
        continue;
}

void dns_udp_reply(struct dns_udp *udp, const struct sockaddr_in *peer, const struct buf *reply)
{
    MAGIC_CHECK(udp, UDP_MAGIC);
    struct sockaddr_in to = *peer;
    struct iovec part = {reply->data, reply->len};
    struct mmsghdr message;
    set_message(&message, &part, &to);
    send_batch(udp, &message, 1);
}

struct dns_udp *dns_udp_open(struct dns_sandbox *sandbox, int fd, struct err *err)
{
    int type = 0;
    socklen_t size = sizeof type;
    struct dns_udp *udp = MEM_NEW(struct dns_udp);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_DGRAM ||
        uv_poll_init(&sandbox->server->loop->uv, &udp->poll, fd) < 0) {
        err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is no UDP socket", fd);
        close(fd);
        free(udp);
        return NULL;
    }
    MAGIC_SET(udp, UDP_MAGIC);
    udp->sandbox = sandbox;
    udp->fd = fd;
    watch(udp);
    return udp;
}

static void on_closed(uv_handle_t *handle)
{
    struct dns_udp *udp = CONTAINER_OF((uv_poll_t *)handle, struct dns_udp, poll);
    MAGIC_CHECK(udp, UDP_MAGIC);
    MAGIC_CLEAR(udp);
    free(udp);
}

void dns_udp_close(struct dns_udp *udp)
{
    if (!udp)
        return;
    MAGIC_CHECK(udp, UDP_MAGIC);
    uv_close((uv_handle_t *)&udp->poll, on_closed);
    close(udp->fd);
}
