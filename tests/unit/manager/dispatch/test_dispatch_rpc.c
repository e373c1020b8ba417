// The Dispatcher service over gRPC: an agent on the local socket of its manager.
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/dispatch/dispatch_rpc.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define WAIT_MS 60000
#define SERVICE "/docker.swarmkit.v1.Dispatcher/"

static struct fake_log log_;
static struct loop loop;
static struct arena arena;
static struct dispatch_desk desk;
static struct rpc_server *server;
static struct rpc_client *client;

static const char *manager_addr(void *ctx, const char *node_id)
{
    (void)ctx;
    return strcmp(node_id, "m1") == 0 ? "[fd00::1]:2377" : NULL;
}

static void start(void)
{
    static const struct dispatch_manager managers[] = {{"m1", "10.0.0.1:2377"}};
    struct dispatcher_config config = {
        .store = log_.store, .rng = &rng_kernel, .seed = 7, .node_id = "m1"};
    desk.dispatch = dispatch_start(&loop, &config);
    dispatch_set_managers(desk.dispatch, managers, 1);
}

static void set_up(void)
{
    struct addr addr;
    char text[64];
    fake_log_init(&log_, 10);
    loop_init(&loop);
    arena_init(&arena, SIZE_MAX);
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Cluster *cluster = fake_cluster(&arena, "cluster1");
    ck_assert_int_eq(txn_create(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_NODE, fake_node(&arena, "m1"), NULL), 0);
    Swarm__Task *task = fake_task(&arena, "t1", "s1", 1);
    task->node_id = "m1";
    task->status->state = SWARM__TASK_STATE__ASSIGNED;
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&log_, txn);
    desk = (struct dispatch_desk){.node_id = "m1", .manager_addr = manager_addr};
    start();
    struct loop *loops[] = {&loop};
    struct rpc_service service = dispatch_service(&desk, &loop);
    struct rpc_server_config options = {
        .loops = loops, .loops_count = 1, .services = &service, .services_count = 1};
    server = rpc_server_new(&options);
    snprintf(text, sizeof text, "unix://@skep-dispatch-%d", (int)getpid());
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
    fake_commit_all(&log_);
    return *(bool *)ctx;
}

static void wait_for(bool *flag)
{
    ck_assert_msg(loop_run_until(&loop, is_set, flag, WAIT_MS), "nothing came");
}

static void tear_down(void)
{
    bool closed = false;
    if (desk.dispatch)
        dispatch_stop(desk.dispatch);
    rpc_client_close(client, set_flag, &closed);
    wait_for(&closed);
    closed = false;
    rpc_server_close(server, 0, &loop, set_flag, &closed);
    wait_for(&closed);
    loop_fini(&loop);
    fake_log_fini(&log_);
    arena_fini(&arena);
}

