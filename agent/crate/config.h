// What a container is made from, as the API's JSON: its Config and HostConfig in the shape that
// inspect shows, every member there.
//
// Reading follows Go's encoding/json: keys match in any case, null is absent, unknown keys are
// ignored, and a wrong type is an error in Go's words.
#ifndef AGENT_CRATE_CONFIG_H
#define AGENT_CRATE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/container_defaults.h"
#include "agent/image/manifest.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

// Each makes a new object from one of a request's, or from NULL: then everything has its default.
// NULL and INVALID_ARGUMENT.
json_t *config_read(const json_t *object, struct err *err);
// Whether the body says anything of the Config at all.
bool config_given(const json_t *body);

json_t *host_config_read(const json_t *object, struct err *err);
json_t *exec_config_read(const json_t *object, struct err *err);

// Changes the members of HostConfig that the object names (docker update).
int host_config_change(json_t *host, const json_t *object, struct err *err);

// Fills in what the image says where the config says nothing: command, entrypoint, environment,
// working folder, user, labels, volumes, ports, health check, stop signal.
void config_merge_image(json_t *config, const struct image_config *image);

// The members of Config (or of HostConfig) by their names, in the API's order; NULL at the end. For
// who has to know that none was forgotten.
const char *config_name(bool host, size_t index);

// The rules that need no machine: names, ranges, modes. INVALID_ARGUMENT in dockerd's words, and
// UNIMPLEMENTED for options that this engine does not have. Settles what has a computed default
// (shared memory, swap, log driver, modes of namespaces), by the node's own where it has one.
int host_config_settle(json_t *config, json_t *host, const struct container_defaults *defaults,
                       struct err *err);

// Names that HostConfig.Runtime may have: all of them mean the one program that runs containers.
// NULL ends it.
extern const char *const host_config_runtimes[];

// ---- reading what is settled --------------------------------------------------------------------

// The member of that name in any case; NULL when it is absent or null.
const json_t *config_member(const json_t *object, const char *name);

// What Go's errors call a value of this type: "object", "number", ...
const char *config_go_kind(const json_t *value);

const char *config_str(const json_t *object, const char *name); // "" when absent
bool config_bool(const json_t *object, const char *name);
int64_t config_int(const json_t *object, const char *name);
const json_t *config_of(const json_t *object, const char *name); // an object or array, or NULL

#endif
