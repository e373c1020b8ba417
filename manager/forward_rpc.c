#include "manager/forward_rpc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/methods.h"

// Arena of a forwarded call's metadata.
#define METADATA_ARENA_BYTES ((size_t)128 * 1024)

// Where a method is really answered.
struct target {
    struct rpc_method method; // ready to be called
    void *ctx;
};

struct forward {
    struct loop *loop;
    bool local;
    struct forward_view view;
    struct rpc_method *rows;
    struct target *targets; // of the row with the same number
    size_t count;
    struct map by_path;     // path -> struct target
    struct list relays;     // calls on their way
    struct mono leaderless; // since when no leader is known; 0: there is one
};

// A call on its way to the leader, or waiting for one.
struct relay {
    struct list link;
    struct forward *forward;
    struct rpc_call *call;
    struct rpc_request *request; // NULL while it waits
    struct loop_timer timer;     // looks again for a leader
    bool client_streams;
    bool answered; // something came back: no second try
    bool tried;
    bool ended; // the caller sent its last message
};

static struct target *target_of(struct forward *forward, const struct rpc_call *call)
{
    struct target *target = map_get_str(&forward->by_path, rpc_call_method(call)->path);
    CHECK(target);
    return target;
}

// ---- the way back -------------------------------------------------------------------------------

static void relay_free(struct relay *relay)
{
    loop_timer_stop(&relay->timer);
    list_remove(&relay->link);
    if (relay->request)
        rpc_request_drop(relay->request);
    free(relay);
}

static void relay_fail(struct relay *relay, enum err_code code, const char *text)
{
    struct rpc_call *call = relay->call;
    relay_free(relay);
    rpc_call_failf(call, code, "%s", text);
}

static void on_reply(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    (void)message;
    struct relay *relay = ctx;
    size_t size = 0;
    const uint8_t *bytes = rpc_request_bytes(request, &size);
    relay->answered = true;
    struct err err = ERR_INIT;
    if (rpc_call_send_bytes(relay->call, bytes, size, &err)) {
        relay_fail(relay, err.code, err.message);
        return;
    }
    if (!rpc_call_writable(relay->call))
        rpc_request_pause(request);
}

static void relay_begin(struct relay *relay);

static void on_again(struct loop_timer *timer)
{
    relay_begin(CONTAINER_OF(timer, struct relay, timer));
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct relay *relay = ctx;
    (void)trailers;
    relay->request = NULL;
    bool broken = status->err.code == ERR_UNAVAILABLE;
    if (broken && !relay->answered && !relay->client_streams && !relay->tried &&
        !rpc_call_cancelled(relay->call)) {
        relay->tried = true;
        loop_timer_start(&relay->timer, FORWARD_AGAIN_MS);
        return;
    }
    struct rpc_call *call = relay->call;
    // A unary reply is handed over with the end.
    size_t size = 0;
    const uint8_t *bytes = rpc_request_bytes(request, &size);
    bool one_reply = rpc_call_method(call)->kind != RPC_SERVER_STREAM;
    if (status->err.code == ERR_OK && one_reply && !relay->answered)
        rpc_call_send_bytes(call, bytes, size, NULL);
    relay_free(relay);
    rpc_call_finish(call, status);
}

static void on_leader_writable(struct rpc_request *request, void *ctx)
{
    (void)request;
    rpc_call_resume(((struct relay *)ctx)->call);
}

// ---- the way there ------------------------------------------------------------------------------

// How long the caller still waits; 0 for no limit.
static int64_t timeout_left(const struct relay *relay)
{
    struct mono deadline = rpc_call_deadline(relay->call);
    if (deadline.ns == MONO_NEVER.ns)
        return 0;
    int64_t left_ms = mono_since(deadline, loop_now(relay->forward->loop)) / NS_PER_MS;
    return left_ms > 0 ? left_ms : 1;
}

static void send_on(struct relay *relay, struct rpc_client *leader)
{
    struct arena arena;
    arena_init(&arena, METADATA_ARENA_BYTES);
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    struct err err = ERR_INIT;
    if (caller_forward(rpc_call_peer(relay->call), rpc_call_metadata(relay->call), &metadata,
                       &err)) {
        arena_fini(&arena);
        relay_fail(relay, err.code, err.message);
        return;
    }
    struct rpc_request_spec spec = {
        .path = rpc_call_method(relay->call)->path,
        .kind = rpc_call_method(relay->call)->kind,
        .timeout_ms = timeout_left(relay),
        .metadata = &metadata,
        .on_message = on_reply,
        .on_writable = on_leader_writable,
        .on_done = on_done,
        .ctx = relay,
    };
    if (relay->client_streams) {
        relay->request = rpc_client_call_bytes(leader, &spec, NULL, 0);
        rpc_call_resume(relay->call);
        if (relay->ended)
            rpc_request_end(relay->request);
    } else {
        size_t size = 0;
        const uint8_t *bytes = rpc_call_bytes(relay->call, &size);
        relay->request = rpc_client_call_bytes(leader, &spec, bytes, size);
    }
    arena_fini(&arena);
}

// Answers here, passes on, or waits: whatever the moment allows.
static void relay_begin(struct relay *relay)
{
    struct forward *forward = relay->forward;
    if (forward->view.leading(forward->view.ctx)) {
        struct rpc_call *call = relay->call;
        struct target *target = target_of(forward, call);
        relay_free(relay);
        rpc_call_set_user(call, NULL);
        rpc_call_dispatch(call, &target->method, target->ctx);
        return;
    }
    struct rpc_client *leader = forward->view.leader(forward->view.ctx);
    if (leader) {
        forward->leaderless = (struct mono){0};
        send_on(relay, leader);
        return;
    }
    struct mono now = loop_now(forward->loop);
    if (forward->leaderless.ns == 0)
        forward->leaderless = now;
    if (mono_since(now, forward->leaderless) > FORWARD_NO_LEADER_MS * NS_PER_MS)
        relay_fail(relay, ERR_UNKNOWN, FORWARD_ERR_NO_LEADER);
    else
        loop_timer_start(&relay->timer, FORWARD_LOOK_MS);
}

