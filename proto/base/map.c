#include "proto/base/map.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define MAP_SLOTS_MIN 4u

static uint64_t process_seed[2] = {UINT64_C(0x736b65702d6d6170), UINT64_C(0x2d7365656473212e)};

void map_set_process_seed(const uint64_t seed[2])
{
    process_seed[0] = seed[0];
    process_seed[1] = seed[1];
}

// ---- SipHash-1-3 (Aumasson, Bernstein 2012) -----------------------------------------------------

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

static uint64_t sip_hash(const uint64_t seed[2], const void *key, size_t size)
{
    const unsigned char *at = key;
    uint64_t v[4] = {
        seed[0] ^ UINT64_C(0x736f6d6570736575),
        seed[1] ^ UINT64_C(0x646f72616e646f6d),
        seed[0] ^ UINT64_C(0x6c7967656e657261),
        seed[1] ^ UINT64_C(0x7465646279746573),
    };
    uint64_t word;
    size_t left = size;
    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&word, at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

// ---- the table ----------------------------------------------------------------------------------

void map_init(struct map *map)
{
    *map = (struct map){.seed = {process_seed[0], process_seed[1]}};
}

void map_clear(struct map *map)
{
    for (size_t i = 0; i < map->entries_used; i++)
        free((void *)map->entries[i].key);
    free(map->entries);
    free(map->slots);
    map_init(map);
}

void map_fini(struct map *map)
{
    map_clear(map);
}

size_t map_count(const struct map *map)
{
    return map->count;
}

// The slot that holds the key, or the free slot where the search for it ends. Removed entries keep
// their slot (with a NULL key) until the next rebuild, so that searches run past them.
static size_t find_slot(const struct map *map, uint64_t hash, const void *key, size_t size)
{
    size_t mask = map->slots_cap - 1;
    for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
        if (map->slots[slot] == 0)
            return slot;
        const struct map_entry *entry = &map->entries[map->slots[slot] - 1];
        if (entry->key && entry->hash == hash && entry->key_size == size &&
            memcmp(entry->key, key, size) == 0)
            return slot;
    }
}

static struct map_entry *find_entry(const struct map *map, const void *key, size_t size)
{
    if (map->count == 0)
        return NULL;
    size_t slot = find_slot(map, sip_hash(map->seed, key, size), key, size);
    return map->slots[slot] ? &map->entries[map->slots[slot] - 1] : NULL;
}

// Makes room for one more entry: squeezes removed ones out, grows, and fills the slots anew.
static void rebuild(struct map *map)
{
    size_t slots_cap = MAP_SLOTS_MIN;
    while (slots_cap / 2 < map->count + 1)
        slots_cap *= 2;
    size_t entries_cap = slots_cap / 4 * 3;
    struct map_entry *entries = mem_alloc_array(entries_cap, sizeof *entries);
    size_t used = 0;
    for (size_t i = 0; i < map->entries_used; i++)
        if (map->entries[i].key)
            entries[used++] = map->entries[i];
    CHECK(used == map->count);
    free(map->entries);
    free(map->slots);
    map->entries = entries;
    map->entries_used = used;
    map->entries_cap = entries_cap;
    CHECK(slots_cap < UINT32_MAX);
    map->slots = mem_alloc_array(slots_cap, sizeof *map->slots);
    map->slots_cap = slots_cap;
    for (size_t i = 0; i < used; i++) {
        size_t slot = find_slot(map, entries[i].hash, entries[i].key, entries[i].key_size);
        map->slots[slot] = (uint32_t)i + 1;
    }
}

void *map_get(const struct map *map, const void *key, size_t key_size)
{
    struct map_entry *entry = find_entry(map, key, key_size);
    return entry ? entry->value : NULL;
}

bool map_has(const struct map *map, const void *key, size_t key_size)
{
    return find_entry(map, key, key_size) != NULL;
}

void *map_put(struct map *map, const void *key, size_t key_size, void *value)
{
    struct map_entry *found = find_entry(map, key, key_size);
    if (found) {
        void *old = found->value;
        found->value = value;
        return old;
    }
    if (map->entries_used == map->entries_cap)
        rebuild(map);
    uint64_t hash = sip_hash(map->seed, key, key_size);
    size_t slot = find_slot(map, hash, key, key_size);
    CHECK(map->slots[slot] == 0);
    map->entries[map->entries_used++] = (struct map_entry){
        .value = value,
        .key = str_ndup(key_size ? key : "", key_size),
        .key_size = key_size,
        .hash = hash,
    };
    map->slots[slot] = (uint32_t)map->entries_used;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, const void *key, size_t key_size)
{
    struct map_entry *entry = find_entry(map, key, key_size);
    if (!entry)
        return NULL;
    void *value = entry->value;
    free((void *)entry->key);
    entry->key = NULL;
    map->count--;
    return value;
}

void *map_get_str(const struct map *map, const char *key)
{
    return map_get(map, key, strlen(key));
}

bool map_has_str(const struct map *map, const char *key)
{
    return map_has(map, key, strlen(key));
}

void *map_put_str(struct map *map, const char *key, void *value)
{
    return map_put(map, key, strlen(key), value);
}

void *map_remove_str(struct map *map, const char *key)
{
    return map_remove(map, key, strlen(key));
}

void *map_get_u64(const struct map *map, uint64_t key)
{
    return map_get(map, &key, sizeof key);
}

void *map_put_u64(struct map *map, uint64_t key, void *value)
{
    return map_put(map, &key, sizeof key, value);
}

void *map_remove_u64(struct map *map, uint64_t key)
{
    return map_remove(map, &key, sizeof key);
}

const struct map_entry *map_next(const struct map *map, size_t *position)
{
    while (*position < map->entries_used) {
        const struct map_entry *entry = &map->entries[(*position)++];
        if (entry->key)
            return entry;
    }
    return NULL;
}
