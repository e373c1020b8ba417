#include "tests/bench/manager/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/key.h"
#include "proto/identity/pem.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/x509.h"
#include "proto/net/addr.h"
#include "proto/net/tls.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/defaults.h"

#define DESK_CALL_MS 60000

struct desk {
    char *token;
    char *roots_pem;
    char *key_pem;
    struct buf csr;
    struct rpc_client **clients;
    size_t clients_count;
    size_t next;
};

static _Noreturn void die(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err_code_name(err->code), err->message);
    exit(1);
}

static void make_request(struct desk *desk)
{
    struct key key;
    struct buf pem;
    key_make(&key, &rng_kernel);
    buf_init(&desk->csr, PEM_TEXT_BYTES_MAX);
    csr_make(&key, &rng_kernel, &desk->csr);
    buf_init(&pem, PEM_TEXT_BYTES_MAX);
    key_write_pem(&key, &pem);
    desk->key_pem = str_dup(buf_cstr(&pem));
    buf_fini(&pem);
    key_fini(&key);
}

struct desk *desk_new(const struct desk_config *config)
{
    struct desk *desk = MEM_NEW(struct desk);
    struct err err = ERR_INIT;
    make_request(desk);
    desk->token = str_dup(config->token);
    desk->roots_pem = str_dup(config->roots_pem);
    struct tls_options options = {.verify = TLS_VERIFY_REQUIRED,
                                  .alpn = TLS_ALPN_H2,
                                  .roots_pem = config->roots_pem,
                                  .rng = &rng_kernel};
    struct tls_config *tls = tls_config_new(&options, &err);
    if (!tls)
        die("roots", &err);
    desk->clients_count = config->addrs_count;
    desk->clients = mem_alloc_array(config->addrs_count, sizeof(struct rpc_client *));
    for (size_t i = 0; i < config->addrs_count; i++) {
        struct rpc_client_config client = {
            .loop = config->loop, .tls = tls, .server_name = SERVER_NAME_CA};
        if (addr_parse(config->addrs[i], DEFAULT_MANAGER_PORT, &client.addr, &err))
            die("address", &err);
        desk->clients[i] = rpc_client_new(&client);
    }
    tls_config_unref(tls);
    return desk;
}

// As an agent reads it, but that the chain is not verified for each of thousands.
static void take_certificate(struct desk_visit *visit, const ProtobufCBinaryData *bundle)
{
    struct desk *desk = visit->desk;
    struct credentials credentials = {0};
    struct err err = ERR_INIT;
    char *text = str_ndup((const char *)bundle->data, bundle->len);
    struct buf chain;
    buf_init(&chain, PEM_TEXT_BYTES_MAX);
    if (x509_normalise(text, &chain, &err) ||
        credentials_init(&credentials, buf_cstr(&chain), desk->key_pem, desk->roots_pem, &err))
        die("certificate", &err);
    buf_fini(&chain);
    free(text);
    visit->served(visit, &credentials);
}

static void ask_status(struct desk_visit *visit);

static void on_status(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    const Swarm__NodeCertificateStatusResponse *reply = (const void *)rpc_request_message(request);
    (void)trailers;
    if (status->err.code == ERR_UNAVAILABLE) {
        ask_status(ctx);
        return;
    }
    if (status->err.code != ERR_OK)
        die("certificate status", &status->err);
    CHECK(reply);
    CHECK(reply->certificate);
    CHECK(reply->status->state == SWARM__ISSUANCE_STATUS__STATE__ISSUED);
    take_certificate(ctx, &reply->certificate->certificate);
}

static void ask_status(struct desk_visit *visit)
{
    Swarm__NodeCertificateStatusRequest message = SWARM__NODE_CERTIFICATE_STATUS_REQUEST__INIT;
    message.node_id = visit->node_id;
    struct rpc_request_spec spec = {
        .path = "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus",
        .kind = RPC_UNARY,
        .response = &swarm__node_certificate_status_response__descriptor,
        .timeout_ms = DESK_CALL_MS,
        .wait_for_ready = true,
        .on_done = on_status,
        .ctx = visit,
    };
    rpc_client_call(visit->desk->clients[visit->at], &spec, &message.base);
}

static void ask(struct desk_visit *visit);

static void on_issued(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    struct desk_visit *visit = ctx;
    const Swarm__IssueNodeCertificateResponse *reply = (const void *)rpc_request_message(request);
    (void)trailers;
    if (status->err.code == ERR_UNAVAILABLE) {
        ask(visit); // a manager ends connections without a call for some seconds, maybe just now
        return;
    }
    if (status->err.code != ERR_OK)
        die("issue", &status->err);
    CHECK(reply);
    str_copy(visit->node_id, sizeof visit->node_id, reply->node_id);
    ask_status(visit);
}

static void ask(struct desk_visit *visit)
{
    struct desk *desk = visit->desk;
    Swarm__IssueNodeCertificateRequest message = SWARM__ISSUE_NODE_CERTIFICATE_REQUEST__INIT;
    message.csr.data = (uint8_t *)buf_cstr(&desk->csr);
    message.csr.len = desk->csr.len;
    message.token = desk->token;
    struct rpc_request_spec spec = {
        .path = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate",
        .kind = RPC_UNARY,
        .response = &swarm__issue_node_certificate_response__descriptor,
        .timeout_ms = DESK_CALL_MS,
        .wait_for_ready = true,
        .on_done = on_issued,
        .ctx = visit,
    };
    rpc_client_call(desk->clients[visit->at], &spec, &message.base);
}

void desk_visit(struct desk *desk, struct desk_visit *visit)
{
    visit->desk = desk;
    visit->at = desk->next++ % desk->clients_count;
    ask(visit);
}

void desk_close(struct desk *desk)
{
    for (size_t i = 0; i < desk->clients_count; i++)
        rpc_client_close(desk->clients[i], NULL, NULL);
    free(desk->clients);
    free(desk->token);
    free(desk->roots_pem);
    free(desk->key_pem);
    buf_fini(&desk->csr);
    free(desk);
}
