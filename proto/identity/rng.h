// Randomness for secrets as a parameter, so that everything here that makes keys and signatures is
// a plain function. Programs pass rng_kernel (rng_io.h), tests may pass a repeatable one.
#ifndef PROTO_IDENTITY_RNG_H
#define PROTO_IDENTITY_RNG_H

#include <stddef.h>

struct rng {
    void (*fill)(void *context, void *out, size_t size); // cannot fail
    void *context;
};

void rng_fill(const struct rng *rng, void *out, size_t size);

// The same in mbedTLS's shape: pass it as f_rng with the struct rng as p_rng. Always 0.
int rng_mbedtls(void *rng, unsigned char *out, size_t size);

#endif
