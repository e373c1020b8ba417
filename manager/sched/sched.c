#include "manager/sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "manager/sched/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/raw.h"

struct sched *sched_new(void)
{
    struct sched *sched = MEM_NEW(struct sched);
    map_init(&sched->nodes);
    map_init(&sched->services);
    map_init(&sched->demands);
    map_init(&sched->tasks);
    list_init(&sched->waiting);
    list_init(&sched->preassigned);
    arena_init(&sched->arena, SCHED_RUN_BYTES);
    sched->first = MONO_NEVER;
    return sched;
}

static void wake(struct sched *sched, struct mono tick)
{
    if (mono_before(tick, sched->first))
        sched->first = tick;
    sched->last = tick;
}

struct mono sched_due(const struct sched *sched)
{
    if (sched->first.ns == MONO_NEVER.ns || sched->pending == 0)
        return MONO_NEVER;
    struct mono soon = mono_add(sched->last, SCHED_DELAY_MS * NS_PER_MS);
    struct mono late = mono_add(sched->first, SCHED_DELAY_MS_MAX * NS_PER_MS);
    return mono_before(soon, late) ? soon : late;
}

size_t sched_pending(const struct sched *sched)
{
    return sched->pending;
}

// ---- services and demands ----------------------------------------------------------------------

static struct sched_service *service_get(struct sched *sched, const char *id)
{
    struct sched_service *service = map_get_str(&sched->services, id);
    if (!service) {
        service = MEM_NEW(struct sched_service);
        service->id = str_dup(id);
        service->serial = ++sched->serials;
        map_init(&service->nodes);
        map_put_str(&sched->services, id, service);
    }
    return service;
}

static void service_release(struct sched *sched, struct sched_service *service)
{
    if (service->exists || service->refs > 0)
        return;
    CHECK(map_count(&service->nodes) == 0);
    map_remove_str(&sched->services, service->id);
    map_fini(&service->nodes);
    free(service->id);
    free(service);
}

// Fields of messages Service and Version.
#define SERVICE_SPEC_VERSION 10
#define VERSION_INDEX        1

static void service_set(struct sched *sched, const struct object *object)
{
    size_t size;
    const void *bytes = object_bytes(object, &size);
    struct raw version;
    struct sched_service *service = service_get(sched, object_id(object));
    service->exists = true;
    // Read where they lie: the rest of a service means nothing here.
    service->has_spec_version =
        raw_find(bytes, size, SERVICE_SPEC_VERSION, &version) && version.kind == 2;
    service->spec_version =
        service->has_spec_version ? raw_uint(version.bytes, version.size, VERSION_INDEX) : 0;
}

static void service_unset(struct sched *sched, const char *id)
{
    struct sched_service *service = map_get_str(&sched->services, id);
    if (!service)
        return;
    service->exists = false;
    service_release(sched, service);
}

#define DEMAND_KEY_BYTES (OBJECT_ID_BYTES + 1 + sizeof(uint64_t))

static size_t demand_key(const char *service_id, uint64_t spec_version, char out[DEMAND_KEY_BYTES])
{
    size_t len = strnlen(service_id, OBJECT_ID_BYTES);
    memcpy(out, service_id, len);
    out[len++] = '\0';
    memcpy(out + len, &spec_version, sizeof(spec_version));
    return len + sizeof(spec_version);
}

// The demand of the task's group, with one more reference. Unpacks only the first of a group.
static struct demand *demand_get(struct sched *sched, const struct object *object)
{
    const struct task_facts *facts = object_task(object);
    bool shared = *facts->service_id && facts->has_spec_version;
    char key[DEMAND_KEY_BYTES];
    size_t key_bytes = demand_key(facts->service_id, facts->spec_version, key);
    struct demand *demand = shared ? map_get(&sched->demands, key, key_bytes) : NULL;
    if (!demand) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Task *task = object_unpack(object, &arena);
        CHECK(task);
        demand = demand_of(task);
        arena_fini(&arena);
        demand->shared = shared;
        demand->spec_version = facts->spec_version;
        if (*facts->service_id) {
            demand->service = service_get(sched, facts->service_id);
            demand->service->refs++;
        }
        if (shared)
            map_put(&sched->demands, key, key_bytes, demand);
    }
    demand->refs++;
    return demand;
}

static void demand_release(struct sched *sched, struct demand *demand)
{
    CHECK(demand->refs > 0);
    if (--demand->refs > 0)
        return;
    if (demand->shared) {
        char key[DEMAND_KEY_BYTES];
        map_remove(&sched->demands, key,
                   demand_key(demand->service->id, demand->spec_version, key));
    }
    struct sched_service *service = demand->service;
    list_remove(&demand->waiting);
    demand_free(demand);
    if (service) {
        service->refs--;
        service_release(sched, service);
    }
}

