// Sandboxes: from the order to what the next job makes of it, and to its end.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

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
            nets_net_touch(net);
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
        nets_net_touch(net);
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
    layout_fini(&box->gone);
    arena_fini(&box->arena);
    free(box->ends);
    free(box->cut);
    free(box);
}

// What of the box's interfaces was there before: they keep their names.
struct ends_before {
    const struct sandbox_end *ends;
    size_t count;
    const struct layout *layout; // as found in the kernel; may be NULL
};

static bool is_text_in(const char *const *texts, size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(texts[i], text))
            return true;
    return false;
}

static bool is_eth_used(const struct box *box, const struct ends_before *before, const char *name)
{
    for (size_t i = 0; i < box->ends_count; i++)
        if (str_equal(box->ends[i].eth, name))
            return true;
    for (size_t i = 0; i < before->count; i++)
        if (str_equal(before->ends[i].eth, name))
            return true;
    for (size_t i = 0; before->layout && i < before->layout->addrs_count; i++)
        if (str_equal(before->layout->addrs[i].link, name))
            return true;
    return is_text_in(box->order->taken, box->order->taken_count, name);
}

static void end_name(const struct box *box, const struct ends_before *before,
                     struct sandbox_end *end)
{
    for (size_t i = 0; i < before->count; i++)
        if (str_equal(before->ends[i].endpoint, end->endpoint)) {
            str_copy(end->eth, sizeof end->eth, before->ends[i].eth);
            return;
        }
    for (size_t i = 0; before->layout && i < before->layout->addrs_count; i++) {
        const struct layout_addr *addr = &before->layout->addrs[i];
        if (ipnet_same_ip(&addr->ip, &end->ip) && str_starts(addr->link, "eth")) {
            str_copy(end->eth, sizeof end->eth, addr->link);
            return;
        }
    }
    for (size_t n = 0;; n++) {
        str_format(end->eth, sizeof end->eth, "eth%zu", n);
        if (!is_eth_used(box, before, end->eth))
            return;
    }
}

static void end_add(struct box *box, const struct order_network *network,
                    const struct ends_before *before)
{
    struct sandbox_end *end = &box->ends[box->ends_count];
    const struct overlay_subnet *subnet = overlay_subnet_of(&network->overlay, &network->ip);
    CHECK(subnet);
    *end = (struct sandbox_end){
        .ip = network->ip, .mtu = network->overlay.mtu, .overlay = &network->overlay};
    sandbox_endpoint_id(box->id, network->overlay.id, "", end->endpoint);
    memcpy(end->mac, network->mac, MAC_BYTES);
    overlay_port(end->endpoint, end->port);
    str_copy(end->place, sizeof end->place, nets_net(box->nets, network->overlay.id)->path);
    overlay_bridge(&network->overlay, subnet, end->bridge);
    if (network->overlay.dsr)
        end->vip = network->vip;
    end_name(box, before, end);
    box->ends_count++;
}

static void end_add_gateway(struct box *box, const struct ends_before *before)
{
    struct nets *nets = box->nets;
    struct sandbox_end *end = &box->ends[box->ends_count];
    *end = (struct sandbox_end){
        .ip = box->gateway, .mtu = GATEWAY_MTU, .gateway = ipnet_host(&nets->gateway.ip)};
    sandbox_endpoint_id(box->id, GATEWAY_BRIDGE, "", end->endpoint);
    mac_of_ip(&end->ip, end->mac);
    gateway_port(end->endpoint, end->port);
    str_copy(end->bridge, sizeof end->bridge, GATEWAY_BRIDGE);
    end_name(box, before, end);
    box->ends_count++;
}

// Its address on the gateway bridge is known. The ingress network comes first, as on stock nodes.
static void box_ends(struct box *box, const struct ends_before *before)
{
    const struct order *order = box->order;
    CHECK(order->networks_count < NETS_ENDS_MAX);
    box->ends = mem_alloc_array(order->networks_count + 1, sizeof *box->ends);
    box->ends_count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < order->networks_count; i++)
            if (order->networks[i].overlay.ingress == (pass == 0))
                end_add(box, &order->networks[i], before);
    if (ipnet_is_set(&box->gateway))
        end_add_gateway(box, before);
}

