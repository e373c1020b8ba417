#include "agent/net/locals_io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/local_names_io.h"
#include "agent/net/locals_priv_io.h"
#include "agent/net/netns_io.h"
#include "agent/net/sandbox.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RECORD_BYTES_MAX (4u << 20)
#define DEFAULT_MTU      1500u

static const struct local_defaults no_defaults;

void locals_listen(struct locals *locals, net_told *told, void *owner)
{
    locals->told = told;
    locals->told_owner = owner;
}

void locals_tell(const struct locals *locals, const char *action, const struct local *local,
                 const char *container)
{
    const struct net_event event = {action, local->id, local->name,
                                    local_driver_name(local->driver), container};
    if (locals->told)
        locals->told(locals->told_owner, &event);
}

// ---- finding ------------------------------------------------------------------------------------

struct local *locals_lookup(const struct locals *locals, const char *name)
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
    return locals_lookup(locals, name);
}

// ---- records ------------------------------------------------------------------------------------

static void record_path(const struct locals *locals, const struct local *local,
                        char out[2 * LAYOUT_PLACE_BYTES])
{
    (void)str_format(out, 2 * LAYOUT_PLACE_BYTES, "%s/%s.json", locals->dir, local->id);
}

int locals_record(const struct locals *locals, const struct local *local, struct err *err)
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
        rc = local_choose(local, locals->defaults, taken, count, err);
    free(taken);
    if (rc)
        return rc;
    if (local->driver == LOCAL_BRIDGE)
        return bridge_make(locals, local, err);
    if (str_equal(local->link, "lo"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "loopback interface is not a valid %s parent link",
                       local_driver_name(local->driver));
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
        rc = locals_record(locals, local, err);
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
    locals_tell(locals, "create", local, NULL);
    return 0;
}

// The body with what the configuration network has, which its own words may not touch; NULL with an
// error. The caller's to decref.
static json_t *configured(const struct locals *locals, const json_t *body, const char *from,
                          struct err *err)
{
    static const char *const own[] = {"Options", "Labels"};
    const struct local *config = locals_lookup(locals, from);
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

// Takes it away, with its record and its bridge. Nobody is on it.
static int discard(struct locals *locals, struct local *local, struct err *err)
{
    char path[2 * LAYOUT_PLACE_BYTES];
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
    locals_tell(locals, "destroy", local, NULL);
    local_free(local);
    bring_tables(locals);
    return 0;
}

int locals_remove(struct locals *locals, const char *name, struct err *err)
{
    struct local *local = locals_lookup(locals, name);
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
    return discard(locals, local, err);
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
                locals_serve_names(locals, locals->list[i]->endpoints[k].container);
}

// Whether the default bridge is what the operator wants; all is well where nothing is said.
static bool default_fits(const struct local *local, const struct local_defaults *wanted)
{
    struct ipnet base = ipnet_base(&wanted->bridge);
    return (!ipnet_is_set(&wanted->bridge) ||
            (ipnet_compare(&local->gateway, &wanted->bridge) == 0 &&
             ipnet_compare(&local->subnet, &base) == 0)) &&
           local->mtu == (wanted->mtu ? wanted->mtu : DEFAULT_MTU);
}

// The default bridge, made when it is missing, and anew when other words were said of it since.
static int make_default(struct locals *locals, struct err *err)
{
    const struct local_defaults *wanted = locals->defaults;
    struct local *known = locals_lookup(locals, LOCAL_DEFAULT);
    char id[LOCAL_ID_BYTES], mtu[16], subnet[IPNET_TEXT_BYTES], gateway[IPNET_TEXT_BYTES];
    if (known && (default_fits(known, wanted) || known->endpoints_count)) {
        if (!default_fits(known, wanted))
            log_warn("the default bridge stays as it is until no container is on it at a start",
                     "network=%s", LOCAL_DEFAULT);
        return 0;
    }
    int rc = known ? discard(locals, known, err) : 0;
    if (rc)
        return rc;
    str_format(mtu, sizeof mtu, "%u", wanted->mtu ? wanted->mtu : DEFAULT_MTU);
    json_t *body = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "Name", LOCAL_DEFAULT, "Options",
        "com.docker.network.bridge.default_bridge", "true", "com.docker.network.bridge.enable_icc",
        "true", "com.docker.network.bridge.enable_ip_masquerade", "true",
        "com.docker.network.bridge.host_binding_ipv4", "0.0.0.0", "com.docker.network.bridge.name",
        LOCAL_DEFAULT_LINK, "com.docker.network.driver.mtu", mtu);
    CHECK(body);
    if (ipnet_is_set(&wanted->bridge)) {
        const struct ipnet base = ipnet_base(&wanted->bridge);
        json_object_set_new(body, "IPAM",
                            json_pack("{s:[{s:s, s:s}]}", "Config", "Subnet",
                                      ipnet_format(&base, subnet), "Gateway",
                                      ipnet_format_ip(&wanted->bridge, gateway)));
    }
    rc = create(locals, body, id, err);
    json_decref(body);
    return rc;
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
    return make_default(locals, err);
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
    locals->defaults = config->defaults ? config->defaults : &no_defaults;
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
