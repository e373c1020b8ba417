// Every message type of proto/wire: for tests and fuzzers that go through all of them, and for
// finding a type by the name that an Any or a log line carries.
#ifndef PROTO_WIRE_REGISTRY_H
#define PROTO_WIRE_REGISTRY_H

#include "proto/wire/wire.h"

// All of them, nested messages and map entries included, files in alphabetical order. The list is
// made at build time.
extern const wire_type *const registry_types[];
extern const size_t registry_count;

// The type of that full name ("docker.swarmkit.v1.Node"), or NULL.
const wire_type *registry_find(const char *full_name);

#endif
