#include "manager/logs/logs_rpc.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// NULL, and the call failed, while this manager does not lead.
static struct broker *running(struct rpc_call *call)
{
    const struct logs_desk *desk = rpc_call_ctx(call);
    if (desk->logs)
        return logs_broker(desk->logs);
    rpc_call_failf(call, ERR_UNKNOWN, BROKER_ERR_STOPPED);
    return NULL;
}

// The local socket is open to this manager's own agent only.
static const char *node_of(const struct rpc_call *call)
{
    const struct logs_desk *desk = rpc_call_ctx(call);
    const struct caller *caller = rpc_call_caller(call);
    return caller->local ? desk->node_id : caller->node_id;
}

// ---- clients: SubscribeLogs ---------------------------------------------------------------------

struct reader {
    struct log_reader core;
    struct rpc_call *call;
};

static struct reader *reader_of(struct log_reader *core)
{
    return CONTAINER_OF(core, struct reader, core);
}

static bool reader_writable(struct log_reader *core)
{
    return rpc_call_writable(reader_of(core)->call);
}

static int reader_send(struct log_reader *core, const Swarm__SubscribeLogsMessage *message,
                       struct err *err)
{
    return rpc_call_send(reader_of(core)->call, &message->base, err);
}

static void reader_end(struct log_reader *core, const struct err *err)
{
    struct reader *reader = reader_of(core);
    struct rpc_call *call = reader->call;
    rpc_call_set_user(call, NULL);
    free(reader);
    if (err)
        rpc_call_fail(call, err);
    else
        rpc_call_finish(call, NULL);
}

static void handle_subscribe(struct rpc_call *call)
{
    struct broker *broker = running(call);
    struct err err = ERR_INIT;
    if (!broker)
        return;
    struct reader *reader = MEM_NEW(struct reader);
    reader->core.writable = reader_writable;
    reader->core.send = reader_send;
    reader->core.end = reader_end;
    reader->call = call;
    rpc_call_set_user(call, reader);
    if (broker_subscribe(broker, (const Swarm__SubscribeLogsRequest *)rpc_call_message(call),
                         &reader->core, &err))
        reader_end(&reader->core, &err);
}

static void on_reader_writable(struct rpc_call *call)
{
    struct reader *reader = rpc_call_user(call);
    if (reader)
        broker_readable(&reader->core);
}

static void on_reader_cancel(struct rpc_call *call)
{
    struct reader *reader = rpc_call_user(call);
    struct err err = ERR_INIT;
    if (!reader)
        return;
    broker_leave(&reader->core);
    err_set(&err, ERR_CANCELLED, "context canceled");
    reader_end(&reader->core, &err);
}

// ---- agents: ListenSubscriptions ----------------------------------------------------------------

struct listener {
    struct log_agent core;
    struct rpc_call *call;
};

static int listener_send(struct log_agent *core, const Swarm__SubscriptionMessage *message,
                         struct err *err)
{
    return rpc_call_send(CONTAINER_OF(core, struct listener, core)->call, &message->base, err);
}

static void listener_end(struct log_agent *core, const struct err *err)
{
    struct listener *listener = CONTAINER_OF(core, struct listener, core);
    struct rpc_call *call = listener->call;
    rpc_call_set_user(call, NULL);
    free(listener);
    rpc_call_fail(call, err);
}

static void handle_listen(struct rpc_call *call)
{
    struct broker *broker = running(call);
    if (!broker)
        return;
    struct listener *listener = MEM_NEW(struct listener);
    listener->core.send = listener_send;
    listener->core.end = listener_end;
    listener->call = call;
    rpc_call_set_user(call, listener);
    broker_listen(broker, node_of(call), &listener->core);
    rpc_call_drop_request(call);
}

static void on_listener_cancel(struct rpc_call *call)
{
    struct listener *listener = rpc_call_user(call);
    struct err err = ERR_INIT;
    if (!listener)
        return;
    broker_unlisten(&listener->core);
    err_set(&err, ERR_CANCELLED, "context canceled");
    listener_end(&listener->core, &err);
}

// ---- agents: PublishLogs ------------------------------------------------------------------------

struct writer {
    struct log_writer core;
    struct rpc_call *call;
    bool busy;  // inside broker_publish: an end waits until it returns
    bool ended; // meanwhile
};

static void writer_pause(struct log_writer *core)
{
    rpc_call_pause(CONTAINER_OF(core, struct writer, core)->call);
}

