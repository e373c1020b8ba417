#include "manager/store/txn.h"

#include "manager/store/inner.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define TXN_MAGIC 0x74786e21u

// Messages built and unpacked by one transaction. What goes in here are objects of the store, which
// met their limits when they came: this only stops a caller that never ends its transaction.
#define TXN_ARENA_BYTES ((size_t)4 << 30)

struct txn {
    unsigned magic;
    struct store *store;
    struct root *root;
    struct arena arena;
    struct wall now;
    uint64_t version;
    struct changes changes;
    struct buf actions;
};

int txn_begin(struct store *store, struct wall now, struct txn **out, struct err *err)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(!store->open);
    CHECK(!store->restoring);
    *out = NULL;
    if (!store->proposer)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_LOST);
    if (store->pending_count >= STORE_PENDING_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many changes are waiting for the log");
    struct txn *txn = MEM_NEW(struct txn);
    MAGIC_SET(txn, TXN_MAGIC);
    txn->store = store;
    txn->now = now;
    txn->root = roots_begin(&store->roots);
    arena_init(&txn->arena, TXN_ARENA_BYTES);
    buf_init(&txn->actions, STORE_ENTRY_BYTES);
    txn->version = list_empty(&store->pending)
                       ? store->proposer->commit_index(store->proposer)
                       : LIST_ENTRY(store->pending.prev, struct pending, link)->index;
    store->open = txn;
    *out = txn;
    return 0;
}

static void txn_free(struct txn *txn)
{
    txn->store->open = NULL;
    changes_fini(&txn->changes);
    buf_fini(&txn->actions);
    arena_fini(&txn->arena);
    MAGIC_CLEAR(txn);
    free(txn);
}

struct view txn_view(const struct txn *txn)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    return view_of(txn->root);
}

struct arena *txn_arena(struct txn *txn)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    return &txn->arena;
}

uint64_t txn_version(const struct txn *txn)
{
    return txn->version;
}

void *txn_edit(struct txn *txn, enum object_type type, const char *id)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    const struct object *object = view_get(txn_view(txn), type, id);
    return object ? object_unpack(object, &txn->arena) : NULL;
}

// ---- writing -----------------------------------------------------------------------------------

static Google__Timestamp *timestamp_of(struct arena *arena, struct wall at)
{
    Google__Timestamp *timestamp = ARENA_NEW(arena, Google__Timestamp);
    CHECK(timestamp);
    google__timestamp__init(timestamp);
    int64_t seconds = at.ns / NS_PER_S;
    int64_t nanos = at.ns % NS_PER_S;
    if (nanos < 0) {
        nanos += NS_PER_S;
        seconds--;
    }
    timestamp->seconds = seconds;
    timestamp->nanos = (int32_t)nanos;
    return timestamp;
}

// Meta as it is after this write: the transaction's version and time.
static Swarm__Meta *touched(struct txn *txn, const Swarm__Meta *was)
{
    Swarm__Meta *meta = ARENA_NEW(&txn->arena, Swarm__Meta);
    Swarm__Version *version = ARENA_NEW(&txn->arena, Swarm__Version);
    CHECK(meta);
    CHECK(version);
    if (was)
        *meta = *was; // what newer peers may have put there stays
    else
        swarm__meta__init(meta);
    swarm__version__init(version);
    version->index = txn->version;
    meta->version = version;
    meta->updated_at = timestamp_of(&txn->arena, txn->now);
    if (!meta->created_at)
        meta->created_at = meta->updated_at;
    return meta;
}

// True when another action with so many object bytes fits.
static int check_room(const struct txn *txn, enum object_type type, size_t object_bytes,
                      struct err *err)
{
    if (txn->changes.count >= STORE_ACTIONS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "a transaction has at most %d changes",
                       STORE_ACTIONS_MAX);
    if (txn->actions.len + action_size(type, object_bytes) > STORE_ENTRY_BYTES)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_LARGE);
    return 0;
}

// Packs the message with its new meta and makes the change. The meta is put back on failure.
static int write_message(struct txn *txn, enum object_type type, enum watch_action action,
                         void *message, struct err *err)
{
    Swarm__Meta **meta = message_meta(&tables[type], message);
    Swarm__Meta *was = *meta;
    *meta = touched(txn, was);
    struct err why = ERR_INIT;
    struct object *object = object_of_message(type, message, &why);
    int rc = object ? check_room(txn, type, object->packed_bytes, err) : err_copy(err, &why);
    if (rc) {
        object_unref(object);
        *meta = was;
        return rc;
    }
    rc = action == WATCH_CREATE ? change_create(txn->root, &txn->changes, object, err)
                                : change_update(txn->root, &txn->changes, object, err);
    if (rc)
        *meta = was;
    else
        action_write(&txn->actions, action, object);
    return rc;
}

