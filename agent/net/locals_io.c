#include "agent/net/locals_io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/local_names_io.h"
#include "agent/net/netlink_io.h"
#include "agent/net/netns_io.h"
#include "agent/net/sandbox.h"
#include "agent/net/tables_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define RECORD_BYTES_MAX (4u << 20)
#define RESOLV_BYTES_MAX (64u << 10)
#define RESOLV_CONF      "/etc/resolv.conf"

// Values of the map of namespaces that others share.
static char SHARED[] = "shared", LED[] = "led";

struct locals {
    struct loop *loop;
    char dir[LAYOUT_PLACE_BYTES], netns_dir[LAYOUT_PLACE_BYTES];
    struct local **list; // in order of creation, as far as files tell
    size_t count;
    struct netlink *host;
    struct ports *ports;
    struct tables *tables;
    struct dns_feed *feed;
    bool six;          // some network has IPv6
    struct map shared; // container -> SHARED or LED
    void (*closed)(void *owner);
    void *closed_owner;
};

// ---- finding ------------------------------------------------------------------------------------

static struct local *find(const struct locals *locals, const char *name)
{
    struct local *found = NULL;
    size_t length = name ? strlen(name) : 0, matches = 0;
    if (length == 0)
        return NULL;
    for (size_t i = 0; i < locals->count; i++)
        if (str_equal(locals->list[i]->name, name) || str_equal(locals->list[i]->id, name))
            return locals->list[i];
    for (size_t i = 0; i < locals->count; i++) {
        if (strncmp(locals->list[i]->id, name, length) != 0)
            continue;
        found = locals->list[i];
        matches++;
    }
    return matches == 1 ? found : NULL;
}

const struct local *locals_find(const struct locals *locals, const char *name)
{
    return find(locals, name);
}

// ---- records ------------------------------------------------------------------------------------

static void record_path(const struct locals *locals, const struct local *local,
                        char out[2 * LAYOUT_PLACE_BYTES])
{
    (void)str_format(out, 2 * LAYOUT_PLACE_BYTES, "%s/%s.json", locals->dir, local->id);
}

static int record_write(const struct locals *locals, const struct local *local, struct err *err)
{
    char path[2 * LAYOUT_PLACE_BYTES];
    struct buf text;
    struct json_out out;
    buf_init(&text, RECORD_BYTES_MAX);
    json_out_init(&out, &text);
    local_record(local, &out);
    record_path(locals, local, path);
    int rc = json_out_done(&out)
                 ? file_write_atomic(path, text.data, text.len, 0600, err)
                 : err_set(err, ERR_RESOURCE_EXHAUSTED, "the network's record is too large");
    buf_fini(&text);
    return rc;
}

// ---- the kernel ---------------------------------------------------------------------------------

static void bring_tables(struct locals *locals)
{
    bool six = false;
    for (size_t i = 0; i < locals->count; i++)
        six |= locals->list[i]->six;
    tables_want(locals->tables, local_table(locals->list, locals->count));
    if (six)
        tables_want(locals->tables, local_table6(locals->list, locals->count));
    else if (locals->six)
        tables_drop(locals->tables, "ip6", LOCAL_TABLE);
    locals->six = six;
}

static int bridge_make6(struct locals *locals, const struct local *local, struct err *err)
{
    char name[80];
    int rc = 0;
    if (!local->six)
        return 0;
    (void)str_format(name, sizeof name, "net/ipv6/conf/%s/disable_ipv6", local->link);
    rc = netns_sysctl(NETNS_OWN, name, "0", err);
    if (rc == 0)
        rc = netns_sysctl(NETNS_OWN, "net/ipv6/conf/all/forwarding", "1", err);
    for (size_t i = 0; i < local->more_count && rc == 0; i++) {
        struct layout_addr addr = {.ip = local->more[i].gateway};
        struct err why = ERR_INIT;
        (void)str_copy(addr.link, sizeof addr.link, local->link);
        rc = netlink_addr_add(locals->host, &addr, &why);
        rc = rc == -ERR_ALREADY_EXISTS ? 0 : rc ? err_copy(err, &why) : 0;
    }
    return rc;
}

