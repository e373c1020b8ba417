// /networks: those of the swarm by the Control API, those of the node by the backend.
#include "agent/engine/networks.h"

#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "agent/engine/parts.h"
#include "agent/engine/rows.h"
#include "agent/engine/shape.h"
#include "agent/engine/stamp.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define NETWORK_BYTES_MAX (1024 * 1024) // one network as JSON

static const struct filter_row network_filters[] = {
    {"driver", FILTER_KNOWN, NULL, NULL},  {"id", FILTER_KNOWN, NULL, NULL},
    {"label", FILTER_KNOWN, NULL, NULL},   {"name", FILTER_KNOWN, NULL, NULL},
    {"scope", FILTER_KNOWN, NULL, NULL},   {"type", FILTER_KNOWN, NULL, NULL},
    {"dangling", FILTER_FLAG, NULL, NULL},
};

const struct noun noun_network = {
    .word = "network",
    .get = CONTROL("GetNetwork"),
    .id_field = "network_id",
    .list = CONTROL("ListNetworks"),
    .remove = CONTROL("RemoveNetwork"),
    .fields = &attached_network_fields,
    .filters = network_filters,
    .filters_count = COUNT_OF(network_filters),
};

// ---- one network as Docker shows it ------------------------------------------------------------

static void write_ipam(const Swarm__Network *network, struct json_out *out)
{
    const Swarm__IPAMOptions *ipam = network->ipam ? network->ipam : network->spec->ipam;
    json_out_object(out, "IPAM");
    // A network of the nodes' own drivers has an allocated IPAM without a driver: shown as it is.
    json_out_str(out, "Driver",
                 ipam && ipam->driver
                     ? (network->ipam ? ipam->driver->name : str_or(ipam->driver->name, "default"))
                     : "default");
    if (ipam && ipam->driver && ipam->driver->n_options > 0) {
        json_out_object(out, "Options");
        for (size_t i = 0; i < ipam->driver->n_options; i++)
            json_out_str(out, ipam->driver->options[i]->key, ipam->driver->options[i]->value);
        json_out_end(out);
    } else {
        json_out_null(out, "Options");
    }
    json_out_array(out, "Config");
    for (size_t i = 0; ipam && i < ipam->n_configs; i++) {
        json_out_object(out, NULL);
        fields_write(&ipam_config_fields, ipam->configs[i], out);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
}

// The swarm's own entries for the nodes' networks host and bridge: services refer to them, lists do
// not show them.
static bool is_hidden(const Swarm__Network *network)
{
    const Swarm__Annotations *annotations = network->spec->annotations;
    for (size_t i = 0; i < annotations->n_labels; i++)
        if (str_equal(annotations->labels[i]->key, NAME_LABEL_PREDEFINED))
            return true;
    return false;
}

static const struct field options_rows[] = {
    {"Options", "options", FIELD_MAP, FIELD_ALWAYS, NULL},
};
static FIELDS(options_fields, "Driver", swarm__driver__descriptor, options_rows);
static const struct field labels_rows[] = {
    {"Labels", "labels", FIELD_MAP, FIELD_ALWAYS | FIELD_EMPTY, NULL},
};
static FIELDS(labels_fields, "Annotations", swarm__annotations__descriptor, labels_rows);

// `use` NULL: without what this node knows of it.
struct network_use {
    const struct backend *backend;
    void *ctx;
    bool verbose;
};

static void write_network(const Swarm__Network *network, unsigned minor,
                          const struct network_use *use, struct json_out *out)
{
    const Swarm__NetworkSpec *spec = network->spec;
    const Swarm__Driver *driver =
        network->driver_state ? network->driver_state : spec->driver_config;
    char text[WALL_TEXT_BYTES];
    json_out_object(out, NULL);
    json_out_str(out, "Name", spec->annotations->name);
    json_out_str(out, "Id", network->id);
    json_out_str(out, "Created", wall_format(timestamp_to_wall(network->meta->created_at), text));
    json_out_str(out, "Scope", "swarm");
    json_out_str(out, "Driver", driver ? str_or(driver->name, "overlay") : "overlay");
    if (minor >= 48)
        json_out_bool(out, "EnableIPv4", true);
    json_out_bool(out, "EnableIPv6", spec->ipv6_enabled);
    write_ipam(network, out);
    json_out_bool(out, "Internal", spec->internal);
    json_out_bool(out, "Attachable", spec->attachable);
    json_out_bool(out, "Ingress", spec->ingress);
    json_out_object(out, "ConfigFrom");
    json_out_str(out, "Network",
                 spec->config_from_case == SWARM__NETWORK_SPEC__CONFIG_FROM_NETWORK ? spec->network
                                                                                    : "");
    json_out_end(out);
    json_out_bool(out, "ConfigOnly", false);
    if (!use || !use->backend->network_use ||
        !use->backend->network_use(use->ctx, network->id, use->verbose, out))
        json_out_null(out, "Containers");
    if (driver)
        fields_write(&options_fields, driver, out);
    else
        json_out_null(out, "Options");
    fields_write(&labels_fields, spec->annotations, out);
    json_out_end(out);
}

// ---- listing -----------------------------------------------------------------------------------

struct listing {
    struct filters filters;
};

static const char *text_of(const json_t *network, const char *key)
{
    return str_or(json_string_value(json_object_get(network, key)), "");
}

// "key" or "key=value".
static bool has_label(const json_t *network, const char *wanted)
{
    const json_t *labels = json_object_get(network, "Labels");
    const char *equals = strchr(wanted, '=');
    size_t length = equals ? (size_t)(equals - wanted) : strlen(wanted);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        if (strlen(key) == length && memcmp(key, wanted, length) == 0 &&
            (!equals || str_equal(json_string_value(value), equals + 1)))
            return true;
    }
    return false;
}

