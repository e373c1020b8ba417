// The server and the client against each other: every kind of call, and how calls end.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/net/conn_io.h"
#include "proto/rpc/grpc.h"
#include "tests/support/support.h"
#include "tests/unit/proto/rpc/rig.h"

// The ways a service may be served; each test below runs in all of them.
static const struct rig_options ways[] = {
    {.tcp = false},
    {.tcp = true, .threads = 2},
    {.tcp = false, .threads = 2, .home = true},
};
#define WAYS ((int)(sizeof ways / sizeof ways[0]))

static void expect_text(const struct rig_call *call, const char *text)
{
    ck_assert_msg(call->status.err.code == ERR_OK, "%s", call->status.err.message);
    ck_assert_uint_eq(call->got.len, strlen(text));
    ck_assert_mem_eq(call->got.data ? call->got.data : (const uint8_t *)"", text, strlen(text));
}

START_TEST(unary_call_gets_its_reply_and_metadata)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_ECHO, RPC_UNARY, "hello", 5, 0);
    rig_wait(&rig, call);
    expect_text(call, "hello");
    ck_assert_str_eq(call->header, "why not?");
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(empty_message_is_a_message)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_ECHO, RPC_UNARY, "", 0, 0);
    rig_wait(&rig, call);
    expect_text(call, "");
    ck_assert_uint_eq(call->messages, 1);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(server_streaming_brings_all_messages_then_trailers)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_COUNT, RPC_SERVER_STREAM, "1000", 4, 0);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_OK);
    ck_assert_uint_eq(call->messages, 1000);
    ck_assert_str_eq(call->header, "counting");
    ck_assert_str_eq(call->trailer, "counted");
    rig_call_free(call);
    call = rig_call(&rig, TEST_COUNT, RPC_SERVER_STREAM, "0", 1, 0);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_OK);
    ck_assert_uint_eq(call->messages, 0);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(client_streaming_takes_all_messages_then_replies)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_COLLECT, RPC_CLIENT_STREAM, NULL, 0, 0);
    struct err err = ERR_INIT;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(rpc_request_send_bytes(call->request, "0123456789", 10, &err), 0);
    rpc_request_end(call->request);
    rig_wait(&rig, call);
    expect_text(call, "1000");
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(bidirectional_messages_come_back_one_by_one)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_CHAT, RPC_BIDI_STREAM, NULL, 0, 0);
    struct err err = ERR_INIT;
    unsigned messages = 0;
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(rpc_request_send_bytes(call->request, "ab", 2, &err), 0);
        while (call->messages == messages)
            rig_idle(&rig, 1);
        messages = (unsigned)call->messages;
    }
    rpc_request_end(call->request);
    rig_wait(&rig, call);
    expect_text(call, "abababababababababab");
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(error_brings_code_message_details_and_trailers)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_FAIL, RPC_UNARY, "", 0, 0);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_NOT_FOUND);
    ck_assert_str_eq(call->status.err.message, "node é not found: 100% sure\n");
    ck_assert_uint_eq(call->status.details_size, 5);
    ck_assert_int_eq(call->details[4], 'x');
    ck_assert_str_eq(call->trailer, "gone");
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(unknown_names_are_unimplemented_in_stock_words)
{
    static const struct {
        const char *path;
        const char *text;
    } rows[] = {
        {"/test.Echo/Nope", "unknown method Nope for service test.Echo"},
        {"/test.Nope/Echo", "unknown service test.Nope"},
        {"/nope", "malformed method name: \"/nope\""},
    };
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig_call *call = rig_call(&rig, rows[i].path, RPC_UNARY, "", 0, 0);
        rig_wait(&rig, call);
        ck_assert_int_eq(call->status.err.code, ERR_UNIMPLEMENTED);
        ck_assert_str_eq(call->status.err.message, rows[i].text);
        rig_call_free(call);
    }
    rig_stop(&rig);
}
END_TEST

START_TEST(deadline_ends_both_sides)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 50);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_DEADLINE_EXCEEDED);
    rig_until(&rig, &rig.cancelled, 1);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(cancel_reaches_the_service)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
    rig_until(&rig, &rig.hanging, 1);
    rpc_request_cancel(call->request);
    ck_assert(!call->done); // never before the call returns
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_CANCELLED);
    rig_until(&rig, &rig.cancelled, 1);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(dropped_call_is_cancelled_without_a_word)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
    rig_until(&rig, &rig.hanging, 1);
    rpc_request_drop(call->request);
    rig_until(&rig, &rig.cancelled, 1);
    ck_assert(!call->done);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(four_megabytes_pass_and_one_byte_more_does_not)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    size_t most = GRPC_SERVER_MESSAGE_BYTES_MAX;
    uint8_t *bytes = malloc(most + 1);
    for (size_t i = 0; i <= most; i++)
        bytes[i] = (uint8_t)(i * 31 >> 4);
    struct rig_call *call = rig_call(&rig, TEST_ECHO, RPC_UNARY, bytes, most, 0);
    rig_wait(&rig, call);
    ck_assert_msg(call->status.err.code == ERR_OK, "%s", call->status.err.message);
    ck_assert_uint_eq(call->got.len, most);
    ck_assert_mem_eq(call->got.data, bytes, most);
    rig_call_free(call);
    call = rig_call(&rig, TEST_ECHO, RPC_UNARY, bytes, most + 1, 0);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(call->status.err.message,
                     "grpc: received message larger than max (4194305 vs. 4194304)");
    rig_call_free(call);
    free(bytes);
    rig_stop(&rig);
}
END_TEST

