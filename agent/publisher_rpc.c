#include "agent/publisher_rpc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/methods.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define PUBLISH            "/docker.swarmkit.v1.LogBroker/PublishLogs"
#define SUBSCRIPTION_BYTES (1u << 20)

struct publisher {
    struct loop *loop;
    struct worker *worker;
    struct executor *executor;
    const char *node_id;
    struct list subscriptions;
    size_t count;
    struct loop_timer look;
};

struct subscribed {
    struct list link;
    struct publisher *publisher;
    struct arena arena;
    const Swarm__SubscriptionMessage *wanted; // a copy
    struct rpc_request *call;
    struct list sources;
    struct map seen; // task ids, no values
    bool follow;
    bool paused;
    bool ended; // our last message was sent
};

// One task's logs.
struct source {
    struct list link;
    struct subscribed *subscribed;
    char *task_id;
    char *service_id;
    struct executor_log_stream *stream; // NULL: it gave all it has
    struct loop_later over;
};

static const struct executor_class *class_of(const struct publisher *publisher)
{
    return publisher->executor->class;
}

// ---- sources -----------------------------------------------------------------------------------

static void source_free(struct source *source)
{
    if (source->stream)
        class_of(source->subscribed->publisher)->logs_close(source->stream);
    loop_later_cancel(&source->over);
    list_remove(&source->link);
    free(source->task_id);
    free(source->service_id);
    free(source);
}

static void subscribed_free(struct subscribed *subscribed)
{
    while (!list_empty(&subscribed->sources))
        source_free(LIST_ENTRY(subscribed->sources.next, struct source, link));
    if (subscribed->call)
        rpc_request_drop(subscribed->call);
    subscribed->publisher->count--;
    list_remove(&subscribed->link);
    map_fini(&subscribed->seen);
    arena_fini(&subscribed->arena);
    free(subscribed);
}

static void pause_all(struct subscribed *subscribed, bool pause)
{
    subscribed->paused = pause;
    LIST_EACH (it, &subscribed->sources) {
        struct source *source = LIST_ENTRY(it, struct source, link);
        if (source->stream)
            class_of(subscribed->publisher)->logs_pause(source->stream, pause);
    }
}

static bool wants_stream(const struct subscribed *subscribed, int stream)
{
    const Swarm__LogSubscriptionOptions *options = subscribed->wanted->options;
    if (!options || !options->n_streams)
        return true;
    for (size_t i = 0; i < options->n_streams; i++)
        if ((int)options->streams[i] == stream ||
            options->streams[i] == SWARM__LOG_STREAM__LOG_STREAM_UNKNOWN)
            return true;
    return false;
}

static void publish(struct subscribed *subscribed, Swarm__LogMessage *line, bool close)
{
    Swarm__PublishLogsMessage message;
    swarm__publish_logs_message__init(&message);
    message.subscription_id = subscribed->wanted->id;
    message.messages = &line;
    message.n_messages = line ? 1 : 0;
    message.close = close;
    struct err err = ERR_INIT;
    if (!subscribed->call || subscribed->ended)
        return;
    if (rpc_request_send(subscribed->call, &message.base, &err))
        log_debug("line of a log is not sent", "err=\"%s\"", err.message);
    if (!rpc_request_writable(subscribed->call) && !subscribed->paused)
        pause_all(subscribed, true);
}

static void source_line(void *owner, const struct executor_log *log)
{
    struct source *source = owner;
    struct subscribed *subscribed = source->subscribed;
    if (!wants_stream(subscribed, log->stream))
        return;
    Swarm__LogContext context;
    Swarm__LogMessage message;
    Google__Timestamp at;
    swarm__log_context__init(&context);
    swarm__log_message__init(&message);
    google__timestamp__init(&at);
    context.service_id = source->service_id;
    context.node_id = (char *)(uintptr_t)subscribed->publisher->node_id;
    context.task_id = source->task_id;
    at.seconds = log->at.ns / NS_PER_S;
    at.nanos = (int32_t)(log->at.ns % NS_PER_S);
    message.context = &context;
    message.timestamp = &at;
    message.stream = log->stream == 2 ? SWARM__LOG_STREAM__LOG_STREAM_STDERR
                                      : SWARM__LOG_STREAM__LOG_STREAM_STDOUT;
    message.data.data = (uint8_t *)(uintptr_t)log->bytes;
    message.data.len = log->size;
    Swarm__LogAttr attrs[EXECUTOR_MARKS_MAX], *listed[EXECUTOR_MARKS_MAX];
    CHECK(log->marks_count <= EXECUTOR_MARKS_MAX);
    for (size_t i = 0; i < log->marks_count; i++) {
        swarm__log_attr__init(&attrs[i]);
        attrs[i].key = (char *)(uintptr_t)log->marks[i].key;
        attrs[i].value = (char *)(uintptr_t)log->marks[i].value;
        listed[i] = &attrs[i];
    }
    message.attrs = listed;
    message.n_attrs = log->marks_count;
    publish(subscribed, &message, false);
}

