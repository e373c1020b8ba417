// Messages in and out: decoding with limits, encoding, copying, comparing, freeing. Works on every
// message of proto/wire; the generated structs are included as "proto/wire/<file>.pb-c.h".
//
// Three things hold for every message that wire_unpack hands out, so that no caller checks them
// again:
//   - strings are never NULL (a message field may be) and hold no NUL byte before their end;
//   - message fields that stock peers always write (Node.meta, Task.spec, ServiceSpec.annotations
//     ...; the list is in settle.c) are never NULL, and the has_ bits of raftpb are set;
//   - fields this program does not know are kept, and written again by wire_pack.
// Enum values may be unknown: a newer peer may know more of them.
//
// The `void *` messages are pointers to generated structs, whose first member is the
// ProtobufCMessage base; the base carries the descriptor, so the type is checked at run time.
#ifndef PROTO_WIRE_WIRE_H
#define PROTO_WIRE_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

typedef ProtobufCMessageDescriptor wire_type; // &swarm__node__descriptor ...

// Deepest nesting any decode accepts, whatever its limits say. What swarm peers send needs 9.
#define WIRE_DEPTH_MAX 32

// Most bytes of memory one field of the wire can take besides its own text: a Cluster of two bytes
// becomes a struct of 144 with empty parts of 720, plus the decoder's bookkeeping.
#define WIRE_FIELD_COST_MAX 1024

// What a decode may cost. The bytes bound the texts, the fields bound the structs: a message takes
// at most bytes + WIRE_FIELD_COST_MAX * fields. That is far above what real messages need, so the
// arena should have the tighter limit where strangers may call.
struct wire_limits {
    size_t bytes;      // of the encoded message
    size_t fields;     // in all, nested and packed ones included
    unsigned depth;    // of nested messages; 1 = no nesting; at most WIRE_DEPTH_MAX
    bool nul_in_texts; // accept a NUL inside a string, which then ends there. Only for what other
                       // managers have already accepted (raft entries, snapshots)
};

// For gRPC requests: a stock server takes 4 MiB per message.
#define WIRE_LIMITS_RPC                                                                            \
    ((struct wire_limits){.bytes = 4 << 20, .fields = 1 << 18, .depth = WIRE_DEPTH_MAX})

// For what a manager sends to an agent or another manager in one piece. Stock ones take any size.
#define WIRE_LIMITS_PEER                                                                           \
    ((struct wire_limits){.bytes = 256 << 20, .fields = 1 << 24, .depth = WIRE_DEPTH_MAX})

// For the data of raft entries and snapshots: accepted by the leader, so it has to be applied.
#define WIRE_LIMITS_STATE                                                                          \
    ((struct wire_limits){.bytes = (size_t)1 << 31,                                                \
                          .fields = (size_t)1 << 28,                                               \
                          .depth = WIRE_DEPTH_MAX,                                                 \
                          .nul_in_texts = true})

// For gossip packets and their TCP exchanges.
#define WIRE_LIMITS_GOSSIP ((struct wire_limits){.bytes = 16 << 20, .fields = 1 << 20, .depth = 8})

// Decodes one message of `type`. Checks `limits` in a pass over the bytes before it allocates. The
// message lives in `arena`, or, when that is NULL, on the heap until wire_free. Returns NULL and
// fills `err`: INVALID_ARGUMENT for what is no such message, RESOURCE_EXHAUSTED past a limit or the
// arena's.
void *wire_unpack(const wire_type *type, const void *bytes, size_t size,
                  const struct wire_limits *limits, struct arena *arena, struct err *err);

// Frees a message on the heap, from wire_unpack, wire_copy or wire_new. NULL is fine.
void wire_free(void *message);

// An empty, settled message of `type` in `arena` or, when NULL, on the heap.
void *wire_new(const wire_type *type, struct arena *arena);

// The encoded size in bytes.
size_t wire_size(const void *message);

// Appends the encoded message. RESOURCE_EXHAUSTED past the buffer's limit, which it then remembers.
int wire_pack(const void *message, struct buf *out, struct err *err);

// Encodes into the arena; *size tells how much. NULL past the arena's limit.
uint8_t *wire_pack_arena(const void *message, struct arena *arena, size_t *size);

// A deep copy, unknown fields included, in `arena` or, when NULL, on the heap. NULL only past the
// arena's limit.
void *wire_copy(const void *message, struct arena *arena);

// True when both hold the same, to any depth: maps regardless of their order, lists in order, and
// an absent message field equal to an empty one where stock peers always write it. Elsewhere
// absent and empty differ, as they do on the wire ("defaults are by absence"). Both are messages of
// the same type, or NULL.
bool wire_equal(const void *a, const void *b);

// Creates what stock peers always write and sets raftpb's has_ bits, to any depth, in `arena` or,
// when NULL, on the heap. wire_unpack and wire_new have done it; hand-made messages need it before
// they are packed for a stock peer or handed to code that relies on it. False past the arena's
// limit.
bool wire_settle(void *message, struct arena *arena);

// True for the type of a map's entries ("message Labels" of map<string, string> labels).
bool wire_type_is_map_entry(const wire_type *type);

#endif
