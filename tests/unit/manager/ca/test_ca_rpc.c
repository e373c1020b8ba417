// The whole way of a node into the cluster, over TLS, as stock nodes go it (swarmkit.md 3.2, 3.3).
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/ca_rpc.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define WAIT_MS 60000

static struct fake_log log_;
static struct loop loop;
static struct arena arena;
static struct ca_desk desk;
static struct rpc_server *server;
static struct addr addr;
static struct authority authority = {.cluster_id = "cluster1"};
static Swarm__Cluster *cluster;
static char *roots;
static struct key node_key;
static char *node_key_pem;
static struct buf csr;

static char *text_of(ProtobufCBinaryData data)
{
    return arena_strndup(&arena, (const char *)data.data, data.len);
}

// A certificate of the cluster for somebody.
static struct tls_config *make_tls(bool is_server, const char *node_id, enum identity_role role)
{
    struct buf chain;
    struct signer *signer = signer_new(roots, text_of(cluster->root_ca->ca_key), NULL, NULL);
    struct signer_order order = {.csr_pem = csr.data,
                                 .csr_size = csr.len,
                                 .node_id = node_id,
                                 .cluster_id = "cluster1",
                                 .role = role,
                                 .now = wall_now()};
    buf_init(&chain, 65536);
    ck_assert_int_eq(signer_issue(signer, &order, &rng_kernel, &chain, NULL), 0);
    struct tls_options options = {.server = is_server,
                                  .verify = is_server ? TLS_VERIFY_IF_GIVEN : TLS_VERIFY_REQUIRED,
                                  .alpn = TLS_ALPN_H2,
                                  .chain_pem = buf_cstr(&chain),
                                  .key_pem = node_key_pem,
                                  .roots_pem = roots,
                                  .rng = &rng_kernel};
    struct tls_config *config = tls_config_new(&options, NULL);
    ck_assert_ptr_nonnull(config);
    buf_fini(&chain);
    signer_free(signer);
    return config;
}

static void set_up(void)
{
    struct bootstrap bootstrap = {.cluster_id = "cluster1"};
    struct buf key;
    fake_log_init(&log_, 10);
    loop_init(&loop);
    arena_init(&arena, SIZE_MAX);
    cluster = bootstrap_cluster(&bootstrap, &rng_kernel, wall_now(), &arena);
    roots = text_of(cluster->root_ca->ca_cert);
    struct txn *txn = fake_begin(&log_, 100);
    ck_assert_int_eq(txn_create(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_NODE, fake_node(&arena, "old"), NULL), 0);
    fake_write(&log_, txn);
    key_make(&node_key, &rng_kernel);
    buf_init(&key, 8192);
    key_write_pem(&node_key, &key);
    node_key_pem = arena_strdup(&arena, buf_cstr(&key));
    buf_wipe(&key);
    buf_init(&csr, CSR_BYTES_MAX);
    csr_make(&node_key, &rng_kernel, &csr);

    struct ca_config config = {.store = log_.store, .loop = &loop, .rng = &rng_kernel};
    desk = (struct ca_desk){.ca = ca_start(&config), .store = log_.store, .node_id = "m1"};
    struct loop *loops[] = {&loop};
    struct rpc_service service = ca_service(&desk, &loop);
    struct tls_config *tls = make_tls(true, "m1", IDENTITY_MANAGER);
    struct rpc_server_config options = {.loops = loops,
                                        .loops_count = 1,
                                        .services = &service,
                                        .services_count = 1,
                                        .authority = &authority,
                                        .tls = tls};
    struct addr any;
    server = rpc_server_new(&options);
    tls_config_unref(tls);
    ck_assert_int_eq(addr_parse("127.0.0.1:1", 0, &any, NULL), 0);
    any.port = 0;
    ck_assert_int_eq(rpc_server_listen(server, &any, -1, &addr, NULL), 0);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    fake_commit_all(&log_);
    return *(bool *)ctx;
}

static void tear_down(void)
{
    bool closed = false;
    if (desk.ca)
        ca_stop(desk.ca);
    rpc_server_close(server, 0, &loop, set_flag, &closed);
    ck_assert(loop_run_until(&loop, is_set, &closed, WAIT_MS));
    closed = false;
    loop_run_until(&loop, is_set, &closed, 20);
    loop_fini(&loop);
    fake_log_fini(&log_);
    arena_fini(&arena);
    buf_fini(&csr);
    key_fini(&node_key);
}

// ---- a client -----------------------------------------------------------------------------------