bool network_is_builtin(const char *name)
{
    return !strcmp(name, "bridge") || !strcmp(name, "host") || !strcmp(name, "none");
}

// Nobody is on it here, and it could be removed.
static bool is_dangling(const json_t *network)
{
    return !network_is_builtin(text_of(network, "Name")) &&
           json_object_size(json_object_get(network, "Containers")) == 0;
}

static bool fits(const struct filters *filters, const json_t *network)
{
    const char *name = text_of(network, "Name");
    for (size_t i = 0; i < filters->count; i++) {
        const struct filter_value *it = &filters->values[i];
        if ((strcmp(it->key, "label") == 0 && !has_label(network, it->value)) ||
            (strcmp(it->key, "dangling") == 0 && filter_is_true(it->value) != is_dangling(network)))
            return false;
    }
    return filters_found(filters, "name", name) &&
           filters_found(filters, "id", text_of(network, "Id")) &&
           filters_match(filters, "driver", text_of(network, "Driver"), false) &&
           filters_match(filters, "scope", text_of(network, "Scope"), false) &&
           filters_match(filters, "type", network_is_builtin(name) ? "builtin" : "custom", false);
}

static bool id_among(const json_t *networks, const char *id)
{
    for (size_t i = 0; i < json_array_size(networks); i++)
        if (strcmp(text_of(json_array_get(networks, i), "Id"), id) == 0)
            return true;
    return false;
}

// Clients of newer versions ask whether a network has IPv4 addresses; all of ours have.
static void tell_families(struct request *request, json_t *network)
{
    if (request_minor(request) >= 48)
        json_object_set_new(network, "EnableIPv4", json_true());
}

json_t *networks_local(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct buf text;
    struct json_out out;
    json_t *networks = NULL;
    buf_init(&text, 64 * NETWORK_BYTES_MAX);
    json_out_init(&out, &text);
    json_out_array(&out, NULL);
    if (backend->networks)
        backend->networks(ctx, &out);
    json_out_end(&out);
    if (json_out_done(&out))
        networks = json_parse(text.data, text.len, NULL);
    buf_fini(&text);
    for (size_t i = 0; i < json_array_size(networks); i++)
        tell_families(request, json_array_get(networks, i));
    return networks ? networks : json_array();
}

// One of this node's alone; false when there is none of that name.
static bool write_local(struct request *request, const char *name, bool verbose)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct buf text;
    struct json_out one;
    buf_init(&text, 64 * NETWORK_BYTES_MAX); // with all containers on it
    json_out_init(&one, &text);
    bool found = backend->network && backend->network(ctx, name, verbose, &one);
    json_t *parsed = found && json_out_done(&one) ? json_parse(text.data, text.len, NULL) : NULL;
    found = parsed != NULL;
    if (found) {
        tell_families(request, parsed);
        json_out_value(request_write(request), NULL, parsed);
    }
    json_decref(parsed);
    buf_fini(&text);
    return found;
}

