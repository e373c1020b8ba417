#include "tests/unit/manager/sites.h"

#include <stdio.h>
#include <string.h>

#include "manager/found.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/methods.h"
#include "proto/wire/names.h"
#include "raft/net/peers_io.h"
#include "tests/support/support.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)

struct loop sites_loop;
struct arena sites_arena;
Swarm__Cluster *sites_cluster;
struct site sites[SITES];
int64_t site_call_ms;
int64_t sites_election_ms;
int64_t sites_network_keys_ms;

static struct loop_thread serving;
static const char *folder;

// ---- managers -----------------------------------------------------------------------------------

static void on_ready(void *ctx, const struct err *err)
{
    struct site *site = ctx;
    site->ready = !err;
    site->failed = err != NULL;
    if (err)
        fprintf(stderr, "site %d: %s\n", site->number, err->message);
}

static void on_changed(void *ctx)
{
    (void)ctx;
}

static void on_stopped(void *ctx, const struct err *why)
{
    struct site *site = ctx;
    site->stopped = true;
    site->why = why->code;
    fprintf(stderr, "stopped: %s\n", why->message);
}

static void on_closed(void *ctx)
{
    struct site *site = ctx;
    site->closed = true;
    site->manager = NULL;
}

static bool is_up(void *ctx)
{
    struct site *site = ctx;
    return site->ready || site->failed;
}

static bool is_closed(void *ctx)
{
    return ((struct site *)ctx)->closed;
}

bool site_is_leading(void *ctx)
{
    struct manager_status status;
    manager_status(((struct site *)ctx)->manager, &status);
    return status.role.acting;
}

bool sites_never(void *ctx)
{
    (void)ctx;
    return false;
}

void site_start(int number, enum manager_birth birth, const char *join)
{
    struct site *site = &sites[number];
    site->number = number;
    site->ready = site->failed = site->stopped = site->closed = false;
    char dir[4096], socket[4096];
    snprintf(dir, sizeof dir, "%s/raft%d", folder, number);
    snprintf(socket, sizeof socket, "unix://%s/%d.sock", folder, number);
    struct addr local;
    ck_assert_int_eq(addr_parse(socket, 0, &local, NULL), 0);
    const char *joins[] = {join};
    struct loop *loops[] = {&serving.loop};
    struct manager_config config = {
        .loop = &sites_loop,
        .serving = loops,
        .serving_count = 1,
        .dir = dir,
        .key = {{5}},
        .rng = &rng_kernel,
        .credentials = &site->credentials,
        .advertise = site->advertise,
        .listen_fd = -1,
        .local = local,
        .local_fd = -1,
        .birth = birth,
        .first_cluster = sites_cluster,
        .join_addrs = joins,
        .join_addrs_count = join ? 1 : 0,
        .patient = {.heartbeat_ms = 100,
                    .election_ms = sites_election_ms ? sites_election_ms : 1000},
        .quick = {.heartbeat_ms = sites_election_ms ? 100 : 0, .election_ms = sites_election_ms},
        .network_keys_ms = sites_network_keys_ms,
        .ready = on_ready,
        .changed = on_changed,
        .stopped = on_stopped,
        .ctx = site,
    };
    ck_assert_int_eq(addr_parse(site->advertise, 0, &config.listen, NULL), 0);
    struct err err = ERR_INIT;
    ck_assert_msg(manager_start(&config, &site->manager, &err) == 0, "%s", err.message);
    ck_assert(loop_run_until(&sites_loop, is_up, site, SITES_WAIT_MS));
    ck_assert(site->ready);
    site->client = rpc_client_new(&(struct rpc_client_config){.loop = &sites_loop, .addr = local});
}

void site_stop(int number)
{
    struct site *site = &sites[number];
    if (site->client)
        rpc_client_close(site->client, NULL, NULL);
    site->client = NULL;
    if (!site->manager)
        return;
    manager_stop(site->manager, on_closed, site);
    ck_assert(loop_run_until(&sites_loop, is_closed, site, SITES_WAIT_MS));
}

// ---- credentials --------------------------------------------------------------------------------

static char *text_of(ProtobufCBinaryData pem)
{
    return arena_strndup(&sites_arena, (const char *)pem.data, pem.len);
}

static void make_key(struct key *key, struct buf *csr, struct buf *key_pem)
{
    buf_init(csr, PEM_BYTES_MAX);
    buf_init(key_pem, PEM_BYTES_MAX);
    key_make(key, &rng_kernel);
    csr_make(key, &rng_kernel, csr);
    key_write_pem(key, key_pem);
}

