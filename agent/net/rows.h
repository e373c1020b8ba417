// What gossip says of one network, with the rows of a node that went kept for a moment. Pure.
//
// A node that starts again leaves and comes back under another name within a second. Its rows go
// and come with it; taken at their word, they would cut every connection to its endpoints. So a
// row whose node is not there any more lingers. A row that a node which is there took away is gone
// at once.
#ifndef AGENT_NET_ROWS_H
#define AGENT_NET_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"

#define ROWS_LINGER_MS 3000
#define ROWS_COUNT_MAX (1u << 18) // of one network; those past it are passed over

enum rows_table { ROWS_PEERS, ROWS_ENDPOINTS };

struct rows_row {
    enum rows_table table;
    const char *key;
    const char *node; // its owner's gossip name
    const uint8_t *value;
    size_t value_size;
    bool lingers;
};

struct rows;

struct rows *rows_new(void);
void rows_free(struct rows *rows);

// Level-triggered: begin, each row of others and each node on the network once, end. Everything is
// copied.
void rows_begin(struct rows *rows);
void rows_add(struct rows *rows, const struct rows_row *row);
void rows_node(struct rows *rows, const char *node);
// *due is when rows stop lingering, MONO_NEVER for none: walk again then.
void rows_end(struct rows *rows, struct mono now, struct mono *due);

// All rows of a table, those that linger last. Valid until the next begin.
void rows_walk(const struct rows *rows, enum rows_table table,
               void (*visit)(void *ctx, const struct rows_row *row), void *ctx);

// Whether the last walk saw other nodes (this one is not told of).
bool rows_has_nodes(const struct rows *rows);

#endif
