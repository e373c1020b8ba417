// Rows of applied state on their way to the disk: gathered between two commits, the newest value of
// each key only. Pure.
#ifndef RAFT_ROWS_H
#define RAFT_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/map.h"
#include "raft/disk/logdb_io.h"

struct rows {
    struct map by_key;    // struct row *
    struct piece *pieces; // what the rows lie in
    size_t bytes;         // of keys and values that were put, those put again as well
    bool replaced;        // everything stored before goes
    struct logdb_op *ops; // rows_ops's answer
};

void rows_init(struct rows *rows);
void rows_fini(struct rows *rows);

bool rows_empty(const struct rows *rows);

// Copies key and value. A value of NULL removes the row.
void rows_put(struct rows *rows, const void *key, size_t key_size, const void *value,
              size_t value_size);

// What is stored, and what was gathered so far, goes; what is put from now on stays.
void rows_replace(struct rows *rows);

// The rows as logdb wants them; valid until the next change.
const struct logdb_op *rows_ops(struct rows *rows, size_t *count);

// Moves everything from `from` into `to`, which is empty.
void rows_move(struct rows *to, struct rows *from);

#endif
