#include "agent/net/nets_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/apply_io.h"
#include "agent/net/nets_priv_io.h"
#include "agent/net/netlink_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define NET_PREFIX "1-" // of the file that pins an overlay's namespace

// ---- networks ----------------------------------------------------------------------------------

static void path_of(const struct nets *nets, const char *name, char out[NETS_PATH_BYTES])
{
    bool fits = str_format(out, NETS_PATH_BYTES, "%s/%s", nets->dir, name);
    CHECK(fits); // the folder's length was looked at
}

void nets_stray_forget(struct nets *nets, const char *name)
{
    free(map_remove_str(&nets->strays, name));
    map_remove_str(&nets->kept, name);
}

bool nets_is_strict(const struct nets *nets)
{
    MAP_EACH (entry, &nets->strays)
        if (((const struct stray *)entry->value)->sandbox)
            return false;
    return true;
}

// Nobody else will say that it has ports from before.
void nets_ports_known(struct nets *nets)
{
    if (nets->ports && nets_is_strict(nets))
        ports_let_go(nets->ports);
}

struct net *nets_net(struct nets *nets, const char *id)
{
    return map_get_str(&nets->nets, id);
}

struct net *nets_net_use(struct nets *nets, const struct overlay *overlay)
{
    struct net *net = nets_net(nets, overlay->id);
    if (!net) {
        char name[OVERLAY_TEXT_BYTES];
        net = MEM_NEW(struct net);
        overlay_place(overlay->id, name);
        path_of(nets, name, net->path);
        nets_stray_forget(nets, name);
        net->peers = tunnels_new();
        net->rows = rows_new();
        arena_init(&net->made_of, SIZE_MAX);
        map_put_str(&nets->nets, overlay->id, net);
    }
    net->overlay = *overlay;
    return net;
}

static void net_touch(struct net *net)
{
    net->dirty = net->asked = true;
}

void nets_net_free(struct nets *nets, struct net *net)
{
    if (net->joined && nets->gossip)
        gossip_network_leave(nets->gossip, net->overlay.id);
    if (nets->feed)
        dns_feed_network_remove(nets->feed, net->overlay.id);
    map_remove_str(&nets->nets, net->overlay.id);
    tunnels_free(net->peers);
    rows_free(net->rows);
    arena_fini(&net->made_of);
    free(net->records);
    free(net->addresses);
    free(net);
}

// True while the job under way makes or takes away that network: its end will look for it.
static bool in_job(const struct nets *nets, const struct net *net)
{
    for (size_t i = 0; nets->job && i < nets->job->count; i++)
        if (nets->job->places[i].kind == JOB_NET &&
            str_equal(nets->job->places[i].key, net->overlay.id))
            return true;
    return false;
}

void nets_drop_unused(struct nets *nets)
{
    bool again = true;
    while (again) {
        again = false;
        MAP_EACH (entry, &nets->nets) {
            struct net *net = entry->value;
            // One that is in the kernel goes with the job that takes it away.
            if (net->boxes || ipnet_is_set(&net->lb) || net->made || net->dirty || net->again ||
                in_job(nets, net))
                continue;
            nets_net_free(nets, net);
            again = true;
            break;
        }
    }
}

// ---- sandboxes ---------------------------------------------------------------------------------

struct box *nets_box(const struct nets *nets, const char *id)
{
    return map_get_str(&nets->boxes, id);
}

// Everything the sandbox is part of.
static void box_touch(struct box *box)
{
    box->dirty = box->asked = true;
    for (size_t i = 0; i < box->order->networks_count; i++) {
        struct net *net = nets_net(box->nets, box->order->networks[i].overlay.id);
        if (net) {
            net_touch(net);
            net->stale = true;
        }
    }
    if (ipnet_is_set(&box->gateway))
        box->nets->host_dirty = box->nets->host_asked = true;
}

void nets_box_tell(struct box *box, const struct err *err)
{
    nets_made *tell = box->tell_made;
    box->tell_made = NULL;
    if (tell)
        tell(box->tell_owner, err ? NULL : box->path, err);
}

