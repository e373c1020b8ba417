// Our client against a stock manager, for join_stock.sh. The folder holds what the node knows of
// itself, laid out as dockerd's certificates folder.
//
//   join FOLDER ADDR TOKEN            joins as the token says; prints the node id
//   session FOLDER ADDR SECONDS       keeps a session with heartbeats so long; prints "up"
//   call FOLDER ADDR PATH             one empty call with the node's certificate; prints the status
//   root FOLDER                       makes a root CA: ca.crt and ca.key
//   expire FOLDER                     signs the node's certificate anew with ca.key, long expired
//
// Errors are printed as "CODE: message" and end with status 1.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/description_io.h"
#include "agent/enroll_rpc.h"
#include "agent/session_rpc.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "tests/support/manager_client.h"

static struct loop loop;
static struct remotes remotes;
static struct err failure;
static bool finished;

static int report(const struct err *err)
{
    printf("%s: %s\n", err_code_name(err->code), err->message);
    return 1;
}

static bool is_finished(void *ctx)
{
    (void)ctx;
    return finished;
}

static void on_closed(void *ctx)
{
    (void)ctx;
    finished = true;
}

static void wait_closed(void)
{
    finished = false;
    CHECK(loop_run_until(&loop, is_finished, NULL, 20000));
}

static int run_for(int64_t timeout_ms)
{
    if (!loop_run_until(&loop, is_finished, NULL, timeout_ms))
        err_set(&failure, ERR_DEADLINE_EXCEEDED, "not finished after %lld ms",
                (long long)timeout_ms);
    return failure.code == ERR_OK ? 0 : report(&failure);
}

// ---- join --------------------------------------------------------------------------------------

static const char *folder;

static int keep(const struct enroll *enroll, struct err *err)
{
    const struct credentials *credentials = enroll_credentials(enroll);
    struct keyfile file = {0};
    int result = key_parse_pem(&file.key, credentials->key_pem, strlen(credentials->key_pem), err);
    if (result)
        return result;
    const uint8_t *lock_key = enroll_lock_key(enroll, &file.kek_version);
    result = certdir_save_roots(folder, credentials->roots_pem, err);
    if (!result)
        result =
            certdir_save_node(folder, credentials->chain_pem, &file, lock_key, &rng_kernel, err);
    keyfile_fini(&file);
    return result;
}

static void joined(void *owner, struct enroll *enroll)
{
    (void)owner;
    finished = true;
    if (enroll_next(enroll).call == ENROLL_FAILED)
        failure = *enroll_error(enroll);
    else if (keep(enroll, &failure) == 0)
        printf("%s\n", enroll_credentials(enroll)->identity.node_id);
}

static int do_join(const char *token)
{
    struct enroll *enroll = enroll_join(token, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE, &rng_kernel,
                                        (uint64_t)mono_now().ns, &failure);
    if (!enroll)
        return report(&failure);
    struct enroller_config config = {
        .loop = &loop, .remotes = &remotes, .enroll = enroll, .done = joined};
    struct enroller *enroller = enroller_start(&config);
    int result = run_for(60000);
    enroller_close(enroller, on_closed, NULL);
    wait_closed();
    return result;
}

// ---- with the node's certificate ---------------------------------------------------------------

static struct credentials credentials;
static struct arena arena;

static const Swarm__NodeDescription *describe(void *owner)
{
    (void)owner;
    struct description_facts facts = {.engine_version = "20.10.24"};
    arena_reset(&arena);
    CHECK(description_look(&facts, &failure) == 0);
    const Swarm__NodeDescription *description =
        description_make(&facts, &credentials, &arena, &failure);
    CHECK(description);
    return description;
}

static void up(void *owner)
{
    (void)owner;
    printf("up\n");
    fflush(stdout);
}

static void down(void *owner, const struct err *err)
{
    (void)owner;
    failure = *err;
    finished = true;
}

static void assigned(void *owner, const Swarm__AssignmentsMessage *message)
{
    (void)owner;
    printf("assignments %s %zu\n", message->results_in, message->n_changes);
    fflush(stdout);
}

