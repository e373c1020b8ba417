#include "manager/dispatch/dispatcher.h"

#include <stdlib.h>
#include <string.h>

#include "manager/dispatch/assign.h"
#include "manager/dispatch/inner.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/raw.h"

#define DISPATCHER_MAGIC 0x64697370u

// How long to wait when the store takes no more proposals.
#define RETRY_NS (10 * NS_PER_MS)

// The same for tasks that could not be orphaned: nobody waits for them.
#define ORPHAN_RETRY_NS (10 * NS_PER_S)

// ---- following the store ------------------------------------------------------------------------

static void see_task(struct dispatcher *dispatcher, struct view view,
                     const struct watch_event *event, struct moment now)
{
    struct agent *agent = agents_get(&dispatcher->agents, object_task(event->now)->node_id);
    if (!agent)
        return;
    LIST_EACH (link, &agent->assignments) {
        struct dispatch_stream *stream = stream_of(link);
        if (event->action == WATCH_REMOVE)
            assign_task_gone(stream->assign, event->now);
        else
            assign_task(stream->assign, view, event->now);
        streams_collect(dispatcher, stream, now);
    }
}

// The nodes a volume is published on are few, and named in it.
static void see_volume(struct dispatcher *dispatcher, const struct object *volume,
                       struct moment now)
{
    enum { PUBLISH_STATUS = 4, NODE_ID = 1 };
    char id[OBJECT_ID_BYTES + 1];
    size_t size;
    const uint8_t *bytes = object_bytes(volume, &size);
    struct cursor cursor = cursor_of(bytes, size);
    struct raw field;
    struct raw node;
    while (raw_next(&cursor, &field)) {
        if (field.number != PUBLISH_STATUS || !raw_find(field.bytes, field.size, NODE_ID, &node) ||
            node.size >= sizeof id)
            continue;
        memcpy(id, node.bytes, node.size);
        id[node.size] = 0;
        struct agent *agent = agents_get(&dispatcher->agents, id);
        if (!agent)
            continue;
        LIST_EACH (link, &agent->assignments) {
            assign_volume(stream_of(link)->assign, volume);
            streams_collect(dispatcher, stream_of(link), now);
        }
    }
}

static void drop_agent(struct dispatcher *dispatcher, struct agent *agent, enum err_code code,
                       const char *text)
{
    streams_end(dispatcher, agent, code, text);
    agents_remove(&dispatcher->agents, agent);
}

static void see_node(struct dispatcher *dispatcher, const struct watch_event *event)
{
    struct agent *agent = agents_get(&dispatcher->agents, object_id(event->now));
    if (agent && event->action == WATCH_REMOVE)
        drop_agent(dispatcher, agent, ERR_ABORTED, DISPATCH_ERR_DISCONNECT);
    else if (agent)
        streams_mark(dispatcher, agent);
}

static void see_cluster(struct dispatcher *dispatcher, const struct object *cluster)
{
    shared_set_cluster(&dispatcher->shared, cluster);
    dispatcher->agents.period_ns = dispatcher->shared.heartbeat_ns;
    streams_mark_all(dispatcher);
}

static void load_cluster(struct dispatcher *dispatcher)
{
    struct view view = store_pin(dispatcher->config.store);
    VIEW_EACH (object, view, OBJECT_CLUSTER, BY_ALL)
        see_cluster(dispatcher, object);
    store_unpin(view);
}

// We fell behind and do not know what we missed: sets begin anew, sessions are told everything.
static void resync(struct dispatcher *dispatcher)
{
    log_warn("dispatcher fell behind the store", "agents=%zu",
             map_count(&dispatcher->agents.table));
    struct view view = store_pin(dispatcher->config.store);
    MAP_EACH (entry, &dispatcher->agents.table) {
        struct agent *agent = entry->value;
        if (!view_get(view, OBJECT_NODE, agent->id))
            drop_agent(dispatcher, agent, ERR_ABORTED, DISPATCH_ERR_DISCONNECT);
        else
            streams_end_list(dispatcher, &agent->assignments, ERR_ABORTED,
                             "assignments begin anew");
    }
    store_unpin(view);
    load_cluster(dispatcher);
}

