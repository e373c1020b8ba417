// Routes as a table: method, path pattern, handler. "/services/{id}/update" binds id; the last
// parameter of a pattern may be "{name...}", which takes the rest with its slashes (image names).
// An optional "/v1.NN" in front is split off before the table is walked.
#ifndef PROTO_HTTP_ROUTER_H
#define PROTO_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/arena.h"

#define ROUTER_PARAMS_MAX 4

struct route {
    const char *method; // "GET" serves HEAD too when the table has no HEAD of its own
    const char *pattern;
    const void *target; // the table's owner knows what it is
};

struct route_param {
    const char *name; // up to '}' or "...", not NUL-terminated: compare with route_match_get
    size_t name_length;
    const char *value; // decoded
};

struct route_match {
    const struct route *route;
    struct route_param params[ROUTER_PARAMS_MAX];
    size_t params_count;
};

enum route_result {
    ROUTE_FOUND,
    ROUTE_NO_PATH,   // 404
    ROUTE_NO_METHOD, // the path exists with other methods: 405
};

// Splits "/v1.41/info" into version ("1.41", in the arena) and "/info". Without a version *version
// is NULL and the path comes back as it is. Only "/v" digits "." digits counts.
const char *route_version(const char *path, struct arena *arena, const char **version);

// Finds the first row that fits the undecoded path; an exact segment in an earlier row wins over a
// parameter in a later one, so tables list the exact rows first. Values are decoded into the arena.
enum route_result route_find(const struct route *routes, size_t count, const char *method,
                             const char *raw_path, struct arena *arena, struct route_match *out);

// The value bound to `name`; NULL when the pattern has no such parameter.
const char *route_match_get(const struct route_match *match, const char *name);

#endif
