// The ordered map under the store: a B+ tree of index keys whose every edit copies the path it
// changes, so that older trees stay as they are. Internal to the store.
//
// One tree per object type holds all indexes of the type, as (key, object) pairs sorted by key and
// then by id: a find is a range. Wide nodes keep the cost of an entry near 36 bytes. Each entry has
// the first bytes of what it is sorted by at hand, so that a lookup reads the nodes on its path and
// hardly any object: in a large store every object read is a cache miss.
//
// Lifetimes without counting: the history of roots is a line of numbered edits. A node (or object)
// born in edit B and dropped in edit D is needed by roots B..D-1 and by no other. An edit notes
// what was born and what was dropped; roots.h frees by those notes.
#ifndef MANAGER_STORE_TREE_H
#define MANAGER_STORE_TREE_H

#include "manager/store/record.h"

#define TREE_NODE_ENTRIES 32

struct tree_entry {
    uint64_t head;      // the first bytes of key and id, see entry_head
    const uint8_t *key; // in the object's memory
    const struct object *object;
};

struct tree_node {
    uint64_t birth; // first, as in struct object
    uint16_t count;
    bool leaf;
    struct tree_entry entries[TREE_NODE_ENTRIES]; // in inner nodes: the child's first entry
    struct tree_node *children[];                 // TREE_NODE_ENTRIES of them, inner nodes only
};

// A node or an object, told apart by its lowest bit.
typedef uintptr_t tree_item;

struct tree_items {
    tree_item *items;
    size_t count;
    size_t cap;
};

void tree_items_add(struct tree_items *list, tree_item item);
void tree_items_fini(struct tree_items *list);

static inline tree_item tree_item_of_node(const struct tree_node *node)
{
    return (tree_item)node;
}
static inline tree_item tree_item_of_object(const struct object *object)
{
    return (tree_item)object | 1;
}

// One edit: what it made, and what it made superfluous (some of which it made itself).
struct tree_edit {
    uint64_t number;
    struct tree_items born;
    struct tree_items dropped;
};

void tree_edit_init(struct tree_edit *edit, uint64_t number);
void tree_edit_fini(struct tree_edit *edit);

uint64_t tree_item_birth(tree_item item);

// Heap bytes of the item, and giving it back (an object loses the store's reference).
size_t tree_item_bytes(tree_item item);
void tree_item_free(tree_item item);

// Puts all keys of the object in, in place of all keys of `was` (the object it replaces, or NULL).
// The object becomes the store's (no new reference), `was` is noted as dropped.
void tree_put(struct tree_edit *edit, struct tree_node **root, struct object *object,
              const struct object *was);

// Takes all keys of the object out and notes it as dropped.
void tree_remove(struct tree_edit *edit, struct tree_node **root, const struct object *object);

// Notes every node and object of a tree as dropped, for a root that starts anew.
void tree_drop_all(struct tree_edit *edit, const struct tree_node *root);

// probe_compare of the entry's key, which it reads only when its head does not tell.
int tree_order(const struct probe *probe, const struct tree_entry *entry);

// A walk from the first entry that answers the probe, or lies behind its answers.
void tree_seek(struct view_iter *iter, const struct tree_node *root);
const struct tree_entry *tree_at(const struct view_iter *iter); // NULL at the end
void tree_step(struct view_iter *iter);

#endif
