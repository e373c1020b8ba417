// A member of a Raft group that keeps keys and values: the library as managers use it, with a store
// that costs next to nothing.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/health_rpc.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/raw.h"
#include "raft/disk/logdb_io.h"
#include "raft/net/peers_io.h"
#include "raft/node_io.h"
#include "raft/raft_rpc.h"
#include "tests/bench/raft/raft_bench.h"

#define KEY_BYTES_MAX 256
#define JOIN_MS       20000
#define JOIN_AGAIN_MS 200

struct kv_member {
    struct loop loop;
    struct loop_thread serving;
    struct credentials credentials;
    const char *addr, *join;
    struct map values; // key -> struct raft_blob * whose bytes are the PutRequest
    struct raft_node *node;
    struct peers *peers;
    struct raft_rpc *rpc;
    struct rpc_server *server;
    struct tls_config *client_tls;
    struct rpc_client *joining;
    struct loop_timer again;
    struct health_desk health;
    struct authority authority;
};

// ---- the state ----------------------------------------------------------------------------------

static int keep(struct kv_member *member, struct raft_blob *body, struct err *err)
{
    struct raw key;
    if (!raw_find(body->bytes, body->len, 1, &key) || key.size == 0 || key.size > KEY_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a put without a key");
    raft_blob_unref(map_put(&member->values, key.bytes, key.size, raft_blob_ref(body)));
    return 0;
}

static int keep_bytes(struct kv_member *member, const void *bytes, size_t size, struct err *err)
{
    struct raft_blob *body = raft_blob_new(bytes, size);
    int result = keep(member, body, err);
    raft_blob_unref(body);
    return result;
}

// What was committed is also a row on the disk, as with managers.
static void put_row(struct kv_member *member, const void *bytes, size_t size)
{
    struct raw key;
    if (raw_find(bytes, size, 1, &key))
        raft_node_put(member->node, key.bytes, key.size, bytes, size);
}

static int on_apply(void *ctx, uint64_t index, const void *data, size_t size, struct err *err)
{
    (void)index;
    int result = keep_bytes(ctx, data, size, err);
    if (!result)
        put_row(ctx, data, size);
    return result;
}

static int on_row(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
                  struct err *err)
{
    (void)key;
    (void)key_size;
    return keep_bytes(ctx, value, value_size, err);
}

static int on_rows_done(void *ctx, uint64_t applied, struct err *err)
{
    (void)ctx;
    (void)applied;
    (void)err;
    return 0;
}

// A StoreSnapshot whose configs' ids are puts.
static int on_save(void *ctx, struct buf *out, struct err *err)
{
    struct kv_member *member = ctx;
    for (size_t i = 0; i < member->values.entries_used; i++) {
        const struct map_entry *entry = &member->values.entries[i];
        const struct raft_blob *body = entry->value;
        if (!entry->key)
            continue;
        struct buf spec, config;
        buf_init(&spec, 1 << 20);
        buf_init(&config, 1 << 20);
        raw_put_bytes(&spec, 2, body->bytes, body->len);
        raw_put_bytes(&config, 1, entry->key, entry->key_size);
        raw_put_message(&config, 3, spec.data, spec.len);
        raw_put_message(out, 9, config.data, config.len);
        buf_fini(&spec);
        buf_fini(&config);
    }
    return buf_ok(out) ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "the state is too large");
}

static int on_load(void *ctx, uint64_t index, const void *store, size_t size, struct err *err)
{
    (void)index;
    struct kv_member *member = ctx;
    struct cursor all = cursor_of(store, size);
    struct raw config, body;
    int result = 0;
    while (!result && raw_next(&all, &config)) {
        struct cursor spec = raw_inside(config.bytes, config.size, 3);
        while (!result && raw_next(&spec, &body)) {
            if (body.number != 2)
                continue;
            result = keep_bytes(member, body.bytes, body.size, err);
            put_row(member, body.bytes, body.size);
        }
    }
    return result;
}

static void on_role(void *ctx, const struct raft_node_role *role)
{
    (void)ctx;
    printf("%s leader=%" PRIx64 " term=%" PRIu64 "\n", role->acting ? "leading" : "following",
           role->leader, role->term);
    fflush(stdout);
}

