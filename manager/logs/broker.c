#include "manager/logs/broker.h"

#include <stdlib.h>
#include <string.h>

#include "manager/store/watch.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/wire/types.pb-c.h"
#include "proto/wire/wire.h"

#define BROKER_MAGIC 0x62726f6bu

// Longest text of reasons; it has to fit an error message.
#define REASONS_BYTES 512

// How far a node is with a subscription; values of the map of nodes.
static char node_waits;
static char node_done;

struct subscription {
    char *id;
    struct broker *broker;
    struct log_reader *reader;
    Swarm__LogSelector *selector;
    Swarm__LogSubscriptionOptions *options; // never NULL: stock agents rely on it
    struct map nodes;                       // node id -> node_waits or node_done
    size_t waits;                           // nodes that are not done
    struct map pending;                     // ids of tasks without a node
    struct list writers;
    struct buf reasons;
    size_t reasons_count;
};

struct broker {
    unsigned magic;
    struct broker_config config;
    struct map agents;        // node id -> struct log_agent
    struct map subscriptions; // id -> struct subscription
    struct watch *watch;      // while somebody follows
    size_t following;
    size_t broken; // agents that are
};

// ---- agents -------------------------------------------------------------------------------------

static void agent_detach(struct log_agent *agent)
{
    struct broker *broker = agent->broker;
    if (map_get_str(&broker->agents, agent->node_id) == agent)
        map_remove_str(&broker->agents, agent->node_id);
    broker->broken -= agent->broken;
    map_fini(&agent->told);
    MEM_FREE(agent->node_id);
    agent->broker = NULL;
}

static void tell(struct log_agent *agent, const struct subscription *subscription, bool close)
{
    Swarm__SubscriptionMessage message = SWARM__SUBSCRIPTION_MESSAGE__INIT;
    struct err err = ERR_INIT;
    message.id = subscription->id;
    message.close = close;
    message.selector = subscription->selector;
    message.options = subscription->options;
    if (close)
        map_remove_str(&agent->told, subscription->id);
    else
        map_put_str(&agent->told, subscription->id, NULL);
    if (agent->send(agent, &message, &err) && !agent->broken) {
        // Not ended here: whoever tells walks over agents and subscriptions.
        agent->broken = true;
        agent->broker->broken++;
    }
}

// ---- nodes of a subscription --------------------------------------------------------------------

static bool follows(const struct subscription *subscription)
{
    return subscription->options->follow;
}

static void add_reason(struct subscription *subscription, const char *what, const char *id,
                       const char *why)
{
    if (++subscription->reasons_count > BROKER_REASONS_MAX)
        return;
    buf_printf(&subscription->reasons, "%s%s %s %s", subscription->reasons.len > 0 ? ", " : "",
               what, id, why);
}

static void node_finish(struct subscription *subscription, const char *node_id, const char *why)
{
    if (map_get_str(&subscription->nodes, node_id) != &node_waits)
        return;
    map_put_str(&subscription->nodes, node_id, &node_done);
    subscription->waits--;
    if (why)
        add_reason(subscription, "node", node_id, why);
}

static void node_add(struct subscription *subscription, const char *node_id)
{
    if (map_has_str(&subscription->nodes, node_id))
        return;
    map_put_str(&subscription->nodes, node_id, &node_waits);
    subscription->waits++;
    struct log_agent *agent = map_get_str(&subscription->broker->agents, node_id);
    if (agent)
        tell(agent, subscription, false);
    else
        node_finish(subscription, node_id, "is not available");
}

static void task_add(struct subscription *subscription, const struct object *task)
{
    const char *node_id = object_task(task)->node_id;
    if (*node_id == 0) {
        map_put_str(&subscription->pending, object_id(task), NULL);
        return;
    }
    map_remove_str(&subscription->pending, object_id(task));
    node_add(subscription, node_id);
}

static void match(struct subscription *subscription, struct view view)
{
    const Swarm__LogSelector *selector = subscription->selector;
    for (size_t i = 0; i < selector->n_node_ids; i++)
        node_add(subscription, selector->node_ids[i]);
    for (size_t i = 0; i < selector->n_task_ids; i++) {
        const struct object *task = view_get(view, OBJECT_TASK, selector->task_ids[i]);
        if (task)
            task_add(subscription, task);
    }
    for (size_t i = 0; i < selector->n_service_ids; i++) {
        VIEW_EACH (task, view, OBJECT_TASK, by_service(selector->service_ids[i])) {
            // What never ran has no logs; who follows waits for them.
            if (follows(subscription) || object_task(task)->state >= SWARM__TASK_STATE__RUNNING)
                task_add(subscription, task);
        }
    }
}

