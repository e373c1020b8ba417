// The shelves that are held for a while after a list was asked for: one per noun, the newest.
#ifndef AGENT_ENGINE_SHELVES_H
#define AGENT_ENGINE_SHELVES_H

#include "agent/engine/shelf.h"
#include "proto/base/clock.h"

struct noun;
struct shelves;

#define SHELVES_NOUNS_MAX 8

// A list longer than that is not held, and none is held for longer than that after its last use:
// an engine that nobody asks for lists has no memory in them.
#define SHELVES_BYTES_MAX ((size_t)64 << 20)
#define SHELVES_HELD_MS   3000

struct shelves *shelves_new(void);
void shelves_free(struct shelves *shelves);

// The noun's shelf, or NULL; counted for the shelves, not for the caller.
struct shelf *shelves_find(struct shelves *shelves, const struct noun *noun);

// Holds it, in place of an older one. Passed over: shelves without a mark, too large ones, and
// those that a newer one of the same store has overtaken.
void shelves_put(struct shelves *shelves, const struct noun *noun, struct shelf *shelf,
                 struct mono now);

// Drops what has not been used for SHELVES_HELD_MS; true while something is held.
bool shelves_age(struct shelves *shelves, struct mono now);

void shelves_clear(struct shelves *shelves);

#endif
