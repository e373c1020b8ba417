// /networks: those of the swarm by the Control API, those of the node by the backend.
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "agent/engine/parts.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define NETWORK_BYTES_MAX (1024 * 1024) // one network as JSON

static const struct filter_row network_filters[] = {
    {"driver", FILTER_KNOWN, NULL, NULL},   {"id", FILTER_KNOWN, NULL, NULL},
    {"label", FILTER_KNOWN, NULL, NULL},    {"name", FILTER_KNOWN, NULL, NULL},
    {"scope", FILTER_KNOWN, NULL, NULL},    {"type", FILTER_KNOWN, NULL, NULL},
    {"dangling", FILTER_KNOWN, NULL, NULL},
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

// ---- the body of a creation --------------------------------------------------------------------

static const struct field driver_rows[] = {
    {"Driver", "name", FIELD_STRING, 0, NULL},
    {"Options", "options", FIELD_MAP, 0, NULL},
};
static FIELDS(create_driver_fields, "CreateRequest", swarm__driver__descriptor, driver_rows);

static const struct field config_rows[] = {
    {"Subnet", "subnet", FIELD_STRING, 0, NULL},
    {"IPRange", "range", FIELD_STRING, 0, NULL},
    {"Gateway", "gateway", FIELD_STRING, 0, NULL},
    {"AuxiliaryAddresses", "reserved", FIELD_MAP, 0, NULL},
};
static FIELDS(create_config_fields, "IPAMConfig", swarm__ipamconfig__descriptor, config_rows);

static const struct field ipam_rows[] = {
    {NULL, "driver", FIELD_INLINE, 0, &create_driver_fields},
    {"Config", "configs", FIELD_OBJECTS, 0, &create_config_fields},
};
static FIELDS(create_ipam_fields, "IPAM", swarm__ipamoptions__descriptor, ipam_rows);

static const struct field from_rows[] = {
    {"Network", "network", FIELD_STRING, 0, NULL},
};
static FIELDS(create_from_fields, "ConfigReference", swarm__network_spec__descriptor, from_rows);

static const struct field create_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {NULL, "driver_config", FIELD_INLINE, 0, &create_driver_fields},
    {"EnableIPv6", "ipv6_enabled", FIELD_BOOL, 0, NULL},
    {"IPAM", "ipam", FIELD_OBJECT, 0, &create_ipam_fields},
    {"Internal", "internal", FIELD_BOOL, 0, NULL},
    {"Attachable", "attachable", FIELD_BOOL, 0, NULL},
    {"Ingress", "ingress", FIELD_BOOL, 0, NULL},
    {"ConfigFrom", NULL, FIELD_GROUP, 0, &create_from_fields},
};
static FIELDS(create_fields, "CreateRequest", swarm__network_spec__descriptor, create_rows);

// ---- one network as Docker shows it ------------------------------------------------------------

static void write_ipam(const Swarm__Network *network, struct json_out *out)
{
    const Swarm__IPAMOptions *ipam = network->ipam ? network->ipam : network->spec->ipam;
    json_out_object(out, "IPAM");
    json_out_str(out, "Driver",
                 ipam && ipam->driver ? str_or(ipam->driver->name, "default") : "default");
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
        fields_write(&create_config_fields, ipam->configs[i], out);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
}

static void write_network(const Swarm__Network *network, unsigned minor, struct json_out *out)
{
    const Swarm__NetworkSpec *spec = network->spec;
    const Swarm__Driver *driver =
        network->driver_state ? network->driver_state : spec->driver_config;
    char text[WALL_TEXT_BYTES];
    static const struct field options_rows[] = {
        {"Options", "options", FIELD_MAP, FIELD_ALWAYS, NULL},
    };
    static FIELDS(options_fields, "Driver", swarm__driver__descriptor, options_rows);
    static const struct field labels_rows[] = {
        {"Labels", "labels", FIELD_MAP, FIELD_ALWAYS | FIELD_EMPTY, NULL},
    };
    static FIELDS(labels_fields, "Annotations", swarm__annotations__descriptor, labels_rows);
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

// One key of the filters: names and ids match in part, as dockerd has them.
static bool fits_key(const struct filters *filters, const char *key, const char *text, bool part)
{
    bool any = filters_count(filters, key) == 0;
    for (size_t i = 0; i < filters->count; i++) {
        const struct filter_value *it = &filters->values[i];
        if (strcmp(it->key, key) == 0)
            any |= part ? strstr(text, it->value) != NULL : strcmp(text, it->value) == 0;
    }
    return any;
}

static bool is_builtin(const char *name)
{
    return !strcmp(name, "bridge") || !strcmp(name, "host") || !strcmp(name, "none");
}

static bool fits(const struct filters *filters, const json_t *network)
{
    const char *name = text_of(network, "Name");
    for (size_t i = 0; i < filters->count; i++)
        if (strcmp(filters->values[i].key, "label") == 0 &&
            !has_label(network, filters->values[i].value))
            return false;
    return fits_key(filters, "name", name, true) &&
           fits_key(filters, "id", text_of(network, "Id"), true) &&
           fits_key(filters, "driver", text_of(network, "Driver"), false) &&
           fits_key(filters, "scope", text_of(network, "Scope"), false) &&
           fits_key(filters, "type", is_builtin(name) ? "builtin" : "custom", false);
}

static bool id_among(const json_t *networks, const char *id)
{
    for (size_t i = 0; i < json_array_size(networks); i++)
        if (strcmp(text_of(json_array_get(networks, i), "Id"), id) == 0)
            return true;
    return false;
}

// The node's own networks as parsed JSON; never NULL.
static json_t *local_networks(struct request *request)
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
    return networks ? networks : json_array();
}

