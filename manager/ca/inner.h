// What the files of the CA know of each other: ca.c follows the store and signs, requests.c lets
// nodes ask. Internal to the room.
#ifndef MANAGER_CA_INNER_H
#define MANAGER_CA_INNER_H

#include "manager/ca/absent.h"
#include "manager/ca/ca.h"
#include "manager/ca/guesses.h"
#include "manager/ca/signing.h"
#include "manager/ca/trust.h"
#include "proto/base/map.h"

#define CA_MAGIC 0x63617376u

// A batch on a worker. It outlives the CA when that stops meanwhile.
struct ca_job {
    struct loop_work work;
    struct ca *ca; // NULL once stopped
    struct signer *signer;
    const struct rng *rng;
    char *cluster_id;
    int64_t expiry_ns;
    struct wall now;
    size_t count;
    struct signing batch[CA_BATCH_MAX];
};

// A write that somebody waits for. The same: the store may answer after the CA stopped.
struct ca_commit {
    struct txn_done done;
    struct ca *ca;              // NULL once stopped
    struct ca_request *request; // NULL once answered
    char *node_id;
};

struct ca {
    unsigned magic;
    struct ca_config config;
    struct watch *watch;
    struct loop_later later;
    struct loop_timer retry;
    struct loop_timer round; // while a rotation is under way
    struct trust trust;
    bool stale;         // the cluster changed while a job had the signer
    struct map wanted;  // ids of nodes whose certificate is to be signed; no values
    struct ca_job *job; // at most one: a signer is for one thread at a time
    struct map waiting; // node id -> struct list of ca_request
    struct list commits;
    struct outsource *outsource;
    struct list settlings;
    struct guesses guesses;
    struct absent absent;
};

// Ends a request, `err` NULL exactly when there is a `node`.
void ca_answer(struct ca_request *request, const struct object *node, const struct err *err);

// Everybody who waits for the node: `node` or, when it is gone, NOT_FOUND; or all with `err`.
void ca_answer_waiting(struct ca *ca, const char *node_id, const struct object *node,
                       const struct err *err);

#endif
