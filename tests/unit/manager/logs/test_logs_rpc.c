// Logs and LogBroker over gRPC: a client and the manager's own agent on the local socket.
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/logs/logs_rpc.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define WAIT_MS 60000

static struct fake_log log_;
static struct loop loop;
static struct arena arena;
static struct logs_desk desk;
static struct rpc_server *server;
static struct rpc_client *client;

static void set_up(void)
{
    struct addr addr;
    char text[64];
    fake_log_init(&log_, 10);
    loop_init(&loop);
    arena_init(&arena, SIZE_MAX);
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Task *task = fake_task(&arena, "t1", "s1", 1);
    task->node_id = "m1";
    task->status->state = SWARM__TASK_STATE__RUNNING;
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&log_, txn);
    desk = (struct logs_desk){.logs = logs_start(&loop, log_.store, &rng_kernel), .node_id = "m1"};
    struct loop *loops[] = {&loop};
    struct rpc_service services[] = {logs_service(&desk, &loop), log_broker_service(&desk, &loop)};
    struct rpc_server_config options = {
        .loops = loops, .loops_count = 1, .services = services, .services_count = 2};
    server = rpc_server_new(&options);
    snprintf(text, sizeof text, "unix://@skep-logs-%d", (int)getpid());
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), 0);
    ck_assert_int_eq(rpc_server_listen(server, &addr, -1, NULL, NULL), 0);
    struct rpc_client_config config = {.loop = &loop, .addr = addr};
    client = rpc_client_new(&config);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void wait_for(bool *flag)
{
    ck_assert_msg(loop_run_until(&loop, is_set, flag, WAIT_MS), "nothing came");
}

static void tear_down(void)
{
    bool closed = false;
    if (desk.logs)
        logs_stop(desk.logs);
    desk.logs = NULL;
    rpc_client_close(client, set_flag, &closed);
    wait_for(&closed);
    closed = false;
    rpc_server_close(server, 0, &loop, set_flag, &closed);
    wait_for(&closed);
    loop_fini(&loop);
    fake_log_fini(&log_);
    arena_fini(&arena);
}

struct result {
    bool done;
    bool came;
    int messages;
    int code;
    char text[256];
    void *message;
    struct rpc_request *request;
};

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    struct result *result = ctx;
    (void)request;
    result->came = true;
    result->messages++;
    result->message = wire_copy(message, &arena);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct result *result = ctx;
    (void)trailers;
    (void)request;
    result->done = true;
    result->code = (int)status->err.code;
    str_copy(result->text, sizeof result->text, status->err.message);
}

static void call(struct result *result, const char *path, enum rpc_kind kind,
                 const ProtobufCMessageDescriptor *response, const void *request)
{
    struct rpc_request_spec spec = {.path = path,
                                    .kind = kind,
                                    .response = response,
                                    .wait_for_ready = true,
                                    .on_message = on_message,
                                    .on_done = on_done,
                                    .ctx = result};
    *result = (struct result){.done = false};
    result->request = rpc_client_call(client, &spec, request);
}

static void listen_to(struct result *result)
{
    Swarm__ListenSubscriptionsRequest request = SWARM__LISTEN_SUBSCRIPTIONS_REQUEST__INIT;
    call(result, "/docker.swarmkit.v1.LogBroker/ListenSubscriptions", RPC_SERVER_STREAM,
         &swarm__subscription_message__descriptor, &request);
    bool no = false;
    loop_run_until(&loop, is_set, &no, 50); // nothing is sent until there is a subscription
}

static void subscribe(struct result *result)
{
    static const char *services[] = {"s1"};
    Swarm__SubscribeLogsRequest request = SWARM__SUBSCRIBE_LOGS_REQUEST__INIT;
    Swarm__LogSelector selector = SWARM__LOG_SELECTOR__INIT;
    selector.service_ids = services;
    selector.n_service_ids = 1;
    request.selector = &selector;
    call(result, "/docker.swarmkit.v1.Logs/SubscribeLogs", RPC_SERVER_STREAM,
         &swarm__subscribe_logs_message__descriptor, &request);
}

