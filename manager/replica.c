#include "manager/replica.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store/snapshot.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

#define REPLICA_MAGIC 0x7265706cu

// "resource/" is the longest type name with its slash.
#define ROW_KEY_BYTES (16 + OBJECT_ID_BYTES + 1)

#define SNAPSHOT_PIECE_BYTES 65536

struct replica {
    unsigned magic;
    struct proposer proposer;
    struct store *store;
    struct raft_node *node;
    struct replica_owner owner;
    struct watch *changes;   // everything that is published, to become rows
    struct restore *restore; // while rows are read at open
    struct rand rand;
    struct list sent; // struct sent, of proposals under way
    struct replica_figures figures;
};

// A proposal on its way.
struct sent {
    struct list link;
    struct replica *replica;
    struct raft_proposal raft;
    struct proposal *proposal; // the store's
    struct mono at;
};

static struct replica *replica_of(void *ctx)
{
    struct replica *replica = ctx;
    MAGIC_CHECK(replica, REPLICA_MAGIC);
    return replica;
}

// ---- rows ---------------------------------------------------------------------------------------

static void put_row(struct replica *replica, const struct object *object, bool remove)
{
    char key[ROW_KEY_BYTES];
    bool fits = str_format(key, sizeof key, "%s/%s", object_type_name(object_type(object)),
                           object_id(object));
    CHECK(fits);
    size_t size = 0;
    const uint8_t *bytes = object_bytes(object, &size);
    raft_node_put(replica->node, key, strlen(key), remove ? NULL : bytes, remove ? 0 : size);
}

// Turns what was just published into rows. Every publication is followed by this, so the watch's
// queue holds at most one commit.
static void drain_changes(struct replica *replica)
{
    struct watch_event event;
    while (watch_next(replica->changes, &event)) {
        CHECK(event.action != WATCH_LOST);
        if (replica->node && event.now)
            put_row(replica, event.now, event.action == WATCH_REMOVE);
        watch_event_fini(&event);
    }
}

// ---- proposing ----------------------------------------------------------------------------------

static uint64_t commit_index(struct proposer *proposer)
{
    struct replica *replica = CONTAINER_OF(proposer, struct replica, proposer);
    return replica->node ? raft_node_commit_index(replica->node) : 0;
}

static void on_committed(struct raft_proposal *raft, const struct err *err)
{
    struct sent *sent = CONTAINER_OF(raft, struct sent, raft);
    struct replica *replica = sent->replica;
    struct proposal *proposal = sent->proposal;
    struct mono at = sent->at;
    list_remove(&sent->link);
    free(sent);
    proposal->done(proposal, err);
    drain_changes(replica);
    if (!err)
        histogram_add(&replica->figures.transaction, mono_since(mono_now(), at));
}

// An InternalRaftRequest: the id (field 1), then the actions as the store packed them.
static struct raft_blob *entry_body(struct replica *replica, const struct buf *actions)
{
    struct buf head;
    buf_init(&head, 16);
    buf_put_u8(&head, 1 << 3);
    buf_put_uvarint(&head, rand_u64(&replica->rand) | 1); // never 0, which would mean "no id"
    struct raft_blob *body = raft_blob_new(NULL, head.len + actions->len);
    memcpy(body->bytes, head.data, head.len);
    if (actions->len)
        memcpy(body->bytes + head.len, actions->data, actions->len);
    buf_fini(&head);
    return body;
}

static int propose(struct proposer *proposer, struct buf *actions, struct proposal *proposal,
                   uint64_t *index, struct err *err)
{
    struct replica *replica = CONTAINER_OF(proposer, struct replica, proposer);
    if (!replica->node)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_LOST);
    struct raft_blob *body = entry_body(replica, actions);
    struct sent *sent = MEM_NEW(struct sent);
    *sent = (struct sent){
        .replica = replica, .proposal = proposal, .raft = {.done = on_committed}, .at = mono_now()};
    int result = raft_node_propose(replica->node, &sent->raft, body, err);
    raft_blob_unref(body);
    if (result) {
        free(sent);
        return result;
    }
    list_push_back(&replica->sent, &sent->link);
    *index = sent->raft.index;
    return 0;
}

// ---- what the node calls ------------------------------------------------------------------------

static int on_apply(void *ctx, uint64_t index, const void *data, size_t size, struct err *err)
{
    struct replica *replica = replica_of(ctx);
    (void)err;
    struct err why = ERR_INIT;
    // A broken entry is discarded by every member alike (swarmkit 18.6).
    if (store_apply(replica->store, data, size, index, &why))
        log_warn("entry discarded", "index=%" PRIu64 " err=\"%s\"", index, why.message);
    drain_changes(replica);
    return 0;
}

static void on_role(void *ctx, const struct raft_node_role *role)
{
    struct replica *replica = replica_of(ctx);
    store_set_proposer(replica->store, role->acting ? &replica->proposer : NULL);
    replica->owner.role(replica->owner.ctx, role);
}

