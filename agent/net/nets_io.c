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

#define NETS_END_MS 10   // between looks whether the last worker jobs have ended
#define NET_PREFIX  "1-" // of the file that pins an overlay's namespace

// ---- networks ----------------------------------------------------------------------------------

void nets_path_of(const struct nets *nets, const char *name, char out[NETS_PATH_BYTES])
{
    bool fits = str_format(out, NETS_PATH_BYTES, "%s/%s", nets->dir, name);
    CHECK(fits); // the folder's length was looked at
}

static void stray_free(struct stray *stray)
{
    if (stray)
        layout_fini(&stray->layout);
    free(stray);
}

void nets_stray_forget(struct nets *nets, const char *name)
{
    stray_free(map_remove_str(&nets->strays, name));
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
        nets_path_of(nets, name, net->path);
        const struct stray *stray = map_get_str(&nets->strays, name);
        net->peopled = stray && stray->layout.neighs_count > 0;
        nets_stray_forget(nets, name);
        net->peers = tunnels_new();
        net->lost = lost_new();
        net->rows = rows_new();
        arena_init(&net->made_of, SIZE_MAX);
        map_put_str(&nets->nets, overlay->id, net);
        nets_tell(nets, "create", overlay, NULL);
    }
    net->overlay = *overlay;
    return net;
}

void nets_net_touch(struct net *net)
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
    nets_tell(nets, "destroy", &net->overlay, NULL);
    tunnels_free(net->peers);
    rows_free(net->rows);
    arena_fini(&net->made_of);
    free(net->records);
    free(net->addresses);
    lost_free(net->lost);
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

// ---- adoption ----------------------------------------------------------------------------------

static bool is_adopting(const struct nets *nets)
{
    if (!loop_timer_running(&nets->adopt))
        return false;
    if (!nets_is_strict(nets))
        return true;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        if (box->adopted && !box->read)
            return true;
    }
    return false;
}

// Ends it once all are there.
static void adopt_go_on(struct nets *nets)
{
    if (!nets->adopting || is_adopting(nets))
        return;
    nets->adopting = false;
    loop_timer_stop(&nets->adopt);
    MAP_EACH (entry, &nets->nets)
        ((struct net *)entry->value)->stale = true;
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (box->adopted && nets_box_live(box))
            box->dirty = box->asked = true;
    }
}

static void on_adopt_over(struct loop_timer *timer)
{
    nets_kick(CONTAINER_OF(timer, struct nets, adopt));
}

// ---- jobs ---------------------------------------------------------------------------------------

static void start_job(struct nets *nets)
{
    if (nets->job || nets_mesh_unguarded(nets))
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
    adopt_go_on(nets);
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
    // What failed was asked for: the steps that come now are no drift.
    nets->host_dirty |= nets->host_again;
    nets->host_asked |= nets->host_again;
    nets->host_again = false;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        net->dirty |= net->again;
        net->asked |= net->again;
        net->again = false;
    }
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        box->dirty |= box->again;
        box->asked |= box->again;
        box->again = false;
    }
    nets_kick(nets);
}

void nets_audit(struct nets *nets)
{
    nets->host_dirty = true;
    if (!nets->in_swarm)
        nets_keep_no_more(nets, NETS_INGRESS_BOX);
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
}

static void on_audit(struct loop_timer *timer)
{
    struct nets *nets = CONTAINER_OF(timer, struct nets, audit);
    nets_audit(nets);
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
    struct layout *layout = &stray->layout;
    struct netlink *netlink = NULL;
    int fd = -1;
    if (netns_open(stray->path, &fd, NULL) == 0 && netlink_open(fd, &netlink, NULL) == 0 &&
        netlink_dump(netlink, layout, NULL) == 0)
        for (size_t i = 0; i < layout->addrs_count && stray->sandbox; i++)
            if (!ipnet_is_set(&stray->gateway) &&
                gateway_claim(&nets->gateway, &layout->addrs[i].ip))
                stray->gateway = layout->addrs[i].ip;
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
}

static void on_found(void *ctx, const char *name)
{
    struct nets *nets = ctx;
    if (strlen(name) >= OVERLAY_TEXT_BYTES)
        return;
    struct stray *stray = MEM_NEW(struct stray);
    nets_path_of(nets, name, stray->path);
    stray->sandbox = !str_starts(name, NET_PREFIX);
    layout_init(&stray->layout);
    map_put_str(&nets->strays, name, stray);
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
        stray_free(entry->value);
    map_fini(&nets->strays);
    map_fini(&nets->kept);
    map_fini(&nets->boxes);
    map_fini(&nets->nets);
    free(nets->node);
    gateway_fini(&nets->gateway);
    nets_managers_set(nets, NULL, 0);
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
    nets->relays = config->relays;
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
        // It has no container that would ask for it: the manager's word says whether it stays.
        nets_keep(nets, NETS_INGRESS_BOX);
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
    loop_timer_init(&nets->adopt, nets->loop, on_adopt_over);
    nets->walk_due = MONO_NEVER;
    loop_timer_start(&nets->audit, nets->audit_ms);
    nets->adopting = !nets_is_strict(nets);
    if (nets->adopting)
        loop_timer_start(&nets->adopt, config->adopt_ms ? config->adopt_ms : NETS_ADOPT_MS);
    if (nets->ports && nets->adopting)
        ports_hold(nets->ports);
    nets_survey_open(nets);
    nets_tally_open(nets);
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

void nets_keep_no_more(struct nets *nets, const char *container_id)
{
    char name[OVERLAY_TEXT_BYTES];
    sandbox_place(container_id, name);
    (void)map_remove_str(&nets->kept, name);
    if (map_has_str(&nets->strays, name))
        nets_kick(nets);
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

static void finish_again(struct loop_timer *timer)
{
    nets_finish(CONTAINER_OF(timer, struct nets, retry));
}

void nets_finish(struct nets *nets)
{
    loop_timer_stop(&nets->retry);
    loop_timer_stop(&nets->audit);
    loop_timer_stop(&nets->walk);
    loop_timer_stop(&nets->adopt);
    loop_later_cancel(&nets->kick);
    nets_checkup_end(nets);
    if (nets->works) {
        loop_timer_init(&nets->retry, nets->loop, finish_again);
        loop_timer_start(&nets->retry, NETS_END_MS);
        return;
    }
    nets_survey_close(nets);
    nets_tally_close(nets);
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
    loop_timer_stop(&nets->adopt);
    loop_timer_stop(&nets->retry);
    loop_later_cancel(&nets->kick);
    if (nets->job)
        return;
    loop_later_init(&nets->kick, nets->loop, finish_later);
    loop_later_ask(&nets->kick);
}