static void follow(struct dispatcher *dispatcher, struct moment now)
{
    struct watch_event event;
    if (watch_count(dispatcher->watch) == 0)
        return;
    struct view view = store_pin(dispatcher->config.store);
    while (watch_next(dispatcher->watch, &event)) {
        if (event.action == WATCH_LOST)
            resync(dispatcher);
        else if (object_type(event.now) == OBJECT_TASK)
            see_task(dispatcher, view, &event, now);
        else if (object_type(event.now) == OBJECT_NODE)
            see_node(dispatcher, &event);
        else if (object_type(event.now) == OBJECT_CLUSTER)
            see_cluster(dispatcher, event.now);
        else
            see_volume(dispatcher, event.now, now);
        watch_event_fini(&event);
    }
    store_unpin(view);
}

// ---- writing ------------------------------------------------------------------------------------

static void want_write(struct dispatcher *dispatcher, struct moment now)
{
    struct mono due = writes_count(&dispatcher->writes) >= STATUS_BATCH_MAX
                          ? now.mono
                          : mono_add(now.mono, STATUS_BATCH_NS);
    if (mono_before(due, dispatcher->write_at))
        dispatcher->write_at = due;
}

// A registration is on its way into the log, or has nothing to register.
static void on_node_written(void *ctx, const char *node_id, uint64_t version)
{
    struct dispatcher *dispatcher = ctx;
    struct agent *agent = agents_get(&dispatcher->agents, node_id);
    if (agent && version == 0) {
        drop_agent(dispatcher, agent, ERR_UNKNOWN, DISPATCH_ERR_NODE);
    } else if (agent) {
        LIST_EACH (link, &agent->sessions)
            if (stream_of(link)->ready_at == UINT64_MAX)
                stream_of(link)->ready_at = version;
    }
}

static void write_out(struct dispatcher *dispatcher, struct moment now)
{
    const struct writes_hook hook = {.node = on_node_written, .ctx = dispatcher};
    struct err err = ERR_INIT;
    if (mono_before(now.mono, dispatcher->write_at))
        return;
    dispatcher->write_at = MONO_NEVER;
    if (writes_flush(&dispatcher->writes, dispatcher->config.store, now.wall,
                     dispatcher->config.node_id, &hook, &err)) {
        log_warn("reports wait", "count=%zu err=\"%s\"", writes_count(&dispatcher->writes),
                 err.message);
        if (writes_count(&dispatcher->writes) > 0)
            dispatcher->write_at = mono_add(now.mono, RETRY_NS);
    }
}

// ---- time ---------------------------------------------------------------------------------------

static void orphan(struct dispatcher *dispatcher, struct agent *agent, struct moment now)
{
    struct err err = ERR_INIT;
    if (writes_orphaned(dispatcher->config.store, agent->id, now.wall, &err) == 0) {
        log_info("tasks orphaned", "node=%s", agent->id);
        return;
    }
    log_warn("tasks not orphaned", "node=%s err=\"%s\"", agent->id, err.message);
    timers_set(&dispatcher->agents.timers, &agent->timer, mono_add(now.mono, ORPHAN_RETRY_NS));
}

static void miss(struct dispatcher *dispatcher, struct agent *agent, struct moment now)
{
    const char *message = agent->state == AGENT_LIVE ? DISPATCH_DOWN : DISPATCH_DOWN_NEW;
    log_info("node is down", "node=%s reason=\"%s\"", agent->id, message);
    writes_node(&dispatcher->writes, agent->id, SWARM__NODE_STATUS__STATE__DOWN, message, "", NULL);
    want_write(dispatcher, now);
    streams_end(dispatcher, agent, ERR_NOT_FOUND, DISPATCH_ERR_REGISTERED);
    agents_set_down(&dispatcher->agents, agent, now.mono);
}