// ---- the end of a subscription ------------------------------------------------------------------

static void writer_detach(struct log_writer *writer)
{
    list_remove(&writer->link);
    MEM_FREE(writer->node_id);
    writer->subscription = NULL;
}

static void unfollow(struct broker *broker)
{
    if (--broker->following > 0)
        return;
    watch_close(broker->watch);
    broker->watch = NULL;
}

// Agents stop, publishers are sent away. The reader is its owner's business.
static void subscription_free(struct subscription *subscription)
{
    struct broker *broker = subscription->broker;
    struct err err = ERR_INIT;
    map_remove_str(&broker->subscriptions, subscription->id);
    MAP_EACH (entry, &subscription->nodes) {
        struct log_agent *agent = map_get_str(&broker->agents, entry->key);
        if (agent && map_has_str(&agent->told, subscription->id))
            tell(agent, subscription, true);
    }
    err_set(&err, ERR_CANCELLED, "context canceled");
    while (!list_empty(&subscription->writers)) {
        struct log_writer *writer = LIST_ENTRY(subscription->writers.next, struct log_writer, link);
        writer_detach(writer);
        writer->end(writer, &err);
    }
    if (follows(subscription))
        unfollow(broker);
    subscription->reader->subscription = NULL;
    map_fini(&subscription->nodes);
    map_fini(&subscription->pending);
    buf_fini(&subscription->reasons);
    wire_free(subscription->selector);
    wire_free(subscription->options);
    free(subscription->id);
    free(subscription);
}

// What could not be brought, as text; false when nothing is missing.
static bool incomplete(struct subscription *subscription, struct err *err)
{
    MAP_EACH (entry, &subscription->pending)
        add_reason(subscription, "task", entry->key, "has not been scheduled");
    if (subscription->reasons_count == 0)
        return false;
    if (subscription->reasons_count > BROKER_REASONS_MAX)
        buf_printf(&subscription->reasons, ", and %zu more",
                   subscription->reasons_count - BROKER_REASONS_MAX);
    err_set(err, ERR_UNKNOWN,
            "warning: incomplete log stream. some logs could not be retrieved for the following "
            "reasons: %s",
            str_or(buf_cstr(&subscription->reasons), "too many"));
    return true;
}

// Without follow it is over when every node has said so.
static void finish_if_done(struct subscription *subscription)
{
    struct log_reader *reader = subscription->reader;
    struct err err = ERR_INIT;
    if (follows(subscription) || subscription->waits > 0)
        return;
    bool missing = incomplete(subscription, &err);
    subscription_free(subscription);
    reader->end(reader, missing ? &err : NULL);
}

// Ends the agents that could not be told something. The last thing a call does.
static void reap(struct broker *broker)
{
    struct err err = ERR_INIT;
    if (broker->broken == 0)
        return;
    err_set(&err, ERR_RESOURCE_EXHAUSTED, "too many subscriptions wait to be sent");
    MAP_EACH (entry, &broker->agents) {
        struct log_agent *agent = entry->value;
        if (!agent->broken)
            continue;
        broker_unlisten(agent);
        agent->end(agent, &err);
    }
}

// ---- clients ------------------------------------------------------------------------------------

static void wake(struct watch *watch, void *ctx)
{
    struct broker *broker = ctx;
    (void)watch;
    if (broker->config.wake)
        broker->config.wake(broker->config.ctx);
}

static void follow(struct broker *broker)
{
    const struct watch_rule rule = {.type = OBJECT_TASK, .actions = WATCH_CREATE | WATCH_UPDATE};
    const struct watch_options options = {
        .rules = &rule, .rules_count = 1, .wake = wake, .ctx = broker};
    if (broker->following++ == 0)
        CHECK(watch_open(broker->config.store, &options, &broker->watch, NULL) == 0);
}

static struct subscription *subscription_new(struct broker *broker,
                                             const Swarm__SubscribeLogsRequest *request,
                                             struct log_reader *reader)
{
    unsigned char random[ID_RANDOM_BYTES];
    struct subscription *subscription = MEM_NEW(struct subscription);
    rng_fill(broker->config.rng, random, sizeof random);
    struct id id = id_from_random(random);
    subscription->id = str_dup(id.text);
    subscription->broker = broker;
    subscription->reader = reader;
    subscription->selector = wire_copy(request->selector, NULL);
    subscription->options = request->options
                                ? wire_copy(request->options, NULL)
                                : wire_new(&swarm__log_subscription_options__descriptor, NULL);
    map_init(&subscription->nodes);
    map_init(&subscription->pending);
    list_init(&subscription->writers);
    buf_init(&subscription->reasons, REASONS_BYTES);
    map_put_str(&broker->subscriptions, subscription->id, subscription);
    reader->subscription = subscription;
    return subscription;
}

