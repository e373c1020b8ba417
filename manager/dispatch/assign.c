#include "manager/dispatch/assign.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// The fields of Assignment, which also serve as the first letter of keys.
enum kind { KIND_TASK = 1, KIND_SECRET = 2, KIND_CONFIG = 3, KIND_VOLUME = 4 };

// Numbers of the fields that are read from packed objects.
enum {
    TASK_META = 2,
    TASK_SPEC = 3,
    TASK_STATUS = 9,
    TASK_VOLUMES = 17,
    SPEC_CONTAINER = 1,
    SPEC_REFERENCES = 11,
    CONTAINER_SECRETS = 12,
    CONTAINER_CONFIGS = 21,
    REFERENCE_ID = 1, // of SecretReference, ConfigReference and ResourceReference
    REFERENCE_TYPE = 2,
    ATTACHMENT_ID = 1,
    SECRET_SPEC = 3,
    SECRET_DRIVER = 4,
    VOLUME_SPEC = 3,
    VOLUME_SECRETS = 5,
    VOLUME_SECRET_ID = 2,
    VOLUME_PUBLISH_STATUS = 4,
    PUBLISH_NODE = 1,
    PUBLISH_STATE = 2,
    ITEM_ID = 1, // of every item of an Assignment
};

// Kind and id of something an agent is sent.
struct key {
    size_t size;
    char bytes[1 + OBJECT_ID_BYTES];
};

// A secret or config that tasks of the node use.
struct need {
    size_t users;
    const struct held *last; // while a task's needs are found: that task, so that each counts once
    size_t size;
    char bytes[]; // its key
};

// A task the agent knows.
struct held {
    const struct object *task; // as last seen
    struct need **needs;       // what it uses, each once
    size_t needs_count;
};

struct assign {
    char *node_id;
    struct map tasks;   // id -> struct held
    struct map needs;   // key -> struct need
    struct map volumes; // ids of volumes the agent was given; no values
    struct map changes; // key -> object to send, or NULL to remove
    uint64_t sequence;
};

// False for an id that no object can have.
static bool key_make(struct key *key, enum kind kind, const void *id, size_t size)
{
    if (size == 0 || size > OBJECT_ID_BYTES)
        return false;
    key->size = size + 1;
    key->bytes[0] = (char)kind;
    memcpy(key->bytes + 1, id, size);
    return true;
}

struct assign *assign_new(const char *node_id)
{
    struct assign *assign = MEM_NEW(struct assign);
    assign->node_id = str_dup(node_id);
    map_init(&assign->tasks);
    map_init(&assign->needs);
    map_init(&assign->volumes);
    map_init(&assign->changes);
    return assign;
}

static void held_free(struct held *held)
{
    object_unref(held->task);
    free(held->needs);
    free(held);
}

static void drop_changes(struct assign *assign)
{
    MAP_EACH (entry, &assign->changes)
        object_unref(entry->value);
    // The memory too: thousands of agents mostly have nothing waiting.
    map_fini(&assign->changes);
    map_init(&assign->changes);
}

void assign_free(struct assign *assign)
{
    if (!assign)
        return;
    MAP_EACH (entry, &assign->tasks)
        held_free(entry->value);
    MAP_EACH (entry, &assign->needs)
        free(entry->value);
    drop_changes(assign);
    map_fini(&assign->tasks);
    map_fini(&assign->needs);
    map_fini(&assign->volumes);
    map_fini(&assign->changes);
    free(assign->node_id);
    free(assign);
}

// ---- changes ------------------------------------------------------------------------------------

static void change(struct assign *assign, const char *key, size_t key_size,
                   const struct object *object)
{
    const struct object *old =
        map_put(&assign->changes, key, key_size, object ? object_ref(object) : NULL);
    object_unref(old);
}

static struct cursor inside(struct cursor from, uint32_t number)
{
    return raw_inside(from.at, cursor_left(&from), number);
}

static struct cursor packed(const struct object *object)
{
    size_t size;
    const uint8_t *bytes = object_bytes(object, &size);
    return cursor_of(bytes, size);
}

// ---- secrets and configs ------------------------------------------------------------------------

