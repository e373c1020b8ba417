#include "manager/store/tree.h"

#include <stdlib.h>

#include "manager/store/slab.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// A node below this is joined with a neighbour. A quarter instead of the usual half: fewer joins
// where tasks come and go, at a price in memory that bulk deletion does not notice.
#define NODE_ENTRIES_MIN (TREE_NODE_ENTRIES / 4)

// ---- items -------------------------------------------------------------------------------------

void tree_items_add(struct tree_items *list, tree_item item)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 16;
        list->items = mem_realloc(list->items, list->cap * sizeof(*list->items));
    }
    list->items[list->count++] = item;
}

void tree_items_fini(struct tree_items *list)
{
    free(list->items);
    *list = (struct tree_items){.items = NULL};
}

uint64_t tree_item_birth(tree_item item)
{
    // Both structs begin with their birth.
    return *(const uint64_t *)(item & ~(tree_item)1);
}

static size_t node_bytes(bool leaf)
{
    return sizeof(struct tree_node) + (leaf ? 0 : TREE_NODE_ENTRIES * sizeof(struct tree_node *));
}

size_t tree_item_bytes(tree_item item)
{
    if (item & 1)
        return ((const struct object *)(item & ~(tree_item)1))->block_bytes;
    return node_bytes(((const struct tree_node *)item)->leaf);
}

void tree_item_free(tree_item item)
{
    if (item & 1)
        object_unref((const struct object *)(item & ~(tree_item)1));
    else
        slab_free((struct tree_node *)item, node_bytes(((const struct tree_node *)item)->leaf));
}

// ---- edits -------------------------------------------------------------------------------------

void tree_edit_init(struct tree_edit *edit, uint64_t number)
{
    *edit = (struct tree_edit){.number = number};
}

void tree_edit_fini(struct tree_edit *edit)
{
    tree_items_fini(&edit->born);
    tree_items_fini(&edit->dropped);
}

static struct tree_node *node_new(struct tree_edit *edit, bool leaf)
{
    struct tree_node *node = slab_alloc(node_bytes(leaf));
    node->birth = edit->number;
    node->count = 0;
    node->leaf = leaf;
    tree_items_add(&edit->born, tree_item_of_node(node));
    return node;
}

static void node_drop(struct tree_edit *edit, const struct tree_node *node)
{
    tree_items_add(&edit->dropped, tree_item_of_node(node));
}

// The node itself when this edit made it, else a copy that takes its place.
static struct tree_node *node_own(struct tree_edit *edit, struct tree_node *node)
{
    if (node->birth == edit->number)
        return node;
    struct tree_node *copy = node_new(edit, node->leaf);
    copy->count = node->count;
    memcpy(copy->entries, node->entries, node->count * sizeof(node->entries[0]));
    if (!node->leaf)
        memcpy(copy->children, node->children, node->count * sizeof(node->children[0]));
    node_drop(edit, node);
    return copy;
}

// ---- order -------------------------------------------------------------------------------------

// The first eight bytes of the key and the id after it, the first one highest. No key of an index
// begins with another one, so these order entries as keys and ids do, as far as they differ.
static uint64_t entry_head(const uint8_t *key, const char *id)
{
    uint64_t head = 0;
    size_t size = key_size(key);
    for (size_t i = 0; i < sizeof(head); i++) {
        uint8_t byte = i < size ? key_bytes(key)[i] : (uint8_t)*id;
        head = head << 8 | byte;
        id += i >= size && byte;
    }
    return head;
}

static struct tree_entry entry_of(const uint8_t *key, const struct object *object)
{
    return (struct tree_entry){.head = entry_head(key, object->id), .key = key, .object = object};
}

