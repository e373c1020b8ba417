// The swarm's word to this node's networks: gossip begins and ends, sessions with managers say
// which addresses it has, and the ingress sandbox follows.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// ---- the ingress sandbox -----------------------------------------------------------------------

static void on_ingress_made(void *owner, const char *path, const struct err *err)
{
    (void)owner;
    (void)path;
    if (err && err->code != ERR_CANCELLED)
        log_warn("no ingress sandbox", "err=\"%s\"", err->message);
}

static void ingress_go_on(struct nets *nets)
{
    struct net *ingress = NULL;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        if (net->overlay.ingress && ipnet_is_set(&net->lb))
            ingress = net;
    }
    struct box *box = map_get_str(&nets->boxes, NETS_INGRESS_BOX);
    if (box && box->state == BOX_REMOVING)
        return; // once more when it is gone
    if (box && (!ingress || strcmp(box->order->networks[0].overlay.id, ingress->overlay.id) != 0 ||
                ipnet_compare(&box->order->networks[0].ip, &ingress->lb) != 0)) {
        nets_sandbox_remove(nets, NETS_INGRESS_BOX, NULL, NULL);
        return;
    }
    if (!box && !ingress)
        nets_keep_no_more(nets, NETS_INGRESS_BOX);
    if (box || !ingress)
        return;
    struct err err = ERR_INIT;
    struct order_network network = {.overlay = ingress->overlay, .ip = ingress->lb};
    mac_of_ip(&network.ip, network.mac);
    struct order order = {.id = NETS_INGRESS_BOX,
                          .name = NETS_INGRESS_BOX,
                          .networks = &network,
                          .networks_count = 1};
    if (nets_sandbox_make(nets, &order, true, on_ingress_made, NULL, &err))
        log_warn("no ingress sandbox", "err=\"%s\"", err.message);
}

// ---- the session -------------------------------------------------------------------------------

static void take_attachment(struct nets *nets, const Swarm__NetworkAttachment *attachment)
{
    struct overlay overlay;
    struct ipnet ip = {0};
    struct err err = ERR_INIT;
    if (!attachment || !attachment->network || !overlay_is(attachment->network))
        return;
    if (overlay_parse(attachment->network, &overlay, &err)) {
        log_warn("this node's network cannot be used", "err=\"%s\"", err.message);
        return;
    }
    const struct overlay_subnet *subnet = NULL;
    for (size_t i = 0; i < attachment->n_addresses && !subnet; i++)
        if (ipnet_parse(attachment->addresses[i], &ip))
            subnet = overlay_subnet_of(&overlay, &ip);
    struct net *net = nets_net_use(nets, &overlay);
    if (!subnet)
        return;
    ip.prefix = subnet->subnet.prefix;
    net->lb = ip;
    net->stale = true;
}

static void take_node(struct nets *nets, const Swarm__Node *node)
{
    if (!node)
        return;
    nets_keep_node(nets, node);
    MAP_EACH (entry, &nets->nets)
        ((struct net *)entry->value)->lb = (struct ipnet){0};
    for (size_t i = 0; i < node->n_attachments; i++)
        take_attachment(nets, node->attachments[i]);
    if (!node->n_attachments)
        take_attachment(nets, node->attachment); // older managers know the ingress one alone
    if (node->vxlanudpport && node->vxlanudpport <= UINT16_MAX)
        nets->port = (uint16_t)node->vxlanudpport;
    nets_drop_unused(nets);
}

void nets_managers_set(struct nets *nets, const char *const *managers, size_t count)
{
    for (size_t i = 0; i < nets->managers_count; i++)
        free(nets->managers[i]);
    for (size_t i = 0; i < count; i++)
        nets->managers[i] = str_dup(managers[i]);
    nets->managers_count = count;
}

