#include "proto/base/channel_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/str.h"

#define CHANNEL_MAGIC 0x43484e4cu
// Messages taken per wake-up, so that a busy channel does not starve the rest of the loop.
#define RECEIVE_BATCH    32
#define PACKET_BYTES_MAX (CHANNEL_HEADER_BYTES + CHANNEL_PAYLOAD_BYTES_MAX)
// The kernel keeps this much for us, a few of the largest messages.
#define SOCKET_BUFFER_BYTES (4 * PACKET_BYTES_MAX)

// A message that waits.
struct queued {
    struct list link;
    size_t fds_count;
    int fds[CHANNEL_FDS_MAX]; // ours
    size_t bytes;
    uint8_t packet[]; // header and payload
};

struct channel {
    unsigned magic;
    uv_poll_t poll;
    int fd;
    const struct channel_rules *rules;
    const struct channel_handler *handler;
    void *owner;
    struct list queue; // struct queued, oldest first
    size_t queue_count;
    size_t queue_bytes;
    struct err why;
    bool ended;  // the handler was told, or is about to be
    bool closed; // channel_close was called
    struct loop_later tell;
    uint8_t packet[PACKET_BYTES_MAX]; // the one being received
};

int channel_pair(int fds[2], struct err *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds))
        return err_set_errno(err, errno, "make a socket pair");
    int size = SOCKET_BUFFER_BYTES;
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return 0;
}

static void close_fds(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void queued_free(struct channel *channel, struct queued *item)
{
    list_remove(&item->link);
    channel->queue_count--;
    channel->queue_bytes -= item->bytes;
    close_fds(item->fds, item->fds_count);
    free(item);
}

static void drop_queue(struct channel *channel)
{
    while (!list_empty(&channel->queue))
        queued_free(channel, LIST_ENTRY(channel->queue.next, struct queued, link));
}

// ---- the end ------------------------------------------------------------------------------------

static void tell_end(struct loop_later *later)
{
    struct channel *channel = CONTAINER_OF(later, struct channel, tell);
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    if (!channel->closed)
        channel->handler->on_closed(channel->owner, &channel->why);
}

// The handler hears of it at the end of this turn, outside of whatever call found out.
static void end(struct channel *channel, const struct err *why)
{
    if (channel->ended)
        return;
    channel->ended = true;
    if (why)
        channel->why = *why;
    uv_poll_stop(&channel->poll);
    drop_queue(channel);
    loop_later_ask(&channel->tell);
}

static void end_errno(struct channel *channel, int errnum, const char *what)
{
    struct err why = ERR_INIT;
    // The other process went away: that is an end like any other.
    if (errnum != EPIPE && errnum != ECONNRESET)
        err_set_errno(&why, errnum, "%s", what);
    end(channel, &why);
}

// ---- receiving ----------------------------------------------------------------------------------

static size_t take_fds(struct msghdr *header, int fds[CHANNEL_FDS_MAX])
{
    size_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        CHECK(count + here <= CHANNEL_FDS_MAX); // the control buffer holds no more
        memcpy(fds + count, CMSG_DATA(part), here * sizeof(int));
        count += here;
    }
    return count;
}

static void handle_packet(struct channel *channel, size_t size, int *fds, size_t fds_count)
{
    struct channel_frame frame;
    struct err why = ERR_INIT;
    if (channel_frame_parse(channel->packet, size, fds_count, channel->rules, &frame, &why)) {
        end(channel, &why);
        return;
    }
    struct channel_message message = {
        .type = frame.type,
        .payload = frame.payload,
        .payload_bytes = frame.payload_bytes,
        .fds = fds,
        .fds_count = fds_count,
    };
    channel->handler->on_message(channel->owner, &message);
}

// True when there may be more to receive.
static bool receive_one(struct channel *channel)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec part = {.iov_base = channel->packet, .iov_len = sizeof channel->packet};
    struct msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    ssize_t got = recvmsg(channel->fd, &header, MSG_CMSG_CLOEXEC);
    if (got < 0) {
        if (errno == EINTR)
            return true;
        if (errno != EAGAIN)
            end_errno(channel, errno, "receive from the other process");
        return false;
    }
    int fds[CHANNEL_FDS_MAX];
    size_t fds_count = take_fds(&header, fds);
    if (got == 0 && fds_count == 0) {
        end(channel, NULL);
    } else if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        struct err why = ERR_INIT;
        err_set(&why, ERR_OUT_OF_RANGE, "a message beyond the limits of the channel");
        end(channel, &why);
    } else {
        handle_packet(channel, (size_t)got, fds, fds_count);
    }
    close_fds(fds, fds_count);
    return !channel->ended && !channel->closed;
}

// ---- sending ------------------------------------------------------------------------------------