START_TEST(paused_reader_slows_the_sender_down)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_FLOOD, RPC_SERVER_STREAM, "", 0, 0);
    call->pause_first = true;
    while (call->messages == 0)
        rig_idle(&rig, 1);
    // Where the server has a thread of its own it fills them in its own time.
    unsigned before;
    do {
        before = __atomic_load_n(&rig.flooded, __ATOMIC_RELAXED);
        rig_idle(&rig, 300);
    } while (__atomic_load_n(&rig.flooded, __ATOMIC_RELAXED) != before);
    ck_assert_uint_ge(call->messages, 1);
    // The queues, windows and socket buffers between the two hold what they hold, and no more.
    ck_assert_uint_le(before, 200);
    rig_idle(&rig, 100);
    ck_assert_uint_eq(__atomic_load_n(&rig.flooded, __ATOMIC_RELAXED), before);
    call->pause_first = false;
    rpc_request_resume(call->request);
    rig_until(&rig, &rig.flooded, before + 100);
    rpc_request_cancel(call->request);
    rig_wait(&rig, call);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(many_calls_share_one_connection)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    enum { CALLS = 500 };
    struct rig_call *calls[CALLS];
    for (int i = 0; i < CALLS; i++)
        calls[i] = rig_call(&rig, TEST_ECHO, RPC_UNARY, "hello", 5, 0);
    for (int i = 0; i < CALLS; i++) {
        rig_wait(&rig, calls[i]);
        expect_text(calls[i], "hello");
        rig_call_free(calls[i]);
    }
    struct rpc_server_stats stats;
    rpc_server_stats(rig.server, &stats);
    ck_assert_uint_eq(stats.connections, 1);
    ck_assert_uint_eq(stats.calls_total, CALLS);
    rig_stop(&rig);
}
END_TEST

START_TEST(closing_the_server_lets_calls_end)
{
    struct rig rig;
    struct rig_options options = ways[_i];
    rig_start(&rig, &options);
    struct rig_call *call = rig_call(&rig, TEST_CHAT, RPC_BIDI_STREAM, NULL, 0, 0);
    struct err err = ERR_INIT;
    ck_assert_int_eq(rpc_request_send_bytes(call->request, "a", 1, &err), 0);
    while (call->messages == 0)
        rig_idle(&rig, 1);
    rig_close_server(&rig, RIG_WAIT_MS);
    rig_idle(&rig, 400); // GOAWAY, twice
    ck_assert(!call->done);
    ck_assert_int_eq(rpc_request_send_bytes(call->request, "b", 1, &err), 0);
    rpc_request_end(call->request);
    rig_wait(&rig, call);
    expect_text(call, "ab");
    rig_call_free(call);
    // New calls find nobody.
    call = rig_call(&rig, TEST_ECHO, RPC_UNARY, "", 0, 100);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_DEADLINE_EXCEEDED);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

START_TEST(server_that_ends_at_once_cancels_what_runs)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
    rig_until(&rig, &rig.hanging, 1);
    rig_close_server(&rig, 0);
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_UNAVAILABLE);
    rig_call_free(call);
    rig_until(&rig, &rig.cancelled, 1);
    rig_stop(&rig);
    ck_assert_uint_eq(rig.cancelled, 1);
}
END_TEST

