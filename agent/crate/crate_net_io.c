// A crate's networks: those its configuration names, and those it was connected to. They are
// joined before its process is made, and left when it has ended, so that addresses and ports are
// taken only while it runs. Those of this node alone come at once (agent/net/locals_io.h); those of
// the swarm are attached to (agent/attachments_io.h), which takes a while. All are in one
// namespace.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crate_net_priv_io.h"
#include "agent/net/locals_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

const char *crate_network(const struct crate *crate)
{
    const char *mode = config_str(crate->host, "NetworkMode");
    return str_empty(mode) || str_equal(mode, "default") ? LOCAL_DEFAULT : mode;
}

bool crate_is_networked(const struct crate *crate)
{
    const char *mode = crate_network(crate);
    return crate->crates->locals && !crate->task && !str_equal(mode, "host") &&
           !str_equal(mode, "none") && !str_starts(mode, "container:");
}

// ---- ports --------------------------------------------------------------------------------------

// "80/tcp"; without a protocol it is TCP.
static bool read_target(const char *text, struct ports_row *out)
{
    static const struct {
        const char *name;
        uint8_t number;
    } protocols[] = {{"tcp", 6}, {"udp", 17}, {"sctp", 132}};
    char port[8];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    uint64_t target;
    if (length >= sizeof port)
        return false;
    memcpy(port, text, length);
    port[length] = '\0';
    if (!str_to_u64(port, UINT16_MAX, &target) || target == 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(protocols); i++) {
        if (!str_equal(slash ? slash + 1 : "tcp", protocols[i].name))
            continue;
        *out = (struct ports_row){.protocol = protocols[i].number, .target = (uint16_t)target};
        return true;
    }
    return false;
}

// "", "8080" or "8000-8010".
static bool read_published(const char *text, struct ports_row *row)
{
    const char *rest = str_or(text, "0");
    struct str_part part;
    uint64_t ports[2] = {0, 0};
    for (size_t i = 0; rest && i < 2; i++) {
        char digits[8];
        if (!str_split(&rest, '-', &part) || part.len >= sizeof digits)
            return false;
        memcpy(digits, part.at, part.len);
        digits[part.len] = '\0';
        if (!str_to_u64(digits, UINT16_MAX, &ports[i]))
            return false;
    }
    row->published = (uint16_t)ports[0];
    row->published_end = (uint16_t)ports[1];
    return !rest && (ports[1] == 0 || ports[1] >= ports[0]);
}

// Where no address is given, all are meant, those of IPv6, too.
static int add_binding(const char *key, const json_t *binding, struct ports_row *rows,
                       size_t *count, struct err *err)
{
    struct ports_row row;
    struct ipnet ip;
    const char *host = config_str(binding, "HostIp");
    if (!read_target(key, &row))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid port specification: \"%.40s\"", key);
    if (!read_published(config_str(binding, "HostPort"), &row))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid port specification: \"%.40s\"",
                       config_str(binding, "HostPort"));
    if (!str_empty(host) && !ipnet_parse(host, &ip))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid IP address %.60s", host);
    row.host = str_empty(host) ? 0 : ipnet_u32(&ip);
    row.ip6 = str_empty(host);
    row.only6 = !str_empty(host) && ip.size == 16;
    if (row.only6)
        memcpy(row.host6, ip.bytes, sizeof row.host6);
    if (*count == CRATE_PORTS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d published ports",
                       CRATE_PORTS_MAX);
    rows[(*count)++] = row;
    return 0;
}

int crate_net_ports(const struct crate *crate, struct ports_row *rows, size_t *count,
                    struct err *err)
{
    const char *key;
    json_t *bindings;
    json_object_foreach((json_t *)config_of(crate->host, "PortBindings"), key, bindings)
    {
        for (size_t i = 0; i < json_array_size(bindings); i++)
            if (add_binding(key, json_array_get(bindings, i), rows, count, err))
                return -(int)err->code;
    }
    if (!config_bool(crate->host, "PublishAllPorts"))
        return 0;
    json_object_foreach((json_t *)config_of(crate->config, "ExposedPorts"), key, bindings)
    {
        if (json_array_size(json_object_get(config_of(crate->host, "PortBindings"), key)) == 0 &&
            add_binding(key, NULL, rows, count, err))
            return -(int)err->code;
    }
    return 0;
}

