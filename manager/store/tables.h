// The table of object types: one row says everything the store knows about a type. Internal to the
// store.
#ifndef MANAGER_STORE_TABLES_H
#define MANAGER_STORE_TABLES_H

#include <protobuf-c/protobuf-c.h>

#include "manager/store/record.h"
#include "proto/wire/objects.pb-c.h"

struct table {
    const char *name; // SwarmKit's table name
    const ProtobufCMessageDescriptor *descriptor;
    uint32_t action_field;   // in StoreAction
    uint32_t snapshot_field; // in StoreSnapshot
    size_t id_at;            // offset of `const char *id` in the message
    size_t meta_at;          // offset of `Swarm__Meta *meta`
    bool unique_name;
    const Swarm__Annotations *(*annotations)(const void *message);
    void (*index)(const void *message,
                  struct keys *keys); // beyond id, name and custom; may be NULL
};

// The rows, by enum object_type.
extern const struct table tables[OBJECT_TYPES];

// The type with that field number in StoreAction (StoreSnapshot); false when there is none.
bool table_of_action_field(uint32_t field, enum object_type *type);
bool table_of_snapshot_field(uint32_t field, enum object_type *type);

static inline const char *message_id(const struct table *table, const void *message)
{
    const char *id = *(const char *const *)((const char *)message + table->id_at);
    return id ? id : "";
}
static inline Swarm__Meta **message_meta(const struct table *table, void *message)
{
    return (Swarm__Meta **)((char *)message + table->meta_at);
}

// The message in `arena`, or NULL when the bytes are no such message or the arena is full.
void *message_unpack(const struct table *table, const void *bytes, size_t size,
                     struct arena *arena);

#endif
