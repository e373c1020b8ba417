// What the node process charges its manager process with: who it is, where its state lies, and how
// it comes to be a member. Pure: JSON between the two, over their private channel.
//
// It holds keys: whoever packs or parses it wipes the text afterwards.
#ifndef CMD_SKEPD_CHARGE_H
#define CMD_SKEPD_CHARGE_H

#include <stdbool.h>
#include <stddef.h>

#include "manager/manager.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/identity/keyfile.h"

#define CHARGE_JOINS_MAX 16
// Largest cluster object, packed, that a charge can hold: one that was just made.
#define CHARGE_CLUSTER_BYTES_MAX ((size_t)16 << 10)

struct charge {
    enum manager_birth birth;
    struct seal_key key;
    bool has_previous_key;
    struct seal_key previous_key;
    char *advertise;
    char *chain_pem, *key_pem, *roots_pem;
    Swarm__Cluster *first_cluster;              // MANAGER_FOUND, else NULL
    Swarm__NodeSpec__Availability availability; // MANAGER_FOUND: of this node
    char *joins[CHARGE_JOINS_MAX];              // MANAGER_JOIN
    size_t joins_count;
};

// Replaces it by a new one; all is copied. Further members are the caller's to add.
void charge_fill(struct charge *charge, enum manager_birth birth, const char *advertise,
                 const struct credentials *credentials, const struct data_key *key);

// The key file's data keys: `next` takes the place of `key`, unless it is empty.
void charge_set_keys(struct charge *charge, const struct data_key *key,
                     const struct data_key *next);

// The certificate or the roots were renewed.
void charge_set_credentials(struct charge *charge, const struct credentials *credentials);

// Frees and wipes what a parsed charge holds (all texts and the cluster are the charge's own).
void charge_fini(struct charge *charge);

// The cluster is at most CHARGE_CLUSTER_BYTES_MAX: see charge_check_cluster.
void charge_pack(const struct charge *charge, struct buf *out);

// INVALID_ARGUMENT for anything charge_pack does not write.
int charge_parse(const void *text, size_t size, struct charge *out, struct err *err);

// INVALID_ARGUMENT for a cluster too large to be handed over, as users' labels can make it.
int charge_check_cluster(const Swarm__Cluster *cluster, struct err *err);

#endif
