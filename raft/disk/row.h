// The rows of the log database: how entries and durable facts become bytes, and back. Pure.
//
// Every row is sealed, with its place (table and key, and for entries term and type too) as
// associated data. All numbers are little-endian. A row that does not verify or parse is DATA_LOSS,
// and the message names it.
#ifndef RAFT_DISK_ROW_H
#define RAFT_DISK_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "raft/core/types.h"
#include "raft/disk/seal.h"

// Largest body of one entry: SwarmKit's proposal limit of 1.5 MiB (swarmkit 18.1) with room to
// spare.
#define ROW_ENTRY_BYTES_MAX ((size_t)4 << 20)

// Largest value of one state row.
#define ROW_STATE_BYTES_MAX ((size_t)4 << 20)

// An entry's term and type stand in clear (but verified) before its sealed body.
#define ROW_ENTRY_HEAD_BYTES 9

// Appends an entry's row: term (8), type (1), then the sealed body.
void row_put_entry(struct seal *seal, const struct raft_entry *entry, struct buf *out);

// Reads the row of entry `index`. On success entry->data has one reference (NULL when empty), which
// the caller gives back.
int row_get_entry(struct seal *seal, uint64_t index, const void *row, size_t size,
                  struct raft_entry *entry, struct err *err);

// The term alone, unverified: for finding runs. 0 when the row is cut short.
uint64_t row_entry_term(const void *row, size_t size);

// Durable facts, each a row named by its place.
#define ROW_HARD    "hard"
#define ROW_START   "start"
#define ROW_APPLIED "applied"
#define ROW_CONF    "conf"
#define ROW_OURS    "ours"

void row_put_hard(struct seal *seal, const struct raft_hard_state *hard, struct buf *out);
int row_get_hard(struct seal *seal, const void *row, size_t size, struct raft_hard_state *hard,
                 struct err *err);

// The start of the log: index and term of the last entry that is no longer in it.
void row_put_start(struct seal *seal, const struct raft_run *start, struct buf *out);
int row_get_start(struct seal *seal, const void *row, size_t size, struct raft_run *start,
                  struct err *err);

void row_put_applied(struct seal *seal, uint64_t applied, struct buf *out);
int row_get_applied(struct seal *seal, const void *row, size_t size, uint64_t *applied,
                    struct err *err);

void row_put_conf(struct seal *seal, const struct raft_conf *conf, struct buf *out);
int row_get_conf(struct seal *seal, const void *row, size_t size, struct raft_conf *conf,
                 struct err *err);

// Ids of peers known to be our own kind; at most RAFT_MEMBERS_MAX.
void row_put_ours(struct seal *seal, const uint64_t *ours, size_t count, struct buf *out);
int row_get_ours(struct seal *seal, const void *row, size_t size, uint64_t ours[RAFT_MEMBERS_MAX],
                 size_t *count, struct err *err);

// A row of the applied state, whose key is its place.
void row_put_state(struct seal *seal, const void *key, size_t key_size, const void *value,
                   size_t value_size, struct buf *out);
int row_get_state(struct seal *seal, const void *key, size_t key_size, const void *row, size_t size,
                  struct buf *value, struct err *err);

#endif
