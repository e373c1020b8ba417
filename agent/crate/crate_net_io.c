// A crate's networks: those of this node alone that its configuration names. They are joined before
// its process is made, and left when it has ended, so that addresses and ports are taken only while
// it runs. One network of the swarm is attached to instead (agent/attachments_io.h), which takes a
// while. Namespaces of others are not made here.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/net/locals_io.h"
#include "agent/net/order.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define NETWORKS_MAX     32
#define PORTS_MAX        4096
#define RESOLV_BYTES_MAX (64u << 10)

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
    if (!str_empty(host) && ip.size != 4) {
        // "::" comes with 0.0.0.0 from some clients; containers here have no IPv6.
        if (str_equal(host, "::"))
            return 0;
        return err_set(err, ERR_UNIMPLEMENTED, "ports are published on IPv4 addresses alone");
    }
    row.host = str_empty(host) ? 0 : ipnet_u32(&ip);
    if (*count == PORTS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d published ports", PORTS_MAX);
    rows[(*count)++] = row;
    return 0;
}

static int read_ports(const struct crate *crate, struct ports_row *rows, size_t *count,
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

static int join(struct crate *crate, const char *network, struct ports_row *rows, size_t count,
                char path[LAYOUT_PLACE_BYTES], struct err *err)
{
    const json_t *asked = config_of(crate->endpoints, network);
    const char *address = config_str(config_of(asked, "IPAMConfig"), "IPv4Address");
    const char *mac_text =
        str_or(config_str(asked, "MacAddress"), config_str(crate->config, "MacAddress"));
    uint8_t mac[MAC_BYTES];
    struct locals_wish wish = {.container = crate->id,
                               .name = crate->name,
                               .network = network,
                               .ports = rows,
                               .ports_count = count};
    if (!str_empty(address) && !ipnet_parse(address, &wish.ip))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid IPv4 address: %.60s", address);
    if (!str_empty(mac_text)) {
        if (!mac_parse(mac_text, mac) || !mac_is_unicast(mac))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid MAC address: %.60s", mac_text);
        wish.mac = mac;
    }
    json_t *names = names_of(crate, asked);
    wish.names = names;
    int rc = locals_attach(crate->crates->locals, &wish, path, err);
    json_decref(names);
    return rc;
}

// ---- a network of the swarm ---------------------------------------------------------------------

bool crate_net_shared(const struct crate *crate)
{
    return crate_is_networked(crate) && crate->crates->attachments &&
           !locals_find(crate->crates->locals, crate_network(crate)) &&
           attachments_swarm(crate->crates->attachments);
}

static const char *const *texts_of(const json_t *list, size_t *count, struct arena *arena)
{
    const char **texts = arena_alloc_array(arena, json_array_size(list) + 1, sizeof *texts);
    *count = 0;
    for (size_t i = 0; texts && i < json_array_size(list); i++)
        if (json_string_value(json_array_get(list, i)))
            texts[(*count)++] = json_string_value(json_array_get(list, i));
    return texts;
}

// The wish's memory is the arena's and the crate's.
static int wish_of(const struct crate *crate, struct arena *arena, struct attachment_wish *out,
                   struct err *err)
{
    const json_t *asked = config_of(crate->endpoints, crate_network(crate));
    const json_t *options = config_of(crate->host, "DnsOptions");
    const char *address = config_str(config_of(asked, "IPAMConfig"), "IPv4Address");
    const char *mac_text =
        str_or(config_str(asked, "MacAddress"), config_str(crate->config, "MacAddress"));
    uint8_t *mac = arena_alloc(arena, MAC_BYTES);
    struct ipnet ip;
    struct buf resolv;
    CHECK(mac);
    *out = (struct attachment_wish){.container = crate->id,
                                    .name = crate->name,
                                    .hostname = config_str(crate->config, "Hostname"),
                                    .network = crate_network(crate),
                                    .address = str_empty(address) ? NULL : address};
    if (out->address && (!ipnet_parse(address, &ip) || ip.size != 4))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid IPv4 address: %.60s", address);
    if (!str_empty(mac_text)) {
        if (!mac_parse(mac_text, mac) || !mac_is_unicast(mac))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid MAC address: %.60s", mac_text);
        out->mac = mac;
    }
    out->aliases = texts_of(config_of(asked, "Aliases"), &out->aliases_count, arena);
    out->servers = texts_of(config_of(crate->host, "Dns"), &out->servers_count, arena);
    out->search = texts_of(config_of(crate->host, "DnsSearch"), &out->search_count, arena);
    for (size_t i = 0; i < json_array_size(options); i++)
        out->ndots |=
            str_starts(str_or(json_string_value(json_array_get(options, i)), ""), "ndots:");
    buf_init(&resolv, RESOLV_BYTES_MAX);
    if (file_read(crate->crates->resolv_conf, &resolv, NULL))
        buf_clear(&resolv);
    out->resolv = arena_strdup(arena, buf_cstr(&resolv));
    buf_fini(&resolv);
    CHECK(!arena_overflowed(arena)); // requests are far smaller
    return 0;
}

static int check_shared(const struct crate *crate, struct err *err)
{
    const char *first = crate_network(crate), *other;
    json_t *settings;
    json_object_foreach(crate->endpoints, other, settings)
    {
        if (!str_equal(other, first) && !str_equal(other, "default"))
            return err_set(err, ERR_UNIMPLEMENTED,
                           "a container on a network of the swarm (%.60s) cannot be on others "
                           "(%.60s) on this node",
                           first, other);
    }
    if (json_object_size(config_of(crate->host, "PortBindings")) > 0)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "ports of a container on a network of the swarm (%.60s) cannot be published "
                       "on this node",
                       first);
    return 0;
}