static void fire(struct dispatcher *dispatcher, struct moment now)
{
    struct timer *timer;
    while ((timer = timers_pop_due(&dispatcher->agents.timers, now.mono))) {
        struct agent *agent = CONTAINER_OF(timer, struct agent, timer);
        MAGIC_CHECK(agent, AGENT_MAGIC);
        if (agent->state == AGENT_DOWN)
            orphan(dispatcher, agent, now);
        else
            miss(dispatcher, agent, now);
    }
    while ((timer = timers_pop_due(&dispatcher->streams, now.mono)))
        streams_send_assignments(dispatcher, CONTAINER_OF(timer, struct dispatch_stream, timer),
                                 now);
}

void dispatcher_step(struct dispatcher *dispatcher, struct moment now)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    follow(dispatcher, now);
    fire(dispatcher, now);
    write_out(dispatcher, now);
    streams_send_dirty(dispatcher);
}

struct mono dispatcher_due(const struct dispatcher *dispatcher)
{
    struct mono due = dispatcher->write_at;
    struct mono agents = timers_next_due(&dispatcher->agents.timers);
    struct mono streams = timers_next_due(&dispatcher->streams);
    if (mono_before(agents, due))
        due = agents;
    return mono_before(streams, due) ? streams : due;
}

// ---- life ---------------------------------------------------------------------------------------

static void wake(struct watch *watch, void *ctx)
{
    struct dispatcher *dispatcher = ctx;
    (void)watch;
    if (dispatcher->config.wake)
        dispatcher->config.wake(dispatcher->config.ctx);
}

// Who was there before us has to show up again.
static void await_nodes(struct dispatcher *dispatcher, struct moment now)
{
    struct err err = ERR_INIT;
    struct view view = store_pin(dispatcher->config.store);
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL) {
        struct agent *agent = agents_add(&dispatcher->agents, object_id(object));
        if (object_node(object)->state == SWARM__NODE_STATUS__STATE__DOWN)
            agents_set_down(&dispatcher->agents, agent, now.mono);
        else
            agents_await(&dispatcher->agents, agent, now.mono);
    }
    store_unpin(view);
    if (writes_unknown(dispatcher->config.store, now.wall, &err))
        log_error("nodes could not be marked as unknown", "err=\"%s\"", err.message);
}

struct dispatcher *dispatcher_new(const struct dispatcher_config *config, struct moment now)
{
    struct dispatcher *dispatcher = MEM_NEW(struct dispatcher);
    const struct watch_rule rules[] = {
        {.type = OBJECT_TASK, .actions = WATCH_ANY},
        {.type = OBJECT_NODE, .actions = WATCH_UPDATE | WATCH_REMOVE},
        {.type = OBJECT_CLUSTER, .actions = WATCH_CREATE | WATCH_UPDATE},
        {.type = OBJECT_VOLUME, .actions = WATCH_UPDATE},
    };
    const struct watch_options options = {
        .rules = rules, .rules_count = COUNT_OF(rules), .wake = wake, .ctx = dispatcher};
    MAGIC_SET(dispatcher, DISPATCHER_MAGIC);
    dispatcher->config = *config;
    dispatcher->config.node_id = str_dup(config->node_id);
    agents_init(&dispatcher->agents, config->seed);
    timers_init(&dispatcher->streams);
    list_init(&dispatcher->dirty);
    writes_init(&dispatcher->writes);
    dispatcher->writes.delay = config->delay;
    dispatcher->write_at = MONO_NEVER;
    shared_init(&dispatcher->shared);
    CHECK(watch_open(config->store, &options, &dispatcher->watch, NULL) == 0);
    load_cluster(dispatcher);
    await_nodes(dispatcher, now);
    return dispatcher;
}

// The last word to every session: who else there is to turn to.
static void say_goodbye(struct dispatcher *dispatcher)
{
    streams_mark_all(dispatcher);
    shared_touch(&dispatcher->shared);
    streams_send_dirty(dispatcher);
}

