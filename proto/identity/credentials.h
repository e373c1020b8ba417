// What a node shows to its peers and believes of them: certificate chain, key, trusted roots.
//
// proto/net/tls turns this into a TLS configuration. Plain data: all three are PEM text with a NUL
// at the end, ready for mbedTLS's parsers (whose lengths include that NUL).
#ifndef PROTO_IDENTITY_CREDENTIALS_H
#define PROTO_IDENTITY_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

// Longest CN, OU or O read from a certificate, terminator included: X.520 ends them at 64
// characters. Ids and role names here have at most 30.
#define IDENTITY_TEXT_BYTES 65
// Most organisational units read from one certificate. Our own have one.
#define IDENTITY_UNITS_MAX 4

// The numbers are swarmkit's NodeRole.
enum identity_role {
    IDENTITY_WORKER = 0,
    IDENTITY_MANAGER = 1,
};

// The subject of a node certificate (swarmkit.md section 2.1). Missing parts are "".
struct identity {
    char node_id[IDENTITY_TEXT_BYTES];                   // CN
    char cluster_id[IDENTITY_TEXT_BYTES];                // first O
    char units[IDENTITY_UNITS_MAX][IDENTITY_TEXT_BYTES]; // every OU, in order
    size_t units_count;
};

// "swarm-worker" or "swarm-manager": the OU and the first SAN of a certificate of that role.
const char *identity_role_name(enum identity_role role);

// True when any OU names the role: how a server decides what a caller may do.
bool identity_has_role(const struct identity *identity, enum identity_role role);

// The first OU as a role: how a node decides what it is itself. False when it is neither.
bool identity_own_role(const struct identity *identity, enum identity_role *role);

// True with a CN, an O and at least one OU; a certificate lacking one of them is unusable to stock
// peers.
bool identity_complete(const struct identity *identity);

// The name to verify and to send as SNI: see the table in swarmkit.md section 1.1.
#define SERVER_NAME_MANAGER "swarm-manager" // whenever we have node credentials
#define SERVER_NAME_CA      "swarm-ca"      // for the first certificate and for GetUnlockKey

struct credentials {
    char *chain_pem; // leaf first, then intermediates, never the root; NULL while joining
    char *key_pem;   // PKCS#8 in clear, without headers; NULL while joining
    char *roots_pem; // trusted roots, at least one
    // Of the leaf; empty while joining.
    struct identity identity;
    struct wall not_before;
    struct wall not_after;
};

// Copies the three texts and reads the leaf. The key must belong to the leaf and the leaf must be
// complete (identity_complete); nothing else is checked here, not even the time: see
// x509_check_chain. INVALID_ARGUMENT otherwise, and the struct is then empty.
int credentials_init(struct credentials *credentials, const char *chain_pem, const char *key_pem,
                     const char *roots_pem, struct err *err);

// Roots only: for the calls of a node that has no certificate yet.
int credentials_init_roots(struct credentials *credentials, const char *roots_pem, struct err *err);

void credentials_copy(struct credentials *to, const struct credentials *from);

// Wipes the key and frees everything; the struct is empty afterwards. An empty (zeroed) one is
// fine.
void credentials_fini(struct credentials *credentials);

#endif
