// What the manager's files share: its state and the parts they are. Not for other rooms.
#ifndef MANAGER_INNER_H
#define MANAGER_INNER_H

#include "manager/ca/ca_rpc.h"
#include "manager/control/control.h"
#include "manager/control/watch_rpc.h"
#include "manager/dispatch/dispatch_rpc.h"
#include "manager/forward_rpc.h"
#include "manager/health_rpc.h"
#include "manager/leading.h"
#include "manager/logs/logs_rpc.h"
#include "manager/manager.h"
#include "manager/removed_io.h"
#include "manager/replica.h"
#include "manager/roles.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/metrics.h"
#include "raft/net/peers_io.h"
#include "raft/raft_rpc.h"

#define MANAGER_MAGIC 0x6d616e61u

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

    struct histogram delay; // of tasks from their creation until they run
};

static inline struct manager *manager_of(void *ctx)
{
    struct manager *manager = ctx;
    MAGIC_CHECK(manager, MANAGER_MAGIC);
    return manager;
}

static inline uint64_t manager_random(struct manager *manager)
{
    uint64_t value;
    rng_fill(manager->config.rng, &value, sizeof value);
    return value;
}

// ---- manager.c ----------------------------------------------------------------------------------

// Lets what the cluster object says take effect. False while there is no such object.
bool manager_read_cluster(struct manager *manager);

// ---- serving.c: what is served on 2377 and on the local socket ----------------------------------

int serving_make_tls(const struct credentials *credentials, const struct rng *rng,
                     struct tls_config **server, struct tls_config **client, struct err *err);

// Fills the services' desks, which leading sets further, and listens on both sockets.
int serving_open(struct manager *manager, struct err *err);

// ---- birth.c: how it becomes a member -----------------------------------------------------------

void birth_init(struct manager *manager);

// Founds, joins or goes on, as the configuration says; birth_done follows.
int birth_begin(struct manager *manager, struct err *err);

// It takes part, or cannot: the owner is told, once.
void birth_done(struct manager *manager, const struct err *err);

// Ends a join under way. May be called at any time.
void birth_close(struct manager *manager);

#endif
