#include "manager/sched/place.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- ranking -----------------------------------------------------------------------------------

bool place_before(const struct sched_node *a, const struct sched_node *b)
{
    // Many recent failures decide before anything else.
    if ((a->failed >= SCHED_FAILURES_MAX || b->failed >= SCHED_FAILURES_MAX) &&
        a->failed != b->failed)
        return a->failed < b->failed;
    if (a->here != b->here)
        return a->here < b->here;
    return a->active < b->active;
}

struct ranked {
    struct sched_node *node;
    size_t order; // among equals: the order they came in
};

static int ranked_compare(const void *left, const void *right)
{
    const struct ranked *a = left;
    const struct ranked *b = right;
    if (place_before(a->node, b->node))
        return -1;
    if (place_before(b->node, a->node))
        return 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static void heap_sink(struct ranked *heap, size_t count, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && ranked_compare(&heap[child + 1], &heap[child]) > 0)
            child++;
        if (ranked_compare(&heap[child], &heap[at]) <= 0)
            return;
        struct ranked swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

// The best `wanted` of the nodes that pass, best first; returns how many there are.
static size_t rank(const struct place *place, struct sched_node *const *nodes, size_t count,
                   size_t wanted, struct ranked *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct ranked candidate = {.node = nodes[i], .order = i};
        // Of many nodes most are worse than those there are: that is cheaper to tell than fitness.
        if (kept == wanted && ranked_compare(&candidate, &out[0]) > 0)
            continue;
        if (filter_check(place->demand, nodes[i]) != SCHED_FILTERS)
            continue;
        if (kept < wanted) {
            out[kept++] = candidate;
            // Full: from here on the worst is at the front, to be pushed out.
            if (kept == wanted)
                for (size_t at = kept / 2; at-- > 0;)
                    heap_sink(out, kept, at);
        } else {
            out[0] = candidate;
            heap_sink(out, kept, 0);
        }
    }
    qsort(out, kept, sizeof(*out), ranked_compare);
    return kept;
}

// ---- a leaf ------------------------------------------------------------------------------------

// Walks the ranked nodes: the first round levels them, then each gets one at a time.
static size_t place_on(struct place *place, struct ranked *ranked, size_t nodes, size_t count)
{
    bool *full = mem_alloc_array(nodes, sizeof(*full));
    size_t placed = 0;
    size_t at = 0;
    while (placed < count && !list_empty(&place->demand->pending)) {
        struct sched_node *node = ranked[at % nodes].node;
        place->assign(place, LIST_ENTRY(place->demand->pending.next, struct sched_task, pending),
                      node);
        if (++placed == count)
            break;
        if (at + 1 >= nodes || place_before(ranked[at + 1].node, node))
            at++;
        size_t from = at;
        while (full[at % nodes] ||
               filter_check(place->demand, ranked[at % nodes].node) != SCHED_FILTERS) {
            full[at % nodes] = true;
            if (++at - from == nodes)
                goto out; // no node takes any more
        }
    }
out:
    free(full);
    return placed;
}

static size_t place_leaf(struct place *place, struct sched_node *const *nodes, size_t nodes_count,
                         size_t count)
{
    size_t wanted = count < nodes_count ? count : nodes_count;
    if (wanted == 0)
        return 0;
    struct ranked *ranked = mem_alloc_array(wanted, sizeof(*ranked));
    size_t kept = rank(place, nodes, nodes_count, wanted, ranked);
    size_t placed = kept ? place_on(place, ranked, kept, count) : 0;
    free(ranked);
    return placed;
}

// ---- the tree ----------------------------------------------------------------------------------

struct branch {
    const char *value;        // of this level's label
    size_t tasks;             // active ones of the service on its nodes
    struct branch **branches; // NULL at the leaves
    size_t branches_count;
    struct sched_node **nodes;
    size_t nodes_count;
    size_t nodes_cap;
    bool full;
};

