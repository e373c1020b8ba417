#include "manager/ca/external_io.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/http/client_io.h"
#include "proto/http/target.h"
#include "proto/net/tls.h"

#define EXTERNAL_MAGIC 0x65787463u

// One URL at a time. What an attempt opened ends before the next one begins, so that nothing ever
// comes late: `attempt_end` waits for the connection's own end.
struct external_call {
    unsigned magic;
    struct external_ask ask;
    char *urls[EXTERNAL_CAS_MAX];
    char *roots_pem;
    char *body;
    size_t next; // of urls
    struct loop_timer timer;
    struct loop_later later;
    bool cancelled;

    // The attempt under way.
    struct target target;
    struct external_lookup lookup;
    bool looking_up;
    struct http_client *client;
    struct http_call *http;
    struct conn *conn; // instead, where only the connection matters
    int status;
    struct buf answer;
    bool late, too_large, good;
    struct err err;
};

static struct external_call *call_of(void *owner)
{
    struct external_call *call = owner;
    MAGIC_CHECK(call, EXTERNAL_MAGIC);
    return call;
}

static int64_t answer_ms(const struct external_call *call)
{
    return call->ask.way->answer_ms ? call->ask.way->answer_ms : EXTERNAL_ANSWER_MS;
}

static void call_free(struct external_call *call)
{
    loop_timer_stop(&call->timer);
    loop_later_cancel(&call->later);
    http_client_free(call->client);
    buf_fini(&call->answer);
    for (size_t i = 0; i < call->ask.urls_count; i++)
        free(call->urls[i]);
    free(call->roots_pem);
    free(call->body);
    MAGIC_CLEAR(call);
    free(call);
}

// The attempt is over, in a later turn: its connection is gone by then.
static void attempt_end(struct external_call *call)
{
    loop_timer_stop(&call->timer);
    loop_later_ask(&call->later);
}

// ---- the answer --------------------------------------------------------------------------------

static void on_head(struct http_call *http, void *owner, const struct http_head *head)
{
    (void)http;
    call_of(owner)->status = (int)head->status;
}

static void on_body(struct http_call *http, void *owner, const uint8_t *bytes, size_t size)
{
    struct external_call *call = call_of(owner);
    if (call->too_large)
        return;
    buf_put(&call->answer, bytes, size);
    if (!buf_ok(&call->answer)) {
        call->too_large = true;
        http_call_cancel(http);
    }
}

static void on_end(struct http_call *http, void *owner, const struct err *why)
{
    struct external_call *call = call_of(owner);
    (void)http;
    call->http = NULL;
    if (call->late)
        err_set(&call->err, ERR_UNAVAILABLE, "no answer in time");
    else if (call->too_large)
        err_set(&call->err, ERR_UNAVAILABLE, "the answer is larger than %zu bytes",
                EXTERNAL_ANSWER_BYTES_MAX);
    else if (why->code != ERR_OK)
        err_set(&call->err, ERR_UNAVAILABLE, "%s", why->message);
    else if (!call->cancelled)
        call->good = call->ask.take(call->ask.owner, call->status, call->answer.data,
                                    call->answer.len, &call->err) == 0;
    attempt_end(call);
}

static const struct http_call_handler http_handler = {
    .on_head = on_head, .on_body = on_body, .on_end = on_end};

// ---- only whether it can be reached ------------------------------------------------------------

static void on_open(struct conn *conn, void *owner)
{
    call_of(owner)->good = true;
    conn_close(conn, NULL);
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    (void)owner;
    (void)bytes;
    (void)size;
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    struct external_call *call = call_of(owner);
    (void)conn;
    call->conn = NULL;
    if (call->late)
        err_set(&call->err, ERR_UNAVAILABLE, "no connection in time");
    else if (!call->good)
        err_set(&call->err, ERR_UNAVAILABLE, "%s",
                why->code != ERR_OK ? why->message : "the connection was closed");
    attempt_end(call);
}

static const struct conn_handler conn_handler = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

// ---- an attempt --------------------------------------------------------------------------------

static void send_request(struct external_call *call, const struct conn_options *options)
{
    static const struct http_header headers[] = {{"Content-Type", "application/json"},
                                                 {"Connection", "close"}};
    const struct http_call_request request = {.method = "POST",
                                              .target = call->target.path,
                                              .headers = headers,
                                              .headers_count = COUNT_OF(headers),
                                              .body = call->body,
                                              .body_size = call->ask.body_size};
    call->client =
        http_client_new(call->ask.way->loop, &call->target.addr, options, call->target.host);
    call->http = http_call_start(call->client, &request, &http_handler, call);
}