static void refused_run(struct loop_later *later)
{
    struct crate_life *life = CONTAINER_OF(later, struct crate_life, refused);
    life->made_attachment(life->attach_owner, &life->refusal);
}

void crate_net_attach(struct crate *crate, attachments_made *made, void *owner)
{
    struct crate_life *life = crate->life;
    struct attachment_wish wish;
    arena_reset(&life->made);
    err_clear(&life->refusal);
    if (check_shared(crate, &life->refusal) == 0 &&
        wish_of(crate, &life->made, &wish, &life->refusal) == 0) {
        attachments_attach(crate->crates->attachments, &wish, made, owner);
        return;
    }
    life->made_attachment = made;
    life->attach_owner = owner;
    loop_later_init(&life->refused, crate->crates->loop, refused_run);
    loop_later_ask(&life->refused);
}

bool crate_net_describe(void *owner, const char *container, struct attachment_wish *out)
{
    const struct crates *crates = owner;
    const struct crate *crate = map_get_str(&crates->by_id, container);
    return crate && crate_running(crate) && crate_net_shared(crate) &&
           wish_of(crate, &crate->life->made, out, NULL) == 0;
}

bool crate_attachment(const struct crate *crate, const char *network, struct attachment_view *out)
{
    return crate->crates->attachments && !crate->task &&
           attachments_find(crate->crates->attachments, crate->id, out) &&
           (!network || str_equal(network, out->network) || str_equal(network, out->network_id) ||
            str_equal(network, out->network_name));
}

static bool join_shared(struct crate *crate)
{
    struct crate_life *life = crate->life;
    struct attachment_view view;
    char text[IPNET_TEXT_BYTES];
    if (!crate_attachment(crate, NULL, &view) || !view.netns)
        return false;
    life->netns = arena_strdup(&life->made, view.netns);
    life->answers = true;
    life->addresses_count = 0;
    life->addresses[life->addresses_count++] =
        arena_strdup(&life->made, ipnet_format_ip(&view.ip, text));
    return true;
}

