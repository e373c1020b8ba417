// A look at everything: what the kernel holds is compared and repaired, and the other nodes are
// asked what comes through to them, while both are waited for.
#include <stdlib.h>
#include <string.h>

#include "agent/net/checkup.h"
#include "agent/net/nets_priv_io.h"
#include "agent/net/probe_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PROBE_MS      1200
#define LOOK_MS       20
#define LOOKS_MAX     300 // at the kernel: 6 s
#define DRIFTS_MAX    64
#define NAMES_MAX     16
#define IP_UDP_VXLAN  50 // what a tunnel puts before a frame's packet
#define ESP_BYTES     26
#define SMALL_BYTES   84
#define CLOSED_PORT   9
#define ROWS_BYTES    (1u << 20)
#define MANAGER_PORT  2377
#define NODE_NAME_MAX 64

// Where the outcome of a probe goes.
enum purpose {
    FOR_GOSSIP,
    FOR_MANAGER,
    FOR_ECHO,
    FOR_SIZE,
    FOR_CLOCK,
    FOR_TUNNEL,
    FOR_TUNNEL_FULL,
    FOR_TUNNEL_TCP,
    FOR_SEALED,
    FOR_NAME,
};

struct mark {
    enum purpose purpose;
    size_t node;
    uint16_t size; // FOR_SIZE
};

// The first endpoint of another node on a network.
struct target {
    struct ipnet ip;
    const struct net *net;
    char netns[PROBE_PATH_BYTES]; // of a container of ours there
};

struct other {
    char gossip_name[NODE_NAME_MAX];
    uint32_t gossip, tunnel; // addresses
    uint16_t gossip_port;
    struct target plain, sealed;
};

struct nets_checkup {
    struct nets *nets; // NULL: nobody waits any more
    struct nets *home; // the same, for good
    nets_checked *done;
    void *owner;
    struct loop_work work;
    struct loop_timer look;
    unsigned looks;
    bool probing, comparing;
    struct checkup_node nodes[CHECKUP_NODES_MAX];
    struct other others[CHECKUP_NODES_MAX];
    size_t count, left_out;
    struct checkup_drift drifts[DRIFTS_MAX];
    size_t drifts_count;
    struct probe probes[PROBES_MAX];
    struct mark marks[PROBES_MAX];
    size_t probes_count;
    size_t names_asked, names_wrong;
    char name_wrong[CHECKUP_NAME];
};

// ---- who there is -------------------------------------------------------------------------------

static void on_member(void *ctx, const struct gossip_member *member)
{
    struct nets_checkup *checkup = ctx;
    struct ipnet ip = {.size = 4, .prefix = 32};
    char text[IPNET_TEXT_BYTES];
    if (member->self || member->site->ip_size != 4)
        return;
    if (checkup->count == CHECKUP_NODES_MAX) {
        checkup->left_out++;
        return;
    }
    struct other *other = &checkup->others[checkup->count];
    struct checkup_node *node = &checkup->nodes[checkup->count++];
    memcpy(ip.bytes, member->site->ip, 4);
    (void)str_copy(other->gossip_name, sizeof other->gossip_name, member->node);
    other->gossip = other->tunnel = ipnet_u32(&ip);
    other->gossip_port = member->site->port;
    (void)str_copy(node->name, sizeof node->name, ipnet_format_ip(&ip, text));
    (void)str_copy(node->address, sizeof node->address, node->name);
    node->gossip_udp_silent = member->by_stream;
    for (size_t i = 0; i < checkup->nets->managers_count; i++) {
        const char *manager = checkup->nets->managers[i], *colon = strrchr(manager, ':');
        size_t length = colon ? (size_t)(colon - manager) : strlen(manager);
        node->manager |= strlen(node->name) == length && memcmp(manager, node->name, length) == 0;
    }
}

// A sandbox of ours on that network, to ask from.
static const struct box *box_on(const struct nets *nets, const struct net *net)
{
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        for (size_t i = 0; i < box->order->networks_count; i++)
            if (box->state == BOX_MADE &&
                str_equal(box->order->networks[i].overlay.id, net->overlay.id))
                return box;
    }
    return NULL;
}

