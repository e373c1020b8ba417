// Secrets and configs: named bytes that services use. They differ by a row of the table below.
#include <string.h>

#include "manager/control/answer_rpc.h"
#include "manager/control/nouns_rpc.h"
#include "manager/control/uses.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

// What both objects have, wherever it stands in theirs.
struct payload {
    const char **id;
    Swarm__Meta **meta;
    const void **spec;
    bool internal; // never shown
};

// The same of both specs.
struct payload_spec {
    Swarm__Annotations *annotations;
    ProtobufCBinaryData *data;
    const Swarm__Driver *driver; // that would fetch the data
};

static struct payload secret_of(void *message)
{
    Swarm__Secret *secret = message;
    return (struct payload){&secret->id, &secret->meta, (const void **)&secret->spec,
                            secret->internal};
}

static struct payload config_of(void *message)
{
    Swarm__Config *config = message;
    return (struct payload){&config->id, &config->meta, (const void **)&config->spec, false};
}

static struct payload_spec secret_spec_of(const void *message)
{
    Swarm__SecretSpec *spec = (Swarm__SecretSpec *)message;
    return (struct payload_spec){spec->annotations, &spec->data, spec->driver};
}

static struct payload_spec config_spec_of(const void *message)
{
    Swarm__ConfigSpec *spec = (Swarm__ConfigSpec *)message;
    return (struct payload_spec){spec->annotations, &spec->data, NULL};
}

// A secret's data never leaves the manager but to the nodes that run a task with it.
static const ProtobufCMessage *without_data(struct rpc_call *call, const struct object *object)
{
    Swarm__Secret *secret = object_unpack(object, rpc_call_arena(call));
    CHECK(secret);
    secret->spec->data = (ProtobufCBinaryData){0};
    return &secret->base;
}

struct noun {
    const char *word;
    enum object_type type;
    enum index uses;
    const ProtobufCMessageDescriptor *descriptor;
    size_t bytes_max;
    struct payload (*of)(void *message);
    struct payload_spec (*spec_of)(const void *message);
    show_fn shown; // NULL: as it is stored
};

static const struct noun secrets = {
    "secret",         OBJECT_SECRET, INDEX_SECRET,   &swarm__secret__descriptor,
    SECRET_BYTES_MAX, secret_of,     secret_spec_of, without_data};
static const struct noun configs = {
    "config",         OBJECT_CONFIG, INDEX_CONFIG,   &swarm__config__descriptor,
    CONFIG_BYTES_MAX, config_of,     config_spec_of, NULL};

// Which of the two a call is about stands in its method's name.
static const struct noun *noun_of(const struct rpc_call *call)
{
    return strstr(rpc_call_method(call)->path, "Secret") ? &secrets : &configs;
}

// The requests of the two are alike: their first fields are the id or spec or filters, then the
// version, then the spec.
static void *member(const struct rpc_call *call, unsigned index)
{
    const ProtobufCMessage *request = rpc_call_message(call);
    return *(void *const *)((const char *)request + request->descriptor->fields[index].offset);
}

// ---- reading ------------------------------------------------------------------------------------

void handle_get_payload(struct rpc_call *call)
{
    const struct noun *noun = noun_of(call);
    answer_get(call, noun->type, member(call, 0), noun->shown);
}

void handle_list_payloads(struct rpc_call *call)
{
    const struct noun *noun = noun_of(call);
    // The filters of both have the same fields in the same order.
    const Swarm__ListSecretsRequest__Filters *asked = member(call, 0);
    static_assert(sizeof(Swarm__ListSecretsRequest__Filters) ==
                      sizeof(Swarm__ListConfigsRequest__Filters),
                  "one form of filters");
    struct common_filters filters = COMMON_FILTERS(asked);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, noun->type, common_by(&filters)) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        void *message = object_unpack(object, &arena);
        CHECK(message);
        struct payload payload = noun->of(message);
        struct payload_spec spec = noun->spec_of(*payload.spec);
        if (!payload.internal && common_match(&filters, *payload.id, spec.annotations)) {
            if (noun->shown)
                *spec.data = (ProtobufCBinaryData){0};
            answer_list_add_message(&list, message);
        }
        arena_fini(&arena);
    }
    answer_list_end(&list);
}

