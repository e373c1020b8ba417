// What a handler sees of a request and does to answer it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/http/server_impl_io.h"

struct http_exchange *exchange_new(struct channel *channel)
{
    struct http_exchange *x = MEM_NEW(struct http_exchange);
    MAGIC_SET(x, EXCHANGE_MAGIC);
    x->channel = channel;
    arena_init(&x->arena, HTTP_EXCHANGE_BYTES_MAX);
    buf_init(&x->body, 0);
    return x;
}

void exchange_free(struct http_exchange *x, bool gone)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    x->channel->x = NULL;
    if (x->events && x->events->on_done)
        x->events->on_done(x, x->owner, gone);
    buf_fini(&x->body);
    arena_fini(&x->arena);
    MAGIC_CLEAR(x);
    free(x);
}

// ---- the request -------------------------------------------------------------------------------

const struct http_head *http_request(const struct http_exchange *x)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    return http_parse_head(&x->channel->parse);
}

const struct url *http_url(const struct http_exchange *x)
{
    return &x->url;
}

const struct route *http_route(const struct http_exchange *x)
{
    return x->match.route;
}

const char *http_version(const struct http_exchange *x)
{
    return x->version;
}

const char *http_param(const struct http_exchange *x, const char *name)
{
    return route_match_get(&x->match, name);
}

const char *http_query(const struct http_exchange *x, const char *name)
{
    return url_get(&x->url, name);
}

const uint8_t *http_body(const struct http_exchange *x, size_t *size)
{
    *size = x->body.len;
    return x->body.data ? x->body.data : (const uint8_t *)"";
}

struct arena *http_arena(struct http_exchange *x)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    return &x->arena;
}

struct conn *http_conn(struct http_exchange *x)
{
    return x->channel->conn;
}

void *http_context(const struct http_exchange *x)
{
    return x->channel->server->options.context;
}

void http_exchange_follow(struct http_exchange *x, const struct http_events *events, void *owner)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    x->events = events;
    x->owner = owner;
}

void *http_exchange_owner(const struct http_exchange *x)
{
    return x->owner;
}

void http_body_pause(struct http_exchange *x)
{
    x->body_paused = true;
    conn_set_deadline(x->channel->conn, 0, NULL);
    conn_pause(x->channel->conn);
}

void http_body_resume(struct http_exchange *x)
{
    if (!x->body_paused)
        return;
    x->body_paused = false;
    conn_set_deadline(x->channel->conn, HTTP_BODY_IDLE_MS, "the body stopped coming");
    loop_later_ask(&x->channel->later);
}

// ---- the answer --------------------------------------------------------------------------------

void http_reply_header(struct http_exchange *x, const char *name, const char *value)
{
    CHECK(!x->started);
    CHECK(x->headers_count < HTTP_REPLY_HEADERS_MAX);
    CHECK(http_header_valid(name, value));
    struct http_header *header = &x->headers[x->headers_count];
    header->name = arena_strdup(&x->arena, name);
    header->value = arena_strdup(&x->arena, value);
    if (header->name && header->value)
        x->headers_count++;
}

static void put_date(struct http_server *server, struct buf *out)
{
    int64_t now_s = wall_now().ns / NS_PER_S;
    if (now_s != server->date_s || !server->date[0]) {
        time_t now = (time_t)now_s;
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        server->date_s = now_s;
    }
    http_put_header(out, "Date", server->date);
}

// `size` is the body's length, or -1 for a stream.
static void put_head(struct http_exchange *x, int status, const char *type, int64_t size,
                     struct buf *out)
{
    const struct http_server_options *options = &x->channel->server->options;
    bool bodiless = status == 204 || status == 304 || status < 200;
    http_put_status(out, status);
    for (size_t i = 0; i < options->headers_count; i++)
        http_put_header(out, options->headers[i].name, options->headers[i].value);
    for (size_t i = 0; i < x->headers_count; i++)
        http_put_header(out, x->headers[i].name, x->headers[i].value);
    if (type)
        http_put_header(out, "Content-Type", type);
    put_date(x->channel->server, out);
    if (size < 0 && x->chunked) {
        http_put_header(out, "Transfer-Encoding", "chunked");
    } else if (size < 0) {
        x->close_after = true; // HTTP/1.0: the close is the end
    } else if (!bodiless) {
        http_put_length(out, (uint64_t)size);
    }
    if (x->close_after)
        http_put_header(out, "Connection", "close");
    http_put_head_end(out);
}

