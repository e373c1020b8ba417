#include "proto/http/client_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/str.h"

#define CLIENT_MAGIC 0x6874636cu
#define CALL_MAGIC   0x68746361u

struct http_client {
    unsigned magic;
    struct loop *loop;
    struct addr addr;
    struct conn_options options;
    char *server_name;
    char *host;
    struct list idle;
    size_t idle_count;
    size_t calls;
};

// A connection that waits for its next call.
struct idle {
    struct list link;
    struct http_client *client; // NULL once it was taken out
    struct conn *conn;
};

struct http_call {
    unsigned magic;
    struct http_client *client;
    struct conn *conn;
    struct http_parse parse;
    bool parsing;
    bool to_head;
    bool upgrade;
    bool streams;
    bool finished; // the request is out
    bool answered; // the answer is complete
    bool reused;
    bool cancelled;
    bool paused;
    bool stepping;
    const struct http_call_handler *handler;
    void *owner;
    struct buf ahead; // bytes kept while paused
    struct loop_later later;
    int64_t timeout_ms;
};

// ---- clients and their idle connections --------------------------------------------------------

struct http_client *http_client_new(struct loop *loop, const struct addr *addr,
                                    const struct conn_options *options, const char *host)
{
    struct http_client *client = MEM_NEW(struct http_client);
    MAGIC_SET(client, CLIENT_MAGIC);
    char text[ADDR_TEXT_BYTES];
    client->loop = loop;
    client->addr = *addr;
    client->options = *options;
    client->server_name = str_dup(options->server_name);
    client->options.server_name = client->server_name;
    if (options->tls)
        tls_config_ref(options->tls);
    if (!host)
        host = addr->kind == ADDR_UNIX ? "localhost" : addr_format(addr, text);
    client->host = str_dup(host);
    list_init(&client->idle);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(client->calls == 0);
    LIST_EACH_SAFE (link, &client->idle) {
        struct idle *idle = LIST_ENTRY(link, struct idle, link);
        list_remove(&idle->link);
        idle->client = NULL;
        conn_close(idle->conn, NULL); // its on_close frees it
    }
    tls_config_unref(client->options.tls);
    free(client->server_name);
    free(client->host);
    MAGIC_CLEAR(client);
    free(client);
}

static void idle_forget(struct idle *idle)
{
    if (idle->client)
        idle->client->idle_count--;
    list_remove(&idle->link);
    idle->client = NULL;
}

static void idle_on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    (void)bytes;
    (void)size;
    conn_close(conn, NULL); // an answer nobody asked for
}

static void idle_on_end(struct conn *conn, void *owner)
{
    (void)owner;
    conn_close(conn, NULL);
}

static void idle_on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    idle_forget(owner);
    free(owner);
}

static const struct conn_handler idle_handler = {NULL, idle_on_data, idle_on_end, NULL,
                                                 idle_on_close};

static void keep_idle(struct http_client *client, struct conn *conn)
{
    struct idle *idle = MEM_NEW(struct idle);
    idle->conn = conn;
    list_init(&idle->link);
    conn_set_handler(conn, &idle_handler, idle);
    if (client->idle_count >= HTTP_CLIENT_IDLE_MAX) {
        conn_shutdown(conn);
        return;
    }
    idle->client = client;
    client->idle_count++;
    list_push_back(&client->idle, &idle->link);
    conn_set_deadline(conn, HTTP_CLIENT_IDLE_MS, "idle");
}

static struct conn *take_idle(struct http_client *client)
{
    while (!list_empty(&client->idle)) {
        struct idle *idle = LIST_ENTRY(client->idle.prev, struct idle, link); // the freshest
        struct conn *conn = idle->conn;
        idle_forget(idle);
        if (conn_closing(conn))
            continue; // on its way out; idle_on_close frees it
        free(idle);
        conn_set_deadline(conn, 0, NULL);
        return conn;
    }
    return NULL;
}

// ---- calls -------------------------------------------------------------------------------------

static void call_end(struct http_call *call, const struct err *why)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    call->handler->on_end(call, call->owner, why);
    if (call->parsing)
        http_parse_fini(&call->parse);
    loop_later_cancel(&call->later);
    buf_fini(&call->ahead);
    call->client->calls--;
    MAGIC_CLEAR(call);
    free(call);
}

