#include "agent/net/local.h"

#include <stdlib.h>
#include <string.h>

#include "agent/net/sandbox.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// The kernel's numbers of modes.
static const struct mode {
    enum local_driver driver;
    const char *name;
    uint32_t number;
} modes[] = {{LOCAL_MACVLAN, "bridge", 4}, {LOCAL_MACVLAN, "private", 1},
             {LOCAL_MACVLAN, "vepa", 2},   {LOCAL_MACVLAN, "passthru", 8},
             {LOCAL_IPVLAN, "l2", 0},      {LOCAL_IPVLAN, "l3", 1},
             {LOCAL_IPVLAN, "l3s", 2}};

static const char *const drivers[] = {
    [LOCAL_BRIDGE] = "bridge",
    [LOCAL_MACVLAN] = "macvlan",
    [LOCAL_IPVLAN] = "ipvlan",
    [LOCAL_CONFIG] = "null",
};

// Docker's default pools for local networks, in its order: 172.17 to 172.31, then 192.168.
static const struct local_source docker_sources[] = {
    {{4, 16, {172, 17}}, 16}, {{4, 15, {172, 18}}, 16},  {{4, 14, {172, 20}}, 16},
    {{4, 13, {172, 24}}, 16}, {{4, 16, {192, 168}}, 20},
};

static const char *text_of(const json_t *object, const char *key)
{
    return str_or(json_string_value(json_object_get(object, key)), "");
}

static void endpoint_free(struct local_endpoint *endpoint)
{
    free(endpoint->ports);
    json_decref(endpoint->names);
}

void local_free(struct local *local)
{
    if (!local)
        return;
    for (size_t i = 0; i < local->endpoints_count; i++)
        endpoint_free(&local->endpoints[i]);
    free(local->endpoints);
    json_decref(local->asked);
    free(local);
}

const char *local_driver_name(enum local_driver driver)
{
    return drivers[driver];
}

void local_fixed_id(const char *name, char out[LOCAL_ID_BYTES])
{
    sandbox_endpoint_id(name, "network", "", out);
}

// ---- what is asked for --------------------------------------------------------------------------

static int take_driver(struct local *local, const char *name, struct err *err)
{
    for (size_t i = 0; i < LOCAL_CONFIG; i++) {
        if (str_equal(str_or(name, "bridge"), drivers[i])) {
            local->driver = (enum local_driver)i;
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
}

static int take_bool(const char *key, const char *value, bool *out, struct err *err)
{
    if (str_equal(value, "true") || str_equal(value, "1"))
        *out = true;
    else if (str_equal(value, "false") || str_equal(value, "0"))
        *out = false;
    else
        return err_set(err, ERR_INVALID_ARGUMENT, "option %s: \"%s\" is neither true nor false",
                       key, value);
    return 0;
}

static int take_mode(struct local *local, const char *key, const char *value, struct err *err)
{
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (modes[i].driver == local->driver && str_equal(modes[i].name, value)) {
            local->mode = modes[i].number;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID_ARGUMENT, "option %s: no mode \"%s\"", key, value);
}

static int take_link(struct local *local, const char *key, const char *value, struct err *err)
{
    if (str_empty(value) || strlen(value) >= sizeof local->link || strpbrk(value, "/ \t\n\":"))
        return err_set(err, ERR_INVALID_ARGUMENT, "option %s: \"%s\" is no interface's name", key,
                       value);
    (void)str_copy(local->link, sizeof local->link, value);
    return 0;
}

static int take_option(struct local *local, const char *key, const char *value, struct err *err)
{
    uint64_t mtu;
    bool default_bridge;
    if (local->driver == LOCAL_CONFIG)
        return 0; // they are looked at when a network is made from it
    if (str_equal(key, "com.docker.network.driver.mtu")) {
        if (!str_to_u64(value, 65535, &mtu) || mtu < 68)
            return err_set(err, ERR_INVALID_ARGUMENT, "option %s: \"%s\" is no MTU", key, value);
        local->mtu = (uint32_t)mtu;
        return 0;
    }
    if (local->driver == LOCAL_BRIDGE) {
        if (str_equal(key, "com.docker.network.bridge.name"))
            return take_link(local, key, value, err);
        if (str_equal(key, "com.docker.network.bridge.enable_icc"))
            return take_bool(key, value, &local->icc, err);
        if (str_equal(key, "com.docker.network.bridge.enable_ip_masquerade"))
            return take_bool(key, value, &local->masquerade, err);
        // As the default network shows them: it is none of the request's business.
        if (str_equal(key, "com.docker.network.bridge.default_bridge"))
            return take_bool(key, value, &default_bridge, err);
        if (str_equal(key, "com.docker.network.bridge.host_binding_ipv4") &&
            str_equal(value, "0.0.0.0"))
            return 0;
    } else if (str_equal(key, "parent")) {
        return take_link(local, key, value, err);
    } else if (str_equal(key, "macvlan_mode") || str_equal(key, "ipvlan_mode")) {
        return take_mode(local, key, value, err);
    }
    return err_set(err, ERR_UNIMPLEMENTED, "network option %s is not supported", key);
}

static int take_aux(struct local *local, const json_t *pool, const struct ipnet *subnet,
                    struct err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json_object_get(pool, "AuxiliaryAddresses"), name, value)
    {
        struct ipnet ip;
        const char *text = str_or(json_string_value(value), "");
        if (!ipnet_parse(text, &ip) || !ipnet_contains(subnet, &ip))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "auxiliary address %.40s=%.60s is in no subnet of the network", name,
                           text);
        if (local->aux_count == LOCAL_AUX_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d auxiliary addresses",
                           LOCAL_AUX_MAX);
        local->aux[local->aux_count++] = ipnet_host(&ip);
    }
    return 0;
}

