// Rows of images and volumes as their lists show them, for others who list them.
#ifndef AGENT_ENGINE_ROWS_H
#define AGENT_ENGINE_ROWS_H

#include "agent/engine/request.h"
#include "agent/image/library_io.h"
#include "agent/oci/volumes_io.h"

// "a/b:1" for the repository "a/b" or "a/b:0" and the tag "1" ("": the repository's own).
// INVALID_ARGUMENT.
int image_target(const char *repo, const char *tag, char out[REFERENCE_TEXT_BYTES],
                 struct err *err);

// `containers`: how many stand on it; `shared`: bytes of layers that others have too. -1: not
// counted.
void image_write_row(const struct image *image, int64_t containers, int64_t shared, unsigned minor,
                     struct json_out *out);

// Says on the bus what was done with an image, with its labels. `name`: what it was called by then,
// NULL: its id.
void image_tell(struct request *request, const char *action, const struct image *image,
                const char *name);

// The members of a volume, its object open; the caller ends it.
void volume_write_open(const struct volume *volume, struct json_out *out);

// Says on the bus that a kind of things was pruned.
void tell_pruned(struct request *request, const char *type, uint64_t freed);

#endif
