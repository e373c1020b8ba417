// What users do to the cluster: the objects that the Control API would write.
#include <stdlib.h>
#include <string.h>

#include "manager/store/txn.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/sim/manager/sim.h"
#include "tests/support/fake_objects.h"

#define NETWORK "network1"

// A small network, so that addresses come round again soon; a crowd needs room, for each node has
// an address on it as each task has.
static Swarm__Network *new_network(const struct sim *sim, struct arena *arena, const char *id,
                                   const char *wide)
{
    Swarm__Network *network = fake_network(arena, id);
    if (sim->nodes_count <= SIM_NODES_USUAL)
        return network;
    Swarm__IPAMConfig *config = wire_new(&swarm__ipamconfig__descriptor, arena);
    config->subnet = wide;
    network->spec->ipam = wire_new(&swarm__ipamoptions__descriptor, arena);
    FAKE_ADD(arena, network->spec->ipam, configs, config);
    return network;
}

static struct txn *begin(struct sim *sim)
{
    struct txn *txn;
    struct err err = ERR_INIT;
    return txn_begin(sim->log.store, sim->now.wall, &txn, &err) ? NULL : txn;
}

static bool finish(struct txn *txn, int result)
{
    struct err err = ERR_INIT;
    if (result) {
        txn_abandon(txn);
        return false;
    }
    return txn_commit(txn, NULL, &err) >= 0;
}

// A transaction takes no more than 200 changes.
#define NODES_AT_ONCE 100

static void users_add_nodes(struct sim *sim, int first)
{
    struct txn *txn = begin(sim);
    int result = 0;
    for (int i = first; i < sim->nodes_count && i < first + NODES_AT_ONCE; i++) {
        Swarm__Node *node = fake_node(txn_arena(txn), sim->nodes[i].id);
        node->status->state = SWARM__NODE_STATUS__STATE__UNKNOWN;
        result |= txn_create(txn, OBJECT_NODE, node, NULL);
    }
    bool done = finish(txn, result);
    CHECK(done);
}

void users_found(struct sim *sim)
{
    struct txn *txn = begin(sim);
    struct arena *arena = txn_arena(txn);
    Swarm__Cluster *cluster = fake_cluster(arena, "cluster1");
    cluster->root_ca = wire_new(&swarm__root_ca__descriptor, arena);
    cluster->root_ca->ca_cert = (ProtobufCBinaryData){.data = (uint8_t *)"PEM", .len = 3};
    int result = txn_create(txn, OBJECT_CLUSTER, cluster, NULL);
    Swarm__Network *ingress = new_network(sim, arena, "ingress", "10.200.0.0/16");
    ingress->spec->ingress = true;
    result |= txn_create(txn, OBJECT_NETWORK, ingress, NULL);
    result |=
        txn_create(txn, OBJECT_NETWORK, new_network(sim, arena, NETWORK, "10.201.0.0/16"), NULL);
    bool done = finish(txn, result);
    CHECK(done);
    for (int i = 0; i < sim->nodes_count; i += NODES_AT_ONCE)
        users_add_nodes(sim, i);
}

// ---- services -----------------------------------------------------------------------------------

// Up to half as many replicas as there are nodes, a dozen at least.
static uint64_t some_replicas(struct sim *sim)
{
    return rand_below(&sim->rand,
                      sim->nodes_count > SIM_NODES_USUAL ? (uint64_t)sim->nodes_count / 2 : 12);
}

static Swarm__UpdateConfig *update_config(struct sim *sim, const struct sim_service *service,
                                          struct arena *arena)
{
    Swarm__UpdateConfig *config = wire_new(&swarm__update_config__descriptor, arena);
    config->parallelism = rand_below(&sim->rand, 4);
    config->order = service->start_first ? SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST
                                         : SWARM__UPDATE_CONFIG__UPDATE_ORDER__STOP_FIRST;
    config->failure_action =
        (Swarm__UpdateConfig__FailureAction)rand_below(&sim->rand, 3); // pause, continue, rollback
    config->monitor = duration_new((int64_t)rand_below(&sim->rand, 4) * NS_PER_S, arena);
    return config;
}

// The spec of what a service is to be, as `service` says and by chance.
static void fill_spec(struct sim *sim, const struct sim_service *service, Swarm__ServiceSpec *spec,
                      struct arena *arena)
{
    spec->task->container->image = service->bad ? "bad" : "good";
    spec->task->force_update = rand_below(&sim->rand, 1000000);
    spec->task->networks = NULL;
    spec->task->n_networks = 0;
    Swarm__NetworkAttachmentConfig *attachment =
        wire_new(&swarm__network_attachment_config__descriptor, arena);
    attachment->target = NETWORK;
    FAKE_ADD(arena, spec->task, networks, attachment);
    spec->task->resources = wire_new(&swarm__resource_requirements__descriptor, arena);
    spec->task->resources->reservations = wire_new(&swarm__resources__descriptor, arena);
    spec->task->resources->reservations->nano_cpus =
        INT64_C(250000000) * (int64_t)rand_below(&sim->rand, 3);
    spec->task->placement = wire_new(&swarm__placement__descriptor, arena);
    spec->task->placement->max_replicas = service->max_per_node;
    spec->task->restart = wire_new(&swarm__restart_policy__descriptor, arena);
    spec->task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ANY;
    spec->task->restart->delay =
        duration_new((int64_t)rand_below(&sim->rand, 3000) * SIM_MS, arena);
    spec->update = update_config(sim, service, arena);
    spec->rollback = update_config(sim, service, arena);
    if (service->global) {
        spec->mode_case = SWARM__SERVICE_SPEC__MODE_GLOBAL;
        spec->global = wire_new(&swarm__global_service__descriptor, arena);
    } else {
        spec->replicated->replicas = service->replicas;
    }
}

