// The one store of blobs that all images share: <root>/blobs/sha256/<hex>, named by their content.
//
// All calls block: start-up, tests and worker jobs.
#ifndef AGENT_IMAGE_BLOBS_IO_H
#define AGENT_IMAGE_BLOBS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/map.h"

#define BLOB_PATH_BYTES 4096

// Path of a blob; `digest` is valid ("sha256:<64>").
int blobs_path(const char *root, const char *digest, char out[BLOB_PATH_BYTES], struct err *err);

bool blobs_have(const char *root, const char *digest, uint64_t size);

// Appends the blob after checking that its content is what the name says. DATA_LOSS when not.
int blobs_read(const char *root, const char *digest, struct buf *out, struct err *err);

// The digest of bytes ("sha256:<64>").
void blobs_digest(const void *bytes, size_t size, char digest[72]);

// Stores bytes; their digest comes out ("sha256:<64>", 72 bytes of room).
int blobs_put(const char *root, const void *bytes, size_t size, char digest[72], struct err *err);

// Moves a file into the store when its content has this digest and size (DATA_LOSS otherwise).
// Durable when it returns. A blob that is there already wins; the file is gone either way.
int blobs_adopt(const char *root, const char *file, const char *digest, uint64_t size,
                struct err *err);

// The digest of a file's bytes ("sha256:<64>").
int blobs_digest_file(const char *file, char digest[72], uint64_t *size, struct err *err);
// The digest of a layer's tar, unpacked when it is gzip, and the bytes of the files in it.
// INVALID_ARGUMENT for what is no whole tar.
int blobs_diff_id(const char *file, char digest[72], uint64_t *content, struct err *err);

// The bytes of the files in a layer of the store; BLOB_CONTENT_UNKNOWN for one that cannot be
// looked through.
#define BLOB_CONTENT_UNKNOWN UINT64_MAX
uint64_t blobs_content(const char *root, const char *digest);

// Removes blobs whose digest is no key of `keep`; *freed (may be NULL) gets the bytes.
int blobs_sweep(const char *root, const struct map *keep, uint64_t *freed, struct err *err);

#endif
