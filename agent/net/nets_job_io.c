// A worker job: brings the namespaces of its places to what they should hold, in their order. It
// touches nothing but its own copies.
#include <stdatomic.h>
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

#define TEXT_BYTES_MAX (64u << 20)

struct job_place *nets_job_place(struct nets_job *job, enum job_kind kind, const char *key,
                                 const char *path)
{
    if (job->count == job->cap) {
        job->cap = job->cap ? job->cap * 2 : 8;
        job->places = mem_realloc(job->places, job->cap * sizeof *job->places);
    }
    struct job_place *place = &job->places[job->count++];
    memset(place, 0, sizeof *place);
    place->kind = kind;
    str_copy(place->key, sizeof place->key, key);
    str_copy(place->path, sizeof place->path, path);
    layout_init(&place->wanted);
    layout_init(&place->gone);
    ruleset_init(&place->rules);
    ruleset_init(&place->rules_wanted);
    buf_init(&place->text, TEXT_BYTES_MAX);
    place->sockets = (struct dns_sockets){.answer_udp = -1, .answer_tcp = -1};
    return place;
}

void nets_job_free(struct nets_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        struct job_place *place = &job->places[i];
        layout_fini(&place->wanted);
        layout_fini(&place->gone);
        buf_fini(&place->text);
        nft_close(place->nft);
        ruleset_fini(&place->rules);
        ruleset_fini(&place->rules_wanted);
        free(place->cut);
        dns_sockets_close(&place->sockets);
    }
    free(job->places);
    free(job);
}

// ---- settings ----------------------------------------------------------------------------------

static const struct apply_setting host_settings[] = {
    {"net/ipv4/ip_forward", "1"},
};
// Where br_netfilter is loaded, a new namespace's bridges show every frame to the filters of IP,
// too: the overlay's has none, and frames pay for it.
static const struct apply_setting net_settings[] = {
    {"net/ipv6/conf/all/disable_ipv6", "1"},      {"net/ipv6/conf/default/disable_ipv6", "1"},
    {"net/bridge/bridge-nf-call-iptables", "0"},  {"net/bridge/bridge-nf-call-ip6tables", "0"},
    {"net/bridge/bridge-nf-call-arptables", "0"}, {"net/ipv4/ip_forward", "0"},
};
// Several subnets are led to each other by the bridges' own addresses.
static const struct apply_setting forwarding_settings[] = {
    {"net/ipv6/conf/all/disable_ipv6", "1"},      {"net/ipv6/conf/default/disable_ipv6", "1"},
    {"net/bridge/bridge-nf-call-iptables", "0"},  {"net/bridge/bridge-nf-call-ip6tables", "0"},
    {"net/bridge/bridge-nf-call-arptables", "0"}, {"net/ipv4/ip_forward", "1"},
};
// Overlays carry no IPv6: a container shall not wait for it to fail. The other two are for virtual
// addresses on the loopback device (dsr) and change nothing where there are none: an address is
// answered for where it lies.
static const struct apply_setting box_settings[] = {
    {"net/ipv6/conf/default/disable_ipv6", "1"},
    {"net/ipv4/conf/all/arp_ignore", "1"},
    {"net/ipv4/conf/all/arp_announce", "2"},
};
// In the host's namespace: one row per remote endpoint counts against these.
static const struct {
    const char *name;
    unsigned long least;
} neigh_limits[] = {
    {"net/ipv4/neigh/default/gc_thresh1", 8192},
    {"net/ipv4/neigh/default/gc_thresh2", 49152},
    {"net/ipv4/neigh/default/gc_thresh3", 65536},
};

static void settings_of(const struct job_place *place, struct apply *apply)
{
    switch (place->kind) {
    case JOB_HOST:
        apply->settings = host_settings;
        apply->settings_count = COUNT_OF(host_settings);
        break;
    case JOB_NET:
        apply->settings = place->forward ? forwarding_settings : net_settings;
        apply->settings_count = COUNT_OF(net_settings);
        break;
    case JOB_BOX:
        apply->settings = box_settings;
        apply->settings_count = COUNT_OF(box_settings);
        break;
    case JOB_STRAY:
        break;
    }
}

// ---- one place ---------------------------------------------------------------------------------