static void write_listed(struct request *request, const Swarm__Network *network,
                         const struct network_use *use, struct json_out *out)
{
    const struct listing *listing = request_kept(request);
    struct buf text;
    struct json_out one;
    buf_init(&text, NETWORK_BYTES_MAX);
    json_out_init(&one, &text);
    write_network(network, request_minor(request), use, &one);
    json_t *parsed = json_out_done(&one) ? json_parse(text.data, text.len, NULL) : NULL;
    if (parsed && fits(&listing->filters, parsed))
        json_out_raw(out, NULL, (const char *)text.data, text.len);
    json_decref(parsed);
    buf_fini(&text);
}

// A node that cannot ask for the swarm's networks, or only looks at its own.
struct taking {
    struct request *request;
    struct json_out *out;
};

static void list_taken(void *owner, const void *network)
{
    const struct taking *taking = owner;
    struct network_use use = {0};
    use.backend = request_backend(taking->request, &use.ctx);
    if (!is_hidden(network))
        write_listed(taking->request, network, &use, taking->out);
}

static void send_list(struct request *request, const Swarm__ListNetworksResponse *swarm)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    const struct listing *listing = request_kept(request);
    json_t *local = networks_local(request);
    struct json_out *out = request_write(request);
    struct taking taking = {request, out};
    // Who is on a network of the swarm is said where it decides.
    struct network_use here = {.backend = backend, .ctx = ctx};
    const struct network_use *use = filters_count(&listing->filters, "dangling") ? &here : NULL;
    json_out_array(out, NULL);
    for (size_t i = 0; i < json_array_size(local); i++)
        if (fits(&listing->filters, json_array_get(local, i)))
            json_out_value(out, NULL, json_array_get(local, i));
    for (size_t i = 0; swarm && i < swarm->n_networks; i++)
        if (!is_hidden(swarm->networks[i]) && !id_among(local, swarm->networks[i]->id))
            write_listed(request, swarm->networks[i], use, out);
    if (!swarm && backend->networks_taken)
        backend->networks_taken(ctx, list_taken, &taking);
    json_out_end(out);
    json_decref(local);
    request_send(request, 200);
}

static void listed(struct request *request, const void *response)
{
    send_list(request, response);
}

static void list(struct request *request)
{
    struct err err = ERR_INIT;
    struct listing *listing = ARENA_NEW(request_arena(request), struct listing);
    CHECK(listing);
    if (filters_parse(request_query(request, "filters"), network_filters, COUNT_OF(network_filters),
                      request_arena(request), &listing->filters, &err) != 0) {
        request_fail_filters(request, &err);
        return;
    }
    for (size_t i = 0; i < listing->filters.count; i++) {
        const struct filter_value *it = &listing->filters.values[i];
        if (strcmp(it->key, "type") == 0 && strcmp(it->value, "builtin") != 0 &&
            strcmp(it->value, "custom") != 0) {
            request_fail(request, request_bad_status(request), "invalid filter: 'type'='%.100s'",
                         it->value);
            return;
        }
    }
    request_keep(request, listing);
    if (request_has_manager(request))
        request_call(request, CONTROL("ListNetworks"),
                     request_message(request, CONTROL("ListNetworks")), listed, NULL);
    else
        send_list(request, NULL); // not a manager: what this node sees
}

// ---- one network -------------------------------------------------------------------------------

static void send_network(struct request *request, const Swarm__Network *network)
{
    struct network_use use = {0};
    use.backend = request_backend(request, &use.ctx);
    if (!request_strict_flag(request, "verbose", &use.verbose))
        return;
    write_network(network, request_minor(request), &use, request_write(request));
    request_send(request, 200);
}

static void show(struct request *request, const void *object)
{
    void *ctx;
    // Services refer to these: the docker command looks the name up in the swarm's scope.
    if (is_hidden(object) && !str_equal(request_query(request, "scope"), "swarm") &&
        request_backend(request, &ctx)->network)
        request_fail(request, 404, "network %s not found", request_param(request, "id"));
    else
        send_network(request, object);
}

// The one that a worker means: by id, by name, by the beginning of an id.
struct meaning {
    const char *name;
    Swarm__Network *found; // on the heap
    unsigned rank;
    bool twice;
};

static void mean(void *owner, const void *object)
{
    const Swarm__Network *network = object;
    struct meaning *meaning = owner;
    unsigned rank = strcmp(network->id, meaning->name) == 0                      ? 3
                    : str_equal(network->spec->annotations->name, meaning->name) ? 2
                    : *meaning->name && str_starts(network->id, meaning->name)   ? 1
                                                                                 : 0;
    if (rank == 0 || is_hidden(network) || rank < meaning->rank)
        return;
    meaning->twice = rank == meaning->rank;
    meaning->rank = rank;
    wire_free(meaning->found);
    meaning->found = wire_copy(network, NULL);
}