int crate_net_join(struct crate *crate, struct err *err)
{
    struct crate_life *life = crate->life;
    char path[LAYOUT_PLACE_BYTES];
    size_t count = 0;
    const char *first = crate_network(crate), *other;
    json_t *settings;
    if (!crate_is_networked(crate) || join_shared(crate))
        return 0;
    struct ports_row *rows = mem_alloc_array(PORTS_MAX, sizeof *rows);
    int rc = read_ports(crate, rows, &count, err);
    if (rc == 0)
        rc = join(crate, first, rows, count, path, err);
    free(rows);
    json_object_foreach(crate->endpoints, other, settings)
    {
        // The default network may go by either of its names.
        if (rc == 0 && !str_equal(other, first) && !str_equal(other, "default"))
            rc = join(crate, other, NULL, 0, path, err);
    }
    if (rc) {
        crate_net_leave(crate);
        return rc;
    }
    life->netns = arena_strdup(&life->made, path);
    life->addresses_count = 0;
    life->answers = locals_answers(crate->crates->locals, crate->id);
    const struct local *local = locals_find(crate->crates->locals, first);
    const struct local_endpoint *endpoint = local ? local_find(local, crate->id) : NULL;
    CHECK(endpoint);
    char text[IPNET_TEXT_BYTES];
    life->addresses[life->addresses_count++] =
        arena_strdup(&life->made, ipnet_format_ip(&endpoint->ip, text));
    return 0;
}

void crate_net_leave(struct crate *crate)
{
    crate->life->netns = NULL;
    if (crate->crates->locals && !crate->task)
        locals_detach(crate->crates->locals, crate->id, NULL);
    if (crate->crates->attachments && !crate->task)
        attachments_detach(crate->crates->attachments, crate->id);
}

// ---- while it is there --------------------------------------------------------------------------

static const struct local *connectable(const struct crate *crate, const char *network,
                                       struct err *err)
{
    const char *mode = crate_network(crate);
    if (crate->task) {
        err_set(err, ERR_UNIMPLEMENTED, "container %s belongs to a task of the swarm", crate->name);
        return NULL;
    }
    if (str_equal(mode, "host") || str_equal(mode, "none") || str_starts(mode, "container:")) {
        err_set(err, ERR_PERMISSION_DENIED,
                "container %s has network mode %s and cannot be on other networks", crate->name,
                mode);
        return NULL;
    }
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    if (local)
        return local;
    if (crate->crates->attachments && attachments_swarm(crate->crates->attachments))
        err_set(err, ERR_NOT_FOUND,
                "network %s not found on this node, and a network of the swarm has to be the only "
                "one of a container, from its creation on (--network)",
                network);
    else
        err_set(err, ERR_NOT_FOUND, "network %s not found", network);
    return NULL;
}

int crate_connect(struct crate *crate, const char *network, const json_t *settings, struct err *err)
{
    char path[LAYOUT_PLACE_BYTES];
    const struct local_endpoint *endpoint;
    const struct local *local = connectable(crate, network, err);
    if (!local)
        return -(int)err->code;
    if (crate_net_shared(crate))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "container %s is on a network of the swarm, which has to be its only one on "
                       "this node",
                       crate->name);
    (void)crate_local(crate, local->name, &endpoint);
    bool first = str_equal(local->name, crate_network(crate));
    if (endpoint || (json_object_get(crate->endpoints, local->name) && !first))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "endpoint with name %s already exists in network %s", crate->name,
                       local->name);
    json_object_set_new(crate->endpoints, local->name,
                        json_is_object(settings) ? json_deep_copy(settings) : json_object());
    struct err why = ERR_INIT;
    int rc = crate_running(crate) ? join(crate, local->name, NULL, 0, path, &why) : 0;
    if (rc == 0)
        rc = crate_save(crate, &why);
    if (rc)
        json_object_del(crate->endpoints, local->name);
    return rc ? err_copy(err, &why) : 0;
}

int crate_disconnect(struct crate *crate, const char *network, struct err *err)
{
    const struct local_endpoint *endpoint;
    struct attachment_view attached;
    if (crate_attachment(crate, network, &attached)) {
        attachments_detach(crate->crates->attachments, crate->id);
        return 0;
    }
    const struct local *local = connectable(crate, network, err);
    if (!local)
        return -(int)err->code;
    (void)crate_local(crate, local->name, &endpoint);
    bool first = str_equal(local->name, crate_network(crate));
    if (!endpoint && (first || !json_object_get(crate->endpoints, local->name)))
        return err_set(err, ERR_PERMISSION_DENIED, "container %s is not connected to network %s",
                       crate->id, local->name);
    locals_detach(crate->crates->locals, crate->id, local->name);
    if (!first)
        json_object_del(crate->endpoints, local->name);
    return crate_save(crate, err);
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
