#include "manager/ca/ca_rpc.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// Field numbers of Cluster and RootCA, read without decoding: anyone may ask for the root as often
// as they like.
enum { CLUSTER_ROOT_CA = 4, ROOT_CA_CERT = 2 };

// ---- CA -----------------------------------------------------------------------------------------

static void handle_root(struct rpc_call *call)
{
    struct ca_desk *desk = rpc_call_ctx(call);
    Swarm__GetRootCACertificateResponse response = SWARM__GET_ROOT_CACERTIFICATE_RESPONSE__INIT;
    struct view view = store_pin(desk->store);
    const struct object *cluster = view_get_by_name(view, OBJECT_CLUSTER, NAME_CLUSTER);
    if (cluster) {
        size_t size;
        const uint8_t *bytes = object_bytes(cluster, &size);
        struct cursor root = raw_inside(bytes, size, CLUSTER_ROOT_CA);
        struct raw cert;
        if (raw_find(root.at, cursor_left(&root), ROOT_CA_CERT, &cert)) {
            response.certificate.data = (uint8_t *)cert.bytes;
            response.certificate.len = cert.size;
        }
        rpc_call_reply(call, &response.base); // encoded before the view goes
    } else {
        rpc_call_failf(call, ERR_ABORTED, CA_ERR_STARTING);
    }
    store_unpin(view);
}

static void set_unlock_key(const Swarm__Cluster *cluster, Swarm__GetUnlockKeyResponse *response)
{
    const Swarm__EncryptionConfig *config = cluster->spec->encryption_config;
    response->version = cluster->meta->version;
    if (!config || !config->auto_lock_managers)
        return;
    for (size_t i = 0; i < cluster->n_unlock_keys; i++)
        if (str_equal(cluster->unlock_keys[i]->subsystem, NAME_SUBSYSTEM_MANAGER))
            response->unlock_key = cluster->unlock_keys[i]->key;
}

static void handle_unlock_key(struct rpc_call *call)
{
    struct ca_desk *desk = rpc_call_ctx(call);
    struct arena arena;
    struct view view = store_pin(desk->store);
    const struct object *object = view_get_by_name(view, OBJECT_CLUSTER, NAME_CLUSTER);
    arena_init(&arena, OBJECT_ARENA_BYTES);
    Swarm__Cluster *cluster = object ? object_unpack(object, &arena) : NULL;
    if (cluster && wire_settle(cluster, &arena)) {
        Swarm__GetUnlockKeyResponse response = SWARM__GET_UNLOCK_KEY_RESPONSE__INIT;
        set_unlock_key(cluster, &response);
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_failf(call, ERR_ABORTED, CA_ERR_STARTING);
    }
    arena_fini(&arena);
    store_unpin(view);
}

// ---- NodeCA -------------------------------------------------------------------------------------

struct asked {
    struct ca_request request;
    struct rpc_call *call;
};

static struct asked *asked_new(struct rpc_call *call,
                               void (*answered)(struct ca_request *request,
                                                const struct object *node, const struct err *err))
{
    struct asked *asked = MEM_NEW(struct asked);
    asked->request.answered = answered;
    asked->call = call;
    rpc_call_set_user(call, asked);
    return asked;
}

// Takes the call out; the request is over.
static struct rpc_call *asked_end(struct ca_request *request)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    struct rpc_call *call = asked->call;
    rpc_call_set_user(call, NULL);
    free(asked);
    return call;
}

static void on_issued(struct ca_request *request, const struct object *node, const struct err *err)
{
    struct rpc_call *call = asked_end(request);
    if (err) {
        rpc_call_fail(call, err);
        return;
    }
    Swarm__IssueNodeCertificateResponse response = SWARM__ISSUE_NODE_CERTIFICATE_RESPONSE__INIT;
    response.node_id = object_id(node);
    response.node_membership = (Swarm__NodeSpec__Membership)object_node(node)->membership;
    rpc_call_reply(call, &response.base);
}