static struct rpc_client *dial(struct tls_config *tls, const char *server_name)
{
    struct rpc_client_config config = {
        .loop = &loop, .addr = addr, .tls = tls, .server_name = server_name};
    struct rpc_client *client = rpc_client_new(&config);
    tls_config_unref(tls);
    return client;
}

// A node without certificate that knows the root.
static struct rpc_client *dial_joining(void)
{
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .roots_pem = roots, .rng = &rng_kernel};
    return dial(tls_config_new(&options, NULL), "swarm-ca");
}

static void hang_up(struct rpc_client *client)
{
    bool closed = false;
    rpc_client_close(client, set_flag, &closed);
    ck_assert(loop_run_until(&loop, is_set, &closed, WAIT_MS));
}

struct result {
    bool done;
    int code;
    char text[256];
    void *message;
};

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct result *result = ctx;
    (void)trailers;
    result->done = true;
    result->code = (int)status->err.code;
    str_copy(result->text, sizeof result->text, status->err.message);
    const ProtobufCMessage *message = rpc_request_message(request);
    if (result->code == 0)
        result->message = wire_copy(message, &arena);
}

static struct result call(struct rpc_client *client, const char *path,
                          const ProtobufCMessageDescriptor *response, const void *request,
                          int64_t timeout_ms)
{
    struct result result = {.done = false};
    struct rpc_request_spec spec = {.path = path,
                                    .kind = RPC_UNARY,
                                    .response = response,
                                    .timeout_ms = timeout_ms,
                                    .wait_for_ready = true,
                                    .on_done = on_done,
                                    .ctx = &result};
    rpc_client_call(client, &spec, request);
    ck_assert(loop_run_until(&loop, is_set, &result.done, WAIT_MS));
    return result;
}

static struct result issue(struct rpc_client *client, const char *token)
{
    Swarm__IssueNodeCertificateRequest request = SWARM__ISSUE_NODE_CERTIFICATE_REQUEST__INIT;
    request.csr = (ProtobufCBinaryData){.data = csr.data, .len = csr.len};
    request.token = token;
    return call(client, "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate",
                &swarm__issue_node_certificate_response__descriptor, &request, 5000);
}

static struct result status(struct rpc_client *client, const char *node_id, int64_t timeout_ms)
{
    Swarm__NodeCertificateStatusRequest request = SWARM__NODE_CERTIFICATE_STATUS_REQUEST__INIT;
    request.node_id = node_id;
    return call(client, "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus",
                &swarm__node_certificate_status_response__descriptor, &request, timeout_ms);
}

static struct result unlock_key(struct rpc_client *client)
{
    Swarm__GetUnlockKeyRequest request = SWARM__GET_UNLOCK_KEY_REQUEST__INIT;
    return call(client, "/docker.swarmkit.v1.CA/GetUnlockKey",
                &swarm__get_unlock_key_response__descriptor, &request, 5000);
}

static struct result root(struct rpc_client *client)
{
    Swarm__GetRootCACertificateRequest request = SWARM__GET_ROOT_CACERTIFICATE_REQUEST__INIT;
    return call(client, "/docker.swarmkit.v1.CA/GetRootCACertificate",
                &swarm__get_root_cacertificate_response__descriptor, &request, 5000);
}

static void expect(const struct result *result, int code, const char *text)
{
    ck_assert_msg(result->code == code, "%d %s", result->code, result->text);
    if (text)
        ck_assert_str_eq(result->text, text);
}

// Joins and polls; the node's id.
static const char *join(struct rpc_client *client)
{
    struct result issued = issue(client, cluster->root_ca->join_tokens->worker);
    expect(&issued, 0, NULL);
    const Swarm__IssueNodeCertificateResponse *response = issued.message;
    ck_assert_int_eq(response->node_membership, SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED);
    struct result polled = status(client, response->node_id, 5000);
    expect(&polled, 0, NULL);
    const Swarm__NodeCertificateStatusResponse *answer = polled.message;
    ck_assert_int_eq(answer->status->state, SWARM__ISSUANCE_STATUS__STATE__ISSUED);
    ck_assert_uint_eq(answer->certificate->csr.len, csr.len);
    ck_assert_mem_eq(answer->certificate->csr.data, csr.data, csr.len);
    struct credentials credentials;
    struct err err = ERR_INIT;
    ck_assert_msg(credentials_init(&credentials, text_of(answer->certificate->certificate),
                                   node_key_pem, roots, &err) == 0,
                  "%s", err.message);
    ck_assert_str_eq(credentials.identity.node_id, response->node_id);
    ck_assert(identity_has_role(&credentials.identity, IDENTITY_WORKER));
    credentials_fini(&credentials);
    return response->node_id;
}