// The answer is complete; the round goes on at the end of the turn.
static void ended(struct http_exchange *x)
{
    x->ended = true;
    struct channel *channel = x->channel;
    // A request whose body was never asked for need not be read to its end.
    if (!x->body_ended && channel->parsing && channel->parse.have_head &&
        !http_parse_head(&channel->parse)->has_body && x->body_state != BODY_DROP)
        x->body_state = BODY_DROP;
    if (!conn_closing(channel->conn))
        conn_set_deadline(channel->conn, HTTP_WRITE_IDLE_MS, "the answer was not taken");
    // At once: in a turn that answers many, those who have theirs go on while the rest are
    // answered.
    conn_flush(channel->conn);
    loop_later_ask(&channel->later);
}

void http_reply(struct http_exchange *x, int status, const char *type, const void *body,
                size_t size)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    CHECK(!x->started);
    struct buf head;
    buf_init(&head, HTTP_HEAD_BYTES_MAX);
    put_head(x, status, type, (int64_t)size, &head);
    CHECK(buf_ok(&head));
    x->started = true;
    conn_write(x->channel->conn, head.data, head.len);
    buf_fini(&head);
    if (!x->head_only && status != 204 && status != 304)
        conn_write(x->channel->conn, body, size);
    ended(x);
}

void http_reply_start(struct http_exchange *x, int status, const char *type)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    CHECK(!x->started);
    struct buf head;
    buf_init(&head, HTTP_HEAD_BYTES_MAX);
    put_head(x, status, type, -1, &head);
    CHECK(buf_ok(&head));
    x->started = true;
    conn_write(x->channel->conn, head.data, head.len);
    buf_fini(&head);
}

void http_reply_write(struct http_exchange *x, const void *bytes, size_t size)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    CHECK(x->started);
    CHECK(!x->ended);
    if (size == 0 || x->head_only)
        return;
    struct conn *conn = x->channel->conn;
    if (!x->chunked) {
        conn_write(conn, bytes, size);
    } else {
        char line[24];
        conn_write(conn, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", size));
        conn_write(conn, bytes, size);
        conn_write(conn, "\r\n", 2);
    }
    if (conn_room(conn) == 0 && !conn_closing(conn))
        conn_set_deadline(conn, HTTP_WRITE_IDLE_MS, "the answer was not taken");
}

size_t http_reply_room(const struct http_exchange *x)
{
    return conn_room(x->channel->conn);
}

void http_reply_end(struct http_exchange *x)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    CHECK(x->started);
    CHECK(!x->ended);
    static const char last[] = "0\r\n\r\n";
    if (x->chunked && !x->head_only)
        conn_write(x->channel->conn, last, sizeof last - 1);
    ended(x);
}

void http_reply_abort(struct http_exchange *x)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    conn_close(x->channel->conn, NULL);
}

bool http_reply_started(const struct http_exchange *x)
{
    return x->started;
}

struct conn *http_hijack(struct http_exchange *x, const char *type,
                         const struct conn_handler *handler, void *owner)
{
    MAGIC_CHECK(x, EXCHANGE_MAGIC);
    CHECK(!x->started);
    CHECK(x->body_ended);
    struct channel *channel = x->channel;
    struct conn *conn = channel->conn;
    struct buf head;
    buf_init(&head, HTTP_HEAD_BYTES_MAX);
    bool upgrade = http_head_has_token(http_request(x), "Connection", "Upgrade");
    if (upgrade)
        buf_put_str(&head, "HTTP/1.1 101 UPGRADED\r\n");
    else
        buf_put_str(&head, "HTTP/1.1 200 OK\r\n");
    if (type)
        http_put_header(&head, "Content-Type", type);
    if (upgrade) {
        http_put_header(&head, "Connection", "Upgrade");
        http_put_header(&head, "Upgrade", "tcp");
    }
    http_put_head_end(&head);
    conn_write(conn, head.data, head.len);
    buf_fini(&head);
    conn_set_deadline(conn, 0, NULL);
    x->started = x->ended = true;
    conn_set_handler(conn, handler, owner);
    conn_resume(conn);
    conn_unread(conn, channel->ahead.data, channel->ahead.len);
    channel->conn = NULL;
    exchange_free(x, false);
    loop_later_ask(&channel->later); // frees the channel, when nobody stands on it any more
    return conn;
}
