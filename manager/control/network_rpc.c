#include <string.h>

#include "manager/alloc/alloc.h"
#include "manager/control/answer_rpc.h"
#include "manager/control/network_options.h"
#include "manager/control/nouns_rpc.h"
#include "manager/control/service_check.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

void handle_get_network(struct rpc_call *call)
{
    const Swarm__GetNetworkRequest *request =
        (const Swarm__GetNetworkRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_NETWORK, request->network_id, NULL);
}

void handle_list_networks(struct rpc_call *call)
{
    const Swarm__ListNetworksRequest *request =
        (const Swarm__ListNetworksRequest *)rpc_call_message(call);
    struct common_filters filters = COMMON_FILTERS(request->filters);
    struct answer_list list;
    answer_list_begin(&list, call);
    VIEW_EACH (object, list.view, OBJECT_NETWORK, common_by(&filters)) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Network *network = object_unpack(object, &arena);
        if (network && common_match(&filters, network->id, network->spec->annotations))
            answer_list_add(&list, object);
        arena_fini(&arena);
    }
    answer_list_end(&list);
}

// ---- creating -----------------------------------------------------------------------------------

static bool is_predefined(const Swarm__NetworkSpec *spec)
{
    for (size_t i = 0; i < spec->annotations->n_labels; i++)
        if (str_equal(spec->annotations->labels[i]->key, NAME_LABEL_PREDEFINED))
            return true;
    return false;
}

static int check_driver(const Swarm__NetworkSpec *spec, struct err *err)
{
    const Swarm__Driver *driver = spec->driver_config;
    if (!driver || str_empty(driver->name))
        return driver && driver->n_options && !spec->ingress
                   ? err_set(err, ERR_INVALID_ARGUMENT,
                             "driver name: if driver is specified name is required")
                   : 0;
    if (spec->ingress && !str_equal(driver->name, "overlay"))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "only overlay driver is currently supported for ingress network");
    // Drivers as plugins belong to an engine that has plugins; this one names what it lacks.
    if (!str_equal(driver->name, "overlay") && !alloc_driver_is_local(driver->name))
        return err_set(err, ERR_INVALID_ARGUMENT, "error during lookup of plugin %s", driver->name);
    return 0;
}

static int check_spec(const Swarm__NetworkSpec *spec, struct err *err)
{
    if (!spec)
        return err_set(err, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
    if (spec->ingress && spec->attachable)
        return err_set(err, ERR_INVALID_ARGUMENT, "ingress network cannot be attachable");
    int result = name_check_dns(spec->annotations->name, err);
    if (result)
        return result;
    if (is_predefined(spec))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "label %s is for internally created predefined networks and cannot be "
                       "applied by users",
                       NAME_LABEL_PREDEFINED);
    const Swarm__Driver *ipam = spec->ipam ? spec->ipam->driver : NULL;
    if (ipam && !str_empty(ipam->name) && !str_equal(ipam->name, "default"))
        return err_set(err, ERR_INVALID_ARGUMENT, "error during lookup of plugin %.100s",
                       ipam->name);
    return check_driver(spec, err);
}

// The routing mesh's network, NULL when there is none.
static const struct object *ingress_of(struct view view)
{
    VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Network *network = object_unpack(object, &arena);
        bool found = network && alloc_is_ingress(network->spec);
        arena_fini(&arena);
        if (found)
            return object;
    }
    return NULL;
}

void handle_create_network(struct rpc_call *call)
{
    struct control_desk *desk = rpc_call_ctx(call);
    const Swarm__CreateNetworkRequest *request =
        (const Swarm__CreateNetworkRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (check_spec(request->spec, &err) ||
        network_options_settle(request->spec, rpc_call_arena(call), &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    const struct object *ingress =
        alloc_is_ingress(request->spec) ? ingress_of(txn_view(txn)) : NULL;
    if (ingress) {
        answer_fail(call, txn, ERR_ALREADY_EXISTS, "ingress network (%s) is already present",
                    object_id(ingress));
        return;
    }
    struct arena *arena = txn_arena(txn);
    Swarm__Network *network = wire_new(&swarm__network__descriptor, arena);
    CHECK(network);
    network->id = new_id(desk, arena);
    network->spec = request->spec;
    if (alloc_check_network(txn_view(txn), request->spec, &err) ||
        txn_create(txn, OBJECT_NETWORK, network, &err))
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_NETWORK, network->id, NULL);
}

// ---- removing -----------------------------------------------------------------------------------

// Who still needs the routing mesh's network: any service that publishes a port through it.
static int check_ingress_unused(struct view view, struct err *err)
{
    int result = 0;
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Service *service = object_unpack(object, &arena);
        if (service && service_publishes_ingress(service->spec))
            result = err_set(err, ERR_FAILED_PRECONDITION,
                             "ingress network cannot be removed because service %s depends on it",
                             object_id(object));
        arena_fini(&arena);
        if (result)
            break;
    }
    return result;
}

static int check_unused(struct view view, const char *id, struct err *err)
{
    VIEW_EACH (object, view, OBJECT_SERVICE, by_key(INDEX_NETWORK, id))
        return err_set(err, ERR_FAILED_PRECONDITION, "network %s is in use by service %s", id,
                       object_id(object));
    VIEW_EACH (object, view, OBJECT_TASK, by_key(INDEX_NETWORK, id)) {
        const struct task_facts *facts = object_task(object);
        if (facts->state <= SWARM__TASK_STATE__RUNNING &&
            facts->desired_state <= SWARM__TASK_STATE__RUNNING)
            return err_set(err, ERR_FAILED_PRECONDITION, "network %s is in use by task %s", id,
                           object_id(object));
    }
    return 0;
}

void handle_remove_network(struct rpc_call *call)
{
    const Swarm__RemoveNetworkRequest *request =
        (const Swarm__RemoveNetworkRequest *)rpc_call_message(call);
    if (str_empty(request->network_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    const Swarm__Network *network = txn_edit(txn, OBJECT_NETWORK, request->network_id);
    int result = 0;
    if (!network)
        result = err_set(&err, ERR_NOT_FOUND, "network %s not found", request->network_id);
    else if (is_predefined(network->spec))
        result = err_set(&err, ERR_FAILED_PRECONDITION,
                         "network %s is a swarm predefined network and cannot be removed",
                         request->network_id);
    else if (alloc_is_ingress(network->spec))
        result = check_ingress_unused(txn_view(txn), &err);
    else
        result = check_unused(txn_view(txn), request->network_id, &err);
    if (!result)
        result = txn_delete(txn, OBJECT_NETWORK, request->network_id, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_NETWORK, NULL, NULL);
}
