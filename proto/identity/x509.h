// Node certificates and roots: reading them and checking them (swarmkit.md sections 2.1 to 2.3).
//
// Certificates travel as PEM text of one or more CERTIFICATE blocks. Times are parameters.
#ifndef PROTO_IDENTITY_X509_H
#define PROTO_IDENTITY_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/key.h"

// Most certificates in one chain, and in one bundle of trusted roots.
#define X509_CHAIN_MAX 8
#define X509_ROOTS_MAX 32

// What a certificate is good for, as in its extended key usage.
enum x509_usage {
    X509_SERVER,
    X509_CLIENT,
};

// Reads who the certificate speaks of. INVALID_ARGUMENT when it cannot be parsed or a name is
// longer than struct identity takes; missing parts are left "".
int x509_identity(const char *chain_pem, struct identity *identity, struct err *err);
int x509_identity_der(const void *der, size_t size, struct identity *identity, struct err *err);

// When the first certificate of the text is valid, both moments included.
int x509_validity(const char *chain_pem, struct wall *not_before, struct wall *not_after,
                  struct err *err);

// True when the first certificate names `name` among its DNS names (never its CN, as Go).
bool x509_has_dns_name(const char *chain_pem, const char *name);

// Whether the first certificate holds that key, given as DER SubjectPublicKeyInfo.
bool x509_has_public_key(const char *chain_pem, struct cursor public_key);

struct x509_check {
    const char *chain_pem; // leaf first
    const char *roots_pem;
    const struct key *key; // NULL: whose key it is does not matter
    struct wall now;
    enum x509_usage usage;
    // Times do not matter: for force-new-cluster, and for one's own certificate that expired while
    // the node was off.
    bool allow_expired;
};

// The rules for an issued bundle (section 2.3): the first certificate matches the key, each is
// signed by the next, none is expired or not yet valid, the leaf verifies to a root and is good for
// `usage`. UNAUTHENTICATED when no root knows the issuer (the one case in which a worker fetches
// the roots again, section 3.3), FAILED_PRECONDITION when something is outside of its validity,
// INVALID_ARGUMENT for everything else. The messages are Go's where it has one.
int x509_check_chain(const struct x509_check *check, struct err *err);

// What a node's certificate must be, whoever signed it.
struct x509_node {
    struct cursor public_key; // DER SubjectPublicKeyInfo, as csr_open gives it
    const char *node_id;
    const char *cluster_id;
    enum identity_role role;
};

// Whether the first certificate is that node's and nobody else's: its key, its names, one role, no
// CA, and no name by which it could pass as a manager when it is none. INVALID_ARGUMENT with what
// is wrong. Who signed it is x509_check_chain's to say.
int x509_check_node(const char *chain_pem, const struct x509_node *node, struct err *err);

// Whether the first certificate is the root's key in another's hand: the same subject and key, a
// CA. INVALID_ARGUMENT with what is wrong.
int x509_check_crossed(const char *crossed_pem, const char *root_pem, struct err *err);

// Appends the certificates of the text re-encoded: headers, comments and stray white space gone.
int x509_normalise(const char *pem, struct buf *out, struct err *err);

// Who issued a certificate, as NodeDescription.tls_info reports it (section 5.1).
struct x509_issuer {
    struct buf subject;    // DER of the issuer's Name
    struct buf public_key; // DER of the issuer's SubjectPublicKeyInfo
};

// Finds the issuer of the first certificate: the next one of the chain, else the root whose key
// made the signature (roots of one cluster share a name, so names decide nothing). NOT_FOUND when
// none did.
int x509_issuer(const char *chain_pem, const char *roots_pem, struct x509_issuer *issuer,
                struct err *err);
void x509_issuer_fini(struct x509_issuer *issuer);

#endif
