// POST /networks/create: who makes the network, the swarm or the node, and what is refused before.
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/networks.h"
#include "agent/engine/noun.h"
#include "agent/engine/parts.h"
#include "agent/engine/shape.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

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
FIELDS(ipam_config_fields, "IPAMConfig", swarm__ipamconfig__descriptor, config_rows);

static const struct field ipam_rows[] = {
    {NULL, "driver", FIELD_INLINE, 0, &create_driver_fields},
    {"Config", "configs", FIELD_OBJECTS, 0, &ipam_config_fields},
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

// What is read without that table.
static const struct shape_row rest_rows[] = {
    {"CheckDuplicate", SHAPE_FLAG, NULL},
    {"Scope", SHAPE_TEXT, NULL},
    {"ConfigOnly", SHAPE_FLAG, NULL},
    {"EnableIPv4", SHAPE_FLAG, NULL},
};
static SHAPE(rest_shape, "types.NetworkCreateRequest", rest_rows);

// ---- answering ---------------------------------------------------------------------------------

struct creation {
    Swarm__CreateNetworkRequest *message;
    const json_t *json;
    bool swarm;
};

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

static void fail_taken(struct request *request, const char *name)
{
    request_fail(request, 409, "network with name %s already exists", name);
}

// Two requests at once: the store knows who came first.
static void not_created(struct request *request, const struct err *err)
{
    const struct creation *creation = request_kept(request);
    if (strstr(err->message, "name conflicts with an existing object"))
        fail_taken(request, creation->message->spec->annotations->name);
    else
        request_fail_call(request, err);
}

// ---- creating ----------------------------------------------------------------------------------

static void create_local(struct request *request)
{
    void *ctx, *owner;
    const struct backend *backend = request_backend(request, &ctx);
    const struct creation *creation = request_kept(request);
    if (!backend->network_create) {
        request_fail(request, 501,
                     "this node makes no networks of its own: use the overlay driver");
        return;
    }
    backend_done *done = request_backend_done(request, send_created, &owner);
    backend->network_create(ctx, creation->json, done, owner);
}

static void create_now(struct request *request)
{
    const struct creation *creation = request_kept(request);
    if (creation->swarm)
        request_call(request, CONTROL("CreateNetwork"), creation->message, created, not_created);
    else
        create_local(request);
}

// Names are one space for a node's networks and the swarm's.
static void names_listed(struct request *request, const void *response)
{
    const struct creation *creation = request_kept(request);
    size_t count;
    noun_objects(response, &count);
    if (count > 0)
        fail_taken(request, creation->message->spec->annotations->name);
    else
        create_now(request);
}

static void names_not_listed(struct request *request, const struct err *err)
{
    const struct creation *creation = request_kept(request);
    if (creation->swarm)
        request_fail_call(request, err);
    else
        create_now(request); // no leader just now: a network of the node needs none
}

static bool is_taken_here(struct request *request, const char *name)
{
    json_t *local = networks_local(request);
    bool taken = false;
    for (size_t i = 0; i < json_array_size(local); i++) {
        const json_t *network = json_array_get(local, i);
        taken |= str_equal(json_string_value(json_object_get(network, "Name")), name);
    }
    json_decref(local);
    return taken;
}

// The swarm has predefined networks of its own, which a manager lists.
static bool is_taken_in_swarm(const struct request *request, const char *name)
{
    return request_has_manager(request) && (str_equal(name, "bridge") || str_equal(name, "host"));
}

// ---- what is refused ---------------------------------------------------------------------------

// False after answering: the swarm's networks are made on managers.
static bool check_manager(struct request *request, bool by_scope)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_swarm swarm = {0};
    backend->swarm(ctx, &swarm);
    if (swarm.standing == STANDING_WORKER)
        request_fail(request, 403,
                     "Cannot create a multi-host network from a worker node. Please create the "
                     "network from a manager node.");
    else if (swarm.standing == STANDING_INACTIVE && by_scope)
        request_fail(request, 403, "cannot create a swarm scoped network when swarm is not active");
    else if (swarm.standing == STANDING_INACTIVE && request_minor(request) < 42)
        request_fail(request, 500,
                     "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
                     "swarm join\" to connect this node to swarm and try again.");
    else
        return request_needs_manager(request);
    return false;
}

static bool check_subnets(struct request *request, const Swarm__NetworkSpec *spec)
{
    for (size_t i = 0; spec->ipam && i < spec->ipam->n_configs; i++) {
        const char *subnet = spec->ipam->configs[i]->subnet;
        const char *slash = strchr(str_or(subnet, ""), '/');
        uint64_t bits;
        bool wide = strchr(str_or(subnet, ""), ':') != NULL;
        if (str_empty(subnet) || (slash && str_to_u64(slash + 1, wide ? 128 : 32, &bits)))
            continue; // the manager looks closer
        request_fail(request, request_bad_status(request),
                     "Invalid subnet %.100s : invalid CIDR address: %.100s", subnet, subnet);
        return false;
    }
    return true;
}