struct peers_walk {
    struct nets_checkup *checkup;
    const struct net *net;
    const struct box *box;
};

// The ingress network before others, and the lowest address: most likely the node's own.
static bool is_better(const struct target *target, const struct net *net, const struct ipnet *ip)
{
    if (!target->net)
        return true;
    if (target->net != net)
        return net->overlay.ingress;
    return ipnet_compare(ip, &target->ip) < 0;
}

static void on_peer(void *ctx, const struct gossip_row *row)
{
    const struct peers_walk *walk = ctx;
    struct overlay_peer peer;
    if (row->own || records_parse_peer(row->value, row->value_size, &peer, NULL) ||
        peer.tunnel.size != 4 || peer.ip.size != 4)
        return;
    for (size_t i = 0; i < walk->checkup->count; i++) {
        struct other *other = &walk->checkup->others[i];
        if (!str_equal(other->gossip_name, row->node))
            continue;
        struct target *target = walk->net->overlay.encrypted ? &other->sealed : &other->plain;
        char text[IPNET_TEXT_BYTES];
        other->tunnel = ipnet_u32(&peer.tunnel);
        (void)str_copy(walk->checkup->nodes[i].address, CHECKUP_NAME,
                       ipnet_format_ip(&peer.tunnel, text));
        if (!is_better(target, walk->net, &peer.ip))
            return;
        target->ip = peer.ip;
        target->net = walk->net;
        (void)str_copy(target->netns, sizeof target->netns, walk->box->path);
    }
}

// ---- what to ask --------------------------------------------------------------------------------

static struct probe *ask(struct nets_checkup *checkup, enum purpose purpose, size_t node,
                         enum probe_kind kind, uint32_t to)
{
    if (checkup->probes_count == PROBES_MAX)
        return NULL;
    checkup->marks[checkup->probes_count] = (struct mark){.purpose = purpose, .node = node};
    struct probe *probe = &checkup->probes[checkup->probes_count++];
    *probe = (struct probe){.kind = kind, .to = to, .bytes = SMALL_BYTES};
    return probe;
}

// What goes to where the other's tunnels end goes as the tunnels do.
static struct probe *ask_outside(struct nets_checkup *checkup, enum purpose purpose, size_t node,
                                 enum probe_kind kind)
{
    struct probe *probe = ask(checkup, purpose, node, kind, checkup->others[node].tunnel);
    if (probe)
        probe->own = ipnet_u32(&checkup->nets->tunnel);
    return probe;
}

static void ask_port(struct nets_checkup *checkup, enum purpose purpose, size_t node, uint32_t to,
                     uint16_t port)
{
    struct probe *probe = ask(checkup, purpose, node, PROBE_TCP, to);
    if (probe)
        probe->port = port;
}

static uint16_t outside_bytes(const struct overlay *overlay)
{
    return (uint16_t)(overlay->mtu + IP_UDP_VXLAN + (overlay->encrypted ? ESP_BYTES : 0));
}

static void ask_target(struct nets_checkup *checkup, size_t node, const struct target *target)
{
    const struct overlay *overlay = &target->net->overlay;
    struct checkup_node *to = &checkup->nodes[node];
    uint32_t ip = ipnet_u32(&target->ip);
    bool sealed = overlay->encrypted;
    struct probe *small = ask(checkup, sealed ? FOR_SEALED : FOR_TUNNEL, node, PROBE_ECHO, ip);
    if (small)
        (void)str_copy(small->netns, sizeof small->netns, target->netns);
    (void)str_copy(sealed ? to->secret : to->plain, CHECKUP_NAME, overlay->name);
    if (outside_bytes(overlay) > to->needed) {
        to->needed = outside_bytes(overlay);
        (void)str_copy(to->network, sizeof to->network, overlay->name);
    }
    if (sealed)
        return;
    struct probe *full = ask(checkup, FOR_TUNNEL_FULL, node, PROBE_ECHO, ip);
    struct probe *tcp = ask(checkup, FOR_TUNNEL_TCP, node, PROBE_TCP, ip);
    if (!full || !tcp)
        return;
    full->bytes = (uint16_t)overlay->mtu;
    tcp->port = CLOSED_PORT;
    (void)str_copy(full->netns, sizeof full->netns, target->netns);
    (void)str_copy(tcp->netns, sizeof tcp->netns, target->netns);
}