static void on_members(void *ctx, const struct members *members)
{
    (void)ctx;
    printf("members %zu\n", members->count);
    fflush(stdout);
}

static void on_stopped(void *ctx, const struct err *why)
{
    (void)ctx;
    bench_die(why);
}

// ---- writes -------------------------------------------------------------------------------------

struct put {
    struct raft_proposal proposal;
    struct kv_member *member;
    struct rpc_call *call;
    struct raft_blob *body;
};

static void put_free(struct put *put)
{
    raft_blob_unref(put->body);
    free(put);
}

static void on_committed(struct raft_proposal *proposal, const struct err *why)
{
    struct put *put = CONTAINER_OF(proposal, struct put, proposal);
    struct err err = ERR_INIT;
    if (why)
        err = *why;
    else if (!keep(put->member, put->body, &err))
        put_row(put->member, put->body->bytes, put->body->len);
    if (err.code != ERR_OK)
        rpc_call_fail(put->call, &err);
    else if (!rpc_call_send_bytes(put->call, "", 0, NULL))
        rpc_call_finish(put->call, NULL);
    else
        rpc_call_failf(put->call, ERR_RESOURCE_EXHAUSTED, "the answer cannot be sent");
    put_free(put);
}

static void on_put(struct rpc_call *call)
{
    struct kv_member *member = rpc_call_ctx(call);
    size_t size;
    const uint8_t *bytes = rpc_call_bytes(call, &size);
    struct err err = ERR_INIT;
    struct put *put = MEM_NEW(struct put);
    *put = (struct put){.proposal.done = on_committed,
                        .member = member,
                        .call = call,
                        .body = raft_blob_new(bytes, size)};
    if (raft_node_propose(member->node, &put->proposal, put->body, &err)) {
        rpc_call_fail(call, &err);
        put_free(put);
    }
}

static const struct rpc_method put_methods[] = {{.path = BENCH_PUT,
                                                 .kind = RPC_UNARY,
                                                 .roles = ROLE_MANAGER | ROLE_WORKER,
                                                 .raw = true,
                                                 .handle = on_put}};

// ---- becoming a member --------------------------------------------------------------------------

static void start(struct kv_member *member)
{
    struct err err = ERR_INIT;
    if (raft_node_start(member->node, &err))
        bench_die(&err);
    printf("started\n");
    fflush(stdout);
}

static void on_joined(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)trailers;
    struct kv_member *member = ctx;
    if (status->err.code != ERR_OK) {
        loop_timer_start(&member->again, JOIN_AGAIN_MS);
        return;
    }
    const Swarm__JoinResponse *response = (const Swarm__JoinResponse *)rpc_request_message(request);
    Swarm__ClusterSnapshot list = SWARM__CLUSTER_SNAPSHOT__INIT;
    list.n_members = response->n_members;
    list.members = response->members;
    struct err err = ERR_INIT;
    if (raft_node_join(member->node, response->raft_id, &list, &err))
        bench_die(&err);
    start(member);
}

static void join(struct loop_timer *timer)
{
    struct kv_member *member = CONTAINER_OF(timer, struct kv_member, again);
    Swarm__JoinRequest request = SWARM__JOIN_REQUEST__INIT;
    request.addr = (char *)member->addr;
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.RaftMembership/Join",
                                    .kind = RPC_UNARY,
                                    .response = &swarm__join_response__descriptor,
                                    .timeout_ms = JOIN_MS,
                                    .on_done = on_joined,
                                    .ctx = member};
    rpc_client_call(member->joining, &spec, &request.base);
}

static void be_born(struct kv_member *member)
{
    struct err err = ERR_INIT;
    if (raft_node_is_member(member->node)) {
        start(member);
    } else if (member->join) {
        struct rpc_client_config config = {
            .loop = &member->loop, .tls = member->client_tls, .server_name = "swarm-manager"};
        if (addr_parse(member->join, 0, &config.addr, &err))
            bench_die(&err);
        member->joining = rpc_client_new(&config);
        join(&member->again);
    } else {
        uint64_t id;
        entropy_bytes(&id, sizeof id);
        if (raft_node_found(member->node, (id >> 1) | 1, member->credentials.identity.node_id,
                            member->addr, &err))
            bench_die(&err);
        start(member);
    }
}

