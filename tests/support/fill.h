// Fills messages of any type with random content, by descriptor.
#ifndef TESTS_SUPPORT_FILL_H
#define TESTS_SUPPORT_FILL_H

#include "proto/base/rand.h"
#include "proto/wire/wire.h"

// A random message of `type` in the arena: about half of its fields set, lists of up to three, maps
// with distinct keys, nested at most `depth` levels, and now and then a field nobody knows.
void *fill_message(const wire_type *type, struct rand *rand, struct arena *arena, unsigned depth);

// Moves the entries of every map in the message, to any depth, into reverse order.
void fill_reverse_maps(void *message);

#endif