static void take(const char *chain, struct buf *key_pem, struct credentials *out)
{
    struct err err = ERR_INIT;
    ck_assert_msg(credentials_init(out, chain, buf_cstr(key_pem),
                                   text_of(sites_cluster->root_ca->ca_cert), &err) == 0,
                  "%s", err.message);
}

void sites_certify(const char *node_id, const char *cluster_id, enum identity_role role,
                   struct credentials *out)
{
    struct err err = ERR_INIT;
    struct key key;
    struct buf csr, key_pem, chain;
    struct signer *signer = signer_new(text_of(sites_cluster->root_ca->ca_cert),
                                       text_of(sites_cluster->root_ca->ca_key), NULL, &err);
    ck_assert_msg(signer != NULL, "%s", err.message);
    make_key(&key, &csr, &key_pem);
    buf_init(&chain, PEM_BYTES_MAX);
    struct signer_order order = {.csr_pem = csr.data,
                                 .csr_size = csr.len,
                                 .node_id = node_id,
                                 .cluster_id = cluster_id,
                                 .role = role,
                                 .expiry_ns = 90 * 24 * NS_PER_H,
                                 .now = wall_now()};
    ck_assert_msg(signer_issue(signer, &order, &rng_kernel, &chain, &err) == 0, "%s", err.message);
    take(buf_cstr(&chain), &key_pem, out);
    signer_free(signer);
    key_fini(&key);
    buf_fini(&csr);
    buf_wipe(&key_pem);
    buf_fini(&chain);
}

// As a node does it (swarmkit 3.2), but for the retries.
void sites_admit(int number, enum identity_role role, struct credentials *out)
{
    struct key key;
    struct buf csr, key_pem;
    make_key(&key, &csr, &key_pem);
    struct rpc_client *client = site_client(number, NULL);
    const Swarm__JoinTokens *tokens = sites_cluster->root_ca->join_tokens;
    Swarm__IssueNodeCertificateRequest issue = SWARM__ISSUE_NODE_CERTIFICATE_REQUEST__INIT;
    issue.csr.data = csr.data;
    issue.csr.len = csr.len;
    issue.token = role == IDENTITY_MANAGER ? tokens->manager : tokens->worker;
    struct asked asked =
        site_call_message(client, "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate", &issue.base);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    Swarm__NodeCertificateStatusRequest poll = SWARM__NODE_CERTIFICATE_STATUS_REQUEST__INIT;
    poll.node_id = ((Swarm__IssueNodeCertificateResponse *)asked.reply)->node_id;
    asked =
        site_call_message(client, "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus", &poll.base);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    const Swarm__NodeCertificateStatusResponse *status = asked.reply;
    take(text_of(status->certificate->certificate), &key_pem, out);
    rpc_client_close(client, NULL, NULL);
    key_fini(&key);
    buf_fini(&csr);
    buf_wipe(&key_pem);
}

void sites_found(int count)
{
    site_start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    for (int i = 1; i < count; i++) {
        sites_admit(0, IDENTITY_MANAGER, &sites[i].credentials);
        site_start(i, MANAGER_JOIN, sites[0].advertise);
    }
}

void sites_setup(void)
{
    site_call_ms = 2000;
    sites_election_ms = 0;
    sites_network_keys_ms = 0;
    loop_init(&sites_loop);
    loop_thread_start(&serving, "serving");
    folder = support_tmpdir();
    arena_init(&sites_arena, (size_t)256 << 20);
    struct bootstrap bootstrap = {.cluster_id = arena_strdup(&sites_arena, entropy_id().text)};
    struct err err = ERR_INIT;
    ck_assert_msg(found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(),
                                &sites_arena, &sites_cluster, &sites[0].credentials, &err) == 0,
                  "%s", err.message);
    for (int i = 0; i < SITES; i++)
        snprintf(sites[i].advertise, sizeof sites[i].advertise, "127.0.0.1:%d", support_port());
}

void sites_teardown(void)
{
    for (int i = SITES - 1; i >= 0; i--) {
        site_stop(i);
        credentials_fini(&sites[i].credentials);
    }
    loop_thread_stop(&serving);
    loop_fini(&sites_loop);
    arena_fini(&sites_arena);
    support_tmpdir_remove(folder);
    memset(sites, 0, sizeof sites);
}

