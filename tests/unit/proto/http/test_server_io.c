// Server and client over a unix socket: what handlers may do, what clients may not, and each limit.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/http/client_io.h"
#include "proto/http/server_io.h"
#include "tests/support/support.h"

#define WAIT_MS 30000

static struct loop loop;
static struct listener *listener;
static struct http_server *server;
static const char *dir;
static struct addr address;
static struct http_exchange *kept;
static int gone_count, done_count;
static struct buf uploaded;
static struct conn *hijacked;

// ---- handlers ----------------------------------------------------------------------------------

static void handle_hello(struct http_exchange *x, void *context)
{
    ck_assert_ptr_eq(context, &loop);
    http_reply_header(x, "X-Name", http_param(x, "name"));
    http_reply(x, 200, "text/plain", "hello", 5);
}

static void handle_echo(struct http_exchange *x, void *context)
{
    (void)context;
    size_t size;
    const uint8_t *body = http_body(x, &size);
    http_reply(x, 201, "application/octet-stream", body, size);
}

static void on_done(struct http_exchange *x, void *owner, bool gone)
{
    (void)owner;
    done_count++;
    gone_count += gone;
    if (kept == x)
        kept = NULL;
}

static const struct http_events keep_events = {.on_done = on_done};

static void handle_keep(struct http_exchange *x, void *context)
{
    (void)context;
    kept = x;
    http_exchange_follow(x, &keep_events, NULL);
}

#define STREAM_PIECES 200
static uint8_t piece[10000];
static unsigned pieces_sent;

static void send_pieces(struct http_exchange *x, void *owner)
{
    (void)owner;
    while (pieces_sent < STREAM_PIECES && http_reply_room(x) > 0) {
        http_reply_write(x, piece, sizeof piece);
        pieces_sent++;
    }
    if (pieces_sent == STREAM_PIECES)
        http_reply_end(x);
}

static const struct http_events stream_events = {.on_drain = send_pieces};

static void handle_stream(struct http_exchange *x, void *context)
{
    (void)context;
    pieces_sent = 0;
    http_exchange_follow(x, &stream_events, NULL);
    http_reply_start(x, 200, "application/x-tar");
    send_pieces(x, NULL);
}

static void upload_body(struct http_exchange *x, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    buf_put(&uploaded, bytes, size);
    if (uploaded.len < 100000) { // let it wait now and then
        http_body_pause(x);
        http_body_resume(x);
    }
}

static void upload_end(struct http_exchange *x, void *owner)
{
    (void)owner;
    http_reply(x, 204, NULL, NULL, 0);
}

static const struct http_events upload_events = {.on_body = upload_body, .on_body_end = upload_end};

static void handle_upload(struct http_exchange *x, void *context)
{
    (void)context;
    http_exchange_follow(x, &upload_events, NULL);
}

static void raw_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    conn_write(conn, bytes, size);
}
static void raw_end(struct conn *conn, void *owner)
{
    (void)owner;
    conn_write(conn, "bye", 3);
    conn_shutdown(conn);
}
static void raw_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)owner;
    (void)why;
    hijacked = NULL;
}
static const struct conn_handler raw_handler = {NULL, raw_data, raw_end, NULL, raw_close};

static void handle_attach(struct http_exchange *x, void *context)
{
    (void)context;
    hijacked = http_hijack(x, "application/vnd.docker.raw-stream", &raw_handler, NULL);
}

static const struct http_handler hello = {.handle = handle_hello};
static const struct http_handler echo = {.handle = handle_echo, .body_bytes_max = 1000};
static const struct http_handler keep = {.handle = handle_keep};
static const struct http_handler stream = {.handle = handle_stream};
static const struct http_handler upload = {
    .handle = handle_upload, .streams_body = true, .body_bytes_max = 64 << 20};
static const struct http_handler attach = {.handle = handle_attach};

static const struct route routes[] = {
    {"GET", "/hello/{name}", &hello}, {"POST", "/echo", &echo},    {"GET", "/keep", &keep},
    {"GET", "/stream", &stream},      {"PUT", "/upload", &upload}, {"POST", "/attach", &attach},
};

