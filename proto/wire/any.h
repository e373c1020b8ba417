// google.protobuf.Any: a message with its name, as in status details, generic runtimes and
// resources. The cluster keeps what it does not know: only who needs the inside opens it.
#ifndef PROTO_WIRE_ANY_H
#define PROTO_WIRE_ANY_H

#include "proto/wire/google.pb-c.h"
#include "proto/wire/wire.h"

// Room for the type URL of any message of proto/wire, terminator included.
#define ANY_URL_BYTES 128

// Wraps a message, copied, in `arena` or, when NULL, on the heap. NULL past the arena's limit.
Google__Any *any_new(const void *message, struct arena *arena);

// True when it says that it holds a message of `type`: the part of its URL after the last slash is
// the full name.
bool any_is(const Google__Any *any, const wire_type *type);

// The message inside, decoded as by wire_unpack. INVALID_ARGUMENT also when it holds another type.
void *any_open(const Google__Any *any, const wire_type *type, const struct wire_limits *limits,
               struct arena *arena, struct err *err);

#endif
