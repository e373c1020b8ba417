// Compose files of version 3 as `stack deploy` takes them: read, checked, merged, and turned into
// what the API wants. Pure: files named inside are read through a function of the caller's.
#ifndef CMD_SKEP_COMPOSE_H
#define CMD_SKEP_COMPOSE_H

#include <jansson.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

// Reads one file: variables are replaced, unknown keys refused by name and line ("web.yml:12:
// ..."), short forms written out (lists of "A=b" as maps, "80:80" as port objects). What is legal
// but has no meaning in a swarm is noted in `warnings` (an array of texts). A new value; NULL and
// INVALID_ARGUMENT.
// Without `variables` (NULL) they are left as they are written.
json_t *compose_read(const char *file, const char *text, size_t size, const json_t *variables,
                     json_t *warnings, struct arena *arena, struct err *err);

// Lays `over` on top of `base` as a second --compose-file is: maps are joined, lists of ports,
// volumes and the like grow, other values are replaced.
void compose_merge(json_t *base, const json_t *over);

struct compose_files {
    // The text of a file named in the compose file, in the arena; NULL with *err.
    const char *(*read)(void *owner, const char *path, size_t *size, struct err *err);
    void *owner;
    const char *folder;      // relative paths start there
    const json_t *variables; // what variables have that are named without a value; may be NULL
};

// The stack's objects: {"Networks": [...], "Secrets": [...], "Configs": [...], "Services": [...]},
// each as the API's create calls take it. Networks, secrets and configurations that are external
// are listed in "ExternalNetworks" ... by their names. References still are names
// ("Target", "SecretName", "ConfigName"). A new value; NULL and INVALID_ARGUMENT.
json_t *compose_convert(const json_t *project, const char *stack, const struct compose_files *files,
                        struct arena *arena, struct err *err);

#endif
