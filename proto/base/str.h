// Text helpers the C library lacks: heap copies that cannot fail, bounded copies, prefixes, numbers
// that are checked to their last character, and splitting.
#ifndef PROTO_BASE_STR_H
#define PROTO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Memory that cannot fail: out of memory stops the process. Sizes from outside have met a limit
// before they come here. Free with free().
void *mem_alloc(size_t size); // zeroed; size 0 gives a valid pointer
void *mem_alloc_array(size_t count, size_t size);
void *mem_realloc(void *old, size_t size); // the added part is not zeroed
void *mem_dup(const void *bytes, size_t size);
char *str_dup(const char *text); // NULL gives NULL
char *str_ndup(const char *text, size_t length);
char *str_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

// Frees and clears a pointer variable.
#define MEM_FREE(ptr)                                                                              \
    do {                                                                                           \
        free(ptr);                                                                                 \
        (ptr) = NULL;                                                                              \
    } while (0)

// Copies into out[size], always NUL-terminated. False when it was cut.
bool str_copy(char *out, size_t size, const char *text);

// snprintf whose cut is an answer: false when the text did not fit (out then holds what did).
bool str_format(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// NULL and "" are the same here, as on the wire.
static inline bool str_empty(const char *text)
{
    return !text || !*text;
}
static inline const char *str_or(const char *text, const char *fallback)
{
    return str_empty(text) ? fallback : text;
}

bool str_equal(const char *a, const char *b);      // NULL equals ""
bool str_equal_case(const char *a, const char *b); // ASCII case ignored
int str_compare(const char *a, const char *b);     // as strcmp, NULL is ""
bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);

// Compares in a time that depends only on the lengths: for tokens and digests.
bool str_equal_secret(const char *a, const char *b);

// The whole text as a decimal number in range; false on anything else (signs, blanks, empty).
bool str_to_u64(const char *text, uint64_t max, uint64_t *out);
bool str_to_i64(const char *text, int64_t min, int64_t max, int64_t *out); // a leading '-' allowed

// A piece of a text, not NUL-terminated.
struct str_part {
    const char *at;
    size_t len;
};

// Takes the next piece up to `separator` off the front of *rest (which becomes NULL after the last
// one). False when *rest is NULL. "a,,b" has three pieces, "" has one empty piece.
bool str_split(const char **rest, char separator, struct str_part *part);

// The piece without blanks (space, tab, CR, LF) around it.
struct str_part str_trim(struct str_part part);

bool str_part_is(struct str_part part, const char *text);

// True when every byte sequence is well-formed UTF-8 (RFC 3629; no surrogates, no overlongs).
bool str_utf8_valid(const char *text, size_t length);

// Length of the well-formed sequence at `at` (at least one byte is left), or 0 when it is broken.
size_t str_utf8_step(const unsigned char *at, size_t left);

#endif
