// A batch of certificates to sign: what to sign is copied from the store, signed anywhere (on a
// worker thread), and written back if the nodes still want it. Pure.
#ifndef MANAGER_CA_SIGNING_H
#define MANAGER_CA_SIGNING_H

#include "manager/store/txn.h"
#include "proto/base/buf.h"
#include "proto/identity/rootca.h"
#include "proto/wire/objects.pb-c.h"

// The state of a node's certificate (IssuanceStatus.State), read without decoding the node.
int signing_state(const struct object *node);

// True for ISSUED, FAILED and ROTATE: NodeCertificateStatus answers.
bool signing_final(int state);

// True when the node's certificate is to be signed: RENEW, or PENDING and the node is accepted.
bool signing_wanted(const struct object *node);

// One certificate.
struct signing {
    char *node_id;
    struct buf csr;
    enum identity_role role;
    struct buf chain; // the result, PEM; empty when it failed
    struct err err;   // why it failed, for good
};

// Copies what there is to sign for the node. False when the node does not want it (any more).
bool signing_init(struct signing *signing, const struct object *node);
void signing_fini(struct signing *signing);

void signing_run(struct signing *signing, struct signer *signer, const char *cluster_id,
                 int64_t expiry_ns, const struct rng *rng, struct wall now);

// Writes the result into the node: ISSUED with the bundle, or FAILED with the reason. Nothing is
// written, and false returned, when the node is gone or wants something else by now.
bool signing_store(const struct signing *signing, struct txn *txn, struct err *err);

#endif