void dispatcher_free(struct dispatcher *dispatcher)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    say_goodbye(dispatcher);
    MAP_EACH (entry, &dispatcher->agents.table) {
        struct agent *agent = entry->value;
        streams_end_list(dispatcher, &agent->sessions, ERR_ABORTED, DISPATCH_ERR_DISCONNECT);
        streams_end_list(dispatcher, &agent->assignments, ERR_ABORTED, DISPATCH_ERR_STOPPED);
        agents_remove(&dispatcher->agents, agent);
    }
    CHECK(dispatcher->stats.streams == 0);
    agents_fini(&dispatcher->agents);
    timers_fini(&dispatcher->streams);
    writes_fini(&dispatcher->writes);
    shared_fini(&dispatcher->shared);
    watch_close(dispatcher->watch);
    free((char *)dispatcher->config.node_id);
    MAGIC_CLEAR(dispatcher);
    free(dispatcher);
}

void dispatcher_set_managers(struct dispatcher *dispatcher, const struct dispatch_manager *managers,
                             size_t managers_count)
{
    if (shared_set_managers(&dispatcher->shared, managers, managers_count))
        streams_mark_all(dispatcher);
    streams_send_dirty(dispatcher);
}

void dispatcher_stats(const struct dispatcher *dispatcher, struct dispatcher_stats *stats)
{
    *stats = dispatcher->stats;
    stats->agents = map_count(&dispatcher->agents.table);
    stats->sessions = dispatcher->agents.live;
    stats->reports = writes_count(&dispatcher->writes);
}

// ---- calls --------------------------------------------------------------------------------------

// The agent with a session of its own: the one it offers, or a new one.
static struct agent *take_session(struct dispatcher *dispatcher, const char *node_id,
                                  const char *session_id, struct moment now, struct err *err)
{
    struct agent *agent = agents_with_session(&dispatcher->agents, node_id, session_id, NULL);
    if (agent)
        return agent;
    agent = agents_get(&dispatcher->agents, node_id);
    if (agent && agents_check_rate(agent, now.mono, err))
        return NULL;
    struct view view = store_pin(dispatcher->config.store);
    bool known = view_get(view, OBJECT_NODE, node_id) != NULL;
    store_unpin(view);
    if (!known) {
        err_set(err, ERR_UNKNOWN, DISPATCH_ERR_NODE);
        return NULL;
    }
    if (!agent) {
        agent = agents_add(&dispatcher->agents, node_id);
        agents_check_rate(agent, now.mono, NULL); // remembers the time
    }
    // The old session ends here, and so do its streams.
    streams_end(dispatcher, agent, ERR_INVALID_ARGUMENT, DISPATCH_ERR_SESSION);
    agents_register(&dispatcher->agents, agent, dispatcher->config.rng, now.mono);
    log_debug("node registered", "node=%s", node_id);
    return agent;
}

int dispatcher_session(struct dispatcher *dispatcher, const char *node_id, const char *addr,
                       const Swarm__SessionRequest *request, struct dispatch_stream *stream,
                       struct moment now, struct err *err)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    struct agent *agent = take_session(dispatcher, node_id, request->session_id, now, err);
    if (!agent)
        return -(int)err->code;
    writes_node(&dispatcher->writes, node_id, SWARM__NODE_STATUS__STATE__READY, "", addr,
                request->description);
    want_write(dispatcher, now);
    streams_attach(dispatcher, stream, agent, &agent->sessions);
    stream->ready_at = UINT64_MAX;
    stream->sent_node = 0;
    stream->sent_shared = 0;
    return 0;
}

int dispatcher_heartbeat(struct dispatcher *dispatcher, const char *node_id, const char *session_id,
                         struct moment now, int64_t *period_ns, struct err *err)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    struct agent *agent = agents_with_session(&dispatcher->agents, node_id, session_id, err);
    if (!agent)
        return -(int)err->code;
    *period_ns = agents_beat(&dispatcher->agents, agent, now.mono);
    return 0;
}

int dispatcher_assignments(struct dispatcher *dispatcher, const char *node_id,
                           const char *session_id, bool legacy, struct dispatch_stream *stream,
                           struct moment now, struct err *err)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    struct agent *agent = agents_with_session(&dispatcher->agents, node_id, session_id, err);
    if (!agent)
        return -(int)err->code;
    // What is committed but not yet looked at is in the view already: it must not come again.
    follow(dispatcher, now);
    agent = agents_with_session(&dispatcher->agents, node_id, session_id, err);
    if (!agent)
        return -(int)err->code;
    streams_attach(dispatcher, stream, agent, &agent->assignments);
    stream->legacy = legacy;
    stream->assign = assign_new(node_id);
    struct view view = store_pin(dispatcher->config.store);
    assign_load(stream->assign, view);
    store_unpin(view);
    // Sent in the next step, not inside of the call that opened it.
    timers_set(&dispatcher->streams, &stream->timer, now.mono);
    return 0;
}

