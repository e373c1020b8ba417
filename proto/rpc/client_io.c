// The client: its connections, and how calls find them. Calls are in request_io.c.
#include "proto/rpc/client_io.h"

#include <stdlib.h>

#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/rpc/client_impl_io.h"

#define OUTPUT_BYTES (64u * 1024)

// Messages for the server that wait on one connection.
#define QUEUE_BYTES_MAX (128u * 1024 * 1024)

// Messages from the server that are incomplete or wait for a paused call.
#define HELD_BYTES_MAX ((size_t)4 * 1024 * 1024 * 1024)

// A connection that broke sooner than this counts as a failed attempt.
#define LIVED_MS_MIN 1000

void client_ask(struct rpc_client *client)
{
    loop_later_ask(&client->later);
}

// ---- the connection -----------------------------------------------------------------------------

void client_conn_touch(struct client_conn *conn)
{
    if (!conn->channel)
        return;
    grpc_conn_set_now(conn->channel, loop_now(conn->client->config.loop));
    loop_later_ask(&conn->later);
}

// Takes no new calls. One that was begun to take its place does so, ready or not.
static void forget(struct client_conn *conn)
{
    struct rpc_client *client = conn->client;
    if (client->current == conn) {
        client->current = client->next;
        client->next = NULL;
        client->renewing = false; // whatever comes now has the present credentials
    } else if (client->next == conn) {
        client->next = NULL;
    }
}

// Takes no new calls; ends after those it has.
static void retire(struct client_conn *conn)
{
    forget(conn);
    conn->ending = true;
    if (!conn->channel)
        conn_close(conn->conn, NULL);
    else
        client_conn_touch(conn);
}

static void on_ready(void *ctx)
{
    struct client_conn *conn = ctx;
    struct rpc_client *client = conn->client;
    conn->ready = true;
    conn->ready_since = loop_now(client->config.loop);
    conn_set_deadline(conn->conn, 0, NULL);
    if (client->next == conn)
        retire(client->current);
    else if (client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, NULL);
    client_ask(client);
}

static void on_room(void *ctx)
{
    struct client_conn *conn = ctx;
    if (grpc_conn_draining(conn->channel))
        retire(conn);
    if (!list_empty(&conn->client->waiting))
        client_ask(conn->client);
}

static const struct grpc_conn_events stream_events = {
    .on_headers = request_on_headers,
    .on_message = request_on_message,
    .on_writable = request_on_writable,
    .on_over = request_on_over,
    .on_ready = on_ready,
    .on_room = on_room,
};

static void set_alarm(struct client_conn *conn)
{
    struct mono due = grpc_conn_due(conn->channel);
    if (due.ns == MONO_NEVER.ns)
        loop_timer_stop(&conn->alarm);
    else if (!loop_timer_running(&conn->alarm) || conn->alarm.timer.due.ns != due.ns)
        loop_timer_start_at(&conn->alarm, due);
}

static void put_out(struct client_conn *conn)
{
    struct buf out;
    CHECK(!conn->busy);
    conn->busy = true;
    conn->calls_unsent = 0;
    buf_init(&out, 4 * OUTPUT_BYTES);
    for (size_t room; (room = conn_room(conn->conn)) > 0;) {
        buf_clear(&out);
        bool more =
            grpc_conn_output(conn->channel, &out, room < OUTPUT_BYTES ? room : OUTPUT_BYTES);
        if (out.len > 0)
            conn_write(conn->conn, out.data, out.len);
        if (!more)
            break;
    }
    buf_fini(&out);
    conn->busy = false;
    conn_flush(conn->conn);
}

// Not in the middle of its own work, and where nobody would be called back in the middle of theirs.
void client_conn_called(struct client_conn *conn)
{
    if (++conn->calls_unsent >= CLIENT_CALLS_TOGETHER && !conn->busy &&
        !grpc_conn_run_due(conn->channel))
        put_out(conn);
}

static void on_conn_later(struct loop_later *later)
{
    struct client_conn *conn = CONTAINER_OF(later, struct client_conn, later);
    conn->busy = true;
    grpc_conn_run(conn->channel);
    conn->busy = false;
    put_out(conn);
    set_alarm(conn);
    if (conn->ending && grpc_conn_streams(conn->channel) == 0)
        conn_shutdown(conn->conn);
    else if (grpc_conn_finished(conn->channel))
        conn_shutdown(conn->conn);
}

static void on_conn_alarm(struct loop_timer *timer)
{
    struct client_conn *conn = CONTAINER_OF(timer, struct client_conn, alarm);
    struct err err = ERR_INIT;
    conn->busy = true;
    int result = grpc_conn_tick(conn->channel, loop_now(conn->client->config.loop), &err);
    conn->busy = false;
    if (result < 0)
        conn_close(conn->conn, &err);
    else
        loop_later_ask(&conn->later);
}