// ---- creating -----------------------------------------------------------------------------------

static int check_spec(const struct noun *noun, const void *message, struct err *err)
{
    if (!message)
        return err_set(err, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
    struct payload_spec spec = noun->spec_of(message);
    int result = name_check_secret(spec.annotations->name, err);
    if (result)
        return result;
    if (spec.driver) // such drivers are plugins, and there are none
        return err_set(err, ERR_UNKNOWN, "plugin \"%.100s\" not found", spec.driver->name);
    if (spec.data->len == 0 || spec.data->len > noun->bytes_max)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s data must be larger than 0 and less than %zu bytes", noun->word,
                       noun->bytes_max + 1);
    return 0;
}

void handle_create_payload(struct rpc_call *call)
{
    const struct noun *noun = noun_of(call);
    const void *spec = member(call, 0);
    struct err err = ERR_INIT;
    if (check_spec(noun, spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    void *message = wire_new(noun->descriptor, txn_arena(txn));
    CHECK(message);
    struct payload payload = noun->of(message);
    *payload.id = new_id(rpc_call_ctx(call), txn_arena(txn));
    *payload.spec = spec;
    if (txn_create(txn, noun->type, message, &err)) {
        if (str_equal(err.message, STORE_ERR_NAME))
            err_set(&err, ERR_ALREADY_EXISTS, "%s %s already exists", noun->word,
                    noun->spec_of(spec).annotations->name);
        answer_err(call, txn, &err);
        return;
    }
    answer_commit(call, txn, noun->type, *payload.id, noun->shown);
}

// ---- updating and removing ----------------------------------------------------------------------

// Labels may change, and nothing else (an update repeats the name and may leave the data out).
static bool only_labels(const struct payload_spec *before, const struct payload_spec *next)
{
    bool same_data = next->data->len == 0 ||
                     (next->data->len == before->data->len &&
                      memcmp(next->data->data, before->data->data, before->data->len) == 0);
    return same_data && str_equal(before->annotations->name, next->annotations->name);
}

void handle_update_payload(struct rpc_call *call)
{
    const struct noun *noun = noun_of(call);
    const char *id = member(call, 0);
    const Swarm__Version *version = member(call, 1);
    const void *wanted = member(call, 2);
    if (str_empty(id) || !version || !wanted) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    void *message = txn_edit(txn, noun->type, id);
    if (!message) {
        answer_fail(call, txn, ERR_NOT_FOUND, "%s %s not found", noun->word, id);
        return;
    }
    struct payload payload = noun->of(message);
    struct payload_spec before = noun->spec_of(*payload.spec), next = noun->spec_of(wanted);
    if (!only_labels(&before, &next)) {
        answer_fail(call, txn, ERR_INVALID_ARGUMENT, "only updates to Labels are allowed");
        return;
    }
    before.annotations->labels = next.annotations->labels;
    before.annotations->n_labels = next.annotations->n_labels;
    (*payload.meta)->version->index = version->index;
    struct err err = ERR_INIT;
    if (txn_update(txn, noun->type, message, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, noun->type, id, noun->shown);
}

void handle_remove_payload(struct rpc_call *call)
{
    const struct noun *noun = noun_of(call);
    const char *id = member(call, 0);
    if (str_empty(id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    const struct object *object = view_get(txn_view(txn), noun->type, id);
    int result = object ? uses_check(txn_view(txn), noun->uses, object, noun->word, &err)
                        : err_set(&err, ERR_NOT_FOUND, "%s %s not found", noun->word, id);
    if (!result)
        result = txn_delete(txn, noun->type, id, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, noun->type, NULL, NULL);
}