void nets_session(struct nets *nets, const Swarm__SessionMessage *message)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct err err = ERR_INIT;
    const char *managers[MANAGERS_MAX];
    size_t count = 0;
    if (!nets->in_swarm)
        return;
    nets->session_seen = true;
    MAP_EACH (entry, &nets->nets)
        ((struct net *)entry->value)->stale = true;
    take_node(nets, message->node);
    if (nets->gossip) {
        for (size_t i = 0; i < message->n_managers && count < MANAGERS_MAX; i++)
            if (message->managers[i]->peer && !str_empty(message->managers[i]->peer->addr))
                managers[count++] = message->managers[i]->peer->addr;
        if (count) {
            gossip_bootstrap(nets->gossip, managers, count);
            nets_managers_set(nets, managers, count);
        }
        if (message->n_network_bootstrap_keys &&
            gossip_keys(nets->gossip, message->network_bootstrap_keys,
                        message->n_network_bootstrap_keys, &err))
            log_warn("gossip keys cannot be used", "err=\"%s\"", err.message);
    }
    nets_mesh_keys(nets, message);
    ingress_go_on(nets);
    nets_boxes_go_on(nets);
}

void nets_ingress_gone(struct nets *nets)
{
    if (nets->in_swarm && !nets->leaving)
        ingress_go_on(nets);
}

// ---- the swarm begins and ends -----------------------------------------------------------------

static void on_rows(void *owner, const char *network_id)
{
    struct nets *nets = owner;
    struct net *net = nets_net(nets, network_id);
    if (!net)
        return;
    net->stale = true;
    nets_survey_rows(nets, network_id);
    nets_kick(nets);
}

// Who may speak to the data path port changed.
static void on_nodes(void *owner)
{
    nets_kick(owner);
}

static bool ip_of_addr(const struct addr *addr, struct ipnet *out)
{
    memset(out, 0, sizeof *out);
    if (addr->kind != ADDR_IP4 && addr->kind != ADDR_IP6)
        return false;
    out->size = addr->kind == ADDR_IP4 ? 4 : 16;
    out->prefix = (uint8_t)(out->size * 8);
    memcpy(out->bytes, addr->ip, out->size);
    return true;
}

int nets_swarm_begin(struct nets *nets, const struct nets_swarm *swarm, struct err *err)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    CHECK(!nets->in_swarm);
    struct gossip_config config = {
        .loop = nets->loop,
        .bind = swarm->bind,
        .advertise = swarm->advertise,
        .events = {.rows_changed = on_rows, .nodes_changed = on_nodes},
        .owner = nets,
    };
    if (!ip_of_addr(&swarm->data_path, &nets->tunnel) &&
        !ip_of_addr(&swarm->advertise, &nets->tunnel))
        return err_set(err, ERR_INVALID_ARGUMENT, "the advertise address is no numeric one");
    if (nets->tunnel.size == 16)
        log_warn("overlay networks end at this node: they are carried over IPv4 (--data-path-addr)",
                 "addr=%s", swarm->advertise.host);
    int rc = gossip_open(&config, &nets->gossip, err);
    if (rc)
        return rc;
    str_copy(nets->node_id, sizeof nets->node_id, swarm->node_id);
    nets->in_swarm = true;
    // Those that an earlier life left were looked at before it was known where tunnels end.
    MAP_EACH (entry, &nets->nets)
        nets_net_touch(entry->value);
    nets_kick(nets);
    nets->began = wall_now();
    nets->leaving = nets->session_seen = false;
    return 0;
}

static void gossip_ended(void *ctx)
{
    struct nets *nets = ctx;
    void (*ended)(void *owner) = nets->ended;
    nets->ended = NULL;
    ended(nets->ended_owner);
}

void nets_swarm_end(struct nets *nets, bool leave, void (*ended)(void *owner), void *owner)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    CHECK(nets->in_swarm);
    struct gossip *gossip = nets->gossip;
    nets->ended = ended;
    nets->ended_owner = owner;
    nets->in_swarm = false;
    nets_keep_node(nets, NULL);
    nets->leaving = leave;
    nets->gossip = NULL;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        size_t peers;
        (void)tunnels_list(net->peers, &peers);
        net->peopled |= peers > 0 && !leave;
        net->joined = false;
        net->stale = true;
        if (leave)
            net->lb = (struct ipnet){0};
    }
    if (leave) {
        nets_keep_no_more(nets, NETS_INGRESS_BOX);
        nets_sandbox_remove(nets, NETS_INGRESS_BOX, NULL, NULL);
        nets_drop_unused(nets);
        nets->port = OVERLAY_PORT;
    }
    nets_kick(nets);
    gossip_close(gossip, leave ? GOSSIP_END_LEAVE : GOSSIP_END_SILENT, gossip_ended, nets);
}