static void writer_resume(struct log_writer *core)
{
    rpc_call_resume(CONTAINER_OF(core, struct writer, core)->call);
}

static struct rpc_call *writer_free(struct writer *writer)
{
    struct rpc_call *call = writer->call;
    rpc_call_set_user(call, NULL);
    free(writer);
    return call;
}

static void writer_end(struct log_writer *core, const struct err *err)
{
    struct writer *writer = CONTAINER_OF(core, struct writer, core);
    if (writer->busy)
        writer->ended = true;
    else
        rpc_call_fail(writer_free(writer), err);
}

static void writer_reply(struct writer *writer)
{
    Swarm__PublishLogsResponse response = SWARM__PUBLISH_LOGS_RESPONSE__INIT;
    rpc_call_reply(writer_free(writer), &response.base);
}

static void handle_publish(struct rpc_call *call)
{
    if (!running(call))
        return;
    struct writer *writer = MEM_NEW(struct writer);
    writer->core.pause = writer_pause;
    writer->core.resume = writer_resume;
    writer->core.end = writer_end;
    writer->call = call;
    rpc_call_set_user(call, writer);
    broker_publish_begin(&writer->core, node_of(call));
}

static void on_publish_message(struct rpc_call *call)
{
    const struct logs_desk *desk = rpc_call_ctx(call);
    struct writer *writer = rpc_call_user(call);
    struct err err = ERR_INIT;
    bool closed = false;
    if (!writer)
        return; // ended already
    if (!desk->logs) {
        broker_publish_end(&writer->core);
        rpc_call_failf(writer_free(writer), ERR_UNKNOWN, BROKER_ERR_STOPPED);
        return;
    }
    writer->busy = true;
    int result =
        broker_publish(logs_broker(desk->logs), &writer->core,
                       (const Swarm__PublishLogsMessage *)rpc_call_message(call), &closed, &err);
    writer->busy = false;
    if (result)
        rpc_call_fail(writer_free(writer), &err);
    else if (writer->ended)
        rpc_call_failf(writer_free(writer), ERR_CANCELLED, "context canceled");
    else if (closed)
        writer_reply(writer);
}

static void on_publish_end(struct rpc_call *call)
{
    struct writer *writer = rpc_call_user(call);
    if (!writer)
        return;
    broker_publish_end(&writer->core);
    writer_reply(writer);
}

static void on_publish_cancel(struct rpc_call *call)
{
    struct writer *writer = rpc_call_user(call);
    if (!writer)
        return;
    broker_publish_end(&writer->core);
    rpc_call_failf(writer_free(writer), ERR_CANCELLED, "context canceled");
}

// ---- tables -------------------------------------------------------------------------------------

static const struct rpc_method logs_methods[] = {
    {.path = "/docker.swarmkit.v1.Logs/SubscribeLogs",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_MANAGER,
     .request = &swarm__subscribe_logs_request__descriptor,
     .handle = handle_subscribe,
     .on_writable = on_reader_writable,
     .on_cancel = on_reader_cancel},
};

static const struct rpc_method broker_methods[] = {
    {.path = "/docker.swarmkit.v1.LogBroker/ListenSubscriptions",
     .kind = RPC_SERVER_STREAM,
     .roles = ROLE_WORKER | ROLE_MANAGER,
     .request = &swarm__listen_subscriptions_request__descriptor,
     .handle = handle_listen,
     .on_cancel = on_listener_cancel},
    {.path = "/docker.swarmkit.v1.LogBroker/PublishLogs",
     .kind = RPC_CLIENT_STREAM,
     .roles = ROLE_WORKER | ROLE_MANAGER,
     .request = &swarm__publish_logs_message__descriptor,
     .handle = handle_publish,
     .on_message = on_publish_message,
     .on_end = on_publish_end,
     .on_cancel = on_publish_cancel},
};

struct rpc_service logs_service(struct logs_desk *desk, struct loop *home)
{
    return (struct rpc_service){.methods = logs_methods,
                                .methods_count = COUNT_OF(logs_methods),
                                .ctx = desk,
                                .home = home};
}

struct rpc_service log_broker_service(struct logs_desk *desk, struct loop *home)
{
    return (struct rpc_service){.methods = broker_methods,
                                .methods_count = COUNT_OF(broker_methods),
                                .ctx = desk,
                                .home = home};
}