static int bridge_make(struct locals *locals, const struct local *local, struct err *err)
{
    // Its own, not the lowest of its ports', which changes as they come and go.
    uint8_t mac[MAC_BYTES];
    mac_of_ip(&local->gateway, mac);
    const struct netlink_link link = {.end = {.name = local->link,
                                              .netns_fd = NETLINK_NETNS_OWN,
                                              .mtu = local->mtu,
                                              .mac = mac,
                                              .up = true},
                                      .kind = LAYOUT_BRIDGE};
    struct layout_addr addr = {.ip = local->gateway};
    struct err why = ERR_INIT;
    (void)str_copy(addr.link, sizeof addr.link, local->link);
    int rc = netlink_link_add(locals->host, &link, &why);
    if (rc == -ERR_ALREADY_EXISTS) {
        err_clear(&why);
        rc = netlink_link_up(locals->host, local->link, true, &why);
    }
    if (rc == 0)
        rc = netlink_addr_add(locals->host, &addr, &why);
    if (rc == -ERR_ALREADY_EXISTS)
        rc = 0;
    if (rc == 0)
        rc = bridge_make6(locals, local, &why);
    if (rc)
        return err_copy(err, &why);
    ports_bridge(locals->ports, local->link);
    return 0;
}

// The networks that the host and other local networks have.
static int taken_list(struct locals *locals, struct ipnet **out, size_t *count, struct err *err)
{
    struct layout host;
    layout_init(&host);
    int rc = netlink_dump(locals->host, &host, err);
    struct ipnet *taken =
        mem_alloc_array(host.addrs_count + host.routes_count + locals->count, sizeof *taken);
    size_t at = 0;
    for (size_t i = 0; i < host.addrs_count; i++)
        taken[at++] = ipnet_base(&host.addrs[i].ip);
    for (size_t i = 0; i < host.routes_count; i++)
        taken[at++] = host.routes[i].to;
    for (size_t i = 0; i < locals->count; i++)
        if (locals->list[i]->driver == LOCAL_BRIDGE)
            taken[at++] = locals->list[i]->subnet;
    layout_fini(&host);
    *out = taken;
    *count = at;
    return rc;
}

static int network_make(struct locals *locals, struct local *local, struct err *err)
{
    struct ipnet *taken = NULL;
    size_t count = 0;
    if (local->driver == LOCAL_CONFIG)
        return 0;
    int rc = taken_list(locals, &taken, &count, err);
    if (rc == 0)
        rc = local_choose(local, taken, count, err);
    free(taken);
    if (rc)
        return rc;
    if (local->driver == LOCAL_BRIDGE)
        return bridge_make(locals, local, err);
    if (netlink_link_index(locals->host, local->link) == 0)
        return err_set(err, ERR_NOT_FOUND, "the parent interface %s was not found", local->link);
    return 0;
}

static void list_add(struct locals *locals, struct local *local)
{
    locals->list = (struct local **)mem_realloc((void *)locals->list,
                                                (locals->count + 1) * sizeof(struct local *));
    locals->list[locals->count++] = local;
}

// ---- networks -----------------------------------------------------------------------------------

static bool is_built_in(const char *name)
{
    return str_equal(name, LOCAL_DEFAULT) || str_equal(name, "host") || str_equal(name, "none");
}

static int create(struct locals *locals, const json_t *body, char id[LOCAL_ID_BYTES],
                  struct err *err)
{
    uint8_t random[(LOCAL_ID_BYTES - 1) / 2];
    entropy_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)str_format(id + 2 * i, 3, "%02x", random[i]);
    struct local *local = local_of_body(body, id, wall_now(), err);
    if (!local)
        return -(int)err->code;
    int rc = network_make(locals, local, err);
    if (rc == 0)
        rc = record_write(locals, local, err);
    if (rc) {
        if (local->driver == LOCAL_BRIDGE && rc != -ERR_ALREADY_EXISTS)
            (void)netlink_link_del(locals->host, local->link, NULL);
        local_free(local);
        return rc;
    }
    list_add(locals, local);
    if (locals->feed)
        local_names_network(locals->feed, local);
    bring_tables(locals);
    return 0;
}

