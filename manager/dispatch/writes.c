#include "manager/dispatch/writes.h"

#include <stdlib.h>
#include <string.h>

#include "manager/dispatch/dispatcher.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

struct node_write {
    Swarm__NodeStatus__State state;
    const char *message; // one of a few constants
    char *addr;
    Swarm__NodeDescription *description;
};

void writes_init(struct writes *writes)
{
    writes->delay = NULL;
    map_init(&writes->tasks);
    map_init(&writes->nodes);
    map_init(&writes->volumes);
}

static void node_write_free(struct node_write *write)
{
    if (!write)
        return;
    free(write->addr);
    wire_free(write->description);
    free(write);
}

void writes_fini(struct writes *writes)
{
    MAP_EACH (entry, &writes->tasks)
        wire_free(entry->value);
    MAP_EACH (entry, &writes->nodes)
        node_write_free(entry->value);
    map_fini(&writes->tasks);
    map_fini(&writes->nodes);
    map_fini(&writes->volumes);
}

size_t writes_count(const struct writes *writes)
{
    return map_count(&writes->tasks) + map_count(&writes->nodes) + map_count(&writes->volumes);
}

// ---- collecting ---------------------------------------------------------------------------------

void writes_task(struct writes *writes, const char *task_id, const Swarm__TaskStatus *status)
{
    const Swarm__TaskStatus *waiting = map_get_str(&writes->tasks, task_id);
    // States never go back, within a batch as little as in the store.
    if (waiting && waiting->state > status->state)
        return;
    wire_free(map_put_str(&writes->tasks, task_id, wire_copy(status, NULL)));
}

void writes_node(struct writes *writes, const char *node_id, Swarm__NodeStatus__State state,
                 const char *message, const char *addr, const Swarm__NodeDescription *description)
{
    struct node_write *write = map_get_str(&writes->nodes, node_id);
    if (!write) {
        write = MEM_NEW(struct node_write);
        map_put_str(&writes->nodes, node_id, write);
    }
    write->state = state;
    write->message = message;
    if (!str_empty(addr)) {
        free(write->addr);
        write->addr = str_dup(addr);
    }
    if (description) {
        wire_free(write->description);
        write->description = wire_copy(description, NULL);
    }
}

void writes_volume(struct writes *writes, const char *volume_id, const char *node_id)
{
    char *key = str_printf("%s %s", volume_id, node_id);
    map_put_str(&writes->volumes, key, NULL);
    free(key);
}

// ---- writing ------------------------------------------------------------------------------------

// The object's message with all its usual parts, or NULL.
static void *edit(struct txn *txn, enum object_type type, const char *id)
{
    void *message = txn_edit(txn, type, id);
    return message && wire_settle(message, txn_arena(txn)) ? message : NULL;
}

// What one object's change failed with concerns nobody else's.
static bool update(struct txn *txn, enum object_type type, void *message, const char *id)
{
    struct err err = ERR_INIT;
    if (txn_update(txn, type, message, &err) == 0)
        return true;
    log_error("report not stored", "%s=%s err=\"%s\"", object_type_name(type), id, err.message);
    return false;
}

// A task has come to run that did not.
static void note_delay(struct histogram *delay, const Swarm__Task *task, struct wall now)
{
    if (delay && task->meta && task->meta->created_at)
        histogram_add(delay, wall_since(now, timestamp_to_wall(task->meta->created_at)));
}

static void put_task(struct writes *writes, struct txn *txn, const char *id,
                     const Swarm__TaskStatus *status, struct wall now, const char *applied_by)
{
    const struct object *object = view_get(txn_view(txn), OBJECT_TASK, id);
    if (!object || object_task(object)->state > (int)status->state)
        return;
    Swarm__Task *task = edit(txn, OBJECT_TASK, id);
    CHECK(task);
    Swarm__TaskStatus shown = *status;
    // Agents repeat all they know in each new session: what is known is not written again.
    shown.applied_by = task->status->applied_by;
    shown.applied_at = task->status->applied_at;
    if (wire_equal(&shown, task->status))
        return;
    shown.applied_by = applied_by;
    shown.applied_at = timestamp_new(now, txn_arena(txn));
    bool runs_now = object_task(object)->state < SWARM__TASK_STATE__RUNNING &&
                    status->state == SWARM__TASK_STATE__RUNNING;
    task->status = &shown;
    if (update(txn, OBJECT_TASK, task, id) && runs_now)
        note_delay(writes->delay, task, now);
}

// The version the node will have, 0 when it is gone or takes no such description.
static uint64_t put_node(struct txn *txn, const char *id, const struct node_write *write)
{
    Swarm__Node *node = edit(txn, OBJECT_NODE, id);
    if (!node)
        return 0;
    node->status->state = write->state;
    node->status->message = write->message;
    if (write->addr)
        node->status->addr = write->addr;
    if (write->description)
        node->description = write->description;
    return update(txn, OBJECT_NODE, node, id) ? txn_version(txn) : 0;
}