// One call and what came of it last.
struct result {
    bool done;
    bool came;
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
    result->message = wire_copy(message, &arena);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct result *result = ctx;
    (void)trailers;
    if (rpc_request_message(request))
        result->message = wire_copy(rpc_request_message(request), &arena);
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

static const Swarm__SessionMessage *open_session(struct result *result)
{
    Swarm__SessionRequest request = SWARM__SESSION_REQUEST__INIT;
    call(result, SERVICE "Session", RPC_SERVER_STREAM, &swarm__session_message__descriptor,
         &request);
    wait_for(&result->came);
    return result->message;
}

static void beat(struct result *result, const char *session_id)
{
    Swarm__HeartbeatRequest request = SWARM__HEARTBEAT_REQUEST__INIT;
    request.session_id = session_id;
    call(result, SERVICE "Heartbeat", RPC_UNARY, &swarm__heartbeat_response__descriptor, &request);
    wait_for(&result->done);
}

static bool t1_runs(void *ctx)
{
    (void)ctx;
    fake_commit_all(&log_);
    struct view view = store_pin(log_.store);
    bool runs = object_task(view_get(view, OBJECT_TASK, "t1"))->state == SWARM__TASK_STATE__RUNNING;
    store_unpin(view);
    return runs;
}

START_TEST(an_agent_registers_beats_and_is_told_what_to_run)
{
    static struct result session;
    static struct result assignments;
    struct result heartbeat;
    const Swarm__SessionMessage *message = open_session(&session);
    ck_assert_str_eq(message->node->id, "m1");
    ck_assert_str_eq(message->node->status->addr, "fd00::1"); // its manager's own
    ck_assert_int_eq(message->node->status->state, SWARM__NODE_STATUS__STATE__READY);
    beat(&heartbeat, message->session_id);
    ck_assert_int_eq(heartbeat.code, 0);
    const Swarm__HeartbeatResponse *period = heartbeat.message;
    ck_assert_int_ge(period->period->seconds, 4);
    Swarm__AssignmentsRequest request = SWARM__ASSIGNMENTS_REQUEST__INIT;
    request.session_id = message->session_id;
    call(&assignments, SERVICE "Assignments", RPC_SERVER_STREAM,
         &swarm__assignments_message__descriptor, &request);
    wait_for(&assignments.came);
    const Swarm__AssignmentsMessage *set = assignments.message;
    ck_assert_int_eq(set->type, SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE);
    ck_assert_uint_eq(set->n_changes, 1);
    ck_assert_str_eq(set->changes[0]->assignment->task->id, "t1");

    Swarm__UpdateTaskStatusRequest report = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate update =
        SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *updates[] = {&update};
    Swarm__TaskStatus status = SWARM__TASK_STATUS__INIT;
    struct result reported;
    status.state = SWARM__TASK_STATE__RUNNING;
    update.task_id = "t1";
    update.status = &status;
    report.session_id = message->session_id;
    report.updates = updates;
    report.n_updates = 1;
    call(&reported, SERVICE "UpdateTaskStatus", RPC_UNARY,
         &swarm__update_task_status_response__descriptor, &report);
    wait_for(&reported.done);
    ck_assert_msg(reported.code == 0, "%s", reported.text);
    ck_assert(loop_run_until(&loop, t1_runs, NULL, WAIT_MS)); // with the next batch
}
END_TEST

START_TEST(calls_without_session_fail_as_agents_expect)
{
    struct result result;
    beat(&result, "nothing");
    ck_assert_int_eq(result.code, ERR_INVALID_ARGUMENT); // known, but not registered again
    ck_assert_str_eq(result.text, "session invalid");
}
END_TEST

START_TEST(stopping_ends_the_streams_and_later_calls)
{
    static struct result session;
    struct result heartbeat;
    const Swarm__SessionMessage *message = open_session(&session);
    session.came = false;
    dispatch_stop(desk.dispatch);
    desk.dispatch = NULL;
    wait_for(&session.done);
    ck_assert(session.came); // the last word
    ck_assert_int_eq(session.code, ERR_ABORTED);
    ck_assert_str_eq(session.text, "node must disconnect");
    beat(&heartbeat, message->session_id);
    ck_assert_int_eq(heartbeat.code, ERR_ABORTED);
    ck_assert_str_eq(heartbeat.text, "dispatcher is stopped");
    start(); // leads again
    open_session(&session);
}
END_TEST

START_TEST(a_client_that_leaves_is_forgotten)
{
    static struct result session;
    struct dispatcher_stats stats;
    open_session(&session);
    rpc_request_cancel(session.request);
    for (int i = 0; i < 1000; i++) {
        bool no = false;
        loop_run_until(&loop, is_set, &no, 1);
        dispatcher_stats(dispatch_core(desk.dispatch), &stats);
        if (stats.streams == 0)
            break;
    }
    ck_assert_uint_eq(stats.streams, 0);
    ck_assert_uint_eq(stats.sessions, 1); // the session lives until its heartbeats stay away
}
END_TEST

Suite *suite_dispatch_rpc(void);
Suite *suite_dispatch_rpc(void)
{
    Suite *suite = suite_create("dispatch_rpc");
    TCase *tcase = tcase_create("dispatch_rpc");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_agent_registers_beats_and_is_told_what_to_run);
    tcase_add_test(tcase, calls_without_session_fail_as_agents_expect);
    tcase_add_test(tcase, stopping_ends_the_streams_and_later_calls);
    tcase_add_test(tcase, a_client_that_leaves_is_forgotten);
    suite_add_tcase(suite, tcase);
    return suite;
}
