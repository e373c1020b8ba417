// What a container is made from, as the API's JSON: its Config and HostConfig in the shape that
// inspect shows, every member there.
//
// Reading follows Go's encoding/json: keys match in any case, null is absent, unknown keys are
// ignored, and a wrong type is an error in Go's words.
#ifndef AGENT_CRATE_CONFIG_H
#define AGENT_CRATE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/base/json.h"

// Each makes a new object from one of a request's, or from NULL: then everything has its default.
// NULL and INVALID_ARGUMENT.
json_t *config_read(const json_t *object, struct err *err);
// Whether the body says anything of the Config at all.
bool config_given(const json_t *body);

json_t *host_config_read(const json_t *object, struct err *err);
json_t *exec_config_read(const json_t *object, struct err *err);

// The members of Config (or of HostConfig) by their names, in the API's order; NULL at the end. For
// who has to know that none was forgotten.
const char *config_name(bool host, size_t index);

// ---- reading what is settled --------------------------------------------------------------------

// The member of that name; where none is written just so the last that differs in case alone. NULL
// when it is absent or null.
const json_t *config_member(const json_t *object, const char *name);

// What Go's errors call a value of this type: "object", "number", ...
const char *config_go_kind(const json_t *value);

// Null, false, zero, "", [] or {}: what Go's omitempty leaves out.
bool config_is_empty(const json_t *value);

const char *config_str(const json_t *object, const char *name); // "" when absent
bool config_bool(const json_t *object, const char *name);
int64_t config_int(const json_t *object, const char *name);
const json_t *config_of(const json_t *object, const char *name); // an object or array, or NULL

#endif
