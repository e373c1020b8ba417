// The environment of a service in a compose file.
#ifndef CMD_SKEP_COMPOSE_ENV_H
#define CMD_SKEP_COMPOSE_ENV_H

#include "cmd/skep/compose.h"

// The list of "KEY=value" texts that `env_file` and, above it, `environment` make. A variable named
// without a value has that of files->variables; one missing there stays a bare name, and in a file
// is left out. A new value; NULL and INVALID_ARGUMENT.
json_t *compose_environment(const json_t *service, const struct compose_files *files,
                            struct arena *arena, struct err *err);

#endif
