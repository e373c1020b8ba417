// Containers on local networks: their interfaces and namespaces.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/local_names_io.h"
#include "agent/net/locals_priv_io.h"
#include "agent/net/netns_io.h"
#include "agent/net/sandbox.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RESOLV_BYTES_MAX (64u << 10)
#define RESOLV_CONF      "/etc/resolv.conf"

char locals_shared[] = "shared", locals_led[] = "led";

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
    if (map_get_str(&locals->shared, container) == locals_led)
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
void locals_serve_names(struct locals *locals, const char *container)
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
    if (rc) // in the words that scripts look for
        return err_wrap(err, "driver failed programming external connectivity on endpoint %s (%s)",
                        wish->name, endpoint->id);
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
    locals_tell(locals, "disconnect", local, container);
    local_detach(local, container);
    if (locals_record(locals, local, &err))
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
        rc = locals_record(locals, local, err);
    if (rc == 0 && locals->feed)
        local_names_network(locals->feed, local);
    if (rc == 0 && local_names_are(local))
        locals_serve_names(locals, wish->container);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        locals_tell(locals, "connect", local, wish->container);
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
    struct local *local = locals_lookup(locals, wish->network);
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
    const struct local *one = network ? locals_lookup(locals, network) : NULL;
    for (size_t i = 0; i < locals->count; i++) {
        struct local *local = locals->list[i];
        if ((!network || local == one) && local_find(local, container))
            endpoint_gone(locals, local, container);
    }
    if (network) {
        locals_serve_names(locals, container);
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
        map_put_str(&locals->shared, container, led ? locals_led : locals_shared);
    else
        map_remove_str(&locals->shared, container);
    if (was && !shared)
        locals_serve_names(locals, container);
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
