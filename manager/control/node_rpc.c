#include <stdlib.h>
#include <string.h>

#include "manager/control/answer_rpc.h"
#include "manager/control/nouns_rpc.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// ---- reading ------------------------------------------------------------------------------------

// What Raft knows of a manager belongs to the answer, not to the store.
static void add_manager_status(const struct control_desk *desk, Swarm__Node *node,
                               struct arena *arena)
{
    struct control_member member;
    node->manager_status = NULL;
    if (!desk->member(desk->ctx, node->id, &member))
        return;
    Swarm__ManagerStatus *status = wire_new(&swarm__manager_status__descriptor, arena);
    CHECK(status);
    status->raft_id = member.raft_id;
    status->addr = arena_strdup(arena, member.addr);
    status->leader = member.leader;
    status->reachability = member.reachable ? SWARM__RAFT_MEMBER_STATUS__REACHABILITY__REACHABLE
                                            : SWARM__RAFT_MEMBER_STATUS__REACHABILITY__UNREACHABLE;
    node->manager_status = status;
}

static const ProtobufCMessage *with_status(struct rpc_call *call, const struct object *object)
{
    Swarm__Node *node = object_unpack(object, rpc_call_arena(call));
    CHECK(node);
    add_manager_status(rpc_call_ctx(call), node, rpc_call_arena(call));
    return &node->base;
}

void handle_get_node(struct rpc_call *call)
{
    const Swarm__GetNodeRequest *request = (const Swarm__GetNodeRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_NODE, request->node_id, with_status);
}

static bool has_labels(const Swarm__EngineDescription__LabelsEntry *const *labels, size_t count,
                       const void *const *wanted, size_t wanted_count)
{
    Swarm__Annotations annotations = SWARM__ANNOTATIONS__INIT;
    annotations.labels = (Swarm__Annotations__LabelsEntry **)labels;
    annotations.n_labels = count;
    return in_labels(&annotations, wanted, wanted_count);
}

static bool in_numbers(int value, const void *list, size_t count)
{
    const int *numbers = list;
    for (size_t i = 0; i < count; i++)
        if (numbers[i] == value)
            return true;
    return count == 0;
}

static_assert(sizeof(Swarm__NodeRole) == sizeof(int), "enums are ints here");

// Names are hostnames; `labels` are the engine's, `node_labels` the spec's (swarmkit 20).
static bool node_wanted(const Swarm__Node *node, const Swarm__ListNodesRequest__Filters *f)
{
    if (!f)
        return true;
    const Swarm__NodeDescription *description = node->description;
    const char *hostname = description ? description->hostname : "";
    const Swarm__EngineDescription *engine = description ? description->engine : NULL;
    return in_texts(hostname, (char *const *)f->names, f->n_names) &&
           in_prefixes(hostname, (char *const *)f->name_prefixes, f->n_name_prefixes) &&
           in_prefixes(node->id, (char *const *)f->id_prefixes, f->n_id_prefixes) &&
           has_labels(engine ? (const Swarm__EngineDescription__LabelsEntry *const *)engine->labels
                             : NULL,
                      engine ? engine->n_labels : 0, (const void *const *)f->labels, f->n_labels) &&
           in_labels(node->spec->annotations, (const void *const *)f->node_labels,
                     f->n_node_labels) &&
           in_numbers(node->role, f->roles, f->n_roles) &&
           in_numbers(node->spec->membership, f->memberships, f->n_memberships);
}

void handle_list_nodes(struct rpc_call *call)
{
    const Swarm__ListNodesRequest *request =
        (const Swarm__ListNodesRequest *)rpc_call_message(call);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, OBJECT_NODE, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        Swarm__Node *node = object_unpack(object, &arena);
        if (node && node_wanted(node, request->filters)) {
            add_manager_status(rpc_call_ctx(call), node, &arena);
            answer_list_add_message(&list, &node->base);
        }
        arena_fini(&arena);
    }
    answer_list_end(&list);
}

// ---- updating -----------------------------------------------------------------------------------

static size_t count_managers(struct view view)
{
    size_t count = 0;
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL)
        count += object_node(object)->desired_role == SWARM__NODE_ROLE__MANAGER;
    return count;
}

// A manager that shall be a worker leaves the quorum (swarmkit 8.4).
static int check_demotion(const struct control_desk *desk, struct view view,
                          const Swarm__Node *node, const Swarm__NodeSpec *spec, struct err *err)
{
    if (node->spec->desired_role != SWARM__NODE_ROLE__MANAGER ||
        spec->desired_role != SWARM__NODE_ROLE__WORKER)
        return 0;
    if (count_managers(view) <= 1)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "attempting to demote the last manager of the swarm");
    struct control_member member;
    if (!desk->member(desk->ctx, node->id, &member))
        return err_set(err, ERR_NOT_FOUND, "can't find manager in raft memberlist");
    if (desk->check_removal(desk->ctx, node->id, NULL))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "can't remove member from the raft: this would result in a loss of quorum");
    return 0;
}

