// How an object lies in memory: one block of header, facts, index keys and packed message. Internal
// to the store.
#ifndef MANAGER_STORE_RECORD_H
#define MANAGER_STORE_RECORD_H

#include <stdatomic.h>
#include <string.h>

#include "manager/store/view.h"
#include "proto/base/buf.h"

struct object {
    uint64_t birth; // edit that brought it in (tree.h); first, as in struct tree_node
    atomic_uint refs;
    uint8_t type;
    uint16_t keys_count;
    uint32_t packed_bytes;
    uint32_t block_bytes;
    uint64_t version;
    const char *id;
    const char *name;
    const uint8_t *keys; // keys_count keys, one after the other
    const uint8_t *packed;
    union {
        struct task_facts task;
        struct node_facts node;
    } facts[]; // one for tasks and nodes, else none
};

// A key is its length (two bytes, the machine's order), then that many bytes: the index as tag and
// its texts, each with a NUL, or its number. Keys of equal bytes are ordered by the objects' ids.
static inline size_t key_size(const uint8_t *key)
{
    uint16_t size;
    memcpy(&size, key, sizeof(size));
    return size;
}
static inline const uint8_t *key_bytes(const uint8_t *key)
{
    return key + sizeof(uint16_t);
}
static inline const uint8_t *key_next(const uint8_t *key)
{
    return key + sizeof(uint16_t) + key_size(key);
}

// Collects the keys of an object in the making.
struct keys {
    struct buf bytes;
    unsigned count;
};

// Adds a key; one that is there already, and a text key whose first text is empty, is left out.
void keys_text(struct keys *keys, enum index index, const char *text);
void keys_text2(struct keys *keys, enum index index, const char *first, const char *second);
void keys_slot(struct keys *keys, const char *service_id, uint64_t slot);
void keys_number(struct keys *keys, enum index index, uint32_t number);

// Numbers in keys: four bytes, but for slots, which have eight.
#define KEY_NUMBER_BYTES 4
#define KEY_SLOT_BYTES   8

// A new object with one reference. From a message, which is packed; or from bytes, which are copied
// as they are. NULL and *err: INVALID_ARGUMENT when the bytes are no such message, the id is empty
// or too long, or the object is larger than OBJECT_BYTES_MAX.
struct object *object_of_message(enum object_type type, const void *message, struct err *err);
struct object *object_of_bytes(enum object_type type, const void *bytes, size_t size,
                               struct err *err);

// How a question reads as a probe; false when `by` lacks what the index needs.
bool probe_of(const struct by *by, struct probe *probe);

// <0, 0, >0: the key lies before, among or behind the keys that answer the probe.
int probe_compare(const struct probe *probe, const uint8_t *key);

#endif