// The node whose certificate is renewed: of the verified caller, direct or forwarded by a manager.
// NULL: nobody in particular, the token decides.
static const char *renewal_of(const struct ca_desk *desk, const struct caller *caller)
{
    if (caller->local)
        return desk->node_id;
    bool known = (caller->roles & (ROLE_WORKER | ROLE_MANAGER)) != 0;
    return known && !str_empty(caller->node_id) ? caller->node_id : NULL;
}

static void handle_issue(struct rpc_call *call)
{
    struct ca_desk *desk = rpc_call_ctx(call);
    const struct caller *caller = rpc_call_caller(call);
    const Swarm__IssueNodeCertificateRequest *request =
        (const Swarm__IssueNodeCertificateRequest *)rpc_call_message(call);
    if (!desk->ca) {
        rpc_call_failf(call, ERR_ABORTED, CA_ERR_STOPPED);
        return;
    }
    const struct ca_issue issue = {
        .csr = request->csr.data,
        .csr_size = request->csr.len,
        .token = request->token,
        .availability = (int)request->availability,
        .renewal_of = renewal_of(desk, caller),
        .addr = caller->local ? "" : caller->addr,
    };
    ca_issue(desk->ca, &issue, &asked_new(call, on_issued)->request);
}

static void on_status(struct ca_request *request, const struct object *node, const struct err *err)
{
    struct rpc_call *call = asked_end(request);
    struct arena arena;
    if (err) {
        rpc_call_fail(call, err);
        return;
    }
    arena_init(&arena, OBJECT_ARENA_BYTES);
    Swarm__Node *message = object_unpack(node, &arena);
    if (message && wire_settle(message, &arena)) {
        Swarm__NodeCertificateStatusResponse response =
            SWARM__NODE_CERTIFICATE_STATUS_RESPONSE__INIT;
        response.status = message->certificate->status;
        response.certificate = message->certificate;
        rpc_call_reply(call, &response.base);
    } else {
        rpc_call_failf(call, ERR_INTERNAL, "node object cannot be read");
    }
    arena_fini(&arena);
}

static void handle_status(struct rpc_call *call)
{
    struct ca_desk *desk = rpc_call_ctx(call);
    const Swarm__NodeCertificateStatusRequest *request =
        (const Swarm__NodeCertificateStatusRequest *)rpc_call_message(call);
    if (!desk->ca)
        rpc_call_failf(call, ERR_ABORTED, CA_ERR_STOPPED);
    else
        ca_status(desk->ca, request->node_id, &asked_new(call, on_status)->request);
}

// Nobody waits any more; a write under way goes on.
static void on_cancel(struct rpc_call *call)
{
    struct asked *asked = rpc_call_user(call);
    if (!asked)
        return;
    ca_forget(&asked->request);
    rpc_call_failf(asked_end(&asked->request), ERR_CANCELLED, "context canceled");
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.CA/GetRootCACertificate",
     .kind = RPC_UNARY,
     .roles = ROLE_ANYONE,
     .request = &swarm__get_root_cacertificate_request__descriptor,
     .handle = handle_root},
    {.path = "/docker.swarmkit.v1.CA/GetUnlockKey",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__get_unlock_key_request__descriptor,
     .handle = handle_unlock_key},
    {.path = "/docker.swarmkit.v1.NodeCA/IssueNodeCertificate",
     .kind = RPC_UNARY,
     .roles = ROLE_ANYONE,
     .request = &swarm__issue_node_certificate_request__descriptor,
     .handle = handle_issue,
     .on_cancel = on_cancel},
    {.path = "/docker.swarmkit.v1.NodeCA/NodeCertificateStatus",
     .kind = RPC_UNARY,
     .roles = ROLE_ANYONE,
     .request = &swarm__node_certificate_status_request__descriptor,
     .handle = handle_status,
     .on_cancel = on_cancel},
};

struct rpc_service ca_service(struct ca_desk *desk, struct loop *home)
{
    return (struct rpc_service){
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = desk, .home = home};
}
