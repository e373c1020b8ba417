#include "cmd/skepd/parting_io.h"

#include <stdlib.h>

#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/raft.pb-c.h"

#define LIST_NODES "/docker.swarmkit.v1.Control/ListNodes"
#define LEAVE      "/docker.swarmkit.v1.RaftMembership/Leave"

#define WARNING                                                                                    \
    "You are attempting to leave the swarm on a node that is participating as a manager. "
#define LOST                                                                                       \
    "The only way to restore a swarm that has lost consensus is to reinitialize it with "          \
    "`--force-new-cluster`. Use `--force` to suppress this message."

struct parting {
    struct loop_post post; // when nobody can be asked
    void (*warned)(void *owner, const struct err *why);
    void *owner;
    struct err why;
};

static void list_nodes(struct rpc_client *client,
                       void (*done)(struct rpc_request *request, void *ctx,
                                    const struct rpc_status *status,
                                    const struct metadata *trailers),
                       void *ctx)
{
    Swarm__ListNodesRequest message = SWARM__LIST_NODES_REQUEST__INIT;
    struct rpc_request_spec spec = {
        .path = LIST_NODES,
        .kind = RPC_UNARY,
        .response = &swarm__list_nodes_response__descriptor,
        .timeout_ms = PARTING_ASK_MS,
        .on_done = done,
        .ctx = ctx,
    };
    rpc_client_call(client, &spec, &message.base);
}

void parting_text(size_t reachable, size_t unreachable, struct err *why)
{
    // SwarmKit's rule for a manager that goes (swarmkit.md 18.8); this one is among the reachable.
    size_t left = reachable > 2 ? reachable - 2 : 0;
    if (reachable + unreachable <= 1)
        err_set(why, ERR_UNAVAILABLE,
                WARNING "Removing the last manager erases all current state of the swarm. Use "
                        "`--force` to ignore this message. ");
    else if (reachable < 3 || left < (reachable + unreachable) / 2)
        err_set(why, ERR_UNAVAILABLE,
                WARNING "Removing this node leaves %zu managers out of %zu. Without a Raft quorum "
                        "your swarm will be inaccessible. " LOST,
                reachable ? reachable - 1 : 0, reachable + unreachable);
    else
        err_set(why, ERR_UNAVAILABLE, WARNING "Use `--force` to suppress this message.");
}

static void warn(struct parting *parting)
{
    parting->warned(parting->owner, &parting->why);
    free(parting);
}

static void say_unknown(struct parting *parting)
{
    err_set(&parting->why, ERR_UNAVAILABLE,
            WARNING "Doing so may lose the consensus of your cluster. " LOST);
}

static void on_post(struct loop_post *post)
{
    warn(CONTAINER_OF(post, struct parting, post));
}

static void on_listed(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)trailers;
    struct parting *parting = ctx;
    const Swarm__ListNodesResponse *list = (const void *)rpc_request_message(request);
    size_t reachable = 0, unreachable = 0;
    if (status->err.code != ERR_OK || !list) {
        say_unknown(parting);
        warn(parting);
        return;
    }
    for (size_t i = 0; i < list->n_nodes; i++) {
        const Swarm__ManagerStatus *manager = list->nodes[i]->manager_status;
        if (!manager)
            continue;
        if (manager->reachability == SWARM__RAFT_MEMBER_STATUS__REACHABILITY__REACHABLE)
            reachable++;
        else
            unreachable++;
    }
    parting_text(reachable, unreachable, &parting->why);
    warn(parting);
}

void parting_warn(struct loop *loop, struct rpc_client *client,
                  void (*warned)(void *owner, const struct err *why), void *owner)
{
    struct parting *parting = MEM_NEW(struct parting);
    parting->warned = warned;
    parting->owner = owner;
    if (!client) {
        say_unknown(parting);
        loop_post(loop, &parting->post, on_post);
        return;
    }
    list_nodes(client, on_listed, parting);
}

// ---- going --------------------------------------------------------------------------------------

struct going {
    struct loop_post post;
    struct rpc_client *client;
    char *node_id;
    void (*gone)(void *owner);
    void *owner;
};

static void gone(struct going *going)
{
    void (*tell)(void *owner) = going->gone;
    void *owner = going->owner;
    free(going->node_id);
    free(going);
    tell(owner);
}

static void on_nobody(struct loop_post *post)
{
    gone(CONTAINER_OF(post, struct going, post));
}

static void on_leave_answered(struct rpc_request *request, void *ctx,
                              const struct rpc_status *status, const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    if (status->err.code == ERR_OK)
        log_info("this manager has left the consensus", "node=%s", ((struct going *)ctx)->node_id);
    else
        log_warn("the other managers keep this one as a lost member", "err=\"%s\"",
                 status->err.message);
    gone(ctx);
}

// This node's id in the consensus; 0 when it has none or is the only one.
static uint64_t own_raft_id(const Swarm__ListNodesResponse *list, const char *node_id)
{
    uint64_t own = 0;
    size_t members = 0;
    for (size_t i = 0; i < list->n_nodes; i++) {
        const Swarm__ManagerStatus *manager = list->nodes[i]->manager_status;
        if (!manager)
            continue;
        members++;
        if (str_equal(list->nodes[i]->id, node_id))
            own = manager->raft_id;
    }
    return members > 1 ? own : 0;
}

static void on_members_listed(struct rpc_request *request, void *ctx,
                              const struct rpc_status *status, const struct metadata *trailers)
{
    (void)trailers;
    struct going *going = ctx;
    const Swarm__ListNodesResponse *list = (const void *)rpc_request_message(request);
    uint64_t own = 0;
    if (status->err.code == ERR_OK && list)
        own = own_raft_id(list, going->node_id);
    if (own == 0) {
        gone(going);
        return;
    }
    Swarm__RaftMember member = SWARM__RAFT_MEMBER__INIT;
    member.raft_id = own;
    Swarm__LeaveRequest message = SWARM__LEAVE_REQUEST__INIT;
    message.node = &member;
    struct rpc_request_spec spec = {
        .path = LEAVE,
        .kind = RPC_UNARY,
        .response = &swarm__leave_response__descriptor,
        .timeout_ms = PARTING_LEAVE_MS,
        .on_done = on_leave_answered,
        .ctx = going,
    };
    rpc_client_call(going->client, &spec, &message.base);
}

void parting_go(struct loop *loop, struct rpc_client *client, const char *node_id,
                void (*gone_fn)(void *owner), void *owner)
{
    struct going *going = MEM_NEW(struct going);
    *going = (struct going){
        .client = client, .node_id = str_dup(node_id), .gone = gone_fn, .owner = owner};
    if (!client) {
        loop_post(loop, &going->post, on_nobody);
        return;
    }
    list_nodes(client, on_members_listed, going);
}
