// The kernel as the source of secrets.
#ifndef PROTO_IDENTITY_RNG_IO_H
#define PROTO_IDENTITY_RNG_IO_H

#include "proto/identity/rng.h"

// Lives for ever; safe from any thread.
extern const struct rng rng_kernel;

#endif
