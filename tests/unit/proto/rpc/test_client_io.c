// How the client meets servers that are not there, go away, say nothing or lie; and who may call
// over TLS.
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/addr_io.h"
#include "proto/net/listener_io.h"
#include "tests/support/pems.h"
#include "tests/unit/proto/rpc/rig.h"

// ---- servers made of a socket -------------------------------------------------------------------

// A rig whose server is a bare listening socket: what comes, and what is said, is the test's.
struct bare {
    struct rig rig;
    int fd;
    int conn; // accepted, or -1
};

static void bare_start(struct bare *bare)
{
    memset(bare, 0, sizeof *bare);
    struct rig *rig = &bare->rig;
    bare->conn = -1;
    loop_init(&rig->loop);
    struct err err = ERR_INIT;
    ck_assert_int_eq(addr_parse("127.0.0.1:1", 0, &rig->addr, &err), 0);
    rig->addr.port = 0;
    bare->fd = listener_bind(&rig->addr, 0, &err);
    ck_assert_msg(bare->fd >= 0, "%s", err.message);
    struct sockaddr_storage sock;
    socklen_t size = sizeof sock;
    ck_assert_int_eq(getsockname(bare->fd, (struct sockaddr *)&sock, &size), 0);
    ck_assert_int_eq(addr_from_sock((struct sockaddr *)&sock, size, &rig->addr, &err), 0);
    ck_assert_int_eq(listen(bare->fd, 16), 0);
}

static void bare_client(struct bare *bare, const struct rpc_client_config *with)
{
    struct rpc_client_config config = *with;
    config.loop = &bare->rig.loop;
    config.addr = bare->rig.addr;
    bare->rig.client = rpc_client_new(&config);
}

// Takes the next connection, running the loop until it comes.
static void bare_accept(struct bare *bare)
{
    if (bare->conn >= 0)
        close(bare->conn);
    for (int i = 0; i < RIG_WAIT_MS; i++) {
        bare->conn = accept(bare->fd, NULL, NULL);
        if (bare->conn >= 0)
            return;
        rig_idle(&bare->rig, 1);
    }
    ck_abort_msg("no connection came");
}

// Runs the loop until the client has taken in what it was told, and holds the connection for one.
static void bare_connected(struct bare *bare)
{
    for (int i = 0; i < RIG_WAIT_MS && !rpc_client_connected(bare->rig.client); i++)
        rig_idle(&bare->rig, 1);
    ck_assert(rpc_client_connected(bare->rig.client));
}

static void bare_say(struct bare *bare, const void *bytes, size_t size)
{
    ck_assert_int_eq(write(bare->conn, bytes, size), (ssize_t)size);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void bare_stop(struct bare *bare)
{
    rpc_client_close(bare->rig.client, set_flag, &bare->rig.client_closed);
    if (bare->conn >= 0)
        close(bare->conn);
    ck_assert(loop_run_until(&bare->rig.loop, is_set, &bare->rig.client_closed, RIG_WAIT_MS));
    close(bare->fd);
    loop_fini(&bare->rig.loop);
}

static const uint8_t settings[9] = {0, 0, 0, 4, 0, 0, 0, 0, 0};

static void ended(struct rig_call *call, enum err_code code, const char *part)
{
    ck_assert(call->done);
    ck_assert_msg(call->status.err.code == code, "%d %s", call->status.err.code,
                  call->status.err.message);
    ck_assert_msg(strstr(call->status.err.message, part) != NULL, "%s", call->status.err.message);
    rig_call_free(call);
}

START_TEST(nobody_there_is_tried_again_until_the_deadline)
{
    struct bare bare;
    bare_start(&bare);
    close(bare.fd);
    bare.fd = -1;
    bare_client(&bare, &(struct rpc_client_config){0});
    struct rig_call *patient = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 1500);
    rig_wait(&bare.rig, patient);
    ended(patient, ERR_DEADLINE_EXCEEDED, "connection error");
    bare_stop(&bare);
}
END_TEST

START_TEST(server_without_settings_is_no_server)
{
    struct bare bare;
    bare_start(&bare);
    bare_client(&bare, &(struct rpc_client_config){.connect_ms = 200});
    struct rig_call *call = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 1500);
    bare_accept(&bare);
    rig_idle(&bare.rig, 50);
    ck_assert(!rpc_client_connected(bare.rig.client));
    rig_wait(&bare.rig, call);
    ended(call, ERR_DEADLINE_EXCEEDED, "SETTINGS");
    bare_stop(&bare);
}
END_TEST