void nets_box_free(struct box *box)
{
    struct nets *nets = box->nets;
    loop_timer_stop(&box->wait);
    for (size_t i = 0; i < box->order->networks_count; i++) {
        struct net *net = nets_net(nets, box->order->networks[i].overlay.id);
        CHECK(net);
        CHECK(net->boxes);
        net->boxes--;
        net_touch(net);
    }
    if (ipnet_is_set(&box->gateway)) {
        gateway_give(&nets->gateway, &box->gateway);
        nets->host_dirty = nets->host_asked = true;
    }
    if (nets->feed)
        dns_feed_sandbox_remove(nets->feed, box->id);
    if (nets->ports)
        ports_remove(nets->ports, box->id);
    map_remove_str(&nets->boxes, box->id);
    nft_close(box->nft);
    ruleset_fini(&box->rules);
    arena_fini(&box->arena);
    free(box->cut);
    free(box);
}

static void end_add(struct box *box, const struct order_network *network, struct net *net)
{
    struct sandbox_end *end = &box->ends[box->ends_count];
    const struct overlay_subnet *subnet = overlay_subnet_of(&network->overlay, &network->ip);
    CHECK(subnet);
    sandbox_endpoint_id(box->id, network->overlay.id, "", end->endpoint);
    str_format(end->eth, sizeof end->eth, "eth%zu", box->ends_count++);
    end->ip = network->ip;
    memcpy(end->mac, network->mac, MAC_BYTES);
    end->mtu = network->overlay.mtu;
    overlay_port(end->endpoint, end->port);
    str_copy(end->place, sizeof end->place, net->path);
    overlay_bridge(&network->overlay, subnet, end->bridge);
    end->overlay = &network->overlay;
    if (network->overlay.dsr)
        end->vip = network->vip;
}

static int end_add_gateway(struct box *box, const struct ipnet *before, struct err *err)
{
    struct nets *nets = box->nets;
    struct sandbox_end *end = &box->ends[box->ends_count];
    if (before && ipnet_is_set(before)) {
        box->gateway = *before; // claimed when it was found
    } else {
        int rc = gateway_take(&nets->gateway, &box->gateway, err);
        if (rc)
            return rc;
    }
    sandbox_endpoint_id(box->id, GATEWAY_BRIDGE, "", end->endpoint);
    str_format(end->eth, sizeof end->eth, "eth%zu", box->ends_count++);
    end->ip = box->gateway;
    mac_of_ip(&end->ip, end->mac);
    end->mtu = GATEWAY_MTU;
    gateway_port(end->endpoint, end->port);
    str_copy(end->bridge, sizeof end->bridge, GATEWAY_BRIDGE);
    end->gateway = ipnet_host(&nets->gateway.ip);
    return 0;
}

static int box_ends(struct box *box, const struct stray *stray, struct err *err)
{
    const struct order *order = box->order;
    bool external = order->networks_count == 0;
    // The ingress network comes first, as on stock nodes.
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < order->networks_count; i++)
            if (order->networks[i].overlay.ingress == (pass == 0))
                end_add(box, &order->networks[i],
                        nets_net(box->nets, order->networks[i].overlay.id));
    for (size_t i = 0; i < order->networks_count; i++)
        external |= !order->networks[i].overlay.internal;
    if (external)
        return end_add_gateway(box, stray ? &stray->gateway : NULL, err);
    if (stray)
        gateway_give(&box->nets->gateway, &stray->gateway);
    return 0;
}

// They lead to its address on the gateway bridge.
static int box_ports(struct box *box, struct err *err)
{
    const struct order *order = box->order;
    if (order->host_ports_count == 0)
        return 0;
    if (!box->nets->ports)
        return err_set(err, ERR_UNIMPLEMENTED, "this node cannot publish ports of its own");
    if (!ipnet_is_set(&box->gateway))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "ports in host mode need a network that is not internal");
    struct ports_row *rows =
        mem_dup(order->host_ports, order->host_ports_count * sizeof *order->host_ports);
    for (size_t i = 0; i < order->host_ports_count; i++)
        rows[i].address = ipnet_u32(&box->gateway);
    int rc = ports_set(box->nets->ports, box->id, rows, order->host_ports_count, err);
    free(rows);
    return rc;
}

