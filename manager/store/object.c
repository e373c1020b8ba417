#include "manager/store/object.h"

#include <stdlib.h>

#include "manager/store/slab.h"
#include "manager/store/store.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// ---- reading -----------------------------------------------------------------------------------

enum object_type object_type(const struct object *object)
{
    return (enum object_type)object->type;
}

const char *object_id(const struct object *object)
{
    return object->id;
}

const char *object_name(const struct object *object)
{
    return object->name;
}

uint64_t object_version(const struct object *object)
{
    return object->version;
}

uint64_t object_birth(const struct object *object)
{
    return object->birth;
}

const uint8_t *object_bytes(const struct object *object, size_t *len)
{
    *len = object->packed_bytes;
    return object->packed;
}

const struct task_facts *object_task(const struct object *object)
{
    CHECK(object->type == OBJECT_TASK);
    return &object->facts[0].task;
}

const struct node_facts *object_node(const struct object *object)
{
    CHECK(object->type == OBJECT_NODE);
    return &object->facts[0].node;
}

size_t object_footprint(const struct object *object)
{
    return object->block_bytes;
}

void *object_unpack(const struct object *object, struct arena *arena)
{
    void *message =
        message_unpack(&tables[object->type], object->packed, object->packed_bytes, arena);
    // The bytes were unpacked once when the object was made: only the arena can say no.
    CHECK(message || arena_overflowed(arena));
    // What peers always write may still be missing in an object of an old release: every reader of
    // the message counts on it.
    if (message && !wire_settle(message, arena))
        return NULL;
    return message;
}

struct object *object_ref(const struct object *object)
{
    struct object *counted = (struct object *)object;
    unsigned before = atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    CHECK(before > 0);
    return counted;
}

void object_unref(const struct object *object)
{
    if (!object)
        return;
    struct object *counted = (struct object *)object;
    unsigned before = atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        slab_free(counted, counted->block_bytes);
}

// ---- protobuf-c into arenas --------------------------------------------------------------------

static void *arena_protobuf_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void arena_protobuf_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer; // gone with the arena
}

void *message_unpack(const struct table *table, const void *bytes, size_t size, struct arena *arena)
{
    ProtobufCAllocator allocator = {
        .alloc = arena_protobuf_alloc,
        .free = arena_protobuf_free,
        .allocator_data = arena,
    };
    // An empty message is legal, and so is a NULL pointer to no bytes; protobuf-c wants neither.
    static const uint8_t nothing[1];
    return protobuf_c_message_unpack(table->descriptor, &allocator, size, size ? bytes : nothing);
}

// ---- keys --------------------------------------------------------------------------------------

// Takes the key begun at `start` back when an equal one is there.
static void keys_close(struct keys *keys, size_t start)
{
    uint16_t size = (uint16_t)(keys->bytes.len - start - sizeof(uint16_t));
    memcpy(keys->bytes.data + start, &size, sizeof(size));
    // Objects come from peers: their number of keys must not make this slow.
    if (keys->count == INDEX_KEYS_MAX) {
        keys->bytes.len = start;
        return;
    }
    const uint8_t *key = keys->bytes.data;
    for (unsigned i = 0; i < keys->count; i++, key = key_next(key))
        if (key_size(key) == size &&
            !memcmp(key_bytes(key), keys->bytes.data + start + sizeof(size), size)) {
            keys->bytes.len = start;
            return;
        }
    keys->count++;
}

static size_t keys_open(struct keys *keys, enum index index)
{
    size_t start = keys->bytes.len;
    uint16_t room = 0;
    buf_put(&keys->bytes, &room, sizeof(room));
    buf_put_u8(&keys->bytes, (uint8_t)index);
    return start;
}

static void keys_put_text(struct keys *keys, const char *text, bool fold)
{
    size_t len = strnlen(text, INDEX_TEXT_BYTES);
    size_t at = keys->bytes.len;
    buf_put(&keys->bytes, text, len);
    buf_put_u8(&keys->bytes, 0);
    for (; fold && len > 0; len--, at++) {
        uint8_t c = keys->bytes.data[at];
        if (c >= 'A' && c <= 'Z')
            keys->bytes.data[at] = (uint8_t)(c - 'A' + 'a');
    }
}