START_TEST(a_node_joins_with_a_token_and_renews_with_its_certificate)
{
    struct rpc_client *client = dial_joining();
    struct result got = root(client);
    expect(&got, 0, NULL);
    const Swarm__GetRootCACertificateResponse *response = got.message;
    struct token token;
    ck_assert_int_eq(token_parse(cluster->root_ca->join_tokens->worker, &token, NULL), 0);
    ck_assert(token_matches_root(&token, response->certificate.data, response->certificate.len));
    const char *node_id = join(client);
    hang_up(client);

    client = dial(make_tls(false, node_id, IDENTITY_WORKER), "swarm-manager");
    struct result renewed = issue(client, "");
    expect(&renewed, 0, NULL);
    ck_assert_str_eq(((Swarm__IssueNodeCertificateResponse *)renewed.message)->node_id, node_id);
    struct result polled = status(client, node_id, 5000);
    expect(&polled, 0, NULL);
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(view_count(view, OBJECT_NODE), 2); // the same node, and "old"
    store_unpin(view);
    hang_up(client);
}
END_TEST

START_TEST(without_token_or_certificate_nobody_gets_in)
{
    struct rpc_client *client = dial_joining();
    struct result result = issue(client, "");
    expect(&result, ERR_INVALID_ARGUMENT, "A valid join token is necessary to join this cluster");
    result = issue(client, "SWMTKN-1-x");
    expect(&result, ERR_INVALID_ARGUMENT, NULL);
    result = unlock_key(client);
    expect(&result, ERR_PERMISSION_DENIED, NULL);
    result = status(client, "nobody", 1000);
    expect(&result, ERR_NOT_FOUND, NULL);
    hang_up(client);
}
END_TEST

START_TEST(a_removed_node_cannot_renew)
{
    struct rpc_client *client = dial(make_tls(false, "gone", IDENTITY_WORKER), "swarm-manager");
    struct result result = issue(client, "");
    expect(&result, ERR_NOT_FOUND, "node gone not found when attempting to renew certificate");
    hang_up(client);
}
END_TEST

START_TEST(the_unlock_key_is_for_managers)
{
    struct rpc_client *client = dial(make_tls(false, "old", IDENTITY_WORKER), "swarm-manager");
    struct result result = unlock_key(client);
    expect(&result, ERR_PERMISSION_DENIED, NULL);
    hang_up(client);
    struct txn *txn = fake_begin(&log_, 200);
    Swarm__Cluster *edited = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    ck_assert(wire_settle(edited, &arena));
    edited->spec->encryption_config->auto_lock_managers = true;
    bootstrap_rotate_unlock_key(edited, &rng_kernel, &arena);
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, edited, NULL), 0);
    fake_write(&log_, txn);
    client = dial(make_tls(false, "m2", IDENTITY_MANAGER), "swarm-ca");
    result = unlock_key(client);
    expect(&result, 0, NULL);
    const Swarm__GetUnlockKeyResponse *response = result.message;
    ck_assert_uint_eq(response->unlock_key.len, 32);
    ck_assert_uint_gt(response->version->index, 0);
    hang_up(client);
}
END_TEST

START_TEST(a_poll_ends_with_its_deadline_and_with_the_leaders_office)
{
    struct rpc_client *client = dial_joining();
    struct result result = status(client, "old", 50); // nothing is being signed
    expect(&result, ERR_DEADLINE_EXCEEDED, NULL);
    ca_stop(desk.ca);
    desk.ca = NULL;
    result = status(client, "old", 1000);
    expect(&result, ERR_ABORTED, "CA signer is stopped");
    result = issue(client, cluster->root_ca->join_tokens->worker);
    expect(&result, ERR_ABORTED, "CA signer is stopped");
    hang_up(client);
}
END_TEST

Suite *suite_ca_rpc(void);
Suite *suite_ca_rpc(void)
{
    Suite *suite = suite_create("ca_rpc");
    TCase *tcase = tcase_create("ca_rpc");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_node_joins_with_a_token_and_renews_with_its_certificate);
    tcase_add_test(tcase, without_token_or_certificate_nobody_gets_in);
    tcase_add_test(tcase, a_removed_node_cannot_renew);
    tcase_add_test(tcase, the_unlock_key_is_for_managers);
    tcase_add_test(tcase, a_poll_ends_with_its_deadline_and_with_the_leaders_office);
    suite_add_tcase(suite, tcase);
    return suite;
}