// The body with what the configuration network has, which its own words may not touch; NULL with an
// error. The caller's to decref.
static json_t *configured(const struct locals *locals, const json_t *body, const char *from,
                          struct err *err)
{
    static const char *const own[] = {"Options", "Labels"};
    const struct local *config = find(locals, from);
    if (!config) {
        err_set(err, ERR_NOT_FOUND, "network %s not found", from);
        return NULL;
    }
    if (config->driver != LOCAL_CONFIG) {
        err_set(err, ERR_PERMISSION_DENIED, "the network %s is not a configuration-only network",
                from);
        return NULL;
    }
    const json_t *ipam = json_object_get(body, "IPAM");
    bool says = json_array_size(json_object_get(ipam, "Config")) > 0 ||
                json_object_size(json_object_get(ipam, "Options")) > 0 ||
                json_is_true(json_object_get(body, "EnableIPv6")) ||
                json_is_true(json_object_get(body, "Internal"));
    for (size_t i = 0; i < COUNT_OF(own); i++)
        says |= json_object_size(json_object_get(body, own[i])) > 0;
    if (says) {
        err_set(err, ERR_PERMISSION_DENIED,
                "user supplied configurations are not supported if the network depends on a "
                "configuration network");
        return NULL;
    }
    struct buf text;
    struct json_out out;
    buf_init(&text, RECORD_BYTES_MAX);
    json_out_init(&out, &text);
    local_write(config, false, &out);
    json_t *shown = json_out_done(&out) ? json_parse(text.data, text.len, err) : NULL;
    buf_fini(&text);
    json_t *whole = json_copy((json_t *)(uintptr_t)body);
    json_object_set(whole, "IPAM", json_object_get(shown, "IPAM"));
    json_object_set(whole, "Internal", json_object_get(shown, "Internal"));
    for (size_t i = 0; i < COUNT_OF(own); i++)
        json_object_set(whole, own[i], json_object_get(shown, own[i]));
    json_decref(shown);
    return whole;
}

int locals_create(struct locals *locals, const json_t *body, char id[LOCAL_ID_BYTES],
                  struct err *err)
{
    const char *from =
        json_string_value(json_object_get(json_object_get(body, "ConfigFrom"), "Network"));
    const char *name = str_or(json_string_value(json_object_get(body, "Name")), "");
    const char *option = json_string_value(
        json_object_get(json_object_get(body, "Options"), "com.docker.network.bridge.name"));
    struct err why = ERR_INIT;
    if (is_built_in(name))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "operation is not permitted on predefined %s network", name);
    for (size_t i = 0; i < locals->count; i++)
        if (str_equal(locals->list[i]->name, name))
            return err_set(err, ERR_ALREADY_EXISTS, "network with name %s already exists", name);
    if (locals->count >= LOCAL_NETWORKS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d local networks",
                       LOCAL_NETWORKS_MAX);
    // A bridge that somebody else made is not taken over: removal would take it away.
    if (option && netlink_link_index(locals->host, option) != 0)
        return err_set(err, ERR_ALREADY_EXISTS, "interface %s already exists", option);
    json_t *whole = str_empty(from) ? NULL : configured(locals, body, from, &why);
    int rc = !str_empty(from) && !whole ? -(int)why.code
                                        : create(locals, whole ? whole : body, id, &why);
    json_decref(whole);
    return rc ? err_copy(err, &why) : 0;
}

// The name of a network that was made from this one; NULL when there is none.
static const char *made_from(const struct locals *locals, const struct local *config)
{
    for (size_t i = 0; i < locals->count; i++)
        if (str_equal(locals->list[i]->from, config->name))
            return locals->list[i]->name;
    return NULL;
}

int locals_remove(struct locals *locals, const char *name, struct err *err)
{
    char path[2 * LAYOUT_PLACE_BYTES];
    struct local *local = find(locals, name);
    if (is_built_in(name) || (local && is_built_in(local->name)))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "%s is a pre-defined network and cannot be removed", name);
    if (!local)
        return err_set(err, ERR_NOT_FOUND, "network %s not found", name);
    if (local->endpoints_count > 0)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "error while removing network: network %s id %s has active endpoints",
                       local->name, local->id);
    if (local->driver == LOCAL_CONFIG && made_from(locals, local))
        return err_set(err, ERR_PERMISSION_DENIED, "configuration network \"%s\" is in use",
                       local->name);
    record_path(locals, local, path);
    int rc = file_remove(path, err);
    if (rc)
        return rc;
    if (locals->feed)
        local_names_network_gone(locals->feed, local);
    if (local->driver == LOCAL_BRIDGE) {
        ports_bridge_gone(locals->ports, local->link);
        (void)netlink_link_del(locals->host, local->link, NULL);
    }
    for (size_t i = 0; i < locals->count; i++) {
        if (locals->list[i] != local)
            continue;
        memmove((void *)&locals->list[i], (void *)&locals->list[i + 1],
                (locals->count - i - 1) * sizeof(struct local *));
        locals->count--;
        break;
    }
    local_free(local);
    bring_tables(locals);
    return 0;
}

