#include "agent/oci/stdio_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/oci/monitor_io.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define STDIO_MAGIC 0x73746469u
// conmon sends a stream byte and at most this much; we send it pieces it takes whole.
#define PACKET_BYTES (32u << 10)
#define PIECE_BYTES  (8u << 10)
// Packets taken in one turn, so that a chatty container leaves room for others.
#define PACKETS_A_TURN 16

struct stdio {
    unsigned magic;
    struct loop *loop;
    char *dir;
    int fd;
    uv_poll_t poll;
    int events; // what the poll waits for now
    struct buf input;
    bool end_input; // shut down once the input is written
    bool input_ended;
    bool paused;
    bool ended; // the peer is gone: nothing to wait for
    const struct stdio_events *handlers;
    void *owner;
};

static int connect_in(const char *dir, struct err *err)
{
    // The path below /proc/self/fd stays short whatever the folder's own length.
    int folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return err_set_errno(err, errno, "open %s", dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(str_format(address.sun_path, sizeof address.sun_path,
                     "/proc/self/fd/%d/" MONITOR_ATTACH_SOCKET, folder));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = 0;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        rc = errno == ECONNREFUSED || errno == ENOENT
                 ? err_set(err, ERR_UNAVAILABLE, "the container's conmon does not answer")
                 : err_set_errno(err, errno, "attach to %s", dir);
        if (fd >= 0)
            close(fd);
    }
    close(folder);
    return rc ? rc : fd;
}

static void watch(struct stdio *stdio);

static void stdio_end(struct stdio *stdio)
{
    stdio->ended = true;
    watch(stdio);
    if (stdio->handlers->ended)
        stdio->handlers->ended(stdio->owner);
}

// Gives what has come. False when the other side is gone, or the owner closed us on the way.
static bool read_packets(struct stdio *stdio)
{
    char packet[PACKET_BYTES + 1];
    for (int i = 0; i < PACKETS_A_TURN && !stdio->paused; i++) {
        ssize_t got = recv(stdio->fd, packet, sizeof packet, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0) {
            stdio_end(stdio);
            return false;
        }
        // Byte 0 is the stream: 2 output, 3 errors, as conmon numbers them.
        int stream = packet[0] == 3 ? 2 : 1;
        if (got > 1 && stdio->handlers->output)
            stdio->handlers->output(stdio->owner, stream, packet + 1, (size_t)got - 1);
        if (!stdio->handlers) // closed inside
            return false;
    }
    return true;
}

static void write_input(struct stdio *stdio)
{
    while (stdio->input.len) {
        size_t size = stdio->input.len < PIECE_BYTES ? stdio->input.len : PIECE_BYTES;
        ssize_t put = send(stdio->fd, stdio->input.data, size, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) {
            buf_clear(&stdio->input); // reading will tell that it is gone
            return;
        }
        buf_consume(&stdio->input, (size_t)put);
    }
    if (stdio->end_input && !stdio->input_ended) {
        shutdown(stdio->fd, SHUT_WR);
        stdio->input_ended = true;
    }
}

static void poll_ready(uv_poll_t *poll, int status, int events)
{
    struct stdio *stdio = CONTAINER_OF(poll, struct stdio, poll);
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    if (events & UV_WRITABLE)
        write_input(stdio);
    if ((events & UV_READABLE || status < 0) && !read_packets(stdio))
        return;
    watch(stdio);
}

static void watch(struct stdio *stdio)
{
    int wanted = 0;
    if (!stdio->ended && !stdio->paused)
        wanted |= UV_READABLE;
    if (!stdio->ended && (stdio->input.len || (stdio->end_input && !stdio->input_ended)))
        wanted |= UV_WRITABLE;
    if (wanted == stdio->events)
        return;
    stdio->events = wanted;
    if (wanted)
        CHECK(uv_poll_start(&stdio->poll, wanted, poll_ready) == 0);
    else
        uv_poll_stop(&stdio->poll);
}

int stdio_attach(struct loop *loop, const char *dir, const struct stdio_events *events, void *owner,
                 struct stdio **out, struct err *err)
{
    CHECK(dir && events);
    int fd = connect_in(dir, err);
    if (fd < 0)
        return fd;
    struct stdio *stdio = MEM_NEW(struct stdio);
    MAGIC_SET(stdio, STDIO_MAGIC);
    stdio->loop = loop;
    stdio->dir = str_dup(dir);
    stdio->fd = fd;
    stdio->handlers = events;
    stdio->owner = owner;
    buf_init(&stdio->input, STDIO_INPUT_BYTES);
    CHECK(uv_poll_init(&loop->uv, &stdio->poll, fd) == 0);
    watch(stdio);
    *out = stdio;
    return 0;
}

int stdio_write(struct stdio *stdio, const void *bytes, size_t size, struct err *err)
{
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    if (stdio->ended || stdio->end_input)
        return err_set(err, ERR_FAILED_PRECONDITION, "the container's input has ended");
    if (size > STDIO_INPUT_BYTES - stdio->input.len)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the container does not read its input");
    buf_put(&stdio->input, bytes, size);
    watch(stdio);
    return 0;
}

void stdio_close_stdin(struct stdio *stdio)
{
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    stdio->end_input = true;
    watch(stdio);
}

int stdio_resize(struct stdio *stdio, uint16_t rows, uint16_t columns, struct err *err)
{
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    return monitor_resize(stdio->dir, rows, columns, err);
}

void stdio_pause(struct stdio *stdio, bool pause)
{
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    stdio->paused = pause;
    watch(stdio);
}

static void poll_closed(uv_handle_t *handle)
{
    struct stdio *stdio = CONTAINER_OF((uv_poll_t *)handle, struct stdio, poll);
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    buf_fini(&stdio->input);
    free(stdio->dir);
    MAGIC_CLEAR(stdio);
    free(stdio);
}

void stdio_close(struct stdio *stdio)
{
    MAGIC_CHECK(stdio, STDIO_MAGIC);
    CHECK(stdio->handlers);
    stdio->handlers = NULL;
    uv_poll_stop(&stdio->poll);
    uv_close((uv_handle_t *)&stdio->poll, poll_closed);
    close(stdio->fd);
}