static void ask_sizes(struct nets_checkup *checkup, size_t node)
{
    uint16_t needed = checkup->nodes[node].needed;
    for (size_t i = 0; i < CHECKUP_SIZES && needed; i++) {
        uint16_t size = checkup_sizes[i] ? checkup_sizes[i] : needed;
        if (size > needed || (checkup_sizes[i] && size == needed))
            continue;
        struct probe *probe = ask_outside(checkup, FOR_SIZE, node, PROBE_ECHO);
        if (!probe)
            return;
        probe->bytes = size;
        probe->whole = true;
        checkup->marks[checkup->probes_count - 1].size = size;
    }
}

static void ask_node(struct nets_checkup *checkup, size_t node)
{
    const struct other *other = &checkup->others[node];
    ask_port(checkup, FOR_GOSSIP, node, other->gossip, other->gossip_port);
    if (checkup->nodes[node].manager)
        ask_port(checkup, FOR_MANAGER, node, other->gossip, MANAGER_PORT);
    (void)ask_outside(checkup, FOR_ECHO, node, PROBE_ECHO);
    (void)ask_outside(checkup, FOR_CLOCK, node, PROBE_CLOCK);
    if (other->plain.net)
        ask_target(checkup, node, &other->plain);
    if (other->sealed.net)
        ask_target(checkup, node, &other->sealed);
    ask_sizes(checkup, node);
}

static void ask_names(struct nets_checkup *checkup)
{
    const struct nets *nets = checkup->nets;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        if (box->state != BOX_MADE || !box->names || box->serve != NETS_SERVE_READY ||
            !box->order->networks_count || str_empty(box->order->name) ||
            checkup->names_asked == NAMES_MAX)
            continue;
        // The last of its networks is a user's, if one is.
        const struct order_network *network = NULL;
        for (size_t i = 0; i < box->order->networks_count; i++)
            if (!box->order->networks[i].overlay.ingress)
                network = &box->order->networks[i];
        struct probe *probe = network ? ask(checkup, FOR_NAME, 0, PROBE_NAME, 0x7f00000b) : NULL;
        if (!probe)
            continue;
        probe->wanted = ipnet_u32(&network->ip);
        (void)str_copy(probe->netns, sizeof probe->netns, box->path);
        // A name alone may be of several networks, each with an address of its own.
        if (!str_format(probe->name, sizeof probe->name, "%s.%s", box->order->name,
                        network->overlay.name))
            checkup->probes_count--;
        else
            checkup->names_asked++;
    }
}

static void gather(struct nets_checkup *checkup)
{
    const struct nets *nets = checkup->nets;
    if (nets->gossip)
        gossip_members(nets->gossip, NULL, on_member, checkup);
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        struct peers_walk walk = {checkup, net, box_on(nets, net)};
        if (nets->gossip && net->joined && walk.box)
            gossip_rows(nets->gossip, net->overlay.id, GOSSIP_TABLE_PEERS, on_peer, &walk);
    }
    for (size_t i = 0; i < checkup->count; i++)
        ask_node(checkup, i);
    ask_names(checkup);
}

// ---- what was heard -----------------------------------------------------------------------------

static enum heard heard_of(const struct probe *probe)
{
    return probe->refused ? HEARD_REFUSAL : probe->answered ? HEARD_ANSWER : HEARD_NOTHING;
}

static void hear_name(struct nets_checkup *checkup, const struct probe *probe)
{
    if (probe->answered)
        return;
    if (!checkup->names_wrong++)
        (void)str_format(checkup->name_wrong, sizeof checkup->name_wrong, "%.*s", CHECKUP_NAME - 1,
                         probe->name);
}