int broker_subscribe(struct broker *broker, const Swarm__SubscribeLogsRequest *request,
                     struct log_reader *reader, struct err *err)
{
    const Swarm__LogSelector *selector = request->selector;
    MAGIC_CHECK(broker, BROKER_MAGIC);
    if (!selector)
        return err_set(err, ERR_INVALID_ARGUMENT, "log selector must be provided");
    if (selector->n_service_ids + selector->n_node_ids + selector->n_task_ids == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "log selector must not be empty");
    if (map_count(&broker->subscriptions) >= BROKER_SUBSCRIPTIONS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many log subscriptions");
    struct subscription *subscription = subscription_new(broker, request, reader);
    if (follows(subscription))
        follow(broker);
    struct view view = store_pin(broker->config.store);
    match(subscription, view);
    store_unpin(view);
    finish_if_done(subscription);
    reap(broker);
    return 0;
}

void broker_leave(struct log_reader *reader)
{
    if (!reader->subscription)
        return;
    struct broker *broker = reader->subscription->broker;
    subscription_free(reader->subscription);
    reap(broker);
}

void broker_readable(struct log_reader *reader)
{
    if (!reader->subscription || !reader->writable(reader))
        return;
    LIST_EACH (link, &reader->subscription->writers) {
        struct log_writer *writer = LIST_ENTRY(link, struct log_writer, link);
        if (!writer->paused)
            continue;
        writer->paused = false;
        writer->resume(writer);
    }
}

static bool selects(const struct subscription *subscription, const struct object *task)
{
    const Swarm__LogSelector *selector = subscription->selector;
    for (size_t i = 0; i < selector->n_task_ids; i++)
        if (str_equal(selector->task_ids[i], object_id(task)))
            return true;
    for (size_t i = 0; i < selector->n_service_ids; i++)
        if (str_equal(selector->service_ids[i], object_task(task)->service_id))
            return true;
    return false;
}

static void match_again(struct broker *broker)
{
    struct view view = store_pin(broker->config.store);
    MAP_EACH (entry, &broker->subscriptions)
        match(entry->value, view);
    store_unpin(view);
}

void broker_step(struct broker *broker)
{
    struct watch_event event;
    MAGIC_CHECK(broker, BROKER_MAGIC);
    while (broker->watch && watch_next(broker->watch, &event)) {
        if (event.action == WATCH_LOST) {
            match_again(broker);
        } else {
            MAP_EACH (entry, &broker->subscriptions) {
                struct subscription *subscription = entry->value;
                if (follows(subscription) && selects(subscription, event.now))
                    task_add(subscription, event.now);
            }
        }
        watch_event_fini(&event);
    }
    reap(broker);
}

// ---- agents' streams ----------------------------------------------------------------------------

void broker_listen(struct broker *broker, const char *node_id, struct log_agent *agent)
{
    MAGIC_CHECK(broker, BROKER_MAGIC);
    struct log_agent *old = map_get_str(&broker->agents, node_id);
    if (old) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_ABORTED, "another stream of the node listens");
        agent_detach(old);
        old->end(old, &err);
    }
    agent->broker = broker;
    agent->node_id = str_dup(node_id);
    agent->broken = false;
    map_init(&agent->told);
    map_put_str(&broker->agents, node_id, agent);
    MAP_EACH (entry, &broker->subscriptions) {
        struct subscription *subscription = entry->value;
        const void *state = map_get_str(&subscription->nodes, node_id);
        // Who follows wants to hear of a node again that was away.
        if (state == &node_waits || (state && follows(subscription)))
            tell(agent, subscription, false);
    }
}

void broker_unlisten(struct log_agent *agent)
{
    struct broker *broker = agent->broker;
    if (!broker)
        return;
    char *node_id = str_dup(agent->node_id);
    agent_detach(agent);
    MAP_EACH (entry, &broker->subscriptions) {
        struct subscription *subscription = entry->value;
        node_finish(subscription, node_id, "disconnected unexpectedly");
        finish_if_done(subscription);
    }
    free(node_id);
}