// ---- nodes -------------------------------------------------------------------------------------

static struct sched_node *node_get(struct sched *sched, const char *id)
{
    struct sched_node *node = map_get_str(&sched->nodes, id);
    if (!node) {
        node = nodeinfo_new(id);
        map_put_str(&sched->nodes, id, node);
    }
    return node;
}

static void node_release(struct sched *sched, struct sched_node *node)
{
    if (node->exists || !list_empty(&node->tasks))
        return;
    map_remove_str(&sched->nodes, node->id);
    nodeinfo_free(node);
}

static void node_set(struct sched *sched, const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Node *message = object_unpack(object, &arena);
    CHECK(message);
    struct sched_node *node = node_get(sched, object_id(object));
    sched->order_stale |= !node->exists;
    nodeinfo_set(node, message);
    arena_fini(&arena);
}

static void node_unset(struct sched *sched, const char *id)
{
    struct sched_node *node = map_get_str(&sched->nodes, id);
    if (!node)
        return;
    sched->order_stale = true;
    nodeinfo_unset(node);
    node_release(sched, node);
}

static int node_order(const void *a, const void *b)
{
    return strcmp((*(struct sched_node *const *)a)->id, (*(struct sched_node *const *)b)->id);
}

void order_nodes(struct sched *sched)
{
    if (!sched->order_stale)
        return;
    sched->order = mem_realloc(sched->order, (map_count(&sched->nodes) + 1) * sizeof(void *));
    sched->order_count = 0;
    MAP_EACH (entry, &sched->nodes) {
        struct sched_node *node = entry->value;
        if (node->exists)
            sched->order[sched->order_count++] = node;
    }
    qsort(sched->order, sched->order_count, sizeof(void *), node_order);
    sched->order_stale = false;
}

// ---- tasks -------------------------------------------------------------------------------------

void task_dequeue(struct sched *sched, struct sched_task *task)
{
    if (list_empty(&task->pending))
        return;
    list_remove(&task->pending);
    sched->pending--;
    task->told = false;
    if (task->preassigned)
        return;
    task->demand->pending_count--;
    task->demand->unwanted_count -= task->unwanted;
}

static void task_enqueue(struct sched *sched, struct sched_task *task)
{
    CHECK(list_empty(&task->pending));
    sched->pending++;
    if (task->preassigned) {
        list_push_back(&sched->preassigned, &task->pending);
        return;
    }
    list_push_back(&task->demand->pending, &task->pending);
    task->demand->pending_count++;
    task->demand->unwanted_count += task->unwanted;
    if (list_empty(&task->demand->waiting))
        list_push_back(&sched->waiting, &task->demand->waiting);
}

static void task_leave(struct sched *sched, struct sched_task *task)
{
    struct sched_node *node = task->node;
    if (!node)
        return;
    nodeinfo_remove(task);
    node_release(sched, node);
}

void task_drop(struct sched *sched, struct sched_task *task)
{
    task_dequeue(sched, task);
    task_leave(sched, task);
    map_remove_str(&sched->tasks, task->id);
    demand_release(sched, task->demand);
    free(task->err);
    free(task->home);
    free(task);
}

static struct sched_task *task_get(struct sched *sched, const struct object *object)
{
    const char *id = object_id(object);
    struct sched_task *task = map_get_str(&sched->tasks, id);
    if (task)
        return task;
    size_t bytes = strlen(id) + 1;
    task = mem_alloc(sizeof(*task) + bytes);
    memcpy(task->id, id, bytes);
    list_init(&task->pending);
    list_init(&task->here);
    task->demand = demand_get(sched, object);
    map_put_str(&sched->tasks, id, task);
    return task;
}

// What the store says it was given; NULL for nothing.
static struct generic_set *generic_of(const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Task *message = object_unpack(object, &arena);
    CHECK(message);
    struct generic_set *set = MEM_NEW(struct generic_set);
    generic_init_of(set, message->assigned_generic_resources,
                    message->n_assigned_generic_resources);
    arena_fini(&arena);
    return set;
}

// Takes over where the store has the task run.
static void task_place(struct sched *sched, struct sched_task *task, const struct object *object,
                       bool active)
{
    struct sched_node *node = node_get(sched, object_task(object)->node_id);
    task_dequeue(sched, task);
    if (task->node == node && task->active == active)
        return;
    task_leave(sched, task);
    task->active = active;
    // A node that went with its last task is made again.
    node = node_get(sched, object_task(object)->node_id);
    nodeinfo_add(node, task, task->demand->generic.count > 0 ? generic_of(object) : NULL);
}

