#include "agent/session_rpc.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/credentials.h"
#include "proto/net/addr.h"
#include "proto/wire/defaults.h"
#include "proto/wire/times.h"

#define SESSION_PATH     "/docker.swarmkit.v1.Dispatcher/Session"
#define HEARTBEAT_PATH   "/docker.swarmkit.v1.Dispatcher/Heartbeat"
#define ASSIGNMENTS_PATH "/docker.swarmkit.v1.Dispatcher/Assignments"
#define REPORT_PATH      "/docker.swarmkit.v1.Dispatcher/UpdateTaskStatus"
#define LISTEN_PATH      "/docker.swarmkit.v1.LogBroker/ListenSubscriptions"

#define SESSION_MAGIC 0x61736573u
#define REPORT_MS     10000 // deadline of a status report

enum stream {
    STREAM_SESSION,
    STREAM_ASSIGNMENTS,
    STREAM_LISTEN,
    STREAM_HEARTBEAT,
    STREAM_REPORT,
    STREAMS
};

struct agent_session {
    unsigned magic;
    struct agent_session_config config;
    struct session machine;
    struct rand rand;
    struct remote remote;
    struct rpc_client *client;
    struct rpc_request *requests[STREAMS];
    struct loop_timer timer;
    unsigned closing_count; // clients on their way out
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void step(struct agent_session *session);

static void step_soon(struct agent_session *session)
{
    loop_timer_start(&session->timer, 0);
}

static void release(struct agent_session *session)
{
    void (*closed)(void *ctx) = session->closed;
    void *ctx = session->closed_ctx;
    tls_config_unref(session->config.tls);
    MAGIC_CLEAR(session);
    free(session);
    if (closed)
        closed(ctx);
}

static void client_closed(void *ctx)
{
    struct agent_session *session = ctx;
    MAGIC_CHECK(session, SESSION_MAGIC);
    session->closing_count--;
    if (session->closing && !session->closing_count)
        release(session);
}

static void hang_up(struct agent_session *session)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (session->requests[i])
            rpc_request_drop(session->requests[i]);
    for (size_t i = 0; i < STREAMS; i++)
        session->requests[i] = NULL;
    if (session->client) {
        session->closing_count++;
        rpc_client_close(session->client, client_closed, session);
    }
    session->client = NULL;
}

// Tears everything down after an error. The caller touches nothing of the connection any more.
static void lose(struct agent_session *session, const struct err *err)
{
    const struct agent_session_events *events = &session->config.events;
    enum session_state was = session->machine.state;
    if (was == SESSION_WAITING)
        return;
    remotes_observe_known(session->config.remotes, session->remote.node_id, session->remote.addr,
                          REMOTES_OBSERVED_BAD);
    hang_up(session);
    session_ended(&session->machine, false, loop_now(session->config.loop));
    step_soon(session);
    if (was == SESSION_UP && events->down)
        events->down(session->config.owner, err);
    if (was == SESSION_OPENING && events->failed)
        events->failed(session->config.owner, err);
}

static struct agent_session *session_of(void *ctx)
{
    struct agent_session *session = ctx;
    MAGIC_CHECK(session, SESSION_MAGIC);
    return session;
}

// ---- ends --------------------------------------------------------------------------------------

// A stream that ends, well or not, ends the session.
static void stream_ended(struct agent_session *session, enum stream stream,
                         const struct rpc_status *status)
{
    struct err err = status->err;
    session->requests[stream] = NULL;
    if (err.code == ERR_OK)
        err_set(&err, ERR_UNAVAILABLE, "the dispatcher ended the stream");
    lose(session, &err);
}

static void session_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                         const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    stream_ended(session_of(ctx), STREAM_SESSION, status);
}

static void assignments_done(struct rpc_request *request, void *ctx,
                             const struct rpc_status *status, const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    stream_ended(session_of(ctx), STREAM_ASSIGNMENTS, status);
}

static void listen_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                        const struct metadata *trailers)
{
    struct agent_session *session = session_of(ctx);
    (void)request;
    (void)trailers;
    if (status->err.code == ERR_UNIMPLEMENTED) // managers too old for logs
        session->requests[STREAM_LISTEN] = NULL;
    else
        stream_ended(session, STREAM_LISTEN, status);
}

static void heartbeat_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                           const struct metadata *trailers)
{
    struct agent_session *session = session_of(ctx);
    (void)trailers;
    session->requests[STREAM_HEARTBEAT] = NULL;
    const Swarm__HeartbeatResponse *reply = (const void *)rpc_request_message(request);
    if (status->err.code != ERR_OK || !reply) {
        lose(session, &status->err);
        return;
    }
    session_beat(&session->machine, duration_to_ns(reply->period, DEFAULT_HEARTBEAT_NS),
                 loop_now(session->config.loop));
    step(session);
}

