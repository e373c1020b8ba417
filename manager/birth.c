#include "manager/inner.h"

#include "proto/base/log.h"
#include "proto/wire/raft.pb-c.h"

void birth_done(struct manager *manager, const struct err *err)
{
    CHECK(!manager->is_ready);
    manager->is_ready = true;
    if (!err)
        manager->local_health.control = true;
    manager->config.ready(manager->config.ctx, err);
}

static void start_raft(struct manager *manager)
{
    struct err err = ERR_INIT;
    if (raft_node_start(manager->node, &err)) {
        birth_done(manager, &err);
        return;
    }
    if (manager_read_cluster(manager) || manager->config.birth != MANAGER_FOUND)
        birth_done(manager, NULL);
}

static void on_joined(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers);
void birth_close(struct manager *manager)
{
    if (manager->join_client)
        rpc_client_close(manager->join_client, NULL, NULL);
    manager->join_client = NULL;
}

static void on_join_timer(struct loop_timer *timer)
{
    struct manager *manager = manager_of(CONTAINER_OF(timer, struct manager, join_timer));
    birth_close(manager);
    const char *remote =
        manager->config.join_addrs[manager->join_tries % manager->config.join_addrs_count];
    struct addr addr;
    struct err err = ERR_INIT;
    if (addr_parse(remote, 0, &addr, &err)) {
        birth_done(manager, &err);
        return;
    }
    manager->join_tries++;
    manager->join_client = rpc_client_new(&(struct rpc_client_config){
        .loop = manager->loop,
        .addr = addr,
        .tls = manager->client_tls,
        .server_name = SERVER_NAME_MANAGER,
    });
    Swarm__JoinRequest request = SWARM__JOIN_REQUEST__INIT;
    request.addr = manager->advertise;
    struct rpc_request_spec spec = {
        .path = "/docker.swarmkit.v1.RaftMembership/Join",
        .kind = RPC_UNARY,
        .response = &swarm__join_response__descriptor,
        .timeout_ms = MANAGER_JOIN_MS,
        .on_done = on_joined,
        .ctx = manager,
    };
    rpc_client_call(manager->join_client, &spec, &request.base);
}

static void on_joined(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)trailers;
    struct manager *manager = manager_of(ctx);
    if (manager->stopping)
        return;
    struct err err = status->err;
    const Swarm__JoinResponse *response =
        err.code == ERR_OK ? (const Swarm__JoinResponse *)rpc_request_message(request) : NULL;
    if (response) {
        Swarm__ClusterSnapshot list = SWARM__CLUSTER_SNAPSHOT__INIT;
        list.n_members = response->n_members;
        list.members = response->members;
        if (!raft_node_join(manager->node, response->raft_id, &list, &err)) {
            start_raft(manager);
            return;
        }
    } else if (manager->join_tries < MANAGER_JOIN_TRIES) {
        log_warn("could not join the managers", "err=\"%s\"", err.message);
        loop_timer_start(&manager->join_timer, MANAGER_JOIN_WAIT_MS);
        return;
    }
    err_wrap(&err, "join the managers");
    birth_done(manager, &err);
}

// A raft id in 1..2^63 - 1 (swarmkit 18.2).
static uint64_t first_raft_id(struct manager *manager)
{
    uint64_t id = manager_random(manager) >> 1;
    return id ? id : 1;
}

int birth_begin(struct manager *manager, struct err *err)
{
    const struct manager_config *config = &manager->config;
    bool member = raft_node_is_member(manager->node);
    if (config->birth == MANAGER_JOIN && !member) {
        if (config->join_addrs_count == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "no manager to join was named");
        loop_timer_start(&manager->join_timer, 0);
        return 0;
    }
    int result = 0;
    if (config->birth == MANAGER_FOUND && !member)
        result = raft_node_found(manager->node, first_raft_id(manager),
                                 manager->credentials.identity.node_id, manager->advertise, err);
    else if (!member)
        result = err_set(err, ERR_FAILED_PRECONDITION, "this manager has no raft state");
    else if (config->birth == MANAGER_FORCE)
        result = raft_node_force_new(manager->node, manager->advertise, err);
    if (!result)
        start_raft(manager);
    return result;
}

void birth_init(struct manager *manager)
{
    loop_timer_init(&manager->join_timer, manager->loop, on_join_timer);
}
