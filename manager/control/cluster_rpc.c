#include <string.h>

#include "manager/control/answer_rpc.h"
#include "manager/control/nouns_rpc.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/skep.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// ---- reading ------------------------------------------------------------------------------------

// What leaves the manager: no key of any kind, and the defaults in place of what is unset.
static const ProtobufCMessage *redacted(struct rpc_call *call, const struct object *object)
{
    struct arena *arena = rpc_call_arena(call);
    Swarm__Cluster *cluster = object_unpack(object, arena);
    CHECK(cluster);
    cluster->root_ca->ca_key = (ProtobufCBinaryData){0};
    if (cluster->root_ca->root_rotation)
        cluster->root_ca->root_rotation->ca_key = (ProtobufCBinaryData){0};
    if (cluster->spec->ca_config) {
        cluster->spec->ca_config->signing_ca_key = (ProtobufCBinaryData){0};
        cluster->spec->ca_config->signing_ca_cert = (ProtobufCBinaryData){0};
    }
    cluster->n_network_bootstrap_keys = 0;
    cluster->n_unlock_keys = 0;
    cluster->fips = false;
    if (cluster->n_defaultaddresspool == 0) {
        static const char *pool = DEFAULT_ADDRESS_POOL;
        cluster->n_defaultaddresspool = 1;
        cluster->defaultaddresspool = arena_memdup(arena, &pool, sizeof(pool));
    }
    struct cluster_settled settled = defaults_cluster(cluster);
    cluster->subnetsize = settled.subnet_size;
    cluster->vxlanudpport = settled.vxlan_port;
    return &cluster->base;
}

void handle_get_cluster(struct rpc_call *call)
{
    const Swarm__GetClusterRequest *request =
        (const Swarm__GetClusterRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_CLUSTER, request->cluster_id, redacted);
}

void handle_list_clusters(struct rpc_call *call)
{
    const Swarm__ListClustersRequest *request =
        (const Swarm__ListClustersRequest *)rpc_call_message(call);
    struct common_filters filters = COMMON_FILTERS(request->filters);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, OBJECT_CLUSTER, BY_ALL) {
        const Swarm__Cluster *cluster = (const Swarm__Cluster *)redacted(call, object);
        if (common_match(&filters, cluster->id, cluster->spec->annotations))
            answer_list_add_message(&list, &cluster->base);
    }
    answer_list_end(&list);
}

// ---- updating -----------------------------------------------------------------------------------

static int check_spec(const Swarm__ClusterSpec *spec, struct err *err)
{
    if (!str_equal(spec->annotations->name, NAME_CLUSTER))
        return err_set(err, ERR_INVALID_ARGUMENT, "modification of cluster name is not allowed");
    const Swarm__CAConfig *ca = spec->ca_config;
    if (ca && ca->node_cert_expiry && duration_to_ns(ca->node_cert_expiry, 0) < CERT_EXPIRY_NS_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "minimum certificate expiry time is: 1h0m0s");
    if (spec->dispatcher && duration_to_ns(spec->dispatcher->heartbeat_period, 0) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "heartbeat time period cannot be a negative duration");
    return 0;
}

static bool locks(const Swarm__ClusterSpec *spec)
{
    return spec->encryption_config && spec->encryption_config->auto_lock_managers;
}

static void change(const struct control_desk *desk, Swarm__Cluster *cluster,
                   const Swarm__UpdateClusterRequest *request, struct arena *arena)
{
    bool locked_before = locks(cluster->spec);
    cluster->spec = request->spec;
    const Swarm__KeyRotation *rotation = request->rotation;
    if (rotation && (rotation->worker_join_token || rotation->manager_join_token))
        desk->rotate_tokens(cluster, rotation->worker_join_token, rotation->manager_join_token,
                            desk->rng, arena);
    if (locks(cluster->spec) != locked_before ||
        (rotation && rotation->manager_unlock_key && locks(cluster->spec)))
        desk->rotate_unlock_key(cluster, desk->rng, arena);
}

// The cluster within a new transaction; NULL when the call is answered already.
static Swarm__Cluster *edit(struct rpc_call *call, const char *id, struct txn **txn)
{
    *txn = answer_begin(call);
    if (!*txn)
        return NULL;
    Swarm__Cluster *cluster = txn_edit(*txn, OBJECT_CLUSTER, id);
    if (!cluster)
        answer_fail(call, *txn, ERR_NOT_FOUND, "cluster %s not found", id);
    return cluster;
}

