#include "tests/unit/manager/control/desk.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>

#include "manager/control/attach_rpc.h"
#include "proto/base/check.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/methods.h"
#include "proto/wire/wire.h"

#define WAIT_MS 60000

struct desk desk;

static bool no_member(void *ctx, const char *node_id, struct control_member *out)
{
    (void)ctx;
    (void)node_id;
    (void)out;
    return false;
}

static size_t one_member(void *ctx)
{
    (void)ctx;
    return 1;
}

void desk_set_up(void)
{
    struct addr addr;
    char text[64];
    fake_log_init(&desk.log, 10);
    loop_init(&desk.loop);
    arena_init(&desk.arena, SIZE_MAX);
    desk.control = (struct control_desk){.store = desk.log.store,
                                         .rng = &rng_kernel,
                                         .node_id = DESK_NODE,
                                         .member = no_member,
                                         .members_count = one_member};
    desk.watchers = watchers_new(&desk.loop, desk.log.store);
    struct loop *loops[] = {&desk.loop};
    struct rpc_service services[] = {control_service(&desk.control, &desk.loop),
                                     watch_service(desk.watchers, &desk.loop),
                                     attach_service(&desk.control, &desk.loop)};
    struct rpc_server_config options = {.loops = loops,
                                        .loops_count = 1,
                                        .services = services,
                                        .services_count = COUNT_OF(services)};
    desk.server = rpc_server_new(&options);
    snprintf(text, sizeof text, "unix://@skep-control-%d", (int)getpid());
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), 0);
    ck_assert_int_eq(rpc_server_listen(desk.server, &addr, -1, NULL, NULL), 0);
    struct rpc_client_config config = {.loop = &desk.loop, .addr = addr};
    desk.client = rpc_client_new(&config);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool committed_and_set(void *ctx)
{
    fake_commit_all(&desk.log);
    return **(const bool **)ctx;
}

void desk_wait(const bool *flag)
{
    ck_assert_msg(loop_run_until(&desk.loop, committed_and_set, &flag, WAIT_MS), "nothing came");
}

void desk_tear_down(void)
{
    bool closed = false;
    watchers_stop(desk.watchers);
    rpc_client_close(desk.client, set_flag, &closed);
    desk_wait(&closed);
    closed = false;
    rpc_server_close(desk.server, 0, &desk.loop, set_flag, &closed);
    desk_wait(&closed);
    watchers_free(desk.watchers);
    loop_fini(&desk.loop);
    fake_log_fini(&desk.log);
    arena_fini(&desk.arena);
}

struct waiting {
    bool done;
    struct err *err;
    const void *response;
};

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct waiting *waiting = ctx;
    (void)trailers;
    waiting->done = true;
    if (status->err.code == ERR_OK)
        waiting->response = wire_copy(rpc_request_message(request), &desk.arena);
    else if (waiting->err)
        *waiting->err = status->err;
    else
        ck_abort_msg("the call failed: %s", status->err.message);
}

const void *desk_call(const char *path, const void *request, struct err *err)
{
    const struct method *method = method_find(path);
    ck_assert_ptr_nonnull(method);
    struct waiting waiting = {.err = err};
    struct rpc_request_spec spec = {.path = method->path,
                                    .kind = RPC_UNARY,
                                    .response = method->response,
                                    .wait_for_ready = true,
                                    .on_done = on_done,
                                    .ctx = &waiting};
    rpc_client_call(desk.client, &spec, request);
    desk_wait(&waiting.done);
    return waiting.response;
}

void desk_put(enum object_type type, void *object)
{
    struct txn *txn = fake_begin(&desk.log, 100);
    struct err err = ERR_INIT;
    ck_assert_msg(txn_create(txn, type, object, &err) == 0, "%s", err.message);
    fake_write(&desk.log, txn);
}

void *desk_get(enum object_type type, const char *id)
{
    struct view view = store_pin(desk.log.store);
    const struct object *object = view_get(view, type, id);
    void *message = object ? object_unpack(object, &desk.arena) : NULL;
    store_unpin(view);
    return message;
}
