// What the journal holds and the database does not have yet: the newest end of the log, as sealed
// rows, and the newest hard state. Pure.
#ifndef RAFT_DISK_PENDING_H
#define RAFT_DISK_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "raft/disk/journal.h"

struct pending {
    uint64_t first; // the entries from here on are these, whatever the database has there
    size_t count;
    size_t cap;
    size_t *ends;     // where the row of each ends in `bytes`
    struct buf bytes; // rows, one after the other
    struct buf hard;  // the row; empty: the database has it
};

// Holds at most `bytes_max` bytes of rows.
void pending_init(struct pending *pending, size_t bytes_max);
void pending_fini(struct pending *pending);

bool pending_empty(const struct pending *pending);

// Forgets all, and gives the memory back.
void pending_clear(struct pending *pending);

// Takes over what the record says: its entries go in place of all from their first one on. False
// when they do not follow what is here, or are too many; nothing is changed then.
bool pending_take(struct pending *pending, struct journal_record *record);

// The row of entry first + `at`.
struct cursor pending_row(const struct pending *pending, size_t at);

#endif
