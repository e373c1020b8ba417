#include "cmd/skep/hijack_io.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/skep/demux.h"
#include "cmd/skep/interrupt_io.h"
#include "proto/base/str.h"

#define INPUT_BYTES 32768

struct hijack {
    struct cli *cli;
    struct conn *conn;
    const struct hijack_options *options;
    struct demux demux;
    unsigned char keys[DETACH_KEYS_MAX];
    int keys_count;
    int keys_hit; // of the sequence, typed so far
    bool closed, detached, broken;
    struct interrupt interrupt;
    uv_poll_t poll;
    uv_idle_t idle; // for files, which cannot be polled
    bool polls, reads;
    unsigned open;
};

int hijack_keys(const char *text, unsigned char keys[DETACH_KEYS_MAX], struct err *err)
{
    int count = 0;
    struct str_part part;
    for (const char *rest = text; str_split(&rest, ',', &part);) {
        unsigned char key = 0;
        if (part.len == 1)
            key = (unsigned char)*part.at;
        else if (part.len == 6 && strncmp(part.at, "ctrl-", 5) == 0 && part.at[5] >= '@')
            key = (unsigned char)(part.at[5] & 0x1f);
        if (count == DETACH_KEYS_MAX || (key == 0 && !str_part_is(part, "ctrl-@")))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid detach keys (%s)", text);
        keys[count++] = key;
    }
    return count;
}

// ---- from the container -------------------------------------------------------------------------

static void take_piece(void *owner, int stream, const uint8_t *bytes, size_t size)
{
    struct hijack *hijack = owner;
    if (stream == 2 || stream == 3)
        warn_bytes(hijack->cli, bytes, size);
    else
        say_bytes(hijack->cli, bytes, size);
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    struct hijack *hijack = owner;
    if (hijack->options->tty)
        take_piece(hijack, 1, bytes, size);
    else if (demux_feed(&hijack->demux, bytes, size, take_piece, hijack, &hijack->cli->error) < 0) {
        hijack->broken = true;
        conn_close(conn, NULL);
    }
    say_flush(hijack->cli);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    struct hijack *hijack = owner;
    hijack->closed = true;
    hijack->conn = NULL;
}

// The container's end is the end: nobody reads our input any more.
static void on_end(struct conn *conn, void *owner)
{
    (void)owner;
    conn_shutdown(conn);
}

// ---- from the terminal --------------------------------------------------------------------------

static void stop_reading(struct hijack *hijack)
{
    if (!hijack->reads)
        return;
    hijack->reads = false;
    if (hijack->polls)
        uv_poll_stop(&hijack->poll);
    else
        uv_idle_stop(&hijack->idle);
}

// Sends what was typed, but for the detach keys.
static void send_input(struct hijack *hijack, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (hijack->options->tty && hijack->keys_count &&
            bytes[i] == hijack->keys[hijack->keys_hit]) {
            if (++hijack->keys_hit == hijack->keys_count) {
                hijack->detached = true;
                return;
            }
            continue;
        }
        if (hijack->keys_hit) {
            conn_write(hijack->conn, hijack->keys, (size_t)hijack->keys_hit);
            hijack->keys_hit = 0;
        }
        conn_write(hijack->conn, bytes + i, 1);
    }
}