static void show_taken(struct request *request, const char *name)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct meaning meaning = {.name = name};
    if (backend->networks_taken)
        backend->networks_taken(ctx, mean, &meaning);
    if (meaning.found && !meaning.twice)
        send_network(request, meaning.found);
    else if (meaning.twice)
        request_fail(request, 400, "network %s is ambiguous (2 matches found)", name);
    else
        request_fail(request, 404, "network %s not found", name);
    wire_free(meaning.found);
}

static void inspect(struct request *request)
{
    const char *name = request_param(request, "id");
    const char *scope = request_query(request, "scope");
    bool verbose;
    if (!request_strict_flag(request, "verbose", &verbose))
        return;
    if (!str_equal(scope, "swarm") && write_local(request, name, verbose))
        request_send(request, 200);
    else if (str_equal(scope, "local"))
        request_fail(request, 404, "network %s not found", name);
    else if (request_has_manager(request))
        noun_find(request, &noun_network, name, show);
    else
        show_taken(request, name);
}

// ---- removing ----------------------------------------------------------------------------------

static void removed(struct request *request, const char *text)
{
    (void)text;
    request_empty(request, 204);
}

static void remove_network(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    const char *name = request_param(request, "id");
    if (network_is_builtin(name)) {
        request_fail(request, 403, "%s is a pre-defined network and cannot be removed", name);
        return;
    }
    json_t *local = networks_local(request);
    bool is_local = false;
    for (size_t i = 0; i < json_array_size(local); i++) {
        const json_t *it = json_array_get(local, i);
        is_local |=
            strcmp(text_of(it, "Scope"), "swarm") != 0 &&
            (strcmp(text_of(it, "Name"), name) == 0 || strcmp(text_of(it, "Id"), name) == 0);
    }
    json_decref(local);
    if (is_local && backend->network_remove) {
        backend_done *done = request_backend_done(request, removed, &owner);
        backend->network_remove(ctx, name, done, owner);
    } else if (request_has_manager(request)) {
        noun_remove(request, &noun_network, 204, false);
    } else {
        request_fail(request, 404, "network %s not found", name);
    }
}

// ---- pruning -----------------------------------------------------------------------------------

// Tries every network that the filters allow, one after the other: what is in use is kept, which
// whoever removes it knows best.
struct pruning {
    struct filters filters;
    const char **names; // candidates: of the node, then of the swarm
    const char **ids;
    bool *swarm;
    size_t count, next;
    size_t gone_count; // of names, at their front
    struct wall until; // younger ones stay; 0: none
};

static const struct filter_row prune_filters[] = {
    {"label", FILTER_KNOWN, NULL, NULL},
    {"label!", FILTER_KNOWN, NULL, NULL},
    {"until", FILTER_KNOWN, NULL, NULL},
};

#define PRUNE_MAX 4096 // networks tried in one request

static void prune_next(struct request *request);

static void pruned(struct request *request)
{
    struct pruning *pruning = request_kept(request);
    pruning->names[pruning->gone_count++] = pruning->names[pruning->next++];
    prune_next(request);
}

static void pruned_local(struct request *request, const char *text)
{
    (void)text;
    pruned(request);
}

static void pruned_swarm(struct request *request, const void *response)
{
    (void)response;
    pruned(request);
}

static void not_pruned(struct request *request, const struct err *err)
{
    (void)err;
    struct pruning *pruning = request_kept(request);
    pruning->next++;
    prune_next(request);
}

static void send_pruned(struct request *request)
{
    const struct pruning *pruning = request_kept(request);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    if (pruning->gone_count == 0) {
        json_out_null(out, "NetworksDeleted");
    } else {
        json_out_array(out, "NetworksDeleted");
        for (size_t i = 0; i < pruning->gone_count; i++)
            json_out_str(out, NULL, pruning->names[i]);
        json_out_end(out);
    }
    json_out_end(out);
    tell_pruned(request, "network", 0);
    request_send(request, 200);
}

static void prune_next(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    struct pruning *pruning = request_kept(request);
    if (pruning->next == pruning->count) {
        send_pruned(request);
        return;
    }
    const char *id = pruning->ids[pruning->next];
    if (pruning->swarm[pruning->next]) {
        Swarm__RemoveNetworkRequest *message = request_message(request, CONTROL("RemoveNetwork"));
        message->network_id = id;
        request_call(request, CONTROL("RemoveNetwork"), message, pruned_swarm, not_pruned);
        return;
    }
    backend_done *done = request_backend_done_or(request, pruned_local, not_pruned, &owner);
    backend->network_remove(ctx, id, done, owner);
}

