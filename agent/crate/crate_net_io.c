// A crate's networks: those its configuration names, and those it was connected to. They are
// joined before its process is made, and left when it has ended, so that addresses and ports are
// taken only while it runs. Those of this node alone come at once (agent/net/locals_io.h); those of
// the swarm are attached to (agent/attachments_io.h), which takes a while. All are in one
// namespace.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/net/locals_io.h"
#include "agent/net/order.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define NETWORKS_MAX CRATE_NETWORKS_MAX
#define PORTS_MAX    4096
#define SHARE_BYTES  (4u << 20)

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

static int refuse_ipv6(struct err *err)
{
    return err_set(err, ERR_UNIMPLEMENTED, "ports are published on IPv4 addresses alone");
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
        return refuse_ipv6(err);
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
        size_t before = *count;
        for (size_t i = 0; i < json_array_size(bindings); i++)
            if (add_binding(key, json_array_get(bindings, i), rows, count, err))
                return -(int)err->code;
        if (json_array_size(bindings) > 0 && *count == before)
            return refuse_ipv6(err);
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
static int read_addresses(const struct crate *crate, const json_t *asked, struct ipnet *ip,
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

static int join(struct crate *crate, const char *network, struct ports_row *rows, size_t count,
                char path[LAYOUT_PLACE_BYTES], struct err *err)
{
    const struct attachments *attachments = crate->crates->attachments;
    const json_t *asked = config_of(crate->endpoints, network);
    const char *taken[NETWORKS_MAX];
    uint8_t mac[MAC_BYTES];
    bool has_mac;
    struct locals_wish wish = {.container = crate->id,
                               .name = crate->name,
                               .network = network,
                               .ports = rows,
                               .ports_count = count,
                               .taken = taken};
    int rc = read_addresses(crate, asked, &wish.ip, &wish.ip6, mac, &has_mac, err);
    if (rc)
        return rc;
    wish.mac = has_mac ? mac : NULL;
    if (attachments)
        wish.taken_count = attachments_eths(attachments, crate->id, taken, NETWORKS_MAX);
    json_t *names = names_of(crate, asked);
    wish.names = names;
    rc = locals_attach(crate->crates->locals, &wish, path, err);
    json_decref(names);
    return rc;
}

// ---- all of its networks ------------------------------------------------------------------------

// Its networks by the names it was made with: the one of its mode first. Returns how many; those
// past the limit were refused before.
static size_t networks_of(const struct crate *crate, const char *out[NETWORKS_MAX])
{
    const char *first = crate_network(crate), *other;
    json_t *settings;
    size_t count = 0;
    out[count++] = first;
    json_object_foreach(crate->endpoints, other, settings)
    {
        // The default network may go by either of its names.
        if (!str_equal(other, first) && !str_equal(other, "default") && count < NETWORKS_MAX)
            out[count++] = other;
    }
    return count;
}

static bool is_local(const struct crate *crate, const char *network)
{
    return locals_find(crate->crates->locals, network) != NULL;
}

// The local network that its ports are published by; NULL: the gateway bridge of its networks of
// the swarm.
static const char *port_network(const struct crate *crate, const char *const *networks,
                                size_t count)
{
    const struct local *best = NULL;
    if (is_local(crate, networks[0]))
        return networks[0];
    for (size_t i = 0; i < count; i++) {
        const struct local *local = locals_find(crate->crates->locals, networks[i]);
        if (local && !local->internal && local->driver == LOCAL_BRIDGE &&
            (!best || strcmp(local->name, best->name) < 0))
            best = local;
    }
    return best ? best->name : NULL;
}

static int join_locals(struct crate *crate, struct err *err)
{
    const char *networks[NETWORKS_MAX];
    char path[LAYOUT_PLACE_BYTES];
    size_t count = networks_of(crate, networks), ports = 0;
    const char *publisher = port_network(crate, networks, count);
    struct ports_row *rows = mem_alloc_array(PORTS_MAX, sizeof *rows);
    int rc = read_ports(crate, rows, &ports, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct local *local = locals_find(crate->crates->locals, networks[i]);
        bool publishes = publisher && local && str_equal(local->name, publisher);
        publishes |= str_equal(networks[i], publisher);
        // One that is nowhere says so; one that may be the swarm's is not joined here.
        if (local || !crate_net_shared(crate))
            rc =
                join(crate, networks[i], publishes ? rows : NULL, publishes ? ports : 0, path, err);
    }
    free(rows);
    if (rc)
        crate_net_leave(crate);
    return rc;
}

static bool is_published_locally(const struct crate *crate)
{
    const char *networks[NETWORKS_MAX];
    size_t count = networks_of(crate, networks);
    const struct local_endpoint *endpoint;
    for (size_t i = 0; i < count; i++) {
        (void)crate_local(crate, networks[i], &endpoint);
        if (endpoint && endpoint->ports_count)
            return true;
    }
    return false;
}

// ---- a network of the swarm ---------------------------------------------------------------------

bool crate_net_shared(const struct crate *crate)
{
    const char *networks[NETWORKS_MAX];
    if (!crate_is_networked(crate) || !crate->crates->attachments ||
        !attachments_swarm(crate->crates->attachments))
        return false;
    size_t count = networks_of(crate, networks);
    for (size_t i = 0; i < count; i++)
        if (!is_local(crate, networks[i]))
            return true;
    return false;
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
static int wish_of(const struct crate *crate, const char *network, struct arena *arena,
                   struct attachment_wish *out, struct err *err)
{
    const json_t *asked = config_of(crate->endpoints, network);
    const char *address = config_str(config_of(asked, "IPAMConfig"), "IPv4Address");
    uint8_t *mac = arena_alloc(arena, MAC_BYTES);
    struct ipnet ip, ip6;
    bool has_mac;
    CHECK(mac);
    int rc = read_addresses(crate, asked, &ip, &ip6, mac, &has_mac, err);
    if (rc == 0 && ipnet_is_set(&ip6))
        rc = err_set(err, ERR_UNIMPLEMENTED, "network %.60s: overlays carry no IPv6", network);
    if (rc)
        return rc;
    *out = (struct attachment_wish){.container = crate->id,
                                    .network = network,
                                    .address = str_empty(address) ? NULL : address,
                                    .mac = has_mac ? mac : NULL};
    out->aliases = texts_of(config_of(asked, "Aliases"), &out->aliases_count, arena);
    CHECK(!arena_overflowed(arena)); // requests are far smaller
    return 0;
}

// A container that outlived this daemon's life before keeps the ports that were chosen for it.
static void keep_chosen(const struct crate *crate, struct ports_row *rows, size_t count)
{
    if (!crate_running(crate) || json_array_size(crate->chosen) != count)
        return;
    for (size_t i = 0; i < count; i++) {
        json_int_t port = json_integer_value(json_array_get(crate->chosen, i));
        if ((rows[i].published && !rows[i].published_end) || port <= 0 || port > UINT16_MAX)
            continue;
        rows[i].published = (uint16_t)port;
        rows[i].published_end = 0;
    }
}

// Those that are published already keep the ports that were chosen.
static int frame_ports(const struct crate *crate, struct arena *arena, struct attachment_frame *out,
                       struct err *err)
{
    out->ports = attachments_ports(crate->crates->attachments, crate->id, &out->ports_count);
    if (out->ports_count || is_published_locally(crate))
        return 0;
    struct ports_row *rows = mem_alloc_array(PORTS_MAX, sizeof *rows);
    int rc = read_ports(crate, rows, &out->ports_count, err);
    if (rc == 0)
        keep_chosen(crate, rows, out->ports_count);
    if (rc == 0 && out->ports_count)
        out->ports = arena_memdup(arena, rows, out->ports_count * sizeof *rows);
    free(rows);
    return rc;
}

// What all its networks of the swarm have in common; its namespace is there afterwards.
static int frame_of(const struct crate *crate, struct arena *arena, struct attachment_frame *out,
                    struct err *err)
{
    struct locals *locals = crate->crates->locals;
    const json_t *options = config_of(crate->host, "DnsOptions");
    const char **taken = arena_alloc_array(arena, NETWORKS_MAX, sizeof *taken);
    const char **also = arena_alloc_array(arena, NETWORKS_MAX, sizeof *also);
    char *path = arena_alloc(arena, LAYOUT_PLACE_BYTES);
    struct buf resolv;
    CHECK(taken);
    CHECK(also);
    CHECK(path);
    *out = (struct attachment_frame){.container = crate->id,
                                     .name = crate->name,
                                     .hostname = config_str(crate->config, "Hostname"),
                                     .share = path,
                                     .taken = taken,
                                     .also = also};
    int rc = locals_space(locals, crate->id, path, err);
    if (rc == 0)
        rc = frame_ports(crate, arena, out, err);
    if (rc)
        return rc;
    out->taken_count = locals_eths(locals, crate->id, taken, NETWORKS_MAX);
    out->also_count = locals_named(locals, crate->id, also, NETWORKS_MAX);
    // Ports that the gateway bridge publishes are answered through it.
    out->led = locals_leader(locals, crate->id) && !out->ports_count;
    out->servers = texts_of(config_of(crate->host, "Dns"), &out->servers_count, arena);
    out->search = texts_of(config_of(crate->host, "DnsSearch"), &out->search_count, arena);
    for (size_t i = 0; i < json_array_size(options); i++)
        out->ndots |=
            str_starts(str_or(json_string_value(json_array_get(options, i)), ""), "ndots:");
    containers_resolv(crate->crates->containers, &resolv);
    out->resolv = arena_strdup(arena, buf_cstr(&resolv));
    buf_fini(&resolv);
    CHECK(!arena_overflowed(arena)); // requests are far smaller
    return 0;
}

// Says to both sides what they share, as it is now.
static int share(const struct crate *crate, struct err *err)
{
    struct arena arena;
    struct attachment_frame frame;
    arena_init(&arena, SHARE_BYTES);
    int rc = frame_of(crate, &arena, &frame, err);
    if (rc == 0) {
        locals_share(crate->crates->locals, crate->id, true, !frame.led);
        attachments_frame(crate->crates->attachments, &frame);
    }
    arena_fini(&arena);
    return rc;
}

static void attached_all(struct crate *crate)
{
    struct crate_life *life = crate->life;
    struct err err = life->refusal;
    if (err.code)
        crate_net_leave(crate);
    life->made_attachment(life->attach_owner, err.code ? &err : NULL);
}

static void attached_one(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    struct crate_life *life = crate->life;
    CHECK(life->attaching > 0);
    if (err && !life->refusal.code) {
        life->refusal = *err;
        attachments_detach(crate->crates->attachments, crate->id, NULL, NULL, NULL);
    }
    if (--life->attaching == 0)
        attached_all(crate);
}

static void refused_run(struct loop_later *later)
{
    attached_all(CONTAINER_OF(later, struct crate_life, refused)->crate);
}

static int attach_each(struct crate *crate, struct err *err)
{
    struct crate_life *life = crate->life;
    const char *networks[NETWORKS_MAX];
    struct attachment_wish wishes[NETWORKS_MAX];
    size_t count = networks_of(crate, networks), shared = 0;
    int rc = join_locals(crate, err);
    if (rc == 0)
        rc = share(crate, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        if (!is_local(crate, networks[i]))
            rc = wish_of(crate, networks[i], &life->made, &wishes[shared++], err);
    if (rc)
        return rc;
    life->attaching = shared;
    for (size_t i = 0; i < shared; i++)
        attachments_attach(crate->crates->attachments, &wishes[i], attached_one, crate);
    return 0;
}

void crate_net_attach(struct crate *crate, attachments_made *made, void *owner)
{
    struct crate_life *life = crate->life;
    arena_reset(&life->made);
    err_clear(&life->refusal);
    life->made_attachment = made;
    life->attach_owner = owner;
    if (attach_each(crate, &life->refusal) == 0)
        return;
    loop_later_init(&life->refused, crate->crates->loop, refused_run);
    loop_later_ask(&life->refused);
}

bool crate_net_describe(void *owner, const char *container, const char *network_id,
                        const char *network_name, struct attachment_wish *wish,
                        struct attachment_frame *frame)
{
    const struct crates *crates = owner;
    const struct crate *crate = map_get_str(&crates->by_id, container);
    const char *networks[NETWORKS_MAX];
    struct err err = ERR_INIT;
    if (!crate || !crate_running(crate) || !crate_net_shared(crate))
        return false;
    size_t count = networks_of(crate, networks);
    for (size_t i = 0; i < count; i++) {
        if (is_local(crate, networks[i]) ||
            (!str_equal(networks[i], network_name) && !str_starts(network_id, networks[i])))
            continue;
        if (wish_of(crate, networks[i], &crate->life->made, wish, &err) ||
            frame_of(crate, &crate->life->made, frame, &err)) {
            log_warn("a container's network was not taken over", "container=%s err=\"%s\"",
                     container, err.message);
            return false;
        }
        locals_share(crates->locals, container, true, !frame->led);
        return true;
    }
    return false;
}

bool crate_attachment(const struct crate *crate, const char *network, struct attachment_view *out)
{
    return crate->crates->attachments && !crate->task &&
           attachments_find(crate->crates->attachments, crate->id, network, out);
}

const struct ports_row *crate_ports(const struct crate *crate, size_t *count)
{
    const char *networks[NETWORKS_MAX];
    size_t most = crate_is_networked(crate) ? networks_of(crate, networks) : 0;
    const struct local_endpoint *endpoint;
    *count = 0;
    if (crate->task)
        return crates_nets(crate->crates)
                   ? nets_sandbox_ports(crates_nets(crate->crates), crate->id, count)
                   : NULL;
    for (size_t i = 0; i < most; i++) {
        (void)crate_local(crate, networks[i], &endpoint);
        if (!endpoint || !endpoint->ports_count)
            continue;
        *count = endpoint->ports_count;
        return endpoint->ports;
    }
    return most && crate->crates->attachments
               ? attachments_ports(crate->crates->attachments, crate->id, count)
               : NULL;
}

// A line of its hosts file for each network.
static void note_addresses(struct crate *crate)
{
    struct crate_life *life = crate->life;
    const char *networks[NETWORKS_MAX];
    size_t count = networks_of(crate, networks);
    life->addresses_count = 0;
    for (size_t i = 0; i < count && life->addresses_count < COUNT_OF(life->addresses); i++) {
        const struct local_endpoint *endpoint;
        struct attachment_view view;
        char text[IPNET_TEXT_BYTES];
        (void)crate_local(crate, networks[i], &endpoint);
        if (endpoint)
            (void)ipnet_format_ip(&endpoint->ip, text);
        else if (crate_attachment(crate, networks[i], &view))
            (void)ipnet_format_ip(&view.ip, text);
        else
            continue;
        life->addresses[life->addresses_count++] = arena_strdup(&life->made, text);
        if (endpoint && ipnet_is_set(&endpoint->ip6) &&
            life->addresses_count < COUNT_OF(life->addresses))
            life->addresses[life->addresses_count++] =
                arena_strdup(&life->made, ipnet_format_ip(&endpoint->ip6, text));
    }
}

int crate_net_join(struct crate *crate, struct err *err)
{
    struct crate_life *life = crate->life;
    char path[LAYOUT_PLACE_BYTES];
    if (!crate_is_networked(crate))
        return 0;
    bool shared =
        crate->crates->attachments && attachments_any(crate->crates->attachments, crate->id);
    int rc = shared ? 0 : join_locals(crate, err);
    if (rc == 0)
        rc = locals_space(crate->crates->locals, crate->id, path, err);
    if (rc)
        return rc;
    life->netns = arena_strdup(&life->made, path);
    life->answers = shared || locals_answers(crate->crates->locals, crate->id);
    note_addresses(crate);
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

// ---- while it is there --------------------------------------------------------------------------

// A change of networks that is to be answered; the crate may be gone by then.
struct change {
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    char *network;
    struct loop_later later;
    struct err err;
    crate_done *done;
    void *owner;
};

static struct crate *change_crate(const struct change *change)
{
    return map_get_str(&change->crates->by_id, change->id);
}

static void change_end(struct change *change)
{
    change->crates->pending--;
    change->done(change->owner, change->err.code ? &change->err : NULL);
    free(change->network);
    free(change);
}

static void change_run(struct loop_later *later)
{
    change_end(CONTAINER_OF(later, struct change, later));
}

static struct change *change_new(struct crate *crate, const char *network, crate_done *done,
                                 void *owner)
{
    struct change *change = MEM_NEW(struct change);
    change->crates = crate->crates;
    str_copy(change->id, sizeof change->id, crate->id);
    change->network = str_dup(network);
    change->done = done;
    change->owner = owner;
    loop_later_init(&change->later, crate->crates->loop, change_run);
    crate->crates->pending++;
    return change;
}

static int check_mode(const struct crate *crate, struct err *err)
{
    const char *mode = crate_network(crate);
    if (crate->task)
        return err_set(err, ERR_UNIMPLEMENTED, "container %s belongs to a task of the swarm",
                       crate->name);
    if (str_equal(mode, "host") || str_equal(mode, "none") || str_starts(mode, "container:"))
        return err_set(err, ERR_PERMISSION_DENIED,
                       "container %s has network mode %s and cannot be on other networks",
                       crate->name, mode);
    return 0;
}

static bool may_share(const struct crate *crate)
{
    return crate->crates->attachments && attachments_swarm(crate->crates->attachments);
}

// Local networks came or went: those of the swarm have to know.
static int share_again(const struct crate *crate, struct err *err)
{
    return crate->crates->attachments && attachments_any(crate->crates->attachments, crate->id)
               ? share(crate, err)
               : 0;
}

// The lines of its hosts file for a network that it has just got, or is about to lose.
static void tell_hosts(const struct crate *crate, const char *network, bool there)
{
    const struct local_endpoint *endpoint;
    struct attachment_view view;
    if (!crate_running(crate))
        return;
    (void)crate_local(crate, network, &endpoint);
    if (endpoint) {
        crate_hosts_change(crate, &endpoint->ip, there);
        crate_hosts_change(crate, &endpoint->ip6, there);
    } else if (crate_attachment(crate, network, &view)) {
        crate_hosts_change(crate, &view.ip, there);
    }
}

// Whether names are answered inside, which the first network that has names brings, and the last
// takes along.
static void tell_resolv(const struct crate *crate)
{
    const struct crates *crates = crate->crates;
    if (crate_running(crate))
        crate_resolv_change(
            crate, (crates->attachments && attachments_any(crates->attachments, crate->id)) ||
                       locals_answers(crates->locals, crate->id));
}

static void connected(void *owner, const struct err *err)
{
    struct change *change = owner;
    struct crate *crate = change_crate(change);
    if (err)
        change->err = *err;
    if (crate && !err)
        crate_save(crate, &change->err);
    if (crate && change->err.code) {
        json_object_del(crate->endpoints, change->network);
        if (!attachments_any(crate->crates->attachments, crate->id))
            locals_share(crate->crates->locals, crate->id, false, false);
    } else if (crate) {
        tell_hosts(crate, change->network, true);
        tell_resolv(crate);
    }
    change_end(change);
}

// True when the attachment's end will answer.
static bool connect_shared(struct crate *crate, struct change *change)
{
    struct crate_life *life = crate->life;
    struct attachment_wish wish;
    if (!crate_running(crate)) {
        crate_save(crate, &change->err);
        return false;
    }
    if (share(crate, &change->err) ||
        wish_of(crate, change->network, &life->made, &wish, &change->err))
        return false;
    attachments_attach(crate->crates->attachments, &wish, connected, change);
    return true;
}

static int connect_local(struct crate *crate, const char *network, struct err *err)
{
    char path[LAYOUT_PLACE_BYTES];
    int rc = crate_running(crate) ? join(crate, network, NULL, 0, path, err) : 0;
    if (rc == 0)
        rc = share_again(crate, err);
    if (rc == 0)
        rc = crate_save(crate, err);
    if (rc == 0) {
        tell_hosts(crate, network, true);
        tell_resolv(crate);
    }
    return rc;
}

// Whether it is there, or will be with the next start.
static bool is_on(const struct crate *crate, const char *network)
{
    const struct local_endpoint *endpoint;
    struct attachment_view view;
    (void)crate_local(crate, network, &endpoint);
    if (endpoint || crate_attachment(crate, network, &view))
        return true;
    return json_object_get(crate->endpoints, network) &&
           !(str_equal(network, crate_network(crate)) && crate_running(crate));
}

void crate_connect(struct crate *crate, const char *network, const json_t *settings,
                   crate_done *done, void *owner)
{
    struct change *change = change_new(crate, network, done, owner);
    const char *networks[NETWORKS_MAX];
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    const char *name = local ? local->name : network;
    struct err why = ERR_INIT;
    if (check_mode(crate, &why) == 0 && !local && !may_share(crate))
        err_set(&why, ERR_NOT_FOUND, "network %s not found", network);
    if (!why.code && is_on(crate, name))
        err_set(&why, ERR_PERMISSION_DENIED, "endpoint with name %s already exists in network %s",
                crate->name, name);
    if (!why.code && networks_of(crate, networks) >= NETWORKS_MAX)
        err_set(&why, ERR_RESOURCE_EXHAUSTED, "more than %d networks", NETWORKS_MAX);
    if (!why.code) {
        json_object_set_new(crate->endpoints, name,
                            json_is_object(settings) ? json_deep_copy(settings) : json_object());
        if (!local && connect_shared(crate, change))
            return;
        if (local)
            (void)connect_local(crate, name, &why);
        else
            why = change->err;
        if (why.code)
            json_object_del(crate->endpoints, name);
    }
    change->err = why;
    loop_later_ask(&change->later);
}

static void disconnected(void *owner)
{
    struct change *change = owner;
    const struct crate *crate = change_crate(change);
    if (crate && crate_running(crate) && !attachments_any(crate->crates->attachments, crate->id))
        locals_share(crate->crates->locals, crate->id, false, false);
    if (crate)
        tell_resolv(crate);
    change_end(change);
}

// Its own name for a network, which may be asked for by another.
static const char *own_name(const struct crate *crate, const char *network)
{
    struct attachment_view view;
    const struct local *local =
        crate->crates->locals ? locals_find(crate->crates->locals, network) : NULL;
    if (local)
        return local->name;
    return crate_attachment(crate, network, &view) ? view.network : network;
}

void crate_disconnect(struct crate *crate, const char *network, crate_done *done, void *owner)
{
    struct change *change = change_new(crate, network, done, owner);
    struct attachment_view view;
    const char *name = own_name(crate, network);
    bool local = crate->crates->locals && is_local(crate, name);
    if (check_mode(crate, &change->err) == 0 && !local && !may_share(crate))
        err_set(&change->err, ERR_NOT_FOUND, "network %s not found", network);
    else if (!change->err.code && !is_on(crate, name))
        err_set(&change->err, ERR_INTERNAL, "container %s is not connected to network %s",
                crate->id, name);
    if (change->err.code) {
        loop_later_ask(&change->later);
        return;
    }
    bool attached = !local && crate_attachment(crate, name, &view);
    tell_hosts(crate, name, false);
    if (attached)
        attachments_detach(crate->crates->attachments, crate->id, name, disconnected, change);
    if (local)
        locals_detach(crate->crates->locals, crate->id, name);
    if (!str_equal(name, crate_network(crate)))
        json_object_del(crate->endpoints, name);
    if (local)
        share_again(crate, &change->err);
    if (local)
        tell_resolv(crate);
    crate_save(crate, &change->err);
    if (!attached)
        loop_later_ask(&change->later);
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