static void write_fixed(const char *name, struct json_out *out)
{
    // Two networks that are none: their ids are made of their names.
    char id[LOCAL_ID_BYTES], text[WALL_TEXT_BYTES];
    sandbox_endpoint_id(name, "network", "", id);
    json_out_object(out, NULL);
    json_out_str(out, "Name", name);
    json_out_str(out, "Id", id);
    json_out_str(out, "Created", wall_format((struct wall){0}, text));
    json_out_str(out, "Scope", "local");
    json_out_str(out, "Driver", str_equal(name, "none") ? "null" : name);
    json_out_bool(out, "EnableIPv6", false);
    json_out_object(out, "IPAM");
    json_out_str(out, "Driver", "default");
    json_out_null(out, "Options");
    json_out_array(out, "Config");
    json_out_end(out);
    json_out_end(out);
    json_out_bool(out, "Internal", false);
    json_out_bool(out, "Attachable", false);
    json_out_bool(out, "Ingress", false);
    json_out_object(out, "ConfigFrom");
    json_out_str(out, "Network", "");
    json_out_end(out);
    json_out_bool(out, "ConfigOnly", false);
    static const char *const empty[] = {"Containers", "Options", "Labels"};
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        json_out_object(out, empty[i]);
        json_out_end(out);
    }
    json_out_end(out);
}

void locals_write(const struct locals *locals, struct json_out *out)
{
    for (size_t i = 0; i < locals->count; i++)
        local_write(locals->list[i], false, out);
    write_fixed("host", out);
    write_fixed("none", out);
}

bool locals_write_one(const struct locals *locals, const char *name, struct json_out *out)
{
    static const char *const fixed[] = {"host", "none"};
    const struct local *local = find(locals, name);
    if (local) {
        local_write(local, true, out);
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        char id[LOCAL_ID_BYTES];
        sandbox_endpoint_id(fixed[i], "network", "", id);
        if (!str_equal(name, fixed[i]) && !(strlen(name) >= 3 && str_starts(id, name)))
            continue;
        write_fixed(fixed[i], out);
        return true;
    }
    return false;
}

// ---- containers ---------------------------------------------------------------------------------

static void place_of(const struct locals *locals, const char *container,
                     char out[LAYOUT_PLACE_BYTES])
{
    (void)str_format(out, LAYOUT_PLACE_BYTES, "%s/l-%.12s", locals->netns_dir, container);
}

// Host ends of pairs, made of the endpoint's id.
static void port_name(const struct local_endpoint *endpoint, char out[LAYOUT_NAME_BYTES])
{
    (void)str_format(out, LAYOUT_NAME_BYTES, "skepl%.9s", endpoint->id);
}

static size_t networks_of(const struct locals *locals, const char *container)
{
    size_t count = 0;
    for (size_t i = 0; i < locals->count; i++)
        count += local_find(locals->list[i], container) != NULL;
    return count;
}

static void choose_eth(const struct locals *locals, const struct locals_wish *wish,
                       struct local_endpoint *endpoint)
{
    for (unsigned n = 0;; n++) {
        bool used = false;
        (void)str_format(endpoint->eth, sizeof endpoint->eth, "eth%u", n);
        for (size_t i = 0; i < locals->count; i++) {
            const struct local_endpoint *other = local_find(locals->list[i], wish->container);
            used |= other && other != endpoint && str_equal(other->eth, endpoint->eth);
        }
        for (size_t i = 0; i < wish->taken_count; i++)
            used |= str_equal(wish->taken[i], endpoint->eth);
        if (!used)
            return;
    }
}

static int link_make(struct locals *locals, const struct local *local,
                     const struct local_endpoint *endpoint, int netns_fd, struct err *err)
{
    char port[LAYOUT_NAME_BYTES];
    port_name(endpoint, port);
    struct netlink_end inside = {
        .name = endpoint->eth, .netns_fd = netns_fd, .mtu = local->mtu, .mac = endpoint->mac};
    struct netlink_link link = {
        .kind = LAYOUT_MACVLAN, .end = inside, .parent = local->link, .mode = local->mode};
    if (local->driver == LOCAL_IPVLAN) {
        link.kind = LAYOUT_IPVLAN;
        link.end.mac = NULL; // it has its parent's
    }
    if (local->driver == LOCAL_BRIDGE) {
        link = (struct netlink_link){
            .kind = LAYOUT_VETH,
            .end = {.name = port,
                    .netns_fd = NETLINK_NETNS_OWN,
                    .mtu = local->mtu,
                    .master_index = netlink_link_index(locals->host, local->link),
                    .up = true},
            .peer = inside};
    }
    int rc = netlink_link_add(locals->host, &link, err);
    if (rc == 0 && local->driver == LOCAL_BRIDGE && !local->icc)
        rc = netlink_port_set(locals->host, port, false, true, err);
    return rc;
}

