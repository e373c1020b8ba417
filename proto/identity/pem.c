#include "proto/identity/pem.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

#define LINE_CHARS 64

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char dashes[] = "-----";

// The next line without its end and the blanks around it; false at the end of the text.
static bool line_next(struct cursor *text, struct str_part *line)
{
    size_t left = cursor_left(text);
    if (!left)
        return false;
    const char *at = (const char *)text->at;
    const char *newline = memchr(at, '\n', left);
    size_t length = newline ? (size_t)(newline - at) : left;
    cursor_bytes(text, newline ? length + 1 : length);
    *line = str_trim((struct str_part){.at = at, .len = length});
    return true;
}

// For "-----BEGIN type-----" the type in between; false for any other line.
static bool line_mark(struct str_part line, const char *mark, struct str_part *type)
{
    size_t mark_size = strlen(mark);
    size_t dashes_size = sizeof dashes - 1;
    if (line.len < mark_size + dashes_size || memcmp(line.at, mark, mark_size) != 0 ||
        memcmp(line.at + line.len - dashes_size, dashes, dashes_size) != 0)
        return false;
    *type = (struct str_part){.at = line.at + mark_size, .len = line.len - mark_size - dashes_size};
    return true;
}

// "key: value" into the block; false past a limit.
static bool header_add(struct pem_block *block, struct str_part line, const char *colon)
{
    struct str_part key = {.at = line.at, .len = (size_t)(colon - line.at)};
    struct str_part value = {.at = colon + 1, .len = line.len - key.len - 1};
    key = str_trim(key);
    value = str_trim(value);
    if (!key.len || key.len >= PEM_HEADER_BYTES || value.len >= PEM_HEADER_BYTES)
        return false;
    char *name = str_ndup(key.at, key.len);
    char *text = str_ndup(value.at, value.len);
    bool added = strlen(name) == key.len && strlen(text) == value.len && // no NUL inside
                 !pem_header_get(block, name) && pem_header_set(block, name, text);
    explicit_bzero(text, value.len);
    free(name);
    free(text);
    return added;
}

// Base64 lines (the first is in *line) up to the end mark of the same type.
static int read_body(struct cursor *text, struct str_part *line, bool have_line,
                     struct pem_block *block, struct err *err)
{
    struct buf digits;
    buf_init(&digits, base64_length(BASE64_STD, PEM_DER_BYTES_MAX));
    struct str_part type;
    int result = 0;
    for (; have_line; have_line = line_next(text, line)) {
        if (line_mark(*line, end_mark, &type))
            break;
        buf_put(&digits, line->at, line->len);
    }
    if (!have_line || !str_part_is(type, block->type))
        result = err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s does not end", block->type);
    else if (!buf_ok(&digits))
        result = err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s is too large", block->type);
    else if (!base64_decode(BASE64_STD, (const char *)digits.data, digits.len, &block->der))
        result = err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s is not base64", block->type);
    buf_wipe(&digits);
    return result;
}

int pem_next(struct cursor *text, struct pem_block *block, struct err *err)
{
    *block = (struct pem_block){0};
    buf_init(&block->der, PEM_DER_BYTES_MAX);
    struct str_part line;
    struct str_part type;
    do {
        if (!line_next(text, &line))
            return err_set(err, ERR_NOT_FOUND, "no PEM block found");
    } while (!line_mark(line, begin_mark, &type));
    if (!type.len || type.len >= PEM_TYPE_BYTES || memchr(type.at, '\0', type.len))
        return err_set(err, ERR_INVALID_ARGUMENT, "PEM block has no usable type");
    memcpy(block->type, type.at, type.len);

    const char *colon;
    bool have_line;
    while ((have_line = line_next(text, &line)) && (colon = memchr(line.at, ':', line.len))) {
        if (!header_add(block, line, colon)) {
            int result =
                err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s has a bad header", block->type);
            pem_block_fini(block);
            return result;
        }
    }
    int result = read_body(text, &line, have_line, block, err);
    if (result)
        pem_block_fini(block);
    return result;
}

