#include "manager/manager.h"

#include <stdlib.h>
#include <string.h>

#include "manager/inner.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

// Running calls may end for this long when the manager stops.
#define STOP_GRACE_MS 1000

#define CLUSTER_ARENA_BYTES ((size_t)32 << 20)

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
        .seed = manager_random(manager),
        .node_id = manager->credentials.identity.node_id,
        .way = {.credentials = &manager->credentials,
                .look_up = manager->config.look_up,
                .forget = manager->config.forget_lookup,
                .ctx = manager->config.ctx},
        .delay = &manager->delay,
        .first_cluster = manager->config.first_cluster,
        .availability = manager->config.availability,
        .network_keys_ms = manager->config.network_keys_ms,
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

bool manager_read_cluster(struct manager *manager)
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
    if (manager_read_cluster(manager) && !manager->is_ready &&
        manager->config.birth == MANAGER_FOUND)
        birth_done(manager, NULL);
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

static void on_rotated(void *ctx)
{
    struct manager *manager = manager_of(ctx);
    log_info("raft state is sealed with the new data key", "node=%s",
             manager->credentials.identity.node_id);
    if (manager->config.rotated)
        manager->config.rotated(manager->config.ctx);
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
        .rotated = on_rotated,
        .rotated_ctx = manager,
        .transport = peers_transport(manager->peers),
        .ops = replica_ops(manager->replica, &owner),
        .seed = manager_random(manager),
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
        raft_rpc_new(manager->loop, manager->node, manager->peers, manager_random(manager));
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
    manager->replica = replica_new(manager->store, manager_random(manager));
    manager->authority = (struct authority){
        .cluster_id = manager->credentials.identity.cluster_id,
        .removed = removed_has,
        .ctx = manager->removed,
    };
    loop_later_init(&manager->cluster_turn, manager->loop, on_cluster_turn);
    loop_later_init(&manager->tell_stopped, manager->loop, on_tell_stopped);
    birth_init(manager);
    loop_timer_init(&manager->tidy, manager->loop, on_tidy);
    watch_cluster(manager);
    return manager;
}

int manager_start(const struct manager_config *config, struct manager **out, struct err *err)
{
    struct manager *manager = new_manager(config);
    *out = manager; // an error further on leaves a manager to be stopped
    int result = serving_make_tls(&manager->credentials, config->rng, &manager->server_tls,
                                  &manager->client_tls, err);
    if (!result)
        result = open_raft(manager, err);
    if (!result)
        result = serving_open(manager, err);
    if (!result)
        result = birth_begin(manager, err);
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
        birth_close(manager);
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
    // Streams to agents would keep the servers from closing: the dispatcher ends them. Heartbeats
    // of a leader would, too.
    stop_leading(manager);
    if (manager->raft_rpc)
        raft_rpc_stop(manager->raft_rpc);
    watchers_stop(manager->watchers);
    close_next(manager);
}

// The texts only: the names stay, and others look at them where they are.
static void keep_texts(struct credentials *credentials, const struct credentials *fresh)
{
    struct credentials old = {0};
    credentials_copy(&old, fresh);
    char *chain = credentials->chain_pem, *key = credentials->key_pem;
    char *roots = credentials->roots_pem;
    credentials->chain_pem = old.chain_pem;
    credentials->key_pem = old.key_pem;
    credentials->roots_pem = old.roots_pem;
    old.chain_pem = chain;
    old.key_pem = key;
    old.roots_pem = roots;
    credentials_fini(&old);
}

int manager_set_credentials(struct manager *manager, const struct credentials *credentials,
                            struct err *err)
{
    struct tls_config *server, *client;
    int result = serving_make_tls(credentials, manager->config.rng, &server, &client, err);
    if (result)
        return result;
    rpc_server_set_tls(manager->server, server);
    peers_set_tls(manager->peers, client);
    tls_config_unref(manager->server_tls);
    tls_config_unref(manager->client_tls);
    manager->server_tls = server;
    manager->client_tls = client;
    keep_texts(&manager->credentials, credentials);
    return 0;
}

int manager_rotate_key(struct manager *manager, const struct seal_key *key, struct err *err)
{
    MAGIC_CHECK(manager, MANAGER_MAGIC);
    if (!manager->node)
        return err_set(err, ERR_FAILED_PRECONDITION, "the manager is stopping");
    return raft_node_rotate_key(manager->node, key, on_rotated, manager, err);
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
