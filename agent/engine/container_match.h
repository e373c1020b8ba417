// Which containers the filters of a list let through.
#ifndef AGENT_ENGINE_CONTAINER_MATCH_H
#define AGENT_ENGINE_CONTAINER_MATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/crate/crates_io.h"
#include "agent/engine/backend.h"
#include "agent/engine/filter.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"

// The keys that the list of containers knows.
extern const struct filter_row container_match_rows[];
extern const size_t container_match_rows_count;

struct port_range {
    uint64_t from, to;
    uint8_t protocol;
};

struct container_match {
    const struct filters *filters;
    const struct library *library;
    struct port_range *ranges; // of the filters that name ports, each at its value's index
    bool ended;                // they ask for containers that do not run, too
    struct wall before;        // 0: no bound
    struct wall since;
};

// Reads the values of parsed filters, which are borrowed. INVALID_ARGUMENT and INTERNAL in
// dockerd's words (it answers 500 to numbers that are none, and to containers that are not there).
int container_match_make(const struct filters *filters, const struct backend_local *local,
                         struct arena *arena, struct container_match *out, struct err *err);

bool container_match(const struct container_match *match, const struct crate *crate);

#endif
