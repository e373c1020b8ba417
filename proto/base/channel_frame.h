// What one message between our processes looks like, and which messages there may be.
//
// A message is one packet: type (2 bytes), number of descriptors (2), payload length (4), all big
// endian, and the payload. Either side knows the messages it takes as a table of rules; what no
// rule allows is refused before anybody looks at it. The process that parses what comes from the
// network may be taken over one day: the other one must not be taken over by its messages.
#ifndef PROTO_BASE_CHANNEL_FRAME_H
#define PROTO_BASE_CHANNEL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define CHANNEL_HEADER_BYTES      8
#define CHANNEL_PAYLOAD_BYTES_MAX (64 * 1024) // of one message; longer things travel in parts
#define CHANNEL_FDS_MAX           8           // descriptors with one message

// One kind of message that a side takes.
struct channel_rule {
    uint16_t type;    // not 0
    const char *name; // for errors and logs
    size_t bytes_min; // of the payload
    size_t bytes_max; // at most CHANNEL_PAYLOAD_BYTES_MAX
    unsigned fds_min;
    unsigned fds_max; // at most CHANNEL_FDS_MAX
};

struct channel_rules {
    const struct channel_rule *rules;
    size_t count;
};

struct channel_frame {
    uint16_t type;
    uint16_t fds_count;
    const uint8_t *payload; // borrowed from the packet
    size_t payload_bytes;
};

// Appends the message to `out`. A payload or a number of descriptors beyond the limits is a broken
// promise of the caller.
void channel_frame_pack(struct buf *out, uint16_t type, size_t fds_count, const void *payload,
                        size_t payload_bytes);

// Takes a packet apart, which came with `fds_count` descriptors. INVALID_ARGUMENT when it is no
// message, UNIMPLEMENTED when no rule knows its type, OUT_OF_RANGE when its size or its descriptors
// are not what the rule says.
int channel_frame_parse(const void *packet, size_t size, size_t fds_count,
                        const struct channel_rules *rules, struct channel_frame *out,
                        struct err *err);

#endif
