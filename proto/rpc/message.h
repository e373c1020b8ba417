// Messages of calls: protobuf-c structs in an arena, or raw bytes, and their frames.
#ifndef PROTO_RPC_MESSAGE_H
#define PROTO_RPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

// Most memory one decoded message may take, as a multiple of its size on the wire and a constant:
// small fields grow when decoded, hostile ones grow most.
#define MESSAGE_DECODED_FACTOR 64
#define MESSAGE_DECODED_BYTES  (64u * 1024)

// Decodes into the arena (every pointer of the result points there); nothing is to be freed.
// INTERNAL, in grpc-go's words, when the bytes are no such message or the arena's limit is passed.
int message_decode(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
                   struct arena *arena, ProtobufCMessage **message, struct err *err);

// A frame ready to send: prefix and message in one heap block that the caller owns and frees.
// RESOURCE_EXHAUSTED when the message passes what a prefix can say.
int message_frame(const ProtobufCMessage *message, uint8_t **frame, size_t *size, struct err *err);
int message_frame_raw(const void *bytes, size_t bytes_size, uint8_t **frame, size_t *size,
                      struct err *err);

#endif
