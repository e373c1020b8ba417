// What is said to a certificate authority outside of the cluster, and what its answers are worth:
// CFSSL's sign request and reply, as JSON (swarmkit.md section 5.2). Pure.
#ifndef MANAGER_CA_EXTERNAL_H
#define MANAGER_CA_EXTERNAL_H

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/rng.h"
#include "proto/wire/objects.pb-c.h"

// Authorities used of one cluster's list, and how many it may have.
#define EXTERNAL_CAS_MAX 16

// Largest answer read, and how long one authority may take for it.
#define EXTERNAL_ANSWER_BYTES_MAX ((size_t)256 << 10)
#define EXTERNAL_ANSWER_MS        5000

// Largest request made: the node's own request in it is at most CSR_BYTES_MAX, escaped.
#define EXTERNAL_REQUEST_BYTES_MAX ((size_t)1 << 20)

// A node's certificate: who it is to be for, and under which roots it must stand.
struct external_order {
    const void *csr_pem;
    size_t csr_size;
    const char *node_id;
    const char *cluster_id;
    enum identity_role role;
    const char *roots_pem;         // the cluster's
    const char *intermediates_pem; // what the bundle carries behind the leaf; "" for none
};

// Appends the request for a node's certificate: everything in it is ours but the key. Whoever asks
// us has no say in names or role. INVALID_ARGUMENT for a request that csr_open refuses.
int external_request(const struct external_order *order, struct buf *json, struct err *err);

// Appends the request to sign a new root's certificate with the present root's key.
// INVALID_ARGUMENT when key and certificate are no pair.
int external_cross_request(const char *root_pem, const char *key_pem, const struct rng *rng,
                           struct buf *json, struct err *err);

// Takes the certificate out of an answer with that HTTP status: appends PEM. ABORTED for what may
// be otherwise another time (a status, no JSON); FAILED_PRECONDITION when the authority refuses to
// sign.
int external_answer(int status, const void *bytes, size_t size, struct buf *pem, struct err *err);

// The bundle for an order, of the certificate that was answered: appends it to `chain`. ABORTED
// with the reason for one that is not exactly what was ordered: nothing of it is used.
int external_take(const struct external_order *order, const char *pem, struct wall now,
                  struct buf *chain, struct err *err);

// Whether the answer is the new root signed by the present one. ABORTED with the reason.
int external_take_crossed(const char *pem, const char *new_root_pem, const char *roots_pem,
                          struct wall now, struct err *err);

// Whether an entry of the cluster's list can be used at all. INVALID_ARGUMENT names it.
int external_check(const Swarm__CAConfig *config, struct err *err);

// Whether both texts hold the same certificates, however they are written.
bool external_same_certs(ProtobufCBinaryData a, ProtobufCBinaryData b);

// The URLs of the list's authorities that serve `root` (an entry without a certificate serves the
// present root): borrowed from the message, at most EXTERNAL_CAS_MAX.
size_t external_urls(const Swarm__Cluster *cluster, ProtobufCBinaryData root,
                     const char *urls[EXTERNAL_CAS_MAX]);

#endif
