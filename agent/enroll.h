// Getting a node certificate: joining with a token, and renewing one (swarmkit.md sections 3.2,
// 3.3). Pure: a machine that says which call to make next and is told how it went. enroll_rpc.h
// makes them.
#ifndef AGENT_ENROLL_H
#define AGENT_ENROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/rand.h"
#include "proto/identity/credentials.h"
#include "proto/identity/key.h"
#include "proto/identity/rng.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/types.pb-c.h"

#define ENROLL_CALL_MS   5000 // deadline of every call
#define ENROLL_TRIES     5    // of the root and of everything after it
#define ENROLL_PAUSE_NS  (2 * NS_PER_S)
#define ENROLL_POLLS_MAX 100 // of one request's status, before it counts as failed

enum enroll_call {
    ENROLL_ROOT,       // CA/GetRootCACertificate
    ENROLL_ISSUE,      // NodeCA/IssueNodeCertificate
    ENROLL_STATUS,     // NodeCA/NodeCertificateStatus
    ENROLL_UNLOCK_KEY, // CA/GetUnlockKey
    ENROLL_DONE,       // enroll_credentials has the result
    ENROLL_FAILED,     // enroll_error says why
};

// What to do next. The texts live until the next event.
struct enroll_ask {
    enum enroll_call call;
    int64_t wait_ns;         // before it
    bool fresh;              // on a new connection to a manager chosen anew
    const char *server_name; // NULL: TLS without verification
    const char *roots_pem;   // NULL exactly then
    const char *chain_pem;   // NULL: no client certificate
    const char *key_pem;
};

struct enroll;

// Joins with a token. `availability` is wished for the node. INVALID_ARGUMENT for what is no token,
// FAILED_PRECONDITION for a cluster that insists on FIPS; NULL then.
struct enroll *enroll_join(const char *token, Swarm__NodeSpec__Availability availability,
                           const struct rng *rng, uint64_t seed, struct err *err);

// Renews: `credentials` are copied. The new certificate must have the role `expected`. A failure
// ends it; when to try again is the caller's business (renewal.h).
struct enroll *enroll_renew(const struct credentials *credentials, enum identity_role expected,
                            const struct rng *rng, uint64_t seed);

void enroll_free(struct enroll *enroll); // wipes key, token and lock key; NULL is fine

struct enroll_ask enroll_next(struct enroll *enroll);

// What goes into the calls.
const char *enroll_csr(const struct enroll *enroll, size_t *size);
const char *enroll_token(const struct enroll *enroll); // "" for a renewal
const char *enroll_node_id(const struct enroll *enroll);
Swarm__NodeSpec__Availability enroll_availability(const struct enroll *enroll);

// How the call asked for went.
void enroll_failed(struct enroll *enroll, const struct err *err);
void enroll_got_root(struct enroll *enroll, const void *pem, size_t size, struct wall now);
void enroll_got_issued(struct enroll *enroll, const char *node_id);
void enroll_got_status(struct enroll *enroll, Swarm__IssuanceStatus__State state, const char *why,
                       const Swarm__Certificate *certificate, struct wall now);
void enroll_got_unlock_key(struct enroll *enroll, const void *key, size_t size, uint64_t version);

// After ENROLL_DONE, for as long as the struct lives.
const struct credentials *enroll_credentials(const struct enroll *enroll);
const struct key *enroll_key(const struct enroll *enroll);
// The lock key (LOCK_KEY_BYTES) and the version that brought it, NULL for a cluster that is not
// locked and for workers.
const uint8_t *enroll_lock_key(const struct enroll *enroll, uint64_t *version);

// After ENROLL_FAILED; and whether a call ended with it, or it was found here.
const struct err *enroll_error(const struct enroll *enroll);
bool enroll_error_is_calls(const struct enroll *enroll);

#endif
