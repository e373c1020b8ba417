#include "proto/base/rand.h"

#include <string.h>

#include "proto/base/check.h"

// SplitMix64: spreads a seed over the state so that neighbouring seeds do not resemble each other.
static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void rand_init(struct rand *rand, uint64_t seed)
{
    for (size_t i = 0; i < COUNT_OF(rand->state); i++)
        rand->state[i] = splitmix(&seed);
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

uint64_t rand_u64(struct rand *rand)
{
    uint64_t *s = rand->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t rand_below(struct rand *rand, uint64_t bound)
{
    CHECK(bound > 0);
    // Values below 2^64 mod bound would make the low results likelier: draw again.
    uint64_t skip = -bound % bound;
    uint64_t value;
    do
        value = rand_u64(rand);
    while (value < skip);
    return value % bound;
}

int64_t rand_between(struct rand *rand, int64_t low, int64_t high)
{
    CHECK(low <= high);
    uint64_t span = (uint64_t)high - (uint64_t)low;
    if (span == UINT64_MAX)
        return (int64_t)rand_u64(rand);
    return (int64_t)((uint64_t)low + rand_below(rand, span + 1));
}

bool rand_chance(struct rand *rand, uint64_t numerator, uint64_t denominator)
{
    return rand_below(rand, denominator) < numerator;
}

double rand_unit(struct rand *rand)
{
    return (double)(rand_u64(rand) >> 11) * 0x1p-53;
}

void rand_bytes(struct rand *rand, void *out, size_t size)
{
    unsigned char *at = out;
    while (size) {
        uint64_t value = rand_u64(rand);
        size_t part = size < sizeof value ? size : sizeof value;
        memcpy(at, &value, part);
        at += part;
        size -= part;
    }
}
