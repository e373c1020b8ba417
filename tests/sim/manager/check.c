// The rules that hold at every moment, and what must be true once faults have stopped.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store/store.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"
#include "tests/sim/manager/sim.h"

#define STATE(name) SWARM__TASK_STATE__##name

// Everything is read again after so many commits; the cheap rules after each.
#define WHOLE_EVERY 16

// A node that was away may be taken for dead for as long as this after it came back, and so may all
// after a change of leaders.
#define SETTLED_NS (60 * NS_PER_S)

static struct sim_service *service_of(struct sim *sim, const char *id)
{
    for (int i = 0; i < SIM_SERVICES_MAX; i++)
        if (str_equal(sim->services[i].id, id))
            return &sim->services[i];
    return NULL;
}

// Counts a key; the count.
static uintptr_t tally(struct map *map, const char *key)
{
    uintptr_t count = (uintptr_t)map_get_str(map, key) + 1;
    map_put_str(map, key, (void *)count);
    return count;
}

// ---- slots --------------------------------------------------------------------------------------

static void fail_slot(struct sim *sim, struct view view, const struct task_facts *of,
                      const char *key)
{
    char tasks[384] = "";
    size_t at = 0;
    VIEW_EACH (object, view, OBJECT_TASK, by_slot(of->service_id, of->slot)) {
        const struct task_facts *facts = object_task(object);
        if (at < sizeof tasks && facts->state <= STATE(RUNNING))
            at += (size_t)snprintf(tasks + at, sizeof tasks - at, " %.8s@%s %d->%d v%llu",
                                   object_id(object), facts->node_id, facts->state,
                                   facts->desired_state, (unsigned long long)facts->spec_version);
    }
    sim_fail(sim, "slot %s has too many tasks that are to run:%s", key, tasks);
}

static void check_slots(struct sim *sim, struct view view)
{
    struct map wanted;
    map_init(&wanted);
    VIEW_EACH (object, view, OBJECT_TASK, by_number(INDEX_DESIRED_STATE, STATE(RUNNING))) {
        const struct task_facts *facts = object_task(object);
        const struct sim_service *service = service_of(sim, facts->service_id);
        if (!service || facts->state > STATE(RUNNING))
            continue;
        char key[2 * SIM_ID_BYTES + 32];
        snprintf(key, sizeof key, "%s.%llu.%s", facts->service_id, (unsigned long long)facts->slot,
                 service->global ? facts->node_id : "");
        if (tally(&wanted, key) > (service->start_first ? 2u : 1u))
            fail_slot(sim, view, facts, key);
    }
    map_fini(&wanted);
}

// ---- addresses, ports, resources ----------------------------------------------------------------

static void claim(struct sim *sim, struct map *held, const char *kind, const char *what,
                  const char *holder)
{
    char key[128];
    snprintf(key, sizeof key, "%s %s", kind, what);
    const char *other = map_put_str(held, key, (void *)holder);
    if (other && !str_equal(other, holder))
        sim_fail(sim, "%s is %s's and %s's", key, other, holder);
}

static void claim_services(struct sim *sim, struct view view, struct map *held, struct arena *arena)
{
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL) {
        const Swarm__Service *service = object_unpack(object, arena);
        const Swarm__Endpoint *endpoint = service->endpoint;
        for (size_t i = 0; endpoint && i < endpoint->n_virtual_ips; i++)
            claim(sim, held, endpoint->virtual_ips[i]->network_id, endpoint->virtual_ips[i]->addr,
                  service->id);
        for (size_t i = 0; endpoint && i < endpoint->n_ports; i++) {
            char port[32];
            snprintf(port, sizeof port, "%u/%d", endpoint->ports[i]->published_port,
                     (int)endpoint->ports[i]->protocol);
            if (endpoint->ports[i]->published_port)
                claim(sim, held, "port", port, service->id);
        }
    }
}

static void claim_nodes(struct sim *sim, struct view view, struct map *held, struct arena *arena)
{
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL) {
        const Swarm__Node *node = object_unpack(object, arena);
        for (size_t i = 0; i < node->n_attachments; i++)
            for (size_t k = 0; k < node->attachments[i]->n_addresses; k++)
                claim(sim, held, node->attachments[i]->network->id,
                      node->attachments[i]->addresses[k], node->id);
    }
}

static void claim_tasks(struct sim *sim, struct view view, struct map *held, struct map *cpus,
                        struct map *replicas, struct arena *arena)
{
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        const struct task_facts *facts = object_task(object);
        if (facts->state > STATE(RUNNING))
            continue;
        const Swarm__Task *task = object_unpack(object, arena);
        for (size_t i = 0; i < task->n_networks; i++)
            for (size_t k = 0; k < task->networks[i]->n_addresses; k++)
                claim(sim, held, task->networks[i]->network->id, task->networks[i]->addresses[k],
                      task->id);
        if (str_empty(facts->node_id) || facts->desired_state > STATE(RUNNING) ||
            facts->state < STATE(ASSIGNED))
            continue;
        const Swarm__ResourceRequirements *needs = task->spec->resources;
        uintptr_t sum = (uintptr_t)map_get_str(cpus, facts->node_id);
        if (needs && needs->reservations)
            sum += (uintptr_t)needs->reservations->nano_cpus;
        map_put_str(cpus, facts->node_id, (void *)sum);
        if (sum > (uintptr_t)SIM_NODE_CPUS * 1000000000u)
            sim_fail(sim, "node %s has more reserved than it has", facts->node_id);
        const struct sim_service *service = service_of(sim, facts->service_id);
        char key[2 * SIM_ID_BYTES];
        snprintf(key, sizeof key, "%s.%s", facts->service_id, facts->node_id);
        if (service && service->max_per_node && tally(replicas, key) > service->max_per_node)
            sim_fail(sim, "%s has more tasks than its limit per node", key);
    }
}

