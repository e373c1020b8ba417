#include "manager/manager.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/ca_rpc.h"
#include "manager/ca/rotate.h"
#include "manager/control/attach_rpc.h"
#include "manager/control/control.h"
#include "manager/control/watch_rpc.h"
#include "manager/dispatch/dispatch_rpc.h"
#include "manager/forward_rpc.h"
#include "manager/health_rpc.h"
#include "manager/leading.h"
#include "manager/logs/logs_rpc.h"
#include "manager/removed_io.h"
#include "manager/replica.h"
#include "manager/roles.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/wire.h"
#include "raft/net/peers_io.h"
#include "raft/raft_rpc.h"

#define MANAGER_MAGIC 0x6d616e61u

// Running calls may end for this long when the manager stops.
#define STOP_GRACE_MS 1000

#define CLUSTER_ARENA_BYTES ((size_t)32 << 20)

// The services, in the order of `services`.
enum {
    SERVE_CA,
    SERVE_DISPATCH,
    SERVE_MEMBERSHIP,
    SERVE_CONTROL,
    SERVE_LOGS,
    SERVE_LOG_BROKER,
    SERVE_ATTACH,
    SERVE_COUNT
};

struct manager {
    unsigned magic;
    struct manager_config config;
    struct loop *loop;
    struct credentials credentials;
    char *advertise;
    struct store *store;
    struct replica *replica;
    struct raft_node *node;
    struct peers *peers;
    struct raft_rpc *raft_rpc;
    struct removed *removed;
    struct watch *cluster_watch;
    struct loop_later cluster_turn;
    struct leading *leader; // while acting
    struct roles *roles;    // likewise
    struct authority authority;
    struct tls_config *server_tls, *client_tls;

    // What the services' handlers find their way by.
    struct ca_desk ca_desk;
    struct dispatch_desk dispatch_desk;
    struct control_desk control_desk;
    struct logs_desk logs_desk;
    struct watchers *watchers;
    struct health_desk health, local_health;
    struct rpc_service services[SERVE_COUNT];
    struct forward *forward, *local_forward;
    bool lock_told, locked;
    uint8_t lock_key[LOCK_KEY_BYTES]; // as told
    uint64_t led_by;                  // raft id of the leader, as forwarding knows it
    struct rpc_server *server, *local_server;
    struct addr bound;

    // Joining.
    struct rpc_client *join_client;
    unsigned join_tries;
    struct loop_timer join_timer;

