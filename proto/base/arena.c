#include "proto/base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

#define ARENA_ALIGN           _Alignof(max_align_t)
#define ARENA_BLOCK_BYTES     4096u
#define ARENA_BLOCK_BYTES_MAX (256u * 1024)
#define ARENA_SMALL_BYTES     448u

struct arena_block {
    struct arena_block *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

void arena_init_small(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes, .first_bytes = ARENA_SMALL_BYTES};
}

void arena_reset(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *arena = (struct arena){.limit_bytes = arena->limit_bytes, .first_bytes = arena->first_bytes};
}

void arena_fini(struct arena *arena)
{
    arena_reset(arena);
}

// A block with room for `size` bytes. Blocks double, so large arenas stay few allocations.
static struct arena_block *block_add(struct arena *arena, size_t size)
{
    size_t block_size = arena->first_bytes ? arena->first_bytes : ARENA_BLOCK_BYTES;
    if (arena->blocks && arena->blocks->size >= block_size)
        block_size = arena->blocks->size * 2;
    if (block_size > ARENA_BLOCK_BYTES_MAX)
        block_size = ARENA_BLOCK_BYTES_MAX;
    if (block_size < size)
        block_size = size;
    struct arena_block *block = malloc(sizeof *block + block_size);
    CHECK(block); // out of memory stops the process; the limit was checked before
    block->size = block_size;
    block->used = 0;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN) {
        arena->overflowed = true;
        return NULL;
    }
    size = size ? (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN : ARENA_ALIGN;
    if (size > arena->limit_bytes - arena->used_bytes) {
        arena->overflowed = true;
        return NULL;
    }
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < size)
        block = block_add(arena, size);
    void *result = block->data + block->used;
    block->used += size;
    arena->used_bytes += size;
    CHECK(arena->used_bytes <= arena->limit_bytes);
    return memset(result, 0, size);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        arena->overflowed = true;
        return NULL;
    }
    return arena_alloc(arena, total);
}

void *arena_memdup(struct arena *arena, const void *bytes, size_t size)
{
    void *copy = arena_alloc(arena, size);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    CHECK(length < SIZE_MAX);
    char *copy = arena_alloc(arena, length + 1);
    if (copy && length)
        memcpy(copy, text, length);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    if (text) {
        va_start(args, format);
        vsnprintf(text, (size_t)length + 1, format, args);
        va_end(args);
    }
    return text;
}

bool arena_overflowed(const struct arena *arena)
{
    return arena->overflowed;
}