static int read_pool(const json_t *pool, struct local_pool *out, struct err *err)
{
    const char *subnet = text_of(pool, "Subnet"), *gateway = text_of(pool, "Gateway");
    const char *range = text_of(pool, "IPRange");
    struct ipnet ip;
    *out = (struct local_pool){0};
    if (str_empty(subnet))
        return str_empty(gateway) && str_empty(range)
                   ? 0
                   : err_set(err, ERR_INVALID_ARGUMENT, "a gateway or range needs a subnet");
    if (!ipnet_parse(subnet, &ip) ||
        (ip.size == 4 ? ip.prefix > 30 || ip.prefix < 8 : ip.prefix > 126 || ip.prefix < 16))
        return err_set(err, ERR_INVALID_ARGUMENT, "subnet %s cannot be used", subnet);
    out->subnet = ipnet_base(&ip);
    if (!str_empty(gateway)) {
        if (!ipnet_parse(gateway, &ip) || !ipnet_contains(&out->subnet, &ip))
            return err_set(err, ERR_INVALID_ARGUMENT, "gateway %s is not in subnet %s", gateway,
                           subnet);
        out->gateway = ip;
        out->gateway.prefix = out->subnet.prefix;
    }
    if (!str_empty(range)) {
        if (!ipnet_parse(range, &ip) || !ipnet_contains(&out->subnet, &ip) ||
            ip.prefix < out->subnet.prefix)
            return err_set(err, ERR_INVALID_ARGUMENT, "range %s is not in subnet %s", range,
                           subnet);
        out->range = ipnet_base(&ip);
    }
    return 0;
}

// The address so far above another.
static struct ipnet ip_plus(const struct ipnet *base, uint32_t offset)
{
    struct ipnet ip = *base;
    uint64_t carry = offset;
    for (size_t i = ip.size; i-- > 0 && carry;) {
        carry += ip.bytes[i];
        ip.bytes[i] = (uint8_t)carry;
        carry >>= 8;
    }
    return ip;
}

