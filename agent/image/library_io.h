// The node's images: which there are and what they are called. Records live in LMDB and, parsed, in
// memory; a change is on disk before its call returns.
//
// An image's id is the digest of its configuration. Its names are tags
// ("docker.io/library/busybox:1") and digests ("docker.io/library/busybox@sha256:...", of a
// manifest or of a list it came from).
#ifndef AGENT_IMAGE_LIBRARY_IO_H
#define AGENT_IMAGE_LIBRARY_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image/manifest.h"
#include "agent/image/reference.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/map.h"

#define LIBRARY_IMAGES_MAX 100000
#define LIBRARY_NAMES_MAX  256 // per image, tags and digests together

struct library;

struct image {
    char id[72];              // "sha256:<64>"
    char manifest_digest[72]; // of the manifest blob in the store
    uint64_t size_bytes;      // of the layers
    uint64_t *layer_bytes;    // of the files in each layer; as it is stored where that is not known
    struct wall added;
    struct wall last_tagged; // 0: never
    char **tags;             // full names with tag, sorted
    size_t tags_count;
    char **digests; // full names with digest, sorted
    size_t digests_count;
    struct manifest manifest;   // in the image's own memory
    struct image_config config; // likewise
    const char *config_json;
    size_t config_json_bytes;
    struct arena arena;
};

// Opens (making it when missing) the library in `dir`. Records whose blobs are damaged are left out
// and logged.
int library_open(const char *dir, struct library **out, struct err *err);
void library_close(struct library *library);

// By full or familiar name, tag or digest, id or unique beginning of one. NOT_FOUND "No such image:
// x", INVALID_ARGUMENT when ambiguous. The image belongs to the library and lives until its next
// change.
int library_find(const struct library *library, const char *text, const struct image **out,
                 struct err *err);
const struct image *library_by_id(const struct library *library, const char *id);

size_t library_count(const struct library *library);
// Walks all in the order they were added: start with *position 0; NULL at the end.
const struct image *library_next(const struct library *library, size_t *position);

// Adds an image (its blobs are in the store and durable) or finds it there; gives it the names.
// `reference` may be NULL (no name) and its digest may differ from manifest_digest (a list).
// `contents`: of each layer, as blobs_content has it; NULL: not known.
int library_add(struct library *library, const char *manifest_digest, const void *manifest,
                size_t manifest_bytes, const void *config, size_t config_bytes,
                const uint64_t *contents, const struct reference *reference,
                const struct image **out, struct err *err);

// Moves or makes a name; a tag that named another image is taken from it.
int library_name(struct library *library, const char *id, const struct reference *reference,
                 struct err *err);
// Takes a name away; NOT_FOUND.
int library_unname(struct library *library, const struct reference *reference, struct err *err);
// Forgets the image and its names.
int library_remove(struct library *library, const char *id, struct err *err);

#endif
