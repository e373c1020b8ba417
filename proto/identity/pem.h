// PEM text (RFC 1421, RFC 7468): blocks with optional headers, as Go's encoding/pem reads and
// writes them.
//
// mbedTLS and OpenSSL refuse key blocks with headers of their owner's own, such as swarm's
// kek-version, so key files are taken apart here first.
#ifndef PROTO_IDENTITY_PEM_H
#define PROTO_IDENTITY_PEM_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// Limits on one block from outside.
#define PEM_TYPE_BYTES     64 // terminator included
#define PEM_HEADERS_MAX    16
#define PEM_HEADER_BYTES   1024        // key or value, terminator included
#define PEM_DER_BYTES_MAX  (64u << 10) // decoded body
#define PEM_TEXT_BYTES_MAX (1u << 20)  // of a whole file or bundle

struct pem_header {
    char *key;
    char *value;
};

struct pem_block {
    char type[PEM_TYPE_BYTES]; // such as "CERTIFICATE"
    struct pem_header headers[PEM_HEADERS_MAX];
    size_t headers_count;
    struct buf der; // the decoded body
};

// Takes the next block off the front of the text and fills `block`, which pem_block_fini gives
// back. Text before and between blocks is skipped, as Go does. NOT_FOUND when there is no further
// block; INVALID_ARGUMENT when one begins but is broken or passes a limit. On error `block` is
// empty.
int pem_next(struct cursor *text, struct pem_block *block, struct err *err);

// Wipes and frees; the block is empty afterwards.
void pem_block_fini(struct pem_block *block);

// The value of a header, or NULL.
const char *pem_header_get(const struct pem_block *block, const char *key);

// Sets (or with NULL removes) a header. False when there is no room for another one, or when key or
// value are too long or hold a character that would break the text (control characters; ':' in a
// key).
bool pem_header_set(struct pem_block *block, const char *key, const char *value);

// Appends the block: headers sorted by key but Proc-Type first, lines of 64 characters, final
// newline.
void pem_write(struct buf *out, const struct pem_block *block);

// The same for a body without headers.
void pem_write_der(struct buf *out, const char *type, const void *der, size_t size);

#endif
