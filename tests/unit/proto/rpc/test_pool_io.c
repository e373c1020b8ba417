// Clients of all managers, chosen by weight.
#include <check.h>
#include <string.h>

#include "proto/rpc/pool_io.h"
#include "tests/unit/proto/rpc/rig.h"

static struct rig rig;
static struct rpc_pool *pool;

static void begin(void)
{
    rig_start(&rig, &(struct rig_options){.tcp = true});
    pool = rpc_pool_new(&(struct rpc_pool_config){.loop = &rig.loop, .backoff_ms_max = 50});
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void end(void)
{
    bool closed = false;
    rpc_pool_close(pool, set_flag, &closed);
    ck_assert(!closed);
    ck_assert(loop_run_until(&rig.loop, is_set, &closed, RIG_WAIT_MS));
    rig_stop(&rig);
}

static void know(const char *node_id, const char *addr, int weight)
{
    ck_assert(remotes_observe(rpc_pool_remotes(pool), node_id, addr, weight));
}

static bool done;
static enum err_code code;

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)ctx;
    (void)trailers;
    done = true;
    code = status->err.code;
}

static enum err_code call(struct rpc_client *client)
{
    done = false;
    struct rpc_request_spec spec = {
        .path = TEST_ECHO, .kind = RPC_UNARY, .timeout_ms = RIG_WAIT_MS, .on_done = on_done};
    rpc_client_call_bytes(client, &spec, "x", 1);
    ck_assert(loop_run_until(&rig.loop, is_set, &done, RIG_WAIT_MS));
    return code;
}

START_TEST(picks_a_manager_and_keeps_its_connection)
{
    char text[ADDR_TEXT_BYTES];
    ck_assert_ptr_null(rpc_pool_pick(pool, NULL, 0, NULL));
    know("m1", addr_format(&rig.addr, text), 10);
    const struct remote *chosen;
    struct rpc_client *client = rpc_pool_pick(pool, NULL, 0, &chosen);
    ck_assert_str_eq(chosen->node_id, "m1");
    ck_assert_int_eq(call(client), ERR_OK);
    ck_assert_ptr_eq(rpc_pool_pick(pool, NULL, 0, NULL), client);
    ck_assert_int_eq(call(client), ERR_OK);
    struct rpc_server_stats stats;
    rpc_server_stats(rig.server, &stats);
    ck_assert_uint_eq(stats.connections, 1);
    rpc_pool_observe(pool, client, true);
    ck_assert_int_eq(rpc_pool_remotes(pool)->list[0].weight, 10);
    const char *except[] = {"m1"};
    ck_assert_ptr_null(rpc_pool_pick(pool, except, 1, NULL));
}
END_TEST

START_TEST(failed_connections_lower_the_weight)
{
    know("m1", "127.0.0.1:1", 10);
    struct rpc_client *client = rpc_pool_pick(pool, NULL, 0, NULL);
    ck_assert_int_eq(call(client), ERR_UNAVAILABLE);
    ck_assert_int_le(rpc_pool_remotes(pool)->list[0].weight, 0);
}
END_TEST

START_TEST(managers_that_left_take_their_connections_along)
{
    char text[ADDR_TEXT_BYTES];
    know("m1", addr_format(&rig.addr, text), 10);
    ck_assert_int_eq(call(rpc_pool_pick(pool, NULL, 0, NULL)), ERR_OK);
    struct remote list[] = {{"m2", "127.0.0.1:1", 10}};
    remotes_update(rpc_pool_remotes(pool), list, 1);
    rpc_pool_changed(pool);
    struct rpc_server_stats stats = {.connections = 1};
    for (int i = 0; i < RIG_WAIT_MS && stats.connections > 0; i++) {
        rig_idle(&rig, 1);
        rpc_server_stats(rig.server, &stats);
    }
    ck_assert_uint_eq(stats.connections, 0);
}
END_TEST

START_TEST(what_is_no_address_is_dropped)
{
    know("m1", "no address", 10);
    ck_assert_ptr_null(rpc_pool_pick(pool, NULL, 0, NULL));
    ck_assert_uint_eq(rpc_pool_remotes(pool)->count, 0);
}
END_TEST

Suite *suite_pool_io(void);
Suite *suite_pool_io(void)
{
    Suite *suite = suite_create("pool_io");
    TCase *members = tcase_create("members");
    tcase_add_checked_fixture(members, begin, end);
    tcase_add_test(members, picks_a_manager_and_keeps_its_connection);
    tcase_add_test(members, failed_connections_lower_the_weight);
    tcase_add_test(members, managers_that_left_take_their_connections_along);
    tcase_add_test(members, what_is_no_address_is_dropped);
    suite_add_tcase(suite, members);
    return suite;
}