static bool leads_out(const struct order *order)
{
    bool external = order->networks_count == 0;
    for (size_t i = 0; i < order->networks_count; i++)
        external |= !order->networks[i].overlay.internal;
    return external && !order->led;
}

// They lead to its address on the gateway bridge.
static int box_ports(struct box *box, const struct order *order, struct err *err)
{
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

// Whether all encrypted networks of the order can be used here, and whether that is known yet.
static int check_encrypted(struct nets *nets, const struct order *order, bool *known,
                           struct err *err)
{
    *known = true;
    for (size_t i = 0; i < order->networks_count; i++) {
        const struct overlay *overlay = &order->networks[i].overlay;
        bool this_known = true;
        if (overlay->encrypted && nets_mesh_can_encrypt(nets, overlay->name, &this_known, err))
            return -ERR_FAILED_PRECONDITION;
        *known = *known && this_known;
    }
    return 0;
}

// How often a box waits again for the kernel's answer whether it encrypts.
#define ENCRYPTION_WAITS 4

// Nothing was made yet, or what was is to go.
void nets_box_end(struct box *box, const struct err *why)
{
    loop_timer_stop(&box->wait);
    box->err = *why;
    if (box->state == BOX_MADE)
        nets_tell_box(box, "disconnect");
    box->state = BOX_REMOVING;
    box_touch(box);
    nets_kick(box->nets);
}

static void on_wait_over(struct loop_timer *timer)
{
    struct box *box = CONTAINER_OF(timer, struct box, wait);
    struct err err = ERR_INIT;
    bool known;
    if (box->state != BOX_WAITING)
        return;
    // Whether the kernel encrypts may be long in coming on a slow machine, and says nothing of
    // addresses.
    if (check_encrypted(box->nets, box->order, &known, &err) == 0) {
        if (!known && box->waits++ < ENCRYPTION_WAITS) {
            loop_timer_start(timer, box->nets->wait_ms);
            return;
        }
        if (!known)
            err_set(&err, ERR_DEADLINE_EXCEEDED,
                    "a network is encrypted, and the kernel has not shown in time whether it can "
                    "do that");
        else
            err_set(&err, ERR_DEADLINE_EXCEEDED,
                    "node is missing network attachments, ip addresses may be exhausted");
    }
    nets_box_end(box, &err);
}

void nets_boxes_go_on(struct nets *nets)
{
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        struct err err = ERR_INIT;
        bool known;
        if (box->state != BOX_WAITING)
            continue;
        if (check_encrypted(nets, box->order, &known, &err)) {
            nets_box_end(box, &err);
            continue;
        }
        if (!known || !has_addresses(box))
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
    nets_path_of(nets, name, box->path);
    ruleset_init(&box->rules);
    layout_init(&box->gone);
    loop_timer_init(&box->wait, nets->loop, on_wait_over);
    for (size_t i = 0; i < order->networks_count; i++)
        nets_net_use(nets, &order->networks[i].overlay)->boxes++;
    map_put_str(&nets->boxes, box->id, box);
    const struct stray *stray = map_get_str(&nets->strays, name);
    struct ends_before before = {.layout = stray ? &stray->layout : NULL};
    int rc = 0;
    box->adopted = stray != NULL;
    if (stray && leads_out(order))
        box->gateway = stray->gateway; // claimed when it was found
    else if (stray)
        gateway_give(&nets->gateway, &stray->gateway);
    if (leads_out(order) && !ipnet_is_set(&box->gateway))
        rc = gateway_take(&nets->gateway, &box->gateway, err);
    box_ends(box, &before);
    if (!rc)
        rc = box_ports(box, box->order, err);
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

// What may fail comes first, so that a box that cannot be changed is as it was.
static int change_prepare(struct box *box, const struct order *order, struct ipnet *gateway,
                          struct err *err)
{
    struct nets *nets = box->nets;
    struct ipnet before = box->gateway;
    bool known; // where it is not, nothing passes until it is
    int rc = check_order(nets, order, err);
    if (!rc)
        rc = check_encrypted(nets, order, &known, err);
    if (rc)
        return rc;
    *gateway = (struct ipnet){0};
    if (leads_out(order)) {
        *gateway = before;
        rc = ipnet_is_set(gateway) ? 0 : gateway_take(&nets->gateway, gateway, err);
    }
    if (rc)
        return rc;
    box->gateway = *gateway;
    rc = box_ports(box, order, err);
    box->gateway = before;
    if (rc && !ipnet_is_set(&before))
        gateway_give(&nets->gateway, gateway);
    if (!rc && !order->host_ports_count && nets->ports)
        ports_remove(nets->ports, box->id);
    return rc;
}

// Interfaces that are in both keep their names; those that are not go with the next job.
static void change_ends(struct box *box)
{
    struct sandbox_end *ends = box->ends;
    struct ends_before before = {.ends = ends, .count = box->ends_count};
    box_ends(box, &before);
    for (size_t i = 0; i < before.count; i++) {
        bool stays = false;
        for (size_t k = 0; k < box->ends_count; k++)
            stays |= str_equal(box->ends[k].endpoint, ends[i].endpoint);
        if (!stays)
            layout_add_link(&box->gone, ends[i].eth, LAYOUT_VETH);
    }
    free(ends);
}

static int box_change(struct box *box, const struct order *order, struct err *err)
{
    struct nets *nets = box->nets;
    struct arena arena;
    struct ipnet gateway;
    arena_init(&arena, NETS_ORDER_BYTES);
    struct order *copy = order_copy(order, &arena);
    int rc = copy ? change_prepare(box, order, &gateway, err)
                  : err_set(err, ERR_RESOURCE_EXHAUSTED, "the container's networks are too large");
    if (rc) {
        arena_fini(&arena);
        return rc;
    }
    box_touch(box); // those that it leaves
    for (size_t i = 0; i < copy->networks_count; i++)
        nets_net_use(nets, &copy->networks[i].overlay)->boxes++;
    for (size_t i = 0; i < box->order->networks_count; i++)
        nets_net(nets, box->order->networks[i].overlay.id)->boxes--;
    if (ipnet_is_set(&box->gateway) && !ipnet_is_set(&gateway))
        gateway_give(&nets->gateway, &box->gateway);
    box->gateway = gateway;
    nets->host_dirty = nets->host_asked = true;
    box->order = copy;
    change_ends(box);
    arena_fini(&box->arena);
    box->arena = arena;
    if (box->names && nets->feed)
        nets_feed_box(nets, box);
    return 0;
}

int nets_sandbox_make(struct nets *nets, const struct order *order, bool adopt, nets_made *made,
                      void *owner, struct err *err)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    struct box *box = nets_box(nets, order->id);
    bool changed = box && order->share;
    if (box && (box->state == BOX_REMOVING || box->tell_made))
        return err_set(err, ERR_FAILED_PRECONDITION, "the sandbox is being made or removed");
    if (!box) {
        bool known = true;
        int rc = check_order(nets, order, err);
        // What runs was found able once; keys come with the manager's first message.
        if (!rc && !adopt)
            rc = check_encrypted(nets, order, &known, err);
        if (!rc)
            rc = box_new(nets, order, &box, err);
        if (rc)
            return rc;
        box->state = adopt || (known && has_addresses(box)) ? BOX_MAKING : BOX_WAITING;
        if (box->state == BOX_WAITING)
            loop_timer_start(&box->wait, nets->wait_ms);
    }
    if (changed && box_change(box, order, err))
        return -(int)err->code;
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

bool nets_names_told(const struct nets *nets)
{
    MAP_EACH (entry, &nets->nets)
        if (((const struct net *)entry->value)->stale)
            return false;
    return !nets->feed || dns_feed_settled(nets->feed);
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

size_t nets_sandbox_eths(const struct nets *nets, const char *container_id, const char **out,
                         size_t most)
{
    const struct box *box = nets_box(nets, container_id);
    size_t count = 0;
    for (size_t i = 0; box && i < box->ends_count && count < most; i++)
        out[count++] = box->ends[i].eth;
    return count;
}

const char *nets_sandbox_path(const struct nets *nets, const char *container_id)
{
    const struct box *box = nets_box(nets, container_id);
    return box && box->state == BOX_MADE ? box->path : NULL;
}