static int entry_compare(const struct tree_entry *a, const struct tree_entry *b)
{
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    size_t a_size = key_size(a->key);
    size_t b_size = key_size(b->key);
    int order = memcmp(key_bytes(a->key), key_bytes(b->key), a_size < b_size ? a_size : b_size);
    if (order)
        return order;
    if (a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return strcmp(a->object->id, b->object->id);
}

// The first place whose entry is not before `entry`; *equal when it is the same.
static unsigned node_place(const struct tree_node *node, const struct tree_entry *entry,
                           bool *equal)
{
    unsigned low = 0;
    unsigned high = node->count;
    *equal = false;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int order = entry_compare(&node->entries[middle], entry);
        if (order == 0) {
            *equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The child that holds, or would hold, the entry.
static unsigned node_child(const struct tree_node *node, const struct tree_entry *entry)
{
    bool equal;
    unsigned place = node_place(node, entry, &equal);
    return equal || place == 0 ? place : place - 1;
}

// ---- inserting ---------------------------------------------------------------------------------

static void node_insert(struct tree_node *node, unsigned place, struct tree_entry entry,
                        struct tree_node *child)
{
    CHECK(node->count < TREE_NODE_ENTRIES);
    unsigned behind = node->count - place;
    memmove(&node->entries[place + 1], &node->entries[place], behind * sizeof(entry));
    node->entries[place] = entry;
    if (!node->leaf) {
        memmove(&node->children[place + 1], &node->children[place], behind * sizeof(child));
        node->children[place] = child;
    }
    node->count++;
}

// Moves the last `count` of `from` to the front of `to`.
static void node_shift(struct tree_node *from, struct tree_node *to, unsigned count)
{
    unsigned start = from->count - count;
    memmove(&to->entries[count], &to->entries[0], to->count * sizeof(to->entries[0]));
    memcpy(&to->entries[0], &from->entries[start], count * sizeof(to->entries[0]));
    if (!to->leaf) {
        memmove(&to->children[count], &to->children[0], to->count * sizeof(to->children[0]));
        memcpy(&to->children[0], &from->children[start], count * sizeof(to->children[0]));
    }
    to->count = (uint16_t)(to->count + count);
    from->count = (uint16_t)start;
}

// Puts the entry at a place of the node, splitting a full one: then the right half is returned.
static struct tree_node *node_add(struct tree_edit *edit, struct tree_node *node, unsigned place,
                                  struct tree_entry entry, struct tree_node *child)
{
    struct tree_node *right = NULL;
    if (node->count == TREE_NODE_ENTRIES) {
        right = node_new(edit, node->leaf);
        // Keys that only grow (slots of one service, say) leave full nodes behind them.
        bool at_end = place == node->count;
        node_shift(node, right, at_end ? 1 : TREE_NODE_ENTRIES / 2);
        if (place > node->count || at_end) {
            node_insert(right, place - node->count, entry, child);
            return right;
        }
    }
    node_insert(node, place, entry, child);
    return right;
}

// Inserts or replaces. Returns the node in place of `node`; *split is its new right neighbour or
// NULL.
static struct tree_node *insert(struct tree_edit *edit, struct tree_node *node,
                                struct tree_entry entry, struct tree_node **split)
{
    node = node_own(edit, node);
    *split = NULL;
    if (node->leaf) {
        bool equal;
        unsigned place = node_place(node, &entry, &equal);
        if (equal)
            node->entries[place] = entry;
        else
            *split = node_add(edit, node, place, entry, NULL);
        return node;
    }
    unsigned at = node_child(node, &entry);
    struct tree_node *right;
    struct tree_node *child = insert(edit, node->children[at], entry, &right);
    node->children[at] = child;
    node->entries[at] = child->entries[0];
    if (right)
        *split = node_add(edit, node, at + 1, right->entries[0], right);
    return node;
}

static void put_entry(struct tree_edit *edit, struct tree_node **root, struct tree_entry entry)
{
    if (!*root) {
        *root = node_new(edit, true);
        node_insert(*root, 0, entry, NULL);
        return;
    }
    struct tree_node *right;
    struct tree_node *left = insert(edit, *root, entry, &right);
    *root = left;
    if (right) {
        struct tree_node *top = node_new(edit, false);
        node_insert(top, 0, left->entries[0], left);
        node_insert(top, 1, right->entries[0], right);
        *root = top;
    }
}

// ---- removing ----------------------------------------------------------------------------------

static void node_delete(struct tree_node *node, unsigned place)
{
    unsigned behind = node->count - place - 1;
    memmove(&node->entries[place], &node->entries[place + 1], behind * sizeof(node->entries[0]));
    if (!node->leaf)
        memmove(&node->children[place], &node->children[place + 1],
                behind * sizeof(node->children[0]));
    node->count--;
}

// The child at `at` has become small: join it with a neighbour, or share that one's entries.
static void node_mend(struct tree_edit *edit, struct tree_node *node, unsigned at)
{
    if (node->children[at]->count == 0) {
        node_drop(edit, node->children[at]);
        node_delete(node, at);
        return;
    }
    if (node->children[at]->count >= NODE_ENTRIES_MIN || node->count == 1)
        return;
    unsigned first = at > 0 ? at - 1 : at;
    struct tree_node *left = node_own(edit, node->children[first]);
    struct tree_node *right = node_own(edit, node->children[first + 1]);
    node->children[first] = left;
    node->children[first + 1] = right;
    unsigned total = left->count + right->count;
    if (total <= TREE_NODE_ENTRIES) {
        node_shift(left, right, left->count);
        node_drop(edit, left);
        node_delete(node, first);
        node->entries[first] = right->entries[0];
        return;
    }
    if (left->count > right->count) {
        node_shift(left, right, left->count - total / 2);
    } else {
        // Rotate leftwards through a scratch node: the shift helper only moves to the right.
        unsigned count = right->count - total / 2;
        memcpy(&left->entries[left->count], &right->entries[0], count * sizeof(left->entries[0]));
        if (!left->leaf)
            memcpy(&left->children[left->count], &right->children[0],
                   count * sizeof(left->children[0]));
        left->count = (uint16_t)(left->count + count);
        for (unsigned i = 0; i < count; i++)
            node_delete(right, 0);
    }
    node->entries[first] = left->entries[0];
    node->entries[first + 1] = right->entries[0];
}

// Takes out an entry that is there.
static struct tree_node *take(struct tree_edit *edit, struct tree_node *node,
                              const struct tree_entry *entry)
{
    node = node_own(edit, node);
    if (node->leaf) {
        bool equal;
        unsigned place = node_place(node, entry, &equal);
        CHECK(equal);
        node_delete(node, place);
        return node;
    }
    unsigned at = node_child(node, entry);
    struct tree_node *child = take(edit, node->children[at], entry);
    node->children[at] = child;
    if (child->count)
        node->entries[at] = child->entries[0];
    node_mend(edit, node, at);
    return node;
}

static void take_entry(struct tree_edit *edit, struct tree_node **root, struct tree_entry entry)
{
    CHECK(*root);
    struct tree_node *node = take(edit, *root, &entry);
    while (node && (node->count == 0 || (!node->leaf && node->count == 1))) {
        node_drop(edit, node);
        node = node->count == 0 ? NULL : node->children[0];
    }
    *root = node;
}

// ---- objects -----------------------------------------------------------------------------------

static bool has_key(const struct object *object, const uint8_t *wanted)
{
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        if (key_size(key) == key_size(wanted) &&
            !memcmp(key_bytes(key), key_bytes(wanted), key_size(key)))
            return true;
    return false;
}

void tree_put(struct tree_edit *edit, struct tree_node **root, struct object *object,
              const struct object *was)
{
    object->birth = edit->number;
    tree_items_add(&edit->born, tree_item_of_object(object));
    if (was) {
        CHECK(!strcmp(was->id, object->id));
        const uint8_t *key = was->keys;
        for (unsigned i = 0; i < was->keys_count; i++, key = key_next(key))
            if (!has_key(object, key))
                take_entry(edit, root, entry_of(key, was));
        tree_items_add(&edit->dropped, tree_item_of_object(was));
    }
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        put_entry(edit, root, entry_of(key, object));
}

void tree_remove(struct tree_edit *edit, struct tree_node **root, const struct object *object)
{
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        take_entry(edit, root, entry_of(key, object));
    tree_items_add(&edit->dropped, tree_item_of_object(object));
}

void tree_drop_all(struct tree_edit *edit, const struct tree_node *root)
{
    if (!root)
        return;
    for (unsigned i = 0; i < root->count; i++) {
        if (!root->leaf)
            tree_drop_all(edit, root->children[i]);
        else if (key_bytes(root->entries[i].key)[0] == INDEX_ID)
            tree_items_add(&edit->dropped, tree_item_of_object(root->entries[i].object));
    }
    node_drop(edit, root);
}

// ---- walking -----------------------------------------------------------------------------------

int tree_order(const struct probe *probe, const struct tree_entry *entry)
{
    uint64_t head = entry->head & probe->mask;
    if (head != probe->head)
        return head < probe->head ? -1 : 1;
    return probe->whole ? 0 : probe_compare(probe, entry->key);
}

void tree_seek(struct view_iter *iter, const struct tree_node *root)
{
    iter->depth = 0;
    for (const struct tree_node *node = root; node;) {
        unsigned low = 0;
        unsigned high = node->count;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (tree_order(&iter->probe, &node->entries[middle]) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        CHECK(iter->depth < VIEW_DEPTH_MAX);
        // An inner node's entry is its child's first: the answers may begin in the child before.
        unsigned at = node->leaf || low == 0 ? low : low - 1;
        iter->path[iter->depth].node = node;
        iter->path[iter->depth].at = at;
        iter->depth++;
        if (node->leaf)
            break;
        node = node->children[at];
    }
    if (iter->depth > 0) {
        const struct tree_node *leaf = iter->path[iter->depth - 1].node;
        if (iter->path[iter->depth - 1].at >= leaf->count) {
            iter->path[iter->depth - 1].at = leaf->count - 1U;
            tree_step(iter);
        }
    }
}

const struct tree_entry *tree_at(const struct view_iter *iter)
{
    if (iter->depth == 0)
        return NULL;
    const struct tree_node *leaf = iter->path[iter->depth - 1].node;
    return &leaf->entries[iter->path[iter->depth - 1].at];
}

void tree_step(struct view_iter *iter)
{
    while (iter->depth > 0) {
        const struct tree_node *node = iter->path[iter->depth - 1].node;
        if (++iter->path[iter->depth - 1].at < node->count)
            break;
        iter->depth--;
    }
    if (iter->depth == 0)
        return;
    for (;;) {
        const struct tree_node *node = iter->path[iter->depth - 1].node;
        if (node->leaf)
            return;
        const struct tree_node *child = node->children[iter->path[iter->depth - 1].at];
        CHECK(iter->depth < VIEW_DEPTH_MAX);
        iter->path[iter->depth].node = child;
        iter->path[iter->depth].at = 0;
        iter->depth++;
    }
}
