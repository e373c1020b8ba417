// /networks/{id}/connect and disconnect: containers on networks of this node.
#include "agent/crate/config.h"
#include "agent/crate/crates_io.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/networks.h"
#include "proto/base/str.h"

static void attach_done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    if (!errand_back(errand))
        return;
    if (err)
        request_fail_err(errand->request, err);
    else
        request_empty(errand->request, 200);
}

// The container that the body names; NULL after answering.
static struct crate *attach_crate(struct request *request, const json_t *body)
{
    void *ctx;
    struct err err = ERR_INIT;
    struct backend_local local = {0};
    const struct backend *backend = request_backend(request, &ctx);
    if (!body)
        return NULL;
    if (backend->local)
        backend->local(ctx, &local);
    if (!local.crates) {
        request_fail(request, 501, "this node runs no containers of its own");
        return NULL;
    }
    struct crate *crate = crates_find(local.crates, config_str(body, "Container"), &err);
    if (!crate)
        request_fail_err(request, &err);
    return crate;
}

static const struct shape_row address_rows[] = {
    {"IPv4Address", SHAPE_TEXT, NULL},
    {"IPv6Address", SHAPE_TEXT, NULL},
    {"LinkLocalIPs", SHAPE_TEXTS, NULL},
};
static SHAPE(address_shape, "network.EndpointIPAMConfig", address_rows);

static const struct shape_row endpoint_rows[] = {
    {"IPAMConfig", SHAPE_OBJECT, &address_shape},
    {"Links", SHAPE_TEXTS, NULL},
    {"Aliases", SHAPE_TEXTS, NULL},
    {"DriverOpts", SHAPE_MAP, NULL},
    {"MacAddress", SHAPE_TEXT, NULL},
};
SHAPE(endpoint_shape, "network.EndpointSettings", endpoint_rows);

// The default bridge gives addresses as it likes, and the host's network and none have none to
// give.
static bool wants_address(const char *network, const json_t *ipam)
{
    static const char *const own[] = {"bridge", "default", "host", "none"};
    bool asked = false;
    for (size_t i = 0; ipam && i < 2; i++)
        asked = asked || !str_empty(json_string_value(config_member(ipam, address_rows[i].key)));
    for (size_t i = 0; asked && i < COUNT_OF(own); i++)
        if (str_equal(network, own[i]))
            return true;
    return false;
}

bool endpoint_check(struct request *request, const char *network, const json_t *settings)
{
    const json_t *ipam = config_member(settings, "IPAMConfig");
    const json_t *priority = config_member(settings, "GwPriority");
    const char *name = NULL;
    if (wants_address(network, ipam)) {
        request_fail(request, 400,
                     "user specified IP address is supported on user defined networks only");
        return false;
    }
    if (ipam && json_array_size(config_member(ipam, "LinkLocalIPs")) > 0)
        name = "LinkLocalIPs";
    else if (json_object_size(config_member(settings, "DriverOpts")) > 0)
        name = "DriverOpts";
    else if (json_array_size(config_member(settings, "Links")) > 0)
        name = "Links";
    else if (request_minor(request) >= 48 && json_is_integer(priority) &&
             json_integer_value(priority))
        name = "GwPriority";
    if (name)
        request_fail(request, 501,
                     "the option %s of a container's network is not supported by Skep", name);
    return !name;
}

static const struct shape_row connect_rows[] = {
    {"Container", SHAPE_TEXT, NULL},
    {"EndpointConfig", SHAPE_OBJECT, &endpoint_shape},
};
static SHAPE(connect_shape, "types.NetworkConnect", connect_rows);

static const struct shape_row disconnect_rows[] = {
    {"Container", SHAPE_TEXT, NULL},
    {"Force", SHAPE_FLAG, NULL},
};
static SHAPE(disconnect_shape, "types.NetworkDisconnect", disconnect_rows);

static void connect_container(struct request *request)
{
    const json_t *body = request_shaped(request, &connect_shape);
    struct crate *crate = attach_crate(request, body);
    const json_t *settings = crate ? config_member(body, "EndpointConfig") : NULL;
    if (!crate || (settings && !endpoint_check(request, request_param(request, "id"), settings)))
        return;
    struct errand *errand = errand_new(request, sizeof *errand);
    errand_await(errand);
    crate_connect(crate, request_param(request, "id"), settings, attach_done, errand);
}

static void disconnect_container(struct request *request)
{
    struct crate *crate = attach_crate(request, request_shaped(request, &disconnect_shape));
    if (!crate)
        return;
    struct errand *errand = errand_new(request, sizeof *errand);
    errand_await(errand);
    crate_disconnect(crate, request_param(request, "id"), attach_done, errand);
}

static const struct endpoint rows[] = {
    {"POST", "/networks/{id}/connect", connect_container},
    {"POST", "/networks/{id}/disconnect", disconnect_container},
};
SWARM_ENDPOINTS(network_attach_endpoints, rows);
