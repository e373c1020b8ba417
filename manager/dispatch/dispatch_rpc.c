#include "manager/dispatch/dispatch_rpc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"

// Room for the host part of an address.
#define HOST_BYTES 256

// ---- who calls ----------------------------------------------------------------------------------

// NULL, and the call failed, while this manager does not lead.
static struct dispatch *running(struct rpc_call *call)
{
    const struct dispatch_desk *desk = rpc_call_ctx(call);
    if (!desk->dispatch)
        rpc_call_failf(call, ERR_ABORTED, DISPATCH_ERR_STOPPED);
    return desk->dispatch;
}

// The local socket is open to this manager's own agent only.
static const char *node_of(const struct rpc_call *call)
{
    const struct dispatch_desk *desk = rpc_call_ctx(call);
    const struct caller *caller = rpc_call_caller(call);
    return caller->local ? desk->node_id : caller->node_id;
}

// The node's address without its port and the brackets of IPv6.
static void host_of(const struct rpc_call *call, char out[HOST_BYTES])
{
    const struct dispatch_desk *desk = rpc_call_ctx(call);
    const char *addr = desk->manager_addr(desk->ctx, node_of(call));
    if (!addr)
        addr = rpc_call_caller(call)->addr;
    const char *colon = strrchr(addr, ':');
    size_t size = colon ? (size_t)(colon - addr) : strlen(addr);
    if (size >= 2 && addr[0] == '[' && addr[size - 1] == ']') {
        addr++;
        size -= 2;
    }
    if (size >= HOST_BYTES)
        size = 0; // no address; it is only shown
    memcpy(out, addr, size);
    out[size] = 0;
}

// ---- streams ------------------------------------------------------------------------------------

struct stream {
    struct dispatch_stream core;
    struct dispatch *dispatch;
    struct rpc_call *call;
};

static struct stream *stream_of(struct dispatch_stream *core)
{
    return CONTAINER_OF(core, struct stream, core);
}

static bool stream_writable(struct dispatch_stream *core)
{
    return rpc_call_writable(stream_of(core)->call);
}

static int stream_send(struct dispatch_stream *core, const void *bytes, size_t size,
                       struct err *err)
{
    return rpc_call_send_bytes(stream_of(core)->call, bytes, size, err);
}

static void stream_end(struct dispatch_stream *core, const struct err *err)
{
    struct stream *stream = stream_of(core);
    struct rpc_call *call = stream->call;
    rpc_call_set_user(call, NULL);
    free(stream);
    rpc_call_fail(call, err);
}

static const struct dispatch_stream_ops stream_ops = {
    .writable = stream_writable,
    .send = stream_send,
    .end = stream_end,
};

static struct stream *stream_new(struct dispatch *dispatch, struct rpc_call *call)
{
    struct stream *stream = MEM_NEW(struct stream);
    stream->core.ops = &stream_ops;
    stream->dispatch = dispatch;
    stream->call = call;
    rpc_call_set_user(call, stream);
    return stream;
}

// The core did not take it.
static void stream_refuse(struct stream *stream, const struct err *err)
{
    stream_end(&stream->core, err);
}

static void on_writable(struct rpc_call *call)
{
    struct stream *stream = rpc_call_user(call);
    if (!stream)
        return;
    dispatcher_writable(dispatch_core(stream->dispatch), &stream->core,
                        dispatch_moment(stream->dispatch));
    // What was held back may go at once: no timer says so for session messages.
    dispatcher_step(dispatch_core(stream->dispatch), dispatch_moment(stream->dispatch));
}

static void on_cancel(struct rpc_call *call)
{
    struct stream *stream = rpc_call_user(call);
    struct err err = ERR_INIT;
    if (!stream)
        return;
    dispatcher_close(dispatch_core(stream->dispatch), &stream->core);
    err_set(&err, ERR_CANCELLED, "context canceled");
    stream_end(&stream->core, &err);
}

static void handle_session(struct rpc_call *call)
{
    struct dispatch *dispatch = running(call);
    char host[HOST_BYTES];
    struct err err = ERR_INIT;
    if (!dispatch)
        return;
    host_of(call, host);
    struct stream *stream = stream_new(dispatch, call);
    if (dispatcher_session(dispatch_core(dispatch), node_of(call), host,
                           (const Swarm__SessionRequest *)rpc_call_message(call), &stream->core,
                           dispatch_moment(dispatch), &err))
        stream_refuse(stream, &err);
    else
        rpc_call_drop_request(call);
    dispatch_kick(dispatch);
}