// ---- joining ------------------------------------------------------------------------------------

static void copy_list(json_t *to, const char *key, const json_t *list)
{
    json_object_set_new(to, key, json_is_array(list) ? json_deep_copy(list) : json_array());
}

// What the resolver is to know of the container on one network.
static json_t *names_of(const struct crate *crate, const json_t *asked)
{
    json_t *names = json_object();
    const json_t *options = config_of(crate->host, "DnsOptions");
    bool ndots = false;
    for (size_t i = 0; i < json_array_size(options); i++)
        ndots |= str_starts(str_or(json_string_value(json_array_get(options, i)), ""), "ndots:");
    copy_list(names, "Aliases", config_of(asked, "Aliases"));
    copy_list(names, "Servers", config_of(crate->host, "Dns"));
    copy_list(names, "Search", config_of(crate->host, "DnsSearch"));
    json_object_set_new(names, "Ndots", json_boolean(ndots));
    return names;
}

// A settings object's address and MAC address, as far as they are given.
int crate_net_addresses(const struct crate *crate, const json_t *asked, struct ipnet *ip,
                        struct ipnet *ip6, uint8_t mac[MAC_BYTES], bool *has_mac, struct err *err)
{
    const char *six = config_str(config_of(asked, "IPAMConfig"), "IPv6Address");
    const char *address = config_str(config_of(asked, "IPAMConfig"), "IPv4Address");
    const char *mac_text =
        str_or(config_str(asked, "MacAddress"), config_str(crate->config, "MacAddress"));
    *ip = *ip6 = (struct ipnet){0};
    *has_mac = !str_empty(mac_text);
    if (!str_empty(address) && (!ipnet_parse(address, ip) || ip->size != 4))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid IPv4 address: %.60s", address);
    if (!str_empty(six) && (!ipnet_parse(six, ip6) || ip6->size != 16))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid IPv6 address: %.60s", six);
    if (*has_mac && (!mac_parse(mac_text, mac) || !mac_is_unicast(mac)))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid MAC address: %.60s", mac_text);
    return 0;
}

int crate_net_join_one(struct crate *crate, const char *network, struct ports_row *rows,
                       size_t count, char path[LAYOUT_PLACE_BYTES], struct err *err)
{
    const struct attachments *attachments = crate->crates->attachments;
    const json_t *asked = config_of(crate->endpoints, network);
    const char *taken[CRATE_NETWORKS_MAX];
    uint8_t mac[MAC_BYTES];
    bool has_mac;
    struct locals_wish wish = {.container = crate->id,
                               .name = crate->name,
                               .network = network,
                               .ports = rows,
                               .ports_count = count,
                               .taken = taken};
    int rc = crate_net_addresses(crate, asked, &wish.ip, &wish.ip6, mac, &has_mac, err);
    if (rc)
        return rc;
    wish.mac = has_mac ? mac : NULL;
    if (attachments)
        wish.taken_count = attachments_eths(attachments, crate->id, taken, CRATE_NETWORKS_MAX);
    json_t *names = names_of(crate, asked);
    wish.names = names;
    rc = locals_attach(crate->crates->locals, &wish, path, err);
    json_decref(names);
    return rc;
}

// ---- all of its networks ------------------------------------------------------------------------