static void report_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                        const struct metadata *trailers)
{
    struct agent_session *session = session_of(ctx);
    const struct agent_session_events *events = &session->config.events;
    (void)request;
    (void)trailers;
    session->requests[STREAM_REPORT] = NULL;
    if (events->reported)
        events->reported(session->config.owner, status->err.code == ERR_OK ? NULL : &status->err);
}

// ---- messages ----------------------------------------------------------------------------------

static void open_assignments(struct agent_session *session);
static void open_listen(struct agent_session *session);

static void take_managers(struct agent_session *session, const Swarm__SessionMessage *message)
{
    struct remote list[REMOTES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < message->n_managers && count < REMOTES_MAX; i++) {
        const Swarm__WeightedPeer *weighted = message->managers[i];
        if (!weighted->peer || str_empty(weighted->peer->addr))
            continue;
        struct remote *remote = &list[count];
        if (str_copy(remote->node_id, sizeof remote->node_id, weighted->peer->node_id) &&
            str_copy(remote->addr, sizeof remote->addr, weighted->peer->addr)) {
            remote->weight = (int)weighted->weight;
            count++;
        }
    }
    // A list without a single usable address would leave nobody to turn to.
    if (count)
        remotes_update(session->config.remotes, list, count);
}

static void session_came(struct rpc_request *request, void *ctx, const ProtobufCMessage *base)
{
    struct agent_session *session = session_of(ctx);
    const struct agent_session_events *events = &session->config.events;
    const Swarm__SessionMessage *message = (const void *)base;
    struct err err = ERR_INIT;
    bool registered;
    (void)request;
    if (session_message(&session->machine, message, loop_now(session->config.loop), &registered,
                        &err)) {
        lose(session, &err);
        return;
    }
    take_managers(session, message);
    if (registered) {
        remotes_observe_known(session->config.remotes, session->remote.node_id,
                              session->remote.addr, REMOTES_OBSERVED_GOOD);
        open_assignments(session);
        open_listen(session);
        step_soon(session);
    }
    if (events->message)
        events->message(session->config.owner, message);
    // The owner may have asked for a new session just now.
    if (registered && session->machine.state == SESSION_UP && events->up)
        events->up(session->config.owner);
}

static void assignments_came(struct rpc_request *request, void *ctx, const ProtobufCMessage *base)
{
    struct agent_session *session = session_of(ctx);
    const Swarm__AssignmentsMessage *message = (const void *)base;
    struct err err = ERR_INIT;
    if (session_assignments(&session->machine, message, &err)) {
        // A message was lost: a new stream begins with all of it.
        log_warn("assignments reopened", "manager=%s err=\"%s\"", session->remote.addr,
                 err.message);
        rpc_request_drop(request);
        open_assignments(session);
        return;
    }
    if (session->config.events.assignments)
        session->config.events.assignments(session->config.owner, message);
}

static void subscription_came(struct rpc_request *request, void *ctx, const ProtobufCMessage *base)
{
    struct agent_session *session = session_of(ctx);
    (void)request;
    if (session->config.events.subscription)
        session->config.events.subscription(session->config.owner, (const void *)base);
}

// ---- calls -------------------------------------------------------------------------------------

static void open_assignments(struct agent_session *session)
{
    Swarm__AssignmentsRequest message;
    swarm__assignments_request__init(&message);
    message.session_id = session->machine.id;
    session_reopened(&session->machine);
    struct rpc_request_spec spec = {.path = ASSIGNMENTS_PATH,
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__assignments_message__descriptor,
                                    .on_message = assignments_came,
                                    .on_done = assignments_done,
                                    .ctx = session};
    session->requests[STREAM_ASSIGNMENTS] = rpc_client_call(session->client, &spec, &message.base);
}

static void open_listen(struct agent_session *session)
{
    Swarm__ListenSubscriptionsRequest message;
    swarm__listen_subscriptions_request__init(&message);
    struct rpc_request_spec spec = {.path = LISTEN_PATH,
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__subscription_message__descriptor,
                                    .on_message = subscription_came,
                                    .on_done = listen_done,
                                    .ctx = session};
    session->requests[STREAM_LISTEN] = rpc_client_call(session->client, &spec, &message.base);
}

static void beat(struct agent_session *session)
{
    Swarm__HeartbeatRequest message;
    swarm__heartbeat_request__init(&message);
    message.session_id = session->machine.id;
    struct rpc_request_spec spec = {.path = HEARTBEAT_PATH,
                                    .kind = RPC_UNARY,
                                    .response = &swarm__heartbeat_response__descriptor,
                                    .timeout_ms = SESSION_HEARTBEAT_MS,
                                    .on_done = heartbeat_done,
                                    .ctx = session};
    session->requests[STREAM_HEARTBEAT] = rpc_client_call(session->client, &spec, &message.base);
}

