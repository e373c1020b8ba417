// Snapshots: the whole state as SwarmKit's StoreSnapshot message, written and read piece by piece.
#ifndef MANAGER_STORE_SNAPSHOT_H
#define MANAGER_STORE_SNAPSHOT_H

#include "manager/store/store.h"

// Bytes of the StoreSnapshot message of this view: known beforehand, since it goes inside another
// message (Snapshot.store), before which its length stands.
size_t snapshot_size(struct view view);

// Writes the message in pieces of the caller's choosing. The view must stay pinned.
struct snapshot_writer {
    struct view view;
    enum object_type type; // being written
    struct view_iter iter;
    const struct object *object; // being written
    size_t done;                 // bytes of its field already written
};

void snapshot_writer_init(struct snapshot_writer *writer, struct view view);

// Fills `out` as far as there is something to write; 0 at the end.
size_t snapshot_write(struct snapshot_writer *writer, void *out, size_t size);

// Reading: bytes in pieces of any size, then finish, which replaces the whole state at once.
struct restore;

// One at a time, and no transaction open.
struct restore *restore_begin(struct store *store);

// INVALID_ARGUMENT when the bytes are no StoreSnapshot, hold an object twice or an object past
// OBJECT_BYTES_MAX. Unknown fields are skipped. After an error only restore_cancel is allowed.
int restore_feed(struct restore *restore, const void *bytes, size_t size, struct err *err);

// One object by itself, between feeds that ended with a whole field: for a state that is kept
// object by object. INVALID_ARGUMENT as above.
int restore_object(struct restore *restore, enum object_type type, const void *bytes, size_t size,
                   struct err *err);

// Publishes what was fed as the state at log index `index`; watchers see the difference. Pending
// transactions fail first. Frees `restore`, error (an unfinished message) or not.
int restore_finish(struct restore *restore, uint64_t index, struct err *err);
void restore_cancel(struct restore *restore);

#endif
