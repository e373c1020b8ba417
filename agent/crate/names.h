// Names of containers: which are allowed, and made-up ones for those who do not care. Pure.
#ifndef AGENT_CRATE_NAMES_H
#define AGENT_CRATE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rand.h"

// [a-zA-Z0-9][a-zA-Z0-9_.-]+
bool crate_name_valid(const char *name);

// "calm_linden"; from the third attempt on with a number behind it.
void crate_name_make(struct rand *rand, unsigned attempt, char *out, size_t size);

#endif