// Its networks by the names it was made with: the one of its mode first. Returns how many; those
// past the limit were refused before.
size_t crate_net_names(const struct crate *crate, const char *out[CRATE_NETWORKS_MAX])
{
    const char *first = crate_network(crate), *other;
    json_t *settings;
    size_t count = 0;
    out[count++] = first;
    json_object_foreach(crate->endpoints, other, settings)
    {
        // The default network may go by either of its names.
        if (!str_equal(other, first) && !str_equal(other, "default") && count < CRATE_NETWORKS_MAX)
            out[count++] = other;
    }
    return count;
}

bool crate_net_is_local(const struct crate *crate, const char *network)
{
    return locals_find(crate->crates->locals, network) != NULL;
}

// The local network that its ports are published by; NULL: the gateway bridge of its networks of
// the swarm.
static const char *port_network(const struct crate *crate, const char *const *networks,
                                size_t count)
{
    const struct local *best = NULL;
    if (crate_net_is_local(crate, networks[0]))
        return networks[0];
    for (size_t i = 0; i < count; i++) {
        const struct local *local = locals_find(crate->crates->locals, networks[i]);
        if (local && !local->internal && local->driver == LOCAL_BRIDGE &&
            (!best || strcmp(local->name, best->name) < 0))
            best = local;
    }
    return best ? best->name : NULL;
}

int crate_net_join_locals(struct crate *crate, struct err *err)
{
    const char *networks[CRATE_NETWORKS_MAX];
    char path[LAYOUT_PLACE_BYTES];
    size_t count = crate_net_names(crate, networks), ports = 0;
    const char *publisher = port_network(crate, networks, count);
    struct ports_row *rows = mem_alloc_array(CRATE_PORTS_MAX, sizeof *rows);
    int rc = crate_net_ports(crate, rows, &ports, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct local *local = locals_find(crate->crates->locals, networks[i]);
        bool publishes = publisher && local && str_equal(local->name, publisher);
        publishes |= str_equal(networks[i], publisher);
        // One that is nowhere says so; one that may be the swarm's is not joined here.
        if (local || !crate_net_shared(crate))
            rc = crate_net_join_one(crate, networks[i], publishes ? rows : NULL,
                                    publishes ? ports : 0, path, err);
    }
    free(rows);
    if (rc)
        crate_net_leave(crate);
    return rc;
}

bool crate_net_publishes(const struct crate *crate)
{
    const char *networks[CRATE_NETWORKS_MAX];
    size_t count = crate_net_names(crate, networks);
    const struct local_endpoint *endpoint;
    for (size_t i = 0; i < count; i++) {
        (void)crate_local(crate, networks[i], &endpoint);
        if (endpoint && endpoint->ports_count)
            return true;
    }
    return false;
}

bool crate_net_is_shared(const struct crate *crate)
{
    const struct attachments *attachments = crate->crates->attachments;
    return attachments && attachments_any(attachments, crate->id);
}

int crate_net_join(struct crate *crate, struct err *err)
{
    struct crate_life *life = crate->life;
    char path[LAYOUT_PLACE_BYTES];
    if (!crate_is_networked(crate))
        return 0;
    bool shared = crate_net_is_shared(crate);
    int rc = shared ? 0 : crate_net_join_locals(crate, err);
    if (rc == 0)
        rc = locals_space(crate->crates->locals, crate->id, path, err);
    if (rc)
        return rc;
    life->netns = arena_strdup(&life->made, path);
    life->answers = shared || locals_answers(crate->crates->locals, crate->id);
    crate_net_note(crate);
    return 0;
}

void crate_net_leave(struct crate *crate)
{
    crate->life->netns = NULL;
    if (crate->crates->attachments && !crate->task)
        attachments_detach(crate->crates->attachments, crate->id, NULL, NULL, NULL);
    if (crate->crates->locals && !crate->task)
        locals_detach(crate->crates->locals, crate->id, NULL);
}

// ---- what is shown ------------------------------------------------------------------------------

const struct local *crate_local(const struct crate *crate, const char *network,
                                const struct local_endpoint **endpoint)
{
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    *endpoint = local ? local_find(local, crate->id) : NULL;
    return local;
}