static void add_need(struct assign *assign, struct held *held, enum kind kind, const void *id,
                     size_t size)
{
    struct key key;
    if (!key_make(&key, kind, id, size))
        return;
    struct need *need = map_get(&assign->needs, key.bytes, key.size);
    if (!need) {
        need = mem_alloc(sizeof *need + key.size);
        need->size = key.size;
        memcpy(need->bytes, key.bytes, key.size);
        map_put(&assign->needs, need->bytes, need->size, need);
    }
    if (need->last == held)
        return;
    need->last = held;
    held->needs = mem_realloc(held->needs, (held->needs_count + 1) * sizeof(held->needs[0]));
    held->needs[held->needs_count++] = need;
}

// The id field of a reference.
static void add_reference(struct assign *assign, struct held *held, enum kind kind,
                          const struct raw *reference, uint32_t id_field)
{
    struct raw id;
    if (raw_find(reference->bytes, reference->size, id_field, &id))
        add_need(assign, held, kind, id.bytes, id.size);
}

static void add_container(struct assign *assign, struct held *held, struct cursor container)
{
    struct raw field;
    while (raw_next(&container, &field)) {
        if (field.number == CONTAINER_SECRETS)
            add_reference(assign, held, KIND_SECRET, &field, REFERENCE_ID);
        else if (field.number == CONTAINER_CONFIGS)
            add_reference(assign, held, KIND_CONFIG, &field, REFERENCE_ID);
    }
}

static void add_spec(struct assign *assign, struct held *held, struct cursor spec)
{
    struct raw field;
    while (raw_next(&spec, &field)) {
        if (field.number == SPEC_CONTAINER) {
            add_container(assign, held, cursor_of(field.bytes, field.size));
        } else if (field.number == SPEC_REFERENCES) {
            uint64_t type = raw_uint(field.bytes, field.size, REFERENCE_TYPE);
            if (type == SWARM__RESOURCE_TYPE__SECRET)
                add_reference(assign, held, KIND_SECRET, &field, REFERENCE_ID);
            else if (type == SWARM__RESOURCE_TYPE__CONFIG)
                add_reference(assign, held, KIND_CONFIG, &field, REFERENCE_ID);
        }
    }
}

// The plugin of a volume on the node needs the volume's secrets.
static void add_volume(struct assign *assign, struct held *held, struct view view,
                       const struct raw *attachment)
{
    struct raw id;
    char text[OBJECT_ID_BYTES + 1];
    if (!raw_find(attachment->bytes, attachment->size, ATTACHMENT_ID, &id) ||
        id.size >= sizeof text)
        return;
    memcpy(text, id.bytes, id.size);
    text[id.size] = 0;
    const struct object *volume = view_get(view, OBJECT_VOLUME, text);
    if (!volume)
        return;
    struct cursor spec = inside(packed(volume), VOLUME_SPEC);
    struct raw field;
    while (raw_next(&spec, &field))
        if (field.number == VOLUME_SECRETS)
            add_reference(assign, held, KIND_SECRET, &field, VOLUME_SECRET_ID);
}

static void find_needs(struct assign *assign, struct held *held, struct view view)
{
    struct cursor task = packed(held->task);
    struct raw field;
    while (raw_next(&task, &field)) {
        if (field.number == TASK_SPEC)
            add_spec(assign, held, cursor_of(field.bytes, field.size));
        else if (field.number == TASK_VOLUMES)
            add_volume(assign, held, view, &field);
    }
}

// Values of secrets with a driver come from a plugin, and there is none to ask: such a secret is
// not sent, and the agent reports what its task lacks.
static bool sendable(const struct object *object)
{
    struct raw driver;
    struct cursor spec = inside(packed(object), SECRET_SPEC);
    return object_type(object) != OBJECT_SECRET ||
           !raw_find(spec.at, cursor_left(&spec), SECRET_DRIVER, &driver);
}

static void take_needs(struct assign *assign, struct held *held, struct view view)
{
    char id[OBJECT_ID_BYTES + 1];
    find_needs(assign, held, view);
    for (size_t i = 0; i < held->needs_count; i++) {
        struct need *need = held->needs[i];
        need->last = NULL;
        if (need->users++ > 0)
            continue;
        memcpy(id, need->bytes + 1, need->size - 1);
        id[need->size - 1] = 0;
        enum object_type type = need->bytes[0] == KIND_SECRET ? OBJECT_SECRET : OBJECT_CONFIG;
        const struct object *object = view_get(view, type, id);
        if (object && sendable(object))
            change(assign, need->bytes, need->size, object);
    }
}

