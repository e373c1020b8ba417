// Generic resources: counted or named things that a node advertises and tasks reserve
// (swarmkit.md section 15.2).
#ifndef MANAGER_SCHED_GENERIC_H
#define MANAGER_SCHED_GENERIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/wire/objects.pb-c.h"

struct generic_item {
    char *kind;
    char *value;   // a named item; NULL for a counted kind
    int64_t count; // counted kinds
};

// A multiset; zero-initialised is empty. Owns its texts.
struct generic_set {
    struct generic_item *items;
    size_t count;
    size_t cap;
};

void generic_init_of(struct generic_set *set, Swarm__GenericResource *const *list, size_t count);
void generic_fini(struct generic_set *set);

// True when the set holds `count` of the kind: items for a named kind, the number for a counted.
bool generic_has(const struct generic_set *set, const char *kind, int64_t count);

// Moves `count` of the kind from the set to `taken`, the first named items first. Must be there.
void generic_claim(struct generic_set *set, const char *kind, int64_t count,
                   struct generic_set *taken);

// Takes exactly what `list` names out of the set (what is not there is left out: a node may
// advertise less than before), or puts it back.
void generic_take(struct generic_set *set, const struct generic_set *list);
void generic_give(struct generic_set *set, const struct generic_set *list);

// As messages for Task.assigned_generic_resources, in `arena`; NULL past its limit.
Swarm__GenericResource **generic_messages(const struct generic_set *set, struct arena *arena);

#endif