// Whether the reports are the node's to make. Unknown tasks and missing statuses do not matter.
// States past REJECTED are the managers' own: a node that sets one could make a task immortal.
static int check_reports(struct dispatcher *dispatcher, const char *node_id,
                         const Swarm__UpdateTaskStatusRequest *request, struct err *err)
{
    int result = 0;
    struct view view = store_pin(dispatcher->config.store);
    for (size_t i = 0; i < request->n_updates && result == 0; i++) {
        const Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *update = request->updates[i];
        const struct object *task =
            update->status ? view_get(view, OBJECT_TASK, update->task_id) : NULL;
        if (task && !str_equal(object_task(task)->node_id, node_id))
            result = err_set(err, ERR_PERMISSION_DENIED, DISPATCH_ERR_FOREIGN);
        else if (task && update->status->state > SWARM__TASK_STATE__REJECTED)
            result = err_set(err, ERR_INVALID_ARGUMENT, "state %d of task %s is not for agents",
                             (int)update->status->state, update->task_id);
    }
    store_unpin(view);
    return result;
}

// Room for reports, while the store takes none.
static int check_room(const struct dispatcher *dispatcher, struct err *err)
{
    if (writes_count(&dispatcher->writes) < DISPATCH_REPORTS_MAX)
        return 0;
    return err_set(err, ERR_UNAVAILABLE, "too many reports wait to be stored");
}

int dispatcher_report(struct dispatcher *dispatcher, const char *node_id,
                      const Swarm__UpdateTaskStatusRequest *request, struct moment now,
                      struct err *err)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    if (!agents_with_session(&dispatcher->agents, node_id, request->session_id, err) ||
        check_reports(dispatcher, node_id, request, err) || check_room(dispatcher, err))
        return -(int)err->code;
    struct view view = store_pin(dispatcher->config.store);
    for (size_t i = 0; i < request->n_updates; i++) {
        const Swarm__UpdateTaskStatusRequest__TaskStatusUpdate *update = request->updates[i];
        if (update->status && view_get(view, OBJECT_TASK, update->task_id))
            writes_task(&dispatcher->writes, update->task_id, update->status);
    }
    store_unpin(view);
    if (writes_count(&dispatcher->writes) > 0)
        want_write(dispatcher, now);
    return 0;
}

int dispatcher_report_volumes(struct dispatcher *dispatcher, const char *node_id,
                              const Swarm__UpdateVolumeStatusRequest *request, struct moment now,
                              struct err *err)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    if (!agents_with_session(&dispatcher->agents, node_id, request->session_id, err) ||
        check_room(dispatcher, err))
        return -(int)err->code;
    struct view view = store_pin(dispatcher->config.store);
    for (size_t i = 0; i < request->n_updates; i++) {
        const Swarm__UpdateVolumeStatusRequest__VolumeStatusUpdate *update = request->updates[i];
        if (update->unpublished && view_get(view, OBJECT_VOLUME, update->id))
            writes_volume(&dispatcher->writes, update->id, node_id);
    }
    store_unpin(view);
    if (writes_count(&dispatcher->writes) > 0)
        want_write(dispatcher, now);
    return 0;
}

void dispatcher_close(struct dispatcher *dispatcher, struct dispatch_stream *stream)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    if (stream->agent)
        streams_detach(dispatcher, stream);
}

void dispatcher_writable(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                         struct moment now)
{
    MAGIC_CHECK(dispatcher, DISPATCHER_MAGIC);
    if (!stream->agent || !stream->stuck)
        return;
    stream->stuck = false;
    if (stream->assign)
        timers_set(&dispatcher->streams, &stream->timer, now.mono);
    else
        streams_mark(dispatcher, stream->agent);
}
