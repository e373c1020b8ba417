// The certificate authority of the leader: lets nodes in, renews and signs their certificates.
//
// It watches node objects: whatever certificate is PENDING (and its node accepted) or RENEW is
// signed on the worker pool, a batch at a time, and committed. Everything here runs on the control
// loop. A leader starts it and stops it; while it does not
// run, its calls end with ABORTED.
#ifndef MANAGER_CA_CA_H
#define MANAGER_CA_CA_H

#include "manager/ca/external_io.h"
#include "manager/ca/settle_io.h"
#include "manager/store/txn.h"
#include "proto/base/loop_io.h"
#include "proto/identity/rng.h"

struct ca;

struct ca_config {
    struct store *store;   // with a proposer
    struct loop *loop;     // the control loop
    const struct rng *rng; // safe from any thread: certificates are signed on workers
    // How external authorities are asked; its loop and rng are set from these.
    struct external_way way;
};

#define CA_ERR_STOPPED  "CA signer is stopped"
#define CA_ERR_STARTING "CA signer is still starting"
#define CA_ERR_TOKEN    "A valid join token is necessary to join this cluster"

// Most certificates signed in one job, and how long what could not be signed (no signer) waits.
#define CA_BATCH_MAX        64
#define CA_RETRY_MS         10000
#define CA_ID_COLLISION_MAX 3

// Never fails: without a cluster object it answers CA_ERR_STARTING until there is one.
struct ca *ca_start(const struct ca_config *config);

// Ends all waiting calls with ABORTED and frees it. Jobs under way are forgotten.
void ca_stop(struct ca *ca);

// ---- what the RPC handlers ask -----------------------------------------------------------------

// One request under way; embedded in the caller's own. `answered` runs exactly once, on the loop,
// maybe before the call that started it returns; until then the caller keeps it alive.
struct ca_request {
    struct list link; // the CA's own, as `commit`
    struct ca_commit *commit;
    // `node` is the node's object as committed (issue: after the write; status: with a final state)
    // and NULL exactly when `err` is not. Borrowed during the call.
    void (*answered)(struct ca_request *request, const struct object *node, const struct err *err);
};

struct ca_issue {
    const void *csr;
    size_t csr_size;
    const char *token;
    int availability;       // NodeSpec.Availability
    const char *renewal_of; // node id that was proven by a certificate or the local socket, or NULL
    const char *addr;       // "ip:port" of who asks, for the limit on wrong tokens; "" for local
};

// IssueNodeCertificate, by the table of section 4. Errors: INVALID_ARGUMENT for an empty request or
// a wrong token, NOT_FOUND for the renewal of a node that is gone, RESOURCE_EXHAUSTED for too many
// wrong tokens from one address or too many nodes of it that are down, ABORTED while starting, or
// what the commit failed with.
void ca_issue(struct ca *ca, const struct ca_issue *issue, struct ca_request *request);

// NodeCertificateStatus: answers once the certificate is ISSUED, FAILED or to ROTATE.
// INVALID_ARGUMENT, NOT_FOUND, ABORTED.
void ca_status(struct ca *ca, const char *node_id, struct ca_request *request);

// Forgets a request of ca_status that nobody waits for any more: `answered` does not run.
void ca_forget(struct ca_request *request);

// Settles what another configuration makes of the root (settle_io.h), for UpdateCluster. Ends with
// ABORTED when the CA stops.
void ca_settle(struct ca *ca, struct settling *settling, Swarm__Cluster *cluster,
               struct arena *arena);

#endif