// A resource needs the extension that its kind names.
static int check_kind(const struct txn *txn, enum object_type type, const void *message,
                      struct err *err)
{
    if (type != OBJECT_RESOURCE)
        return 0;
    const char *kind = ((const Swarm__Resource *)message)->kind;
    if (str_empty(kind) || !view_get_by_name(txn_view(txn), OBJECT_EXTENSION, kind))
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NOKIND);
    return 0;
}

int txn_create(struct txn *txn, enum object_type type, void *message, struct err *err)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    int rc = check_kind(txn, type, message, err);
    return rc ? rc : write_message(txn, type, WATCH_CREATE, message, err);
}

int txn_update(struct txn *txn, enum object_type type, void *message, struct err *err)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    const struct table *table = &tables[type];
    const char *id = message_id(table, message);
    const Swarm__Annotations *annotations = table->annotations(message);
    struct view view = txn_view(txn);
    int rc = change_check_name(view, type, id, annotations ? annotations->name : NULL, err);
    if (rc)
        return rc;
    const struct object *was = view_get(view, type, id);
    if (!was)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NOEXIST);
    const Swarm__Meta *meta = *message_meta(table, message);
    uint64_t version = meta && meta->version ? meta->version->index : 0;
    if (version != object_version(was))
        return err_set(err, ERR_UNKNOWN, STORE_ERR_SEQUENCE);
    rc = check_kind(txn, type, message, err);
    return rc ? rc : write_message(txn, type, WATCH_UPDATE, message, err);
}

int txn_delete(struct txn *txn, enum object_type type, const char *id, struct err *err)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    const struct object *was = view_get(txn_view(txn), type, id);
    if (!was)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_NOEXIST);
    int rc = check_room(txn, type, was->packed_bytes, err);
    if (rc)
        return rc;
    action_write(&txn->actions, WATCH_REMOVE, was);
    return change_remove(txn->root, &txn->changes, type, id, err);
}

size_t txn_count(const struct txn *txn)
{
    return txn->changes.count;
}

bool txn_full(const struct txn *txn, size_t reserve)
{
    CHECK(reserve <= STORE_ACTIONS_MAX);
    return txn->changes.count + reserve > STORE_ACTIONS_MAX ||
           txn->changes.count >= STORE_ACTIONS_MAX || txn->actions.len >= STORE_ENTRY_BYTES / 4 * 3;
}

bool txn_has_room(const struct txn *txn, const struct object *object)
{
    if (txn->changes.count == 0)
        return true;
    size_t bytes = (object ? object->packed_bytes : 0) + TXN_GROWTH_BYTES;
    return txn->changes.count < STORE_ACTIONS_MAX &&
           txn->actions.len + action_size(OBJECT_TASK, bytes) <= STORE_ENTRY_BYTES;
}

// ---- the end -----------------------------------------------------------------------------------

int txn_commit(struct txn *txn, struct txn_done *done, struct err *err)
{
    MAGIC_CHECK(txn, TXN_MAGIC);
    struct store *store = txn->store;
    CHECK(store->proposer);
    if (txn->changes.count == 0) {
        txn_abandon(txn);
        return TXN_EMPTY;
    }
    CHECK(buf_ok(&txn->actions));
    struct pending *pending = MEM_NEW(struct pending);
    MAGIC_SET(pending, PENDING_MAGIC);
    pending->proposal.done = pending_done;
    pending->store = store;
    pending->root = txn->root;
    pending->done = done;
    list_init(&pending->link);
    int rc = store->proposer->propose(store->proposer, &txn->actions, &pending->proposal,
                                      &pending->index, err);
    if (rc) {
        free(pending);
        txn_abandon(txn);
        return rc;
    }
    CHECK(pending->index > txn->version || txn->version == 0);
    pending->changes = txn->changes;
    txn->changes = (struct changes){.list = NULL};
    list_push_back(&store->pending, &pending->link);
    store->pending_count++;
    txn_free(txn);
    return 0;
}

void txn_abandon(struct txn *txn)
{
    if (!txn)
        return;
    MAGIC_CHECK(txn, TXN_MAGIC);
    // The changes hold references to objects that the root made: they go first, so that those are
    // freed with the root.
    changes_fini(&txn->changes);
    roots_abort(&txn->store->roots, txn->root);
    txn_free(txn);
}

int txn_turn(struct txn **txn, size_t reserve, struct err *err)
{
    return txn_full(*txn, reserve) ? txn_renew(txn, err) : 0;
}

int txn_renew(struct txn **txn, struct err *err)
{
    MAGIC_CHECK(*txn, TXN_MAGIC);
    struct store *store = (*txn)->store;
    struct wall now = (*txn)->now;
    int rc = txn_commit(*txn, NULL, err);
    *txn = NULL;
    return rc < 0 ? rc : txn_begin(store, now, txn, err);
}
