#include "agent/gossip/lzw.h"

#include <stdbool.h>
#include <string.h>

#include "proto/base/check.h"

#define CLEAR_CODE   256
#define END_CODE     257
#define FIRST_CODE   258
#define WIDTH_MIN    9
#define WIDTH_MAX    12
#define CODES_MAX    (1u << WIDTH_MAX)
#define INVALID_CODE UINT16_MAX

// ---- compressing -------------------------------------------------------------------------------

// Strings known so far, as (prefix code, next byte) -> code, open addressing. The slots are twice
// the codes or more, so that probes stay short. 0 is an empty slot: no key has the code 0.
#define SLOTS      (1u << 14)
#define SLOT_MASK  (SLOTS - 1)
#define HASH_SHIFT 18 // leaves the 14 best bits of a product

struct writer {
    struct buf *out;
    uint32_t bits;
    unsigned bits_count;
    unsigned width;
    unsigned last;         // the code given out most recently
    uint32_t slots[SLOTS]; // prefix << 20 | byte << 12 | code
};

static void put_code(struct writer *writer, unsigned code)
{
    writer->bits |= code << writer->bits_count;
    writer->bits_count += writer->width;
    while (writer->bits_count >= 8) {
        buf_put_u8(writer->out, (uint8_t)writer->bits);
        writer->bits >>= 8;
        writer->bits_count -= 8;
    }
}

static void forget_strings(struct writer *writer)
{
    memset(writer->slots, 0, sizeof writer->slots);
    writer->width = WIDTH_MIN;
    writer->last = END_CODE;
}

// The slot of the key, or the empty one where it belongs.
static uint32_t *find_slot(struct writer *writer, uint32_t key)
{
    uint32_t at = (key * 2654435761u) >> HASH_SHIFT & SLOT_MASK;
    while (writer->slots[at] && writer->slots[at] >> WIDTH_MAX != key)
        at = (at + 1) & SLOT_MASK;
    return &writer->slots[at];
}

// Counts one more code, after the writer has put one. False when the table was full, and was
// cleared: the reader is told in the widest code.
static bool next_code(struct writer *writer)
{
    writer->last++;
    if (writer->last == 1u << writer->width)
        writer->width++;
    if (writer->last < CODES_MAX - 1)
        return true;
    put_code(writer, CLEAR_CODE);
    forget_strings(writer);
    return false;
}

void lzw_compress(const void *bytes, size_t size, struct buf *out)
{
    struct writer writer = {.out = out};
    const uint8_t *at = bytes;
    forget_strings(&writer);
    put_code(&writer, CLEAR_CODE);
    if (size > 0) {
        unsigned prefix = at[0];
        for (size_t i = 1; i < size; i++) {
            uint32_t key = (uint32_t)prefix << 8 | at[i];
            uint32_t *slot = find_slot(&writer, key);
            if (*slot) {
                prefix = *slot & (CODES_MAX - 1);
                continue;
            }
            put_code(&writer, prefix);
            prefix = at[i];
            if (next_code(&writer))
                *slot = key << WIDTH_MAX | writer.last;
        }
        put_code(&writer, prefix);
        next_code(&writer);
    }
    put_code(&writer, END_CODE);
    if (writer.bits_count > 0)
        buf_put_u8(out, (uint8_t)writer.bits);
}

// ---- decompressing -----------------------------------------------------------------------------

struct reader {
    struct cursor in;
    struct buf *out;
    uint32_t bits;
    unsigned bits_count;
    unsigned width;
    unsigned next;     // the code that the coming string will get
    unsigned previous; // the code before, or INVALID_CODE after a clear
    uint16_t prefix[CODES_MAX];
    uint16_t length[CODES_MAX];
    uint8_t suffix[CODES_MAX];
    uint8_t first[CODES_MAX];
};

static unsigned get_code(struct reader *reader)
{
    while (reader->bits_count < reader->width) {
        reader->bits |= (uint32_t)cursor_u8(&reader->in) << reader->bits_count;
        reader->bits_count += 8;
    }
    unsigned code = reader->bits & ((1u << reader->width) - 1);
    reader->bits >>= reader->width;
    reader->bits_count -= reader->width;
    return code;
}

static void reader_clear(struct reader *reader)
{
    reader->width = WIDTH_MIN;
    reader->next = FIRST_CODE - 1; // the first string after a clear adds none
    reader->previous = INVALID_CODE;
}

static bool put_string(struct reader *reader, unsigned code)
{
    size_t length = reader->length[code];
    uint8_t *at = buf_extend(reader->out, length);
    if (!at)
        return false;
    // A string is stored from its end.
    for (size_t i = length; i > 0; i--) {
        at[i - 1] = reader->suffix[code];
        code = reader->prefix[code];
    }
    return true;
}

// The string that `code` completes: the one before it and the first byte of its own. A code may
// name the very string it completes, which then starts with its own first byte.
static void add_string(struct reader *reader, unsigned code)
{
    unsigned previous = reader->previous, added = reader->next;
    reader->prefix[added] = (uint16_t)previous;
    reader->length[added] = (uint16_t)(reader->length[previous] + 1);
    reader->first[added] = reader->first[previous];
    reader->suffix[added] = code == added ? reader->first[previous] : reader->first[code];
}

int lzw_decompress(const void *bytes, size_t size, struct buf *out, struct err *err)
{
    struct reader reader = {.in = cursor_of(bytes, size), .out = out};
    for (unsigned i = 0; i < CLEAR_CODE; i++) {
        reader.first[i] = reader.suffix[i] = (uint8_t)i;
        reader.length[i] = 1;
    }
    reader_clear(&reader);
    for (;;) {
        unsigned code = get_code(&reader);
        if (!cursor_ok(&reader.in))
            return err_set(err, ERR_INVALID_ARGUMENT, "compressed bytes lack their end");
        if (code == END_CODE)
            return 0;
        if (code == CLEAR_CODE) {
            reader_clear(&reader);
            continue;
        }
        bool adds = reader.previous != INVALID_CODE && reader.next < CODES_MAX;
        if (code >= FIRST_CODE && code > reader.next)
            return err_set(err, ERR_INVALID_ARGUMENT, "compressed bytes name an unknown string");
        if (adds)
            add_string(&reader, code);
        if (!put_string(&reader, code))
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "decompresses to more than %zu bytes",
                           out->limit);
        reader.previous = code;
        if (reader.next < CODES_MAX)
            reader.next++;
        if (reader.next == 1u << reader.width && reader.width < WIDTH_MAX)
            reader.width++;
    }
}