void keys_text(struct keys *keys, enum index index, const char *text)
{
    if (str_empty(text))
        return;
    size_t start = keys_open(keys, index);
    keys_put_text(keys, text, index == INDEX_NAME);
    keys_close(keys, start);
}

void keys_text2(struct keys *keys, enum index index, const char *first, const char *second)
{
    if (str_empty(first))
        return;
    size_t start = keys_open(keys, index);
    keys_put_text(keys, first, false);
    keys_put_text(keys, str_or(second, ""), false);
    keys_close(keys, start);
}

void keys_slot(struct keys *keys, const char *service_id, uint64_t slot)
{
    if (str_empty(service_id))
        return;
    size_t start = keys_open(keys, INDEX_SERVICE);
    keys_put_text(keys, service_id, false);
    buf_put_u64be(&keys->bytes, slot);
    keys_close(keys, start);
}

void keys_number(struct keys *keys, enum index index, uint32_t number)
{
    size_t start = keys_open(keys, index);
    buf_put_u32be(&keys->bytes, number);
    keys_close(keys, start);
}

// The text of the object's first key in that index, in place; "" without one.
static const char *key_text(const struct object *object, enum index index)
{
    const uint8_t *key = object->keys;
    for (unsigned i = 0; i < object->keys_count; i++, key = key_next(key))
        if (key_bytes(key)[0] == index)
            return (const char *)key_bytes(key) + 1;
    return "";
}

// ---- making ------------------------------------------------------------------------------------

// 0 for none, and for times outside struct wall's years, which only a broken clock makes.
static int64_t timestamp_ns(const Google__Timestamp *at)
{
    int64_t ns;
    if (!at || __builtin_mul_overflow(at->seconds, NS_PER_S, &ns) ||
        __builtin_add_overflow(ns, at->nanos, &ns))
        return 0;
    return ns;
}

static void fill_task(struct object *object, const Swarm__Task *task)
{
    struct task_facts *facts = &object->facts[0].task;
    const Swarm__TaskStatus *status = task->status;
    *facts = (struct task_facts){
        .service_id = key_text(object, INDEX_SERVICE),
        .node_id = key_text(object, INDEX_NODE),
        .slot = task->slot,
        .spec_version = task->spec_version ? task->spec_version->index : 0,
        .has_spec_version = task->spec_version != NULL,
        .job_iteration = task->job_iteration ? task->job_iteration->index : 0,
        .has_job_iteration = task->job_iteration != NULL,
        .state = status ? (uint16_t)status->state : 0,
        .desired_state = (uint16_t)task->desired_state,
        .created_ns = task->meta ? timestamp_ns(task->meta->created_at) : 0,
    };
    if (status)
        facts->status_ns =
            timestamp_ns(status->applied_at ? status->applied_at : status->timestamp);
}

static void fill_node(struct object *object, const Swarm__Node *node)
{
    object->facts[0].node = (struct node_facts){
        .state = node->status ? (uint8_t)node->status->state : 0,
        .availability = node->spec ? (uint8_t)node->spec->availability : 0,
        .role = (uint8_t)node->role,
        .desired_role = node->spec ? (uint8_t)node->spec->desired_role : 0,
        .membership = node->spec ? (uint8_t)node->spec->membership : 0,
    };
}

static void collect_keys(const struct table *table, const void *message, const char *id,
                         const Swarm__Annotations *annotations, struct keys *keys)
{
    keys_text(keys, INDEX_ID, id);
    if (annotations && table != &tables[OBJECT_TASK])
        keys_text(keys, INDEX_NAME, annotations->name);
    if (table->index)
        table->index(message, keys);
    for (size_t i = 0; annotations && i < annotations->n_indices; i++)
        keys_text2(keys, INDEX_CUSTOM, annotations->indices[i]->key, annotations->indices[i]->val);
}

