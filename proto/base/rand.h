// A seeded random generator for decisions and simulations (xoshiro256**), and never for secrets:
// keys, tokens and ids come from entropy_io.h.
//
// Two generators with one seed give the same numbers for ever; a simulator depends on it.
#ifndef PROTO_BASE_RAND_H
#define PROTO_BASE_RAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rand {
    uint64_t state[4];
};

// Seeds the generator; any seed is good, 0 too.
void rand_init(struct rand *rand, uint64_t seed);

// Uniform over all 64-bit values.
uint64_t rand_u64(struct rand *rand);

// Uniform over [0, bound); bound is at least 1.
uint64_t rand_below(struct rand *rand, uint64_t bound);

// Uniform over [low, high], both included; low <= high.
int64_t rand_between(struct rand *rand, int64_t low, int64_t high);

// True with probability numerator / denominator.
bool rand_chance(struct rand *rand, uint64_t numerator, uint64_t denominator);

// Uniform over [0, 1).
double rand_unit(struct rand *rand);

void rand_bytes(struct rand *rand, void *out, size_t size);

#endif