static void hear(struct nets_checkup *checkup, const struct probe *probe, const struct mark *mark)
{
    struct checkup_node *node = &checkup->nodes[mark->node];
    struct ipnet from = ipnet_of_u32(probe->from, 32);
    char text[IPNET_TEXT_BYTES];
    switch (mark->purpose) {
    case FOR_GOSSIP:
        node->gossip_tcp = heard_of(probe);
        break;
    case FOR_MANAGER:
        node->manager_tcp = heard_of(probe);
        break;
    case FOR_ECHO:
        node->echo = heard_of(probe);
        if (probe->from)
            (void)str_copy(node->source, sizeof node->source, ipnet_format_ip(&from, text));
        break;
    case FOR_SIZE:
        if (probe->answered && mark->size > node->passed)
            node->passed = mark->size;
        break;
    case FOR_CLOCK:
        node->clock = heard_of(probe);
        node->ahead_ms = probe->ahead_ms;
        break;
    case FOR_TUNNEL:
        node->tunnel = heard_of(probe);
        break;
    case FOR_TUNNEL_FULL:
        node->tunnel_full = heard_of(probe);
        break;
    case FOR_TUNNEL_TCP:
        node->tunnel_tcp = heard_of(probe);
        break;
    case FOR_SEALED:
        node->sealed = heard_of(probe);
        break;
    case FOR_NAME:
        hear_name(checkup, probe);
        break;
    }
}

void nets_checkup_drift(struct nets *nets, const struct job_place *place)
{
    struct nets_checkup *checkup = nets->checkup;
    if (!checkup || checkup->drifts_count == DRIFTS_MAX)
        return;
    const struct net *net = place->kind == JOB_NET ? nets_net(nets, place->key) : NULL;
    const size_t *kinds = place->kinds;
    struct checkup_drift *drift = &checkup->drifts[checkup->drifts_count++];
    *drift = (struct checkup_drift){
        .addresses = kinds[PLAN_ADDR_ADD] + kinds[PLAN_ADDR_DEL],
        .routes = kinds[PLAN_ROUTE_PUT] + kinds[PLAN_ROUTE_DEL],
        .neighbours = kinds[PLAN_NEIGH_PUT] + kinds[PLAN_NEIGH_DEL],
        .forwarding = kinds[PLAN_FDB_PUT] + kinds[PLAN_FDB_DEL],
        .balancer = place->balancers,
    };
    size_t rest = place->steps - place->balancers;
    for (size_t i = 0; i < PLAN_COUNT; i++) {
        rest -= kinds[i];
        drift->links += i <= PLAN_LINK_UP ? kinds[i] : 0;
    }
    drift->others = rest;
    if (place->kind == JOB_HOST)
        (void)str_copy(drift->place, sizeof drift->place, "the gateway bridge");
    else
        (void)str_format(drift->place, sizeof drift->place, "%s %.40s",
                         net ? "network" : "container", net ? net->overlay.name : place->key);
}

// ---- the end ------------------------------------------------------------------------------------

static void tell(struct nets_checkup *checkup)
{
    struct nets *nets = checkup->nets;
    char self[IPNET_TEXT_BYTES] = "";
    struct buf text;
    struct json_out out;
    struct err err = ERR_INIT;
    if (ipnet_is_set(&nets->tunnel))
        (void)ipnet_format_ip(&nets->tunnel, self);
    struct checkup result = {
        .port = nets->port,
        .nodes = checkup->nodes,
        .nodes_count = checkup->count,
        .nodes_left_out = checkup->left_out,
        .drifts = checkup->drifts,
        .drifts_count = checkup->drifts_count,
        .networks = map_count(&nets->nets),
        .containers = map_count(&nets->boxes),
        .repairs = nets->counts.repairs,
        .names_asked = checkup->names_asked,
        .names_wrong = checkup->names_wrong,
        .blocked_by = nets->ports ? ports_blocked_by(nets->ports) : "",
    };
    (void)str_copy(result.self, sizeof result.self, self);
    (void)str_copy(result.source, sizeof result.source, self);
    memcpy(result.name_wrong, checkup->name_wrong, sizeof result.name_wrong);
    buf_init(&text, ROWS_BYTES);
    json_out_init(&out, &text);
    json_out_array(&out, NULL);
    checkup_write(&result, &out);
    json_out_end(&out);
    bool fits = json_out_done(&out);
    if (!fits)
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "the checkup's answer is too large");
    checkup->done(checkup->owner, fits ? buf_cstr(&text) : NULL, fits ? NULL : &err);
    buf_fini(&text);
}