static int take_pool(struct local *local, const json_t *asked, struct err *err)
{
    struct local_pool pool;
    if (read_pool(asked, &pool, err) < 0)
        return -(int)err->code;
    bool four = pool.subnet.size != 16, first = four && !ipnet_is_set(&local->subnet);
    if (four && !first && local->driver == LOCAL_BRIDGE)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "bridge driver doesn't support multiple subnets");
    if (!four && !local->six)
        return err_set(err, ERR_INVALID_ARGUMENT, "subnet %s needs IPv6 (--ipv6)",
                       text_of(asked, "Subnet"));
    for (size_t i = 0; i < local->more_count; i++)
        if (ipnet_overlaps(&pool.subnet, &local->more[i].subnet) ||
            (!four && local->more[i].subnet.size == 16 && local->driver == LOCAL_BRIDGE))
            return err_set(err, ERR_PERMISSION_DENIED,
                           "subnet %s: another one of the network stands against it",
                           text_of(asked, "Subnet"));
    if (!first && four && ipnet_overlaps(&pool.subnet, &local->subnet))
        return err_set(err, ERR_PERMISSION_DENIED, "subnet %s overlaps another one of the network",
                       text_of(asked, "Subnet"));
    if (first) {
        local->subnet = pool.subnet;
        local->gateway = pool.gateway;
        local->range = pool.range;
    } else {
        if (local->more_count == LOCAL_POOLS_MAX - 1)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d subnets", LOCAL_POOLS_MAX);
        if (!ipnet_is_set(&pool.gateway))
            pool.gateway = ip_plus(&pool.subnet, 1);
        local->more[local->more_count++] = pool;
    }
    return take_aux(local, asked, &pool.subnet, err);
}

static int take_pools(struct local *local, const json_t *ipam, struct err *err)
{
    const json_t *pools_asked = json_object_get(ipam, "Config");
    bool has_six = false;
    for (size_t i = 0; i < json_array_size(pools_asked); i++)
        if (take_pool(local, json_array_get(pools_asked, i), err) < 0)
            return -(int)err->code;
    for (size_t i = 0; i < local->more_count; i++)
        has_six |= local->more[i].subnet.size == 16;
    // dockerd's default pools have no IPv6 either.
    if (local->six && !has_six && local->driver != LOCAL_CONFIG)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "could not find an available, non-overlapping IPv6 address pool among the "
                       "defaults to assign to the network");
    return 0;
}

static int take_body(struct local *local, const json_t *body, struct err *err)
{
    const char *name = text_of(body, "Name"), *key;
    json_t *value;
    const json_t *ipam = json_object_get(body, "IPAM");
    if (str_empty(name) || strlen(name) >= sizeof local->name)
        return err_set(err, ERR_INVALID_ARGUMENT, "network name \"%.40s\" cannot be used", name);
    (void)str_copy(local->name, sizeof local->name, name);
    if (json_is_true(json_object_get(body, "ConfigOnly")))
        local->driver = LOCAL_CONFIG;
    else if (take_driver(local, text_of(body, "Driver"), err) < 0)
        return -(int)err->code;
    const char *from = text_of(json_object_get(body, "ConfigFrom"), "Network");
    if (!str_copy(local->from, sizeof local->from, from))
        return err_set(err, ERR_INVALID_ARGUMENT, "network name \"%.40s\" cannot be used", from);
    local->six = json_is_true(json_object_get(body, "EnableIPv6"));
    if (!str_empty(text_of(ipam, "Driver")) && !str_equal(text_of(ipam, "Driver"), "default"))
        return err_set(err, ERR_UNIMPLEMENTED, "IPAM driver %s is not supported",
                       text_of(ipam, "Driver"));
    local->internal = json_is_true(json_object_get(body, "Internal"));
    json_object_foreach((json_t *)json_object_get(body, "Options"), key, value)
    {
        if (take_option(local, key, str_or(json_string_value(value), ""), err) < 0)
            return -(int)err->code;
    }
    if (take_pools(local, ipam, err) < 0)
        return -(int)err->code;
    if (local->driver != LOCAL_BRIDGE && local->driver != LOCAL_CONFIG && str_empty(local->link))
        return err_set(err, ERR_INVALID_ARGUMENT, "a %s network needs the option parent",
                       drivers[local->driver]);
    return 0;
}

struct local *local_of_body(const json_t *body, const char *id, struct wall now, struct err *err)
{
    struct local *local = MEM_NEW(struct local);
    (void)str_copy(local->id, sizeof local->id, id);
    local->icc = local->masquerade = true;
    local->mode = 0;
    local->created = now;
    local->asked = json_object();
    if (take_body(local, body, err) < 0) {
        local_free(local);
        return NULL;
    }
    if (local->driver == LOCAL_MACVLAN && local->mode == 0)
        local->mode = 4;
    if (local->driver == LOCAL_BRIDGE && str_empty(local->link))
        (void)str_format(local->link, sizeof local->link, "br-%.12s", id);
    static const char *const kept[] = {"Options", "Labels"};
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        json_t *part = json_object_get(body, kept[i]);
        json_object_set_new(local->asked, kept[i],
                            json_is_object(part) ? json_deep_copy(part) : json_object());
    }
    json_t *pools_asked = json_object_get(json_object_get(body, "IPAM"), "Config");
    json_object_set_new(local->asked, "Pools",
                        json_is_array(pools_asked) ? json_deep_copy(pools_asked) : json_array());
    json_t *options = json_object_get(json_object_get(body, "IPAM"), "Options");
    json_object_set_new(local->asked, "IPAMOptions",
                        json_is_object(options) ? json_deep_copy(options) : json_null());
    return local;
}