static void send_list(struct request *request, const Swarm__ListNetworksResponse *swarm)
{
    const struct listing *listing = request_kept(request);
    json_t *local = local_networks(request);
    struct json_out *out = request_write(request);
    json_out_array(out, NULL);
    for (size_t i = 0; i < json_array_size(local); i++)
        if (fits(&listing->filters, json_array_get(local, i)))
            json_out_value(out, NULL, json_array_get(local, i));
    for (size_t i = 0; swarm && i < swarm->n_networks; i++) {
        struct buf text;
        struct json_out one;
        if (id_among(local, swarm->networks[i]->id))
            continue;
        buf_init(&text, NETWORK_BYTES_MAX);
        json_out_init(&one, &text);
        write_network(swarm->networks[i], request_minor(request), &one);
        json_t *network = json_out_done(&one) ? json_parse(text.data, text.len, NULL) : NULL;
        if (network && fits(&listing->filters, network))
            json_out_raw(out, NULL, (const char *)text.data, text.len);
        json_decref(network);
        buf_fini(&text);
    }
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
        request_fail_err(request, &err);
        return;
    }
    request_keep(request, listing);
    if (request_has_manager(request))
        request_call(request, CONTROL("ListNetworks"),
                     request_message(request, CONTROL("ListNetworks")), listed, NULL);
    else
        send_list(request, NULL); // not a manager: what this node sees
}

// ---- one network -------------------------------------------------------------------------------

static void show(struct request *request, const void *object)
{
    write_network(object, request_minor(request), request_write(request));
    request_send(request, 200);
}

static void inspect(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    const char *name = request_param(request, "id");
    bool swarm_only = str_equal(request_query(request, "scope"), "swarm");
    struct json_out *out = request_write(request);
    if (!swarm_only && backend->network &&
        backend->network(ctx, name, request_flag(request, "verbose"), out))
        request_send(request, 200);
    else if (request_has_manager(request))
        noun_find(request, &noun_network, name, show);
    else
        request_fail(request, 404, "network %s not found", name);
}

// ---- creating and removing ---------------------------------------------------------------------

static void send_created(struct request *request, const char *id)
{
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "Id", id);
    json_out_str(out, "Warning", "");
    json_out_end(out);
    request_send(request, 201);
}

static void created(struct request *request, const void *response)
{
    const Swarm__CreateNetworkResponse *it = response;
    send_created(request, it->network->id);
}

static void not_created(struct request *request, const struct err *err)
{
    const Swarm__CreateNetworkRequest *message = request_kept(request);
    if (err->code == ERR_ALREADY_EXISTS && !message->spec->ingress)
        request_fail(request, 409, "network with name %s already exists",
                     message->spec->annotations->name);
    else
        request_fail_call(request, err);
}

static void create_local(struct request *request, const json_t *json)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    if (!backend->network_create) {
        request_fail(request, 501,
                     "this node makes no networks of its own: use the overlay driver");
        return;
    }
    backend_done *done = request_backend_done(request, send_created, &owner);
    backend->network_create(ctx, json, done, owner);
}

static void create(struct request *request)
{
    struct err err = ERR_INIT;
    const json_t *json = request_json(request);
    if (!json)
        return;
    Swarm__CreateNetworkRequest *message = request_message(request, CONTROL("CreateNetwork"));
    message->spec = wire_new(&swarm__network_spec__descriptor, request_arena(request));
    if (fields_read(&create_fields, json, message->spec, request_arena(request), &err) != 0) {
        request_fail_err(request, &err);
        return;
    }
    const char *driver = message->spec->driver_config->name;
    const json_t *scope = fields_member(json, "Scope");
    bool swarm_scope = scope && str_equal(json_string_value(scope), "swarm");
    if (strcmp(driver, "overlay") != 0 && !swarm_scope) {
        create_local(request, json);
        return;
    }
    // Only managers make swarm networks; the text differs by why this node is none.
    if (!request_needs_manager(request))
        return;
    if (is_builtin(message->spec->annotations->name)) {
        request_fail(request, 403, "operation is not permitted on predefined %s network",
                     message->spec->annotations->name);
        return;
    }
    if (message->spec->ipam && str_empty(message->spec->ipam->driver->name))
        message->spec->ipam->driver->name = "default";
    request_keep(request, message);
    request_call(request, CONTROL("CreateNetwork"), message, created, not_created);
}

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
    if (is_builtin(name)) {
        request_fail(request, 403, "%s is a pre-defined network and cannot be removed", name);
        return;
    }
    json_t *local = local_networks(request);
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

static const struct endpoint rows[] = {
    {"GET", "/networks", list},
    {"GET", "/networks/", list},
    {"POST", "/networks/create", create},
    {"GET", "/networks/{id}", inspect},
    {"DELETE", "/networks/{id}", remove_network},
};
ENDPOINTS(network_endpoints, rows);
