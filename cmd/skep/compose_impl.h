// What the files that convert a compose file share.
#ifndef CMD_SKEP_COMPOSE_IMPL_H
#define CMD_SKEP_COMPOSE_IMPL_H

#include "cmd/skep/compose.h"
#include "cmd/skep/flags.h"

#define NAMESPACE "com.docker.stack.namespace"
#define CONTAINER "TaskTemplate.ContainerSpec."

struct converting {
    const json_t *project;
    const char *stack;
    const struct compose_files *files;
    struct arena *arena;
    struct err *err;
    const char *where; // "services.web"
};

// The error "services.web: what". Always fails.
int compose_refuse(struct converting *c, const char *what);

bool compose_is_external(const json_t *object);

// What the swarm calls the object of the section: its name, or the stack's name and the key.
const char *compose_name(struct converting *c, const char *section, const char *key);

// The labels, and the stack's own. A new value.
json_t *compose_labels(struct converting *c, const json_t *labels);

// Copies a member under another name, when it is there; the second reads a duration, a size or a
// number of processors.
void compose_copy(const json_t *from, const char *path, json_t *to, const char *as);
int compose_number(struct converting *c, enum flag_kind kind, const json_t *from, const char *path,
                   json_t *to, const char *as);

// The mounts of `volumes:` and `tmpfs:` into the service's specification.
int compose_mounts(struct converting *c, const json_t *service, json_t *spec);

#endif