// When every source gave all it has, and nothing more can come, the broker is told so.
static void maybe_end(struct subscribed *subscribed)
{
    if (subscribed->follow || subscribed->ended || !subscribed->call)
        return;
    LIST_EACH (it, &subscribed->sources)
        if (LIST_ENTRY(it, struct source, link)->stream)
            return;
    publish(subscribed, NULL, true);
    subscribed->ended = true;
    rpc_request_end(subscribed->call);
}

static void source_over(struct loop_later *later)
{
    struct source *source = CONTAINER_OF(later, struct source, over);
    struct subscribed *subscribed = source->subscribed;
    source_free(source);
    maybe_end(subscribed);
}

// A stream may not be closed from inside its own callback.
static void source_done(void *owner, const struct err *err)
{
    struct source *source = owner;
    if (err)
        log_debug("log of a task cannot be read", "task=%s err=\"%s\"", source->task_id,
                  err->message);
    loop_later_ask(&source->over);
}

// ---- subscriptions -----------------------------------------------------------------------------

static bool one_of(const char *id, char *const *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(ids[i], id))
            return true;
    return false;
}

static bool selects(const struct subscribed *subscribed, const Swarm__Task *task)
{
    const Swarm__LogSelector *selector = subscribed->wanted->selector;
    return selector && (one_of(task->service_id, (char *const *)selector->service_ids,
                               selector->n_service_ids) ||
                        one_of(task->id, (char *const *)selector->task_ids, selector->n_task_ids) ||
                        one_of(subscribed->publisher->node_id, (char *const *)selector->node_ids,
                               selector->n_node_ids));
}

static void add_source(struct subscribed *subscribed, const Swarm__Task *task,
                       struct executor_task *hands)
{
    const Swarm__LogSubscriptionOptions *wanted = subscribed->wanted->options;
    struct executor_log_options options = {.follow = subscribed->follow, .tail = -1};
    if (wanted && wanted->tail < 0)
        options.tail = -(wanted->tail + 1);
    if (wanted && wanted->since)
        options.since = timestamp_to_wall(wanted->since);
    struct source *source = MEM_NEW(struct source);
    source->subscribed = subscribed;
    source->task_id = str_dup(task->id);
    source->service_id = str_dup(task->service_id);
    loop_later_init(&source->over, subscribed->publisher->loop, source_over);
    list_push_back(&subscribed->sources, &source->link);
    source->stream = class_of(subscribed->publisher)
                         ->logs(hands, &options, source_line, source_done, source, NULL);
    if (!source->stream)
        source_free(source); // a task without logs
    else if (subscribed->paused)
        class_of(subscribed->publisher)->logs_pause(source->stream, true);
}

// Tasks that can have logs and were not looked at yet.
static void look_for_tasks(struct subscribed *subscribed)
{
    struct publisher *publisher = subscribed->publisher;
    size_t position = 0;
    struct worker_view view;
    while (worker_next(publisher->worker, &position, &view)) {
        // One that did not get so far has written nothing; a follower finds it later.
        if (!view.hands || view.state < SWARM__TASK_STATE__RUNNING ||
            map_has_str(&subscribed->seen, view.task->id) || !selects(subscribed, view.task))
            continue;
        map_put_str(&subscribed->seen, view.task->id, NULL);
        add_source(subscribed, view.task, view.hands);
    }
}

static void on_look(struct loop_timer *timer)
{
    struct publisher *publisher = CONTAINER_OF(timer, struct publisher, look);
    bool any = false;
    LIST_EACH (it, &publisher->subscriptions) {
        struct subscribed *subscribed = LIST_ENTRY(it, struct subscribed, link);
        any = any || subscribed->follow;
        if (subscribed->follow)
            look_for_tasks(subscribed);
    }
    if (any)
        loop_timer_start(timer, PUBLISHER_LOOK_MS);
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    (void)request;
    (void)ctx;
    (void)message; // an empty one, at the end
}