// ---- addresses ----------------------------------------------------------------------------------

static bool touches(const struct ipnet *subnet, const struct ipnet *taken, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (taken[i].prefix > 0 && ipnet_overlaps(subnet, &taken[i]))
            return true;
    return false;
}

static int choose_subnet(struct local *local, const struct local_defaults *defaults,
                         const struct ipnet *taken, size_t count, struct err *err)
{
    const struct local_source *sources = defaults->sources;
    size_t sources_count = defaults->sources_count;
    if (!sources_count) {
        sources = docker_sources;
        sources_count = COUNT_OF(docker_sources);
    }
    for (size_t p = 0; p < sources_count; p++) {
        const struct local_source *source = &sources[p];
        uint64_t subnets = UINT64_C(1) << (source->prefix - source->base.prefix);
        for (uint64_t n = 0; n < subnets; n++) {
            local->subnet = ipnet_of_u32(
                ipnet_u32(&source->base) + (uint32_t)(n << (32 - source->prefix)), source->prefix);
            if (!touches(&local->subnet, taken, count))
                return 0;
        }
    }
    return err_set(err, ERR_RESOURCE_EXHAUSTED,
                   "could not find an available, non-overlapping IPv4 address pool");
}

int local_choose(struct local *local, const struct local_defaults *defaults,
                 const struct ipnet *taken, size_t taken_count, struct err *err)
{
    bool asked = ipnet_is_set(&local->subnet);
    // A macvlan's subnet is the parent's own, of course.
    if (asked && local->driver == LOCAL_BRIDGE && touches(&local->subnet, taken, taken_count))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "Pool overlaps with other one on this address space");
    for (size_t i = 0; i < local->more_count && local->driver == LOCAL_BRIDGE; i++)
        if (touches(&local->more[i].subnet, taken, taken_count))
            return err_set(err, ERR_PERMISSION_DENIED,
                           "Pool overlaps with other one on this address space");
    if (!asked && choose_subnet(local, defaults, taken, taken_count, err) < 0)
        return -ERR_RESOURCE_EXHAUSTED;
    if (!ipnet_is_set(&local->gateway))
        local->gateway = ipnet_of_u32(ipnet_u32(&local->subnet) + 1, local->subnet.prefix);
    return 0;
}

static bool address_used(const struct local *local, const struct ipnet *ip)
{
    for (size_t i = 0; i < local->endpoints_count; i++)
        if (ipnet_same_ip(&local->endpoints[i].ip, ip) ||
            ipnet_same_ip(&local->endpoints[i].ip6, ip))
            return true;
    for (size_t i = 0; i < local->aux_count; i++)
        if (ipnet_same_ip(&local->aux[i], ip))
            return true;
    for (size_t i = 0; i < local->more_count; i++)
        if (ipnet_same_ip(&local->more[i].gateway, ip))
            return true;
    return ipnet_same_ip(&local->gateway, ip);
}

// The pool that holds the address; false for none.
static bool pool_of(const struct local *local, const struct ipnet *ip, struct local_pool *out)
{
    *out = (struct local_pool){local->subnet, local->gateway, local->range};
    if (ipnet_is_set(&local->subnet) && ipnet_contains(&local->subnet, ip))
        return true;
    for (size_t i = 0; i < local->more_count; i++) {
        *out = local->more[i];
        if (ipnet_contains(&out->subnet, ip))
            return true;
    }
    return false;
}

struct ipnet local_gateway(const struct local *local, const struct ipnet *ip)
{
    struct local_pool pool;
    return pool_of(local, ip, &pool) ? pool.gateway : (struct ipnet){0};
}