static void header_fini(struct pem_header *header)
{
    explicit_bzero(header->value, strlen(header->value));
    free(header->key);
    free(header->value);
    *header = (struct pem_header){0};
}

void pem_block_fini(struct pem_block *block)
{
    for (size_t i = 0; i < block->headers_count; i++)
        header_fini(&block->headers[i]);
    buf_wipe(&block->der);
    *block = (struct pem_block){0};
}

static struct pem_header *header_find(const struct pem_block *block, const char *key)
{
    for (size_t i = 0; i < block->headers_count; i++)
        if (str_equal(block->headers[i].key, key))
            return (struct pem_header *)&block->headers[i];
    return NULL;
}

const char *pem_header_get(const struct pem_block *block, const char *key)
{
    const struct pem_header *header = header_find(block, key);
    return header ? header->value : NULL;
}

static bool text_fits(const char *text, const char *forbidden)
{
    size_t length = strlen(text);
    if (length >= PEM_HEADER_BYTES)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || strchr(forbidden, text[i]))
            return false;
    return true;
}

bool pem_header_set(struct pem_block *block, const char *key, const char *value)
{
    struct pem_header *header = header_find(block, key);
    if (!value) {
        if (!header)
            return true;
        header_fini(header);
        struct pem_header *last = &block->headers[--block->headers_count];
        if (header != last)
            *header = *last;
        *last = (struct pem_header){0};
        return true;
    }
    if (str_empty(key) || !text_fits(key, ":") || !text_fits(value, ""))
        return false;
    if (header) {
        char *copy = str_dup(value);
        explicit_bzero(header->value, strlen(header->value));
        free(header->value);
        header->value = copy;
        return true;
    }
    if (block->headers_count == PEM_HEADERS_MAX)
        return false;
    block->headers[block->headers_count++] =
        (struct pem_header){.key = str_dup(key), .value = str_dup(value)};
    return true;
}

// Proc-Type must come first (RFC 1421 section 4.6.1.1), the others by name.
static int header_rank(const char *a, const char *b)
{
    bool first_a = str_equal(a, "Proc-Type");
    bool first_b = str_equal(b, "Proc-Type");
    return first_a != first_b ? (first_a ? -1 : 1) : strcmp(a, b);
}

static void write_headers(struct buf *out, const struct pem_block *block)
{
    const struct pem_header *sorted[PEM_HEADERS_MAX];
    CHECK(block->headers_count <= PEM_HEADERS_MAX);
    for (size_t i = 0; i < block->headers_count; i++) {
        size_t at = i;
        for (; at > 0 && header_rank(block->headers[i].key, sorted[at - 1]->key) < 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &block->headers[i];
    }
    for (size_t i = 0; i < block->headers_count; i++)
        buf_printf(out, "%s: %s\n", sorted[i]->key, sorted[i]->value);
    if (block->headers_count)
        buf_put_u8(out, '\n');
}

void pem_write(struct buf *out, const struct pem_block *block)
{
    buf_printf(out, "%s%s%s\n", begin_mark, block->type, dashes);
    write_headers(out, block);
    struct buf digits;
    buf_init(&digits, base64_length(BASE64_STD, block->der.len));
    base64_encode(BASE64_STD, block->der.data, block->der.len, &digits);
    for (size_t at = 0; at < digits.len; at += LINE_CHARS) {
        size_t left = digits.len - at;
        buf_put(out, digits.data + at, left < LINE_CHARS ? left : LINE_CHARS);
        buf_put_u8(out, '\n');
    }
    buf_wipe(&digits);
    buf_printf(out, "%s%s%s\n", end_mark, block->type, dashes);
}

void pem_write_der(struct buf *out, const char *type, const void *der, size_t size)
{
    struct pem_block block = {0};
    CHECK(str_copy(block.type, sizeof block.type, type));
    buf_init(&block.der, size);
    buf_put(&block.der, der, size);
    pem_write(out, &block);
    pem_block_fini(&block);
}
