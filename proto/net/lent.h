// Working memory that all connections of a thread share: it holds nothing from one callback to the
// next. Made when a thread first needs it: most threads of a process (those of the worker pool)
// have no connections, and as thread-local arrays it would be paid for by each of them.
#ifndef PROTO_NET_LENT_H
#define PROTO_NET_LENT_H

#include <mbedtls/ssl_internal.h>
#include <stdint.h>

#include "proto/net/tls.h"

#define LENT_READ_BYTES (64 * 1024)
// An HTTP/2 frame: header, a byte of padding, the most payload that is sent (RFC 9113 section 4.2).
#define LENT_FRAME_BYTES (9 + 1 + 16384)

struct lent {
    struct lent *next;               // of another thread
    uint8_t read[LENT_READ_BYTES];   // what a socket gave
    uint8_t plain[TLS_RECORD_BYTES]; // what was decrypted of it
    uint8_t frame[LENT_FRAME_BYTES]; // what HTTP/2 sessions send next
    // Record buffers of sessions (tls.c).
    unsigned char tls_in[MBEDTLS_SSL_IN_BUFFER_LEN];
    unsigned char tls_out[MBEDTLS_SSL_OUT_BUFFER_LEN];
};

// This thread's; the same at every call. Threads with connections live as long as their process,
// so it is never given back.
struct lent *lent(void);

#endif
