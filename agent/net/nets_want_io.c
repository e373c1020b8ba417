// What the node's networks should look like now: the places of the next worker job.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static void want_host(struct nets *nets, struct nets_job *job)
{
    const char **ends = mem_alloc_array(map_count(&nets->boxes) + 1, sizeof *ends);
    size_t count = 0;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        if (nets_box_live(box) && ipnet_is_set(&box->gateway))
            ends[count++] = box->ends[box->ends_count - 1].endpoint;
    }
    if (count || nets->gateway_needed || nets_is_strict(nets)) {
        struct job_place *place = nets_job_place(job, JOB_HOST, "", "");
        place->drift = !nets->host_asked;
        place->take.links = nets_is_strict(nets) ? GATEWAY_PORT_PREFIX : NULL;
        if (count)
            gateway_layout(&nets->gateway, ends, count, &place->wanted);
    }
    nets->gateway_needed = count > 0;
    nets->host_dirty = nets->host_asked = false;
    free(ends);
}

// As long as sandboxes of an earlier life wait to be asked for, theirs are the ports without a row:
// a guard made now would cut them off. The one that they came with stays, unless there is somebody
// new, whom it does not know.
static void want_guard(const struct nets *nets, const struct net *net, struct job_place *place)
{
    bool others = !nets_is_strict(nets), somebody_new = false;
    struct sandbox_guard *rows = mem_alloc_array(net->boxes + 1, sizeof *rows);
    const char **open = mem_alloc_array(net->boxes + 1, sizeof *open);
    size_t count = 0, open_count = 0;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        for (size_t i = 0; i < box->ends_count; i++) {
            const struct sandbox_end *end = &box->ends[i];
            if (!nets_box_live(box) || !end->overlay ||
                strcmp(end->overlay->id, net->overlay.id) != 0)
                continue;
            somebody_new |= !box->adopted;
            rows[count] = (struct sandbox_guard){.port = end->port, .ip = end->ip, .vip = end->vip};
            memcpy(rows[count++].mac, end->mac, MAC_BYTES);
            if (strcmp(box->id, NETS_INGRESS_BOX) == 0)
                open[open_count++] = end->port;
        }
    }
    if (!others || somebody_new)
        sandbox_guard_rules(rows, count, open, open_count, others, &place->text);
    free(rows);
    free(open);
}

static void want_net(struct nets *nets, struct nets_job *job, struct net *net)
{
    struct job_place *place = nets_job_place(job, JOB_NET, net->overlay.id, net->path);
    struct overlay_local *locals = mem_alloc_array(net->boxes + 1, sizeof *locals);
    size_t locals_count = 0, peers_count;
    const struct overlay_peer *peers = tunnels_list(net->peers, &peers_count);
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        for (size_t i = 0; i < box->ends_count; i++)
            if (nets_box_live(box) && box->ends[i].overlay &&
                strcmp(box->ends[i].overlay->id, net->overlay.id) == 0)
                locals[locals_count++] =
                    (struct overlay_local){box->ends[i].endpoint, box->ends[i].ip};
    }
    overlay_layout(&net->overlay, nets->port, &nets->tunnel, locals, locals_count, peers,
                   peers_count, &place->wanted);
    free(locals);
    want_guard(nets, net, place);
    place->drift = !net->asked;
    place->forward = net->overlay.subnets_count > 1;
    place->take.rows = !nets_holds(nets, net);
    place->take.links = nets_is_strict(nets) ? "" : NULL;
    net->dirty = net->asked = false;
}

struct pick {
    uint32_t vip, address;
    bool draining;
};

static int compare_picks(const void *left, const void *right)
{
    const struct pick *a = left, *b = right;
    if (a->vip != b->vip)
        return a->vip < b->vip ? -1 : 1;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return (int)a->draining - (int)b->draining;
}

static bool is_virtual(const struct overlay *overlay, const struct ipnet *vip)
{
    const struct overlay_subnet *subnet = overlay_subnet_of(overlay, vip);
    return subnet && !ipnet_same_ip(&subnet->gateway, vip);
}

bool nets_is_balanced(const struct net *net, const struct net_record *record)
{
    const struct records_endpoint *endpoint = &record->endpoint;
    return !record->early && ipnet_is_set(&endpoint->vip) &&
           is_virtual(&net->overlay, &endpoint->vip) &&
           !ipnet_same_ip(&endpoint->vip, &endpoint->ip);
}

