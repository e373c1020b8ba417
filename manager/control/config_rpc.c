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

void handle_get_config(struct rpc_call *call)
{
    const Swarm__GetConfigRequest *request =
        (const Swarm__GetConfigRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_CONFIG, request->config_id, NULL);
}

void handle_list_configs(struct rpc_call *call)
{
    const Swarm__ListConfigsRequest *request =
        (const Swarm__ListConfigsRequest *)rpc_call_message(call);
    struct common_filters filters = COMMON_FILTERS(request->filters);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, OBJECT_CONFIG, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        Swarm__Config *config = object_unpack(object, &arena);
        CHECK(config);
        if (common_match(&filters, config->id, config->spec->annotations))
            answer_list_add(&list, object);
        arena_fini(&arena);
    }
    answer_list_end(&list);
}

static int check_spec(const Swarm__ConfigSpec *spec, struct err *err)
{
    if (!spec)
        return err_set(err, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
    int result = name_check_secret(spec->annotations->name, err);
    if (result)
        return result;
    if (spec->data.len == 0 || spec->data.len > CONFIG_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "config data must be larger than 0 and less than %d bytes",
                       CONFIG_BYTES_MAX + 1);
    return 0;
}

void handle_create_config(struct rpc_call *call)
{
    const Swarm__CreateConfigRequest *request =
        (const Swarm__CreateConfigRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (check_spec(request->spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Config *config = wire_new(&swarm__config__descriptor, txn_arena(txn));
    CHECK(config);
    config->id = new_id(rpc_call_ctx(call), txn_arena(txn));
    config->spec = request->spec;
    if (txn_create(txn, OBJECT_CONFIG, config, &err)) {
        if (str_equal(err.message, STORE_ERR_NAME))
            err_set(&err, ERR_ALREADY_EXISTS, "config %s already exists",
                    request->spec->annotations->name);
        answer_err(call, txn, &err);
        return;
    }
    answer_commit(call, txn, OBJECT_CONFIG, config->id, NULL);
}

// Labels may change, and nothing else (an update repeats the name and may leave the data out).
static bool only_labels(const Swarm__ConfigSpec *before, const Swarm__ConfigSpec *next)
{
    bool same_data =
        next->data.len == 0 || (next->data.len == before->data.len &&
                                memcmp(next->data.data, before->data.data, before->data.len) == 0);
    return same_data && str_equal(before->annotations->name, next->annotations->name);
}

void handle_update_config(struct rpc_call *call)
{
    const Swarm__UpdateConfigRequest *request =
        (const Swarm__UpdateConfigRequest *)rpc_call_message(call);
    if (str_empty(request->config_id) || !request->config_version || !request->spec) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Config *config = txn_edit(txn, OBJECT_CONFIG, request->config_id);
    if (!config) {
        answer_fail(call, txn, ERR_NOT_FOUND, "config %s not found", request->config_id);
        return;
    }
    if (!only_labels(config->spec, request->spec)) {
        answer_fail(call, txn, ERR_INVALID_ARGUMENT, "only updates to Labels are allowed");
        return;
    }
    config->spec->annotations->labels = request->spec->annotations->labels;
    config->spec->annotations->n_labels = request->spec->annotations->n_labels;
    config->meta->version->index = request->config_version->index;
    struct err err = ERR_INIT;
    if (txn_update(txn, OBJECT_CONFIG, config, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_CONFIG, request->config_id, NULL);
}

void handle_remove_config(struct rpc_call *call)
{
    const Swarm__RemoveConfigRequest *request =
        (const Swarm__RemoveConfigRequest *)rpc_call_message(call);
    if (str_empty(request->config_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    const struct object *config = view_get(txn_view(txn), OBJECT_CONFIG, request->config_id);
    int result = config ? uses_check(txn_view(txn), INDEX_CONFIG, config, "config", &err)
                        : err_set(&err, ERR_NOT_FOUND, "config %s not found", request->config_id);
    if (!result)
        result = txn_delete(txn, OBJECT_CONFIG, request->config_id, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_CONFIG, NULL, NULL);
}
