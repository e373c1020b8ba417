#include "manager/store/roots.h"

#include <malloc.h>
#include <stdlib.h>

#include "manager/store/slab.h"
#include "proto/base/check.h"
#include "proto/base/race.h"
#include "proto/base/str.h"

// glibc keeps freed pages; after this much was freed it is worth asking for them.
#define TRIM_BYTES ((size_t)4 * 1024 * 1024)

void roots_init(struct roots *roots)
{
    *roots = (struct roots){.edits = 1};
    list_init(&roots->line);
    struct root *root = MEM_NEW(struct root);
    tree_edit_init(&root->edit, roots->edits);
    list_push_back(&roots->line, &root->link);
    roots->committed = root;
}

static struct root *root_of(struct list *link)
{
    return LIST_ENTRY(link, struct root, link);
}

// The root before this one in the line, or NULL.
static struct root *root_before(const struct roots *roots, const struct root *root)
{
    return root->link.prev == &roots->line ? NULL : root_of(root->link.prev);
}

static void item_free(struct roots *roots, tree_item item)
{
    size_t bytes = tree_item_bytes(item);
    roots->freed_bytes += bytes;
    *(item & 1 ? &roots->object_bytes : &roots->tree_bytes) -= bytes;
    tree_item_free(item);
}

static void root_free(struct root *root)
{
    list_remove(&root->link);
    tree_edit_fini(&root->edit);
    tree_items_fini(&root->dead);
    free(root);
}

struct root *roots_tip(const struct roots *roots)
{
    return root_of(roots->line.prev);
}

struct root *roots_begin(struct roots *roots)
{
    const struct root *tip = roots_tip(roots);
    struct root *root = MEM_NEW(struct root);
    memcpy(root->trees, tip->trees, sizeof(root->trees));
    memcpy(root->counts, tip->counts, sizeof(root->counts));
    memcpy(root->bytes, tip->bytes, sizeof(root->bytes));
    tree_edit_init(&root->edit, ++roots->edits);
    list_push_back(&roots->line, &root->link);
    return root;
}

void roots_abort(struct roots *roots, struct root *root)
{
    CHECK(root == roots_tip(roots));
    CHECK(root != roots->committed);
    for (size_t i = 0; i < root->edit.born.count; i++)
        tree_item_free(root->edit.born.items[i]);
    root_free(root);
}

// ---- publishing and giving back ----------------------------------------------------------------

static void grace_over(struct rcu_head *head)
{
    struct roots *roots = CONTAINER_OF(head, struct roots, grace.head);
    RACE_AFTER(&roots->grace); // what readers did in their sections, and grace_ask
    uint64_t ticket = roots->grace.ticket;
    atomic_store_explicit(&roots->grace.granted, ticket, memory_order_release);
    atomic_store_explicit(&roots->grace.running, false, memory_order_release);
    RACE_BEFORE(&roots->grace); // what roots_fini does
}

// One grace period at a time covers all roots retired before it began.
static void grace_ask(struct roots *roots)
{
    if (roots->tickets == atomic_load_explicit(&roots->grace.granted, memory_order_acquire) ||
        atomic_load_explicit(&roots->grace.running, memory_order_acquire))
        return;
    roots->grace.ticket = roots->tickets;
    atomic_store_explicit(&roots->grace.running, true, memory_order_release);
    RACE_BEFORE(&roots->grace);
    urcu_memb_call_rcu(&roots->grace.head, grace_over);
}

// The root is needed no more; what only it needed goes to the root before, or back.
static void root_destroy(struct roots *roots, struct root *root)
{
    struct root *before = root_before(roots, root);
    for (size_t i = 0; i < root->dead.count; i++) {
        tree_item item = root->dead.items[i];
        if (before && before->edit.number >= tree_item_birth(item))
            tree_items_add(&before->dead, item);
        else
            item_free(roots, item);
    }
    root_free(root);
}

void roots_publish(struct roots *roots, struct root *root)
{
    struct root *was = roots->committed;
    CHECK(root_before(roots, root) == was);
    struct tree_edit *edit = &root->edit;
    for (size_t i = 0; i < edit->born.count; i++) {
        tree_item item = edit->born.items[i];
        *(item & 1 ? &roots->object_bytes : &roots->tree_bytes) += tree_item_bytes(item);
    }
    tree_items_fini(&edit->born);
    // From here on readers that come find the new root; those that came before hold a pin, or take
    // one before the grace period that starts now is over.
    RACE_BEFORE(&roots->committed);
    rcu_assign_pointer(roots->committed, root);
    for (size_t i = 0; i < edit->dropped.count; i++) {
        tree_item item = edit->dropped.items[i];
        if (tree_item_birth(item) == edit->number)
            item_free(roots, item); // made and superseded within one edit: no root shows it
        else
            tree_items_add(&was->dead, item);
    }
    tree_items_fini(&edit->dropped);
    was->ticket = ++roots->tickets;
    roots_reclaim(roots);
}

void roots_reclaim(struct roots *roots)
{
    uint64_t granted = atomic_load_explicit(&roots->grace.granted, memory_order_acquire);
    for (struct list *it = roots->line.next; it != &roots->line;) {
        struct root *root = root_of(it);
        it = it->next;
        if (root == roots->committed)
            break;
        if (root->ticket <= granted && atomic_load_explicit(&root->pins, memory_order_acquire) == 0)
            root_destroy(roots, root);
    }
    grace_ask(roots);
}

void roots_trim(struct roots *roots)
{
    if (roots->freed_bytes < TRIM_BYTES)
        return;
    roots->freed_bytes = 0;
    slab_trim();
    malloc_trim(0);
}

void roots_fini(struct roots *roots)
{
    while (roots_tip(roots) != roots->committed)
        roots_abort(roots, roots_tip(roots));
    urcu_memb_barrier(); // grace_over has run
    RACE_AFTER(&roots->grace);
    while (!list_empty(&roots->line)) {
        struct root *root = root_of(roots->line.next);
        CHECK(atomic_load(&root->pins) == 0);
        if (root == roots->committed) {
            struct tree_edit all;
            tree_edit_init(&all, roots->edits + 1);
            for (unsigned type = 0; type < OBJECT_TYPES; type++)
                tree_drop_all(&all, root->trees[type]);
            for (size_t i = 0; i < all.dropped.count; i++)
                tree_items_add(&root->dead, all.dropped.items[i]);
            tree_edit_fini(&all);
        }
        root_destroy(roots, root);
    }
    CHECK(roots->tree_bytes == 0);
    CHECK(roots->object_bytes == 0);
}

// ---- editing -----------------------------------------------------------------------------------

void root_put(struct root *root, enum object_type type, struct object *object,
              const struct object *was)
{
    CHECK(type == object->type);
    tree_put(&root->edit, &root->trees[type], object, was);
    root->bytes[type] += object->packed_bytes;
    if (was)
        root->bytes[type] -= was->packed_bytes;
    else
        root->counts[type]++;
}

void root_remove(struct root *root, enum object_type type, const struct object *object)
{
    tree_remove(&root->edit, &root->trees[type], object);
    root->bytes[type] -= object->packed_bytes;
    root->counts[type]--;
}

void root_clear(struct root *root)
{
    for (unsigned type = 0; type < OBJECT_TYPES; type++) {
        tree_drop_all(&root->edit, root->trees[type]);
        root->trees[type] = NULL;
        root->counts[type] = 0;
        root->bytes[type] = 0;
    }
}