static bool check_driver(struct request *request, const char *driver, const char *scope)
{
    static const char *const known[] = {"", "overlay", "bridge", "macvlan", "ipvlan"};
    if (strcmp(driver, "overlay") == 0 && strcmp(scope, "local") == 0) {
        request_fail(request, 403, "cannot downgrade network scope for overlay networks");
        return false;
    }
    if (strcmp(driver, "host") == 0 || strcmp(driver, "null") == 0) {
        request_fail(request, 403, "only one instance of \"%s\" network is allowed", driver);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(driver, known[i]) == 0)
            return true;
    request_fail(request, 404, "plugin \"%.100s\" not found", driver);
    return false;
}

static bool check_scope(struct request *request, const json_t *json, const char *scope)
{
    static const char *const operators[] = {"Scope", "Internal", "Attachable", "Ingress"};
    for (size_t i = 0; i < COUNT_OF(operators); i++) {
        const json_t *value = fields_member(json, operators[i]);
        if (!json_is_true(fields_member(json, "ConfigOnly")) ||
            (!json_is_true(value) && str_empty(json_string_value(value))))
            continue;
        request_fail(request, 403,
                     "configuration network can only contain network specific fields. Network "
                     "operator fields like [ ingress | internal | attachable | scope ] are not "
                     "supported.");
        return false;
    }
    if (!*scope || str_equal(scope, "local") || str_equal(scope, "swarm"))
        return true;
    request_fail(request, request_bad_status(request),
                 "invalid network scope \"%.100s\": a network's scope is local or swarm", scope);
    return false;
}

// False after answering.
static bool check(struct request *request, const struct creation *creation, const char *scope)
{
    const Swarm__NetworkSpec *spec = creation->message->spec;
    const char *name = spec->annotations->name;
    if (!*str_or(name, "") || strspn(name, " \t") == strlen(name)) {
        request_fail(request, request_bad_status(request), "invalid name: %s", name);
        return false;
    }
    if (is_taken_in_swarm(request, name)) {
        fail_taken(request, name);
        return false;
    }
    if (network_is_builtin(name)) {
        request_fail(request, 403, "operation is not permitted on predefined %s network ", name);
        return false;
    }
    if (is_taken_here(request, name)) {
        fail_taken(request, name);
        return false;
    }
    if (!check_driver(request, spec->driver_config->name, scope) ||
        !check_scope(request, creation->json, scope))
        return false;
    if (spec->ingress && !creation->swarm) {
        request_fail(request, 403, "Ingress network can only be global scope network");
        return false;
    }
    const json_t *ipv4 = fields_member(creation->json, "EnableIPv4");
    if (json_is_false(ipv4)) {
        request_fail(request, 400,
                     "networks have IPv4 addresses: EnableIPv4=false is not supported by Skep");
        return false;
    }
    if (creation->swarm && !check_manager(request, strcmp(spec->driver_config->name, "overlay")))
        return false;
    return check_subnets(request, spec);
}

static void create(struct request *request)
{
    struct err err = ERR_INIT;
    struct arena *arena = request_arena(request);
    const json_t *json = request_shaped(request, &rest_shape);
    if (!json)
        return;
    struct creation *creation = ARENA_NEW(arena, struct creation);
    CHECK(creation);
    creation->json = json;
    creation->message = request_message(request, CONTROL("CreateNetwork"));
    Swarm__NetworkSpec *spec = wire_new(&swarm__network_spec__descriptor, arena);
    CHECK(spec);
    creation->message->spec = spec;
    if (fields_read(&create_fields, json, spec, arena, &err) != 0) {
        request_fail_err(request, &err);
        return;
    }
    const char *scope = str_or(json_string_value(fields_member(json, "Scope")), "");
    bool config_only = json_is_true(fields_member(json, "ConfigOnly"));
    creation->swarm = !config_only && (strcmp(spec->driver_config->name, "overlay") == 0 ||
                                       strcmp(scope, "swarm") == 0);
    request_keep(request, creation);
    if (!check(request, creation, scope))
        return;
    if (spec->ipam && str_empty(spec->ipam->driver->name))
        spec->ipam->driver->name = "default";
    if (!request_has_manager(request)) {
        create_now(request);
        return;
    }
    Swarm__ListNetworksRequest *names = request_message(request, CONTROL("ListNetworks"));
    names->filters = wire_new(&swarm__list_networks_request__filters__descriptor, arena);
    if (!names->filters ||
        !message_add_text(&names->filters->base, "names", spec->annotations->name, arena)) {
        request_fail(request, 500, "the request is too large");
        return;
    }
    request_call(request, CONTROL("ListNetworks"), names, names_listed, names_not_listed);
}

static const struct endpoint rows[] = {
    {"POST", "/networks/create", create},
};
SWARM_ENDPOINTS(network_create_endpoints, rows);