static void on_members(void *ctx, const struct members *members)
{
    struct replica *replica = replica_of(ctx);
    replica->owner.members(replica->owner.ctx, members);
}

static void on_stopped(void *ctx, const struct err *why)
{
    struct replica *replica = replica_of(ctx);
    store_set_proposer(replica->store, NULL);
    replica->owner.stopped(replica->owner.ctx, why);
}

static int on_save(void *ctx, struct buf *out, struct err *err)
{
    struct replica *replica = replica_of(ctx);
    struct mono begin = mono_now();
    struct view view = store_pin(replica->store);
    struct snapshot_writer writer;
    snapshot_writer_init(&writer, view);
    uint8_t *piece = mem_alloc(SNAPSHOT_PIECE_BYTES);
    for (size_t size; (size = snapshot_write(&writer, piece, SNAPSHOT_PIECE_BYTES)) > 0;)
        buf_put(out, piece, size);
    free(piece);
    store_unpin(view);
    histogram_add(&replica->figures.snapshot, mono_since(mono_now(), begin));
    return buf_ok(out) ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "snapshot is too large");
}

static int on_load(void *ctx, uint64_t index, const void *bytes, size_t size, struct err *err)
{
    struct replica *replica = replica_of(ctx);
    struct restore *restore = restore_begin(replica->store);
    int result = restore_feed(restore, bytes, size, err);
    if (result) {
        restore_cancel(restore);
        return result;
    }
    // The difference may be larger than any queue: rows are written from the state itself, so the
    // watch starts anew behind it.
    watch_close(replica->changes);
    result = restore_finish(restore, index, err);
    struct watch_options everything = {0};
    int opened = watch_open(replica->store, &everything, &replica->changes, NULL);
    CHECK(opened == 0);
    if (result)
        return result;
    struct view view = store_pin(replica->store);
    for (unsigned type = 0; type < OBJECT_TYPES; type++) {
        VIEW_EACH (object, view, (enum object_type)type, BY_ALL) {
            put_row(replica, object, false);
        }
    }
    store_unpin(view);
    return 0;
}

static int on_row(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
                  struct err *err)
{
    struct replica *replica = replica_of(ctx);
    const char *slash = memchr(key, '/', key_size);
    char name[16];
    enum object_type type;
    size_t name_size = slash ? (size_t)(slash - (const char *)key) : 0;
    if (name_size == 0 || name_size >= sizeof name)
        return err_set(err, ERR_DATA_LOSS, "state record has no type");
    memcpy(name, key, name_size);
    name[name_size] = '\0';
    if (!object_type_of_name(name, &type))
        return err_set(err, ERR_DATA_LOSS, "state record has unknown type %s", name);
    if (!replica->restore)
        replica->restore = restore_begin(replica->store);
    if (restore_object(replica->restore, type, value, value_size, err))
        return err_wrap(err, "state record");
    return 0;
}

static int on_rows_done(void *ctx, uint64_t applied, struct err *err)
{
    struct replica *replica = replica_of(ctx);
    if (!replica->restore)
        replica->restore = restore_begin(replica->store);
    struct restore *restore = replica->restore;
    replica->restore = NULL;
    int result = restore_finish(restore, applied, err);
    // What was just read needs no rows.
    struct watch_event event;
    while (watch_next(replica->changes, &event))
        watch_event_fini(&event);
    return result;
}

struct raft_node_ops replica_ops(struct replica *replica, const struct replica_owner *owner)
{
    replica->owner = *owner;
    return (struct raft_node_ops){
        .apply = on_apply,
        .role = on_role,
        .members = on_members,
        .save = on_save,
        .load = on_load,
        .row = on_row,
        .rows_done = on_rows_done,
        .stopped = on_stopped,
        .ctx = replica,
    };
}

// ---- life ---------------------------------------------------------------------------------------

struct replica *replica_new(struct store *store, uint64_t seed)
{
    struct replica *replica = MEM_NEW(struct replica);
    MAGIC_SET(replica, REPLICA_MAGIC);
    replica->store = store;
    replica->proposer = (struct proposer){.commit_index = commit_index, .propose = propose};
    rand_init(&replica->rand, seed);
    list_init(&replica->sent);
    struct watch_options everything = {0};
    int opened = watch_open(store, &everything, &replica->changes, NULL);
    CHECK(opened == 0);
    return replica;
}

void replica_set_node(struct replica *replica, struct raft_node *node)
{
    if (!node)
        store_set_proposer(replica->store, NULL);
    replica->node = node;
}

const struct replica_figures *replica_figures(const struct replica *replica)
{
    return &replica->figures;
}

void replica_free(struct replica *replica)
{
    MAGIC_CHECK(replica, REPLICA_MAGIC);
    CHECK(list_empty(&replica->sent)); // the node is closed and has failed them
    restore_cancel(replica->restore);
    watch_close(replica->changes);
    MAGIC_CLEAR(replica);
    free(replica);
}