static void put_volume(struct txn *txn, const char *key)
{
    const char *blank = strchr(key, ' ');
    char *id = arena_strndup(txn_arena(txn), key, (size_t)(blank - key));
    Swarm__Volume *volume = edit(txn, OBJECT_VOLUME, id);
    bool changed = false;
    for (size_t i = 0; volume && i < volume->n_publish_status; i++) {
        Swarm__VolumePublishStatus *status = volume->publish_status[i];
        if (!str_equal(status->node_id, blank + 1))
            continue;
        status->state = SWARM__VOLUME_PUBLISH_STATUS__STATE__PENDING_UNPUBLISH;
        changed = true;
    }
    if (changed)
        update(txn, OBJECT_VOLUME, volume, id);
}

static int flush_into(struct writes *writes, struct txn **txn, struct wall now,
                      const char *applied_by, const struct writes_hook *hook, struct err *err)
{
    MAP_EACH (entry, &writes->nodes) {
        if (txn_turn(txn, 1, err))
            return -(int)err->code;
        struct node_write *write = entry->value;
        uint64_t version = put_node(*txn, entry->key, write);
        hook->node(hook->ctx, entry->key, version);
        node_write_free(write);
        map_remove(&writes->nodes, entry->key, entry->key_size);
    }
    MAP_EACH (entry, &writes->tasks) {
        if (txn_turn(txn, 1, err))
            return -(int)err->code;
        put_task(writes, *txn, entry->key, entry->value, now, applied_by);
        wire_free(entry->value);
        map_remove(&writes->tasks, entry->key, entry->key_size);
    }
    MAP_EACH (entry, &writes->volumes) {
        if (txn_turn(txn, 1, err))
            return -(int)err->code;
        put_volume(*txn, entry->key);
        map_remove(&writes->volumes, entry->key, entry->key_size);
    }
    return 0;
}

int writes_flush(struct writes *writes, struct store *store, struct wall now,
                 const char *applied_by, const struct writes_hook *hook, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(store, now, &txn, err);
    if (result)
        return result;
    result = flush_into(writes, &txn, now, applied_by, hook, err);
    if (result)
        return result; // txn_turn has ended the transaction
    result = txn_commit(txn, NULL, err);
    if (writes_count(writes) == 0) {
        // A burst is over: give its memory back.
        struct histogram *delay = writes->delay;
        writes_fini(writes);
        writes_init(writes);
        writes->delay = delay;
    }
    return result < 0 ? result : 0;
}

// ---- whole tables -------------------------------------------------------------------------------

static int unknown_into(struct txn **txn, struct view view, struct err *err)
{
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL) {
        if (object_node(object)->state == SWARM__NODE_STATUS__STATE__DOWN)
            continue;
        if (txn_turn(txn, 1, err))
            return -(int)err->code;
        Swarm__Node *node = edit(*txn, OBJECT_NODE, object_id(object));
        if (!node)
            continue;
        node->status->state = SWARM__NODE_STATUS__STATE__UNKNOWN;
        node->status->message = DISPATCH_UNKNOWN;
        update(*txn, OBJECT_NODE, node, object_id(object));
    }
    return 0;
}

static int orphaned_into(struct txn **txn, struct view view, const char *node_id, struct err *err)
{
    VIEW_EACH (object, view, OBJECT_TASK, by_node(node_id)) {
        int state = object_task(object)->state;
        if (state < SWARM__TASK_STATE__ASSIGNED || state > SWARM__TASK_STATE__RUNNING)
            continue;
        if (txn_turn(txn, 1, err))
            return -(int)err->code;
        Swarm__Task *task = edit(*txn, OBJECT_TASK, object_id(object));
        if (!task)
            continue;
        task->status->state = SWARM__TASK_STATE__ORPHANED;
        update(*txn, OBJECT_TASK, task, object_id(object));
    }
    return 0;
}

// The committed state is walked while the transactions write theirs.
int writes_unknown(struct store *store, struct wall now, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(store, now, &txn, err);
    if (result)
        return result;
    struct view view = store_pin(store);
    result = unknown_into(&txn, view, err);
    if (result == 0)
        result = txn_commit(txn, NULL, err);
    store_unpin(view);
    return result < 0 ? result : 0;
}

int writes_orphaned(struct store *store, const char *node_id, struct wall now, struct err *err)
{
    struct txn *txn;
    int result = txn_begin(store, now, &txn, err);
    if (result)
        return result;
    struct view view = store_pin(store);
    result = orphaned_into(&txn, view, node_id, err);
    if (result == 0)
        result = txn_commit(txn, NULL, err);
    store_unpin(view);
    return result < 0 ? result : 0;
}
