// Messages of calls: protobuf-c structs in an arena, or raw bytes, and their frames.
#ifndef PROTO_RPC_MESSAGE_H
#define PROTO_RPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/list.h"
#include "proto/wire/wire.h"

// What one field of two bytes may become when decoded (proto/wire/wire.h).
#define MESSAGE_FIELD_BYTES 400

// A message that came: as bytes, and decoded unless it is raw.
struct incoming {
    struct list link; // for whoever queues it
    struct arena arena;
    const ProtobufCMessage *message; // NULL: raw
    uint8_t *bytes;
    size_t size;
};

// Takes over the bytes.
struct incoming *incoming_new(uint8_t *bytes, size_t size);

// Decodes them. INTERNAL, in grpc-go's words, when they are no such message, RESOURCE_EXHAUSTED
// past the limits.
int incoming_decode(struct incoming *incoming, const ProtobufCMessageDescriptor *type,
                    const struct wire_limits *limits, struct err *err);

// NULL is fine.
void incoming_free(struct incoming *incoming);

// A frame ready to send: prefix and message in one heap block that the caller owns and frees.
// RESOURCE_EXHAUSTED when the message passes what a prefix can say.
int message_frame(const ProtobufCMessage *message, uint8_t **frame, size_t *size, struct err *err);
int message_frame_raw(const void *bytes, size_t bytes_size, uint8_t **frame, size_t *size,
                      struct err *err);

#endif