// At most once per task: afterwards it has no needs any more.
static void release_needs(struct assign *assign, struct held *held)
{
    for (size_t i = 0; i < held->needs_count; i++) {
        struct need *need = held->needs[i];
        CHECK(need->users > 0);
        if (--need->users > 0)
            continue;
        change(assign, need->bytes, need->size, NULL);
        map_remove(&assign->needs, need->bytes, need->size);
        free(need);
    }
    MEM_FREE(held->needs);
    held->needs_count = 0;
}

// ---- tasks --------------------------------------------------------------------------------------

// True when nothing changed that the agent acts on. Mostly the bytes tell; only where they differ
// may it still be the order of a map.
static bool stable(const struct object *before, const struct object *after)
{
    struct cursor a = packed(before);
    struct cursor b = packed(after);
    const uint64_t except = 1u << TASK_META | 1u << TASK_STATUS;
    if (raw_same(a.at, cursor_left(&a), b.at, cursor_left(&b), except))
        return true;
    struct arena arena;
    arena_init(&arena, 2 * OBJECT_ARENA_BYTES);
    Swarm__Task *was = object_unpack(before, &arena);
    Swarm__Task *now = object_unpack(after, &arena);
    bool same = false;
    if (was && now) {
        was->meta = now->meta;
        was->status = now->status;
        same = wire_equal(was, now);
    }
    arena_fini(&arena);
    return same;
}

void assign_task(struct assign *assign, struct view view, const struct object *task)
{
    const struct task_facts *facts = object_task(task);
    const char *id = object_id(task);
    struct key key;
    bool send = true;
    if (facts->state < SWARM__TASK_STATE__ASSIGNED || !key_make(&key, KIND_TASK, id, strlen(id)))
        return;
    struct held *held = map_get_str(&assign->tasks, id);
    if (held) {
        // States up to ASSIGNED are set by managers: the agent has to hear of them.
        send = facts->state <= SWARM__TASK_STATE__ASSIGNED || !stable(held->task, task);
        object_unref(held->task);
        held->task = object_ref(task);
    } else {
        held = MEM_NEW(struct held);
        held->task = object_ref(task);
        map_put_str(&assign->tasks, id, held);
        if (facts->state <= SWARM__TASK_STATE__RUNNING)
            take_needs(assign, held, view);
    }
    if (facts->state > SWARM__TASK_STATE__RUNNING)
        release_needs(assign, held);
    if (send)
        change(assign, key.bytes, key.size, task);
}

void assign_task_gone(struct assign *assign, const struct object *task)
{
    const char *id = object_id(task);
    struct key key;
    struct held *held = map_remove_str(&assign->tasks, id);
    if (!held)
        return;
    release_needs(assign, held);
    held_free(held);
    if (key_make(&key, KIND_TASK, id, strlen(id)))
        change(assign, key.bytes, key.size, NULL);
}

// ---- volumes ------------------------------------------------------------------------------------

// The volume's state on this node, or -1.
static int publish_state(const struct assign *assign, const struct object *volume)
{
    struct cursor cursor = packed(volume);
    struct raw field;
    struct raw node;
    size_t size = strlen(assign->node_id);
    while (raw_next(&cursor, &field))
        if (field.number == VOLUME_PUBLISH_STATUS &&
            raw_find(field.bytes, field.size, PUBLISH_NODE, &node) && node.size == size &&
            memcmp(node.bytes, assign->node_id, size) == 0)
            return (int)raw_uint(field.bytes, field.size, PUBLISH_STATE);
    return -1;
}

void assign_volume(struct assign *assign, const struct object *volume)
{
    const char *id = object_id(volume);
    struct key key;
    int state = publish_state(assign, volume);
    bool given = map_has_str(&assign->volumes, id);
    if (!key_make(&key, KIND_VOLUME, id, strlen(id)))
        return;
    if (state == SWARM__VOLUME_PUBLISH_STATUS__STATE__PUBLISHED && !given) {
        map_put_str(&assign->volumes, id, NULL);
        change(assign, key.bytes, key.size, volume);
    } else if (state == SWARM__VOLUME_PUBLISH_STATUS__STATE__PENDING_NODE_UNPUBLISH && given) {
        map_remove_str(&assign->volumes, id);
        change(assign, key.bytes, key.size, NULL);
    }
}