// ---- life ---------------------------------------------------------------------------------------

static void open_node(struct kv_member *member, const char *dir)
{
    struct err err = ERR_INIT;
    member->peers =
        peers_new(&(struct peers_config){.loop = &member->loop, .tls = member->client_tls});
    struct raft_node_config config = {
        .loop = &member->loop,
        .dir = dir,
        .key = {{1}},
        .transport = peers_transport(member->peers),
        .ops = {.apply = on_apply,
                .role = on_role,
                .members = on_members,
                .save = on_save,
                .load = on_load,
                .row = on_row,
                .rows_done = on_rows_done,
                .stopped = on_stopped,
                .ctx = member},
    };
    entropy_bytes(&config.seed, sizeof config.seed);
    if (raft_node_open(&config, &member->node, &err))
        bench_die(&err);
    struct transport_reports reports = raft_node_reports(member->node);
    peers_set_reports(member->peers, &reports);
    member->rpc = raft_rpc_new(&member->loop, member->node, member->peers, config.seed);
}

static void serve(struct kv_member *member)
{
    struct tls_options options = {.server = true,
                                  .verify = TLS_VERIFY_REQUIRED,
                                  .alpn = TLS_ALPN_H2,
                                  .rng = &rng_kernel,
                                  .tickets = true};
    struct err err = ERR_INIT;
    struct addr addr;
    struct tls_config *tls = tls_config_of(&member->credentials, &options, &err);
    struct rpc_service puts = {.methods = put_methods,
                               .methods_count = COUNT_OF(put_methods),
                               .ctx = member,
                               .home = &member->loop};
    struct rpc_service services[] = {puts, raft_rpc_messages(member->rpc),
                                     raft_rpc_membership(member->rpc),
                                     health_service(&member->health, &member->loop)};
    struct loop *loops[] = {&member->serving.loop};
    member->authority = (struct authority){.cluster_id = member->credentials.identity.cluster_id};
    member->server =
        rpc_server_new(&(struct rpc_server_config){.loops = loops,
                                                   .loops_count = COUNT_OF(loops),
                                                   .services = services,
                                                   .services_count = COUNT_OF(services),
                                                   .authority = &member->authority,
                                                   .tls = tls});
    if (!tls || addr_parse(member->addr, 0, &addr, &err) ||
        rpc_server_listen(member->server, &addr, -1, NULL, &err))
        bench_die(&err);
    tls_config_unref(tls);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    uv_close((uv_handle_t *)signal, NULL);
    loop_stop(signal->data);
}

int bench_member(const char *dir, const char *certs, const char *name, const char *addr,
                 const char *join_at)
{
    static struct kv_member member;
    struct err err = ERR_INIT;
    member.addr = addr;
    member.join = join_at;
    map_init(&member.values);
    loop_init(&member.loop);
    loop_thread_start(&member.serving, "serving");
    loop_timer_init(&member.again, &member.loop, join);
    bench_credentials(certs, name, &member.credentials);
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel, .tickets = true};
    member.client_tls = tls_config_of(&member.credentials, &options, &err);
    if (!member.client_tls)
        bench_die(&err);
    open_node(&member, dir);
    serve(&member);
    be_born(&member);
    uv_signal_t terminate;
    uv_signal_init(&member.loop.uv, &terminate);
    terminate.data = &member.loop;
    uv_signal_start(&terminate, on_signal, SIGTERM);
    loop_run(&member.loop);
    struct logdb_figures figures;
    raft_node_disk_figures(member.node, &figures);
    printf("commits %" PRIu64 " rows %" PRIu64 " bytes %" PRIu64 "\n", figures.commits,
           figures.rows_written, figures.bytes_written);
    fflush(stdout);
    _Exit(0); // a bench's member has nothing to hand over
}