void task_set(struct sched *sched, const struct object *object, struct wall now)
{
    const struct task_facts *facts = object_task(object);
    struct sched_task *task = map_get_str(&sched->tasks, object_id(object));
    if (facts->state < SWARM__TASK_STATE__PENDING) {
        if (task)
            task_drop(sched, task);
        return;
    }
    if (facts->state > SWARM__TASK_STATE__RUNNING) {
        // Failures of preassigned tasks say nothing about our choice of nodes.
        if (task && task->node && !task->preassigned &&
            (facts->state == SWARM__TASK_STATE__FAILED ||
             facts->state == SWARM__TASK_STATE__REJECTED))
            nodeinfo_failed(task->node, task->demand->service, task->demand->spec_version, now);
        if (task)
            task_drop(sched, task);
        return;
    }
    bool active = facts->desired_state <= SWARM__TASK_STATE__COMPLETE;
    bool unassigned = facts->state < SWARM__TASK_STATE__ASSIGNED;
    task = task_get(sched, object);
    if (!unassigned) {
        task_place(sched, task, object, active);
        return;
    }
    task_leave(sched, task);
    task->active = active;
    if (!list_empty(&task->pending) && task->unwanted == !active)
        return; // it waits as before, and knows why
    task_dequeue(sched, task);
    task->unwanted = !active;
    task->preassigned = *facts->node_id != '\0';
    if (task->preassigned && !task->home)
        task->home = str_dup(facts->node_id);
    if (task->preassigned && !active)
        task_drop(sched, task);
    else
        task_enqueue(sched, task);
}

// ---- events ------------------------------------------------------------------------------------

void sched_event(struct sched *sched, const struct watch_event *event, struct wall now,
                 struct mono tick)
{
    if (!event->now)
        return;
    const char *id = object_id(event->now);
    bool gone = event->action == WATCH_REMOVE;
    switch (object_type(event->now)) {
    case OBJECT_NODE:
        if (gone)
            node_unset(sched, id);
        else
            node_set(sched, event->now);
        break;
    case OBJECT_SERVICE:
        if (gone)
            service_unset(sched, id);
        else
            service_set(sched, event->now);
        break;
    case OBJECT_TASK: {
        struct sched_task *task = map_get_str(&sched->tasks, id);
        if (!gone)
            task_set(sched, event->now, now);
        else if (task)
            task_drop(sched, task);
        break;
    }
    default:
        return;
    }
    wake(sched, tick);
}

void sched_resync(struct sched *sched, struct view view, const char *task_id, struct wall now,
                  struct mono tick)
{
    const struct object *object = view_get(view, OBJECT_TASK, task_id);
    struct sched_task *task = map_get_str(&sched->tasks, task_id);
    if (task) {
        MEM_FREE(task->err);
        task_dequeue(sched, task);
    }
    if (object)
        task_set(sched, object, now);
    else if (task)
        task_drop(sched, task);
    wake(sched, tick);
}

static void clear(struct sched *sched)
{
    MAP_EACH (entry, &sched->tasks)
        task_drop(sched, entry->value);
    MAP_EACH (entry, &sched->services) {
        struct sched_service *service = entry->value;
        service->exists = false;
        service_release(sched, service);
    }
    MAP_EACH (entry, &sched->nodes) {
        struct sched_node *node = entry->value;
        nodeinfo_unset(node);
        node_release(sched, node);
    }
    CHECK(map_count(&sched->demands) == 0);
    CHECK(sched->pending == 0);
    sched->order_stale = true;
    sched->decisions_count = 0;
    sched->first = MONO_NEVER;
}

void sched_load(struct sched *sched, struct view view, struct wall now)
{
    clear(sched);
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL)
        node_set(sched, object);
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL)
        service_set(sched, object);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL)
        if (object_task(object)->state <= SWARM__TASK_STATE__RUNNING)
            task_set(sched, object, now);
    wake(sched, (struct mono){.ns = 0});
}

void sched_free(struct sched *sched)
{
    if (!sched)
        return;
    clear(sched);
    map_fini(&sched->nodes);
    map_fini(&sched->services);
    map_fini(&sched->demands);
    map_fini(&sched->tasks);
    arena_fini(&sched->arena);
    free(sched->order);
    free(sched->decisions);
    free(sched);
}
