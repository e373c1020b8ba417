#include "agent/enroll_rpc.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/addr.h"
#include "proto/net/tls.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/defaults.h"

#define ROOT_PATH   "/docker.swarmkit.v1.CA/GetRootCACertificate"
#define ISSUE_PATH  "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate"
#define STATUS_PATH "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus"
#define UNLOCK_PATH "/docker.swarmkit.v1.CA/GetUnlockKey"

#define ENROLLER_MAGIC 0x656e726cu

struct enroller {
    unsigned magic;
    struct enroller_config config;
    struct rand rand;
    struct remote remote; // of the present connection
    struct rpc_client *client;
    struct rpc_request *request;
    struct loop_timer timer;
    unsigned closing_count; // clients on their way out
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void go_on(struct enroller *enroller);

static void release(struct enroller *enroller)
{
    void (*closed)(void *ctx) = enroller->closed;
    void *ctx = enroller->closed_ctx;
    enroll_free(enroller->config.enroll);
    MAGIC_CLEAR(enroller);
    free(enroller);
    if (closed)
        closed(ctx);
}

static void client_closed(void *ctx)
{
    struct enroller *enroller = ctx;
    MAGIC_CHECK(enroller, ENROLLER_MAGIC);
    enroller->closing_count--;
    if (enroller->closing && !enroller->closing_count)
        release(enroller);
}

static void hang_up(struct enroller *enroller)
{
    if (enroller->request)
        rpc_request_drop(enroller->request);
    enroller->request = NULL;
    if (enroller->client) {
        enroller->closing_count++;
        rpc_client_close(enroller->client, client_closed, enroller);
    }
    enroller->client = NULL;
}

static void observe(struct enroller *enroller, int weight)
{
    remotes_observe_known(enroller->config.remotes, enroller->remote.node_id, enroller->remote.addr,
                          weight);
}

static int dial(struct enroller *enroller, const struct enroll_ask *ask, struct err *err)
{
    const struct remote *remote = remotes_pick(enroller->config.remotes, &enroller->rand, NULL, 0);
    if (!remote)
        return err_set(err, ERR_UNAVAILABLE, "no manager is known");
    enroller->remote = *remote;
    struct addr addr;
    const char *place = remotes_dialled(enroller->config.remotes, remote);
    int result = addr_parse(place, DEFAULT_MANAGER_PORT, &addr, err);
    if (result)
        return result;
    struct tls_options options = {
        .verify = ask->server_name ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE,
        .alpn = TLS_ALPN_H2,
        .chain_pem = ask->chain_pem,
        .key_pem = ask->key_pem,
        .roots_pem = ask->roots_pem,
        .rng = &rng_kernel,
    };
    struct tls_config *tls = tls_config_new(&options, err);
    if (!tls)
        return -(int)err->code;
    struct rpc_client_config config = {
        .loop = enroller->config.loop,
        .addr = addr,
        .tls = tls,
        .server_name = ask->server_name,
        .connect_ms = ENROLL_CALL_MS,
    };
    enroller->client = rpc_client_new(&config);
    tls_config_unref(tls);
    return 0;
}

// ---- answers -----------------------------------------------------------------------------------

static void take_answer(struct enroller *enroller, enum enroll_call call,
                        const ProtobufCMessage *message)
{
    struct enroll *enroll = enroller->config.enroll;
    switch (call) {
    case ENROLL_ROOT: {
        const Swarm__GetRootCACertificateResponse *reply = (const void *)message;
        enroll_got_root(enroll, reply->certificate.data, reply->certificate.len, wall_now());
        return;
    }
    case ENROLL_ISSUE: {
        const Swarm__IssueNodeCertificateResponse *reply = (const void *)message;
        enroll_got_issued(enroll, reply->node_id);
        return;
    }
    case ENROLL_STATUS: {
        const Swarm__NodeCertificateStatusResponse *reply = (const void *)message;
        const Swarm__IssuanceStatus *status = reply->status;
        enroll_got_status(enroll, status ? status->state : SWARM__ISSUANCE_STATUS__STATE__UNKNOWN,
                          status ? status->err : "", reply->certificate, wall_now());
        return;
    }
    case ENROLL_UNLOCK_KEY: {
        const Swarm__GetUnlockKeyResponse *reply = (const void *)message;
        enroll_got_unlock_key(enroll, reply->unlock_key.data, reply->unlock_key.len,
                              reply->version ? reply->version->index : 0);
        return;
    }
    case ENROLL_DONE:
    case ENROLL_FAILED:
        break;
    }
    UNREACHABLE("an answer to nothing");
}

static void answered(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                     const struct metadata *trailers)
{
    struct enroller *enroller = ctx;
    MAGIC_CHECK(enroller, ENROLLER_MAGIC);
    (void)trailers;
    enroller->request = NULL;
    struct enroll *enroll = enroller->config.enroll;
    enum enroll_call call = enroll_next(enroll).call;
    const ProtobufCMessage *message = rpc_request_message(request);
    if (status->err.code == ERR_OK && message) {
        observe(enroller, REMOTES_OBSERVED_GOOD);
        take_answer(enroller, call, message);
    } else {
        struct err err = status->err;
        if (err.code == ERR_OK)
            err_set(&err, ERR_INTERNAL, "the manager gave no answer");
        if (err.code == ERR_UNAVAILABLE || err.code == ERR_UNAUTHENTICATED)
            observe(enroller, REMOTES_OBSERVED_BAD);
        enroll_failed(enroll, &err);
    }
    go_on(enroller);
}

// ---- calls -------------------------------------------------------------------------------------

static void call(struct enroller *enroller, const char *path,
                 const ProtobufCMessageDescriptor *response, const ProtobufCMessage *message)
{
    struct rpc_request_spec spec = {
        .path = path,
        .kind = RPC_UNARY,
        .response = response,
        .timeout_ms = ENROLL_CALL_MS,
        .on_done = answered,
        .ctx = enroller,
    };
    enroller->request = rpc_client_call(enroller->client, &spec, message);
}

static void make_call(struct enroller *enroller, enum enroll_call what)
{
    struct enroll *enroll = enroller->config.enroll;
    switch (what) {
    case ENROLL_ROOT: {
        Swarm__GetRootCACertificateRequest message;
        swarm__get_root_cacertificate_request__init(&message);
        call(enroller, ROOT_PATH, &swarm__get_root_cacertificate_response__descriptor,
             &message.base);
        return;
    }
    case ENROLL_ISSUE: {
        Swarm__IssueNodeCertificateRequest message;
        swarm__issue_node_certificate_request__init(&message);
        message.csr.data = (uint8_t *)enroll_csr(enroll, &message.csr.len);
        message.token = (char *)enroll_token(enroll);
        message.availability = enroll_availability(enroll);
        call(enroller, ISSUE_PATH, &swarm__issue_node_certificate_response__descriptor,
             &message.base);
        return;
    }
    case ENROLL_STATUS: {
        Swarm__NodeCertificateStatusRequest message;
        swarm__node_certificate_status_request__init(&message);
        message.node_id = (char *)enroll_node_id(enroll);
        call(enroller, STATUS_PATH, &swarm__node_certificate_status_response__descriptor,
             &message.base);
        return;
    }
    case ENROLL_UNLOCK_KEY: {
        Swarm__GetUnlockKeyRequest message;
        swarm__get_unlock_key_request__init(&message);
        call(enroller, UNLOCK_PATH, &swarm__get_unlock_key_response__descriptor, &message.base);
        return;
    }
    case ENROLL_DONE:
    case ENROLL_FAILED:
        break;
    }
    UNREACHABLE("a call that is none");
}

static void due(struct loop_timer *timer)
{
    struct enroller *enroller = CONTAINER_OF(timer, struct enroller, timer);
    MAGIC_CHECK(enroller, ENROLLER_MAGIC);
    if (enroller->closing) {
        release(enroller);
        return;
    }
    struct enroll *enroll = enroller->config.enroll;
    struct enroll_ask ask = enroll_next(enroll);
    if (ask.call == ENROLL_DONE || ask.call == ENROLL_FAILED) {
        hang_up(enroller);
        enroller->config.done(enroller->config.owner, enroll);
        return;
    }
    struct err err = ERR_INIT;
    if (ask.fresh)
        hang_up(enroller);
    if (!enroller->client && dial(enroller, &ask, &err)) {
        enroll_failed(enroll, &err);
        go_on(enroller);
        return;
    }
    make_call(enroller, ask.call);
}

// The next step, after its pause: always from the loop, so that no callback runs inside another.
static void go_on(struct enroller *enroller)
{
    int64_t wait_ns = enroll_next(enroller->config.enroll).wait_ns;
    loop_timer_start(&enroller->timer, (wait_ns + NS_PER_MS - 1) / NS_PER_MS);
}

struct enroller *enroller_start(const struct enroller_config *config)
{
    struct enroller *enroller = MEM_NEW(struct enroller);
    MAGIC_SET(enroller, ENROLLER_MAGIC);
    enroller->config = *config;
    entropy_seed(&enroller->rand);
    loop_timer_init(&enroller->timer, config->loop, due);
    go_on(enroller);
    return enroller;
}

void enroller_close(struct enroller *enroller, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(enroller, ENROLLER_MAGIC);
    CHECK(!enroller->closing);
    enroller->closing = true;
    enroller->closed = closed;
    enroller->closed_ctx = ctx;
    loop_timer_stop(&enroller->timer);
    hang_up(enroller);
    if (!enroller->closing_count)
        loop_timer_start(&enroller->timer, 0);
}