// The answer is complete: the connection goes back or away, and the call ends.
static void complete(struct http_call *call)
{
    static const struct err fine = ERR_INIT;
    bool again = http_parse_head(&call->parse)->keep_alive && call->finished;
    struct conn *conn = call->conn;
    conn_resume(conn);
    if (again) {
        keep_idle(call->client, conn);
    } else {
        struct idle *nobody = MEM_NEW(struct idle);
        list_init(&nobody->link);
        conn_set_handler(conn, &idle_handler, nobody);
        conn_shutdown(conn);
    }
    call_end(call, &fine);
}

// The connection goes to the caller, with the bytes that came behind the head.
static void upgraded(struct http_call *call, const uint8_t *early, size_t size)
{
    static const struct err fine = ERR_INIT;
    struct conn *conn = call->conn;
    conn_set_deadline(conn, 0, NULL);
    conn_resume(conn);
    call->handler->on_upgrade(call, call->owner, conn);
    conn_unread(conn, early, size);
    call_end(call, &fine);
}

static bool is_upgrade(const struct http_call *call, const struct http_head *head)
{
    return call->upgrade && call->handler->on_upgrade &&
           (head->status == 101 ||
            (head->status == 200 && !head->chunked && head->content_length < 0));
}

// One event of the answer. False when the call is over.
static bool step(struct http_call *call, const uint8_t **at, size_t *left)
{
    struct err err = ERR_INIT;
    size_t used;
    if (!call->parsing)
        http_parse_response(&call->parse, call->to_head);
    call->parsing = true;
    enum http_event event = http_parse_step(&call->parse, *at, *left, &used, &err);
    *at += used;
    *left -= used;
    if (event == HTTP_EVENT_BROKEN) {
        conn_close(call->conn, &err); // on_close ends the call
        return false;
    }
    if (event == HTTP_EVENT_BODY && call->handler->on_body) {
        size_t size;
        const uint8_t *body = http_parse_body(&call->parse, &size);
        call->handler->on_body(call, call->owner, body, size);
    }
    const struct http_head *head =
        event == HTTP_EVENT_NEED_MORE ? NULL : http_parse_head(&call->parse);
    if (event == HTTP_EVENT_HEAD && (head->status >= 200 || head->status == 101)) {
        conn_set_deadline(call->conn, 0, NULL);
        call->handler->on_head(call, call->owner, head);
        if (is_upgrade(call, head) && !call->cancelled) {
            // The parser holds back the last byte of the head until it is asked again.
            if (*left > 0 && **at == '\n') {
                *at += 1;
                *left -= 1;
            }
            upgraded(call, *at, *left);
            return false;
        }
    }
    if (event == HTTP_EVENT_END && head->status < 200 && head->status != 101) {
        http_parse_fini(&call->parse); // 100 Continue: the real answer follows
        call->parsing = false;
    } else if (event == HTTP_EVENT_END) {
        call->answered = true;
    }
    return true;
}

static void advance(struct http_call *call, const uint8_t *bytes, size_t size)
{
    CHECK(!call->stepping);
    struct buf waiting = call->ahead;
    if (waiting.len > 0) {
        if (size > 0)
            buf_put(&waiting, bytes, size);
        bytes = waiting.data;
        size = waiting.len;
        buf_init(&call->ahead, call->ahead.limit);
    }
    call->stepping = true;
    bool alive = true;
    while (alive && size > 0 && !call->answered && !call->paused && !conn_closing(call->conn))
        alive = step(call, &bytes, &size);
    if (alive) {
        call->stepping = false;
        if (size > 0 && call->paused)
            buf_put(&call->ahead, bytes, size);
        if (call->answered && !conn_closing(call->conn))
            complete(call);
    }
    if (waiting.len > 0)
        buf_fini(&waiting);
}

static struct http_call *call_of(void *owner)
{
    struct http_call *call = owner;
    MAGIC_CHECK(call, CALL_MAGIC);
    return call;
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    advance(call_of(owner), bytes, size);
}

static void on_end(struct conn *conn, void *owner)
{
    struct http_call *call = call_of(owner);
    struct err err = ERR_INIT;
    size_t used;
    // The end of the stream is the end of an answer whose length nobody said.
    if (call->parsing && http_parse_step(&call->parse, "", 0, &used, &err) == HTTP_EVENT_END)
        call->answered = true;
    else if (err.code == ERR_OK)
        err_set(&err, ERR_UNAVAILABLE, "the server closed the connection before it answered");
    conn_close(conn, call->answered ? NULL : &err);
}

