#include "agent/net/apply_io.h"

#include <unistd.h>

#include "agent/net/netlink_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/str.h"

struct applying {
    struct netlink *home; // where links are born
    struct netlink *here;
    int here_fd; // NETLINK_NETNS_OWN for the thread's own
};

static int open_place(const char *path, int *fd, struct netlink **out, struct err *err)
{
    *fd = NETLINK_NETNS_OWN;
    if (path && *path) {
        int rc = netns_open(path, fd, err);
        if (rc)
            return rc;
    }
    int rc = netlink_open(*fd, out, err);
    if (rc && *fd >= 0)
        close(*fd);
    return rc;
}

static void close_place(int fd, struct netlink *netlink)
{
    netlink_close(netlink);
    if (fd >= 0)
        close(fd);
}

// Both ends at once. A port of that name is what is left of a pair whose other end has gone astray.
static int add_pair(struct applying *applying, const struct layout_link *link, struct err *err)
{
    struct netlink *there = NULL;
    int there_fd = NETLINK_NETNS_OWN;
    int rc = open_place(link->peer_place, &there_fd, &there, err);
    if (rc)
        return rc;
    struct netlink_link pair = {
        .kind = LAYOUT_VETH,
        .end = {.name = link->peer, .netns_fd = there_fd, .mtu = link->mtu, .up = true},
        .peer = {.name = link->name,
                 .netns_fd = applying->here_fd,
                 .mtu = link->mtu,
                 .mac = link->mac_set ? link->mac : NULL},
    };
    if (link->peer_master[0]) {
        pair.end.master_index = netlink_link_index(there, link->peer_master);
        if (!pair.end.master_index)
            rc = err_set(err, ERR_NOT_FOUND, "no bridge %s", link->peer_master);
    }
    if (!rc && netlink_link_index(there, link->peer))
        rc = netlink_link_del(there, link->peer, err);
    if (!rc)
        rc = netlink_link_add(applying->home, &pair, err);
    close_place(there_fd, there);
    return rc;
}

static int add_link(struct applying *applying, const struct layout_link *link, struct err *err)
{
    if (link->kind == LAYOUT_VETH)
        return add_pair(applying, link, err);
    struct netlink_link made = {
        .kind = link->kind,
        .end = {.name = link->name,
                .netns_fd = applying->here_fd,
                .mtu = link->mtu,
                .mac = link->mac_set ? link->mac : NULL},
        .vni = link->vni,
        .port = link->port,
        .local = link->local,
        .vxlan_flags = NETLINK_VXLAN_PROXY | NETLINK_VXLAN_L2MISS | NETLINK_VXLAN_L3MISS,
    };
    int rc = netlink_link_add(applying->home, &made, err);
    if (rc == -ERR_ALREADY_EXISTS && link->kind == LAYOUT_VXLAN)
        return err_set(err, ERR_ALREADY_EXISTS,
                       "VXLAN number %u is in use on UDP port %u of this host (left by a Docker "
                       "engine that ended, umount /run/docker/netns/* frees it)",
                       link->vni, link->port);
    return rc;
}

// A tunnel remembers its route together with its source, and goes on with both until the route is
// forgotten.
static int set_local(struct applying *applying, const struct layout_link *link, struct err *err)
{
    int rc = netlink_link_local(applying->here, link->name, &link->local, err);
    if (rc)
        return rc;
    rc = netns_routes_forget(NETNS_OWN, err);
    return rc == -ERR_NOT_FOUND ? 0 : rc; // a kernel that lets nobody say so
}

static int take_step(struct applying *applying, const struct plan_step *step, struct err *err)
{
    struct netlink *here = applying->here;
    switch (step->what) {
    case PLAN_LINK_DEL:
        return netlink_link_del(here, step->link->name, err);
    case PLAN_LINK_ADD:
        return add_link(applying, step->link, err);
    case PLAN_LINK_MAC:
        return netlink_link_mac(here, step->link->name, step->link->mac, err);
    case PLAN_LINK_MTU:
        return netlink_link_mtu(here, step->link->name, step->link->mtu, err);
    case PLAN_LINK_LOCAL:
        return set_local(applying, step->link, err);
    case PLAN_LINK_MASTER:
        return netlink_link_master(here, step->link->name, step->link->master, err);
    case PLAN_LINK_UP:
        return netlink_link_up(here, step->link->name, true, err);
    case PLAN_ADDR_DEL:
        return netlink_addr_del(here, step->addr, err);
    case PLAN_ADDR_ADD:
        return netlink_addr_add(here, step->addr, err);
    case PLAN_ROUTE_DEL:
        return netlink_route_del(here, step->route, err);
    case PLAN_ROUTE_PUT:
        return netlink_route_put(here, step->route, err);
    case PLAN_FDB_DEL:
        return netlink_fdb_del(here, step->fdb, err);
    case PLAN_NEIGH_DEL:
        return netlink_neigh_del(here, step->neigh, err);
    case PLAN_NEIGH_PUT:
        return netlink_neigh_put(here, step->neigh, err);
    case PLAN_FDB_PUT:
        return netlink_fdb_put(here, step->fdb, err);
    case PLAN_COUNT:
        break;
    }
    return err_set(err, ERR_INTERNAL, "a step of no known kind");
}

static bool takes_away(enum plan_what what)
{
    return what == PLAN_LINK_DEL || what == PLAN_ADDR_DEL || what == PLAN_ROUTE_DEL ||
           what == PLAN_FDB_DEL || what == PLAN_NEIGH_DEL;
}

static int take_steps(struct applying *applying, const struct plan *plan, size_t *steps,
                      size_t *kinds, struct err *err)
{
    int first = 0;
    for (size_t i = 0; i < plan->count; i++) {
        struct err why = ERR_INIT;
        const struct plan_step *step = &plan->steps[i];
        int rc = take_step(applying, step, &why);
        // What is to go and is not there went by itself: with its link, or a moment ago.
        if (rc == 0 || (takes_away(step->what) &&
                        (why.code == ERR_NOT_FOUND || rc == -ERR_INVALID_ARGUMENT))) {
            (*steps)++;
            if (kinds)
                kinds[step->what]++;
            continue;
        }
        if (!first)
            first = err_copy(err, &why);
        if (step->what < PLAN_ADDR_DEL)
            break;
    }
    return first;
}

int apply_layout(const struct apply *apply, struct layout *found, size_t *steps, struct err *err)
{
    struct applying applying = {.here_fd = NETLINK_NETNS_OWN};
    struct layout actual;
    struct plan plan;
    layout_init(&actual);
    plan_init(&plan);
    if (!found)
        found = &actual;
    int rc = netlink_open(NETLINK_NETNS_OWN, &applying.home, err);
    if (!rc)
        rc = open_place(apply->path, &applying.here_fd, &applying.here, err);
    if (rc) {
        netlink_close(applying.home);
        return rc;
    }
    for (size_t i = 0; i < apply->settings_count && !rc; i++) {
        const struct apply_setting *setting = &apply->settings[i];
        // A kernel without the setting does not have what it would set.
        rc = netns_sysctl(applying.here_fd, setting->name, setting->value, err);
        rc = rc == -ERR_NOT_FOUND ? 0 : rc;
    }
    if (!rc)
        rc = netlink_dump(applying.here, found, err);
    if (!rc) {
        plan_make(&plan, apply->wanted, found, &apply->rules);
        rc = take_steps(&applying, &plan, steps, apply->kinds, err);
    }
    plan_fini(&plan);
    layout_fini(&actual);
    netlink_close(applying.home);
    close_place(applying.here_fd, applying.here);
    return rc;
}