static void read_input(struct hijack *hijack)
{
    unsigned char bytes[INPUT_BYTES];
    if (!hijack->conn || conn_closing(hijack->conn)) {
        stop_reading(hijack);
        return;
    }
    if (conn_room(hijack->conn) == 0)
        return;
    ssize_t got = read(0, bytes, sizeof bytes);
    if (got > 0 && hijack->options->tty) {
        send_input(hijack, bytes, (size_t)got);
    } else if (got > 0) {
        conn_write(hijack->conn, bytes, (size_t)got);
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        stop_reading(hijack);
        conn_end(hijack->conn);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    read_input(poll->data);
}

static void on_idle(uv_idle_t *idle)
{
    read_input(idle->data);
}

static void start_reading(struct hijack *hijack)
{
    uv_loop_t *loop = &cli_loop(hijack->cli)->uv;
    hijack->reads = true;
    hijack->polls = uv_poll_init(loop, &hijack->poll, 0) == 0;
    hijack->poll.data = hijack->idle.data = hijack;
    if (hijack->polls) {
        uv_poll_start(&hijack->poll, UV_READABLE | UV_DISCONNECT, on_readable);
    } else {
        uv_idle_init(loop, &hijack->idle);
        hijack->idle.data = hijack;
        uv_idle_start(&hijack->idle, on_idle);
    }
    hijack->open++;
}

// ---- all of it ----------------------------------------------------------------------------------

static void on_handle_closed(uv_handle_t *handle)
{
    struct hijack *hijack = handle->data;
    hijack->open--;
}

static bool all_closed(void *context)
{
    const struct hijack *hijack = context;
    return hijack->open == 0 && hijack->closed;
}

static bool something_happened(void *context)
{
    const struct hijack *hijack = context;
    return hijack->closed || hijack->detached || hijack->interrupt.hit || hijack->interrupt.resized;
}

static void tell_size(struct hijack *hijack)
{
    struct cli *cli = hijack->cli;
    hijack->interrupt.resized = false;
    if (hijack->options->tty && hijack->options->resize && cli->terminal.out)
        api(cli, "POST",
            textf(cli, "%s?h=%zu&w=%zu", hijack->options->resize, cli->terminal.rows,
                  cli->terminal.columns),
            NULL);
}

static void pass_signal(struct hijack *hijack)
{
    struct cli *cli = hijack->cli;
    hijack->interrupt.hit = false;
    if (hijack->options->kill)
        api(cli, "POST",
            textf(cli, "%s?signal=%s", hijack->options->kill,
                  hijack->interrupt.number == SIGTERM ? "TERM" : "INT"),
            NULL);
    else
        hijack->detached = true;
}

int hijack_run(struct cli *cli, struct stream *stream, const struct hijack_options *options,
               int (*started)(struct cli *cli, void *owner), void *owner)
{
    static const struct conn_handler handler = {
        .on_data = on_data, .on_end = on_end, .on_close = on_close};
    struct hijack hijack = {.cli = cli, .conn = stream_conn(stream), .options = options};
    struct termios before, raw;
    if (!hijack.conn)
        return err_set(&cli->error, ERR_UNAVAILABLE, "the daemon did not hand the stream over");
    hijack.keys_count =
        hijack_keys(str_or(options->detach_keys, "ctrl-p,ctrl-q"), hijack.keys, &cli->error);
    if (hijack.keys_count < 0)
        return -(int)cli->error.code;
    conn_set_handler(hijack.conn, &handler, &hijack);
    bool is_raw = options->tty && options->input && cli->terminal.in && tcgetattr(0, &before) == 0;
    if (is_raw) {
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(0, TCSADRAIN, &raw);
    }
    interrupt_open(&hijack.interrupt, cli);
    conn_resume(hijack.conn);
    if (options->input)
        start_reading(&hijack);
    else if (!options->tty)
        conn_end(hijack.conn);
    int result = started ? started(cli, owner) : 0;
    if (result == 0)
        tell_size(&hijack);
    while (result == 0 && !hijack.closed && !hijack.detached) {
        client_wait(cli, something_happened, &hijack);
        if (hijack.interrupt.resized)
            tell_size(&hijack);
        if (hijack.interrupt.hit)
            pass_signal(&hijack);
    }
    stop_reading(&hijack);
    if (hijack.open)
        uv_close(hijack.polls ? (uv_handle_t *)&hijack.poll : (uv_handle_t *)&hijack.idle,
                 on_handle_closed);
    if (hijack.conn)
        conn_close(hijack.conn, NULL);
    client_wait(cli, all_closed, &hijack);
    interrupt_close(&hijack.interrupt);
    if (is_raw)
        tcsetattr(0, TCSADRAIN, &before);
    if (result != 0 || hijack.broken)
        return result ? result : -(int)cli->error.code;
    return hijack.detached;
}
