// The folder with a node's certificate, key and roots, laid out as dockerd's `swarm/certificates`
// (swarmkit.md section 6.1), replaced so that a crash at any moment leaves a usable pair.
//
// A certificate and its key are two files, and no rename replaces two files at once. So the new
// certificate is first written to its dot name, then the key is replaced, then the dot name is
// renamed over the certificate. A reader that finds key and certificate at odds tries the dot name.
// All calls block: use them at start-up or in worker jobs.
#ifndef PROTO_IDENTITY_CERTDIR_IO_H
#define PROTO_IDENTITY_CERTDIR_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/keyfile.h"

#define CERTDIR_ROOTS "swarm-root-ca.crt"
#define CERTDIR_CHAIN "swarm-node.crt"
#define CERTDIR_KEY   "swarm-node.key"

// Replaces the root bundle (mode 0644); makes the folder (0700) when it is missing.
int certdir_save_roots(const char *dir, const char *roots_pem, struct err *err);

// Reads the root bundle; the caller frees *roots_pem. NOT_FOUND when there is none.
int certdir_load_roots(const char *dir, char **roots_pem, struct err *err);

// Replaces certificate (0644) and key (0600) as one. `lock_key` as in keyfile_write.
int certdir_save_node(const char *dir, const char *chain_pem, const struct keyfile *file,
                      const uint8_t *lock_key, const struct rng *rng, struct err *err);

// Rewrites the key file alone (lock key or headers changed, same key).
int certdir_save_key(const char *dir, const struct keyfile *file, const uint8_t *lock_key,
                     const struct rng *rng, struct err *err);

// Reads all three into `credentials` and the key file's headers into `file` (both given back by the
// caller), finishing an interrupted replacement. NOT_FOUND when a file is missing; the errors of
// keyfile_open; INVALID_ARGUMENT when key and certificate do not belong together.
int certdir_load(const char *dir, const uint8_t *lock_key, struct credentials *credentials,
                 struct keyfile *file, struct err *err);

#endif
