// Model agents: what a node does with its tasks, told from what a manager knows of it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store/txn.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/sim/manager/sim.h"

#define STATE(name) SWARM__TASK_STATE__##name

#define MESSAGE_ARENA_BYTES ((size_t)64 << 20)
#define REPORTS_MAX         64
#define MISSED_MAX          2

static void set(struct sim_node *node, struct timer *timer, int64_t least_ms, int64_t most_ms)
{
    timers_set(&node->sim->timers, timer, sim_after(node->sim, least_ms, most_ms));
}

static void report_soon(struct sim_node *node)
{
    if (!timer_is_set(&node->report))
        set(node, &node->report, 1, 50);
}

// ---- containers ---------------------------------------------------------------------------------

static void say(struct sim_container *container, int state)
{
    container->state = state;
    container->unreported = true;
    report_soon(container->node);
}

static void forget(struct sim_container *container)
{
    timers_cancel(&container->node->sim->timers, &container->timer);
    map_remove_str(&container->node->containers, container->id);
    free(container);
}

// Sets the container on its way to what is wanted of it.
static void go_on(struct sim_container *container)
{
    struct sim_node *node = container->node;
    if (!node->alive)
        return;
    bool unwanted = container->removed || container->desired > STATE(RUNNING);
    switch (container->phase) {
    case PHASE_PREPARING:
    case PHASE_READY:
        if (unwanted) {
            container->phase = PHASE_ENDED;
            say(container, STATE(SHUTDOWN));
            go_on(container);
        } else if (container->phase == PHASE_READY && container->desired >= STATE(RUNNING) &&
                   !timer_is_set(&container->timer)) {
            set(node, &container->timer, 1, 300);
        }
        break;
    case PHASE_RUNNING:
        if (unwanted) {
            container->phase = PHASE_STOPPING;
            set(node, &container->timer, 1, 3000);
        }
        break;
    case PHASE_STOPPING:
        break;
    case PHASE_ENDED:
        if (container->removed)
            forget(container);
        break;
    }
}

static void container_fire(struct sim_container *container)
{
    struct sim *sim = container->node->sim;
    if (!container->node->alive && container->phase != PHASE_RUNNING)
        return;
    switch (container->phase) {
    case PHASE_PREPARING:
        container->phase = PHASE_READY;
        say(container, STATE(READY));
        break;
    case PHASE_READY:
        container->phase = PHASE_RUNNING;
        sim->started++;
        say(container, STATE(RUNNING));
        check_start(sim, container);
        if (container->bad)
            set(container->node, &container->timer, 10, 4000);
        break;
    case PHASE_RUNNING: // it fails
        container->phase = PHASE_ENDED;
        say(container, STATE(FAILED));
        break;
    case PHASE_STOPPING:
        container->phase = PHASE_ENDED;
        say(container, STATE(SHUTDOWN));
        break;
    case PHASE_ENDED:
        return;
    }
    go_on(container);
}

static uint32_t address_of(const Swarm__Task *task)
{
    if (task->n_networks == 0 || task->networks[0]->n_addresses == 0)
        return 0;
    unsigned a, b, c, d;
    if (sscanf(task->networks[0]->addresses[0], "%u.%u.%u.%u/", &a, &b, &c, &d) != 4)
        return 0;
    return a << 24 | b << 16 | c << 8 | d;
}

static void take_task(struct sim_node *node, const Swarm__Task *task)
{
    struct sim_container *container = map_get_str(&node->containers, task->id);
    if (!container) {
        container = MEM_NEW(struct sim_container);
        *container = (struct sim_container){.slot = task->slot,
                                            .address = address_of(task),
                                            .node = node,
                                            .state = STATE(ASSIGNED)};
        str_copy(container->id, sizeof container->id, task->id);
        str_copy(container->service, sizeof container->service, task->service_id);
        container->bad = str_equal(task->spec->container->image, "bad");
        map_put_str(&node->containers, task->id, container);
        // What had ended already, as far as the manager knows, is not begun again.
        if (task->status->state > STATE(RUNNING)) {
            container->phase = PHASE_ENDED;
            container->state = (int)task->status->state;
        } else {
            set(node, &container->timer, 1, 800);
        }
    }
    container->desired = (int)task->desired_state;
    container->removed = false;
    go_on(container);
}

static void remove_task(struct sim_node *node, const char *id)
{
    struct sim_container *container = map_get_str(&node->containers, id);
    if (!container)
        return;
    container->removed = true;
    go_on(container);
}

