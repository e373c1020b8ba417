// A manager's CA and nothing else: stock nodes join it as far as their certificate.
//
//   interop_serve_ca ADDRESS
//
// Prints the worker's join token, then a line per certificate issued, until its input ends.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/pem.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/ca.pb-c.h"

#define CLUSTER_ID "testcluster00000000000000"

struct authority_of_one {
    struct buf root_pem;
    struct buf root_key;
    struct signer *signer;
    char token[TOKEN_TEXT_BYTES];
    // The node that joined last.
    struct id node_id;
    struct buf csr;
    struct buf chain;
};

static void fatal(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
}

static void handle_root(struct rpc_call *call)
{
    struct authority_of_one *ca = rpc_call_ctx(call);
    Swarm__GetRootCACertificateResponse reply = SWARM__GET_ROOT_CACERTIFICATE_RESPONSE__INIT;
    reply.certificate.data = ca->root_pem.data;
    reply.certificate.len = ca->root_pem.len;
    rpc_call_reply(call, &reply.base);
}

static int issue(struct authority_of_one *ca, const Swarm__IssueNodeCertificateRequest *request,
                 struct err *err)
{
    if (!token_equal(request->token, ca->token))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "A valid join token is necessary to join this cluster");
    ca->node_id = entropy_id();
    struct signer_order order = {
        .csr_pem = request->csr.data,
        .csr_size = request->csr.len,
        .node_id = ca->node_id.text,
        .cluster_id = CLUSTER_ID,
        .role = IDENTITY_WORKER,
        .now = wall_now(),
    };
    buf_clear(&ca->chain);
    buf_clear(&ca->csr);
    buf_put(&ca->csr, request->csr.data, request->csr.len);
    return signer_issue(ca->signer, &order, &rng_kernel, &ca->chain, err);
}

static void handle_issue(struct rpc_call *call)
{
    struct authority_of_one *ca = rpc_call_ctx(call);
    struct err err = ERR_INIT;
    if (issue(ca, (const Swarm__IssueNodeCertificateRequest *)rpc_call_message(call), &err) < 0) {
        rpc_call_fail(call, &err);
        return;
    }
    Swarm__IssueNodeCertificateResponse reply = SWARM__ISSUE_NODE_CERTIFICATE_RESPONSE__INIT;
    reply.node_id = ca->node_id.text;
    reply.node_membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    rpc_call_reply(call, &reply.base);
    printf("issued %s\n", ca->node_id.text);
    fflush(stdout);
}