// Appends a VolumeAssignment.
static void pack_volume(const struct assign *assign, const struct object *object, struct buf *out)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Volume *volume = object_unpack(object, &arena);
    Swarm__VolumeAssignment item = SWARM__VOLUME_ASSIGNMENT__INIT;
    CHECK(volume);
    item.id = volume->id;
    item.driver = volume->spec->driver;
    item.access_mode = volume->spec->access_mode;
    item.secrets = volume->spec->secrets;
    item.n_secrets = volume->spec->n_secrets;
    // Entries of a map have the same fields, whatever message they are declared in.
    if (volume->volume_info) {
        item.volume_id = volume->volume_info->volume_id;
        item.volume_context = (void *)volume->volume_info->volume_context;
        item.n_volume_context = volume->volume_info->n_volume_context;
    }
    for (size_t i = 0; i < volume->n_publish_status; i++) {
        Swarm__VolumePublishStatus *status = volume->publish_status[i];
        if (!str_equal(status->node_id, assign->node_id))
            continue;
        item.publish_context = (void *)status->publish_context;
        item.n_publish_context = status->n_publish_context;
    }
    wire_pack(&item, out, NULL);
    arena_fini(&arena);
}

// ---- messages -----------------------------------------------------------------------------------

void assign_load(struct assign *assign, struct view view)
{
    CHECK(assign->sequence == 0);
    VIEW_EACH (object, view, OBJECT_TASK, by_node(assign->node_id))
        assign_task(assign, view, object);
    // Volumes have no index by node; there are few, and a stream is opened once per session.
    VIEW_EACH (object, view, OBJECT_VOLUME, BY_ALL)
        assign_volume(assign, object);
}

size_t assign_pending(const struct assign *assign)
{
    return map_count(&assign->changes);
}

enum {
    MESSAGE_TYPE = 1,
    MESSAGE_APPLIES_TO = 2,
    MESSAGE_RESULTS_IN = 3,
    MESSAGE_CHANGES = 4,
    CHANGE_ASSIGNMENT = 1,
    CHANGE_ACTION = 2,
    TASKS_TASKS = 1,
};

static void pack_change(const struct assign *assign, const struct map_entry *entry,
                        struct buf *scratch, struct buf *out)
{
    const char *key = entry->key;
    const struct object *object = entry->value;
    uint32_t kind = (uint32_t)key[0];
    uint64_t action = object ? SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__UPDATE
                             : SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE;
    struct cursor item;
    buf_clear(scratch);
    if (object && kind != KIND_VOLUME) {
        item = packed(object);
    } else {
        if (object)
            pack_volume(assign, object, scratch);
        else
            raw_put_bytes(scratch, ITEM_ID, key + 1, entry->key_size - 1);
        item = cursor_of(scratch->data, scratch->len);
    }
    size_t item_size = cursor_left(&item);
    size_t assignment_size = raw_head_size(kind, item_size) + item_size;
    size_t change_size =
        raw_head_size(CHANGE_ASSIGNMENT, assignment_size) + assignment_size + (action ? 2 : 0);
    raw_put_head(out, MESSAGE_CHANGES, change_size);
    raw_put_head(out, CHANGE_ASSIGNMENT, assignment_size);
    raw_put_message(out, kind, item.at, item_size);
    raw_put_uint(out, CHANGE_ACTION, action);
}

void assign_pack(struct assign *assign, struct buf *out)
{
    char number[32];
    struct buf scratch;
    buf_init(&scratch, ASSIGN_BYTES_MAX);
    if (assign->sequence > 0) {
        raw_put_uint(out, MESSAGE_TYPE, SWARM__ASSIGNMENTS_MESSAGE__TYPE__INCREMENTAL);
        snprintf(number, sizeof number, "%" PRIu64, assign->sequence);
        raw_put_text(out, MESSAGE_APPLIES_TO, number);
    }
    snprintf(number, sizeof number, "%" PRIu64, ++assign->sequence);
    raw_put_text(out, MESSAGE_RESULTS_IN, number);
    MAP_EACH (entry, &assign->changes)
        pack_change(assign, entry, &scratch, out);
    buf_fini(&scratch);
    drop_changes(assign);
}

void assign_pack_tasks(struct assign *assign, struct buf *out)
{
    MAP_EACH (entry, &assign->tasks) {
        const struct held *held = entry->value;
        struct cursor task = packed(held->task);
        raw_put_message(out, TASKS_TASKS, task.at, cursor_left(&task));
    }
    assign->sequence++;
    drop_changes(assign);
}