static int dial(struct agent_session *session, struct err *err)
{
    const struct remote *remote = remotes_pick(session->config.remotes, &session->rand, NULL, 0);
    if (!remote)
        return err_set(err, ERR_UNAVAILABLE, "no manager is known");
    session->remote = *remote;
    struct addr addr;
    const char *place = remotes_dialled(session->config.remotes, remote);
    int result = addr_parse(place, DEFAULT_MANAGER_PORT, &addr, err);
    if (result)
        return result;
    struct rpc_client_config config = {
        .loop = session->config.loop,
        .addr = addr,
        .tls = session->config.tls,
        .server_name = SERVER_NAME_MANAGER,
        .connect_ms = SESSION_FIRST_MESSAGE_NS / NS_PER_MS,
    };
    session->client = rpc_client_new(&config);
    return 0;
}

static void open_session(struct agent_session *session)
{
    struct err err = ERR_INIT;
    if (dial(session, &err)) {
        lose(session, &err);
        return;
    }
    Swarm__SessionRequest message;
    swarm__session_request__init(&message);
    message.description = (Swarm__NodeDescription *)session->config.describe(session->config.owner);
    message.session_id = session->machine.id;
    struct rpc_request_spec spec = {.path = SESSION_PATH,
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__session_message__descriptor,
                                    .on_message = session_came,
                                    .on_done = session_done,
                                    .ctx = session};
    session->requests[STREAM_SESSION] = rpc_client_call(session->client, &spec, &message.base);
}

static void step(struct agent_session *session)
{
    struct mono now = loop_now(session->config.loop);
    struct session_asks asks = session_step(&session->machine, now);
    if (asks.wake.ns != MONO_NEVER.ns)
        loop_timer_start_at(&session->timer, asks.wake);
    else
        loop_timer_stop(&session->timer);
    if (asks.open)
        open_session(session);
    if (asks.heartbeat)
        beat(session);
    if (asks.give_up) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_DEADLINE_EXCEEDED, "the dispatcher did not register the session in time");
        lose(session, &err);
    }
}

static void due(struct loop_timer *timer)
{
    struct agent_session *session = session_of(CONTAINER_OF(timer, struct agent_session, timer));
    if (session->closing)
        release(session);
    else
        step(session);
}

// ---- the owner's side --------------------------------------------------------------------------

struct agent_session *agent_session_new(const struct agent_session_config *config)
{
    struct agent_session *session = MEM_NEW(struct agent_session);
    MAGIC_SET(session, SESSION_MAGIC);
    session->config = *config;
    tls_config_ref(config->tls);
    entropy_seed(&session->rand);
    session_init(&session->machine, rand_u64(&session->rand), loop_now(config->loop));
    loop_timer_init(&session->timer, config->loop, due);
    step_soon(session);
    return session;
}

void agent_session_close(struct agent_session *session, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    CHECK(!session->closing);
    session->closing = true;
    session->closed = closed;
    session->closed_ctx = ctx;
    loop_timer_stop(&session->timer);
    hang_up(session);
    if (!session->closing_count)
        step_soon(session);
}

void agent_session_renew(struct agent_session *session, struct tls_config *tls)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    if (tls) {
        tls_config_ref(tls);
        tls_config_unref(session->config.tls);
        session->config.tls = tls;
    }
    hang_up(session);
    session_ended(&session->machine, true, loop_now(session->config.loop));
    step_soon(session);
}

bool agent_session_report(struct agent_session *session, const char *task_id,
                          const Swarm__TaskStatus *status)
{
    MAGIC_CHECK(session, SESSION_MAGIC);
    if (session->machine.state != SESSION_UP || session->requests[STREAM_REPORT])
        return false;
    Swarm__UpdateTaskStatusRequest message;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate update;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *updates[] = {&update};
    swarm__update_task_status_request__init(&message);
    swarm__update_task_status_request__task_status_update__init(&update);
    update.task_id = (char *)task_id;
    update.status = (Swarm__TaskStatus *)status;
    message.session_id = session->machine.id;
    message.updates = updates;
    message.n_updates = 1;
    struct rpc_request_spec spec = {.path = REPORT_PATH,
                                    .kind = RPC_UNARY,
                                    .response = &swarm__update_task_status_response__descriptor,
                                    .timeout_ms = REPORT_MS,
                                    .on_done = report_done,
                                    .ctx = session};
    session->requests[STREAM_REPORT] = rpc_client_call(session->client, &spec, &message.base);
    return true;
}

struct rpc_client *agent_session_client(struct agent_session *session)
{
    return session->machine.state == SESSION_UP ? session->client : NULL;
}

const char *agent_session_id(const struct agent_session *session)
{
    return session->machine.state == SESSION_UP ? session->machine.id : NULL;
}
