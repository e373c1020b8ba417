#include "manager/control/attach_rpc.h"

#include <stdlib.h>

#include "manager/control/answer_rpc.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/wire/resource.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// The local socket is open to this manager's own node only.
static const char *node_of(const struct rpc_call *call)
{
    const struct control_desk *desk = rpc_call_ctx(call);
    const struct caller *caller = rpc_call_caller(call);
    return caller->local ? desk->node_id : caller->node_id;
}

// ---- attaching ----------------------------------------------------------------------------------

// An attachment that waits for its task to be committed.
struct waiting {
    struct txn_done done;
    struct rpc_call *call;
    char *task_id;
};

static void on_attached(struct txn_done *done, const struct err *err)
{
    struct waiting *waiting = CONTAINER_OF(done, struct waiting, done);
    Swarm__AttachNetworkResponse response = SWARM__ATTACH_NETWORK_RESPONSE__INIT;
    response.attachment_id = waiting->task_id;
    if (err)
        rpc_call_fail(waiting->call, err);
    else
        rpc_call_reply(waiting->call, &response.base);
    free(waiting->task_id);
    free(waiting);
}

// By id, then by name.
static const Swarm__Network *find_network(struct txn *txn, const char *target)
{
    const struct object *object = view_get(txn_view(txn), OBJECT_NETWORK, target);
    if (!object)
        object = view_get_by_name(txn_view(txn), OBJECT_NETWORK, target);
    return object ? object_unpack(object, txn_arena(txn)) : NULL;
}

static Swarm__Task *new_task(struct rpc_call *call, const char *network_id, struct arena *arena)
{
    const Swarm__AttachNetworkRequest *request =
        (const Swarm__AttachNetworkRequest *)rpc_call_message(call);
    Swarm__Task *task = wire_new(&swarm__task__descriptor, arena);
    Swarm__NetworkAttachmentConfig **networks = arena_alloc_array(arena, 1, sizeof *networks);
    CHECK(task && networks);
    task->id = new_id(rpc_call_ctx(call), arena);
    task->node_id = node_of(call);
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_ATTACHMENT;
    task->spec->attachment = wire_new(&swarm__network_attachment_spec__descriptor, arena);
    networks[0] = wire_new(&swarm__network_attachment_config__descriptor, arena);
    CHECK(task->spec->attachment && networks[0]);
    task->spec->attachment->container_id = request->container_id;
    networks[0]->target = network_id;
    networks[0]->addresses = request->config->addresses;
    networks[0]->n_addresses = request->config->n_addresses;
    task->spec->networks = networks;
    task->spec->n_networks = 1;
    task->status->state = SWARM__TASK_STATE__NEW;
    task->status->message = "created";
    task->status->timestamp = timestamp_new(wall_now(), arena);
    task->desired_state = SWARM__TASK_STATE__RUNNING;
    return task;
}

static void handle_attach(struct rpc_call *call)
{
    const Swarm__AttachNetworkRequest *request =
        (const Swarm__AttachNetworkRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (!request->config || str_empty(request->config->target) ||
        str_empty(request->container_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    const char *target = request->config->target;
    const Swarm__Network *network = find_network(txn, target);
    if (!network) {
        answer_fail(call, txn, ERR_NOT_FOUND, "network %s not found", target);
        return;
    }
    if (!network->spec->attachable) {
        answer_fail(call, txn, ERR_PERMISSION_DENIED, "network %s not manually attachable", target);
        return;
    }
    Swarm__Task *task = new_task(call, network->id, txn_arena(txn));
    if (txn_create(txn, OBJECT_TASK, task, &err)) {
        answer_err(call, txn, &err);
        return;
    }
    struct waiting *waiting = MEM_NEW(struct waiting);
    waiting->done.run = on_attached;
    waiting->call = call;
    waiting->task_id = str_dup(task->id);
    if (txn_commit(txn, &waiting->done, &err)) {
        rpc_call_fail(call, &err);
        free(waiting->task_id);
        free(waiting);
    }
}

// ---- detaching ----------------------------------------------------------------------------------

// It ended before it goes: whoever gives back says that nothing of it runs any more, so the address
// needs no rest before the next one has it.
static int end_task(struct txn *txn, Swarm__Task *task, struct err *err)
{
    if (task->status->state > SWARM__TASK_STATE__RUNNING)
        return 0;
    task->status->state = SWARM__TASK_STATE__SHUTDOWN;
    task->status->message = "detached";
    task->status->timestamp = timestamp_new(wall_now(), txn_arena(txn));
    return txn_update(txn, OBJECT_TASK, task, err);
}

static void handle_detach(struct rpc_call *call)
{
    const Swarm__DetachNetworkRequest *request =
        (const Swarm__DetachNetworkRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (str_empty(request->attachment_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    const char *id = request->attachment_id;
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, id);
    // A node gives back what it asked for, never a service's task.
    if (!task)
        answer_fail(call, txn, ERR_NOT_FOUND, "attachment %s not found", id);
    else if (!str_equal(task->node_id, node_of(call)) ||
             task->spec->runtime_case != SWARM__TASK_SPEC__RUNTIME_ATTACHMENT)
        answer_fail(call, txn, ERR_PERMISSION_DENIED, "attachment %s doesn't belong to this node",
                    id);
    else if (end_task(txn, task, &err) || txn_delete(txn, OBJECT_TASK, id, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_TASK, NULL, NULL);
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.ResourceAllocator/AttachNetwork",
     .kind = RPC_UNARY,
     .roles = ROLE_WORKER | ROLE_MANAGER,
     .request = &swarm__attach_network_request__descriptor,
     .handle = handle_attach},
    {.path = "/docker.swarmkit.v1.ResourceAllocator/DetachNetwork",
     .kind = RPC_UNARY,
     .roles = ROLE_WORKER | ROLE_MANAGER,
     .request = &swarm__detach_network_request__descriptor,
     .handle = handle_detach},
};

struct rpc_service attach_service(struct control_desk *desk, struct loop *home)
{
    return (struct rpc_service){
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = desk, .home = home};
}
