#include "manager/store/store.h"

#include "manager/store/inner.h"
#include "proto/base/check.h"
#include "proto/base/race.h"
#include "proto/base/str.h"

struct store *store_new(void)
{
    store_reader_enter();
    struct store *store = MEM_NEW(struct store);
    MAGIC_SET(store, STORE_MAGIC);
    roots_init(&store->roots);
    list_init(&store->pending);
    list_init(&store->lost);
    list_init(&store->watches);
    return store;
}

static struct pending *pending_of(struct list *link)
{
    struct pending *pending = LIST_ENTRY(link, struct pending, link);
    MAGIC_CHECK(pending, PENDING_MAGIC);
    return pending;
}

static void pending_free(struct pending *pending)
{
    list_remove(&pending->link);
    changes_fini(&pending->changes);
    MAGIC_CLEAR(pending);
    free(pending);
}

void store_free(struct store *store)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(!store->open);
    CHECK(!store->restoring);
    CHECK(list_empty(&store->watches));
    while (!list_empty(&store->pending))
        pending_free(pending_of(store->pending.prev));
    while (!list_empty(&store->lost))
        pending_free(pending_of(store->lost.next));
    history_fini(&store->history);
    roots_fini(&store->roots);
    MAGIC_CLEAR(store);
    free(store);
    store_reader_leave();
}

// ---- proposals ---------------------------------------------------------------------------------

// Gives up all pending transactions, then answers their callers, oldest first: a caller may begin a
// new one, which must find the store in order.
static void give_up(struct store *store, const struct err *err)
{
    CHECK(!store->open);
    if (list_empty(&store->pending))
        return;
    LIST_EACH (it, &store->pending)
        changes_fini(&pending_of(it)->changes);
    for (struct list *it = store->pending.prev; it != &store->pending; it = it->prev) {
        struct pending *pending = pending_of(it);
        roots_abort(&store->roots, pending->root);
        pending->root = NULL;
    }
    // The records wait in `lost` until the proposer lets go of them.
    struct txn_done **waiting = mem_alloc_array(store->pending_count, sizeof(struct txn_done *));
    size_t count = 0;
    while (!list_empty(&store->pending)) {
        struct pending *pending = pending_of(list_pop_front(&store->pending));
        waiting[count++] = pending->done;
        pending->done = NULL;
        list_push_back(&store->lost, &pending->link);
    }
    CHECK(count == store->pending_count);
    store->pending_count = 0;
    for (size_t i = 0; i < count; i++)
        if (waiting[i])
            waiting[i]->run(waiting[i], err);
    free(waiting);
}

void store_abandon(struct store *store, const struct err *err)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(err && err->code != ERR_OK);
    give_up(store, err);
}

static void give_up_lost(struct store *store)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, STORE_ERR_LOST);
    give_up(store, &err);
}

void store_set_proposer(struct store *store, struct proposer *proposer)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    give_up_lost(store);
    store->proposer = proposer;
}

void store_publish(struct store *store, struct root *root, struct changes *changes, uint64_t index)
{
    CHECK(index >= store->applied);
    roots_publish(&store->roots, root);
    store->applied = index;
    store->commits++;
    watch_publish(store, changes, index);
    changes_fini(changes);
}

void pending_done(struct proposal *proposal, const struct err *err)
{
    struct pending *pending = CONTAINER_OF(proposal, struct pending, proposal);
    MAGIC_CHECK(pending, PENDING_MAGIC);
    struct store *store = pending->store;
    if (pending->root && err)
        give_up(store, err);
    if (!pending->root) {
        // What was built on a state that never came to be cannot commit: the log has lost it too.
        CHECK(err);
        pending_free(pending);
        return;
    }
    CHECK(store->pending.next == &pending->link);
    store->pending_count--;
    list_remove(&pending->link);
    struct txn_done *done = pending->done;
    store_publish(store, pending->root, &pending->changes, pending->index);
    pending_free(pending);
    if (done)
        done->run(done, NULL);
}

// ---- entries of others -------------------------------------------------------------------------

int store_apply(struct store *store, const void *entry, size_t size, uint64_t index,
                struct err *err)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(!store->open);
    CHECK(!store->restoring);
    CHECK(index > store->applied);
    // An entry that is not ours where ours should be: another leader has overwritten them.
    give_up_lost(store);
    struct root *root = roots_begin(&store->roots);
    struct changes changes = {.count = 0};
    int rc = actions_apply(root, &changes, entry, size, err);
    if (rc || changes.count == 0) {
        roots_abort(&store->roots, root);
        changes_fini(&changes);
        store->applied = index;
        return rc;
    }
    store_publish(store, root, &changes, index);
    return 0;
}

uint64_t store_applied(const struct store *store)
{
    return store->applied;
}

bool store_settled(const struct store *store)
{
    return list_empty(&store->pending);
}

// ---- readers -----------------------------------------------------------------------------------

static _Thread_local unsigned reader_depth;

void store_reader_enter(void)
{
    if (reader_depth++ == 0)
        urcu_memb_register_thread();
}

void store_reader_leave(void)
{
    CHECK(reader_depth > 0);
    if (--reader_depth == 0)
        urcu_memb_unregister_thread();
}

struct view store_pin(struct store *store)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(reader_depth > 0);
    urcu_memb_read_lock();
    struct root *root = rcu_dereference(store->roots.committed);
    RACE_AFTER(&store->roots.committed);
    atomic_fetch_add_explicit(&root->pins, 1, memory_order_relaxed);
    RACE_BEFORE(&store->roots.grace);
    urcu_memb_read_unlock();
    return view_of(root);
}

void store_unpin(struct view view)
{
    struct root *root = (struct root *)view.root;
    unsigned before = atomic_fetch_sub_explicit(&root->pins, 1, memory_order_release);
    CHECK(before > 0);
}

void store_tidy(struct store *store)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    roots_reclaim(&store->roots);
    roots_trim(&store->roots);
}

void store_stats(const struct store *store, struct store_stats *out)
{
    *out = (struct store_stats){
        .commits = store->commits,
        .tree_bytes = store->roots.tree_bytes,
        .object_bytes = store->roots.object_bytes,
        .pending = store->pending_count,
    };
    LIST_EACH (it, &store->roots.line) {
        out->roots_live++;
        out->dead_items += LIST_ENTRY(it, struct root, link)->dead.count;
    }
}