static int inside_make(const struct local_endpoint *endpoint, int netns_fd, struct err *err)
{
    struct netlink *netlink = NULL;
    struct layout_addr addr = {.ip = endpoint->ip};
    struct layout_addr addr6 = {.ip = endpoint->ip6};
    char name[80];
    (void)str_copy(addr.link, sizeof addr.link, endpoint->eth);
    (void)str_copy(addr6.link, sizeof addr6.link, endpoint->eth);
    (void)str_format(name, sizeof name, "net/ipv6/conf/%s/disable_ipv6", endpoint->eth);
    int rc = netlink_open(netns_fd, &netlink, err);
    if (rc == 0)
        rc = netlink_link_up(netlink, "lo", true, err);
    if (rc == 0)
        rc = netlink_addr_add(netlink, &addr, err);
    if (rc == 0 && ipnet_is_set(&endpoint->ip6))
        rc = netns_sysctl(netns_fd, name, "0", err);
    if (rc == 0 && ipnet_is_set(&endpoint->ip6))
        rc = netlink_addr_add(netlink, &addr6, err);
    if (rc == 0)
        rc = netlink_link_up(netlink, endpoint->eth, true, err);
    netlink_close(netlink);
    return rc;
}

// The same for IPv6, which fewer networks may have.
static const struct local *leader6(const struct locals *locals, const char *container)
{
    const struct local *leader = NULL;
    for (size_t i = 0; i < locals->count; i++) {
        const struct local *local = locals->list[i];
        const struct local_endpoint *endpoint = local_find(local, container);
        if (!local->internal && endpoint && ipnet_is_set(&endpoint->ip6) &&
            (!leader || strcmp(local->name, leader->name) < 0))
            leader = local;
    }
    return leader;
}

static int lead_by(struct netlink *netlink, const struct local *leader, const char *container,
                   bool six, struct err *err)
{
    const struct local_endpoint *endpoint = local_find(leader, container);
    struct ipnet gateway = local_gateway(leader, six ? &endpoint->ip6 : &endpoint->ip);
    struct layout_route route = {.to = {.size = six ? 16 : 4}, .gateway = ipnet_host(&gateway)};
    (void)str_copy(route.link, sizeof route.link, endpoint->eth);
    return netlink_route_put(netlink, &route, err);
}

const struct local *locals_leader(const struct locals *locals, const char *container)
{
    const struct local *leader = NULL;
    for (size_t i = 0; i < locals->count; i++) {
        const struct local *local = locals->list[i];
        if (!local->internal && local_find(local, container) &&
            (!leader || strcmp(local->name, leader->name) < 0))
            leader = local;
    }
    return leader;
}

// The default routes, which went with their interface if they led elsewhere before.
static int lead(const struct locals *locals, const char *container, struct err *err)
{
    const struct local *leader = locals_leader(locals, container);
    const struct local *six = leader6(locals, container);
    struct netlink *netlink = NULL;
    char path[LAYOUT_PLACE_BYTES];
    int fd = -1;
    if (map_get_str(&locals->shared, container) == LED)
        leader = NULL;
    if (!leader && !six)
        return 0;
    place_of(locals, container, path);
    int rc = netns_open(path, &fd, err);
    if (rc == 0)
        rc = netlink_open(fd, &netlink, err);
    if (rc == 0 && leader)
        rc = lead_by(netlink, leader, container, false, err);
    if (rc == 0 && six)
        rc = lead_by(netlink, six, container, true, err);
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
    return rc;
}

// Names are a help: without them the container is on its networks all the same.
static void serve_names(struct locals *locals, const char *container)
{
    char path[LAYOUT_PLACE_BYTES];
    struct buf resolv;
    struct err err = ERR_INIT;
    if (!locals->feed || map_has_str(&locals->shared, container))
        return;
    buf_init(&resolv, RESOLV_BYTES_MAX);
    if (file_read(RESOLV_CONF, &resolv, NULL))
        buf_clear(&resolv);
    place_of(locals, container, path);
    if (local_names_serve(locals->feed, container, path, locals->list, locals->count,
                          buf_cstr(&resolv), &err))
        log_warn("names are not answered", "container=%s err=\"%s\"", container, err.message);
    buf_fini(&resolv);
}

