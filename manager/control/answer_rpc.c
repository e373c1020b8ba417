#include "manager/control/answer_rpc.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/wire/listing.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// The object in Get, Create and Update responses, the objects in List responses.
#define RESPONSE_FIELD 1

// Largest response: a list of everything (agents and managers accept any size from a manager).
#define RESPONSE_BYTES_MAX ((size_t)1 << 30)

// ---- reading ------------------------------------------------------------------------------------

static void put_object(struct buf *out, struct rpc_call *call, const struct object *object,
                       show_fn shown)
{
    if (shown) {
        size_t size = 0;
        uint8_t *bytes = wire_pack_arena(shown(call, object), rpc_call_arena(call), &size);
        CHECK(bytes);
        raw_put_message(out, RESPONSE_FIELD, bytes, size);
    } else {
        size_t size = 0;
        const uint8_t *bytes = object_bytes(object, &size);
        raw_put_message(out, RESPONSE_FIELD, bytes, size);
    }
}

// The reply whose bytes are built already.
static void reply_bytes(struct rpc_call *call, struct buf *bytes)
{
    struct err err = ERR_INIT;
    if (!buf_ok(bytes))
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "the answer is too large");
    else
        rpc_call_send_bytes(call, bytes->data, bytes->len, &err);
    if (err.code != ERR_OK)
        rpc_call_fail(call, &err);
    else
        rpc_call_finish(call, NULL);
    buf_fini(bytes);
}

void answer_get(struct rpc_call *call, enum object_type type, const char *id, show_fn shown)
{
    struct control_desk *desk = rpc_call_ctx(call);
    if (str_empty(id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct view view = store_pin(desk->store);
    const struct object *object = view_get(view, type, id);
    if (object) {
        struct buf bytes;
        buf_init(&bytes, RESPONSE_BYTES_MAX);
        put_object(&bytes, call, object, shown);
        reply_bytes(call, &bytes);
    } else {
        rpc_call_failf(call, ERR_NOT_FOUND, "%s %s not found", object_type_name(type), id);
    }
    store_unpin(view);
}

static struct listing_mark mark_of(const struct answer_list *list)
{
    const struct control_desk *desk = rpc_call_ctx(list->call);
    return (struct listing_mark){.store = desk->mark, .edit = view_edit(list->view)};
}

void answer_list_begin(struct answer_list *list, struct rpc_call *call)
{
    struct control_desk *desk = rpc_call_ctx(call);
    list->call = call;
    list->view = store_pin(desk->store);
    buf_init(&list->bytes, RESPONSE_BYTES_MAX);
    struct listing_mark held;
    list->asked = listing_asked(rpc_call_message(call), &held);
    list->held = held.store == desk->mark ? held.edit : 0;
    if (list->asked)
        listing_put_mark(&list->bytes, mark_of(list), false);
}

bool answer_list_same(struct answer_list *list, enum object_type type)
{
    if (!list->held || !view_same_since(list->view, type, list->held))
        return false;
    buf_clear(&list->bytes);
    listing_put_mark(&list->bytes, mark_of(list), true);
    answer_list_end(list);
    return true;
}

void answer_list_add(struct answer_list *list, const struct object *object)
{
    size_t size = 0;
    const uint8_t *bytes = object_bytes(object, &size);
    if (!list->asked)
        raw_put_message(&list->bytes, RESPONSE_FIELD, bytes, size);
    else if (object_birth(object) <= list->held)
        listing_put_held(&list->bytes, object_id(object));
    else
        listing_put_object(&list->bytes, object_birth(object), bytes, size);
}

void answer_list_add_message(struct answer_list *list, const ProtobufCMessage *message)
{
    raw_put_head(&list->bytes, RESPONSE_FIELD, wire_size(message));
    wire_pack(message, &list->bytes, NULL); // a buffer that is full is noticed at the end
}

void answer_list_end(struct answer_list *list)
{
    reply_bytes(list->call, &list->bytes);
    store_unpin(list->view);
}

// ---- writing ------------------------------------------------------------------------------------

// A call that waits for its transaction.
struct waiting {
    struct txn_done done;
    struct rpc_call *call;
    struct store *store;
    enum object_type type;
    char *id; // NULL: an empty response
    show_fn shown;
};

static void on_committed(struct txn_done *done, const struct err *err)
{
    struct waiting *waiting = CONTAINER_OF(done, struct waiting, done);
    struct rpc_call *call = waiting->call;
    struct buf bytes;
    buf_init(&bytes, RESPONSE_BYTES_MAX);
    if (err) {
        rpc_call_fail(call, err);
    } else {
        struct view view = store_pin(waiting->store);
        // It may have been deleted by what was committed along with it.
        const struct object *object =
            waiting->id ? view_get(view, waiting->type, waiting->id) : NULL;
        if (object)
            put_object(&bytes, call, object, waiting->shown);
        store_unpin(view);
        reply_bytes(call, &bytes);
    }
    buf_fini(&bytes);
    free(waiting->id);
    free(waiting);
}

struct txn *answer_begin(struct rpc_call *call)
{
    struct control_desk *desk = rpc_call_ctx(call);
    struct txn *txn = NULL;
    struct err err = ERR_INIT;
    if (txn_begin(desk->store, wall_now(), &txn, &err))
        rpc_call_fail(call, &err);
    return txn;
}

void answer_fail(struct rpc_call *call, struct txn *txn, enum err_code code, const char *format,
                 ...)
{
    struct err err = ERR_INIT;
    va_list args;
    va_start(args, format);
    err_setv(&err, code, format, args);
    va_end(args);
    answer_err(call, txn, &err);
}

void answer_err(struct rpc_call *call, struct txn *txn, const struct err *err)
{
    if (txn)
        txn_abandon(txn);
    rpc_call_fail(call, err);
}

void answer_commit(struct rpc_call *call, struct txn *txn, enum object_type type, const char *id,
                   show_fn shown)
{
    struct control_desk *desk = rpc_call_ctx(call);
    struct waiting *waiting = MEM_NEW(struct waiting);
    *waiting = (struct waiting){.done.run = on_committed,
                                .call = call,
                                .store = desk->store,
                                .type = type,
                                .id = str_dup(id),
                                .shown = shown};
    struct err err = ERR_INIT;
    int result = txn_commit(txn, &waiting->done, &err);
    if (result == 0)
        return;
    if (result == TXN_EMPTY) {
        on_committed(&waiting->done, NULL); // nothing to change: answered as it is
        return;
    }
    rpc_call_fail(call, &err);
    free(waiting->id);
    free(waiting);
}

// ---- small rules --------------------------------------------------------------------------------

bool in_texts(const char *text, char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(text, list[i]))
            return true;
    return count == 0;
}

bool in_prefixes(const char *text, char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_starts(text, list[i]))
            return true;
    return count == 0;
}