    struct loop_timer tidy; // gives memory of an idle store back
    struct err why;         // why it stopped, told in a later turn
    struct loop_later tell_stopped;
    bool is_ready;
    bool stopping;
    unsigned closing; // things that still have to close
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static struct manager *manager_of(void *ctx)
{
    struct manager *manager = ctx;
    MAGIC_CHECK(manager, MANAGER_MAGIC);
    return manager;
}

static uint64_t random_u64(struct manager *manager)
{
    uint64_t value;
    rng_fill(manager->config.rng, &value, sizeof value);
    return value;
}

// ---- leading ------------------------------------------------------------------------------------

static void on_tell_stopped(struct loop_later *later)
{
    struct manager *manager = manager_of(CONTAINER_OF(later, struct manager, tell_stopped));
    if (!manager->stopping)
        manager->config.stopped(manager->config.ctx, &manager->why);
}

// The owner is told outside of whatever found out: it stops us in answer.
static void stop_because(struct manager *manager, const struct err *why)
{
    if (manager->why.code == ERR_OK)
        manager->why = *why;
    loop_later_ask(&manager->tell_stopped);
}

static void on_leader_failed(void *ctx, const struct err *why)
{
    struct manager *manager = manager_of(ctx);
    log_error("cannot lead", "err=\"%s\"", why->message);
    if (raft_node_transfer(manager->node, 0, NULL))
        stop_because(manager, why); // nobody to hand over to
}

static void lead(struct manager *manager)
{
    struct leading_config config = {
        .loop = manager->loop,
        .store = manager->store,
        .rng = manager->config.rng,
        .seed = random_u64(manager),
        .node_id = manager->credentials.identity.node_id,
        .first_cluster = manager->config.first_cluster,
        .availability = manager->config.availability,
        .failed = on_leader_failed,
        .ctx = manager,
    };
    manager->leader = leading_start(&config);
    leading_set_members(manager->leader, raft_node_members(manager->node));
    manager->roles = roles_start(manager->loop, manager->store, manager->node);
    manager->ca_desk.ca = leading_ca(manager->leader);
    manager->dispatch_desk.dispatch = leading_dispatch(manager->leader);
    manager->logs_desk.logs = leading_logs(manager->leader);
}

static void stop_leading(struct manager *manager)
{
    if (!manager->leader)
        return;
    manager->ca_desk.ca = NULL;
    manager->dispatch_desk.dispatch = NULL;
    manager->logs_desk.logs = NULL;
    roles_stop(manager->roles);
    leading_stop(manager->leader);
    manager->roles = NULL;
    manager->leader = NULL;
}

static void on_role(void *ctx, const struct raft_node_role *role)
{
    struct manager *manager = manager_of(ctx);
    if (role->acting && !manager->leader)
        lead(manager);
    else if (!role->acting)
        stop_leading(manager);
    if (role->leader != manager->led_by && manager->forward) {
        forward_leader_changed(manager->forward);
        forward_leader_changed(manager->local_forward);
    }
    manager->led_by = role->leader;
    manager->config.changed(manager->config.ctx);
}

static void on_members(void *ctx, const struct members *members)
{
    struct manager *manager = manager_of(ctx);
    if (manager->leader)
        leading_set_members(manager->leader, members);
    manager->config.changed(manager->config.ctx);
}

static void on_raft_stopped(void *ctx, const struct err *why)
{
    struct manager *manager = manager_of(ctx);
    log_error("raft has stopped", "err=\"%s\"", why->message);
    stop_leading(manager);
    stop_because(manager, why);
}

// ---- who is let in ------------------------------------------------------------------------------

static void become_ready(struct manager *manager, const struct err *err);

static void tell_lock(struct manager *manager, const Swarm__Cluster *cluster)
{
    const Swarm__EncryptionConfig *config = cluster->spec->encryption_config;
    const ProtobufCBinaryData *key = NULL;
    for (size_t i = 0; i < cluster->n_unlock_keys; i++)
        if (str_equal(cluster->unlock_keys[i]->subsystem, NAME_SUBSYSTEM_MANAGER) &&
            cluster->unlock_keys[i]->key.len == LOCK_KEY_BYTES)
            key = &cluster->unlock_keys[i]->key;
    bool locked = key && config && config->auto_lock_managers;
    uint8_t now[LOCK_KEY_BYTES] = {0};
    if (locked)
        memcpy(now, key->data, LOCK_KEY_BYTES);
    bool same = manager->lock_told && manager->locked == locked &&
                memcmp(manager->lock_key, now, LOCK_KEY_BYTES) == 0;
    manager->lock_told = true;
    manager->locked = locked;
    memcpy(manager->lock_key, now, LOCK_KEY_BYTES);
    explicit_bzero(now, sizeof now);
    if (!same && manager->config.locked)
        manager->config.locked(manager->config.ctx, locked ? manager->lock_key : NULL,
                               cluster->meta->version->index);
}

// False while there is no cluster object.
static bool read_cluster(struct manager *manager)
{
    struct view view = store_pin(manager->store);
    const struct object *object = view_get_by_name(view, OBJECT_CLUSTER, NAME_CLUSTER);
    struct arena arena;
    arena_init(&arena, CLUSTER_ARENA_BYTES);
    const Swarm__Cluster *cluster = object ? object_unpack(object, &arena) : NULL;
    if (cluster) {
        removed_update(manager->removed, cluster);
        tell_lock(manager, cluster);
    }
    arena_fini(&arena);
    store_unpin(view);
    return cluster != NULL;
}

static void on_cluster_turn(struct loop_later *later)
{
    struct manager *manager = manager_of(CONTAINER_OF(later, struct manager, cluster_turn));
    struct watch_event event;
    while (watch_next(manager->cluster_watch, &event))
        watch_event_fini(&event);
    // A cluster is founded once its first objects are committed.
    if (read_cluster(manager) && !manager->is_ready && manager->config.birth == MANAGER_FOUND)
        become_ready(manager, NULL);
}

static void on_cluster_change(struct watch *watch, void *ctx)
{
    (void)watch;
    loop_later_ask(&manager_of(ctx)->cluster_turn);
}

static void watch_cluster(struct manager *manager)
{
    struct watch_rule rule = {.type = OBJECT_CLUSTER, .actions = WATCH_ANY};
    struct watch_options options = {
        .rules = &rule, .rules_count = 1, .wake = on_cluster_change, .ctx = manager};
    int opened = watch_open(manager->store, &options, &manager->cluster_watch, NULL);
    CHECK(opened == 0);
}

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

static int make_tls(const struct credentials *credentials, const struct rng *rng,
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

static void fill_services(struct manager *manager)
{
    uint64_t mark = 0;
    manager->ca_desk =
        (struct ca_desk){.store = manager->store, .node_id = manager->credentials.identity.node_id};
    manager->dispatch_desk = (struct dispatch_desk){
        .node_id = manager->credentials.identity.node_id, .addr = manager->advertise};
    rng_fill(manager->config.rng, &mark, sizeof mark);
    manager->control_desk = (struct control_desk){
        .store = manager->store,
        .mark = mark,
        .rng = manager->config.rng,
        .node_id = manager->credentials.identity.node_id,
        .member = control_member,
        .members_count = control_members_count,
        .check_removal = control_check_removal,
        .rotate_tokens = bootstrap_rotate_tokens,
        .rotate_unlock_key = bootstrap_rotate_unlock_key,
        .rotate_root = rotate_begin,
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
    manager->local_server = rpc_server_new(&(struct rpc_server_config){
        .loops = manager->config.serving,
        .loops_count = 1,
        .services = services,
        .services_count = COUNT_OF(services),
        .authority = &manager->authority,
    });
    return rpc_server_listen(manager->local_server, &manager->config.local,
                             manager->config.local_fd, NULL, err);
}

// ---- becoming a member --------------------------------------------------------------------------

static void become_ready(struct manager *manager, const struct err *err)
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
        become_ready(manager, &err);
        return;
    }
    if (read_cluster(manager) || manager->config.birth != MANAGER_FOUND)
        become_ready(manager, NULL);
}

static void on_joined(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers);
static void close_join_client(struct manager *manager)
{
    if (manager->join_client)
        rpc_client_close(manager->join_client, NULL, NULL);
    manager->join_client = NULL;
}

static void on_join_timer(struct loop_timer *timer)
{
    struct manager *manager = manager_of(CONTAINER_OF(timer, struct manager, join_timer));
    close_join_client(manager);
    const char *remote =
        manager->config.join_addrs[manager->join_tries % manager->config.join_addrs_count];
    struct addr addr;
    struct err err = ERR_INIT;
    if (addr_parse(remote, 0, &addr, &err)) {
        become_ready(manager, &err);
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
    become_ready(manager, &err);
}

// A raft id in 1..2^63 - 1 (swarmkit 18.2).
static uint64_t first_raft_id(struct manager *manager)
{
    uint64_t id = random_u64(manager) >> 1;
    return id ? id : 1;
}

static int be_born(struct manager *manager, struct err *err)
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

// ---- life ---------------------------------------------------------------------------------------

#define TIDY_MS 1000

static void on_tidy(struct loop_timer *timer)
{
    struct manager *manager = manager_of(CONTAINER_OF(timer, struct manager, tidy));
    store_tidy(manager->store);
    loop_timer_start(timer, TIDY_MS);
}

static void free_manager(struct manager *manager)
{
    if (manager->cluster_watch)
        watch_close(manager->cluster_watch);
    loop_later_cancel(&manager->cluster_turn);
    loop_later_cancel(&manager->tell_stopped);
    loop_timer_stop(&manager->join_timer);
    loop_timer_stop(&manager->tidy);
    if (manager->replica)
        replica_free(manager->replica);
    watchers_free(manager->watchers);
    store_free(manager->store);
    removed_free(manager->removed);
    tls_config_unref(manager->server_tls);
    tls_config_unref(manager->client_tls);
    credentials_fini(&manager->credentials);
    free(manager->advertise);
    explicit_bzero(&manager->config.key, sizeof manager->config.key);
    explicit_bzero(manager->lock_key, sizeof manager->lock_key);
    MAGIC_CLEAR(manager);
    free(manager);
}

static int open_raft(struct manager *manager, struct err *err)
{
    struct replica_owner owner = {
        .role = on_role, .members = on_members, .stopped = on_raft_stopped, .ctx = manager};
    struct peers_config peers = {.loop = manager->loop, .tls = manager->client_tls};
    manager->peers = peers_new(&peers);
    struct raft_node_config config = {
        .loop = manager->loop,
        .dir = manager->config.dir,
        .key = manager->config.key,
        .previous_key = manager->config.previous_key,
        .transport = peers_transport(manager->peers),
        .ops = replica_ops(manager->replica, &owner),
        .seed = random_u64(manager),
        .patient = manager->config.patient,
        .quick = manager->config.quick,
    };
    int result = raft_node_open(&config, &manager->node, err);
    if (result)
        return result;
    replica_set_node(manager->replica, manager->node);
    struct transport_reports reports = raft_node_reports(manager->node);
    peers_set_reports(manager->peers, &reports);
    manager->raft_rpc =
        raft_rpc_new(manager->loop, manager->node, manager->peers, random_u64(manager));
    return 0;
}

static struct manager *new_manager(const struct manager_config *config)
{
    struct manager *manager = MEM_NEW(struct manager);
    MAGIC_SET(manager, MANAGER_MAGIC);
    manager->config = *config;
    manager->loop = config->loop;
    credentials_copy(&manager->credentials, config->credentials);
    manager->advertise = str_dup(config->advertise);
    manager->store = store_new();
    manager->watchers = watchers_new(manager->loop, manager->store);
    manager->removed = removed_new();
    manager->replica = replica_new(manager->store, random_u64(manager));
    manager->authority = (struct authority){
        .cluster_id = manager->credentials.identity.cluster_id,
        .removed = removed_has,
        .ctx = manager->removed,
    };
    loop_later_init(&manager->cluster_turn, manager->loop, on_cluster_turn);
    loop_later_init(&manager->tell_stopped, manager->loop, on_tell_stopped);
    loop_timer_init(&manager->join_timer, manager->loop, on_join_timer);
    loop_timer_init(&manager->tidy, manager->loop, on_tidy);
    watch_cluster(manager);
    return manager;
}

int manager_start(const struct manager_config *config, struct manager **out, struct err *err)
{
    struct manager *manager = new_manager(config);
    *out = manager; // an error further on leaves a manager to be stopped
    int result = make_tls(&manager->credentials, config->rng, &manager->server_tls,
                          &manager->client_tls, err);
    if (!result)
        result = open_raft(manager, err);
    if (!result) {
        fill_services(manager);
        manager->forward = new_forward(manager, false);
        manager->local_forward = new_forward(manager, true);
        result = listen_cluster(manager, err);
    }
    if (!result)
        result = listen_local(manager, err);
    if (!result)
        result = be_born(manager, err);
    if (!result)
        loop_timer_start(&manager->tidy, TIDY_MS);
    return result;
}

// Closing goes from the outside in: servers, then Raft, then its transport, then memory.
static void close_next(struct manager *manager);

static void on_part_closed(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    manager->closing--;
    close_next(manager);
}

static void on_node_closed(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    replica_set_node(manager->replica, NULL);
    manager->node = NULL;
    on_part_closed(ctx);
}

static void on_peers_closed(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    manager->peers = NULL;
    on_part_closed(ctx);
}

static void close_servers(struct manager *manager)
{
    struct rpc_server *servers[] = {manager->server, manager->local_server};
    manager->server = manager->local_server = NULL;
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        if (!servers[i])
            continue;
        manager->closing++;
        rpc_server_close(servers[i], STOP_GRACE_MS, manager->loop, on_part_closed, manager);
    }
}

static void close_next(struct manager *manager)
{
    if (manager->closing)
        return;
    if (manager->server || manager->local_server) {
        close_servers(manager);
    } else if (manager->node) {
        // What still commits while the node closes is published and kept, as ever.
        stop_leading(manager);
        manager->closing++;
        raft_node_close(manager->node, on_node_closed, manager);
    } else if (manager->peers) {
        close_join_client(manager);
        if (manager->forward)
            forward_free(manager->forward);
        if (manager->local_forward)
            forward_free(manager->local_forward);
        if (manager->raft_rpc)
            raft_rpc_free(manager->raft_rpc);
        manager->forward = manager->local_forward = NULL;
        manager->raft_rpc = NULL;
        manager->closing++;
        peers_close(manager->peers, on_peers_closed, manager);
    } else {
        void (*closed)(void *ctx) = manager->closed;
        void *ctx = manager->closed_ctx;
        free_manager(manager);
        closed(ctx);
    }
}

void manager_stop(struct manager *manager, void (*closed)(void *ctx), void *ctx)
{
    manager_of(manager);
    CHECK(!manager->stopping);
    manager->stopping = true;
    manager->closed = closed;
    manager->closed_ctx = ctx;
    // Streams to agents would keep the servers from closing: the dispatcher ends them.
    stop_leading(manager);
    watchers_stop(manager->watchers);
    close_next(manager);
}

int manager_set_credentials(struct manager *manager, const struct credentials *credentials,
                            struct err *err)
{
    struct tls_config *server, *client;
    int result = make_tls(credentials, manager->config.rng, &server, &client, err);
    if (result)
        return result;
    rpc_server_set_tls(manager->server, server);
    peers_set_tls(manager->peers, client);
    tls_config_unref(manager->server_tls);
    tls_config_unref(manager->client_tls);
    manager->server_tls = server;
    manager->client_tls = client;
    return 0;
}

void manager_status(const struct manager *manager, struct manager_status *out)
{
    *out = (struct manager_status){.listen = manager->bound};
    if (!manager->node)
        return;
    out->role = raft_node_role(manager->node);
    out->raft_id = raft_node_id(manager->node);
    out->members = raft_node_members(manager->node)->count;
    out->commit = raft_node_commit_index(manager->node);
    out->applied = raft_node_applied(manager->node);
}