// True when the first message left.
static bool send_one(struct channel *channel)
{
    struct queued *item = LIST_ENTRY(channel->queue.next, struct queued, link);
    union {
        char bytes[CMSG_SPACE(sizeof(int) * CHANNEL_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {.iov_base = item->packet, .iov_len = item->bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (item->fds_count) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * item->fds_count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * item->fds_count);
        memcpy(CMSG_DATA(rights), item->fds, sizeof(int) * item->fds_count);
    }
    ssize_t sent;
    do
        sent = sendmsg(channel->fd, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    // ETOOMANYREFS: too many descriptors are on their way; they get fewer as the other side reads.
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS))
        return false;
    if (sent < 0) {
        end_errno(channel, errno, "send to the other process");
        return false;
    }
    CHECK((size_t)sent == item->bytes);
    queued_free(channel, item);
    return true;
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct channel *channel)
{
    int events = UV_READABLE | (list_empty(&channel->queue) ? 0 : UV_WRITABLE);
    int result = uv_poll_start(&channel->poll, events, on_ready);
    CHECK(result == 0);
}

static void flush(struct channel *channel)
{
    while (!channel->ended && !list_empty(&channel->queue) && send_one(channel))
        continue;
    if (!channel->ended)
        watch(channel);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct channel *channel = CONTAINER_OF(poll, struct channel, poll);
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    if (status < 0) {
        end_errno(channel, -status, "wait for the other process");
        return;
    }
    if (events & UV_READABLE)
        for (int i = 0; i < RECEIVE_BATCH && receive_one(channel); i++)
            continue;
    if ((events & UV_WRITABLE) && !channel->ended && !channel->closed)
        flush(channel);
}

bool channel_room(const struct channel *channel, size_t payload_bytes)
{
    return !channel->ended && channel->queue_count < CHANNEL_QUEUE_MESSAGES_MAX &&
           channel->queue_bytes + CHANNEL_HEADER_BYTES + payload_bytes <= CHANNEL_QUEUE_BYTES_MAX;
}

bool channel_flushed(const struct channel *channel)
{
    return list_empty(&channel->queue);
}

int channel_send(struct channel *channel, uint16_t type, const void *payload, size_t payload_bytes,
                 const int *fds, size_t fds_count, struct err *err)
{
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    CHECK(!channel->closed);
    if (channel->ended)
        return err_set(err, ERR_UNAVAILABLE, "the other process has ended");
    if (!channel_room(channel, payload_bytes))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%zu messages wait for the other process",
                       channel->queue_count);
    struct buf packet;
    buf_init(&packet, PACKET_BYTES_MAX);
    channel_frame_pack(&packet, type, fds_count, payload, payload_bytes);
    CHECK(buf_ok(&packet));
    struct queued *item = mem_alloc(sizeof *item + packet.len);
    item->bytes = packet.len;
    memcpy(item->packet, packet.data, packet.len);
    buf_fini(&packet);
    for (; item->fds_count < fds_count; item->fds_count++) {
        int copy = fcntl(fds[item->fds_count], F_DUPFD_CLOEXEC, 3);
        if (copy < 0) {
            int result = err_set_errno(err, errno, "duplicate a descriptor to send");
            close_fds(item->fds, item->fds_count);
            free(item);
            return result;
        }
        item->fds[item->fds_count] = copy;
    }
    list_push_back(&channel->queue, &item->link);
    channel->queue_count++;
    channel->queue_bytes += item->bytes;
    flush(channel);
    return 0;
}

// ---- life ---------------------------------------------------------------------------------------

int channel_open(struct loop *loop, int fd, const struct channel_rules *rules,
                 const struct channel_handler *handler, void *owner, struct channel **out,
                 struct err *err)
{
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET) {
        close(fd);
        return err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is no channel", fd);
    }
    struct channel *channel = MEM_NEW(struct channel);
    MAGIC_SET(channel, CHANNEL_MAGIC);
    channel->fd = fd;
    channel->rules = rules;
    channel->handler = handler;
    channel->owner = owner;
    list_init(&channel->queue);
    loop_later_init(&channel->tell, loop, tell_end);
    int result = uv_poll_init(&loop->uv, &channel->poll, fd);
    if (result < 0) {
        close(fd);
        free(channel);
        return err_set_errno(err, result, "watch the channel");
    }
    watch(channel);
    *out = channel;
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct channel *channel = CONTAINER_OF((uv_poll_t *)handle, struct channel, poll);
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    MAGIC_CLEAR(channel);
    free(channel);
}

void channel_close(struct channel *channel)
{
    if (!channel)
        return;
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    CHECK(!channel->closed);
    channel->closed = true;
    channel->ended = true;
    loop_later_cancel(&channel->tell);
    drop_queue(channel);
    uv_poll_stop(&channel->poll);
    uv_close((uv_handle_t *)&channel->poll, on_handle_closed);
    close(channel->fd);
}