static void on_accept(struct listener *from, struct conn *conn, void *owner)
{
    (void)from;
    http_server_take(owner, conn);
}

static void setup(void)
{
    static const struct http_header common[] = {{"Server", "Test"}};
    struct http_server_options options = {.routes = routes,
                                          .routes_count = sizeof routes / sizeof routes[0],
                                          .context = &loop,
                                          .head_ms = 1500,
                                          .headers = common,
                                          .headers_count = 1};
    char path[200];
    struct err err = ERR_INIT;
    dir = support_tmpdir();
    snprintf(path, sizeof path, "%s/s.sock", dir);
    ck_assert_int_eq(addr_parse(path, 0, &address, NULL), 0);
    loop_init(&loop);
    server = http_server_new(&loop, &options);
    listener =
        listener_open(&loop,
                      &(struct listener_options){
                          .addr = address, .fd = -1, .on_accept = on_accept, .owner = server},
                      &err);
    ck_assert_msg(listener != NULL, "%s", err.message);
    buf_init(&uploaded, 64 << 20);
    kept = NULL;
    hijacked = NULL;
    gone_count = done_count = 0;
}

static bool stopped;
static void on_stopped(void *owner)
{
    (void)owner;
    stopped = true;
}
static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void teardown(void)
{
    listener_close(listener, NULL);
    stopped = false;
    http_server_stop(server, 100, on_stopped, NULL);
    ck_assert(loop_run_until(&loop, is_true, &stopped, WAIT_MS));
    loop_fini(&loop);
    buf_fini(&uploaded);
    support_tmpdir_remove(dir);
}

// ---- a raw client ------------------------------------------------------------------------------

struct raw {
    struct conn *conn;
    struct buf seen;
    bool closed;
    const char *until;
};

static void client_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    buf_put(&((struct raw *)owner)->seen, bytes, size);
}
static void client_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    ((struct raw *)owner)->closed = true;
}
static const struct conn_handler client_handler = {NULL, client_data, NULL, NULL, client_close};

static bool raw_done(void *owner)
{
    struct raw *raw = owner;
    return raw->closed ||
           (raw->until && raw->seen.len > 0 && strstr(buf_cstr(&raw->seen), raw->until) != NULL);
}

static void raw_open(struct raw *raw)
{
    *raw = (struct raw){0};
    buf_init(&raw->seen, 16 << 20);
    raw->conn = conn_connect(&loop, &address, &(struct conn_options){0}, &client_handler, raw);
}

static const char *raw_say(struct raw *raw, const char *text, const char *until)
{
    buf_clear(&raw->seen);
    raw->until = until;
    conn_write(raw->conn, text, strlen(text));
    ck_assert_msg(loop_run_until(&loop, raw_done, raw, WAIT_MS), "only: %s", buf_cstr(&raw->seen));
    return buf_cstr(&raw->seen);
}

static void raw_finish(struct raw *raw)
{
    if (!raw->closed)
        conn_close(raw->conn, NULL);
    raw->until = NULL;
    ck_assert(loop_run_until(&loop, raw_done, raw, WAIT_MS));
    buf_fini(&raw->seen);
}

static void has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text);
}

static void has_not(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in: %s", part, text);
}

START_TEST(answers_carry_headers_and_connections_are_kept)
{
    struct raw raw;
    raw_open(&raw);
    for (int i = 0; i < 3; i++) {
        const char *answer =
            raw_say(&raw, "GET /v1.41/hello/you HTTP/1.1\r\nHost: x\r\n\r\n", "hello");
        has(answer, "HTTP/1.1 200 OK\r\n");
        has(answer, "\r\nServer: Test\r\n");
        has(answer, "\r\nX-Name: you\r\n");
        has(answer, "\r\nContent-Length: 5\r\n");
        has(answer, "\r\nDate: ");
        has_not(answer, "Connection: close");
    }
    const char *answer = raw_say(&raw, "HEAD /hello/you HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n");
    has(answer, "Content-Length: 5\r\n");
    has_not(answer, "hello");
    raw_finish(&raw);
}
END_TEST