void broker_publish_begin(struct log_writer *writer, const char *node_id)
{
    list_init(&writer->link);
    writer->subscription = NULL;
    writer->node_id = str_dup(node_id);
    writer->paused = false;
}

// Only lines of its own containers, whatever a node claims.
static int check_lines(const struct log_writer *writer, const Swarm__PublishLogsMessage *message,
                       struct err *err)
{
    for (size_t i = 0; i < message->n_messages; i++) {
        const Swarm__LogContext *context = message->messages[i]->context;
        if (!context || !str_equal(context->node_id, writer->node_id))
            return err_set(err, ERR_PERMISSION_DENIED,
                           "log messages must be of the node that publishes them");
    }
    return 0;
}

static int find_subscription(struct broker *broker, struct log_writer *writer, const char *id,
                             struct err *err)
{
    if (str_empty(id))
        return err_set(err, ERR_INVALID_ARGUMENT, "missing subscription ID");
    if (writer->subscription && !str_equal(writer->subscription->id, id))
        return err_set(err, ERR_INVALID_ARGUMENT, "different subscription IDs in the same session");
    if (writer->subscription)
        return 0;
    struct subscription *subscription = map_get_str(&broker->subscriptions, id);
    if (!subscription || !map_has_str(&subscription->nodes, writer->node_id))
        return err_set(err, ERR_NOT_FOUND, BROKER_ERR_UNKNOWN);
    writer->subscription = subscription;
    list_push_back(&subscription->writers, &writer->link);
    return 0;
}

// The client cannot be served any more.
static void drop_reader(struct subscription *subscription, const struct err *err)
{
    struct log_reader *reader = subscription->reader;
    subscription_free(subscription);
    reader->end(reader, err);
}

static void pass_on(struct log_writer *writer, const Swarm__PublishLogsMessage *message)
{
    struct subscription *subscription = writer->subscription;
    struct log_reader *reader = subscription->reader;
    Swarm__SubscribeLogsMessage lines = SWARM__SUBSCRIBE_LOGS_MESSAGE__INIT;
    struct err err = ERR_INIT;
    lines.messages = message->messages;
    lines.n_messages = message->n_messages;
    if (reader->send(reader, &lines, &err)) {
        drop_reader(subscription, &err);
    } else if (!reader->writable(reader) && !writer->paused) {
        writer->paused = true;
        writer->pause(writer);
    }
}

int broker_publish(struct broker *broker, struct log_writer *writer,
                   const Swarm__PublishLogsMessage *message, bool *closed, struct err *err)
{
    MAGIC_CHECK(broker, BROKER_MAGIC);
    *closed = false;
    if (find_subscription(broker, writer, message->subscription_id, err) ||
        check_lines(writer, message, err)) {
        broker_publish_end(writer);
        return -(int)err->code;
    }
    *closed = message->close;
    if (!message->close) {
        if (message->n_messages > 0)
            pass_on(writer, message);
        return 0;
    }
    struct subscription *subscription = writer->subscription;
    node_finish(subscription, writer->node_id, NULL);
    writer_detach(writer);
    finish_if_done(subscription);
    return 0;
}

void broker_publish_end(struct log_writer *writer)
{
    struct subscription *subscription = writer->subscription;
    if (subscription && !follows(subscription))
        node_finish(subscription, writer->node_id, "disconnected unexpectedly");
    writer_detach(writer);
    if (subscription)
        finish_if_done(subscription);
}

// ---- life ---------------------------------------------------------------------------------------

struct broker *broker_new(const struct broker_config *config)
{
    struct broker *broker = MEM_NEW(struct broker);
    MAGIC_SET(broker, BROKER_MAGIC);
    broker->config = *config;
    map_init(&broker->agents);
    map_init(&broker->subscriptions);
    return broker;
}

void broker_free(struct broker *broker)
{
    struct err err = ERR_INIT;
    MAGIC_CHECK(broker, BROKER_MAGIC);
    err_set(&err, ERR_UNKNOWN, BROKER_ERR_STOPPED);
    MAP_EACH (entry, &broker->subscriptions)
        drop_reader(entry->value, &err);
    MAP_EACH (entry, &broker->agents) {
        struct log_agent *agent = entry->value;
        agent_detach(agent);
        agent->end(agent, &err);
    }
    CHECK(broker->following == 0);
    map_fini(&broker->agents);
    map_fini(&broker->subscriptions);
    MAGIC_CLEAR(broker);
    free(broker);
}
