// gRPC's own layer on HTTP/2, pure: message frames, percent-encoding, timeouts and metadata values.
// (grpc/doc/PROTOCOL-HTTP2.md)
#ifndef PROTO_RPC_GRPC_H
#define PROTO_RPC_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// A message frame is a compressed flag and a big-endian length, then the message.
#define GRPC_PREFIX_BYTES 5

// What stock servers accept per message (swarmkit.md 1.2), and what clients accept from servers.
#define GRPC_SERVER_MESSAGE_BYTES_MAX (4u * 1024 * 1024)
#define GRPC_CLIENT_MESSAGE_BYTES_MAX 0x7fffffffu

// ---- frames ------------------------------------------------------------------------------------

void grpc_prefix_write(uint8_t out[GRPC_PREFIX_BYTES], uint32_t size);

// Takes message frames out of a stream of bytes, cut anywhere. Memory grows with the bytes that
// arrived, never with the length that a prefix claims.
struct grpc_reader {
    size_t limit; // most bytes of one message
    uint8_t prefix[GRPC_PREFIX_BYTES];
    unsigned prefix_bytes; // of the prefix present
    uint32_t wanted;       // the message's length, once the prefix is complete
    struct buf message;
};

void grpc_reader_init(struct grpc_reader *reader, size_t limit);
void grpc_reader_fini(struct grpc_reader *reader);

// Feeds bytes up to the end of the next message. Returns 1 when a message is complete (take it with
// grpc_reader_take before feeding on), 0 when all bytes are used up without one, or
// RESOURCE_EXHAUSTED (message longer than the limit, in grpc-go's words) or UNIMPLEMENTED
// (compressed). *bytes and *size step forward over what was used.
int grpc_reader_feed(struct grpc_reader *reader, const uint8_t **bytes, size_t *size,
                     struct err *err);

// The complete message: the caller owns and frees it. Never NULL, even when *size is 0.
uint8_t *grpc_reader_take(struct grpc_reader *reader, size_t *size);

// True between messages: an end of stream here is clean.
bool grpc_reader_idle(const struct grpc_reader *reader);

// Bytes of an incomplete message held now.
size_t grpc_reader_held(const struct grpc_reader *reader);

// ---- header values -----------------------------------------------------------------------------

// Appends grpc-message: every byte outside 0x20..0x7e, and '%', as %XX.
void grpc_percent_encode(const char *text, size_t length, struct buf *out);

// Appends the decoded text, without bytes that no message should hold (NUL); what is not valid
// %XX stays as it is.
void grpc_percent_decode(const char *text, size_t length, struct buf *out);

// Room for any grpc-timeout value, terminator included.
#define GRPC_TIMEOUT_BYTES 10

// Writes the duration (0 and less: "0n") with at most 8 digits, rounded up to its unit.
void grpc_timeout_format(int64_t timeout_ns, char out[GRPC_TIMEOUT_BYTES]);

// Parses 1 to 8 digits and a unit H M S m u n. False on anything else. Saturates at INT64_MAX.
bool grpc_timeout_parse(const char *text, size_t length, int64_t *timeout_ns);

#endif