START_TEST(closed_client_ends_its_calls)
{
    struct rig rig;
    rig_start(&rig, &ways[_i]);
    struct rig_call *call = rig_call(&rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
    rig_until(&rig, &rig.hanging, 1);
    rpc_client_close(rig.client, NULL, NULL);
    rig.client = NULL;
    rig_wait(&rig, call);
    ck_assert_int_eq(call->status.err.code, ERR_CANCELLED);
    rig_until(&rig, &rig.cancelled, 1);
    rig_call_free(call);
    rig_stop(&rig);
}
END_TEST

// Nobody waits for the client's end but the loop's own: whatever the client is in the middle of.
START_TEST(loop_ends_after_a_client_nobody_waits_for)
{
    struct rig_options options = {.tcp = true, .threads = 1};
    struct rig rig;
    rig_start(&rig, &options);
    enum { NEVER_USED, CONNECTING, LOOKING_UP, BACKING_OFF, CONNECTED, CALLING, STATES };
    for (int state = 0; state < STATES; state++) {
        struct rig mine = {0};
        loop_init(&mine.loop);
        struct rpc_client_config config = {.loop = &mine.loop, .addr = rig.addr};
        if (state == LOOKING_UP)
            ck_assert_int_eq(addr_parse("localhost", rig.addr.port, &config.addr, NULL), 0);
        if (state == BACKING_OFF) // a port nobody listens on
            ck_assert_int_eq(addr_parse("127.0.0.1", (uint16_t)support_port(), &config.addr, NULL),
                             0);
        mine.client = rpc_client_new(&config);
        struct rig_call *call = NULL;
        if (state == CONNECTING || state == LOOKING_UP || state == BACKING_OFF)
            rpc_client_connect(mine.client);
        if (state == BACKING_OFF)
            rig_idle(&mine, 20);
        if (state >= CONNECTED) {
            call = rig_call(&mine, TEST_ECHO, RPC_UNARY, "x", 1, 0);
            rig_wait(&mine, call);
            rig_call_free(call);
            call = NULL;
        }
        if (state == CALLING) {
            call = rig_call(&mine, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
            rig_until(&mine, &rig.hanging, 1);
        }
        rpc_client_close(mine.client, NULL, NULL);
        loop_fini(&mine.loop);
        if (call) {
            ck_assert(call->done);
            ck_assert_int_eq(call->status.err.code, ERR_CANCELLED);
            rig_call_free(call);
        }
    }
    rig_stop(&rig);
}
END_TEST

// Goal: an error of HTTP/2 ends the session at once, and what the peer goes on sending is not read
// for as long as a farewell may take.
START_TEST(peer_that_goes_on_after_the_end_of_its_session_is_cut_off)
{
    static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                   "\0\0\0\4\0\0\0\0\0"                          // SETTINGS
                                   "\0\0\6\1\5\0\0\0\1\xff\xff\xff\xff\xff\xff"; // no HPACK
    static const uint8_t more[32 * 1024];
    struct rig rig;
    rig_start(&rig, &(struct rig_options){.tcp = true});
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(rig.addr.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(send(fd, hello, sizeof hello - 1, 0), sizeof hello - 1);
    bool cut = false;
    for (int64_t ms = 0; !cut && ms < CONN_LINGER_MS / 2; ms++) {
        rig_idle(&rig, 1);
        cut = send(fd, more, sizeof more, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN;
    }
    ck_assert(cut);
    close(fd);
    rig_stop(&rig);
}
END_TEST

Suite *suite_server_io(void);
Suite *suite_server_io(void)
{
    Suite *suite = suite_create("server_io");
    TCase *calls = tcase_create("calls");
    tcase_set_timeout(calls, 60);
    tcase_add_loop_test(calls, unary_call_gets_its_reply_and_metadata, 0, WAYS);
    tcase_add_loop_test(calls, empty_message_is_a_message, 0, WAYS);
    tcase_add_loop_test(calls, server_streaming_brings_all_messages_then_trailers, 0, WAYS);
    tcase_add_loop_test(calls, client_streaming_takes_all_messages_then_replies, 0, WAYS);
    tcase_add_loop_test(calls, bidirectional_messages_come_back_one_by_one, 0, WAYS);
    tcase_add_loop_test(calls, error_brings_code_message_details_and_trailers, 0, WAYS);
    tcase_add_loop_test(calls, unknown_names_are_unimplemented_in_stock_words, 0, WAYS);
    tcase_add_loop_test(calls, deadline_ends_both_sides, 0, WAYS);
    tcase_add_loop_test(calls, cancel_reaches_the_service, 0, WAYS);
    tcase_add_loop_test(calls, dropped_call_is_cancelled_without_a_word, 0, WAYS);
    tcase_add_loop_test(calls, four_megabytes_pass_and_one_byte_more_does_not, 0, WAYS);
    tcase_add_loop_test(calls, paused_reader_slows_the_sender_down, 0, WAYS);
    tcase_add_loop_test(calls, many_calls_share_one_connection, 0, WAYS);
    tcase_add_loop_test(calls, closing_the_server_lets_calls_end, 0, WAYS);
    tcase_add_loop_test(calls, server_that_ends_at_once_cancels_what_runs, 0, WAYS);
    tcase_add_test(calls, loop_ends_after_a_client_nobody_waits_for);
    tcase_add_test(calls, peer_that_goes_on_after_the_end_of_its_session_is_cut_off);
    tcase_add_loop_test(calls, closed_client_ends_its_calls, 0, WAYS);
    suite_add_tcase(suite, calls);
    return suite;
}
