#include "manager/inner.h"

#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/control/attach_rpc.h"
#include "proto/base/str.h"

// ---- forwarding ---------------------------------------------------------------------------------

static bool is_leading(void *ctx)
{
    return manager_of(ctx)->leader != NULL;
}

static struct rpc_client *leaders_client(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    uint64_t leader = manager->node ? raft_node_role(manager->node).leader : 0;
    if (!leader || leader == raft_node_id(manager->node) ||
        !raft_node_reachable(manager->node, leader))
        return NULL;
    return peers_client(manager->peers, leader);
}

// ---- servers ------------------------------------------------------------------------------------

int serving_make_tls(const struct credentials *credentials, const struct rng *rng,
                     struct tls_config **server, struct tls_config **client, struct err *err)
{
    struct tls_options options = {.server = true,
                                  .verify = TLS_VERIFY_IF_GIVEN,
                                  .alpn = TLS_ALPN_H2,
                                  .rng = rng,
                                  .tickets = true};
    *server = tls_config_of(credentials, &options, err);
    if (!*server)
        return -(int)err->code;
    options.server = false;
    options.verify = TLS_VERIFY_REQUIRED;
    *client = tls_config_of(credentials, &options, err);
    if (*client)
        return 0;
    tls_config_unref(*server);
    return -(int)err->code;
}

static bool control_member(void *ctx, const char *node_id, struct control_member *out)
{
    struct manager *manager = manager_of(ctx);
    const struct member *member =
        manager->node ? members_find_node(raft_node_members(manager->node), node_id) : NULL;
    if (!member)
        return false;
    *out = (struct control_member){
        .raft_id = member->raft_id,
        .addr = member->addr,
        .leader = raft_node_role(manager->node).leader == member->raft_id,
        .reachable = raft_node_reachable(manager->node, member->raft_id),
    };
    return true;
}

static const char *dispatch_manager_addr(void *ctx, const char *node_id)
{
    struct control_member member;
    return control_member(ctx, node_id, &member) ? member.addr : NULL;
}

static size_t control_members_count(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    return manager->node ? raft_node_members(manager->node)->count : 0;
}

static int control_check_removal(void *ctx, const char *node_id, struct err *err)
{
    struct control_member member;
    if (!control_member(ctx, node_id, &member))
        return err_set(err, ERR_NOT_FOUND, "node %s is no raft member", node_id);
    return raft_node_check_removal(manager_of(ctx)->node, member.raft_id, err);
}

// A root that the CA settles for a call of Control.
struct settling_root {
    struct settling settling;
    struct control_settle *settle;
};

static void on_settled(struct settling *settling, const Swarm__Cluster *cluster,
                       const struct err *err)
{
    struct settling_root *root = CONTAINER_OF(settling, struct settling_root, settling);
    struct control_settle *settle = root->settle;
    free(root);
    settle->settled(settle, cluster ? cluster->root_ca : NULL, err);
}

static void settle_root(void *ctx, struct control_settle *settle)
{
    struct manager *manager = manager_of(ctx);
    if (!manager->leader) {
        settle->settled(settle, settle->cluster->root_ca, NULL); // the write fails, with the reason
        return;
    }
    struct settling_root *root = MEM_NEW(struct settling_root);
    root->settling.settled = on_settled;
    root->settle = settle;
    settle->handle = root;
    ca_settle(leading_ca(manager->leader), &root->settling, settle->cluster, settle->arena);
}

static void forget_root(void *ctx, struct control_settle *settle)
{
    struct settling_root *root = settle->handle;
    (void)ctx;
    settling_cancel(&root->settling);
    free(root);
}

static void fill_services(struct manager *manager)
{
    manager->ca_desk =
        (struct ca_desk){.store = manager->store, .node_id = manager->credentials.identity.node_id};
    manager->dispatch_desk = (struct dispatch_desk){
        .node_id = manager->credentials.identity.node_id,
        .manager_addr = dispatch_manager_addr,
        .ctx = manager,
    };
    manager->control_desk = (struct control_desk){
        .store = manager->store,
        .mark = manager_random(manager),
        .rng = manager->config.rng,
        .node_id = manager->credentials.identity.node_id,
        .member = control_member,
        .members_count = control_members_count,
        .check_removal = control_check_removal,
        .rotate_tokens = bootstrap_rotate_tokens,
        .rotate_unlock_key = bootstrap_rotate_unlock_key,
        .rotate_network_keys = bootstrap_rotate_network_keys,
        .settle_root = settle_root,
        .forget_root = forget_root,
        .ctx = manager,
    };
    manager->local_health.local = true;
    manager->services[SERVE_CA] = ca_service(&manager->ca_desk, manager->loop);
    manager->services[SERVE_DISPATCH] = dispatch_service(&manager->dispatch_desk, manager->loop);
    manager->services[SERVE_MEMBERSHIP] = raft_rpc_membership(manager->raft_rpc);
    manager->services[SERVE_CONTROL] = control_service(&manager->control_desk, manager->loop);
    manager->logs_desk.node_id = manager->credentials.identity.node_id;
    manager->services[SERVE_LOGS] = logs_service(&manager->logs_desk, manager->loop);
    manager->services[SERVE_LOG_BROKER] = log_broker_service(&manager->logs_desk, manager->loop);
    manager->services[SERVE_ATTACH] = attach_service(&manager->control_desk, manager->loop);
}

// Raft messages are every member's own; all else goes through forwarding.
static struct forward *new_forward(struct manager *manager, bool local)
{
    struct forward_view view = {.leading = is_leading, .leader = leaders_client, .ctx = manager};
    return forward_new(manager->loop, local, manager->services, SERVE_COUNT, &view);
}

static int listen_cluster(struct manager *manager, struct err *err)
{
    struct rpc_service services[] = {forward_service(manager->forward),
                                     raft_rpc_messages(manager->raft_rpc),
                                     watch_service(manager->watchers, manager->loop),
                                     health_service(&manager->health, manager->loop)};
    manager->server = rpc_server_new(&(struct rpc_server_config){
        .loops = manager->config.serving,
        .loops_count = manager->config.serving_count,
        .services = services,
        .services_count = COUNT_OF(services),
        .authority = &manager->authority,
        .tls = manager->server_tls,
    });
    return rpc_server_listen(manager->server, &manager->config.listen, manager->config.listen_fd,
                             &manager->bound, err);
}

static int listen_local(struct manager *manager, struct err *err)
{
    struct rpc_service services[] = {forward_service(manager->local_forward),
                                     watch_service(manager->watchers, manager->loop),
                                     health_service(&manager->local_health, manager->loop)};
    // On the control loop itself: what this node's own clients ask is answered there anyway, and
    // each crossing of threads costs a call a tenth of a millisecond.
    manager->local_server = rpc_server_new(&(struct rpc_server_config){
        .loops = &manager->loop,
        .loops_count = 1,
        .services = services,
        .services_count = COUNT_OF(services),
        .authority = &manager->authority,
    });
    return rpc_server_listen(manager->local_server, &manager->config.local,
                             manager->config.local_fd, NULL, err);
}

int serving_open(struct manager *manager, struct err *err)
{
    fill_services(manager);
    manager->forward = new_forward(manager, false);
    manager->local_forward = new_forward(manager, true);
    int result = listen_cluster(manager, err);
    return result ? result : listen_local(manager, err);
}
