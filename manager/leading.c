#include "manager/leading.h"

#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/planners.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

#define LEADING_MAGIC 0x6c656164u

#define FIRST_ARENA_BYTES ((size_t)8 << 20)

struct leading {
    unsigned magic;
    struct leading_config config;
    struct loop *loop;
    struct store *store;
    struct loop_later turn;
    bool turn_yielded; // answers that came of the same change have left
    struct loop_timer wake;
    struct loop_timer network_keys; // gossip and IPsec keys are renewed every so often
    struct planners *planners;
    struct ca *ca;
    struct dispatch *dispatch;
    struct logs *logs;
    bool failed;
};

static struct leading *leading_of(struct leading *leader)
{
    MAGIC_CHECK(leader, LEADING_MAGIC);
    return leader;
}

static void give_up(struct leading *leader, const struct err *why)
{
    if (leader->failed)
        return;
    leader->failed = true;
    leader->config.failed(leader->config.ctx, why);
}

// ---- planners -----------------------------------------------------------------------------------

static void on_turn(struct loop_later *later)
{
    struct leading *leader = leading_of(CONTAINER_OF(later, struct leading, turn));
    // What has just been written is planned for once those who wrote it have their answers, which
    // leave at the end of the turn as well.
    leader->turn_yielded = !leader->turn_yielded;
    if (leader->turn_yielded) {
        loop_later_ask(&leader->turn);
        return;
    }
    struct mono due = planners_turn(leader->planners, loop_now(leader->loop), wall_now());
    if (due.ns == MONO_NEVER.ns)
        loop_timer_stop(&leader->wake);
    else
        loop_timer_start_at(&leader->wake, due);
}

static void on_wake(struct loop_timer *timer)
{
    loop_later_ask(&leading_of(CONTAINER_OF(timer, struct leading, wake))->turn);
}

static void on_change(void *ctx)
{
    loop_later_ask(&leading_of(ctx)->turn);
}

// ---- what a cluster must have -------------------------------------------------------------------

static Swarm__Network *new_network(struct arena *arena, const char *name)
{
    Swarm__Network *network = wire_new(&swarm__network__descriptor, arena);
    CHECK(network);
    network->id = arena_strdup(arena, entropy_id().text);
    network->spec->annotations->name = arena_strdup(arena, name);
    return network;
}

static int create_ingress(struct txn *txn, struct err *err)
{
    struct arena *arena = txn_arena(txn);
    Swarm__Network *network = new_network(arena, NAME_INGRESS);
    network->spec->ingress = true;
    network->spec->driver_config = wire_new(&swarm__driver__descriptor, arena);
    network->spec->ipam = wire_new(&swarm__ipamoptions__descriptor, arena);
    network->spec->ipam->driver = wire_new(&swarm__driver__descriptor, arena);
    return txn_create(txn, OBJECT_NETWORK, network, err);
}

// bridge and host: the same on every node, known to the cluster so that services may name them.
static int create_predefined(struct txn *txn, const char *name, struct err *err)
{
    if (view_get_by_name(txn_view(txn), OBJECT_NETWORK, name))
        return 0;
    struct arena *arena = txn_arena(txn);
    Swarm__Network *network = new_network(arena, name);
    network->spec->driver_config = wire_new(&swarm__driver__descriptor, arena);
    network->spec->driver_config->name = arena_strdup(arena, name);
    Swarm__Annotations__LabelsEntry *label =
        wire_new(&swarm__annotations__labels_entry__descriptor, arena);
    label->key = NAME_LABEL_PREDEFINED;
    label->value = "true";
    network->spec->annotations->labels = arena_memdup(arena, &label, sizeof(label));
    network->spec->annotations->n_labels = 1;
    return txn_create(txn, OBJECT_NETWORK, network, err);
}

static int create_missing(struct leading *leader, struct txn *txn, struct err *err)
{
    struct arena *arena = txn_arena(txn);
    const struct object *cluster = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    const Swarm__Cluster *message =
        cluster ? object_unpack(cluster, arena) : leader->config.first_cluster;
    if (!message)
        return err_set(err, ERR_FAILED_PRECONDITION, "there is no cluster object");
    if (!cluster) {
        int result = txn_create(txn, OBJECT_CLUSTER, wire_copy(message, arena), err);
        if (result)
            return result;
    }
    if (!view_get(txn_view(txn), OBJECT_NODE, leader->config.node_id)) {
        // The first manager is there without ever having joined; the mesh's network comes with it.
        Swarm__Node *node = bootstrap_node(message, leader->config.node_id, arena);
        node->spec->availability = leader->config.availability;
        int result = txn_create(txn, OBJECT_NODE, node, err);
        if (!result && !cluster)
            result = create_ingress(txn, err);
        if (result)
            return result;
    }
    int result = create_predefined(txn, "bridge", err);
    return result ? result : create_predefined(txn, "host", err);
}