static bool has_excluded_label(const struct filters *filters, const json_t *network)
{
    for (size_t i = 0; i < filters->count; i++)
        if (strcmp(filters->values[i].key, "label!") == 0 &&
            has_label(network, filters->values[i].value))
            return true;
    return false;
}

static bool is_too_young(const struct pruning *pruning, const json_t *network)
{
    struct wall made;
    return pruning->until.ns && wall_parse(text_of(network, "Created"), &made, NULL) == 0 &&
           made.ns > pruning->until.ns;
}

static void prune_add(struct request *request, const json_t *network, bool swarm)
{
    struct pruning *pruning = request_kept(request);
    const char *name = text_of(network, "Name");
    if (network_is_builtin(name) || strcmp(name, "docker_gwbridge") == 0 ||
        json_is_true(json_object_get(network, "Ingress")) ||
        json_is_true(json_object_get(network, "ConfigOnly")) || pruning->count == PRUNE_MAX ||
        json_object_size(json_object_get(network, "Containers")) > 0 ||
        !fits(&pruning->filters, network) || has_excluded_label(&pruning->filters, network) ||
        is_too_young(pruning, network))
        return;
    size_t at = pruning->count++;
    pruning->names[at] = str_or(arena_strdup(request_arena(request), name), "");
    pruning->ids[at] = str_or(arena_strdup(request_arena(request), text_of(network, "Id")), "");
    pruning->swarm[at] = swarm;
}

static void prune_listed(struct request *request, const void *response)
{
    const Swarm__ListNetworksResponse *swarm = response;
    for (size_t i = 0; i < swarm->n_networks; i++) {
        struct buf text;
        struct json_out one;
        if (is_hidden(swarm->networks[i]))
            continue;
        buf_init(&text, NETWORK_BYTES_MAX);
        json_out_init(&one, &text);
        write_network(swarm->networks[i], request_minor(request), NULL, &one);
        json_t *network = json_out_done(&one) ? json_parse(text.data, text.len, NULL) : NULL;
        if (network)
            prune_add(request, network, true);
        json_decref(network);
        buf_fini(&text);
    }
    prune_next(request);
}

static void prune(struct request *request)
{
    void *ctx;
    struct err err = ERR_INIT;
    struct arena *arena = request_arena(request);
    const struct backend *backend = request_backend(request, &ctx);
    struct pruning *pruning = ARENA_NEW(arena, struct pruning);
    CHECK(pruning);
    if (filters_parse(request_query(request, "filters"), prune_filters, COUNT_OF(prune_filters),
                      arena, &pruning->filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    for (size_t i = 0; i < pruning->filters.count; i++)
        if (strcmp(pruning->filters.values[i].key, "until") == 0 &&
            stamp_filter_parse(pruning->filters.values[i].value, wall_now(), &pruning->until,
                               &err)) {
            request_fail_filters(request, &err);
            return;
        }
    pruning->names = arena_alloc_array(arena, PRUNE_MAX, sizeof *pruning->names);
    pruning->ids = arena_alloc_array(arena, PRUNE_MAX, sizeof *pruning->ids);
    pruning->swarm = arena_alloc_array(arena, PRUNE_MAX, sizeof *pruning->swarm);
    CHECK(pruning->names && pruning->ids && pruning->swarm);
    request_keep(request, pruning);
    json_t *local = networks_local(request);
    for (size_t i = 0; backend->network_remove && i < json_array_size(local); i++) {
        const json_t *network = json_array_get(local, i);
        if (strcmp(text_of(network, "Scope"), "swarm") != 0)
            prune_add(request, network, false);
    }
    json_decref(local);
    if (request_has_manager(request))
        request_call(request, CONTROL("ListNetworks"),
                     request_message(request, CONTROL("ListNetworks")), prune_listed, NULL);
    else
        prune_next(request);
}

static const struct endpoint rows[] = {
    {"GET", "/networks", list},
    {"GET", "/networks/", list},
    {"POST", "/networks/prune", prune},
    {"GET", "/networks/{id}", inspect},
    {"DELETE", "/networks/{id}", remove_network},
};
SWARM_ENDPOINTS(network_endpoints, rows);
