// Object ids as SwarmKit makes them: 25 characters of 0-9a-z (swarmkit.md section 25: 17 random
// bytes with the top bit set, in base 36, first digit dropped, next 25 kept).
#ifndef PROTO_BASE_ID_H
#define PROTO_BASE_ID_H

#include <stdbool.h>

#include "proto/base/rand.h"

#define ID_CHARS        25
#define ID_RANDOM_BYTES 17

struct id {
    char text[ID_CHARS + 1]; // NUL-terminated
};

// The id made of these random bytes.
struct id id_from_random(const unsigned char random[ID_RANDOM_BYTES]);

// A repeatable id from a seeded generator, for cores and tests. Real ids come from entropy_id.
struct id id_from_rand(struct rand *rand);

// True for 25 characters of 0-9a-z. Peers' ids are opaque: use this for our own only.
bool id_valid(const char *text);

#endif