static void handle_status(struct rpc_call *call)
{
    struct authority_of_one *ca = rpc_call_ctx(call);
    const Swarm__NodeCertificateStatusRequest *request =
        (const Swarm__NodeCertificateStatusRequest *)rpc_call_message(call);
    if (!str_equal(request->node_id, ca->node_id.text)) {
        rpc_call_failf(call, ERR_NOT_FOUND, "node %s not found", request->node_id);
        return;
    }
    Swarm__IssuanceStatus status = SWARM__ISSUANCE_STATUS__INIT;
    status.state = SWARM__ISSUANCE_STATUS__STATE__ISSUED;
    Swarm__Certificate certificate = SWARM__CERTIFICATE__INIT;
    certificate.status = &status;
    certificate.csr.data = ca->csr.data;
    certificate.csr.len = ca->csr.len;
    certificate.certificate.data = ca->chain.data;
    certificate.certificate.len = ca->chain.len;
    certificate.cn = ca->node_id.text;
    Swarm__NodeCertificateStatusResponse reply = SWARM__NODE_CERTIFICATE_STATUS_RESPONSE__INIT;
    reply.status = &status;
    reply.certificate = &certificate;
    rpc_call_reply(call, &reply.base);
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.CA/GetRootCACertificate", .handle = handle_root},
    {.path = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate", .handle = handle_issue},
    {.path = "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus", .handle = handle_status},
};

// The manager's own certificate, from its own CA.
static struct tls_config *make_tls(struct authority_of_one *ca)
{
    struct key key;
    struct buf csr, chain, key_pem;
    buf_init(&csr, CSR_BYTES_MAX);
    buf_init(&chain, PEM_TEXT_BYTES_MAX);
    buf_init(&key_pem, PEM_TEXT_BYTES_MAX);
    key_make(&key, &rng_kernel);
    csr_make(&key, &rng_kernel, &csr);
    key_write_pem(&key, &key_pem);
    struct id id = entropy_id();
    struct signer_order order = {
        .csr_pem = csr.data,
        .csr_size = csr.len,
        .node_id = id.text,
        .cluster_id = CLUSTER_ID,
        .role = IDENTITY_MANAGER,
        .now = wall_now(),
    };
    struct err err = ERR_INIT;
    if (signer_issue(ca->signer, &order, &rng_kernel, &chain, &err) < 0)
        fatal("issue", &err);
    struct tls_options options = {
        .server = true,
        .verify = TLS_VERIFY_IF_GIVEN,
        .alpn = TLS_ALPN_H2,
        .chain_pem = buf_cstr(&chain),
        .key_pem = buf_cstr(&key_pem),
        .roots_pem = buf_cstr(&ca->root_pem),
        .rng = &rng_kernel,
    };
    struct tls_config *tls = tls_config_new(&options, &err);
    if (!tls)
        fatal("tls", &err);
    key_fini(&key);
    buf_fini(&csr);
    buf_fini(&chain);
    buf_wipe(&key_pem);
    return tls;
}

static void make_ca(struct authority_of_one *ca)
{
    buf_init(&ca->root_pem, PEM_TEXT_BYTES_MAX);
    buf_init(&ca->root_key, PEM_TEXT_BYTES_MAX);
    buf_init(&ca->csr, CSR_BYTES_MAX);
    buf_init(&ca->chain, PEM_TEXT_BYTES_MAX);
    rootca_make(&rng_kernel, wall_now(), &ca->root_pem, &ca->root_key);
    struct err err = ERR_INIT;
    ca->signer = signer_new(buf_cstr(&ca->root_pem), buf_cstr(&ca->root_key), NULL, &err);
    if (!ca->signer)
        fatal("signer", &err);
    token_make(ca->root_pem.data, ca->root_pem.len, false, &rng_kernel, ca->token);
}

static void on_closed(void *ctx)
{
    loop_stop(ctx);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: interop_serve_ca ADDRESS\n");
        return 2;
    }
    struct authority_of_one ca = {0};
    make_ca(&ca);
    struct tls_config *tls = make_tls(&ca);
    struct authority authority = {.cluster_id = CLUSTER_ID};
    struct loop_thread thread;
    loop_thread_start(&thread, "serving");
    struct loop *loops[] = {&thread.loop};
    struct rpc_service service = {
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = &ca};
    struct rpc_server_config config = {
        .loops = loops,
        .loops_count = 1,
        .services = &service,
        .services_count = 1,
        .authority = &authority,
        .tls = tls,
    };
    struct rpc_server *server = rpc_server_new(&config);
    struct addr addr;
    struct err err = ERR_INIT;
    if (addr_parse(argv[1], 2377, &addr, &err) < 0 ||
        rpc_server_listen(server, &addr, -1, NULL, &err) < 0)
        fatal("listen", &err);
    printf("%s\n", ca.token);
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin))
        ;
    struct loop loop;
    loop_init(&loop);
    rpc_server_close(server, 0, &loop, on_closed, &loop);
    loop_run(&loop);
    loop_thread_stop(&thread);
    loop_fini(&loop);
    tls_config_unref(tls);
    signer_free(ca.signer);
    buf_fini(&ca.root_pem);
    buf_wipe(&ca.root_key);
    buf_fini(&ca.csr);
    buf_fini(&ca.chain);
    return 0;
}