// To the address in the target, which is looked up by now.
static void connect_to(struct external_call *call, const char *server_name)
{
    const struct external_way *way = call->ask.way;
    const struct tls_options tls = {.verify = TLS_VERIFY_REQUIRED,
                                    .alpn = TLS_ALPN_NONE,
                                    .chain_pem = way->credentials->chain_pem,
                                    .key_pem = way->credentials->key_pem,
                                    .roots_pem = call->roots_pem,
                                    .rng = way->rng};
    struct conn_options options = {.tls = tls_config_new(&tls, &call->err),
                                   .server_name = server_name,
                                   .open_ms = EXTERNAL_ANSWER_MS};
    if (!options.tls) {
        attempt_end(call);
        return;
    }
    if (call->body)
        send_request(call, &options);
    else
        call->conn = conn_connect(way->loop, &call->target.addr, &options, &conn_handler, call);
    tls_config_unref(options.tls);
}

static void on_found(struct external_lookup *lookup, const struct addr *addrs, size_t count,
                     const struct err *err)
{
    struct external_call *call = call_of(CONTAINER_OF(lookup, struct external_call, lookup));
    call->looking_up = false;
    if (err || count == 0) {
        err_set(&call->err, ERR_UNAVAILABLE, "%s", err ? err->message : "the name has no address");
        attempt_end(call);
        return;
    }
    char name[ADDR_HOST_BYTES];
    str_copy(name, sizeof name, call->target.addr.host);
    uint16_t port = call->target.addr.port;
    call->target.addr = addrs[0];
    call->target.addr.port = port;
    connect_to(call, name);
}

static void attempt(struct external_call *call)
{
    const struct external_way *way = call->ask.way;
    const char *url = call->urls[call->next++];
    call->late = call->too_large = call->good = false;
    call->status = 0;
    buf_clear(&call->answer);
    err_clear(&call->err);
    if (target_parse(url, &call->target, &call->err)) {
        attempt_end(call);
        return;
    }
    loop_timer_start(&call->timer, answer_ms(call));
    if (call->target.addr.kind == ADDR_NAME && way->look_up) {
        call->lookup.found = on_found;
        call->looking_up = true;
        way->look_up(way->ctx, call->target.addr.host, &call->lookup);
    } else {
        connect_to(call, call->target.addr.host);
    }
}

static void on_late(struct loop_timer *timer)
{
    struct external_call *call = call_of(CONTAINER_OF(timer, struct external_call, timer));
    call->late = true;
    if (call->http) {
        http_call_cancel(call->http);
    } else if (call->conn) {
        conn_close(call->conn, NULL);
    } else if (call->looking_up) {
        call->looking_up = false;
        call->ask.way->forget(call->ask.way->ctx, &call->lookup);
        err_set(&call->err, ERR_UNAVAILABLE, "the name was not found in time");
        attempt_end(call);
    }
}

static void on_turn(struct loop_later *later)
{
    struct external_call *call = call_of(CONTAINER_OF(later, struct external_call, later));
    http_client_free(call->client);
    call->client = NULL;
    if (call->cancelled) {
        call_free(call);
        return;
    }
    if (!call->good && call->next > 0) {
        err_wrap(&call->err, "%s", call->urls[call->next - 1]);
        log_debug("external CA does not serve", "err=\"%s\"", call->err.message);
    }
    if (!call->good && call->next < call->ask.urls_count) {
        attempt(call);
        return;
    }
    call->ask.done(call->ask.owner, call->good ? NULL : &call->err);
    call_free(call);
}

// ---- life --------------------------------------------------------------------------------------

struct external_call *external_ask(const struct external_ask *ask)
{
    struct external_call *call = MEM_NEW(struct external_call);
    CHECK(ask->urls_count <= EXTERNAL_CAS_MAX);
    CHECK((ask->take != NULL) == (ask->body != NULL));
    MAGIC_SET(call, EXTERNAL_MAGIC);
    call->ask = *ask;
    for (size_t i = 0; i < ask->urls_count; i++)
        call->urls[i] = str_dup(ask->urls[i]);
    call->roots_pem = str_dup(ask->roots_pem);
    if (ask->body)
        call->body = str_ndup(ask->body, ask->body_size);
    buf_init(&call->answer, EXTERNAL_ANSWER_BYTES_MAX);
    loop_timer_init(&call->timer, ask->way->loop, on_late);
    loop_later_init(&call->later, ask->way->loop, on_turn);
    err_set(&call->err, ERR_UNAVAILABLE, "no external CA serves this root");
    loop_later_ask(&call->later); // the first attempt begins there
    return call;
}

void external_cancel(struct external_call *call)
{
    MAGIC_CHECK(call, EXTERNAL_MAGIC);
    call->cancelled = true;
    loop_timer_stop(&call->timer);
    if (call->http) {
        http_call_cancel(call->http);
    } else if (call->conn) {
        conn_close(call->conn, NULL);
    } else {
        if (call->looking_up)
            call->ask.way->forget(call->ask.way->ctx, &call->lookup);
        call_free(call);
    }
}
