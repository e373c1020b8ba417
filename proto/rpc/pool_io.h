// Clients of all known managers: one connection each, chosen by weight, and what becomes of the
// connections moves the weights (swarmkit.md section 8.6). On one loop.
#ifndef PROTO_RPC_POOL_IO_H
#define PROTO_RPC_POOL_IO_H

#include "proto/rpc/client_io.h"
#include "proto/rpc/remotes.h"

struct rpc_pool;

struct rpc_pool_config {
    struct loop *loop;
    struct tls_config *tls;  // NULL: plain; the pool takes its own reference
    const char *server_name; // copied
    int64_t keepalive_ms;    // as in rpc_client_config
    int64_t backoff_ms_max;  // as in rpc_client_config
};

struct rpc_pool *rpc_pool_new(const struct rpc_pool_config *config);

// Ends all calls and frees the pool; `closed` (may be NULL) runs then.
void rpc_pool_close(struct rpc_pool *pool, void (*closed)(void *ctx), void *ctx);

// The managers. Borrowed: the owner observes, updates and saves them through remotes.h as it likes;
// after a change it calls rpc_pool_changed, which retires the clients of those that are gone.
struct remotes *rpc_pool_remotes(struct rpc_pool *pool);
void rpc_pool_changed(struct rpc_pool *pool);

// A client of a manager chosen at random by weight, none of `except` (node ids). NULL when none is
// known. It belongs to the pool and stays usable until its manager leaves the list: ask again for
// each session or call. `chosen` (may be NULL) tells which it is, valid until the next change.
struct rpc_client *rpc_pool_pick(struct rpc_pool *pool, const char *const *except,
                                 size_t except_count, const struct remote **chosen);

// What came of a call or session with that client: good experience or bad. A connection that fails
// counts as bad by itself.
void rpc_pool_observe(struct rpc_pool *pool, const struct rpc_client *client, bool good);

#endif
