#include "agent/gossip/broadcast.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Shorter than any message: with less room nothing is tried any more.
#define MESSAGE_BYTES_MIN 4

struct broadcast {
    uint64_t id;
    unsigned sent;
    size_t size;
    uint8_t *bytes;
    uint8_t *key;
    size_t key_size; // 0: none
};

unsigned broadcast_limit(size_t nodes)
{
    // ceil(log10(nodes + 1)) is the number of decimal digits of `nodes`.
    unsigned digits = 0;
    for (; nodes > 0; nodes /= 10)
        digits++;
    return BROADCAST_RETRANSMIT_MULT * digits;
}

void broadcasts_init(struct broadcasts *queue, size_t count_max)
{
    CHECK(count_max > 0);
    *queue = (struct broadcasts){.count_max = count_max};
    map_init(&queue->keys);
}

static void message_free(struct broadcast *message)
{
    free(message->bytes);
    free(message->key);
    free(message);
}

void broadcasts_clear(struct broadcasts *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        message_free(queue->order[i]);
    queue->count = 0;
    map_clear(&queue->keys);
}

void broadcasts_fini(struct broadcasts *queue)
{
    broadcasts_clear(queue);
    map_fini(&queue->keys);
    MEM_FREE(queue->order);
    queue->cap = 0;
}

// Below zero: `a` is sent before `b`.
static int compare(const struct broadcast *a, const struct broadcast *b)
{
    if (a->sent != b->sent)
        return a->sent < b->sent ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->id == b->id ? 0 : a->id > b->id ? -1 : 1;
}

// The place of the message, or where it belongs.
static size_t place_of(const struct broadcasts *queue, const struct broadcast *message)
{
    size_t low = 0, high = queue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(queue->order[middle], message) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert(struct broadcasts *queue, struct broadcast *message)
{
    if (queue->count == queue->cap) {
        queue->cap = queue->cap ? 2 * queue->cap : 16;
        queue->order = mem_realloc(queue->order, queue->cap * sizeof(struct broadcast *));
    }
    size_t place = place_of(queue, message);
    memmove(queue->order + place + 1, queue->order + place,
            (queue->count - place) * sizeof(struct broadcast *));
    queue->order[place] = message;
    queue->count++;
}

static void drop(struct broadcasts *queue, size_t place)
{
    struct broadcast *message = queue->order[place];
    memmove(queue->order + place, queue->order + place + 1,
            (queue->count - place - 1) * sizeof(struct broadcast *));
    queue->count--;
    if (message->key_size)
        map_remove(&queue->keys, message->key, message->key_size);
    message_free(message);
}

void broadcasts_put(struct broadcasts *queue, const void *key, size_t key_size, const void *bytes,
                    size_t size)
{
    CHECK(size > 0);
    struct broadcast *old = key_size ? map_get(&queue->keys, key, key_size) : NULL;
    if (old) {
        size_t place = place_of(queue, old);
        CHECK(queue->order[place] == old);
        drop(queue, place);
    } else if (queue->count == queue->count_max) {
        drop(queue, queue->count - 1);
        queue->dropped++;
    }
    struct broadcast *message = MEM_NEW(struct broadcast);
    message->id = queue->next_id++;
    message->bytes = mem_dup(bytes, size);
    message->size = size;
    if (key_size) {
        message->key = mem_dup(key, key_size);
        message->key_size = key_size;
        map_put(&queue->keys, key, key_size, message);
    }
    insert(queue, message);
}

bool broadcasts_has(const struct broadcasts *queue, const void *key, size_t key_size)
{
    return map_has(&queue->keys, key, key_size);
}

void broadcasts_take(struct broadcasts *queue, unsigned limit, size_t room, broadcast_take_fn *take,
                     void *ctx)
{
    if (queue->count == 0)
        return;
    // What is taken goes to a new place behind where this walk has come to, so it is put aside
    // until the end: nothing is sent twice in one packet.
    struct broadcast *taken[255];
    size_t taken_count = 0;
    size_t kept = 0, at = 0;
    for (; at < queue->count; at++) {
        struct broadcast *message = queue->order[at];
        bool fits =
            room >= MESSAGE_BYTES_MIN && taken_count < COUNT_OF(taken) && message->size <= room;
        if (!fits) {
            if (room < MESSAGE_BYTES_MIN || taken_count == COUNT_OF(taken))
                break;
            queue->order[kept++] = message;
            continue;
        }
        room = take(ctx, message->bytes, message->size);
        taken[taken_count++] = message;
    }
    memmove(queue->order + kept, queue->order + at,
            (queue->count - at) * sizeof(struct broadcast *));
    queue->count -= taken_count;
    for (size_t i = 0; i < taken_count; i++) {
        struct broadcast *message = taken[i];
        if (++message->sent < limit) {
            insert(queue, message);
            continue;
        }
        if (message->key_size)
            map_remove(&queue->keys, message->key, message->key_size);
        message_free(message);
    }
}