static void create_service(struct sim *sim, struct sim_service *service)
{
    struct txn *txn = begin(sim);
    if (!txn)
        return;
    struct arena *arena = txn_arena(txn);
    *service = (struct sim_service){
        .exists = true,
        .global = sim_chance(sim, 250),
        .start_first = sim_chance(sim, 500),
        .bad = sim_chance(sim, 100),
        .replicas = some_replicas(sim),
    };
    if (!service->global && sim_chance(sim, 300))
        service->max_per_node = 1 + rand_below(&sim->rand, 4);
    str_format(service->id, sizeof service->id, "service%04d", (int)++sim->next_id);
    Swarm__Service *object = fake_service(arena, service->id);
    object->spec_version = wire_new(&swarm__version__descriptor, arena);
    fill_spec(sim, service, object->spec, arena);
    if (sim_chance(sim, 400)) {
        object->spec->endpoint = wire_new(&swarm__endpoint_spec__descriptor, arena);
        Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, arena);
        port->target_port = 80;
        port->published_port = sim_chance(sim, 500) ? 8000 + (uint32_t)sim->next_id : 0;
        FAKE_ADD(arena, object->spec->endpoint, ports, port);
    }
    service->exists = finish(txn, txn_create(txn, OBJECT_SERVICE, object, NULL));
    sim_trace(sim, "user creates %s: %s, %d replicas%s", service->id,
              service->global ? "global" : "replicated", (int)service->replicas,
              service->bad ? ", bad" : "");
}

static bool update_service(struct sim *sim, struct sim_service *service, bool task)
{
    struct txn *txn = begin(sim);
    if (!txn)
        return false;
    struct arena *arena = txn_arena(txn);
    Swarm__Service *object = txn_edit(txn, OBJECT_SERVICE, service->id);
    if (!object) {
        // Its creation was lost with a leader.
        txn_abandon(txn);
        service->exists = false;
        return true;
    }
    object->previous_spec = wire_copy(object->spec, arena);
    object->previous_spec_version = object->spec_version;
    if (task)
        fill_spec(sim, service, object->spec, arena);
    else if (!service->global)
        object->spec->replicated->replicas = service->replicas;
    object->spec_version = wire_copy(object->meta->version, arena);
    object->update_status = NULL;
    sim_trace(sim, "user updates %s: %d replicas%s", service->id, (int)service->replicas,
              service->bad ? ", bad" : "");
    return finish(txn, txn_update(txn, OBJECT_SERVICE, object, NULL));
}

static void remove_service(struct sim *sim, struct sim_service *service)
{
    struct txn *txn = begin(sim);
    if (!txn)
        return;
    sim_trace(sim, "user removes %s", service->id);
    if (finish(txn, txn_delete(txn, OBJECT_SERVICE, service->id, NULL)))
        service->exists = false;
}

static bool set_availability(struct sim *sim, struct sim_node *node,
                             Swarm__NodeSpec__Availability availability)
{
    struct txn *txn = begin(sim);
    if (!txn)
        return false;
    Swarm__Node *object = txn_edit(txn, OBJECT_NODE, node->id);
    CHECK(object);
    object->spec->availability = availability;
    sim_trace(sim, "user sets %s to %d", node->id, (int)availability);
    return finish(txn, txn_update(txn, OBJECT_NODE, object, NULL));
}

void users_act(struct sim *sim)
{
    struct sim_service *service = &sim->services[rand_below(&sim->rand, SIM_SERVICES_MAX)];
    if (sim_chance(sim, 150)) {
        struct sim_node *node = &sim->nodes[rand_below(&sim->rand, (uint64_t)sim->nodes_count)];
        set_availability(sim, node, (Swarm__NodeSpec__Availability)rand_below(&sim->rand, 3));
    } else if (!service->exists) {
        create_service(sim, service);
    } else if (sim_chance(sim, 100)) {
        remove_service(sim, service);
    } else {
        bool task = sim_chance(sim, 500);
        if (task)
            service->bad = sim_chance(sim, 200);
        else
            service->replicas = some_replicas(sim);
        update_service(sim, service, task);
    }
}

static bool wanted(const struct sim *sim, const char *service_id)
{
    for (int i = 0; i < SIM_SERVICES_MAX; i++)
        if (sim->services[i].exists && str_equal(sim->services[i].id, service_id))
            return true;
    return false;
}

// A removal that was lost with a leader is asked for again.
static void remove_unwanted(struct sim *sim)
{
    struct txn *txn = begin(sim);
    CHECK(txn);
    struct view view = store_pin(sim->log.store);
    int result = 0;
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL)
        if (!wanted(sim, object_id(object)))
            result |= txn_delete(txn, OBJECT_SERVICE, object_id(object), NULL);
    store_unpin(view);
    bool done = finish(txn, result);
    CHECK(done);
}

void users_settle(struct sim *sim)
{
    remove_unwanted(sim);
    for (int i = 0; i < sim->nodes_count; i++) {
        bool done = set_availability(sim, &sim->nodes[i], SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
        CHECK(done);
    }
    for (int i = 0; i < SIM_SERVICES_MAX; i++) {
        struct sim_service *service = &sim->services[i];
        if (!service->exists)
            continue;
        service->bad = false;
        service->max_per_node = 0;
        bool done = update_service(sim, service, true);
        CHECK(done);
    }
}