static void on_conn_open(struct conn *it, void *owner)
{
    (void)it;
    struct client_conn *conn = owner;
    struct rpc_client *client = conn->client;
    const struct rpc_client_config *config = &client->config;
    struct grpc_conn_config channel = {
        .side = H2_CLIENT,
        .stream_bytes = sizeof(struct client_stream),
        .message_bytes_max = config->message_bytes_max,
        .held_bytes_max = HELD_BYTES_MAX,
        .queue_bytes_max = QUEUE_BYTES_MAX,
        .keepalive_ms = config->keepalive_ms,
        .keepalive_timeout_ms = config->keepalive_timeout_ms,
        .authority = client->authority,
        .tls = config->tls != NULL,
    };
    conn->channel = grpc_conn_new(&channel, &stream_events, conn, loop_now(config->loop));
    conn_set_deadline(conn->conn, config->connect_ms, "the server sent no SETTINGS");
    loop_later_ask(&conn->later);
}

static void on_conn_data(struct conn *it, void *owner, const uint8_t *bytes, size_t size)
{
    (void)it;
    struct client_conn *conn = owner;
    struct err err = ERR_INIT;
    conn->busy = true;
    int result =
        grpc_conn_receive(conn->channel, bytes, size, loop_now(conn->client->config.loop), &err);
    conn->busy = false;
    if (result < 0)
        conn_close(conn->conn, &err);
    else
        loop_later_ask(&conn->later);
}

static void on_conn_drain(struct conn *it, void *owner)
{
    (void)it;
    client_conn_touch(owner);
}

// Waits before the next attempt; calls that would not wait for it fail.
static void attempt_failed(struct rpc_client *client, const struct err *why)
{
    client->last = *why;
    int64_t pause_ms = backoff_next_ms(&client->backoff, &client->rand);
    loop_timer_start(&client->retry, pause_ms);
    if (client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, why);
    client_ask(client);
}

static void on_conn_close(struct conn *it, void *owner, const struct err *why)
{
    (void)it;
    struct client_conn *conn = owner;
    struct rpc_client *client = conn->client;
    struct err err = ERR_INIT;
    if (client->closing)
        err_set(&err, ERR_CANCELLED, "the client is closed");
    else if (why->code == ERR_OK)
        err_set(&err, ERR_UNAVAILABLE, "connection error: the server closed the connection");
    else
        err_set(&err, ERR_UNAVAILABLE, "connection error: %s", why->message);
    bool current = client->current == conn, next = client->next == conn;
    forget(conn);
    list_remove(&conn->link);
    if (conn->channel)
        grpc_conn_free(conn->channel, &err);
    loop_later_cancel(&conn->later);
    loop_timer_stop(&conn->alarm);
    bool lived = conn->ready && mono_since(loop_now(client->config.loop), conn->ready_since) >=
                                    LIVED_MS_MIN * NS_PER_MS;
    free(conn);
    if (lived)
        backoff_reset(&client->backoff);
    if (next)
        loop_timer_start(&client->retry, backoff_next_ms(&client->backoff, &client->rand));
    else if (current && !lived)
        attempt_failed(client, &err);
    else if (current && client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, &err);
    client_ask(client);
}

static const struct conn_handler conn_handler = {
    .on_open = on_conn_open,
    .on_data = on_conn_data,
    .on_drain = on_conn_drain,
    .on_close = on_conn_close,
};

static struct client_conn *connect_now(struct rpc_client *client)
{
    CHECK(!client->closing);
    struct client_conn *conn = MEM_NEW(struct client_conn);
    conn->client = client;
    loop_timer_init(&conn->alarm, client->config.loop, on_conn_alarm);
    loop_later_init(&conn->later, client->config.loop, on_conn_later);
    list_push_back(&client->conns, &conn->link);
    struct conn_options options = {
        .tls = client->config.tls,
        .server_name = client->server_name,
        .open_ms = client->config.connect_ms,
    };
    conn->conn =
        conn_connect(client->config.loop, &client->config.addr, &options, &conn_handler, conn);
    return conn;
}

// ---- calls find connections ---------------------------------------------------------------------

bool client_can_open(const struct rpc_client *client)
{
    const struct client_conn *conn = client->current;
    return conn && conn->ready && !client->closing && grpc_conn_can_open(conn->channel);
}

// A call that does not wait for ready fails while there is no way to the server.
static void fail_impatient(struct rpc_client *client)
{
    LIST_EACH_SAFE (link, &client->waiting) {
        struct rpc_request *request = LIST_ENTRY(link, struct rpc_request, link);
        if (request->spec.wait_for_ready && !client->closing)
            continue;
        struct rpc_status status = rpc_status_of_err(&client->last);
        if (client->closing)
            status = rpc_status_make(ERR_CANCELLED, "the client is closed");
        request_doom(request, &status);
    }
}

static void client_free(struct rpc_client *client)
{
    void (*closed)(void *ctx) = client->closed;
    void *ctx = client->closed_ctx;
    loop_timer_stop(&client->retry);
    loop_later_cancel(&client->later);
    tls_config_unref(client->config.tls);
    free(client->server_name);
    free(client->authority);
    MAGIC_CLEAR(client);
    free(client);
    if (closed)
        closed(ctx);
}

