// The line of roots: which states of the store exist, and when what only they need goes back.
// Internal to the store.
//
// Roots stand in the order of their edits: retired ones that readers still hold, the committed one,
// then those whose entries are on their way through the log. What an edit drops goes on the dead
// list of the root before it, the last that needs it; when that root goes, each item moves to the
// root before, if that is young enough to know it, or back to the heap. A reader that keeps an old
// root thus keeps what that root shows and nothing made since.
#ifndef MANAGER_STORE_ROOTS_H
#define MANAGER_STORE_ROOTS_H

#include <urcu/urcu-memb.h>

#include "manager/store/store.h"
#include "manager/store/tree.h"
#include "proto/base/list.h"

struct root {
    struct list link; // roots.line
    struct tree_node *trees[OBJECT_TYPES];
    size_t counts[OBJECT_TYPES];
    size_t bytes[OBJECT_TYPES]; // packed
    struct tree_edit edit;      // born and dropped: only until published
    struct tree_items dead;     // needed by this root, by none after it
    atomic_uint pins;
    uint64_t ticket; // set when retired: free when that grace period is over; 0 = not retired
};

struct roots {
    struct list line;       // root.link, oldest first
    struct root *committed; // written by the control thread, read under RCU
    uint64_t edits;         // numbers given so far
    uint64_t tickets;       // grace periods asked for
    size_t tree_bytes;
    size_t object_bytes;
    size_t freed_bytes; // since the heap was last trimmed
    struct {
        struct rcu_head head;
        uint64_t ticket; // the newest retired root it covers
        atomic_bool running;
        _Atomic uint64_t granted; // tickets up to here are over
    } grace;
};

void roots_init(struct roots *roots);

// No pins may be left.
void roots_fini(struct roots *roots);

// The newest root: the committed one or the last on its way.
struct root *roots_tip(const struct roots *roots);

// A new root after the tip, sharing everything with it, to be edited.
struct root *roots_begin(struct roots *roots);

// Forgets the newest root, which is not the committed one, and all it made.
void roots_abort(struct roots *roots, struct root *root);

// Makes the root that follows the committed one the committed one.
void roots_publish(struct roots *roots, struct root *root);

// Frees what readers are through with.
void roots_reclaim(struct roots *roots);

// Gives freed pages back to the system when they are many. Walks the heap: not for every commit.
void roots_trim(struct roots *roots);

// Editing. The object (with its reference) becomes the root's; `was` is the one it replaces.
void root_put(struct root *root, enum object_type type, struct object *object,
              const struct object *was);
void root_remove(struct root *root, enum object_type type, const struct object *object);
void root_clear(struct root *root);

#endif
