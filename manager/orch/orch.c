#include "manager/orch/orch.h"

#include <stdlib.h>

#include "manager/orch/look.h"
#include "manager/orch/reaper.h"
#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/base/timer.h"

#define CLUSTER_NAME "default"

// A service that exists, or of which tasks remain.
struct watched {
    char *id;
    bool marked;
    bool follow;        // the last look asked to follow how its tasks start
    struct list link;   // in orch->marked
    struct timer timer; // when it is due again
};

struct orch {
    struct rand rand;
    struct map services; // id -> struct watched
    struct list marked;
    struct map runs;  // task id -> struct run: those that ended while their service was updated
    struct map nodes; // ids of nodes that changed; no values
    struct timers timers;
    bool attachments; // a task without a service changed
    bool any;         // something is marked,
    struct mono due;  // and this is when to look
};

struct orch *orch_new(uint64_t seed)
{
    struct orch *orch = MEM_NEW(struct orch);
    rand_init(&orch->rand, seed);
    map_init(&orch->services);
    map_init(&orch->runs);
    map_init(&orch->nodes);
    list_init(&orch->marked);
    timers_init(&orch->timers);
    return orch;
}

static void forget(struct orch *orch)
{
    MAP_EACH (entry, &orch->services) {
        struct watched *watched = entry->value;
        timers_cancel(&orch->timers, &watched->timer);
        free(watched->id);
        free(watched);
    }
    MAP_EACH (entry, &orch->runs)
        free(entry->value);
    map_clear(&orch->services);
    map_clear(&orch->runs);
    map_clear(&orch->nodes);
    list_init(&orch->marked);
}

void orch_free(struct orch *orch)
{
    if (!orch)
        return;
    forget(orch);
    map_fini(&orch->services);
    map_fini(&orch->runs);
    map_fini(&orch->nodes);
    timers_fini(&orch->timers);
    free(orch);
}

// ---- marking ------------------------------------------------------------------------------------

static void something(struct orch *orch, struct mono tick)
{
    if (!orch->any)
        orch->due = mono_add(tick, ORCH_DELAY_MS * NS_PER_MS);
    orch->any = true;
}

static void mark(struct orch *orch, const char *service_id, struct mono tick)
{
    struct watched *watched = map_get_str(&orch->services, service_id);
    if (!watched) {
        watched = MEM_NEW(struct watched);
        watched->id = str_dup(service_id);
        list_init(&watched->link);
        map_put_str(&orch->services, service_id, watched);
    }
    if (!watched->marked)
        list_push_back(&orch->marked, &watched->link);
    watched->marked = true;
    something(orch, tick);
}

void orch_load(struct orch *orch, struct view view, struct mono tick)
{
    forget(orch);
    VIEW_EACH (service, view, OBJECT_SERVICE, BY_ALL)
        mark(orch, object_id(service), tick);
    // Tasks whose service went while nobody led.
    VIEW_EACH (task, view, OBJECT_TASK, BY_ALL) {
        const char *service_id = object_task(task)->service_id;
        if (str_empty(service_id))
            orch->attachments = true;
        else if (!view_get(view, OBJECT_SERVICE, service_id))
            mark(orch, service_id, tick);
    }
    something(orch, tick);
}

// Whether a task lives on as it was wanted before, and is at most further in starting. Of all
// changes most are of this kind: three for every task that comes to run, each of which would be a
// look at all tasks of its service.
static bool lives_on(const struct watch_event *event)
{
    if (event->action != WATCH_UPDATE || !event->was)
        return false;
    const struct task_facts *was = object_task(event->was);
    const struct task_facts *now = object_task(event->now);
    return now->state <= SWARM__TASK_STATE__RUNNING && was->desired_state == now->desired_state &&
           was->has_spec_version == now->has_spec_version && was->spec_version == now->spec_version;
}

// An update wants to know how long a task ran that ended, which its last status does not tell.
static void note_run(struct orch *orch, const struct watch_event *event)
{
    const struct task_facts *was = object_task(event->was), *now = object_task(event->now);
    if (was->state > SWARM__TASK_STATE__RUNNING || now->state <= SWARM__TASK_STATE__RUNNING)
        return;
    struct run *run = MEM_NEW(struct run);
    if (was->state == SWARM__TASK_STATE__RUNNING)
        run->ns = now->status_ns - was->status_ns;
    free(map_put_str(&orch->runs, object_id(event->now), run));
}

static void see_task(struct orch *orch, const struct watch_event *event, struct mono tick)
{
    const char *service_id = object_task(event->now)->service_id;
    if (str_empty(service_id)) {
        orch->attachments = true;
        something(orch, tick);
        return;
    }
    const struct watched *watched = map_get_str(&orch->services, service_id);
    if (event->action == WATCH_REMOVE)
        free(map_remove_str(&orch->runs, object_id(event->now)));
    else if (watched && watched->follow && event->was)
        note_run(orch, event);
    if (!watched || watched->follow || !lives_on(event))
        mark(orch, service_id, tick);
}

void orch_event(struct orch *orch, const struct watch_event *event, struct mono tick)
{
    if (!event->now)
        return;
    switch (object_type(event->now)) {
    case OBJECT_SERVICE:
        mark(orch, object_id(event->now), tick);
        break;
    case OBJECT_TASK:
        see_task(orch, event, tick);
        break;
    case OBJECT_NODE:
        map_put_str(&orch->nodes, object_id(event->now), orch);
        something(orch, tick);
        break;
    default:
        break;
    }
}