static void on_later(struct loop_later *later)
{
    struct rpc_client *client = CONTAINER_OF(later, struct rpc_client, later);
    MAGIC_CHECK(client, CLIENT_MAGIC);
    bool backing_off = !client->current && loop_timer_running(&client->retry);
    if (client->closing || backing_off)
        fail_impatient(client);
    for (struct list *link; (link = list_pop_front(&client->doomed));) {
        struct rpc_request *request = LIST_ENTRY(link, struct rpc_request, link);
        struct metadata none;
        metadata_init(&none, &request->arena);
        request_finish(request, request->doom, &none);
    }
    while (!list_empty(&client->waiting) && client_can_open(client)) {
        struct list *first = client->waiting.next;
        request_open(LIST_ENTRY(first, struct rpc_request, link));
        if (client->waiting.next == first)
            break;
    }
    if (!client->closing && !loop_timer_running(&client->retry)) {
        if (!client->current && !list_empty(&client->waiting))
            client->current = connect_now(client);
        else if (client->renewing && !client->next)
            client->next = connect_now(client);
    }
    if (client->closing && list_empty(&client->conns) && list_empty(&client->waiting) &&
        list_empty(&client->active) && list_empty(&client->doomed))
        client_free(client);
}

static void on_retry(struct loop_timer *timer)
{
    client_ask(CONTAINER_OF(timer, struct rpc_client, retry));
}

// ---- clients ------------------------------------------------------------------------------------

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

struct rpc_client *rpc_client_new(const struct rpc_client_config *config)
{
    struct rpc_client *client = MEM_NEW(struct rpc_client);
    MAGIC_SET(client, CLIENT_MAGIC);
    client->config = *config;
    struct rpc_client_config *own = &client->config;
    own->tls = config->tls ? tls_config_ref(config->tls) : NULL;
    own->connect_ms = or_default(config->connect_ms, RPC_CLIENT_CONNECT_MS);
    own->backoff_ms_max = or_default(config->backoff_ms_max, RPC_CLIENT_BACKOFF_MS_MAX);
    own->keepalive_timeout_ms =
        or_default(config->keepalive_timeout_ms, RPC_SERVER_KEEPALIVE_TIMEOUT_MS);
    if (own->keepalive_ms > 0 && own->keepalive_ms < RPC_CLIENT_KEEPALIVE_MS_MIN)
        own->keepalive_ms = RPC_CLIENT_KEEPALIVE_MS_MIN;
    own->message_bytes_max =
        config->message_bytes_max ? config->message_bytes_max : GRPC_CLIENT_MESSAGE_BYTES_MAX;
    client->server_name = str_dup(config->server_name);
    char text[ADDR_TEXT_BYTES];
    if (config->authority)
        client->authority = str_dup(config->authority);
    else
        client->authority = str_dup(
            config->addr.kind == ADDR_UNIX ? "localhost" : addr_format(&config->addr, text));
    list_init(&client->conns);
    list_init(&client->waiting);
    list_init(&client->doomed);
    list_init(&client->active);
    loop_later_init(&client->later, config->loop, on_later);
    loop_timer_init(&client->retry, config->loop, on_retry);
    int64_t first_ms = RPC_CLIENT_BACKOFF_MS;
    backoff_init(&client->backoff, first_ms < own->backoff_ms_max ? first_ms : own->backoff_ms_max,
                 own->backoff_ms_max);
    entropy_seed(&client->rand);
    return client;
}

void rpc_client_close(struct rpc_client *client, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(!client->closing);
    client->closing = true;
    client->closed = closed;
    client->closed_ctx = ctx;
    client->current = client->next = NULL;
    client->renewing = false;
    LIST_EACH (link, &client->conns) {
        struct client_conn *conn = LIST_ENTRY(link, struct client_conn, link);
        // What was queued, such as a last message, still leaves when nobody waits for an answer.
        if (conn->channel && grpc_conn_streams(conn->channel) == 0)
            conn_shutdown(conn->conn);
        else
            conn_close(conn->conn, NULL);
    }
    client_ask(client);
}

void rpc_client_set_tls(struct rpc_client *client, struct tls_config *tls)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(tls && client->config.tls);
    tls_config_ref(tls);
    tls_config_unref(client->config.tls);
    client->config.tls = tls;
    // One that is still on its way with what is old now is given up for another.
    struct client_conn *begun = client->next ? client->next : client->current;
    if (begun && !begun->ready)
        retire(begun);
    client->renewing = client->current != NULL;
    client_ask(client);
}

void rpc_client_connect(struct rpc_client *client)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    loop_timer_stop(&client->retry);
    if (!client->current && !client->closing)
        client->current = connect_now(client);
}

bool rpc_client_connected(const struct rpc_client *client)
{
    return client->current && client->current->ready;
}

const uint8_t *rpc_client_peer_chain(const struct rpc_client *client, size_t index, size_t *size)
{
    const struct tls_session *session =
        rpc_client_connected(client) ? conn_tls(client->current->conn) : NULL;
    return session ? tls_session_peer_chain(session, index, size) : NULL;
}
