// Arena: memory for one request or operation, given back all at once.
//
// Allocations are aligned for any type and zeroed. An arena has a limit on its total: whoever
// decodes outside bytes into it gets NULL past the limit, and the arena remembers
// (arena_overflowed), so that a sequence of allocations is checked once at its end.
#ifndef PROTO_BASE_ARENA_H
#define PROTO_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; // newest first
    size_t used_bytes;          // handed out so far, rounding included
    size_t limit_bytes;         // most that may be handed out
    size_t first_bytes;         // of the first block; 0: the usual
    bool overflowed;
};

// Prepares an empty arena that hands out at most `limit_bytes`. Takes no memory yet.
void arena_init(struct arena *arena, size_t limit_bytes);

// The same for what stays for long and mostly holds little, as a stream does: its first block is
// small.
void arena_init_small(struct arena *arena, size_t limit_bytes);

// Gives everything back. The arena may be used again as if freshly initialised.
void arena_reset(struct arena *arena);
void arena_fini(struct arena *arena);

// `size` zeroed bytes (0 gives a valid pointer too), or NULL past the limit.
void *arena_alloc(struct arena *arena, size_t size);

// `count` zeroed elements, or NULL past the limit or when the product overflows.
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);

// Copies, NULL past the limit. arena_strdup and arena_strndup end with a NUL.
void *arena_memdup(struct arena *arena, const void *bytes, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// True once an allocation was refused since init or reset.
bool arena_overflowed(const struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_alloc(arena, sizeof(type)))

#endif