// ---- calls --------------------------------------------------------------------------------------

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    struct asked *asked = ctx;
    if (asked->messages++ == 0) {
        asked->reply = wire_copy(message, &sites_arena);
        rpc_request_cancel(request);
    }
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)trailers;
    struct asked *asked = ctx;
    asked->done = true;
    asked->status = *status;
    if (status->err.code == ERR_OK && !asked->reply && rpc_request_message(request))
        asked->reply = wire_copy(rpc_request_message(request), &sites_arena);
}

static bool is_done(void *ctx)
{
    return ((struct asked *)ctx)->done;
}

struct asked site_ask(int number, const char *path, const wire_type *response,
                      const ProtobufCMessage *request)
{
    struct asked asked = {0};
    struct rpc_request_spec spec = {.path = path,
                                    .kind = RPC_UNARY,
                                    .response = response,
                                    .timeout_ms = SITES_WAIT_MS,
                                    .wait_for_ready = true,
                                    .on_done = on_done,
                                    .ctx = &asked};
    rpc_client_call(sites[number].client, &spec, request);
    ck_assert(loop_run_until(&sites_loop, is_done, &asked, SITES_WAIT_MS));
    return asked;
}

struct asked site_create_service(int number, const char *name, uint64_t replicas)
{
    Swarm__ServiceSpec *spec = wire_new(&swarm__service_spec__descriptor, &sites_arena);
    spec->annotations->name = arena_strdup(&sites_arena, name);
    spec->task->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    spec->task->container = wire_new(&swarm__container_spec__descriptor, &sites_arena);
    spec->task->container->image = "busybox:1";
    spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED;
    spec->replicated = wire_new(&swarm__replicated_service__descriptor, &sites_arena);
    spec->replicated->replicas = replicas;
    Swarm__CreateServiceRequest request = SWARM__CREATE_SERVICE_REQUEST__INIT;
    request.spec = spec;
    return SITE_ASK(number, Control, CreateService, create_service_response, &request);
}

struct asked site_call(struct rpc_client *client, const char *path, const struct metadata *metadata,
                       const void *bytes, size_t size)
{
    static const enum rpc_kind kinds[] = {[METHOD_UNARY] = RPC_UNARY,
                                          [METHOD_SERVER_STREAM] = RPC_SERVER_STREAM,
                                          [METHOD_CLIENT_STREAM] = RPC_CLIENT_STREAM};
    // Of our own methods, which are not in the table, one is called so.
    static const struct method beats = {.path = PEERS_BEATS_PATH, .kind = METHOD_CLIENT_STREAM};
    const struct method *method = str_equal(path, beats.path) ? &beats : method_find(path);
    ck_assert_msg(method != NULL, "%s", path);
    struct asked asked = {0};
    bool streams = method->kind == METHOD_SERVER_STREAM;
    struct rpc_request_spec spec = {.path = method->path,
                                    .kind = kinds[method->kind],
                                    .response = method->response,
                                    .timeout_ms = site_call_ms,
                                    .metadata = metadata,
                                    .wait_for_ready = true,
                                    .on_message = streams ? on_message : NULL,
                                    .on_done = on_done,
                                    .ctx = &asked};
    if (method->kind == METHOD_CLIENT_STREAM) {
        struct rpc_request *request = rpc_client_call_bytes(client, &spec, NULL, 0);
        rpc_request_send_bytes(request, bytes, size, NULL);
        rpc_request_end(request);
    } else {
        rpc_client_call_bytes(client, &spec, bytes, size);
    }
    ck_assert(loop_run_until(&sites_loop, is_done, &asked, SITES_WAIT_MS));
    return asked;
}

struct asked site_call_message(struct rpc_client *client, const char *path,
                               const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = arena_alloc(&sites_arena, size + 1);
    protobuf_c_message_pack(message, bytes);
    return site_call(client, path, NULL, bytes, size);
}

struct rpc_client *site_client(int number, const struct credentials *credentials)
{
    struct err err = ERR_INIT;
    struct addr addr;
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel};
    ck_assert_int_eq(addr_parse(sites[number].advertise, 0, &addr, NULL), 0);
    if (!credentials)
        options.verify = TLS_VERIFY_NONE;
    struct tls_config *tls =
        credentials ? tls_config_of(credentials, &options, &err) : tls_config_new(&options, &err);
    ck_assert_msg(tls != NULL, "%s", err.message);
    struct rpc_client *client = rpc_client_new(&(struct rpc_client_config){
        .loop = &sites_loop, .addr = addr, .tls = tls, .server_name = SERVER_NAME_MANAGER});
    tls_config_unref(tls);
    return client;
}
