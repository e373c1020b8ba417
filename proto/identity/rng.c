#include "proto/identity/rng.h"

#include "proto/base/check.h"

void rng_fill(const struct rng *rng, void *out, size_t size)
{
    CHECK(rng && rng->fill);
    rng->fill(rng->context, out, size);
}

int rng_mbedtls(void *rng, unsigned char *out, size_t size)
{
    rng_fill(rng, out, size);
    return 0;
}