static int publish(struct locals *locals, const struct locals_wish *wish,
                   struct local_endpoint *endpoint, struct err *err)
{
    if (wish->ports_count == 0)
        return 0;
    for (size_t i = 0; i < wish->ports_count; i++)
        wish->ports[i].address = ipnet_u32(&endpoint->ip);
    int rc = ports_set(locals->ports, endpoint->id, wish->ports, wish->ports_count, err);
    if (rc)
        return rc;
    free(endpoint->ports);
    endpoint->ports = mem_dup(wish->ports, wish->ports_count * sizeof *wish->ports);
    endpoint->ports_count = wish->ports_count;
    return 0;
}

// A macvlan's or ipvlan's only end is in the container's namespace.
static void inside_remove(const struct locals *locals, const struct local_endpoint *endpoint)
{
    char path[LAYOUT_PLACE_BYTES];
    struct netlink *netlink = NULL;
    int fd = -1;
    place_of(locals, endpoint->container, path);
    if (netns_open(path, &fd, NULL))
        return;
    if (netlink_open(fd, &netlink, NULL) == 0)
        (void)netlink_link_del(netlink, endpoint->eth, NULL);
    netlink_close(netlink);
    close(fd);
}

static void endpoint_gone(struct locals *locals, struct local *local, const char *container)
{
    char port[LAYOUT_NAME_BYTES];
    struct err err = ERR_INIT;
    const struct local_endpoint *endpoint = local_find(local, container);
    if (locals->feed)
        local_names_endpoint_gone(locals->feed, local, endpoint);
    ports_remove(locals->ports, endpoint->id);
    port_name(endpoint, port);
    // The container's end goes with it.
    if (local->driver == LOCAL_BRIDGE)
        (void)netlink_link_del(locals->host, port, NULL);
    else
        inside_remove(locals, endpoint);
    local_detach(local, container);
    if (record_write(locals, local, &err))
        log_warn("cannot record a network", "network=%s err=\"%s\"", local->name, err.message);
}

static int attach(struct locals *locals, struct local *local, const struct locals_wish *wish,
                  const char *path, struct err *err)
{
    bool made, first = networks_of(locals, wish->container) == 0 &&
                       !map_has_str(&locals->shared, wish->container);
    int fd = -1;
    struct local_endpoint *endpoint =
        local_attach(local, wish->container, wish->name, &wish->ip, wish->mac, err);
    if (!endpoint)
        return -(int)err->code;
    sandbox_endpoint_id(wish->container, local->id, "", endpoint->id);
    choose_eth(locals, wish, endpoint);
    int rc = local_attach6(local, endpoint, &wish->ip6, err);
    if (rc == 0)
        rc = netns_make(path, &made, err);
    if (rc == 0)
        rc = netns_open(path, &fd, err);
    if (rc == 0)
        rc = link_make(locals, local, endpoint, fd, err);
    if (rc == 0)
        rc = inside_make(endpoint, fd, err);
    if (rc == 0)
        rc = lead(locals, wish->container, err);
    if (rc == 0)
        rc = publish(locals, wish, endpoint, err);
    endpoint->names = wish->names ? json_deep_copy(wish->names) : NULL;
    if (rc == 0)
        rc = record_write(locals, local, err);
    if (rc == 0 && locals->feed)
        local_names_network(locals->feed, local);
    if (rc == 0 && local_names_are(local))
        serve_names(locals, wish->container);
    if (fd >= 0)
        close(fd);
    if (rc) {
        endpoint_gone(locals, local, wish->container);
        if (first)
            (void)netns_remove(path, NULL);
    }
    return rc;
}

int locals_attach(struct locals *locals, const struct locals_wish *wish,
                  char path[LAYOUT_PLACE_BYTES], struct err *err)
{
    struct err why = ERR_INIT;
    int fd = -1;
    struct local *local = find(locals, wish->network);
    if (!local)
        return err_set(err, ERR_NOT_FOUND, "network %s not found", wish->network);
    if (local->driver == LOCAL_CONFIG)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "container cannot be connected to configuration-only network %s",
                       local->name);
    if (strlen(wish->container) != LOCAL_ID_BYTES - 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "bad container id");
    place_of(locals, wish->container, path);
    if (local_find(local, wish->container)) {
        // A life before this one made it; it is as good as new if the namespace is still there.
        if (netns_open(path, &fd, NULL) == 0) {
            close(fd);
            return 0;
        }
        endpoint_gone(locals, local, wish->container);
    }
    return attach(locals, local, wish, path, &why) ? err_copy(err, &why) : 0;
}