static bool has_addresses(const struct box *box)
{
    for (size_t i = 0; i < box->order->networks_count; i++) {
        const struct net *net = nets_net(box->nets, box->order->networks[i].overlay.id);
        if (box->order->swarm && !ipnet_is_set(&net->lb))
            return false;
    }
    return true;
}

// Nothing was made yet, or what was is to go.
void nets_box_end(struct box *box, const struct err *why)
{
    loop_timer_stop(&box->wait);
    box->err = *why;
    box->state = BOX_REMOVING;
    box_touch(box);
    nets_kick(box->nets);
}

static void on_wait_over(struct loop_timer *timer)
{
    struct box *box = CONTAINER_OF(timer, struct box, wait);
    struct err err = ERR_INIT;
    if (box->state != BOX_WAITING)
        return;
    err_set(&err, ERR_DEADLINE_EXCEEDED,
            "node is missing network attachments, ip addresses may be "
            "exhausted");
    nets_box_end(box, &err);
}

void nets_boxes_go_on(struct nets *nets)
{
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (box->state != BOX_WAITING || !has_addresses(box))
            continue;
        loop_timer_stop(&box->wait);
        box->state = BOX_MAKING;
        box_touch(box);
    }
    nets_kick(nets);
}

static int check_order(struct nets *nets, const struct order *order, struct err *err)
{
    if (order->swarm && !nets->in_swarm)
        return err_set(err, ERR_FAILED_PRECONDITION, "this node is not in a swarm");
    if (order->networks_count > ORDER_NETWORKS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a sandbox has at most %d networks",
                       ORDER_NETWORKS_MAX);
    if (strlen(order->id) >= sizeof((struct box *)0)->id || strlen(order->id) < 12 ||
        strchr(order->id, '/'))
        return err_set(err, ERR_INVALID_ARGUMENT, "bad container id");
    for (size_t i = 0; i < order->networks_count; i++) {
        const struct order_network *network = &order->networks[i];
        if (network->overlay.encrypted && nets_mesh_can_encrypt(nets, network->overlay.name, err))
            return -ERR_FAILED_PRECONDITION;
        if (!overlay_subnet_of(&network->overlay, &network->ip))
            return err_set(err, ERR_INVALID_ARGUMENT, "network %s: address outside of its subnets",
                           network->overlay.name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(order->networks[k].overlay.id, network->overlay.id) == 0)
                return err_set(err, ERR_INVALID_ARGUMENT, "network %s: attached twice",
                               network->overlay.name);
    }
    if (map_count(&nets->boxes) >= NETS_SANDBOX_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d sandboxes", NETS_SANDBOX_MAX);
    return 0;
}

static int box_new(struct nets *nets, const struct order *order, struct box **out, struct err *err)
{
    char name[OVERLAY_TEXT_BYTES];
    struct box *box = MEM_NEW(struct box);
    box->nets = nets;
    str_copy(box->id, sizeof box->id, order->id);
    arena_init(&box->arena, NETS_ORDER_BYTES);
    box->order = order_copy(order, &box->arena);
    if (!box->order) {
        arena_fini(&box->arena);
        free(box);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the container's networks are too large");
    }
    sandbox_place(box->id, name);
    path_of(nets, name, box->path);
    ruleset_init(&box->rules);
    loop_timer_init(&box->wait, nets->loop, on_wait_over);
    for (size_t i = 0; i < order->networks_count; i++)
        nets_net_use(nets, &order->networks[i].overlay)->boxes++;
    map_put_str(&nets->boxes, box->id, box);
    const struct stray *stray = map_get_str(&nets->strays, name);
    box->adopted = stray != NULL;
    int rc = box_ends(box, stray, err);
    if (!rc)
        rc = box_ports(box, err);
    nets_stray_forget(nets, name);
    nets_ports_known(nets);
    if (rc) {
        nets_box_free(box);
        nets_kick(nets);
        return rc;
    }
    *out = box;
    return 0;
}

int nets_sandbox_make(struct nets *nets, const struct order *order, bool adopt, nets_made *made,
                      void *owner, struct err *err)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct box *box = nets_box(nets, order->id);
    if (box && (box->state == BOX_REMOVING || box->tell_made))
        return err_set(err, ERR_FAILED_PRECONDITION, "the sandbox is being made or removed");
    if (!box) {
        int rc = check_order(nets, order, err);
        if (!rc)
            rc = box_new(nets, order, &box, err);
        if (rc)
            return rc;
        box->state = adopt || has_addresses(box) ? BOX_MAKING : BOX_WAITING;
        if (box->state == BOX_WAITING)
            loop_timer_start(&box->wait, nets->wait_ms);
    }
    box->tell_made = made;
    box->tell_owner = owner;
    box_touch(box);
    nets_kick(nets);
    return 0;
}

