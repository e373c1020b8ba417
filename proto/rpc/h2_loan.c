#include "proto/rpc/h2_loan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/net/lent.h"

// What is smaller than a whole payload is never lent: it may be anything.
#define LENT_BYTES_MIN 16384

static void *loan_malloc(size_t size, void *context)
{
    (void)context;
    return malloc(size);
}

static void *loan_calloc(size_t count, size_t size, void *context)
{
    (void)context;
    return calloc(count, size);
}

static void loan_free(void *memory, void *context)
{
    struct h2_loan *loan = context;
    if (memory && memory == loan->lent)
        loan->lent = NULL;
    else
        free(memory);
}

// nghttp2 makes its buffers by growing them from nothing. The first of a frame's size is the one it
// keeps; any further one belongs to a block of headers that needs several frames.
static void *loan_realloc(void *memory, size_t size, void *context)
{
    struct h2_loan *loan = context;
    if (!memory && !loan->lent && size > LENT_BYTES_MIN && size <= LENT_FRAME_BYTES) {
        loan->lent = lent()->frame;
        return loan->lent;
    }
    if (!memory || memory != loan->lent)
        return realloc(memory, size);
    void *own = malloc(size);
    if (!own)
        return NULL;
    memcpy(own, loan->lent, size < LENT_FRAME_BYTES ? size : LENT_FRAME_BYTES);
    loan->lent = NULL;
    return own;
}

nghttp2_mem h2_loan_memory(struct h2_loan *loan)
{
    *loan = (struct h2_loan){0};
    return (nghttp2_mem){loan, loan_malloc, loan_free, loan_calloc, loan_realloc};
}

bool h2_loan_is_here(const struct h2_loan *loan)
{
    return !loan->lent || loan->lent == lent()->frame;
}