bool in_labels(const Swarm__Annotations *annotations, const void *const *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        // Every map from text to text has entries of this form.
        const Swarm__Annotations__LabelsEntry *want = wanted[i];
        bool found = false;
        for (size_t k = 0; annotations && k < annotations->n_labels; k++)
            found =
                found ||
                (str_equal(annotations->labels[k]->key, want->key) &&
                 (str_empty(want->value) || str_equal(annotations->labels[k]->value, want->value)));
        if (!found)
            return false;
    }
    return true;
}

struct by common_by(const struct common_filters *filters)
{
    if (filters->names_count == 1)
        return by_name(filters->names[0]);
    if (filters->id_prefixes_count == 1)
        return by_id_prefix(filters->id_prefixes[0]);
    return filters->name_prefixes_count == 1 ? by_name_prefix(filters->name_prefixes[0]) : BY_ALL;
}

bool common_match(const struct common_filters *filters, const char *id,
                  const Swarm__Annotations *annotations)
{
    const char *name = annotations ? annotations->name : "";
    return in_texts(name, filters->names, filters->names_count) &&
           in_prefixes(name, filters->name_prefixes, filters->name_prefixes_count) &&
           in_prefixes(id, filters->id_prefixes, filters->id_prefixes_count) &&
           in_labels(annotations, filters->labels, filters->labels_count);
}

const char *new_id(const struct control_desk *desk, struct arena *arena)
{
    unsigned char random[ID_RANDOM_BYTES];
    rng_fill(desk->rng, random, sizeof random);
    return arena_strdup(arena, id_from_random(random).text);
}