// ---- messages -----------------------------------------------------------------------------------

static void drop_letters(struct sim_stream *stream)
{
    while (!list_empty(&stream->letters)) {
        struct sim_letter *letter = LIST_ENTRY(stream->letters.next, struct sim_letter, link);
        list_remove(&letter->link);
        free(letter);
    }
    timers_cancel(&stream->node->sim->timers, &stream->timer);
}

static void post(struct sim_stream *stream, const void *bytes, size_t size, bool end)
{
    struct sim *sim = stream->node->sim;
    struct sim_letter *letter = mem_alloc(sizeof *letter + size);
    *letter = (struct sim_letter){.at = sim_after(sim, 1, 40), .size = size, .end = end};
    if (size)
        memcpy(letter->bytes, bytes, size);
    if (!list_empty(&stream->letters)) {
        struct sim_letter *last = LIST_ENTRY(stream->letters.prev, struct sim_letter, link);
        if (mono_before(letter->at, last->at))
            letter->at = last->at;
    }
    list_push_back(&stream->letters, &letter->link);
    if (!timer_is_set(&stream->timer))
        timers_set(&sim->timers, &stream->timer, letter->at);
}

static bool on_writable(struct dispatch_stream *stream)
{
    (void)stream;
    return true;
}

static int on_send(struct dispatch_stream *stream, const void *bytes, size_t size, struct err *err)
{
    (void)err;
    post(CONTAINER_OF(stream, struct sim_stream, stream), bytes, size, false);
    return 0;
}

static void on_end(struct dispatch_stream *stream, const struct err *err)
{
    (void)err;
    struct sim_stream *own = CONTAINER_OF(stream, struct sim_stream, stream);
    own->open = false;
    post(own, NULL, 0, true);
}

static const struct dispatch_stream_ops stream_ops = {
    .writable = on_writable, .send = on_send, .end = on_end};

static void hang_up(struct sim_node *node)
{
    for (int i = 0; i < 2; i++) {
        struct sim_stream *stream = &node->streams[i];
        if (stream->open && node->sim->dispatcher)
            dispatcher_close(node->sim->dispatcher, &stream->stream);
        stream->open = false;
        stream->gap = false;
        drop_letters(stream);
    }
    node->up = false;
    node->session[0] = '\0';
    node->missed = 0;
    if (node->alive)
        set(node, &node->timer, 10, 4000);
}

static void open_assignments(struct sim_node *node)
{
    struct sim *sim = node->sim;
    struct sim_stream *stream = &node->streams[1];
    struct err err = ERR_INIT;
    node->applied[0] = '\0';
    if (!sim->dispatcher || dispatcher_assignments(sim->dispatcher, node->id, node->session, false,
                                                   &stream->stream, sim->now, &err))
        hang_up(node);
    else
        stream->open = true;
}

static void take_session(struct sim_node *node, const Swarm__SessionMessage *message)
{
    bool first = node->session[0] == '\0';
    str_copy(node->session, sizeof node->session, message->session_id);
    if (!first)
        return;
    node->up = true;
    MAP_EACH (entry, &node->containers)
        ((struct sim_container *)entry->value)->unreported = true;
    report_soon(node);
    set(node, &node->timer, 0, 1);
    open_assignments(node);
}

static void take_assignments(struct sim_node *node, const Swarm__AssignmentsMessage *message)
{
    bool complete = message->type == SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE;
    if (!complete && !str_equal(message->applies_to, node->applied)) {
        sim_fail(node->sim, "node %s: assignments %s apply to %s, not to %s", node->id,
                 message->results_in, message->applies_to, node->applied);
        return;
    }
    str_copy(node->applied, sizeof node->applied, message->results_in);
    if (complete)
        MAP_EACH (entry, &node->containers)
            ((struct sim_container *)entry->value)->removed = true;
    for (size_t i = 0; i < message->n_changes; i++) {
        const Swarm__AssignmentChange *change = message->changes[i];
        const Swarm__Task *task = change->assignment->task;
        if (!task)
            continue;
        if (change->action == SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE)
            remove_task(node, task->id);
        else
            take_task(node, task);
    }
    // Those that a complete set does not name; each may go at once.
    for (size_t i = 0; complete && i < node->containers.entries_used; i++) {
        struct sim_container *container = node->containers.entries[i].value;
        if (node->containers.entries[i].key && container->removed)
            go_on(container);
    }
}