static void open_assignments(struct rpc_call *call, const char *session_id, bool legacy)
{
    struct dispatch *dispatch = running(call);
    struct err err = ERR_INIT;
    if (!dispatch)
        return;
    struct stream *stream = stream_new(dispatch, call);
    if (dispatcher_assignments(dispatch_core(dispatch), node_of(call), session_id, legacy,
                               &stream->core, dispatch_moment(dispatch), &err))
        stream_refuse(stream, &err);
    else
        rpc_call_drop_request(call);
    dispatch_kick(dispatch);
}

static void handle_assignments(struct rpc_call *call)
{
    const Swarm__AssignmentsRequest *request =
        (const Swarm__AssignmentsRequest *)rpc_call_message(call);
    open_assignments(call, request->session_id, false);
}

static void handle_tasks(struct rpc_call *call)
{
    const Swarm__TasksRequest *request = (const Swarm__TasksRequest *)rpc_call_message(call);
    open_assignments(call, request->session_id, true);
}

// ---- unary calls --------------------------------------------------------------------------------

static void handle_heartbeat(struct rpc_call *call)
{
    const Swarm__HeartbeatRequest *request =
        (const Swarm__HeartbeatRequest *)rpc_call_message(call);
    struct dispatch *dispatch = running(call);
    struct err err = ERR_INIT;
    int64_t period_ns;
    if (!dispatch)
        return;
    if (dispatcher_heartbeat(dispatch_core(dispatch), node_of(call), request->session_id,
                             dispatch_moment(dispatch), &period_ns, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    Swarm__HeartbeatResponse response = SWARM__HEARTBEAT_RESPONSE__INIT;
    Google__Duration period = GOOGLE__DURATION__INIT;
    duration_set(&period, period_ns);
    response.period = &period;
    rpc_call_reply(call, &response.base);
    dispatch_kick(dispatch);
}

static void handle_report(struct rpc_call *call)
{
    struct dispatch *dispatch = running(call);
    struct err err = ERR_INIT;
    if (!dispatch)
        return;
    if (dispatcher_report(dispatch_core(dispatch), node_of(call),
                          (const Swarm__UpdateTaskStatusRequest *)rpc_call_message(call),
                          dispatch_moment(dispatch), &err)) {
        rpc_call_fail(call, &err);
    } else {
        Swarm__UpdateTaskStatusResponse response = SWARM__UPDATE_TASK_STATUS_RESPONSE__INIT;
        rpc_call_reply(call, &response.base);
    }
    dispatch_kick(dispatch);
}

static void handle_volumes(struct rpc_call *call)
{
    struct dispatch *dispatch = running(call);
    struct err err = ERR_INIT;
    if (!dispatch)
        return;
    if (dispatcher_report_volumes(dispatch_core(dispatch), node_of(call),
                                  (const Swarm__UpdateVolumeStatusRequest *)rpc_call_message(call),
                                  dispatch_moment(dispatch), &err)) {
        rpc_call_fail(call, &err);
    } else {
        Swarm__UpdateVolumeStatusResponse response = SWARM__UPDATE_VOLUME_STATUS_RESPONSE__INIT;
        rpc_call_reply(call, &response.base);
    }
    dispatch_kick(dispatch);
}

#define ROLE_NODES (ROLE_WORKER | ROLE_MANAGER)

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.Dispatcher/Session",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_NODES,
     .request = &swarm__session_request__descriptor,
     .handle = handle_session,
     .on_writable = on_writable,
     .on_cancel = on_cancel},
    {.path = "/docker.swarmkit.v1.Dispatcher/Heartbeat",
     .kind = RPC_UNARY,
     .roles = ROLE_NODES,
     .request = &swarm__heartbeat_request__descriptor,
     .handle = handle_heartbeat},
    {.path = "/docker.swarmkit.v1.Dispatcher/UpdateTaskStatus",
     .kind = RPC_UNARY,
     .roles = ROLE_NODES,
     .request = &swarm__update_task_status_request__descriptor,
     .handle = handle_report},
    {.path = "/docker.swarmkit.v1.Dispatcher/UpdateVolumeStatus",
     .kind = RPC_UNARY,
     .roles = ROLE_NODES,
     .request = &swarm__update_volume_status_request__descriptor,
     .handle = handle_volumes},
    {.path = "/docker.swarmkit.v1.Dispatcher/Tasks",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_NODES,
     .request = &swarm__tasks_request__descriptor,
     .handle = handle_tasks,
     .on_writable = on_writable,
     .on_cancel = on_cancel},
    {.path = "/docker.swarmkit.v1.Dispatcher/Assignments",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_NODES,
     .request = &swarm__assignments_request__descriptor,
     .handle = handle_assignments,
     .on_writable = on_writable,
     .on_cancel = on_cancel},
};

struct rpc_service dispatch_service(struct dispatch_desk *desk, struct loop *home)
{
    return (struct rpc_service){
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = desk, .home = home};
}
