#include "manager/ca/signing.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// Longest bundle: a leaf and one intermediate, generously.
#define CHAIN_BYTES_MAX 65536

// Field numbers of Node, Certificate and IssuanceStatus.
enum { NODE_CERTIFICATE = 8, CERTIFICATE_ROLE = 1, CERTIFICATE_CSR = 2, CERTIFICATE_STATUS = 3 };
enum { ISSUANCE_STATE = 1 };

static struct cursor certificate_of(const struct object *node)
{
    size_t size;
    const uint8_t *bytes = object_bytes(node, &size);
    return raw_inside(bytes, size, NODE_CERTIFICATE);
}

int signing_state(const struct object *node)
{
    struct cursor certificate = certificate_of(node);
    struct cursor status =
        raw_inside(certificate.at, cursor_left(&certificate), CERTIFICATE_STATUS);
    return (int)raw_uint(status.at, cursor_left(&status), ISSUANCE_STATE);
}

bool signing_final(int state)
{
    return state == SWARM__ISSUANCE_STATUS__STATE__ISSUED ||
           state == SWARM__ISSUANCE_STATUS__STATE__FAILED ||
           state == SWARM__ISSUANCE_STATUS__STATE__ROTATE;
}

static bool wanted(int state, int membership)
{
    return state == SWARM__ISSUANCE_STATUS__STATE__RENEW ||
           (state == SWARM__ISSUANCE_STATUS__STATE__PENDING &&
            membership == SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED);
}

bool signing_wanted(const struct object *node)
{
    return wanted(signing_state(node), object_node(node)->membership);
}

bool signing_init(struct signing *signing, const struct object *node)
{
    if (!signing_wanted(node))
        return false;
    struct cursor certificate = certificate_of(node);
    *signing = (struct signing){.node_id = str_dup(object_id(node))};
    buf_init(&signing->csr, SIZE_MAX);
    buf_init(&signing->chain, CHAIN_BYTES_MAX);
    struct raw csr;
    if (raw_find(certificate.at, cursor_left(&certificate), CERTIFICATE_CSR, &csr) && csr.size > 0)
        buf_put(&signing->csr, csr.bytes, csr.size);
    bool manager = raw_uint(certificate.at, cursor_left(&certificate), CERTIFICATE_ROLE) ==
                   SWARM__NODE_ROLE__MANAGER;
    signing->role = manager ? IDENTITY_MANAGER : IDENTITY_WORKER;
    return true;
}

void signing_fini(struct signing *signing)
{
    free(signing->node_id);
    buf_fini(&signing->csr);
    buf_fini(&signing->chain);
    *signing = (struct signing){.node_id = NULL};
}

void signing_run(struct signing *signing, struct signer *signer, const char *cluster_id,
                 int64_t expiry_ns, const struct rng *rng, struct wall now)
{
    struct signer_order order = {
        .csr_pem = signing->csr.data,
        .csr_size = signing->csr.len,
        .node_id = signing->node_id,
        .cluster_id = cluster_id,
        .role = signing->role,
        .expiry_ns = expiry_ns,
        .now = now,
    };
    if (signing->csr.len == 0 || signing->csr.len > CSR_BYTES_MAX)
        err_set(&signing->err, ERR_INVALID_ARGUMENT, "certificate signing request is %s",
                signing->csr.len == 0 ? "empty" : "too large");
    else if (signer_issue(signer, &order, rng, &signing->chain, &signing->err) == 0 &&
             !buf_ok(&signing->chain))
        err_set(&signing->err, ERR_RESOURCE_EXHAUSTED, "issued certificates are too large");
}

static bool still_wanted(const struct signing *signing, const Swarm__Node *node)
{
    const Swarm__Certificate *certificate = node->certificate;
    return wanted((int)certificate->status->state, (int)node->spec->membership) &&
           certificate->csr.len == signing->csr.len &&
           (signing->csr.len == 0 ||
            memcmp(certificate->csr.data, signing->csr.data, signing->csr.len) == 0) &&
           (certificate->role == SWARM__NODE_ROLE__MANAGER) == (signing->role == IDENTITY_MANAGER);
}

bool signing_store(const struct signing *signing, struct txn *txn, struct err *err)
{
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, signing->node_id);
    if (!node || !wire_settle(node, txn_arena(txn)) || !still_wanted(signing, node))
        return false;
    Swarm__Certificate *certificate = node->certificate;
    if (signing->err.code == ERR_OK) {
        certificate->certificate =
            (ProtobufCBinaryData){.data = signing->chain.data, .len = signing->chain.len};
        certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__ISSUED;
        certificate->status->err = "";
    } else {
        certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__FAILED;
        certificate->status->err = signing->err.message;
    }
    return txn_update(txn, OBJECT_NODE, node, err) == 0;
}