// A call that waits for its root to be settled.
struct settling_call {
    struct control_settle settle;
    struct rpc_call *call;
};

// With the root as it is to be (of the cluster as it was when that was settled: txn_update sees to
// it that it still is).
static void write_update(struct rpc_call *call, const Swarm__RootCA *root)
{
    const Swarm__UpdateClusterRequest *request =
        (const Swarm__UpdateClusterRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    struct txn *txn;
    Swarm__Cluster *cluster = edit(call, request->cluster_id, &txn);
    if (!cluster)
        return;
    cluster->meta->version->index = request->cluster_version->index;
    change(rpc_call_ctx(call), cluster, request, txn_arena(txn));
    cluster->root_ca->ca_key = root->ca_key;
    cluster->root_ca->root_rotation = root->root_rotation;
    cluster->root_ca->last_forced_rotation = root->last_forced_rotation;
    if (txn_update(txn, OBJECT_CLUSTER, cluster, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_CLUSTER, request->cluster_id, redacted);
}

static void on_settled(struct control_settle *settle, const Swarm__RootCA *root,
                       const struct err *err)
{
    struct rpc_call *call = CONTAINER_OF(settle, struct settling_call, settle)->call;
    rpc_call_set_user(call, NULL);
    if (root)
        write_update(call, root);
    else
        rpc_call_fail(call, err);
}

// NULL when the call is answered already.
static Swarm__Cluster *read_cluster(struct rpc_call *call, const char *id)
{
    const struct control_desk *desk = rpc_call_ctx(call);
    struct view view = store_pin(desk->store);
    const struct object *object = view_get(view, OBJECT_CLUSTER, id);
    struct arena *arena = rpc_call_arena(call);
    Swarm__Cluster *cluster = object ? object_unpack(object, arena) : NULL;
    bool found = object != NULL;
    store_unpin(view);
    if (!found)
        rpc_call_failf(call, ERR_NOT_FOUND, "cluster %s not found", id);
    else if (!cluster || !wire_settle(cluster, arena))
        rpc_call_failf(call, ERR_INTERNAL, "cluster object cannot be read");
    else
        return cluster;
    return NULL;
}

void handle_update_cluster(struct rpc_call *call)
{
    const struct control_desk *desk = rpc_call_ctx(call);
    const Swarm__UpdateClusterRequest *request =
        (const Swarm__UpdateClusterRequest *)rpc_call_message(call);
    if (str_empty(request->cluster_id) || !request->cluster_version || !request->spec) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct err err = ERR_INIT;
    if (check_spec(request->spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    Swarm__Cluster *cluster = read_cluster(call, request->cluster_id);
    if (!cluster)
        return;
    if (cluster->meta->version->index != request->cluster_version->index) {
        write_update(call, cluster->root_ca); // which refuses it
        return;
    }
    struct settling_call *waiting = arena_alloc(rpc_call_arena(call), sizeof(struct settling_call));
    CHECK(waiting);
    cluster->spec = request->spec;
    *waiting = (struct settling_call){
        .settle = {.cluster = cluster, .arena = rpc_call_arena(call), .settled = on_settled},
        .call = call};
    rpc_call_set_user(call, waiting);
    desk->settle_root(desk->ctx, &waiting->settle);
}

void cancel_update_cluster(struct rpc_call *call)
{
    const struct control_desk *desk = rpc_call_ctx(call);
    struct settling_call *waiting = rpc_call_user(call);
    if (!waiting)
        return; // the write is under way and ends the call
    rpc_call_set_user(call, NULL);
    desk->forget_root(desk->ctx, &waiting->settle);
    rpc_call_failf(call, ERR_CANCELLED, "context canceled");
}

void handle_rotate_network_keys(struct rpc_call *call)
{
    const Skep__RotateNetworkKeysRequest *request =
        (const Skep__RotateNetworkKeysRequest *)rpc_call_message(call);
    if (str_empty(request->cluster_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn;
    Swarm__Cluster *cluster = edit(call, request->cluster_id, &txn);
    if (!cluster)
        return;
    const struct control_desk *desk = rpc_call_ctx(call);
    struct err err = ERR_INIT;
    desk->rotate_network_keys(cluster, desk->rng, txn_arena(txn));
    if (txn_update(txn, OBJECT_CLUSTER, cluster, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_CLUSTER, NULL, NULL);
}