static int do_session(int64_t seconds)
{
    struct keyfile file;
    struct tls_config *tls = manager_client_tls(folder, &failure);
    if (!tls || certdir_load(folder, NULL, &credentials, &file, &failure))
        return report(&failure);
    keyfile_fini(&file);
    arena_init(&arena, 1 << 20);
    struct agent_session_config config = {
        .loop = &loop,
        .remotes = &remotes,
        .tls = tls,
        .describe = describe,
        .events = {.up = up, .down = down, .failed = down, .assignments = assigned}};
    struct agent_session *session = agent_session_new(&config);
    // Nothing finishes a session but trouble.
    loop_run_until(&loop, is_finished, NULL, seconds * 1000);
    agent_session_close(session, on_closed, NULL);
    wait_closed();
    tls_config_unref(tls);
    credentials_fini(&credentials);
    arena_fini(&arena);
    return failure.code == ERR_OK ? 0 : report(&failure);
}

static int do_call(const char *path)
{
    struct rpc_client *client = manager_client_new(&loop, remotes.list[0].addr, folder, &failure);
    if (!client)
        return report(&failure);
    struct manager_call call = {.path = path, .timeout_ms = 10000, .impatient = true};
    int result = manager_client_call(&loop, client, &call, &failure);
    manager_client_close(&loop, client);
    if (result)
        return report(&failure);
    printf("OK\n");
    return 0;
}

// ---- a root of our own -------------------------------------------------------------------------

static int save(const char *name, const struct buf *text)
{
    char *path = str_printf("%s/%s", folder, name);
    int result = file_write_atomic(path, text->data, text->len, 0600, &failure);
    free(path);
    return result ? report(&failure) : 0;
}

static int do_root(void)
{
    struct buf cert;
    struct buf key;
    buf_init(&cert, PEM_TEXT_BYTES_MAX);
    buf_init(&key, PEM_TEXT_BYTES_MAX);
    rootca_make(&rng_kernel, wall_now(), &cert, &key);
    int result = save("ca.crt", &cert);
    if (!result)
        result = save("ca.key", &key);
    buf_fini(&cert);
    buf_wipe(&key);
    return result;
}

static char *text_of(const char *name)
{
    struct buf text;
    char *path = str_printf("%s/%s", folder, name);
    buf_init(&text, PEM_TEXT_BYTES_MAX);
    char *copy = file_read(path, &text, &failure) ? NULL : str_dup(buf_cstr(&text));
    buf_wipe(&text);
    free(path);
    return copy;
}

static int sign_expired(struct signer *signer)
{
    struct keyfile file;
    struct buf csr;
    struct buf chain;
    if (certdir_load(folder, NULL, &credentials, &file, &failure))
        return report(&failure);
    buf_init(&csr, CSR_BYTES_MAX);
    buf_init(&chain, PEM_TEXT_BYTES_MAX);
    csr_make(&file.key, &rng_kernel, &csr);
    struct signer_order order = {
        .csr_pem = csr.data,
        .csr_size = csr.len,
        .node_id = credentials.identity.node_id,
        .cluster_id = credentials.identity.cluster_id,
        .role = IDENTITY_WORKER,
        .expiry_ns = NS_PER_H,
        .now = wall_add(wall_now(), -48 * NS_PER_H),
    };
    int result = signer_issue(signer, &order, &rng_kernel, &chain, &failure);
    if (!result)
        result = certdir_save_node(folder, buf_cstr(&chain), &file, NULL, &rng_kernel, &failure);
    keyfile_fini(&file);
    credentials_fini(&credentials);
    buf_fini(&csr);
    buf_fini(&chain);
    return result ? report(&failure) : 0;
}

static int do_expire(void)
{
    char *cert = text_of("ca.crt");
    char *key = text_of("ca.key");
    struct signer *signer = cert && key ? signer_new(cert, key, NULL, &failure) : NULL;
    int result = signer ? sign_expired(signer) : report(&failure);
    signer_free(signer);
    free(cert);
    free(key);
    return result;
}

static int do_remote(int argc, char **argv)
{
    if (argc < 5 || !remotes_observe(&remotes, "", argv[3], REMOTES_OBSERVED_GOOD))
        return 2;
    if (str_equal(argv[1], "join"))
        return do_join(argv[4]);
    if (str_equal(argv[1], "call"))
        return do_call(argv[4]);
    uint64_t seconds;
    if (str_equal(argv[1], "session") && str_to_u64(argv[4], 3600, &seconds))
        return do_session((int64_t)seconds);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    folder = argv[2];
    if (str_equal(argv[1], "root"))
        return do_root();
    if (str_equal(argv[1], "expire"))
        return do_expire();
    remotes_init(&remotes);
    loop_init(&loop);
    int result = do_remote(argc, argv);
    loop_fini(&loop);
    remotes_fini(&remotes);
    return result;
}