static void deliver(struct sim_stream *stream)
{
    struct sim_node *node = stream->node;
    struct sim *sim = node->sim;
    struct sim_letter *letter = LIST_ENTRY(stream->letters.next, struct sim_letter, link);
    list_remove(&letter->link);
    if (!list_empty(&stream->letters))
        timers_set(&sim->timers, &stream->timer,
                   LIST_ENTRY(stream->letters.next, struct sim_letter, link)->at);
    // What a connection lost breaks it: nothing behind it arrives.
    if (node->alive && !node->linked)
        stream->gap = true;
    if (node->alive && node->linked && stream->gap) {
        hang_up(node);
    } else if (node->alive && node->linked) {
        struct arena arena;
        struct err err = ERR_INIT;
        arena_init(&arena, MESSAGE_ARENA_BYTES);
        const void *message =
            letter->end ? NULL
                        : wire_unpack(stream->assignments ? &swarm__assignments_message__descriptor
                                                          : &swarm__session_message__descriptor,
                                      letter->bytes, letter->size, &WIRE_LIMITS_PEER, &arena, &err);
        if (letter->end)
            hang_up(node);
        else if (!message)
            sim_fail(sim, "node %s: %s", node->id, err.message);
        else if (stream->assignments)
            take_assignments(node, message);
        else
            take_session(node, message);
        arena_fini(&arena);
    }
    free(letter);
}

// ---- the agent ----------------------------------------------------------------------------------

static bool reaches(const struct sim_node *node)
{
    return node->alive && node->linked && node->sim->dispatcher;
}

static void register_node(struct sim_node *node)
{
    struct sim *sim = node->sim;
    Swarm__SessionRequest request = SWARM__SESSION_REQUEST__INIT;
    Swarm__NodeDescription description = SWARM__NODE_DESCRIPTION__INIT;
    Swarm__Resources resources = SWARM__RESOURCES__INIT;
    Swarm__EngineDescription engine = SWARM__ENGINE_DESCRIPTION__INIT;
    Swarm__PluginDescription overlay = SWARM__PLUGIN_DESCRIPTION__INIT;
    Swarm__PluginDescription *plugins[] = {&overlay};
    overlay.type = "Network";
    overlay.name = "overlay";
    engine.plugins = plugins;
    engine.n_plugins = COUNT_OF(plugins);
    resources.nano_cpus = INT64_C(1000000000) * SIM_NODE_CPUS;
    resources.memory_bytes = INT64_C(64) << 30;
    description.hostname = node->id;
    description.resources = &resources;
    description.engine = &engine;
    request.description = &description;
    struct err err = ERR_INIT;
    struct sim_stream *stream = &node->streams[0];
    if (dispatcher_session(sim->dispatcher, node->id, "10.1.0.1", &request, &stream->stream,
                           sim->now, &err)) {
        set(node, &node->timer, 500, 8000);
        return;
    }
    stream->open = true;
    set(node, &node->timer, 5000, 6000); // the first message must have come by then
}

static void beat(struct sim_node *node)
{
    struct sim *sim = node->sim;
    int64_t period_ns = 0;
    struct err err = ERR_INIT;
    int result =
        dispatcher_heartbeat(sim->dispatcher, node->id, node->session, sim->now, &period_ns, &err);
    if (result)
        hang_up(node);
    else
        set(node, &node->timer, period_ns / SIM_MS, period_ns / SIM_MS + 20);
}

static void node_turn(struct sim_node *node)
{
    if (!node->alive)
        return;
    if (!reaches(node)) {
        // What is sent gets no answer; after a while the agent gives up and tries anew.
        if (node->up && ++node->missed >= MISSED_MAX)
            hang_up(node);
        else
            set(node, &node->timer, 1000, 5000);
    } else if (node->up) {
        beat(node);
    } else if (node->streams[0].open) {
        hang_up(node); // no first message in time
    } else {
        register_node(node);
    }
}