void locals_detach(struct locals *locals, const char *container, const char *network)
{
    char path[LAYOUT_PLACE_BYTES];
    struct err err = ERR_INIT;
    const struct local *one = network ? find(locals, network) : NULL;
    for (size_t i = 0; i < locals->count; i++) {
        struct local *local = locals->list[i];
        if ((!network || local == one) && local_find(local, container))
            endpoint_gone(locals, local, container);
    }
    if (network) {
        serve_names(locals, container);
        if (lead(locals, container, &err))
            log_warn("a container lost its way out", "container=%s err=\"%s\"", container,
                     err.message);
        return;
    }
    bool shared = map_remove_str(&locals->shared, container) != NULL;
    if (locals->feed && !shared)
        (void)dns_feed_sandbox_remove(locals->feed, container);
    place_of(locals, container, path);
    if (netns_remove(path, &err))
        log_warn("cannot remove a container's namespace", "err=\"%s\"", err.message);
}

int locals_space(struct locals *locals, const char *container, char path[LAYOUT_PLACE_BYTES],
                 struct err *err)
{
    struct netlink *netlink = NULL;
    bool made;
    int fd = -1;
    place_of(locals, container, path);
    int rc = netns_make(path, &made, err);
    if (rc || !made)
        return rc;
    rc = netns_open(path, &fd, err);
    if (rc == 0)
        rc = netlink_open(fd, &netlink, err);
    if (rc == 0)
        rc = netlink_link_up(netlink, "lo", true, err);
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
    return rc;
}

void locals_share(struct locals *locals, const char *container, bool shared, bool led)
{
    struct err err = ERR_INIT;
    bool was = map_has_str(&locals->shared, container);
    if (shared)
        map_put_str(&locals->shared, container, led ? LED : SHARED);
    else
        map_remove_str(&locals->shared, container);
    if (was && !shared)
        serve_names(locals, container);
    if (!led && lead(locals, container, &err))
        log_warn("a container lost its way out", "container=%s err=\"%s\"", container, err.message);
}

size_t locals_eths(const struct locals *locals, const char *container, const char **out,
                   size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < locals->count && count < most; i++) {
        const struct local_endpoint *endpoint = local_find(locals->list[i], container);
        if (endpoint)
            out[count++] = endpoint->eth;
    }
    return count;
}

size_t locals_named(const struct locals *locals, const char *container, const char **out,
                    size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < locals->count && count < most; i++)
        if (local_names_are(locals->list[i]) && local_find(locals->list[i], container))
            out[count++] = locals->list[i]->id;
    return count;
}

bool locals_answers(const struct locals *locals, const char *container)
{
    for (size_t i = 0; i < locals->count && locals->feed; i++)
        if (local_names_are(locals->list[i]) && local_find(locals->list[i], container))
            return true;
    return false;
}

bool locals_busy(const struct locals *locals)
{
    return tables_busy(locals->tables) || ports_busy(locals->ports);
}

// ---- life ---------------------------------------------------------------------------------------

static void on_settled(void *owner, const struct err *err)
{
    (void)owner;
    if (err)
        log_warn("local networks are not as they should be", "err=\"%s\"", err->message);
}

static void on_repaired(void *owner, const char *table)
{
    (void)owner;
    log_warn("packet filter changed by others, repaired", "table=%s", table);
}

