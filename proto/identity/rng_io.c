#include "proto/identity/rng_io.h"

#include "proto/base/entropy_io.h"

static void fill_from_kernel(void *context, void *out, size_t size)
{
    (void)context;
    entropy_bytes(out, size);
}

const struct rng rng_kernel = {.fill = fill_from_kernel};
