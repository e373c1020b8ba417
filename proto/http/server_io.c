// A connection goes round: a message is parsed -> its exchange is routed -> answered -> the next
// one. `advance` is the one function that moves it on; it runs from on_data and, at the end of the
// turn, after an answer, so that handlers never nest. What a handler does with an exchange is in
// exchange_io.c.
#include "proto/http/server_io.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/http/server_impl_io.h"

static void advance(struct channel *channel, const uint8_t *bytes, size_t size);

static void forget_message(struct channel *channel)
{
    if (channel->parsing)
        http_parse_fini(&channel->parse);
    channel->parsing = false;
}

// ---- refusals ----------------------------------------------------------------------------------

// Answers what never became an exchange a handler sees, and closes.
static void refuse(struct http_exchange *x, int status, const char *detail)
{
    const struct http_server_options *options = &x->channel->server->options;
    char text[ERR_MESSAGE_BYTES + 64];
    x->close_after = true;
    if (x->started) {
        http_reply_abort(x);
        return;
    }
    if (options->refused) {
        options->refused(x, status, detail, options->context);
        return;
    }
    str_format(text, sizeof text, "%d %s: %s\n", status, http_reason(status), detail);
    http_reply(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

static void refuse_unrouted(struct http_exchange *x, int status)
{
    const struct http_server_options *options = &x->channel->server->options;
    if (options->unrouted)
        options->unrouted(x, status, options->context);
    else
        http_reply(x, status, "text/plain; charset=utf-8", http_reason(status),
                   strlen(http_reason(status)));
}

// ---- from the head to the handler --------------------------------------------------------------

static void call_handler(struct http_exchange *x)
{
    CHECK(!x->handled);
    x->handled = true;
    x->handler->handle(x, x->channel->server->options.context);
}

// Decides what becomes of the body, and answers Expect. False when the request was refused.
static bool prepare_body(struct http_exchange *x, const struct http_head *head)
{
    size_t limit = x->handler->body_bytes_max ? x->handler->body_bytes_max : HTTP_BODY_BYTES_MAX;
    buf_init(&x->body, limit);
    if (head->content_length > 0 && (uint64_t)head->content_length > limit) {
        refuse(x, 413, "the body is too large");
        return false;
    }
    x->body_state = x->handler->streams_body ? BODY_STREAM : BODY_COLLECT;
    const char *expect = http_head_get(head, "Expect");
    if (!expect)
        return true;
    if (strcasecmp(expect, "100-continue") != 0) {
        refuse(x, 417, "this expectation is not known");
        return false;
    }
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    x->close_after = !head->keep_alive || x->channel->server->stopping;
    if (head->has_body && head->minor >= 1)
        conn_write(x->channel->conn, go_on, sizeof go_on - 1);
    return true;
}

static void begin(struct channel *channel)
{
    const struct http_head *head = http_parse_head(&channel->parse);
    const struct http_server_options *options = &channel->server->options;
    struct http_exchange *x = exchange_new(channel);
    channel->x = x;
    loop_timer_stop(&channel->slow);
    x->head_only = strcmp(head->method, "HEAD") == 0;
    x->close_after = !head->keep_alive || channel->server->stopping;
    // Refused before it was told to go on, a client may send the body or not: only a close is
    // clear.
    if (http_head_get(head, "Expect"))
        x->close_after = true;
    x->chunked = head->minor >= 1;
    x->body_state = BODY_DROP;
    conn_set_deadline(channel->conn, head->has_body ? HTTP_BODY_IDLE_MS : 0, "no body came");
    struct err err = ERR_INIT;
    if (head->minor >= 1 && !http_head_get(head, "Host")) {
        refuse(x, 400, "missing required Host header");
        return;
    }
    if (url_parse(head->target, strlen(head->target), &x->arena, &x->url, &err) != 0) {
        refuse(x, 400, err.message);
        return;
    }
    const char *path = route_version(x->url.raw_path, &x->arena, &x->version);
    if (options->admit && !options->admit(x, x->version, options->context))
        return;
    enum route_result found = route_find(options->routes, options->routes_count, head->method, path,
                                         &x->arena, &x->match);
    if (found != ROUTE_FOUND) {
        refuse_unrouted(x, found == ROUTE_NO_PATH ? 404 : 405);
        return;
    }
    x->handler = x->match.route->target;
    if (prepare_body(x, head) && x->handler->streams_body)
        call_handler(x);
}

static void take_body(struct http_exchange *x, const uint8_t *bytes, size_t size)
{
    x->body_bytes += size;
    conn_set_deadline(x->channel->conn, HTTP_BODY_IDLE_MS, "the body stopped coming");
    if (x->ended || x->body_state == BODY_DROP) {
        // The answer is out; a little more is read so that the client gets to see it.
        if (x->body_bytes > HTTP_BODY_BYTES_MAX)
            conn_shutdown(x->channel->conn);
        return;
    }
    if (x->body_bytes > x->body.limit) {
        refuse(x, 413, "the body is too large");
        return;
    }
    if (x->body_state == BODY_COLLECT)
        buf_put(&x->body, bytes, size);
    else if (x->events && x->events->on_body)
        x->events->on_body(x, x->owner, bytes, size);
}

static void end_body(struct http_exchange *x)
{
    x->body_ended = true;
    conn_set_deadline(x->channel->conn, 0, NULL);
    if (x->ended)
        return;
    if (x->body_state == BODY_COLLECT)
        call_handler(x);
    else if (x->body_state == BODY_STREAM && x->events && x->events->on_body_end)
        x->events->on_body_end(x, x->owner);
}

// ---- the round ---------------------------------------------------------------------------------

// Keeps bytes for later; a client that sends too far ahead is not read until its turn.
static void keep(struct channel *channel, const uint8_t *bytes, size_t size)
{
    buf_put(&channel->ahead, bytes, size);
    if (channel->ahead.len >= HTTP_AHEAD_BYTES_MAX)
        conn_pause(channel->conn);
}

static void start_message(struct channel *channel)
{
    http_parse_request(&channel->parse);
    channel->parsing = true;
    int64_t head_ms = channel->server->options.head_ms;
    conn_set_deadline(channel->conn, 0, NULL);
    loop_timer_start(&channel->slow, head_ms ? head_ms : HTTP_HEAD_MS);
}

static void on_slow(struct loop_timer *timer)
{
    struct channel *channel = CONTAINER_OF(timer, struct channel, slow);
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    if (!channel->conn || conn_closing(channel->conn) || channel->x)
        return;
    channel->x = exchange_new(channel);
    refuse(channel->x, 408, "the request head was not finished in time");
}

static void broken(struct channel *channel, const struct err *err)
{
    int status = channel->parse.refusal;
    loop_timer_stop(&channel->slow);
    if (!channel->x)
        channel->x = exchange_new(channel);
    if (channel->x->ended)
        conn_shutdown(channel->conn);
    else
        refuse(channel->x, status, err->message);
}

// True when the present exchange takes no more bytes: it has its whole request.
static bool has_request(const struct channel *channel)
{
    return channel->x && (channel->x->body_ended || channel->x->body_paused);
}

static void step(struct channel *channel, const uint8_t **at, size_t *left)
{
    size_t used;
    struct err err = ERR_INIT;
    if (!channel->parsing)
        start_message(channel);
    enum http_event event = http_parse_step(&channel->parse, *at, *left, &used, &err);
    *at += used;
    *left -= used;
    switch (event) {
    case HTTP_EVENT_NEED_MORE:
        CHECK(*left == 0);
        break;
    case HTTP_EVENT_HEAD:
        begin(channel);
        break;
    case HTTP_EVENT_BODY: {
        size_t size;
        const uint8_t *body = http_parse_body(&channel->parse, &size);
        take_body(channel->x, body, size);
        break;
    }
    case HTTP_EVENT_END:
        end_body(channel->x);
        break;
    case HTTP_EVENT_BROKEN:
        *left = 0;
        broken(channel, &err);
        break;
    }
}

// Ends the exchange once request and answer are complete.
static void settle(struct channel *channel)
{
    struct http_exchange *x = channel->x;
    if (!x || !x->ended)
        return;
    if (!x->body_ended && !x->close_after)
        return; // the rest of the body is read and dropped first
    bool close_after = x->close_after || channel->server->stopping;
    exchange_free(x, false);
    forget_message(channel);
    if (close_after)
        conn_shutdown(channel->conn);
    else
        conn_set_deadline(channel->conn, HTTP_KEEP_ALIVE_MS, "no further request came");
}

static void advance(struct channel *channel, const uint8_t *bytes, size_t size)
{
    CHECK(!channel->advancing);
    channel->advancing = true;
    struct buf waiting = channel->ahead;
    if (waiting.len > 0) { // in order: what waited, then what came
        if (size > 0)
            buf_put(&waiting, bytes, size);
        bytes = waiting.data;
        size = waiting.len;
        buf_init(&channel->ahead, channel->ahead.limit);
    }
    settle(channel);
    struct conn *conn = channel->conn;
    while (size > 0 && channel->conn && !conn_closing(conn) && !has_request(channel)) {
        step(channel, &bytes, &size);
        if (channel->conn)
            settle(channel);
    }
    if (!channel->conn) {
        conn_unread(conn, bytes, size); // hijacked: the rest is its taker's
    } else if (!conn_closing(conn)) {
        if (size > 0)
            keep(channel, bytes, size);
        if (channel->ahead.len < HTTP_AHEAD_BYTES_MAX && !(channel->x && channel->x->body_paused))
            conn_resume(conn);
    }
    if (waiting.len > 0)
        buf_fini(&waiting);
    channel->advancing = false;
}

static struct channel *channel_of(void *owner)
{
    struct channel *channel = owner;
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    return channel;
}

static void channel_free(struct channel *channel)
{
    struct http_server *server = channel->server;
    forget_message(channel);
    list_remove(&channel->link);
    loop_later_cancel(&channel->later);
    loop_timer_stop(&channel->slow);
    buf_fini(&channel->ahead);
    MAGIC_CLEAR(channel);
    free(channel);
    server->channels_count--;
    if (server->stopping && server->channels_count == 0)
        loop_later_ask(&server->gone);
}

static void on_later(struct loop_later *later)
{
    struct channel *channel = channel_of(CONTAINER_OF(later, struct channel, later));
    if (!channel->conn)
        channel_free(channel); // hijacked
    else if (!conn_closing(channel->conn))
        advance(channel, NULL, 0);
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    advance(channel_of(owner), bytes, size);
}

static void on_end(struct conn *conn, void *owner)
{
    struct channel *channel = channel_of(owner);
    // Like Go's server: a client that ends its side while it waits for the answer has gone away.
    // What was answered before is still sent.
    if (channel->x && !channel->x->ended)
        conn_close(conn, NULL);
    else
        conn_shutdown(conn);
}

static void on_drain(struct conn *conn, void *owner)
{
    (void)conn;
    struct http_exchange *x = channel_of(owner)->x;
    if (x && x->started && !x->ended)
        conn_set_deadline(conn, 0, NULL);
    if (x && !x->ended && x->events && x->events->on_drain)
        x->events->on_drain(x, x->owner);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why; // a client that went away is nobody's trouble but the exchange's
    struct channel *channel = channel_of(owner);
    if (channel->x)
        exchange_free(channel->x, !channel->x->ended);
    channel_free(channel);
}

static const struct conn_handler channel_handler = {NULL, on_data, on_end, on_drain, on_close};

// ---- the server --------------------------------------------------------------------------------

static void on_gone(struct loop_later *later)
{
    struct http_server *server = CONTAINER_OF(later, struct http_server, gone);
    MAGIC_CHECK(server, SERVER_MAGIC);
    CHECK(server->channels_count == 0);
    loop_timer_stop(&server->grace);
    void (*stopped)(void *) = server->stopped;
    void *owner = server->owner;
    MAGIC_CLEAR(server);
    free(server);
    if (stopped)
        stopped(owner);
}

static void on_grace_over(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, grace);
    LIST_EACH (link, &server->channels) {
        struct channel *channel = LIST_ENTRY(link, struct channel, link);
        if (channel->conn)
            conn_close(channel->conn, NULL);
    }
}

struct http_server *http_server_new(struct loop *loop, const struct http_server_options *options)
{
    struct http_server *server = MEM_NEW(struct http_server);
    MAGIC_SET(server, SERVER_MAGIC);
    server->loop = loop;
    server->options = *options;
    list_init(&server->channels);
    loop_timer_init(&server->grace, loop, on_grace_over);
    loop_later_init(&server->gone, loop, on_gone);
    return server;
}

void http_server_take(struct http_server *server, struct conn *conn)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    struct channel *channel = MEM_NEW(struct channel);
    MAGIC_SET(channel, CHANNEL_MAGIC);
    channel->server = server;
    channel->conn = conn;
    buf_init(&channel->ahead, TLS_INPUT_BYTES_MAX + HTTP_AHEAD_BYTES_MAX);
    loop_later_init(&channel->later, server->loop, on_later);
    loop_timer_init(&channel->slow, server->loop, on_slow);
    list_push_back(&server->channels, &channel->link);
    server->channels_count++;
    conn_set_handler(conn, &channel_handler, channel);
    bool local = conn_peer(conn).kind == ADDR_UNIX;
    conn_set_deadline(conn, local ? HTTP_KEEP_ALIVE_MS : HTTP_FIRST_MS, "no request came");
    if (server->stopping)
        conn_shutdown(conn);
}

void http_server_stop(struct http_server *server, int64_t grace_ms, void (*stopped)(void *owner),
                      void *owner)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    CHECK(!server->stopping);
    server->stopping = true;
    server->stopped = stopped;
    server->owner = owner;
    LIST_EACH (link, &server->channels) {
        struct channel *channel = LIST_ENTRY(link, struct channel, link);
        if (channel->conn && !channel->x)
            conn_shutdown(channel->conn);
    }
    loop_timer_start(&server->grace, grace_ms);
    if (server->channels_count == 0)
        loop_later_ask(&server->gone);
}

size_t http_server_conns(const struct http_server *server)
{
    return server->channels_count;
}