START_TEST(server_that_goes_away_in_mid_stream_is_unavailable)
{
    struct bare bare;
    bare_start(&bare);
    bare_client(&bare, &(struct rpc_client_config){0});
    struct rig_call *call = rig_call(&bare.rig, TEST_HANG, RPC_SERVER_STREAM, "", 0, 0);
    bare_accept(&bare);
    bare_say(&bare, settings, sizeof settings);
    bare_connected(&bare);
    close(bare.conn);
    bare.conn = -1;
    rig_wait(&bare.rig, call);
    ended(call, ERR_UNAVAILABLE, "connection error");
    bare_stop(&bare);
}
END_TEST

START_TEST(server_that_speaks_another_protocol_is_unavailable)
{
    struct bare bare;
    bare_start(&bare);
    bare_client(&bare, &(struct rpc_client_config){0});
    struct rig_call *call = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 1500);
    bare_accept(&bare);
    bare_say(&bare, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    rig_wait(&bare.rig, call);
    ended(call, ERR_DEADLINE_EXCEEDED, "");
    bare_stop(&bare);
}
END_TEST

START_TEST(client_comes_back_to_a_server_that_left)
{
    struct bare bare;
    bare_start(&bare);
    bare_client(&bare, &(struct rpc_client_config){.backoff_ms_max = 50});
    for (int i = 0; i < 3; i++) {
        struct rig_call *call = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 0);
        bare_accept(&bare);
        bare_say(&bare, settings, sizeof settings);
        bare_connected(&bare);
        close(bare.conn);
        bare.conn = -1;
        rig_wait(&bare.rig, call);
        ended(call, ERR_UNAVAILABLE, "connection error");
        ck_assert(!rpc_client_connected(bare.rig.client));
    }
    bare_stop(&bare);
}
END_TEST

START_TEST(waiting_calls_are_bounded_and_cancelled_alike)
{
    struct bare bare;
    bare_start(&bare);
    bare_client(&bare, &(struct rpc_client_config){0});
    struct rig_call *first = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 0);
    rpc_request_cancel(first->request);
    ck_assert(!first->done);
    rig_wait(&bare.rig, first);
    ended(first, ERR_CANCELLED, "canceled");
    struct rig_call *calls[RPC_CLIENT_WAITING_MAX + 1];
    for (size_t i = 0; i < RPC_CLIENT_WAITING_MAX + 1; i++)
        calls[i] = rig_call(&bare.rig, TEST_ECHO, RPC_UNARY, "", 0, 0);
    rig_wait(&bare.rig, calls[RPC_CLIENT_WAITING_MAX]);
    ended(calls[RPC_CLIENT_WAITING_MAX], ERR_RESOURCE_EXHAUSTED, "too many calls");
    for (size_t i = 0; i < RPC_CLIENT_WAITING_MAX; i++) {
        ck_assert(!calls[i]->done);
        rpc_request_drop(calls[i]->request);
        rig_call_free(calls[i]);
    }
    bare_stop(&bare);
}
END_TEST

// Goal: calls that leave before their turn ends (CLIENT_CALLS_TOGETHER) end as any other, also
// where some of the same turn are cancelled or dropped in between.
START_TEST(calls_of_one_turn_end_each_by_itself)
{
    struct rig rig;
    struct rig_call *calls[40];
    rig_start(&rig, _i == 0 ? NULL : &(struct rig_options){.threads = 1});
    struct rig_call *first = rig_call(&rig, TEST_ECHO, RPC_UNARY, "a", 1, 0);
    rig_wait(&rig, first);
    rig_call_free(first);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        calls[i] = rig_call(&rig, i % 7 == 0 ? TEST_HANG : TEST_ECHO,
                            i % 7 == 0 ? RPC_SERVER_STREAM : RPC_UNARY, &i, sizeof i, 0);
        if (i % 5 == 3)
            rpc_request_drop(calls[i]->request);
        else if (i % 7 == 0 || i % 3 == 1)
            rpc_request_cancel(calls[i]->request);
        ck_assert(!calls[i]->done);
    }
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (i % 5 == 3) {
            rig_call_free(calls[i]);
            continue;
        }
        rig_wait(&rig, calls[i]);
        if (i % 7 == 0 || i % 3 == 1) {
            ended(calls[i], ERR_CANCELLED, "canceled");
            continue;
        }
        ck_assert_int_eq(calls[i]->status.err.code, ERR_OK);
        ck_assert_uint_eq(calls[i]->got.len, sizeof i);
        ck_assert_mem_eq(calls[i]->got.data, &i, sizeof i);
        rig_call_free(calls[i]);
    }
    rig_stop(&rig);
}
END_TEST