static void publish(struct result *result, const char *id, const char *node_id, bool close)
{
    Swarm__PublishLogsMessage message = SWARM__PUBLISH_LOGS_MESSAGE__INIT;
    Swarm__LogMessage line = SWARM__LOG_MESSAGE__INIT;
    Swarm__LogMessage *lines[] = {&line};
    Swarm__LogContext context = SWARM__LOG_CONTEXT__INIT;
    struct err err = ERR_INIT;
    context.node_id = node_id;
    line.context = &context;
    message.subscription_id = id;
    message.close = close;
    message.messages = lines;
    message.n_messages = close ? 0 : 1;
    ck_assert_int_eq(rpc_request_send(result->request, &message.base, &err), 0);
}

START_TEST(lines_reach_the_client_and_both_ends_succeed)
{
    static struct result agent;
    static struct result reader;
    static struct result writer;
    listen_to(&agent);
    subscribe(&reader);
    wait_for(&agent.came);
    const Swarm__SubscriptionMessage *told = agent.message;
    ck_assert_ptr_nonnull(told->options);
    call(&writer, "/docker.swarmkit.v1.LogBroker/PublishLogs", RPC_CLIENT_STREAM,
         &swarm__publish_logs_response__descriptor, NULL);
    publish(&writer, told->id, "m1", false);
    wait_for(&reader.came);
    publish(&writer, told->id, "m1", true);
    wait_for(&writer.done);
    ck_assert_msg(writer.code == 0, "%s", writer.text);
    wait_for(&reader.done);
    ck_assert_msg(reader.code == 0, "%s", reader.text);
    ck_assert_int_eq(reader.messages, 1);
}
END_TEST

START_TEST(bad_publishers_get_their_status)
{
    static struct result writer;
    call(&writer, "/docker.swarmkit.v1.LogBroker/PublishLogs", RPC_CLIENT_STREAM,
         &swarm__publish_logs_response__descriptor, NULL);
    publish(&writer, "nothing", "m1", false);
    wait_for(&writer.done);
    ck_assert_int_eq(writer.code, ERR_NOT_FOUND);
    ck_assert_str_eq(writer.text, "unknown subscription ID");
}
END_TEST

START_TEST(an_agent_that_leaves_ends_what_waits_for_it)
{
    static struct result agent;
    static struct result reader;
    listen_to(&agent);
    subscribe(&reader);
    wait_for(&agent.came);
    rpc_request_cancel(agent.request);
    wait_for(&reader.done);
    ck_assert_int_eq(reader.code, ERR_UNKNOWN);
    ck_assert(str_starts(reader.text, "warning: incomplete log stream."));
}
END_TEST

START_TEST(without_a_broker_there_are_no_logs)
{
    static struct result agent;
    static struct result reader;
    listen_to(&agent);
    logs_stop(desk.logs);
    desk.logs = NULL;
    wait_for(&agent.done);
    ck_assert_int_eq(agent.code, ERR_UNKNOWN);
    subscribe(&reader);
    wait_for(&reader.done);
    ck_assert_int_eq(reader.code, ERR_UNKNOWN);
    ck_assert_str_eq(reader.text, "broker is not running");
}
END_TEST

Suite *suite_logs_rpc(void);
Suite *suite_logs_rpc(void)
{
    Suite *suite = suite_create("logs_rpc");
    TCase *tcase = tcase_create("logs_rpc");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, lines_reach_the_client_and_both_ends_succeed);
    tcase_add_test(tcase, bad_publishers_get_their_status);
    tcase_add_test(tcase, an_agent_that_leaves_ends_what_waits_for_it);
    tcase_add_test(tcase, without_a_broker_there_are_no_logs);
    suite_add_tcase(suite, tcase);
    return suite;
}