static void on_writable(struct rpc_request *request, void *ctx)
{
    (void)request;
    struct subscribed *subscribed = ctx;
    if (subscribed->paused)
        pause_all(subscribed, false);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct subscribed *subscribed = ctx;
    if (status->err.code)
        log_debug("logs are not published any more", "err=\"%s\"", status->err.message);
    subscribed->call = NULL;
    subscribed_free(subscribed);
}

static struct subscribed *find(struct publisher *publisher, const char *id)
{
    LIST_EACH (it, &publisher->subscriptions) {
        struct subscribed *subscribed = LIST_ENTRY(it, struct subscribed, link);
        if (str_equal(subscribed->wanted->id, id))
            return subscribed;
    }
    return NULL;
}

static void subscribe(struct publisher *publisher, struct rpc_client *client,
                      const Swarm__SubscriptionMessage *message)
{
    if (publisher->count >= PUBLISHER_SUBSCRIPTIONS_MAX) {
        log_warn("too many subscriptions to logs at once", "max=%d", PUBLISHER_SUBSCRIPTIONS_MAX);
        return;
    }
    struct subscribed *subscribed = MEM_NEW(struct subscribed);
    arena_init(&subscribed->arena, SUBSCRIPTION_BYTES);
    subscribed->publisher = publisher;
    subscribed->wanted = wire_copy(message, &subscribed->arena);
    list_init(&subscribed->link);
    list_init(&subscribed->sources);
    map_init(&subscribed->seen);
    publisher->count++;
    if (!subscribed->wanted) {
        log_warn("subscription to logs is too large", "id=%s", message->id);
        subscribed_free(subscribed);
        return;
    }
    list_push_back(&publisher->subscriptions, &subscribed->link);
    subscribed->follow = message->options && message->options->follow;
    struct rpc_request_spec spec = {
        .path = PUBLISH,
        .kind = RPC_CLIENT_STREAM,
        .response = &swarm__publish_logs_response__descriptor,
        .on_message = on_message,
        .on_writable = on_writable,
        .on_done = on_done,
        .ctx = subscribed,
    };
    subscribed->call = rpc_client_call(client, &spec, NULL);
    // The first message names the subscription, also when there is nothing to say yet.
    publish(subscribed, NULL, false);
    look_for_tasks(subscribed);
    maybe_end(subscribed);
    if (subscribed->follow && !loop_timer_running(&publisher->look))
        loop_timer_start(&publisher->look, PUBLISHER_LOOK_MS);
}

// ---- the publisher -----------------------------------------------------------------------------

struct publisher *publisher_new(struct loop *loop, struct worker *worker, struct executor *executor,
                                const char *node_id)
{
    struct publisher *publisher = MEM_NEW(struct publisher);
    publisher->loop = loop;
    publisher->worker = worker;
    publisher->executor = executor;
    publisher->node_id = node_id;
    list_init(&publisher->subscriptions);
    loop_timer_init(&publisher->look, loop, on_look);
    return publisher;
}

void publisher_stop(struct publisher *publisher)
{
    while (!list_empty(&publisher->subscriptions))
        subscribed_free(LIST_ENTRY(publisher->subscriptions.next, struct subscribed, link));
    loop_timer_stop(&publisher->look);
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    publisher_stop(publisher);
    free(publisher);
}

void publisher_take(struct publisher *publisher, struct rpc_client *client,
                    const Swarm__SubscriptionMessage *message)
{
    struct subscribed *known = find(publisher, message->id);
    if (message->close && known)
        subscribed_free(known);
    else if (!message->close && !known && client)
        subscribe(publisher, client, message);
}

void publisher_forget(struct publisher *publisher, const char *task_id)
{
    LIST_EACH_SAFE (it, &publisher->subscriptions) {
        struct subscribed *subscribed = LIST_ENTRY(it, struct subscribed, link);
        LIST_EACH_SAFE (at, &subscribed->sources) {
            struct source *source = LIST_ENTRY(at, struct source, link);
            if (str_equal(source->task_id, task_id))
                source_free(source);
        }
        maybe_end(subscribed);
    }
}