// ---- over TLS -----------------------------------------------------------------------------------

static struct tls_config *make_tls(bool server, const char *chain, const char *key)
{
    struct tls_options options = {
        .server = server,
        .verify = server ? TLS_VERIFY_IF_GIVEN : TLS_VERIFY_REQUIRED,
        .alpn = TLS_ALPN_H2,
        .chain_pem = chain,
        .key_pem = key,
        .roots_pem = pem_ca,
        .rng = &rng_kernel,
    };
    struct err err = ERR_INIT;
    struct tls_config *config = tls_config_new(&options, &err);
    ck_assert_msg(config != NULL, "%s", err.message);
    return config;
}

// What a client with this certificate hears within `ms`.
static struct rig_call *call_within(int64_t ms, const char *chain, const char *key,
                                    const char *path)
{
    static const struct authority authority = {.cluster_id = "cluster1"};
    struct rig_options options = {
        .tcp = true,
        .server_tls = make_tls(true, pem_manager, pem_manager_key),
        .client_tls = make_tls(false, chain, key),
        .server_name = "swarm-manager",
        .authority = &authority,
    };
    struct rig rig;
    rig_start(&rig, &options);
    struct rig_call *call = rig_call(&rig, path, RPC_UNARY, "hello", 5, ms);
    rig_wait(&rig, call);
    rig_stop(&rig);
    tls_config_unref(options.server_tls);
    tls_config_unref(options.client_tls);
    return call;
}

static struct rig_call *call_as(const char *chain, const char *key, const char *path)
{
    return call_within(RIG_WAIT_MS, chain, key, path);
}

START_TEST(certificates_decide_who_may_call)
{
    struct rig_call *call = call_as(NULL, NULL, TEST_ECHO);
    ck_assert_msg(call->status.err.code == ERR_OK, "%s", call->status.err.message);
    rig_call_free(call);
    ended(call_as(NULL, NULL, TEST_GUARDED), ERR_PERMISSION_DENIED,
          "no client certificates in request");
    ended(call_as(pem_worker, pem_worker_key, TEST_GUARDED), ERR_PERMISSION_DENIED,
          "not part of OUs: [swarm-manager]");
    ended(call_as(pem_manager, pem_manager_key, TEST_GUARDED), ERR_OK, "");
    ended(call_within(2000, pem_stranger, pem_stranger_key, TEST_ECHO), ERR_DEADLINE_EXCEEDED, "");
    ended(call_within(2000, pem_expired, pem_expired_key, TEST_ECHO), ERR_DEADLINE_EXCEEDED, "");
}
END_TEST

// ---- other credentials --------------------------------------------------------------------------

struct renewal {
    struct rig rig;
    struct rig_options options;
};

// A client with a worker's certificate, and its connection.
static void renewal_start(struct renewal *renewal)
{
    static const struct authority authority = {.cluster_id = "cluster1"};
    renewal->options = (struct rig_options){
        .tcp = true,
        .server_tls = make_tls(true, pem_manager, pem_manager_key),
        .client_tls = make_tls(false, pem_worker, pem_worker_key),
        .server_name = "swarm-manager",
        .authority = &authority,
    };
    rig_start(&renewal->rig, &renewal->options);
}

static void renewal_stop(struct renewal *renewal)
{
    rig_stop(&renewal->rig);
    tls_config_unref(renewal->options.server_tls);
    tls_config_unref(renewal->options.client_tls);
}

static void renew(struct renewal *renewal, const char *chain, const char *key)
{
    struct tls_config *tls = make_tls(false, chain, key);
    rpc_client_set_tls(renewal->rig.client, tls);
    tls_config_unref(tls);
}

// What one call came to, which waits for no connection but one that is on its way.
static enum err_code call_once(struct rig *rig, const char *path)
{
    struct rig_call *call = rig_call(rig, path, RPC_UNARY, "hello", 5, RIG_WAIT_MS);
    rig_wait(rig, call);
    enum err_code code = call->status.err.code;
    rig_call_free(call);
    return code;
}