// ---- rows ---------------------------------------------------------------------------------------

static void handle(struct rpc_call *call)
{
    struct forward *forward = rpc_call_ctx(call);
    if (forward->view.leading(forward->view.ctx)) {
        struct target *target = target_of(forward, call);
        rpc_call_dispatch(call, &target->method, target->ctx);
        return;
    }
    struct relay *relay = MEM_NEW(struct relay);
    relay->forward = forward;
    relay->call = call;
    relay->client_streams = rpc_call_method(call)->kind == RPC_CLIENT_STREAM;
    loop_timer_init(&relay->timer, forward->loop, on_again);
    list_push_back(&forward->relays, &relay->link);
    rpc_call_set_user(call, relay);
    if (relay->client_streams)
        rpc_call_pause(call); // until the way there is open
    relay_begin(relay);
}

static void on_message(struct rpc_call *call)
{
    struct relay *relay = rpc_call_user(call);
    if (!relay || !relay->request)
        return;
    size_t size = 0;
    const uint8_t *bytes = rpc_call_bytes(call, &size);
    struct err err = ERR_INIT;
    if (rpc_request_send_bytes(relay->request, bytes, size, &err)) {
        rpc_request_cancel(relay->request);
        return;
    }
    if (!rpc_request_writable(relay->request))
        rpc_call_pause(call);
}

static void on_end(struct rpc_call *call)
{
    struct relay *relay = rpc_call_user(call);
    if (!relay)
        return;
    relay->ended = true;
    if (relay->request)
        rpc_request_end(relay->request);
}

static void on_writable(struct rpc_call *call)
{
    struct relay *relay = rpc_call_user(call);
    if (relay && relay->request)
        rpc_request_resume(relay->request);
}

static void on_cancel(struct rpc_call *call)
{
    struct relay *relay = rpc_call_user(call);
    if (!relay)
        return;
    relay_fail(relay, ERR_CANCELLED, "cancelled");
}

// Methods that are strictly local are rows of their own; the others go through us.
static bool goes_through(const struct forward *forward, const struct rpc_method *method)
{
    const struct method *known = method_find(method->path);
    if (!known)
        return false;
    return forward->local ? known->local == METHOD_LOCAL_FORWARD
                          : known->follower == METHOD_FORWARDED;
}

// A row that answers at once, whoever leads.
static void handle_here(struct rpc_call *call)
{
    struct forward *forward = rpc_call_ctx(call);
    struct target *target = target_of(forward, call);
    rpc_call_dispatch(call, &target->method, target->ctx);
}

static void add_row(struct forward *forward, const struct rpc_method *method, void *ctx)
{
    bool through = goes_through(forward, method);
    struct target *target = &forward->targets[forward->count];
    *target = (struct target){.method = rpc_method_resolve(method), .ctx = ctx};
    forward->rows[forward->count++] = (struct rpc_method){
        .path = method->path,
        .kind = method->kind,
        .raw = true,
        // A forwarded call is authorised by the leader, with the identity that goes along.
        .roles = through ? ROLE_ANYONE : method->roles,
        .handle = through ? handle : handle_here,
        .on_message = method->kind == RPC_CLIENT_STREAM ? on_message : NULL,
        .on_end = method->kind == RPC_CLIENT_STREAM ? on_end : NULL,
        .on_writable = on_writable,
        .on_cancel = on_cancel,
    };
    map_put_str(&forward->by_path, method->path, target);
}

struct forward *forward_new(struct loop *loop, bool local, const struct rpc_service *services,
                            size_t services_count, const struct forward_view *view)
{
    struct forward *forward = MEM_NEW(struct forward);
    forward->loop = loop;
    forward->local = local;
    forward->view = *view;
    map_init(&forward->by_path);
    list_init(&forward->relays);
    size_t count = 0;
    for (size_t i = 0; i < services_count; i++)
        count += services[i].methods_count;
    forward->rows = mem_alloc_array(count, sizeof *forward->rows);
    forward->targets = mem_alloc_array(count, sizeof *forward->targets);
    for (size_t i = 0; i < services_count; i++)
        for (size_t k = 0; k < services[i].methods_count; k++)
            add_row(forward, &services[i].methods[k], services[i].ctx);
    return forward;
}

struct rpc_service forward_service(struct forward *forward)
{
    return (struct rpc_service){.methods = forward->rows,
                                .methods_count = forward->count,
                                .ctx = forward,
                                .home = forward->loop};
}

void forward_leader_changed(struct forward *forward)
{
    LIST_EACH_SAFE (it, &forward->relays) {
        struct relay *relay = LIST_ENTRY(it, struct relay, link);
        if (!relay->request) {
            loop_timer_start(&relay->timer, 0);
        } else if (relay->answered || relay->client_streams || relay->tried) {
            relay_fail(relay, ERR_UNAVAILABLE, "the leader of the swarm has changed");
        } else {
            rpc_request_drop(relay->request);
            relay->request = NULL;
            relay->tried = true;
            loop_timer_start(&relay->timer, 0);
        }
    }
}

void forward_free(struct forward *forward)
{
    LIST_EACH_SAFE (it, &forward->relays) {
        relay_fail(LIST_ENTRY(it, struct relay, link), ERR_UNAVAILABLE, "manager is stopping");
    }
    map_fini(&forward->by_path);
    free(forward->rows);
    free(forward->targets);
    free(forward);
}