static void go_on(struct nets_checkup *checkup)
{
    if (checkup->probing || checkup->comparing)
        return;
    if (checkup->nets) {
        checkup->nets->checkup = NULL;
        tell(checkup);
    }
    free(checkup);
}

static bool is_compared(const struct nets *nets)
{
    if (nets->job || nets->host_dirty)
        return false;
    MAP_EACH (entry, &nets->nets)
        if (((const struct net *)entry->value)->dirty)
            return false;
    MAP_EACH (entry, &nets->boxes)
        if (((const struct box *)entry->value)->dirty)
            return false;
    return true;
}

static void on_look(struct loop_timer *timer)
{
    struct nets_checkup *checkup = CONTAINER_OF(timer, struct nets_checkup, look);
    if (!is_compared(checkup->nets) && ++checkup->looks < LOOKS_MAX) {
        loop_timer_start(timer, LOOK_MS);
        return;
    }
    checkup->comparing = false;
    go_on(checkup);
}

static void work(struct loop_work *work)
{
    struct nets_checkup *checkup = CONTAINER_OF(work, struct nets_checkup, work);
    probe_all(checkup->probes, checkup->probes_count, PROBE_MS);
}

static void worked(struct loop_work *work)
{
    struct nets_checkup *checkup = CONTAINER_OF(work, struct nets_checkup, work);
    checkup->probing = false;
    checkup->home->works--;
    for (size_t i = 0; i < checkup->probes_count; i++)
        hear(checkup, &checkup->probes[i], &checkup->marks[i]);
    go_on(checkup);
}

struct refusal {
    struct loop_post post;
    nets_checked *done;
    void *owner;
};

static void refuse(struct loop_post *post)
{
    struct refusal *refusal = CONTAINER_OF(post, struct refusal, post);
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "a checkup of this node is under way; try again");
    refusal->done(refusal->owner, NULL, &err);
    free(refusal);
}

void nets_checkup(struct nets *nets, nets_checked *done, void *owner)
{
    MAGIC_CHECK(nets, NETS_MAGIC);
    if (nets->checkup || nets->closed) {
        struct refusal *refusal = MEM_NEW(struct refusal);
        refusal->done = done;
        refusal->owner = owner;
        loop_post(nets->loop, &refusal->post, refuse);
        return;
    }
    struct nets_checkup *checkup = MEM_NEW(struct nets_checkup);
    *checkup = (struct nets_checkup){.nets = nets,
                                     .home = nets,
                                     .done = done,
                                     .owner = owner,
                                     .probing = true,
                                     .comparing = true};
    nets->checkup = checkup;
    gather(checkup);
    nets_audit(nets);
    loop_timer_init(&checkup->look, nets->loop, on_look);
    loop_timer_start(&checkup->look, LOOK_MS);
    nets->works++;
    loop_work_start(nets->loop, &checkup->work, work, worked);
}

void nets_checkup_end(struct nets *nets)
{
    struct nets_checkup *checkup = nets->checkup;
    struct err err = ERR_INIT;
    if (!checkup)
        return;
    err_set(&err, ERR_CANCELLED, "the node ends");
    loop_timer_stop(&checkup->look);
    nets->checkup = NULL;
    checkup->nets = NULL;
    checkup->comparing = false;
    checkup->done(checkup->owner, NULL, &err);
    go_on(checkup);
}