static void report(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (!node->alive)
        return;
    if (!node->up || !reaches(node)) {
        if (node->up)
            set(node, &node->report, 200, 1000);
        return;
    }
    Swarm__UpdateTaskStatusRequest request = SWARM__UPDATE_TASK_STATUS_REQUEST__INIT;
    Swarm__UpdateTaskStatusRequest__TaskStatusUpdate rows[REPORTS_MAX], *list[REPORTS_MAX];
    Swarm__TaskStatus statuses[REPORTS_MAX];
    struct sim_container *told[REPORTS_MAX];
    Google__Timestamp at = GOOGLE__TIMESTAMP__INIT;
    timestamp_set(&at, sim->now.wall);
    MAP_EACH (entry, &node->containers) {
        struct sim_container *container = entry->value;
        if (!container->unreported || request.n_updates == REPORTS_MAX)
            continue;
        size_t i = request.n_updates++;
        told[i] = container;
        statuses[i] = (Swarm__TaskStatus)SWARM__TASK_STATUS__INIT;
        statuses[i].state = (Swarm__TaskState)container->state;
        statuses[i].timestamp = &at;
        rows[i] = (Swarm__UpdateTaskStatusRequest__TaskStatusUpdate)
            SWARM__UPDATE_TASK_STATUS_REQUEST__TASK_STATUS_UPDATE__INIT;
        rows[i].task_id = container->id;
        rows[i].status = &statuses[i];
        list[i] = &rows[i];
    }
    request.session_id = node->session;
    request.updates = list;
    struct err err = ERR_INIT;
    if (request.n_updates &&
        dispatcher_report(sim->dispatcher, node->id, &request, sim->now, &err)) {
        if (err.code == ERR_UNAVAILABLE)
            set(node, &node->report, 200, 1000);
        else if (err.code == ERR_PERMISSION_DENIED)
            sim_fail(sim, "node %s: %s", node->id, err.message);
        else
            hang_up(node);
        return;
    }
    for (size_t i = 0; i < request.n_updates; i++)
        told[i]->unreported = false;
    if (request.n_updates == REPORTS_MAX)
        report_soon(node);
}

bool node_fire(struct sim *sim, struct timer *timer)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (timer == &node->timer)
            return node_turn(node), true;
        if (timer == &node->report)
            return report(node), true;
        for (int k = 0; k < 2; k++)
            if (timer == &node->streams[k].timer)
                return deliver(&node->streams[k]), true;
    }
    container_fire(CONTAINER_OF(timer, struct sim_container, timer));
    return true;
}

// ---- life and faults ----------------------------------------------------------------------------

void node_init(struct sim *sim, struct sim_node *node, int number)
{
    *node = (struct sim_node){.sim = sim, .linked = true};
    str_format(node->id, sizeof node->id, "node%03d", number);
    map_init(&node->containers);
    for (int i = 0; i < 2; i++) {
        node->streams[i] = (struct sim_stream){
            .stream = {.ops = &stream_ops}, .node = node, .assignments = i == 1};
        list_init(&node->streams[i].letters);
    }
}

void node_start(struct sim_node *node)
{
    node->alive = true;
    node->stable_since = node->sim->now.mono;
    set(node, &node->timer, 0, 500);
    // Containers of an earlier life are found again, and what they should be is heard in time.
    MAP_EACH (entry, &node->containers) {
        struct sim_container *container = entry->value;
        if (container->phase == PHASE_PREPARING || container->phase == PHASE_STOPPING)
            set(node, &container->timer, 1, 800);
    }
}

void node_crash(struct sim_node *node, bool power)
{
    node->alive = false;
    hang_up(node);
    timers_cancel(&node->sim->timers, &node->timer);
    timers_cancel(&node->sim->timers, &node->report);
    MAP_EACH (entry, &node->containers) {
        struct sim_container *container = entry->value;
        if (!power)
            continue;
        timers_cancel(&node->sim->timers, &container->timer);
        if (container->phase == PHASE_RUNNING || container->phase == PHASE_STOPPING) {
            container->state = container->phase == PHASE_STOPPING ? STATE(SHUTDOWN) : STATE(FAILED);
            container->phase = PHASE_ENDED;
            container->unreported = true;
        }
    }
}

// The dispatcher keeps its side of the streams until it misses the heartbeats.
void node_cut(struct sim_node *node)
{
    node->linked = false;
}

void node_heal(struct sim_node *node)
{
    node->linked = true;
    node->stable_since = node->sim->now.mono;
}

void node_lost_manager(struct sim_node *node)
{
    for (int i = 0; i < 2; i++)
        node->streams[i].open = false;
}

void node_fini(struct sim_node *node)
{
    for (int i = 0; i < 2; i++)
        drop_letters(&node->streams[i]);
    MAP_EACH (entry, &node->containers)
        free(entry->value);
    map_fini(&node->containers);
}