void nets_sandbox_serve(struct nets *nets, const char *container_id, enum nets_serve serve)
{
    struct box *box = nets_box(nets, container_id);
    if (!box || box->serve == serve)
        return;
    box->serve = serve;
    for (size_t i = 0; i < box->order->networks_count; i++) {
        struct net *net = nets_net(nets, box->order->networks[i].overlay.id);
        net->stale = true;
    }
    nets_kick(nets);
}

bool nets_sandbox_is_served(const struct nets *nets, const char *container_id)
{
    const struct box *box = nets_box(nets, container_id);
    return box && box->serve == NETS_SERVE_READY;
}

struct answer {
    struct loop_post post;
    nets_done *done;
    void *owner;
};

static void answer_run(struct loop_post *post)
{
    struct answer *answer = CONTAINER_OF(post, struct answer, post);
    answer->done(answer->owner, NULL);
    free(answer);
}

void nets_sandbox_remove(struct nets *nets, const char *container_id, nets_done *done, void *owner)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct box *box = nets_box(nets, container_id);
    if (!box || (box->state == BOX_REMOVING && box->tell_done)) {
        char name[OVERLAY_TEXT_BYTES];
        sandbox_place(container_id, name);
        map_remove_str(&nets->kept, name);
        nets_kick(nets);
        if (!done)
            return;
        struct answer *answer = MEM_NEW(struct answer);
        answer->done = done;
        answer->owner = owner;
        loop_post(nets->loop, &answer->post, answer_run);
        return;
    }
    struct err err = ERR_INIT;
    box->tell_done = done;
    box->done_owner = owner;
    box->serve = NETS_SERVE_NOT;
    if (box->state == BOX_REMOVING)
        return;
    err_set(&err, ERR_CANCELLED, "the sandbox was removed");
    nets_box_end(box, &err);
}

const struct ports_row *nets_sandbox_ports(const struct nets *nets, const char *container_id,
                                           size_t *count)
{
    *count = 0;
    return nets->ports && nets_box(nets, container_id) ? ports_of(nets->ports, container_id, count)
                                                       : NULL;
}

void nets_sandbox_unpublish(struct nets *nets, const char *container_id)
{
    if (nets->ports && nets_box(nets, container_id))
        ports_remove(nets->ports, container_id);
}

const char *nets_sandbox_path(const struct nets *nets, const char *container_id)
{
    const struct box *box = nets_box(nets, container_id);
    return box && box->state == BOX_MADE ? box->path : NULL;
}

// ---- jobs ---------------------------------------------------------------------------------------

static void start_job(struct nets *nets)
{
    if (nets->job || nets_mesh_unsealed(nets))
        return;
    struct nets_job *job = nets_job_make(nets);
    if (!job->count) {
        nets_job_free(job);
        return;
    }
    nets->job = job;
    nets_job_start(job);
}

void nets_kick_job(struct nets *nets)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    if (!nets->closed)
        start_job(nets);
}