static void branch_free(struct branch *branch)
{
    for (size_t i = 0; i < branch->branches_count; i++)
        branch_free(branch->branches[i]);
    free(branch->branches);
    free(branch->nodes);
    free(branch);
}

static struct branch *branch_of(struct branch *branch, struct map *known, const char *value)
{
    struct branch *found = map_get_str(known, value);
    if (found)
        return found;
    found = MEM_NEW(struct branch);
    found->value = value;
    branch->branches =
        mem_realloc(branch->branches, (branch->branches_count + 1) * sizeof(*branch->branches));
    branch->branches[branch->branches_count++] = found;
    map_put_str(known, value, found);
    return found;
}

// Deals the branch's nodes out to branches by the label of the level, and so on down.
static void branch_split(struct branch *branch, const struct demand *demand, size_t level)
{
    if (level == demand->spreads_count)
        return;
    const struct spread_want *want = &demand->spreads[level];
    struct map known;
    map_init(&known);
    for (size_t i = 0; i < branch->nodes_count; i++) {
        struct sched_node *node = branch->nodes[i];
        const struct node_traits *traits = &node->traits;
        const char *value =
            want->engine
                ? trait_get(traits->engine_labels, traits->engine_labels_count, want->label)
                : trait_get(traits->labels, traits->labels_count, want->label);
        struct branch *child = branch_of(branch, &known, value);
        if (child->nodes_count == child->nodes_cap) {
            child->nodes_cap = child->nodes_cap ? 2 * child->nodes_cap : 8;
            child->nodes = mem_realloc(child->nodes, child->nodes_cap * sizeof(*child->nodes));
        }
        child->nodes[child->nodes_count++] = node;
        child->tasks += node->here;
    }
    map_fini(&known);
    for (size_t i = 0; i < branch->branches_count; i++)
        branch_split(branch->branches[i], demand, level + 1);
}

// Evens the branches out until the tasks are placed or all branches are full.
static size_t place_branch(struct place *place, struct branch *branch, size_t count)
{
    if (branch->branches_count == 0)
        return place_leaf(place, branch->nodes, branch->nodes_count, count);
    size_t placed = 0;
    size_t usable_tasks = branch->tasks;
    size_t usable = branch->branches_count;
    for (size_t i = 0; i < branch->branches_count; i++)
        branch->branches[i]->full = false;
    while (placed < count && usable > 0) {
        size_t total = usable_tasks + count - placed;
        size_t share = total / usable;
        size_t rest = total % usable;
        size_t before = placed;
        size_t full_before = usable;
        for (size_t i = 0; i < branch->branches_count; i++) {
            struct branch *child = branch->branches[i];
            if (child->full || placed == count ||
                !(child->tasks < share || (child->tasks == share && rest > 0)))
                continue;
            size_t wanted = share - child->tasks + (rest > 0);
            if (wanted > count - placed)
                wanted = count - placed;
            size_t got = place_branch(place, child, wanted);
            usable_tasks += got;
            child->tasks += got;
            if (got < wanted) {
                child->full = true;
                usable_tasks -= child->tasks;
                usable--;
            } else if (rest > 0) {
                rest--;
            }
            placed += got;
        }
        // Every branch at or above its share means that shares add up to no more than there is.
        CHECK(placed > before || usable < full_before);
    }
    return placed;
}

size_t place_tasks(struct place *place, size_t count)
{
    if (place->demand->spreads_count == 0)
        return place_leaf(place, place->nodes, place->nodes_count, count);
    struct branch *root = MEM_NEW(struct branch);
    root->nodes_count = place->nodes_count;
    root->nodes = mem_dup(place->nodes, place->nodes_count * sizeof(*place->nodes));
    for (size_t i = 0; i < place->nodes_count; i++)
        root->tasks += place->nodes[i]->here;
    branch_split(root, place->demand, 0);
    size_t placed = place_branch(place, root, count);
    branch_free(root);
    return placed;
}