// The first and last addresses of an IPv4 subnet are no host's, nor is the first of IPv6.
static bool choose_from(const struct local *local, const struct local_pool *pool, struct ipnet *out)
{
    const struct ipnet *from = ipnet_is_set(&pool->range) ? &pool->range : &pool->subnet;
    unsigned bits = from->size * 8u - from->prefix;
    uint32_t size = bits >= 24 ? 1u << 24 : 1u << bits;
    struct ipnet first = pool->subnet;
    uint32_t last = first.size == 4 ? ipnet_u32(&first) | (UINT32_MAX >> first.prefix) : 0;
    for (uint32_t i = 0; i < size; i++) {
        *out = ip_plus(from, i);
        out->prefix = pool->subnet.prefix;
        if (ipnet_same_ip(out, &first) || (first.size == 4 && ipnet_u32(out) == last))
            continue;
        if (!address_used(local, out))
            return true;
    }
    return false;
}

static int choose_address(const struct local *local, uint8_t size, struct ipnet *out,
                          struct err *err)
{
    struct local_pool pool = {local->subnet, local->gateway, local->range};
    if (pool.subnet.size == size && choose_from(local, &pool, out))
        return 0;
    for (size_t i = 0; i < local->more_count; i++)
        if (local->more[i].subnet.size == size && choose_from(local, &local->more[i], out))
            return 0;
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "no available IPv%d addresses on network %s",
                   size == 4 ? 4 : 6, local->name);
}

// One that was asked for.
static int take_address(const struct local *local, const struct ipnet *ip, struct ipnet *out,
                        struct err *err)
{
    struct local_pool pool;
    if (!pool_of(local, ip, &pool))
        return err_set(err, ERR_INVALID_ARGUMENT, "the address is not in a subnet of network %s",
                       local->name);
    *out = *ip;
    out->prefix = pool.subnet.prefix;
    return address_used(local, out) ? err_set(err, ERR_ALREADY_EXISTS, "Address already in use")
                                    : 0;
}

int local_attach6(struct local *local, struct local_endpoint *endpoint, const struct ipnet *ip,
                  struct err *err)
{
    struct ipnet address;
    if (!local->six)
        return ip && ipnet_is_set(ip)
                   ? err_set(err, ERR_INVALID_ARGUMENT, "network %s has no IPv6", local->name)
                   : 0;
    int rc = ip && ipnet_is_set(ip) ? take_address(local, ip, &address, err)
                                    : choose_address(local, 16, &address, err);
    if (rc == 0)
        endpoint->ip6 = address;
    return rc;
}

struct local_endpoint *local_find(const struct local *local, const char *container)
{
    for (size_t i = 0; i < local->endpoints_count; i++)
        if (str_equal(local->endpoints[i].container, container))
            return &local->endpoints[i];
    return NULL;
}

struct local_endpoint *local_attach(struct local *local, const char *container, const char *name,
                                    const struct ipnet *ip, const uint8_t *mac, struct err *err)
{
    struct ipnet address;
    if (local_find(local, container)) {
        err_set(err, ERR_ALREADY_EXISTS, "endpoint with name %s already exists in network %s", name,
                local->name);
        return NULL;
    }
    if (local->endpoints_count == LOCAL_ENDPOINTS_MAX) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "network %s has %d containers", local->name,
                LOCAL_ENDPOINTS_MAX);
        return NULL;
    }
    if ((ip && ipnet_is_set(ip) ? take_address(local, ip, &address, err)
                                : choose_address(local, 4, &address, err)) < 0)
        return NULL;
    local->endpoints = (struct local_endpoint *)mem_realloc(
        local->endpoints, (local->endpoints_count + 1) * sizeof(struct local_endpoint));
    struct local_endpoint *endpoint = &local->endpoints[local->endpoints_count++];
    memset(endpoint, 0, sizeof *endpoint);
    (void)str_copy(endpoint->container, sizeof endpoint->container, container);
    (void)str_copy(endpoint->name, sizeof endpoint->name, name);
    endpoint->ip = address;
    if (mac)
        memcpy(endpoint->mac, mac, MAC_BYTES);
    else
        mac_of_ip(&address, endpoint->mac);
    return endpoint;
}

void local_detach(struct local *local, const char *container)
{
    struct local_endpoint *endpoint = local_find(local, container);
    if (!endpoint)
        return;
    endpoint_free(endpoint);
    *endpoint = local->endpoints[--local->endpoints_count];
}
