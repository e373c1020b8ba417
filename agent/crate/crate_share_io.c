// A crate's networks of the swarm: it is attached to them, in a namespace that it has to itself.
#include <stdlib.h>

#include "agent/crate/config.h"
#include "agent/crate/crate_net_priv_io.h"
#include "agent/net/locals_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define SHARE_BYTES (4u << 20)

bool crate_net_shared(const struct crate *crate)
{
    const char *networks[CRATE_NETWORKS_MAX];
    if (!crate_is_networked(crate) || !crate->crates->attachments ||
        !attachments_swarm(crate->crates->attachments))
        return false;
    size_t count = crate_net_names(crate, networks);
    for (size_t i = 0; i < count; i++)
        if (!crate_net_is_local(crate, networks[i]))
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
int crate_net_wish(const struct crate *crate, const char *network, struct arena *arena,
                   struct attachment_wish *out, struct err *err)
{
    const json_t *asked = config_of(crate->endpoints, network);
    const char *address = config_str(config_of(asked, "IPAMConfig"), "IPv4Address");
    uint8_t *mac = arena_alloc(arena, MAC_BYTES);
    struct ipnet ip, ip6;
    bool has_mac;
    CHECK(mac);
    int rc = crate_net_addresses(crate, asked, &ip, &ip6, mac, &has_mac, err);
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
    if (out->ports_count || crate_net_publishes(crate))
        return 0;
    struct ports_row *rows = mem_alloc_array(CRATE_PORTS_MAX, sizeof *rows);
    int rc = crate_net_ports(crate, rows, &out->ports_count, err);
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
    const char **taken = arena_alloc_array(arena, CRATE_NETWORKS_MAX, sizeof *taken);
    const char **also = arena_alloc_array(arena, CRATE_NETWORKS_MAX, sizeof *also);
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
    out->taken_count = locals_eths(locals, crate->id, taken, CRATE_NETWORKS_MAX);
    out->also_count = locals_named(locals, crate->id, also, CRATE_NETWORKS_MAX);
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
int crate_net_share(const struct crate *crate, struct err *err)
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
    const char *networks[CRATE_NETWORKS_MAX];
    struct attachment_wish wishes[CRATE_NETWORKS_MAX];
    size_t count = crate_net_names(crate, networks), shared = 0;
    int rc = crate_net_join_locals(crate, err);
    if (rc == 0)
        rc = crate_net_share(crate, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        if (!crate_net_is_local(crate, networks[i]))
            rc = crate_net_wish(crate, networks[i], &life->made, &wishes[shared++], err);
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
    const char *networks[CRATE_NETWORKS_MAX];
    struct err err = ERR_INIT;
    if (!crate || !crate_running(crate) || !crate_net_shared(crate))
        return false;
    size_t count = crate_net_names(crate, networks);
    for (size_t i = 0; i < count; i++) {
        if (crate_net_is_local(crate, networks[i]) ||
            (!str_equal(networks[i], network_name) && !str_starts(network_id, networks[i])))
            continue;
        if (crate_net_wish(crate, networks[i], &crate->life->made, wish, &err) ||
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
    const char *networks[CRATE_NETWORKS_MAX];
    size_t most = crate_is_networked(crate) ? crate_net_names(crate, networks) : 0;
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
void crate_net_note(struct crate *crate)
{
    struct crate_life *life = crate->life;
    const char *networks[CRATE_NETWORKS_MAX];
    size_t count = crate_net_names(crate, networks);
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