struct mono orch_due(const struct orch *orch)
{
    struct mono timer = timers_next_due(&orch->timers);
    return orch->any && mono_before(orch->due, timer) ? orch->due : timer;
}

// ---- looking ------------------------------------------------------------------------------------

typedef void (*look_fn)(struct look *look);

static look_fn looker_of(const Swarm__Service *service)
{
    switch (service->spec->mode_case) {
    case SWARM__SERVICE_SPEC__MODE_REPLICATED:
        return replicated_look;
    case SWARM__SERVICE_SPEC__MODE_GLOBAL:
        return global_look;
    case SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB:
        return replicated_job_look;
    case SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB:
        return global_job_look;
    default:
        return NULL; // a mode of some later release: its tasks are left alone
    }
}

static Swarm__Cluster *cluster_of(struct step *step)
{
    const struct object *cluster = view_get_by_name(step_view(step), OBJECT_CLUSTER, CLUSTER_NAME);
    return cluster ? object_unpack(cluster, &step->arena) : NULL;
}

static void look_at(struct step *step, const char *service_id)
{
    const struct object *object = view_get(step_view(step), OBJECT_SERVICE, service_id);
    Swarm__Service *service = object ? object_unpack(object, &step->arena) : NULL;
    Swarm__Cluster *cluster = cluster_of(step);
    look_fn looker = service && !service->pending_delete ? looker_of(service) : NULL;
    if (looker) {
        struct look look = {
            .step = step,
            .service = service,
            .cluster = cluster,
            .goal = SWARM__TASK_STATE__RUNNING,
            .restart = defaults_restart(service->spec->task->restart),
            .rolling_back =
                service->update_status && service->update_status->state ==
                                              SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_STARTED,
        };
        if (looker == replicated_job_look || looker == global_job_look)
            look.goal = SWARM__TASK_STATE__COMPLETE;
        looker(&look);
    }
    if (!step->result)
        reaper_look(step, service_id, service, cluster);
}

// A node's change concerns the services that have tasks there, and all that want one everywhere.
static void mark_for_nodes(struct orch *orch, struct view view, struct mono tick)
{
    if (map_count(&orch->nodes) == 0)
        return;
    MAP_EACH (entry, &orch->nodes) {
        VIEW_EACH (task, view, OBJECT_TASK, by_node(entry->key)) {
            if (!str_empty(object_task(task)->service_id))
                mark(orch, object_task(task)->service_id, tick);
        }
    }
    VIEW_EACH (service, view, OBJECT_SERVICE, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        Swarm__Service *message = object_unpack(service, &arena);
        if (message && (message->spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL ||
                        message->spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB))
            mark(orch, object_id(service), tick);
        arena_fini(&arena);
    }
}

static int look_at_nodes(struct orch *orch, struct store *store, struct wall now, struct mono tick,
                         struct err *err)
{
    if (map_count(&orch->nodes) == 0 && !orch->attachments)
        return 0;
    struct step step;
    step_begin(&step, store, now, &orch->rand, err);
    if (!step.result) {
        mark_for_nodes(orch, step_view(&step), tick);
        MAP_EACH (entry, &orch->nodes)
            if (!step.result)
                enforce_node(&step, entry->key);
        if (!step.result && orch->attachments)
            reaper_attachments(&step);
    }
    int result = step_end(&step);
    if (!result) {
        map_clear(&orch->nodes);
        orch->attachments = false;
    }
    return result;
}

static int look_at_marked(struct orch *orch, struct watched *watched, struct store *store,
                          struct wall now, struct mono tick, struct err *err)
{
    struct step step;
    step_begin(&step, store, now, &orch->rand, err);
    step.runs = &orch->runs;
    bool exists = false;
    if (!step.result) {
        look_at(&step, watched->id);
        exists = !step.result &&
                 (view_get(step_view(&step), OBJECT_SERVICE, watched->id) || step.wake.ns != 0);
    }
    struct wall wake = step.wake;
    bool follow = step.follow || wake.ns != 0;
    int result = step_end(&step);
    if (result)
        return result;
    list_remove(&watched->link);
    watched->marked = false;
    watched->follow = follow;
    timers_cancel(&orch->timers, &watched->timer);
    int64_t wait_ns = ORCH_AUDIT_MS * NS_PER_MS;
    if (wake.ns != 0 && wall_since(wake, now) < wait_ns)
        wait_ns = wall_since(wake, now);
    if (wait_ns < NS_PER_MS)
        wait_ns = NS_PER_MS; // a clock that went back must not make a busy loop
    if (exists) {
        timers_set(&orch->timers, &watched->timer, mono_add(tick, wait_ns));
    } else {
        // Deleted: its tasks' own events bring it back while there are any.
        map_remove_str(&orch->services, watched->id);
        free(watched->id);
        free(watched);
    }
    return 0;
}

int orch_run(struct orch *orch, struct store *store, struct wall now, struct mono tick,
             struct err *err)
{
    for (struct timer *timer; (timer = timers_pop_due(&orch->timers, tick));)
        mark(orch, CONTAINER_OF(timer, struct watched, timer)->id, tick);
    int result = look_at_nodes(orch, store, now, tick, err);
    while (!result && !list_empty(&orch->marked))
        result = look_at_marked(orch, LIST_ENTRY(orch->marked.next, struct watched, link), store,
                                now, tick, err);
    if (!result)
        orch->any = false;
    return result;
}