static int write_missing(struct leading *leader, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(leader->store, wall_now(), &txn, err);
    if (result)
        return result;
    result = create_missing(leader, txn, err);
    if (result) {
        txn_abandon(txn);
        return result;
    }
    result = txn_commit(txn, NULL, err);
    return result == TXN_EMPTY ? 0 : result;
}

// ---- keys of the data plane ---------------------------------------------------------------------

static int rotate_network_keys(struct leading *leader, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(leader->store, wall_now(), &txn, err);
    if (result)
        return result;
    const struct object *object = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    Swarm__Cluster *cluster = object ? txn_edit(txn, OBJECT_CLUSTER, object_id(object)) : NULL;
    if (cluster) {
        bootstrap_rotate_network_keys(cluster, leader->config.rng, txn_arena(txn));
        result = txn_update(txn, OBJECT_CLUSTER, cluster, err);
    }
    if (result) {
        txn_abandon(txn);
        return result;
    }
    result = txn_commit(txn, NULL, err);
    return result == TXN_EMPTY ? 0 : result;
}

static void on_network_keys(struct loop_timer *timer)
{
    struct leading *leader = leading_of(CONTAINER_OF(timer, struct leading, network_keys));
    struct err err = ERR_INIT;
    if (rotate_network_keys(leader, &err))
        log_warn("network keys could not be renewed", "err=\"%s\"", err.message);
    loop_timer_start(timer, leader->config.network_keys_ms);
}

// ---- life ---------------------------------------------------------------------------------------

static void start_services(struct leading *leader)
{
    leader->ca = ca_start(&(struct ca_config){.store = leader->store,
                                              .loop = leader->loop,
                                              .rng = leader->config.rng,
                                              .way = leader->config.way});
    struct dispatcher_config dispatcher = {
        .store = leader->store,
        .rng = leader->config.rng,
        .seed = leader->config.seed,
        .node_id = leader->config.node_id,
        .delay = leader->config.delay,
    };
    leader->dispatch = dispatch_start(leader->loop, &dispatcher);
    leader->logs = logs_start(leader->loop, leader->store, leader->config.rng);
}

struct leading *leading_start(const struct leading_config *config)
{
    struct leading *leader = MEM_NEW(struct leading);
    MAGIC_SET(leader, LEADING_MAGIC);
    leader->config = *config;
    if (!leader->config.network_keys_ms)
        leader->config.network_keys_ms = BOOTSTRAP_KEY_ROTATION_NS / NS_PER_MS;
    leader->loop = config->loop;
    leader->store = config->store;
    loop_later_init(&leader->turn, leader->loop, on_turn);
    loop_timer_init(&leader->wake, leader->loop, on_wake);
    loop_timer_init(&leader->network_keys, leader->loop, on_network_keys);
    leader->planners = planners_new(leader->store, config->seed, on_change, leader);
    struct err err = ERR_INIT;
    if (write_missing(leader, &err))
        give_up(leader, &err);
    start_services(leader);
    loop_timer_start(&leader->network_keys, leader->config.network_keys_ms);
    loop_later_ask(&leader->turn);
    log_info("leading the cluster", "node=%s", config->node_id);
    return leader;
}

void leading_stop(struct leading *leader)
{
    leading_of(leader);
    log_info("no longer leading the cluster", "node=%s", leader->config.node_id);
    ca_stop(leader->ca);
    dispatch_stop(leader->dispatch);
    logs_stop(leader->logs);
    loop_later_cancel(&leader->turn);
    loop_timer_stop(&leader->wake);
    loop_timer_stop(&leader->network_keys);
    planners_free(leader->planners);
    MAGIC_CLEAR(leader);
    free(leader);
}

struct ca *leading_ca(struct leading *leader)
{
    return leader->ca;
}

struct dispatch *leading_dispatch(struct leading *leader)
{
    return leader->dispatch;
}

struct logs *leading_logs(struct leading *leader)
{
    return leader->logs;
}

void leading_set_members(struct leading *leader, const struct members *members)
{
    struct dispatch_manager list[RAFT_MEMBERS_MAX];
    for (size_t i = 0; i < members->count; i++)
        list[i] = (struct dispatch_manager){.node_id = members->list[i].node_id,
                                            .addr = members->list[i].addr};
    dispatch_set_managers(leader->dispatch, list, members->count);
}
