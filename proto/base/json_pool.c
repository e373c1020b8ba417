#include "proto/base/json_pool.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/check.h"

#define ALIGN _Alignof(max_align_t)

// The address sanitizer knows the blocks of the heap, and nothing of ours.
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

// A piece of the pool. What lies in it is only counted; at none it is free.
struct chunk {
    _Alignas(max_align_t) size_t live;
    size_t used;
    unsigned char data[];
};

static _Alignas(JSON_POOL_CHUNK_BYTES) unsigned char memory
    [JSON_POOL_CHUNKS * JSON_POOL_CHUNK_BYTES]; // no page of it is there before its first use
static struct chunk *present;                   // where the next values go; NULL: none yet
static bool taken[JSON_POOL_CHUNKS];
static atomic_flag owned = ATOMIC_FLAG_INIT;
static _Thread_local bool owner;
static _Thread_local bool begun;

static struct chunk *chunk_at(size_t index)
{
    return (struct chunk *)(void *)(memory + index * JSON_POOL_CHUNK_BYTES);
}

static bool is_pooled(const void *place)
{
    uintptr_t at = (uintptr_t)place, from = (uintptr_t)memory;
    return at >= from && at < from + sizeof memory;
}

static struct chunk *take_chunk(void)
{
    for (size_t i = 0; i < JSON_POOL_CHUNKS; i++) {
        if (taken[i])
            continue;
        taken[i] = true;
        struct chunk *chunk = chunk_at(i);
        *chunk = (struct chunk){0};
        return chunk;
    }
    return NULL;
}

static void give_chunk(struct chunk *chunk)
{
    taken[(size_t)((unsigned char *)chunk - memory) / JSON_POOL_CHUNK_BYTES] = false;
}

static void *pool_alloc(size_t size)
{
    if (!begun || size > JSON_POOL_CHUNK_BYTES - sizeof(struct chunk))
        return malloc(size);
    size = size ? (size + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (!present || JSON_POOL_CHUNK_BYTES - sizeof(struct chunk) - present->used < size) {
        // The one before is free once its last value is.
        if (present && present->live == 0)
            give_chunk(present);
        present = take_chunk();
        if (!present || JSON_POOL_CHUNK_BYTES - sizeof(struct chunk) < size)
            return malloc(size);
    }
    void *place = present->data + present->used;
    present->used += size;
    present->live++;
    return place;
}

static void pool_free(void *place)
{
    if (!is_pooled(place)) {
        free(place);
        return;
    }
    CHECK(owner);
    struct chunk *chunk =
        chunk_at((size_t)((unsigned char *)place - memory) / JSON_POOL_CHUNK_BYTES);
    CHECK(chunk->live > 0);
    if (--chunk->live > 0)
        return;
    chunk->used = 0;
    if (chunk != present)
        give_chunk(chunk);
}

void json_pool_begin(void)
{
    CHECK(!begun);
    if (SANITIZED)
        return;
    if (!atomic_flag_test_and_set(&owned)) {
        owner = true;
        json_set_alloc_funcs(pool_alloc, pool_free);
    }
    begun = owner;
}

void json_pool_end(void)
{
    begun = false;
}

size_t json_pool_chunks_used(void)
{
    size_t used = 0;
    for (size_t i = 0; i < JSON_POOL_CHUNKS; i++)
        used += taken[i];
    return used;
}