// ---- nodes that take nothing new ----------------------------------------------------------------

// What was planned before the user's word was committed still comes; so long it may take.
#define PASSIVE_NS (5 * NS_PER_S)

static void check_passive(struct sim *sim, struct view view)
{
    for (int i = 0; i < sim->nodes_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        const struct object *object = view_get(view, OBJECT_NODE, node->id);
        bool passive =
            object && object_node(object)->availability != SWARM__NODE_SPEC__AVAILABILITY__ACTIVE;
        if (passive && !node->passive)
            node->passive_since = sim->now.mono;
        node->passive = passive;
        int64_t since = mono_since(sim->now.mono, node->passive_since);
        if (!passive || since < PASSIVE_NS)
            continue;
        int64_t latest = sim->now.wall.ns - since + PASSIVE_NS;
        VIEW_EACH (task, view, OBJECT_TASK, by_node(node->id)) {
            const struct task_facts *facts = object_task(task);
            if (facts->state == STATE(ASSIGNED) && facts->created_ns > latest)
                sim_fail(sim, "%s is assigned to %s, which takes nothing new", object_id(task),
                         node->id);
        }
    }
}

// ---- all of it ----------------------------------------------------------------------------------

static void check_whole(struct sim *sim, struct view view)
{
    struct map held, cpus, replicas;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    map_init(&held);
    map_init(&cpus);
    map_init(&replicas);
    claim_services(sim, view, &held, &arena);
    claim_nodes(sim, view, &held, &arena);
    claim_tasks(sim, view, &held, &cpus, &replicas, &arena);
    map_fini(&held);
    map_fini(&cpus);
    map_fini(&replicas);
    arena_fini(&arena);
}

void check_commit(struct sim *sim)
{
    struct view view = store_pin(sim->log.store);
    sim->commits++;
    check_slots(sim, view);
    check_passive(sim, view);
    if (sim->commits % WHOLE_EVERY == 0)
        check_whole(sim, view);
    store_unpin(view);
}

// ---- containers ---------------------------------------------------------------------------------

static bool runs(const struct sim_container *container)
{
    return container->phase == PHASE_RUNNING || container->phase == PHASE_STOPPING;
}

// Whether the manager must know what the node does.
static bool is_known(const struct sim *sim, const struct sim_node *node)
{
    return node->alive && node->linked &&
           mono_since(sim->now.mono, node->stable_since) > SETTLED_NS &&
           mono_since(sim->now.mono, sim->leader_since) > SETTLED_NS;
}

void check_start(struct sim *sim, const struct sim_container *container)
{
    const struct sim_service *service = service_of(sim, container->service);
    for (int i = 0; i < sim->nodes_count; i++) {
        struct sim_node *node = &sim->nodes[i];
        MAP_EACH (entry, &node->containers) {
            const struct sim_container *other = entry->value;
            if (other == container || !runs(other))
                continue;
            if (container->address && other->address == container->address)
                sim_fail(sim, "%s on %s starts with the address of %s on %s, which runs",
                         container->id, container->node->id, other->id, node->id);
            if (service && !service->global && !service->start_first &&
                str_equal(other->service, container->service) && other->slot == container->slot &&
                is_known(sim, node) && is_known(sim, container->node))
                sim_fail(sim, "%s on %s starts while %s on %s still runs in slot %d of %s",
                         container->id, container->node->id, other->id, node->id,
                         (int)container->slot, container->service);
        }
    }
}

// ---- the end ------------------------------------------------------------------------------------

bool check_settled(struct sim *sim, bool say)
{
    for (int s = 0; s < SIM_SERVICES_MAX; s++) {
        const struct sim_service *service = &sim->services[s];
        uint64_t count = 0;
        uint64_t wanted = service->global ? (uint64_t)sim->nodes_count : service->replicas;
        for (int i = 0; service->exists && i < sim->nodes_count; i++)
            MAP_EACH (entry, &sim->nodes[i].containers) {
                const struct sim_container *container = entry->value;
                count += runs(container) && str_equal(container->service, service->id);
            }
        if (service->exists && count != wanted) {
            if (say)
                sim_fail(sim, "%s has %d containers instead of %d in the end", service->id,
                         (int)count, (int)wanted);
            return false;
        }
    }
    for (int i = 0; i < sim->nodes_count; i++)
        MAP_EACH (entry, &sim->nodes[i].containers) {
            const struct sim_container *container = entry->value;
            const struct sim_service *service = service_of(sim, container->service);
            if (runs(container) && (!service || !service->exists)) {
                if (say)
                    sim_fail(sim, "%s of %s, which is no more, runs on %s in the end",
                             container->id, container->service, sim->nodes[i].id);
                return false;
            }
        }
    return true;
}
