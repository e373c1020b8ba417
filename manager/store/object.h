// Store objects: one immutable, counted record per swarm noun, kept packed.
//
// An object is its protobuf bytes, exactly as they came (fields we do not know included), and the
// few values that indexes and cores ask for all the time, in one block of memory. Whoever needs
// the rest unpacks it into an arena of their own: a decoded tree costs five times the packed bytes,
// and most objects are read by their facts, or copied whole onto the wire.
#ifndef MANAGER_STORE_OBJECT_H
#define MANAGER_STORE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

enum object_type {
    OBJECT_NODE,
    OBJECT_SERVICE,
    OBJECT_TASK,
    OBJECT_NETWORK,
    OBJECT_CLUSTER,
    OBJECT_SECRET,
    OBJECT_CONFIG,
    OBJECT_EXTENSION,
    OBJECT_RESOURCE,
    OBJECT_VOLUME,
    OBJECT_TYPES, // how many
};

// Largest packed object: what fits a proposal (swarmkit.md section 18.1).
#define OBJECT_BYTES_MAX ((size_t)1536 * 1024)

// Arena room that always suffices to unpack one object: a decoded tree is larger than its bytes.
#define OBJECT_ARENA_BYTES (64 * OBJECT_BYTES_MAX)

// Longest id accepted; ours have 25 characters.
#define OBJECT_ID_BYTES 255

struct object;

// What cores ask of a task without unpacking it. Strings live as long as the object, "" for none.
struct task_facts {
    const char *service_id;
    const char *node_id;
    uint64_t slot;
    uint64_t spec_version; // 0 when absent; see has_spec_version
    uint64_t job_iteration;
    int64_t status_ns;  // status.applied_at, else status.timestamp, else 0
    int64_t created_ns; // meta.created_at, 0 when absent
    uint16_t state;     // TaskState as on the wire
    uint16_t desired_state;
    bool has_spec_version;
    bool has_job_iteration;
};

struct node_facts {
    uint8_t state;        // NodeStatus.State
    uint8_t availability; // NodeSpec.Availability
    uint8_t role;         // observed
    uint8_t desired_role;
    uint8_t membership;
};

enum object_type object_type(const struct object *object);
const char *object_id(const struct object *object);
const char *object_name(const struct object *object); // annotations.name, "" for none

// Meta.version.index, 0 when absent.
uint64_t object_version(const struct object *object);

// The edit that made it (view.h); of an object in a view.
uint64_t object_birth(const struct object *object);

// The packed message, valid as long as the object.
const uint8_t *object_bytes(const struct object *object, size_t *len);

// The object must be a task (a node).
const struct task_facts *object_task(const struct object *object);
const struct node_facts *object_node(const struct object *object);

// The decoded message (the protobuf-c struct of the object's type) in `arena`, settled (wire.h),
// the caller's to change. NULL only when the arena's limit is hit.
void *object_unpack(const struct object *object, struct arena *arena);

// Counted from any thread. An object found in a view lives as long as the view; take a reference
// to keep it longer.
struct object *object_ref(const struct object *object);
void object_unref(const struct object *object);

// "node", "service", ...: SwarmKit's table names, also used as kinds by its Watch API.
const char *object_type_name(enum object_type type);

// False for names of no built-in type.
bool object_type_of_name(const char *name, enum object_type *type);

// Heap bytes of one object: for measurements.
size_t object_footprint(const struct object *object);

#endif