// `packed` NULL: pack the message. The block is header, facts, packed bytes, keys, name.
static struct object *object_make(enum object_type type, const void *message, const void *packed,
                                  size_t packed_bytes, struct err *err)
{
    const struct table *table = &tables[type];
    const char *id = message_id(table, message);
    size_t id_bytes = strlen(id);
    if (id_bytes == 0 || id_bytes > OBJECT_ID_BYTES) {
        err_set(err, ERR_INVALID_ARGUMENT, "%s with an id of %zu bytes", table->name, id_bytes);
        return NULL;
    }
    if (!packed)
        packed_bytes = protobuf_c_message_get_packed_size(message);
    if (packed_bytes > OBJECT_BYTES_MAX) {
        err_set(err, ERR_UNKNOWN, STORE_ERR_LARGE);
        return NULL;
    }

    const Swarm__Annotations *annotations = table->annotations(message);
    struct keys keys = {.count = 0};
    buf_init(&keys.bytes, (size_t)(INDEX_KEYS_MAX + 1) * UINT16_MAX);
    collect_keys(table, message, id, annotations, &keys);
    CHECK(buf_ok(&keys.bytes));
    static_assert(INDEX_KEYS_MAX <= UINT16_MAX, "keys are counted in 16 bits");
    static_assert(2 * (INDEX_TEXT_BYTES + 1) < UINT16_MAX, "a key's size has 16 bits");

    const char *name = annotations ? str_or(annotations->name, "") : "";
    size_t name_bytes = *name ? strlen(name) + 1 : 0;
    size_t facts = type == OBJECT_TASK   ? sizeof(struct task_facts)
                   : type == OBJECT_NODE ? sizeof(struct node_facts)
                                         : 0;
    size_t header_bytes = sizeof(struct object) + facts;
    size_t block = header_bytes + packed_bytes + keys.bytes.len + name_bytes;
    struct object *object = slab_alloc(block);
    uint8_t *at = (uint8_t *)object + header_bytes;
    *object = (struct object){
        .refs = 1,
        .type = (uint8_t)type,
        .keys_count = (uint16_t)keys.count,
        .packed_bytes = (uint32_t)packed_bytes,
        .block_bytes = (uint32_t)block,
        .packed = at,
        .keys = at + packed_bytes,
        .name = "",
    };
    if (packed)
        memcpy(at, packed, packed_bytes);
    else
        CHECK(protobuf_c_message_pack(message, at) == packed_bytes);
    memcpy(at + packed_bytes, keys.bytes.data, keys.bytes.len);
    if (name_bytes) {
        memcpy(at + packed_bytes + keys.bytes.len, name, name_bytes);
        object->name = (const char *)at + packed_bytes + keys.bytes.len;
    }
    object->id = key_text(object, INDEX_ID);
    const Swarm__Meta *meta = *message_meta(table, (void *)message);
    object->version = meta && meta->version ? meta->version->index : 0;
    if (type == OBJECT_TASK)
        fill_task(object, message);
    else if (type == OBJECT_NODE)
        fill_node(object, message);
    buf_fini(&keys.bytes);
    return object;
}

struct object *object_of_message(enum object_type type, const void *message, struct err *err)
{
    CHECK(type < OBJECT_TYPES);
    CHECK(((const ProtobufCMessage *)message)->descriptor == tables[type].descriptor);
    return object_make(type, message, NULL, 0, err);
}

struct object *object_of_bytes(enum object_type type, const void *bytes, size_t size,
                               struct err *err)
{
    CHECK(type < OBJECT_TYPES);
    if (size > OBJECT_BYTES_MAX) {
        err_set(err, ERR_INVALID_ARGUMENT, "%s of %zu bytes", tables[type].name, size);
        return NULL;
    }
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    static const uint8_t nothing[1];
    const void *message = message_unpack(&tables[type], bytes, size, &arena);
    struct object *object = NULL;
    if (!message)
        err_set(err, ERR_INVALID_ARGUMENT, "bytes that are no %s", tables[type].name);
    else
        object = object_make(type, message, size ? bytes : nothing, size, err);
    arena_fini(&arena);
    return object;
}