static int open_nft(struct job_place *place, struct err *err)
{
    if (place->nft)
        return 0;
    int fd = NFT_NETNS_OWN;
    int rc = place->path[0] ? netns_open(place->path, &fd, err) : 0;
    if (rc)
        return rc;
    place->nft = nft_open(fd, err);
    if (fd >= 0)
        close(fd);
    return place->nft ? 0 : -(int)(err->code ? err->code : ERR_INTERNAL);
}

static int apply_text(struct job_place *place, struct err *err)
{
    if (!place->text.len)
        return 0;
    int rc = open_nft(place, err);
    return rc ? rc : nft_apply(place->nft, buf_cstr(&place->text), err);
}

// A kernel without nftables for bridges carries traffic all the same; it is told once a life. Where
// the guard could be set before, the one that stays knows nothing of who is new, and would drop
// what they say: it is tried again.
static void apply_guard(struct job_place *place)
{
    static atomic_bool told, able;
    struct err err = ERR_INIT;
    bool failed = apply_text(place, &err) != 0;
    if (!failed && place->text.len)
        atomic_store(&able, true);
    place->again = failed && atomic_load(&able);
    if (place->again || (failed && !atomic_exchange(&told, true)))
        log_warn("containers' own addresses are not checked", "err=\"%s\"", err.message);
}

// Nothing is to be balanced and nothing was: most sandboxes of services without a network.
static bool is_unbalanced(const struct job_place *place)
{
    return place->rules_known && !place->rules.present && !place->rules_wanted.vips_count;
}

static int read_rules(struct job_place *place, struct err *err)
{
    int rc = open_nft(place, err);
    if (rc || place->rules_known)
        return rc;
    ruleset_fini(&place->rules);
    ruleset_init(&place->rules);
    rc = nft_read(place->nft, &place->rules, err);
    place->rules_known = rc == 0;
    return rc;
}

static int balance(struct job_place *place, struct err *err)
{
    bool changed = false;
    if (is_unbalanced(place))
        return 0;
    int rc = read_rules(place, err);
    if (rc || place->keep_rules || is_unbalanced(place))
        return rc;
    place->rules_known = false;
    rc = nft_bring(place->nft, &place->rules, &place->rules_wanted, &changed, err);
    place->rules_known = rc == 0;
    place->steps += changed;
    place->balancers += changed;
    return rc;
}

static int open_names(struct job_place *place, int fd, struct err *err)
{
    struct buf text;
    int rc = dns_sockets_open(fd, place->ask_inside, &place->sockets, err);
    if (rc)
        return rc;
    buf_init(&text, TEXT_BYTES_MAX);
    dns_redirect_text(&text, &place->sockets);
    rc = open_nft(place, err);
    if (!rc)
        rc = nft_apply(place->nft, buf_cstr(&text), err);
    buf_fini(&text);
    if (rc)
        dns_sockets_close(&place->sockets);
    return rc;
}

static int cut_flows(struct job_place *place, int fd, struct err *err)
{
    struct netlink *netlink = NULL;
    int rc = netlink_open(fd, &netlink, err);
    if (!rc)
        rc = netlink_flows_cut(netlink, place->cut, place->cut_count, &place->flows_cut, err);
    netlink_close(netlink);
    return rc;
}

static int finish_box(struct job_place *place, struct err *err)
{
    int fd = -1;
    int rc = balance(place, err);
    if (!rc && (place->open_names || place->cut_count)) {
        rc = netns_open(place->path, &fd, err);
        if (!rc && place->open_names)
            rc = open_names(place, fd, err);
        if (!rc && place->cut_count)
            rc = cut_flows(place, fd, err);
        if (fd >= 0)
            close(fd);
    }
    // A way in takes 130 KB: it is kept where changes are to come.
    if (is_unbalanced(place)) {
        nft_close(place->nft);
        place->nft = NULL;
    }
    return rc;
}

// Most went with their other ends.
static int take_gone(struct job_place *place, struct err *err)
{
    struct netlink *netlink = NULL;
    int fd = -1;
    if (!place->gone.links_count)
        return 0;
    int rc = netns_open(place->path, &fd, err);
    if (!rc)
        rc = netlink_open(fd, &netlink, err);
    for (size_t i = 0; i < place->gone.links_count && !rc; i++) {
        struct err why = ERR_INIT;
        rc = netlink_link_del(netlink, place->gone.links[i].name, &why);
        place->steps += rc == 0;
        rc = rc && why.code != ERR_NOT_FOUND ? err_copy(err, &why) : 0;
    }
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
    return rc;
}

