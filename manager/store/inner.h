// What the files of the store share behind its headers. Internal to the store.
#ifndef MANAGER_STORE_INNER_H
#define MANAGER_STORE_INNER_H

#include "manager/store/roots.h"
#include "manager/store/store.h"
#include "manager/store/txn.h"
#include "manager/store/watch.h"

// What one commit did, in order. Each change holds references to its objects.
struct change {
    enum watch_action action;
    const struct object *now;
    const struct object *was;
};

struct changes {
    struct change *list;
    size_t count;
    size_t cap;
};

void changes_add(struct changes *changes, enum watch_action action, const struct object *now,
                 const struct object *was);
void changes_fini(struct changes *changes);

// Writes to a root under the rules of names and existence. `object` is consumed, error or not. The
// errors are those of txn.h, but SEQUENCE and NOKIND, which only a leader checks.
int change_create(struct root *root, struct changes *changes, struct object *object,
                  struct err *err);
int change_update(struct root *root, struct changes *changes, struct object *object,
                  struct err *err);
int change_remove(struct root *root, struct changes *changes, enum object_type type, const char *id,
                  struct err *err);

// The rules about names alone, for a message before it is packed.
int change_check_name(struct view view, enum object_type type, const char *id, const char *name,
                      struct err *err);

// ---- actions: how changes stand in an entry ----------------------------------------------------

// Bytes an action with so many object bytes takes, and appending it.
size_t action_size(enum object_type type, size_t object_bytes);
void action_write(struct buf *out, enum watch_action action, const struct object *object);

// Applies the actions of an InternalRaftRequest to a root. INVALID_ARGUMENT for broken bytes,
// UNKNOWN for the rest.
int actions_apply(struct root *root, struct changes *changes, const void *entry, size_t size,
                  struct err *err);

// ---- proposals in flight -----------------------------------------------------------------------

#define PENDING_MAGIC 0x70656e64u

struct pending {
    unsigned magic;
    struct proposal proposal;
    struct list link; // store.pending, or store.lost once given up
    struct store *store;
    struct root *root; // NULL once given up
    struct changes changes;
    struct txn_done *done;
    uint64_t index;
};

// ---- watchers ----------------------------------------------------------------------------------

// The newest events, oldest first, in a ring.
struct history {
    struct watch_event events[WATCH_HISTORY_EVENTS]; // `now` held, `was` never
    size_t first;
    size_t count;
    size_t bytes;   // footprints of what is held
    uint64_t floor; // complete for versions above this
};

void history_fini(struct history *history);

// Tells the watchers and the history of one commit.
void watch_publish(struct store *store, const struct changes *changes, uint64_t version);

// Forgets the past: nobody can resume from before `version`.
void watch_forget(struct store *store, uint64_t version);

// ---- the store ---------------------------------------------------------------------------------

#define STORE_MAGIC 0x73746f72u

struct store {
    unsigned magic;
    struct roots roots;
    struct proposer *proposer;
    struct list pending; // pending.link, oldest first
    struct list lost;    // given up, but the proposer has not said so yet
    size_t pending_count;
    struct txn *open;
    struct restore *restoring;
    uint64_t applied;
    uint64_t commits;
    struct list watches; // watch.link
    struct history history;
};

static inline struct view view_of(const struct root *root)
{
    return (struct view){.root = root};
}

// Makes the root committed and tells everybody; frees the changes.
void store_publish(struct store *store, struct root *root, struct changes *changes, uint64_t index);

// proposal.done of every pending.
void pending_done(struct proposal *proposal, const struct err *err);

#endif
