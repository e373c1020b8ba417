#include "proto/rpc/pool_io.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/list.h"
#include "proto/base/str.h"

#define POOL_MAGIC 0x706f6f6cu

// A manager's client.
struct member {
    struct list link;
    struct rpc_pool *pool;
    struct rpc_client *client;
    char *node_id;
    char *addr;
};

struct rpc_pool {
    unsigned magic;
    struct rpc_pool_config config;
    char *server_name;
    struct remotes remotes;
    struct list members;
    unsigned closing_count; // clients that are not gone yet
    struct rand rand;
    bool closing;
    struct loop_later later; // the last step of closing
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void pool_free(struct loop_later *later)
{
    struct rpc_pool *pool = CONTAINER_OF(later, struct rpc_pool, later);
    void (*closed)(void *ctx) = pool->closed;
    void *ctx = pool->closed_ctx;
    CHECK(list_empty(&pool->members));
    remotes_fini(&pool->remotes);
    tls_config_unref(pool->config.tls);
    free(pool->server_name);
    MAGIC_CLEAR(pool);
    free(pool);
    if (closed)
        closed(ctx);
}

static void on_client_closed(void *ctx)
{
    struct rpc_pool *pool = ctx;
    MAGIC_CHECK(pool, POOL_MAGIC);
    CHECK(pool->closing_count > 0);
    if (--pool->closing_count == 0 && pool->closing)
        loop_later_ask(&pool->later);
}

static void retire(struct member *member)
{
    struct rpc_pool *pool = member->pool;
    list_remove(&member->link);
    pool->closing_count++;
    rpc_client_close(member->client, on_client_closed, pool);
    free(member->node_id);
    free(member->addr);
    free(member);
}

// Connections that come up say little; those that do not are bad experience.
static void on_state(struct rpc_client *client, void *ctx, const struct err *err)
{
    struct member *member = ctx;
    if (err)
        rpc_pool_observe(member->pool, client, false);
}

struct rpc_pool *rpc_pool_new(const struct rpc_pool_config *config)
{
    struct rpc_pool *pool = MEM_NEW(struct rpc_pool);
    MAGIC_SET(pool, POOL_MAGIC);
    pool->config = *config;
    pool->config.tls = config->tls ? tls_config_ref(config->tls) : NULL;
    pool->server_name = str_dup(config->server_name);
    pool->config.server_name = pool->server_name;
    remotes_init(&pool->remotes);
    list_init(&pool->members);
    loop_later_init(&pool->later, config->loop, pool_free);
    entropy_seed(&pool->rand);
    return pool;
}

void rpc_pool_close(struct rpc_pool *pool, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    CHECK(!pool->closing);
    pool->closing = true;
    pool->closed = closed;
    pool->closed_ctx = ctx;
    LIST_EACH_SAFE (link, &pool->members) {
        retire(LIST_ENTRY(link, struct member, link));
    }
    if (pool->closing_count == 0)
        loop_later_ask(&pool->later);
}

struct remotes *rpc_pool_remotes(struct rpc_pool *pool)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    return &pool->remotes;
}

static bool is_known(const struct rpc_pool *pool, const struct member *member)
{
    for (size_t i = 0; i < pool->remotes.count; i++) {
        const struct remote *remote = &pool->remotes.list[i];
        if (str_equal(remote->node_id, member->node_id) && str_equal(remote->addr, member->addr))
            return true;
    }
    return false;
}

void rpc_pool_changed(struct rpc_pool *pool)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    LIST_EACH_SAFE (link, &pool->members) {
        struct member *member = LIST_ENTRY(link, struct member, link);
        if (!is_known(pool, member))
            retire(member);
    }
}

static struct member *find_member(const struct rpc_pool *pool, const struct remote *remote)
{
    LIST_EACH (link, &pool->members) {
        struct member *member = LIST_ENTRY(link, struct member, link);
        if (str_equal(member->node_id, remote->node_id) && str_equal(member->addr, remote->addr))
            return member;
    }
    return NULL;
}

static struct member *make_member(struct rpc_pool *pool, const struct remote *remote,
                                  const struct addr *addr)
{
    struct member *member = MEM_NEW(struct member);
    member->pool = pool;
    member->node_id = str_dup(remote->node_id);
    member->addr = str_dup(remote->addr);
    struct rpc_client_config config = {
        .loop = pool->config.loop,
        .addr = *addr,
        .tls = pool->config.tls,
        .server_name = pool->server_name,
        .keepalive_ms = pool->config.keepalive_ms,
        .backoff_ms_max = pool->config.backoff_ms_max,
        .on_state = on_state,
        .ctx = member,
    };
    member->client = rpc_client_new(&config);
    list_push_back(&pool->members, &member->link);
    return member;
}

struct rpc_client *rpc_pool_pick(struct rpc_pool *pool, const char *const *except,
                                 size_t except_count, const struct remote **chosen)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    CHECK(!pool->closing);
    for (;;) {
        const struct remote *remote =
            remotes_pick(&pool->remotes, &pool->rand, except, except_count);
        if (chosen)
            *chosen = remote;
        if (!remote)
            return NULL;
        struct member *member = find_member(pool, remote);
        if (member)
            return member->client;
        struct addr addr;
        if (addr_parse(remote->addr, 0, &addr, NULL) == 0)
            return make_member(pool, remote, &addr)->client;
        // No address at all: it can never be reached, and must not be chosen for ever.
        struct remote gone = *remote;
        remotes_remove(&pool->remotes, gone.node_id, gone.addr);
    }
}

void rpc_pool_observe(struct rpc_pool *pool, const struct rpc_client *client, bool good)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    LIST_EACH (link, &pool->members) {
        struct member *member = LIST_ENTRY(link, struct member, link);
        if (member->client == client)
            remotes_observe_known(&pool->remotes, member->node_id, member->addr,
                                  good ? REMOTES_OBSERVED_GOOD : REMOTES_OBSERVED_BAD);
    }
}