// The services of one network, from its records; the container's own too, and those that lost their
// last task: they may have no endpoint left.
static void balance_net(const struct net *net, const struct order_network *own,
                        struct services *services)
{
    struct pick *picks = mem_alloc_array(net->records_count + 1, sizeof *picks);
    struct backend *backends = mem_alloc_array(net->records_count + 1, sizeof *backends);
    size_t count = 0;
    for (size_t i = 0; i < net->records_count; i++) {
        const struct records_endpoint *endpoint = &net->records[i].endpoint;
        if (nets_is_balanced(net, &net->records[i]))
            picks[count++] = (struct pick){ipnet_u32(&endpoint->vip), ipnet_u32(&endpoint->ip),
                                           endpoint->disabled};
    }
    if (count)
        qsort(picks, count, sizeof *picks, compare_picks);
    size_t lost_count;
    const uint32_t *lost = lost_list(net->lost, &lost_count);
    for (size_t i = 0; i < lost_count; i++)
        services_set(services, lost[i], NULL, 0, NULL);
    if (ipnet_is_set(&own->vip))
        services_set(services, ipnet_u32(&own->vip), NULL, 0, NULL);
    for (size_t i = 0; i < count;) {
        uint32_t vip = picks[i].vip;
        size_t n = 0;
        for (; i < count && picks[i].vip == vip; i++)
            if ((!n || backends[n - 1].address != picks[i].address) &&
                n < SERVICES_BACKENDS_COUNT_MAX)
                backends[n++] = (struct backend){picks[i].address, picks[i].draining ? 0 : 1};
        services_set(services, vip, backends, n, NULL);
    }
    free(picks);
    free(backends);
}

// A namespace that is others' too is not made here, and not emptied at the end.
static void share_of(struct box *box, struct job_place *place)
{
    if (box->order->share)
        str_copy(place->share, sizeof place->share, box->order->share);
    place->gone = box->gone;
    layout_init(&box->gone);
}

static void want_removal(struct nets_job *job, struct box *box)
{
    struct job_place *place = nets_job_place(job, JOB_BOX, box->id, box->path);
    place->remove = true;
    place->nft = box->nft;
    box->nft = NULL;
    box->dirty = false;
    share_of(box, place);
    if (!place->share[0])
        return;
    for (size_t i = 0; i < box->ends_count; i++)
        layout_add_link(&place->gone, box->ends[i].eth, LAYOUT_VETH);
    buf_put_str(&place->text, "add table ip skep_lb\ndelete table ip skep_lb\n"
                              "add table ip skep_dns\ndelete table ip skep_dns\n");
}

// Each box numbers a service's backends in an order of its own, and in the same after a restart.
static uint64_t order_of(const struct box *box)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); // FNV-1a
    for (const char *at = box->id; *at; at++)
        hash = (hash ^ (uint8_t)*at) * UINT64_C(0x100000001b3);
    return hash == RULESET_BY_ADDRESS ? 1 : hash;
}

static void want_box(struct nets *nets, struct nets_job *job, struct box *box)
{
    struct job_place *place = nets_job_place(job, JOB_BOX, box->id, box->path);
    struct services services;
    place->drift = !box->asked;
    share_of(box, place);
    sandbox_layout(box->ends, box->ends_count, &place->wanted);
    services_init(&services);
    for (size_t i = 0; i < box->order->networks_count; i++) {
        const struct order_network *network = &box->order->networks[i];
        if (!network->overlay.ingress)
            balance_net(nets_net(nets, network->overlay.id), network, &services);
    }
    place->keep_rules = box->adopted && (nets->adopting || !box->read);
    for (size_t i = 0; i < box->order->networks_count && box->adopted; i++)
        place->keep_rules |= nets_holds(nets, nets_net(nets, box->order->networks[i].overlay.id));
    ruleset_compile(&place->rules_wanted, &services, order_of(box));
    services_fini(&services);
    place->nft = box->nft;
    place->rules = box->rules;
    place->rules_known = box->rules_known;
    place->cut = box->cut;
    place->cut_count = box->cut_count;
    place->open_names = nets->feed && !box->names && strcmp(box->id, NETS_INGRESS_BOX) != 0;
    for (size_t i = 0; i < box->order->servers_count; i++)
        place->ask_inside |= box->order->servers[i].inside;
    box->nft = NULL;
    ruleset_init(&box->rules);
    box->rules_known = false;
    box->cut = NULL;
    box->cut_count = 0;
    box->dirty = box->asked = false;
}

static void want_strays(struct nets *nets, struct nets_job *job)
{
    bool strict = nets_is_strict(nets);
    if (!nets->swept)
        return;
    MAP_EACH (entry, &nets->strays) {
        const struct stray *stray = entry->value;
        // A sandbox's own pairs go with it; an overlay's namespace once none can need it.
        bool goes = stray->sandbox ? !map_has_str(&nets->kept, entry->key) : strict;
        if (goes)
            nets_job_place(job, JOB_STRAY, entry->key, stray->path)->remove = true;
    }
}

struct nets_job *nets_job_make(struct nets *nets)
{
    struct nets_job *job = MEM_NEW(struct nets_job);
    job->nets = nets;
    if (nets->host_dirty)
        want_host(nets, job);
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        if (net->dirty && net->boxes)
            want_net(nets, job, net);
    }
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (box->dirty && nets_box_live(box))
            want_box(nets, job, box);
    }
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (box->state == BOX_REMOVING && box->dirty)
            want_removal(job, box);
    }
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        if (!net->boxes && net->dirty) {
            nets_job_place(job, JOB_NET, net->overlay.id, net->path)->remove = true;
            net->dirty = false;
        }
    }
    want_strays(nets, job);
    return job;
}
