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

// A secret's data never leaves the manager but to the nodes that run a task with it.
static const ProtobufCMessage *without_data(struct rpc_call *call, const struct object *object)
{
    Swarm__Secret *secret = object_unpack(object, rpc_call_arena(call));
    CHECK(secret);
    secret->spec->data = (ProtobufCBinaryData){0};
    return &secret->base;
}

void handle_get_secret(struct rpc_call *call)
{
    const Swarm__GetSecretRequest *request =
        (const Swarm__GetSecretRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_SECRET, request->secret_id, without_data);
}

void handle_list_secrets(struct rpc_call *call)
{
    const Swarm__ListSecretsRequest *request =
        (const Swarm__ListSecretsRequest *)rpc_call_message(call);
    struct common_filters filters = COMMON_FILTERS(request->filters);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, OBJECT_SECRET, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        Swarm__Secret *secret = object_unpack(object, &arena);
        CHECK(secret);
        secret->spec->data = (ProtobufCBinaryData){0};
        if (!secret->internal && common_match(&filters, secret->id, secret->spec->annotations))
            answer_list_add_message(&list, &secret->base);
        arena_fini(&arena);
    }
    answer_list_end(&list);
}

static int check_spec(const Swarm__SecretSpec *spec, struct err *err)
{
    if (!spec)
        return err_set(err, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
    int result = name_check_secret(spec->annotations->name, err);
    if (result)
        return result;
    if (spec->driver)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "secret drivers are plugins, which are not supported");
    if (spec->data.len == 0 || spec->data.len > SECRET_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "secret data must be larger than 0 and less than %d bytes",
                       SECRET_BYTES_MAX + 1);
    return 0;
}

void handle_create_secret(struct rpc_call *call)
{
    const Swarm__CreateSecretRequest *request =
        (const Swarm__CreateSecretRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (check_spec(request->spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Secret *secret = wire_new(&swarm__secret__descriptor, txn_arena(txn));
    CHECK(secret);
    secret->id = new_id(rpc_call_ctx(call), txn_arena(txn));
    secret->spec = request->spec;
    if (txn_create(txn, OBJECT_SECRET, secret, &err)) {
        if (str_equal(err.message, STORE_ERR_NAME))
            err_set(&err, ERR_ALREADY_EXISTS, "secret %s already exists",
                    request->spec->annotations->name);
        answer_err(call, txn, &err);
        return;
    }
    answer_commit(call, txn, OBJECT_SECRET, secret->id, without_data);
}

// Labels may change, and nothing else (an update repeats the name and may leave the data out).
static bool only_labels(const Swarm__SecretSpec *before, const Swarm__SecretSpec *next)
{
    bool same_data =
        next->data.len == 0 || (next->data.len == before->data.len &&
                                memcmp(next->data.data, before->data.data, before->data.len) == 0);
    return same_data && str_equal(before->annotations->name, next->annotations->name);
}

void handle_update_secret(struct rpc_call *call)
{
    const Swarm__UpdateSecretRequest *request =
        (const Swarm__UpdateSecretRequest *)rpc_call_message(call);
    if (str_empty(request->secret_id) || !request->secret_version || !request->spec) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Secret *secret = txn_edit(txn, OBJECT_SECRET, request->secret_id);
    if (!secret) {
        answer_fail(call, txn, ERR_NOT_FOUND, "secret %s not found", request->secret_id);
        return;
    }
    if (!only_labels(secret->spec, request->spec)) {
        answer_fail(call, txn, ERR_INVALID_ARGUMENT, "only updates to Labels are allowed");
        return;
    }
    secret->spec->annotations->labels = request->spec->annotations->labels;
    secret->spec->annotations->n_labels = request->spec->annotations->n_labels;
    secret->meta->version->index = request->secret_version->index;
    struct err err = ERR_INIT;
    if (txn_update(txn, OBJECT_SECRET, secret, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_SECRET, request->secret_id, without_data);
}

void handle_remove_secret(struct rpc_call *call)
{
    const Swarm__RemoveSecretRequest *request =
        (const Swarm__RemoveSecretRequest *)rpc_call_message(call);
    if (str_empty(request->secret_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    const struct object *secret = view_get(txn_view(txn), OBJECT_SECRET, request->secret_id);
    int result = secret ? uses_check(txn_view(txn), INDEX_SECRET, secret, "secret", &err)
                        : err_set(&err, ERR_NOT_FOUND, "secret %s not found", request->secret_id);
    if (!result)
        result = txn_delete(txn, OBJECT_SECRET, request->secret_id, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_SECRET, NULL, NULL);
}
