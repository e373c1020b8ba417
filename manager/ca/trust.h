// The cluster's root material in one place, read from the cluster object: what joining nodes are
// served, which tokens let them in, and who signs (swarmkit.md sections 3 to 5).
#ifndef MANAGER_CA_TRUST_H
#define MANAGER_CA_TRUST_H

#include <stdbool.h>
#include <stdint.h>

#include "manager/ca/external.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"
#include "proto/wire/objects.pb-c.h"

// Largest root certificate, bundle or key read from the cluster object.
#define ROOTCA_TEXT_BYTES_MAX ((size_t)1 << 20)

struct trust {
    char *cluster_id;
    char *roots_pem; // RootCA.ca_cert, the bytes that the tokens' digest is over
    char worker_token[TOKEN_TEXT_BYTES];
    char manager_token[TOKEN_TEXT_BYTES];
    int64_t expiry_ns; // of node certificates
    bool rotating;     // to another root
    // Authorities outside of the cluster that sign in our place (section 5.2): we sign only when
    // there are none. Their servers' certificates stand under the present root or, during a
    // rotation, the next one.
    char *external_urls[EXTERNAL_CAS_MAX];
    size_t external_count;
    char *server_roots_pem;
    char *intermediates_pem; // what issued bundles carry behind the leaf; "" for nothing
    struct signer *signer;   // NULL when there is no key to sign with; see `why`
    struct err why;          // why there is no signer
    // What `signer` was made of, to tell whether a cluster update changes it.
    uint8_t signer_digest[ROOTCA_DIGEST_BYTES];
};

// Takes everything over from the cluster object. A signer that is still right is kept (making one
// parses keys). `trust` is zeroed before the first call.
void trust_update(struct trust *trust, const Swarm__Cluster *cluster);
void trust_fini(struct trust *trust);

// The role a join token gives. False for a token of no kind: wrong, empty, of another cluster. The
// time it takes says nothing about the tokens.
bool trust_admits(const struct trust *trust, const char *token, enum identity_role *role);

// The certificate that the root of the issuers of wanted leaves has: during a rotation the new one,
// otherwise the present one. Borrowed from the message.
ProtobufCBinaryData trust_wanted(const Swarm__RootCA *ca);

#endif