START_TEST(requests_sent_ahead_are_answered_in_order)
{
    struct raw raw;
    raw_open(&raw);
    const char *answer = raw_say(&raw,
                                 "GET /hello/a HTTP/1.1\r\nHost: x\r\n\r\n"
                                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                                 "GET /hello/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                 NULL);
    const char *first = strstr(answer, "X-Name: a"), *second = strstr(answer, "\r\n\r\nabc");
    const char *third = strstr(answer, "X-Name: b");
    ck_assert(first && second && third);
    ck_assert(first < second && second < third);
    raw_finish(&raw);
}
END_TEST

static const struct {
    const char *request;
    const char *status;
} refusals[] = {
    {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404 Not Found"},
    {"PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405 Method Not Allowed"},
    {"GET /hello/a HTTP/1.1\r\n\r\n", "400 Bad Request"},
    {"nonsense\r\n\r\n", "400 Bad Request"},
    {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413 Payload Too Large"},
    {"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
     "417 Expectation Failed"},
};

START_TEST(bad_requests_are_refused_and_closed)
{
    struct raw raw;
    raw_open(&raw);
    has(raw_say(&raw, refusals[_i].request, NULL), refusals[_i].status);
    has(buf_cstr(&raw.seen), "Connection: close\r\n");
    raw_finish(&raw);
}
END_TEST

START_TEST(body_limit_holds_at_its_edge_also_in_chunks)
{
    struct raw raw;
    char request[1400];
    raw_open(&raw);
    int head = sprintf(request, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    memset(request + head, 'a', 1000);
    request[head + 1000] = '\0';
    has(raw_say(&raw, request, "aaaaa"), "201 Created");
    head = sprintf(request,
                   "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n");
    memset(request + head, 'a', 1000);
    strcpy(request + head + 1000, "\r\n1\r\na\r\n0\r\n\r\n");
    has(raw_say(&raw, request, NULL), "413 Payload Too Large");
    raw_finish(&raw);
}
END_TEST

START_TEST(oversized_heads_are_refused)
{
    struct raw raw;
    raw_open(&raw);
    char *request = calloc(1, HTTP_HEAD_BYTES_MAX + 200);
    int head = sprintf(request, "GET /hello/a HTTP/1.1\r\nHost: x\r\nX: ");
    memset(request + head, 'x', HTTP_HEAD_BYTES_MAX);
    has(raw_say(&raw, request, NULL), "431 Request Header Fields Too Large");
    raw_finish(&raw);
    raw_open(&raw);
    head = sprintf(request, "GET /");
    memset(request + head, 'x', HTTP_TARGET_BYTES_MAX);
    has(raw_say(&raw, request, NULL), "414 URI Too Long");
    raw_finish(&raw);
    free(request);
}
END_TEST

START_TEST(expectation_is_met_before_the_body)
{
    struct raw raw;
    raw_open(&raw);
    has(raw_say(&raw,
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
                "4\r\n\r\n",
                "\r\n\r\n"),
        "HTTP/1.1 100 Continue");
    has(raw_say(&raw, "body", "body"), "201 Created");
    raw_finish(&raw);
}
END_TEST

START_TEST(head_that_never_ends_is_refused_while_others_are_served)
{
    struct raw slow, other;
    raw_open(&slow);
    raw_open(&other);
    conn_write(slow.conn, "GET /hello/you HTTP/1.1\r\nHost: x\r\nX-", 36);
    has(raw_say(&other, "GET /hello/you HTTP/1.1\r\nHost: x\r\n\r\n", "hello"), "200 OK");
    has(raw_say(&slow, "Slow", NULL), "408 Request Timeout");
    has(raw_say(&other, "GET /hello/you HTTP/1.1\r\nHost: x\r\n\r\n", "hello"), "200 OK");
    raw_finish(&slow);
    raw_finish(&other);
}
END_TEST

START_TEST(client_that_leaves_is_noticed_while_it_waits)
{
    struct raw raw;
    raw_open(&raw);
    conn_write(raw.conn, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n", 31);
    for (int i = 0; i < 100 && !kept; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    ck_assert_ptr_nonnull(kept);
    raw_finish(&raw);
    for (int i = 0; i < 100 && !gone_count; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    ck_assert_int_eq(gone_count, 1);
    ck_assert_int_eq(done_count, 1);
    ck_assert_ptr_null(kept);
}
END_TEST

START_TEST(answer_may_come_later)
{
    struct raw raw;
    raw_open(&raw);
    conn_write(raw.conn, "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n", 31);
    for (int i = 0; i < 100 && !kept; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    http_reply(kept, 503, NULL, "", 0);
    has(raw_say(&raw, "", "\r\n\r\n"), "503 Service Unavailable");
    ck_assert_int_eq(done_count, 1);
    ck_assert_int_eq(gone_count, 0);
    raw_finish(&raw);
}
END_TEST

START_TEST(http_1_0_client_reads_until_the_close)
{
    struct raw raw;
    raw_open(&raw);
    const char *answer = raw_say(&raw, "GET /stream HTTP/1.0\r\n\r\n", NULL);
    has_not(answer, "chunked");
    ck_assert_uint_gt(raw.seen.len, STREAM_PIECES * sizeof piece);
    raw_finish(&raw);
}
END_TEST

START_TEST(hijacked_connection_is_raw_both_ways)
{
    struct raw raw;
    raw_open(&raw);
    const char *answer = raw_say(&raw,
                                 "POST /attach HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                                 "Upgrade: tcp\r\n\r\nearly",
                                 "early");
    has(answer, "HTTP/1.1 101 UPGRADED\r\n");
    has(answer, "Content-Type: application/vnd.docker.raw-stream\r\n");
    has(answer, "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly");
    ck_assert_uint_eq(http_server_conns(server), 0);
    ck_assert_str_eq(raw_say(&raw, "later", "later"), "later");
    conn_end(raw.conn);
    has(raw_say(&raw, "", NULL), "bye");
    raw_finish(&raw);
}
END_TEST

// ---- our client --------------------------------------------------------------------------------

struct answer {
    int status;
    struct buf body;
    bool ended;
    struct err why;
    struct conn *conn;
};

static void call_head(struct http_call *call, void *owner, const struct http_head *head)
{
    (void)call;
    ((struct answer *)owner)->status = head->status;
}
static void call_body(struct http_call *call, void *owner, const uint8_t *bytes, size_t size)
{
    struct answer *answer = owner;
    buf_put(&answer->body, bytes, size);
    if (answer->body.len < 100000) {
        http_call_pause(call);
        http_call_resume(call);
    }
}
static void call_drain(struct http_call *call, void *owner)
{
    (void)owner;
    while (pieces_sent < STREAM_PIECES && http_call_room(call) > 0) {
        http_call_write(call, piece, sizeof piece);
        pieces_sent++;
    }
    if (pieces_sent == STREAM_PIECES) {
        pieces_sent++;
        http_call_finish(call);
    }
}
static void call_upgrade(struct http_call *call, void *owner, struct conn *conn)
{
    (void)call;
    struct answer *answer = owner;
    answer->conn = conn;
    static struct raw raw;
    raw = (struct raw){.conn = conn};
    buf_init(&raw.seen, 1000);
    conn_set_handler(conn, &client_handler, &raw);
}
static void call_end(struct http_call *call, void *owner, const struct err *why)
{
    (void)call;
    struct answer *answer = owner;
    answer->ended = true;
    answer->why = *why;
}
static const struct http_call_handler call_handler = {call_head, call_body, call_drain,
                                                      call_upgrade, call_end};

static struct http_call *start_call(struct http_client *client, struct answer *answer,
                                    struct http_call_request request)
{
    *answer = (struct answer){0};
    buf_init(&answer->body, 16 << 20);
    return http_call_start(client, &request, &call_handler, answer);
}

static void wait_answer(struct answer *answer)
{
    ck_assert_msg(loop_run_until(&loop, is_true, &answer->ended, WAIT_MS), "status %d, %zu bytes",
                  answer->status, answer->body.len);
}

START_TEST(client_gets_bodies_in_one_piece_and_in_chunks)
{
    struct http_client *client = http_client_new(&loop, &address, &(struct conn_options){0}, NULL);
    struct answer answer;
    for (int i = 0; i < 3; i++) {
        start_call(client, &answer,
                   (struct http_call_request){
                       .method = "POST", .target = "/echo", .body = "body", .body_size = 4});
        wait_answer(&answer);
        ck_assert_int_eq(answer.why.code, ERR_OK);
        ck_assert_int_eq(answer.status, 201);
        ck_assert_str_eq(buf_cstr(&answer.body), "body");
        ck_assert_uint_eq(http_server_conns(server), 1); // the connection was used again
        buf_fini(&answer.body);
    }
    start_call(client, &answer, (struct http_call_request){.method = "GET", .target = "/stream"});
    wait_answer(&answer);
    ck_assert_int_eq(answer.why.code, ERR_OK);
    ck_assert_uint_eq(answer.body.len, STREAM_PIECES * sizeof piece);
    buf_fini(&answer.body);
    start_call(client, &answer, (struct http_call_request){.method = "HEAD", .target = "/hello/x"});
    wait_answer(&answer);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_uint_eq(answer.body.len, 0);
    http_client_free(client);
}
END_TEST

START_TEST(client_streams_a_body_up)
{
    struct http_client *client = http_client_new(&loop, &address, &(struct conn_options){0}, NULL);
    struct answer answer;
    pieces_sent = 0;
    struct http_call *call = start_call(
        client, &answer,
        (struct http_call_request){.method = "PUT", .target = "/upload", .streams_body = true});
    call_drain(call, &answer);
    wait_answer(&answer);
    ck_assert_int_eq(answer.why.code, ERR_OK);
    ck_assert_int_eq(answer.status, 204);
    ck_assert_uint_eq(uploaded.len, STREAM_PIECES * sizeof piece);
    http_client_free(client);
}
END_TEST

START_TEST(client_upgrades_cancels_and_times_out)
{
    struct http_client *client = http_client_new(&loop, &address, &(struct conn_options){0}, NULL);
    struct answer answer;
    start_call(client, &answer,
               (struct http_call_request){.method = "POST", .target = "/attach", .upgrade = true});
    wait_answer(&answer);
    ck_assert_int_eq(answer.status, 101);
    ck_assert_ptr_nonnull(answer.conn);
    struct raw *raw = conn_owner(answer.conn);
    ck_assert_str_eq(raw_say(raw, "ping", "ping"), "ping");
    raw_finish(raw);
    struct http_call *call =
        start_call(client, &answer, (struct http_call_request){.method = "GET", .target = "/keep"});
    http_call_cancel(call);
    ck_assert(!answer.ended);
    wait_answer(&answer);
    ck_assert_int_eq(answer.why.code, ERR_CANCELLED);
    start_call(client, &answer,
               (struct http_call_request){.method = "GET", .target = "/keep", .timeout_ms = 50});
    wait_answer(&answer);
    ck_assert_int_eq(answer.why.code, ERR_DEADLINE_EXCEEDED);
    http_client_free(client);
}
END_TEST

Suite *suite_server_io(void);
Suite *suite_server_io(void)
{
    Suite *suite = suite_create("server_io");
    TCase *tcase = tcase_create("raw");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, answers_carry_headers_and_connections_are_kept);
    tcase_add_test(tcase, requests_sent_ahead_are_answered_in_order);
    tcase_add_loop_test(tcase, bad_requests_are_refused_and_closed, 0,
                        sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tcase, body_limit_holds_at_its_edge_also_in_chunks);
    tcase_add_test(tcase, oversized_heads_are_refused);
    tcase_add_test(tcase, expectation_is_met_before_the_body);
    tcase_add_test(tcase, head_that_never_ends_is_refused_while_others_are_served);
    tcase_add_test(tcase, client_that_leaves_is_noticed_while_it_waits);
    tcase_add_test(tcase, answer_may_come_later);
    tcase_add_test(tcase, http_1_0_client_reads_until_the_close);
    tcase_add_test(tcase, hijacked_connection_is_raw_both_ways);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("client");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, client_gets_bodies_in_one_piece_and_in_chunks);
    tcase_add_test(tcase, client_streams_a_body_up);
    tcase_add_test(tcase, client_upgrades_cancels_and_times_out);
    suite_add_tcase(suite, tcase);
    return suite;
}