// Reads a record and makes its network again. What cannot be is logged, and left for the operator.
static void load(struct locals *locals, const char *name)
{
    char path[2 * LAYOUT_PLACE_BYTES];
    struct buf text;
    struct err err = ERR_INIT;
    if (!str_ends(name, ".json") || name[0] == '.' || locals->count >= LOCAL_NETWORKS_MAX)
        return;
    (void)str_format(path, sizeof path, "%s/%s", locals->dir, name);
    buf_init(&text, RECORD_BYTES_MAX);
    json_t *record =
        file_read(path, &text, &err) == 0 ? json_parse(text.data, text.len, &err) : NULL;
    buf_fini(&text);
    struct local *local = record ? local_of_record(record, &err) : NULL;
    json_decref(record);
    if (local && local->driver == LOCAL_BRIDGE && bridge_make(locals, local, &err)) {
        local_free(local);
        local = NULL;
    }
    if (!local) {
        log_warn("a local network is not there again", "record=%s err=\"%s\"", name, err.message);
        return;
    }
    list_add(locals, local);
    for (size_t i = 0; i < local->endpoints_count; i++) {
        struct local_endpoint *endpoint = &local->endpoints[i];
        if (endpoint->ports_count > 0 &&
            ports_set(locals->ports, endpoint->id, endpoint->ports, endpoint->ports_count, &err))
            log_warn("a container's ports are not published again", "container=%s err=\"%s\"",
                     endpoint->container, err.message);
    }
}

// The resolver has forgotten everything, and its sockets are gone.
static void load_names(struct locals *locals)
{
    for (size_t i = 0; i < locals->count && locals->feed; i++)
        local_names_network(locals->feed, locals->list[i]);
    for (size_t i = 0; i < locals->count && locals->feed; i++)
        for (size_t k = 0; k < locals->list[i]->endpoints_count; k++)
            if (local_names_are(locals->list[i]))
                serve_names(locals, locals->list[i]->endpoints[k].container);
}

static int load_all(struct locals *locals, struct err *err)
{
    DIR *dir = opendir(locals->dir);
    if (!dir)
        return err_set_errno(err, errno, "open %s", locals->dir);
    for (const struct dirent *it; (it = readdir(dir));)
        load(locals, it->d_name);
    closedir(dir);
    load_names(locals);
    if (find(locals, LOCAL_DEFAULT))
        return 0;
    char id[LOCAL_ID_BYTES];
    json_t *body = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "Name", LOCAL_DEFAULT, "Options",
        "com.docker.network.bridge.default_bridge", "true", "com.docker.network.bridge.enable_icc",
        "true", "com.docker.network.bridge.enable_ip_masquerade", "true",
        "com.docker.network.bridge.host_binding_ipv4", "0.0.0.0", "com.docker.network.bridge.name",
        LOCAL_DEFAULT_LINK, "com.docker.network.driver.mtu", "1500");
    CHECK(body);
    int rc = create(locals, body, id, err);
    json_decref(body);
    return rc;
}

static void free_now(struct locals *locals)
{
    for (size_t i = 0; i < locals->count; i++)
        local_free(locals->list[i]);
    free((void *)locals->list);
    map_fini(&locals->shared);
    netlink_close(locals->host);
    free(locals);
}

static void on_closed(void *owner)
{
    struct locals *locals = owner;
    void (*closed)(void *) = locals->closed;
    void *closed_owner = locals->closed_owner;
    free_now(locals);
    if (closed)
        closed(closed_owner);
}

void locals_close(struct locals *locals, void (*closed)(void *owner), void *owner)
{
    locals->closed = closed;
    locals->closed_owner = owner;
    tables_close(locals->tables, on_closed, locals);
}

int locals_open(const struct locals_config *config, struct locals **out, struct err *err)
{
    struct locals *locals = MEM_NEW(struct locals);
    locals->loop = config->loop;
    locals->feed = config->feed;
    locals->ports = config->ports;
    map_init(&locals->shared);
    struct tables_config tables = {.loop = config->loop,
                                   .netns_fd = NFT_NETNS_OWN,
                                   .watch = true,
                                   .settled = on_settled,
                                   .repaired = on_repaired};
    int rc = str_copy(locals->dir, sizeof locals->dir, config->dir) &&
                     str_copy(locals->netns_dir, sizeof locals->netns_dir, config->netns_dir)
                 ? 0
                 : err_set(err, ERR_INVALID_ARGUMENT, "a path is too long");
    if (rc == 0)
        rc = dir_make(locals->dir, 0700, err);
    if (rc == 0)
        rc = netns_folder(locals->netns_dir, err);
    if (rc == 0)
        rc = netlink_open(NETLINK_NETNS_OWN, &locals->host, err);
    if (rc) {
        free_now(locals);
        return rc;
    }
    locals->tables = tables_open(&tables, err);
    if (!locals->tables)
        rc = -(int)err->code;
    if (rc == 0)
        rc = load_all(locals, err);
    if (rc) {
        if (locals->tables)
            locals_close(locals, NULL, NULL);
        else
            free_now(locals);
        return rc;
    }
    bring_tables(locals);
    *out = locals;
    return 0;
}