void handle_update_node(struct rpc_call *call)
{
    const Swarm__UpdateNodeRequest *request =
        (const Swarm__UpdateNodeRequest *)rpc_call_message(call);
    if (str_empty(request->node_id) || !request->node_version || !request->spec) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, request->node_id);
    if (!node) {
        answer_fail(call, txn, ERR_NOT_FOUND, "node %s not found", request->node_id);
        return;
    }
    struct err err = ERR_INIT;
    int result = check_demotion(rpc_call_ctx(call), txn_view(txn), node, request->spec, &err);
    node->spec = request->spec;
    node->meta->version->index = request->node_version->index;
    if (!result)
        result = txn_update(txn, OBJECT_NODE, node, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_NODE, request->node_id, with_status);
}

// ---- removing -----------------------------------------------------------------------------------

// The removed node's certificate counts no more (swarmkit 8.5).
static int blacklist(struct txn *txn, const Swarm__Node *node, struct err *err)
{
    const struct object *object = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    Swarm__Cluster *cluster = object ? txn_edit(txn, OBJECT_CLUSTER, object_id(object)) : NULL;
    if (!cluster)
        return err_set(err, ERR_INTERNAL, "could not find cluster object");
    struct arena *arena = txn_arena(txn);
    size_t count = cluster->n_blacklisted_certificates;
    Swarm__Cluster__BlacklistedCertificatesEntry **list =
        arena_alloc_array(arena, count + 1, sizeof *list);
    Swarm__Cluster__BlacklistedCertificatesEntry *entry =
        wire_new(&swarm__cluster__blacklisted_certificates_entry__descriptor, arena);
    CHECK(list);
    CHECK(entry);
    if (count)
        memcpy(list, cluster->blacklisted_certificates, count * sizeof *list);
    entry->key = node->id;
    entry->value = wire_new(&swarm__blacklisted_certificate__descriptor, arena);
    CHECK(entry->value);
    // Without its certificate at hand: a node's certificate ends within this time.
    int64_t life_ns = defaults_cluster(cluster).cert_expiry_ns;
    entry->value->expiry = timestamp_new(wall_add(wall_now(), life_ns), arena);
    list[count] = entry;
    cluster->blacklisted_certificates = list;
    cluster->n_blacklisted_certificates = count + 1;
    return txn_update(txn, OBJECT_CLUSTER, cluster, err);
}

// What the node was running will not be reported on any more.
static int orphan_tasks(struct txn *txn, const char *node_id, struct err *err)
{
    struct arena *arena = txn_arena(txn);
    size_t count = 0, cap = 0;
    const char **ids = NULL;
    VIEW_EACH (object, txn_view(txn), OBJECT_TASK, by_node(node_id)) {
        if (object_task(object)->state > SWARM__TASK_STATE__RUNNING)
            continue;
        if (count == cap) {
            cap = cap ? 2 * cap : 64;
            ids = mem_realloc(ids, cap * sizeof *ids);
        }
        ids[count++] = arena_strdup(arena, object_id(object));
    }
    int result = 0;
    for (size_t i = 0; !result && i < count; i++) {
        Swarm__Task *task = txn_edit(txn, OBJECT_TASK, ids[i]);
        task->status->state = SWARM__TASK_STATE__ORPHANED;
        task->status->message = "Task belonged to a node that has been deleted";
        task->status->timestamp = timestamp_new(wall_now(), arena);
        result = txn_update(txn, OBJECT_TASK, task, err);
    }
    free(ids);
    return result;
}

static int check_removal(const struct control_desk *desk, const Swarm__Node *node, bool force,
                         struct err *err)
{
    struct control_member member;
    if (node->spec->desired_role == SWARM__NODE_ROLE__MANAGER &&
        desk->member(desk->ctx, node->id, &member))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "node %s is a cluster manager and is a member of the raft cluster. It must "
                       "be demoted to worker before removal",
                       node->id);
    if (!force && node->status->state == SWARM__NODE_STATUS__STATE__READY)
        return err_set(err, ERR_FAILED_PRECONDITION, "node %s is not down and can't be removed",
                       node->id);
    return 0;
}

void handle_remove_node(struct rpc_call *call)
{
    const Swarm__RemoveNodeRequest *request =
        (const Swarm__RemoveNodeRequest *)rpc_call_message(call);
    if (str_empty(request->node_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, request->node_id);
    if (!node) {
        answer_fail(call, txn, ERR_NOT_FOUND, "node %s not found", request->node_id);
        return;
    }
    int result = check_removal(rpc_call_ctx(call), node, request->force, &err);
    if (!result)
        result = blacklist(txn, node, &err);
    if (!result)
        result = orphan_tasks(txn, request->node_id, &err);
    if (!result)
        result = txn_delete(txn, OBJECT_NODE, request->node_id, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_NODE, NULL, NULL);
}
