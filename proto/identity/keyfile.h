// The node's key file: one private key with the headers a swarm node keeps beside it, in clear or
// locked by the cluster's lock key (swarmkit.md sections 6.2 and 6.3).
#ifndef PROTO_IDENTITY_KEYFILE_H
#define PROTO_IDENTITY_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/key.h"
#include "proto/identity/pem.h"
#include "proto/identity/rng.h"
#include "proto/identity/token.h"

#define KEYFILE_DATA_KEY_BYTES_MAX 64
// Most headers of somebody else's: four of a block's are ours.
#define KEYFILE_OTHERS_MAX (PEM_HEADERS_MAX - 4)

// A data key that the file carries for the Raft log; absent when bytes_count is 0.
struct data_key {
    uint8_t bytes[KEYFILE_DATA_KEY_BYTES_MAX];
    size_t bytes_count;
};

struct keyfile {
    struct key key;
    uint64_t kek_version;         // version of the cluster object that brought the lock key
    struct data_key raft;         // header raft-dek
    struct data_key raft_pending; // header raft-dek-pending
    bool raft_needs_rotation;     // header raft-dek-needs-rotation
    // Headers nobody here knows, kept through every rewrite.
    struct pem_header others[KEYFILE_OTHERS_MAX];
    size_t others_count;
};

// A data key that stood in clear is to be replaced: the file gets the next one, unless it carries
// none at all; with one on its way already, another has to follow it.
void keyfile_replace_data_key(struct keyfile *file, const struct rng *rng);

// The next data key has taken the place of the present one. False when there is none.
bool keyfile_settle_data_key(struct keyfile *file, const struct rng *rng);

// True when the text is a key file whose key is encrypted, in either form.
bool keyfile_is_locked(const void *pem, size_t size);

// Reads a key file; `lock_key` (LOCK_KEY_BYTES) may be NULL. FAILED_PRECONDITION when it is locked
// and there is no lock key, UNAUTHENTICATED when the lock key does not fit, INVALID_ARGUMENT when
// it is no key file. A file in clear opens whatever the lock key; its headers are then in clear
// too. On error the struct is empty.
int keyfile_open(struct keyfile *file, const void *pem, size_t size, const uint8_t *lock_key,
                 struct err *err);

// Appends the file: in clear, or with a lock key encrypted (PBES2 with PBKDF2-HMAC-SHA1 and
// AES-256-CBC, data keys as MaybeEncryptedRecord with secretbox).
void keyfile_write(const struct keyfile *file, const uint8_t *lock_key, const struct rng *rng,
                   struct buf *out);

// Wipes everything; the struct is empty afterwards.
void keyfile_fini(struct keyfile *file);

#endif
