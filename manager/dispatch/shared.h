// The part of session messages that is the same for every agent: managers, network keys, root.
// Packed once per change, copied into each message. Pure.
#ifndef MANAGER_DISPATCH_SHARED_H
#define MANAGER_DISPATCH_SHARED_H

#include "manager/dispatch/dispatcher.h"
#include "proto/base/buf.h"

struct shared {
    struct buf managers;
    struct buf cluster;
    uint64_t generation; // grows with each change
    int64_t heartbeat_ns;
};

void shared_init(struct shared *shared);
void shared_fini(struct shared *shared);

// The managers; entries without address are left out. False when nothing changed.
bool shared_set_managers(struct shared *shared, const struct dispatch_manager *managers,
                         size_t managers_count);

// Keys and root, and the heartbeat period, from the cluster object. Always counts as a change.
void shared_set_cluster(struct shared *shared, const struct object *cluster);

// Makes everybody's message due again.
void shared_touch(struct shared *shared);

// False while there is no manager to name: a message without managers would make agents forget all
// they know.
bool shared_ready(const struct shared *shared);

// Appends the fields of a SessionMessage.
void shared_put(const struct shared *shared, struct buf *message);

#endif
