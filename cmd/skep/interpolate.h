// Variables in compose files: $NAME, ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?why},
// ${NAME?why}, ${NAME:+other}, and $$ for a dollar.
#ifndef CMD_SKEP_INTERPOLATE_H
#define CMD_SKEP_INTERPOLATE_H

#include <jansson.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

#define INTERPOLATE_DEPTH_MAX 8 // of defaults inside of defaults

// The text with its variables replaced; `variables` is an object of texts. NULL and
// INVALID_ARGUMENT for what is no reference, FAILED_PRECONDITION for a missing one that is needed.
const char *interpolate(const char *text, const json_t *variables, struct arena *arena,
                        struct err *err);

#endif