static void on_kick(struct loop_later *later)
{
    struct nets *nets = CONTAINER_OF(later, struct nets, kick);
    MAGIC_CHECK(nets, NETS_MAGIC);
    if (nets->closed)
        return;
    nets_refresh(nets);
    nets_publish(nets);
    nets_mesh_go_on(nets);
    start_job(nets);
}

void nets_kick(struct nets *nets)
{
    loop_later_ask(&nets->kick);
}

static void on_retry(struct loop_timer *timer)
{
    struct nets *nets = CONTAINER_OF(timer, struct nets, retry);
    nets->host_dirty |= nets->host_again;
    nets->host_again = false;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        net->dirty |= net->again;
        net->again = false;
    }
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        box->dirty |= box->again;
        box->again = false;
    }
    nets_kick(nets);
}

static void on_audit(struct loop_timer *timer)
{
    struct nets *nets = CONTAINER_OF(timer, struct nets, audit);
    nets->host_dirty = true;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        net->stale = true;
        net->dirty = true;
    }
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (box->state != BOX_MADE)
            continue;
        box->dirty = true;
        box->rules_known = false;
    }
    nets_kick(nets);
    loop_timer_start(timer, nets->audit_ms);
}

static void on_walk(struct loop_timer *timer)
{
    struct nets *nets = CONTAINER_OF(timer, struct nets, walk);
    nets->walk_due = MONO_NEVER;
    MAP_EACH (entry, &nets->nets)
        ((struct net *)entry->value)->stale = true;
    nets_kick(nets);
}

// ---- opening and closing -----------------------------------------------------------------------

static void stray_look(struct nets *nets, struct stray *stray)
{
    struct layout layout;
    struct netlink *netlink = NULL;
    int fd = -1;
    layout_init(&layout);
    if (netns_open(stray->path, &fd, NULL) == 0 && netlink_open(fd, &netlink, NULL) == 0 &&
        netlink_dump(netlink, &layout, NULL) == 0)
        for (size_t i = 0; i < layout.addrs_count; i++)
            if (!ipnet_is_set(&stray->gateway) &&
                gateway_claim(&nets->gateway, &layout.addrs[i].ip))
                stray->gateway = layout.addrs[i].ip;
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
    layout_fini(&layout);
}

static void on_found(void *ctx, const char *name)
{
    struct nets *nets = ctx;
    if (strlen(name) >= OVERLAY_TEXT_BYTES)
        return;
    struct stray *stray = MEM_NEW(struct stray);
    path_of(nets, name, stray->path);
    stray->sandbox = !str_starts(name, NET_PREFIX);
    map_put_str(&nets->strays, name, stray);
    if (stray->sandbox)
        stray_look(nets, stray);
}

static int look_around(struct nets *nets, struct err *err)
{
    struct netlink *netlink = NULL;
    struct layout host;
    layout_init(&host);
    int rc = netns_folder(nets->dir, err);
    if (!rc)
        rc = netlink_open(NETLINK_NETNS_OWN, &netlink, err);
    if (!rc)
        rc = netlink_dump(netlink, &host, err);
    if (!rc)
        rc = gateway_choose(&nets->gateway, &host, err);
    if (!rc)
        rc = netns_list(nets->dir, on_found, nets, err);
    netlink_close(netlink);
    layout_fini(&host);
    return rc;
}

static void nets_free(struct nets *nets)
{
    MAP_EACH (entry, &nets->strays)
        free(entry->value);
    map_fini(&nets->strays);
    map_fini(&nets->kept);
    map_fini(&nets->boxes);
    map_fini(&nets->nets);
    gateway_fini(&nets->gateway);
    MAGIC_CLEAR(nets);
    free(nets);
}