static void until_a_manager(struct rig *rig)
{
    for (int i = 0; i < RIG_WAIT_MS && call_once(rig, TEST_GUARDED) != ERR_OK; i++)
        rig_idle(rig, 1);
    ck_assert_int_eq(call_once(rig, TEST_GUARDED), ERR_OK);
}

// The old connection serves until the new one stands, and then ends after the calls it has.
START_TEST(new_credentials_replace_a_connection_without_a_gap)
{
    struct renewal renewal;
    struct rig *rig = &renewal.rig;
    renewal_start(&renewal);
    ck_assert_int_eq(call_once(rig, TEST_GUARDED), ERR_PERMISSION_DENIED);
    struct rig_call *hanging = rig_call(rig, TEST_HANG, RPC_UNARY, "", 0, 0);
    rig_until(rig, &rig->hanging, 1);
    renew(&renewal, pem_manager, pem_manager_key);
    ck_assert(rpc_client_connected(rig->client));
    until_a_manager(rig);
    ck_assert(!hanging->done);
    ck_assert_uint_eq(rig->cancelled, 0);
    rpc_request_cancel(hanging->request);
    rig_wait(rig, hanging);
    ended(hanging, ERR_CANCELLED, "");
    rig_until(rig, &rig->cancelled, 1);
    renewal_stop(&renewal);
}
END_TEST

START_TEST(credentials_that_are_refused_cost_no_connection)
{
    struct renewal renewal;
    struct rig *rig = &renewal.rig;
    renewal_start(&renewal);
    ck_assert_int_eq(call_once(rig, TEST_ECHO), ERR_OK);
    for (int i = 0; i < 3; i++) {
        renew(&renewal, pem_stranger, pem_stranger_key);
        for (int k = 0; k < 20; k++) {
            ck_assert(rpc_client_connected(rig->client));
            ck_assert_int_eq(call_once(rig, TEST_ECHO), ERR_OK);
            rig_idle(rig, 1);
        }
    }
    // Others come while some are still tried.
    renew(&renewal, pem_worker, pem_worker_key);
    renew(&renewal, pem_manager, pem_manager_key);
    until_a_manager(rig);
    renewal_stop(&renewal);
}
END_TEST

// The connection in its place is not ready yet when the server sends the old one away.
START_TEST(connection_that_goes_while_it_is_replaced_is_replaced)
{
    struct renewal renewal;
    struct rig *rig = &renewal.rig;
    bool left = false;
    renewal_start(&renewal);
    ck_assert_int_eq(call_once(rig, TEST_ECHO), ERR_OK);
    renew(&renewal, pem_manager, pem_manager_key);
    rpc_server_close(rig->server, 0, &rig->loop, set_flag, &left);
    ck_assert(loop_run_until(&rig->loop, is_set, &left, RIG_WAIT_MS));
    rig_serve(rig, &rig->addr);
    until_a_manager(rig);
    renewal_stop(&renewal);
}
END_TEST

Suite *suite_client_io(void);
Suite *suite_client_io(void)
{
    Suite *suite = suite_create("client_io");
    TCase *faults = tcase_create("faults");
    tcase_set_timeout(faults, 60);
    tcase_add_test(faults, nobody_there_is_tried_again_until_the_deadline);
    tcase_add_test(faults, server_without_settings_is_no_server);
    tcase_add_test(faults, server_that_goes_away_in_mid_stream_is_unavailable);
    tcase_add_test(faults, server_that_speaks_another_protocol_is_unavailable);
    tcase_add_test(faults, client_comes_back_to_a_server_that_left);
    tcase_add_test(faults, waiting_calls_are_bounded_and_cancelled_alike);
    tcase_add_loop_test(faults, calls_of_one_turn_end_each_by_itself, 0, 2);
    tcase_add_test(faults, certificates_decide_who_may_call);
    suite_add_tcase(suite, faults);
    TCase *renewal = tcase_create("renewal");
    tcase_set_timeout(renewal, 60);
    tcase_add_test(renewal, new_credentials_replace_a_connection_without_a_gap);
    tcase_add_test(renewal, credentials_that_are_refused_cost_no_connection);
    tcase_add_test(renewal, connection_that_goes_while_it_is_replaced_is_replaced);
    suite_add_tcase(suite, renewal);
    return suite;
}