static void on_drain(struct conn *conn, void *owner)
{
    (void)conn;
    struct http_call *call = call_of(owner);
    if (call->handler->on_drain)
        call->handler->on_drain(call, call->owner);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    struct http_call *call = call_of(owner);
    struct err err = *why;
    if (call->cancelled)
        err_set(&err, ERR_CANCELLED, "the call was cancelled");
    else if (call->answered)
        err_clear(&err);
    else if (err.code == ERR_OK)
        err_set(&err, ERR_UNAVAILABLE, "the connection was closed before the answer");
    call_end(call, &err);
}

static const struct conn_handler call_handler = {NULL, on_data, on_end, on_drain, on_close};

static void on_later(struct loop_later *later)
{
    struct http_call *call = call_of(CONTAINER_OF(later, struct http_call, later));
    if (!conn_closing(call->conn) && !call->paused) {
        conn_resume(call->conn);
        advance(call, NULL, 0);
    }
}

static void send_head(struct http_call *call, const struct http_call_request *request)
{
    struct buf out;
    buf_init(&out, HTTP_HEAD_BYTES_MAX);
    http_put_request(&out, request->method, request->target);
    http_put_header(&out, "Host", call->client->host);
    for (size_t i = 0; i < request->headers_count; i++)
        http_put_header(&out, request->headers[i].name, request->headers[i].value);
    if (request->upgrade) {
        http_put_header(&out, "Connection", "Upgrade");
        http_put_header(&out, "Upgrade", "tcp");
    }
    if (request->streams_body)
        http_put_header(&out, "Transfer-Encoding", "chunked");
    else if (request->body || strcmp(request->method, "POST") == 0)
        buf_printf(&out, "Content-Length: %zu\r\n", request->body_size);
    http_put_head_end(&out);
    CHECK(buf_ok(&out)); // our own callers' headers
    conn_write(call->conn, out.data, out.len);
    buf_fini(&out);
    if (request->body && !request->streams_body)
        conn_write(call->conn, request->body, request->body_size);
}

struct http_call *http_call_start(struct http_client *client,
                                  const struct http_call_request *request,
                                  const struct http_call_handler *handler, void *owner)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    struct http_call *call = MEM_NEW(struct http_call);
    MAGIC_SET(call, CALL_MAGIC);
    call->client = client;
    call->handler = handler;
    call->owner = owner;
    call->to_head = strcmp(request->method, "HEAD") == 0;
    call->upgrade = request->upgrade;
    call->streams = request->streams_body;
    call->finished = !request->streams_body;
    buf_init(&call->ahead, TLS_INPUT_BYTES_MAX * 2);
    loop_later_init(&call->later, client->loop, on_later);
    client->calls++;
    call->conn = take_idle(client);
    call->reused = call->conn != NULL;
    if (call->conn)
        conn_set_handler(call->conn, &call_handler, call);
    else
        call->conn =
            conn_connect(client->loop, &client->addr, &client->options, &call_handler, call);
    if (request->timeout_ms)
        conn_set_deadline(call->conn, request->timeout_ms, "no answer in time");
    send_head(call, request);
    return call;
}

void http_call_write(struct http_call *call, const void *bytes, size_t size)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    CHECK(call->streams);
    CHECK(!call->finished);
    if (size == 0)
        return;
    char line[24];
    conn_write(call->conn, line, (size_t)snprintf(line, sizeof line, "%zx\r\n", size));
    conn_write(call->conn, bytes, size);
    conn_write(call->conn, "\r\n", 2);
}

void http_call_finish(struct http_call *call)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    CHECK(!call->finished);
    call->finished = true;
    conn_write(call->conn, "0\r\n\r\n", 5);
}

size_t http_call_room(const struct http_call *call)
{
    return conn_room(call->conn);
}

void http_call_pause(struct http_call *call)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    call->paused = true;
    conn_pause(call->conn);
}

void http_call_resume(struct http_call *call)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    if (!call->paused)
        return;
    call->paused = false;
    loop_later_ask(&call->later);
}

void http_call_cancel(struct http_call *call)
{
    MAGIC_CHECK(call, CALL_MAGIC);
    call->cancelled = true;
    conn_close(call->conn, NULL);
}