int nets_open(const struct nets_config *config, struct nets **out, struct err *err)
{
    struct nets *nets = MEM_NEW(struct nets);
    MAGIC_SET(nets, NETS_MAGIC);
    nets->loop = config->loop;
    nets->feed = config->feed;
    nets->ports = config->ports;
    nets->port = OVERLAY_PORT;
    nets->wait_ms = config->wait_ms ? config->wait_ms : NETS_WAIT_MS;
    nets->audit_ms = config->audit_ms ? config->audit_ms : NETS_AUDIT_MS;
    map_init(&nets->nets);
    map_init(&nets->boxes);
    map_init(&nets->kept);
    map_init(&nets->strays);
    gateway_init(&nets->gateway);
    int rc = strlen(config->dir) + OVERLAY_TEXT_BYTES + 1 >= sizeof nets->dir
                 ? err_set(err, ERR_INVALID_ARGUMENT, "the path %s is too long", config->dir)
                 : 0;
    if (!rc) {
        str_copy(nets->dir, sizeof nets->dir, config->dir);
        rc = look_around(nets, err);
    }
    if (rc) {
        nets_free(nets);
        return rc;
    }
    rc = nets_mesh_open(nets, err);
    if (rc) {
        nets_free(nets);
        return rc;
    }
    loop_later_init(&nets->kick, nets->loop, on_kick);
    loop_timer_init(&nets->retry, nets->loop, on_retry);
    loop_timer_init(&nets->audit, nets->loop, on_audit);
    loop_timer_init(&nets->walk, nets->loop, on_walk);
    nets->walk_due = MONO_NEVER;
    loop_timer_start(&nets->audit, nets->audit_ms);
    if (nets->ports && !nets_is_strict(nets))
        ports_hold(nets->ports);
    // A bridge that nobody needs any more goes, too.
    nets->host_dirty = true;
    *out = nets;
    return 0;
}

void nets_keep(struct nets *nets, const char *container_id)
{
    char name[OVERLAY_TEXT_BYTES];
    sandbox_place(container_id, name);
    if (map_has_str(&nets->strays, name))
        map_put_str(&nets->kept, name, nets);
}

void nets_sweep(struct nets *nets)
{
    nets->swept = true;
    nets_kick(nets);
}

bool nets_busy(const struct nets *nets)
{
    return nets->job != NULL;
}

struct nets_counts nets_counts(const struct nets *nets)
{
    struct nets_counts counts = nets->counts;
    counts.networks = map_count(&nets->nets);
    counts.sandboxes = map_count(&nets->boxes);
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        size_t peers;
        tunnels_list(net->peers, &peers);
        counts.peers += peers;
        counts.records += net->records_count;
    }
    return counts;
}

static void finish_last(struct nets *nets)
{
    void (*closed)(void *owner) = nets->closed;
    void *owner = nets->closed_owner;
    nets_free(nets);
    closed(owner);
}

void nets_finish(struct nets *nets)
{
    loop_timer_stop(&nets->retry);
    loop_timer_stop(&nets->audit);
    loop_timer_stop(&nets->walk);
    loop_later_cancel(&nets->kick);
    // The kernel keeps what it has; only what is known of it goes. Nobody is told to leave.
    nets->feed = NULL;
    nets->ports = NULL;
    while (map_count(&nets->boxes)) {
        size_t at = 0;
        struct box *box = map_next(&nets->boxes, &at)->value;
        struct err err = ERR_INIT;
        nets_done *done = box->tell_done;
        void *done_owner = box->done_owner;
        err_set(&err, ERR_CANCELLED, "the node ends");
        nets_box_tell(box, &err);
        nets_box_free(box);
        if (done)
            done(done_owner, &err);
    }
    while (map_count(&nets->nets)) {
        size_t at = 0;
        nets_net_free(nets, map_next(&nets->nets, &at)->value);
    }
    nets_mesh_close(nets, finish_last);
}

static void finish_later(struct loop_later *later)
{
    struct nets *nets = CONTAINER_OF(later, struct nets, kick);
    nets_finish(nets);
}

void nets_close(struct nets *nets, void (*closed)(void *owner), void *owner)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    CHECK(!nets->gossip);
    nets->closed = closed;
    nets->closed_owner = owner;
    loop_timer_stop(&nets->audit);
    loop_timer_stop(&nets->walk);
    loop_timer_stop(&nets->retry);
    loop_later_cancel(&nets->kick);
    if (nets->job)
        return;
    loop_later_init(&nets->kick, nets->loop, finish_later);
    loop_later_ask(&nets->kick);
}