// The namespace may be going, too, and with it all that is to be taken out of it.
static int leave_place(struct job_place *place, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = take_gone(place, &why);
    if (!rc)
        rc = apply_text(place, &why);
    nft_close(place->nft);
    place->nft = NULL;
    if (rc && why.code != ERR_NOT_FOUND)
        return err_copy(err, &why);
    return netns_remove(place->path, err);
}

// Links first: a VXLAN number is free again when its link is gone, not when the kernel gets round
// to the namespace.
static int remove_place(struct job_place *place, struct err *err)
{
    struct apply apply = {.path = place->path, .wanted = &place->wanted, .rules = {.links = ""}};
    struct err why = ERR_INIT;
    if (place->share[0])
        return leave_place(place, err);
    nft_close(place->nft);
    place->nft = NULL;
    layout_clear(&place->wanted);
    if (apply_layout(&apply, NULL, &place->steps, &why) && why.code != ERR_NOT_FOUND)
        return err_copy(err, &why);
    return netns_remove(place->path, err);
}

static int host_limits(struct err *err)
{
    int rc = 0;
    // Other namespaces than the first do not have them: nothing to raise there.
    for (size_t i = 0; i < COUNT_OF(neigh_limits) && !rc; i++) {
        rc = netns_sysctl_raise(NETNS_OWN, neigh_limits[i].name, neigh_limits[i].least, err);
        rc = rc == -ERR_NOT_FOUND ? 0 : rc;
    }
    return rc;
}

// The kernel drops what is to leave with an address that is none of the host's: one that a router
// translates, or one that is gone. Such tunnels leave with what the kernel chooses.
static int settle_local(struct layout *wanted, struct err *err)
{
    struct netlink *netlink = NULL;
    int rc = netlink_open(NETLINK_NETNS_OWN, &netlink, err);
    for (size_t i = 0; i < wanted->links_count && !rc; i++) {
        struct layout_link *link = &wanted->links[i];
        if (link->local_set && !netlink_is_own(netlink, &link->local))
            link->local = (struct ipnet){0};
    }
    netlink_close(netlink);
    return rc;
}

static int bring_place(struct job_place *place, struct err *err)
{
    struct apply apply = {
        .path = place->path,
        .wanted = &place->wanted,
        .rules = {.links = place->take.links, .rows = place->take.rows},
        .kinds = place->kinds,
    };
    bool made = false;
    if (place->remove)
        return remove_place(place, err);
    int rc = place->kind == JOB_HOST ? host_limits(err)
             : place->share[0]       ? netns_share(place->share, place->path, &made, err)
                                     : netns_make(place->path, &made, err);
    place->steps += made;
    if (!rc)
        rc = take_gone(place, err);
    if (made && place->kind == JOB_BOX && !place->share[0]) {
        // What is new holds nothing.
        ruleset_fini(&place->rules);
        ruleset_init(&place->rules);
        place->rules_known = true;
    }
    settings_of(place, &apply);
    if (!rc && place->kind == JOB_NET)
        rc = settle_local(&place->wanted, err);
    layout_settle(&place->wanted);
    if (!rc)
        rc = apply_layout(&apply, NULL, &place->steps, err);
    if (!rc && place->kind == JOB_NET)
        apply_guard(place);
    else if (!rc)
        rc = apply_text(place, err);
    if (!rc && place->kind == JOB_BOX)
        rc = finish_box(place, err);
    return rc;
}

static void job_work(struct loop_work *work)
{
    struct nets_job *job = CONTAINER_OF(work, struct nets_job, work);
    for (size_t i = 0; i < job->count; i++) {
        struct err err = ERR_INIT;
        if (bring_place(&job->places[i], &err))
            job->places[i].err = err;
    }
    // Those that are kept need no memory until their next change.
    for (size_t i = 0; i < job->count; i++)
        nft_rest(job->places[i].nft);
}

static void job_worked(struct loop_work *work)
{
    struct nets_job *job = CONTAINER_OF(work, struct nets_job, work);
    nets_job_done(job->nets, job);
}

void nets_job_start(struct nets_job *job)
{
    loop_work_start(job->nets->loop, &job->work, job_work, job_worked);
}
