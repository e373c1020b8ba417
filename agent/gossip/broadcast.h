// The queue of messages that are sent along with others, each a limited number of times
// (gossip.md section 5, "Broadcast queue order").
//
// What was sent least often goes first, of these the longest, of these the newest. A message may
// have a key; a newer one with the same key replaces it.
#ifndef AGENT_GOSSIP_BROADCAST_H
#define AGENT_GOSSIP_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/map.h"

#define BROADCAST_RETRANSMIT_MULT 4

// How often each message is sent among so many nodes: 4 for up to 9, 8 for up to 99 ...
unsigned broadcast_limit(size_t nodes);

struct broadcast;

struct broadcasts {
    struct broadcast **order; // first to send first
    size_t count;
    size_t cap;
    size_t count_max;
    uint64_t next_id;
    uint64_t dropped; // for room, since the start
    struct map keys;  // key -> broadcast
};

void broadcasts_init(struct broadcasts *queue, size_t count_max);
void broadcasts_fini(struct broadcasts *queue);
void broadcasts_clear(struct broadcasts *queue);

// Queues a copy of the bytes (at least one). key_size 0: nothing replaces it but room: past
// count_max the message that was sent most often is dropped.
void broadcasts_put(struct broadcasts *queue, const void *key, size_t key_size, const void *bytes,
                    size_t size);

// Whether a message with that key still waits for transmissions.
bool broadcasts_has(const struct broadcasts *queue, const void *key, size_t key_size);

// Takes messages in order as long as `take` says they fit; each counts as sent once more, and is
// dropped after `limit` times. `room` is what `take` can use at most: larger ones are not tried.
// `take` returns what is left of the room after it took the bytes.
typedef size_t broadcast_take_fn(void *ctx, const void *bytes, size_t size);
void broadcasts_take(struct broadcasts *queue, unsigned limit, size_t room, broadcast_take_fn *take,
                     void *ctx);

#endif
