// Hash map from bytes to pointers: keys are copied, values belong to the caller.
//
// Iteration goes in insertion order, so that two runs with the same operations see the same order
// (cores and simulations depend on it). Keys from outside cannot force collisions: each map hashes
// with its own seed (SipHash-1-3) drawn from the process's seed.
#ifndef PROTO_BASE_MAP_H
#define PROTO_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
    void *value;
    const void *key; // owned by the map, NUL after it (not counted); NULL for a removed entry
    size_t key_size;
    uint64_t hash;
};

struct map {
    struct map_entry *entries; // insertion order, removed ones included
    uint32_t *slots;           // open addressing: entry number + 1, 0 = free
    size_t entries_used;       // including removed ones
    size_t entries_cap;
    size_t slots_cap; // power of two, or 0
    size_t count;     // live entries
    uint64_t seed[2];
};

// Sets the secret that keeps outsiders from choosing colliding keys. Called once at start by
// programs (with entropy_bytes); tests and simulations leave the fixed default.
void map_set_process_seed(const uint64_t seed[2]);

void map_init(struct map *map);

// Frees keys and tables; values are the caller's business.
void map_fini(struct map *map);

// Removes every entry, keeps the map usable.
void map_clear(struct map *map);

size_t map_count(const struct map *map);

// The value, or NULL when absent (use map_has where NULL is a value).
void *map_get(const struct map *map, const void *key, size_t key_size);
bool map_has(const struct map *map, const void *key, size_t key_size);

// Sets the value and returns the one it replaces, or NULL.
void *map_put(struct map *map, const void *key, size_t key_size, void *value);

// Takes the entry out and returns its value, or NULL when absent.
void *map_remove(struct map *map, const void *key, size_t key_size);

// The same for NUL-terminated keys (the NUL is not part of the key) and for 64-bit keys.
void *map_get_str(const struct map *map, const char *key);
bool map_has_str(const struct map *map, const char *key);
void *map_put_str(struct map *map, const char *key, void *value);
void *map_remove_str(struct map *map, const char *key);
void *map_get_u64(const struct map *map, uint64_t key);
void *map_put_u64(struct map *map, uint64_t key, void *value);
void *map_remove_u64(struct map *map, uint64_t key);

// Walks the live entries in insertion order: start with *position 0; NULL at the end. The entry
// seen last may be removed during the walk; nothing may be added.
const struct map_entry *map_next(const struct map *map, size_t *position);

#define MAP_EACH(entry, map)                                                                       \
    for (size_t entry##_at = 0, entry##_once = 1; entry##_once; entry##_once = 0)                  \
        for (const struct map_entry *entry; (entry = map_next((map), &entry##_at));)

#endif
