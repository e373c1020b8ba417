#include "agent/net/plan.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void plan_init(struct plan *plan)
{
    memset(plan, 0, sizeof *plan);
}

void plan_fini(struct plan *plan)
{
    free(plan->steps);
    plan_init(plan);
}

static struct plan_step *step(struct plan *plan, enum plan_what what)
{
    if (plan->count == plan->cap) {
        plan->cap = plan->cap ? plan->cap * 2 : 32;
        plan->steps = mem_realloc(plan->steps, plan->cap * sizeof *plan->steps);
    }
    struct plan_step *made = &plan->steps[plan->count++];
    *made = (struct plan_step){.what = what};
    return made;
}

static void step_link(struct plan *plan, enum plan_what what, const struct layout_link *link)
{
    step(plan, what)->link = link;
}

// ---- links -------------------------------------------------------------------------------------

static bool is_ours(const struct layout_link *link, const struct plan_rules *rules)
{
    bool kind = link->kind == LAYOUT_BRIDGE || link->kind == LAYOUT_VXLAN ||
                link->kind == LAYOUT_VETH || link->kind == LAYOUT_MACVLAN ||
                link->kind == LAYOUT_IPVLAN;
    return kind && rules->links && str_starts(link->name, rules->links);
}

// What no change in place makes of it.
static bool is_other(const struct layout_link *wanted, const struct layout_link *actual)
{
    if (wanted->kind != actual->kind)
        return true;
    return wanted->kind == LAYOUT_VXLAN &&
           (wanted->vni != actual->vni || wanted->port != actual->port);
}

static void set_link(struct plan *plan, const struct layout_link *wanted,
                     const struct layout_link *actual)
{
    if (wanted->mac_set && memcmp(wanted->mac, actual->mac, MAC_BYTES) != 0)
        step_link(plan, PLAN_LINK_MAC, wanted);
    if (wanted->mtu && wanted->mtu != actual->mtu)
        step_link(plan, PLAN_LINK_MTU, wanted);
    if (wanted->master[0] && strcmp(wanted->master, actual->master) != 0)
        step_link(plan, PLAN_LINK_MASTER, wanted);
    if (wanted->up && !actual->up)
        step_link(plan, PLAN_LINK_UP, wanted);
}

static void add_link(struct plan *plan, const struct layout_link *wanted)
{
    static const struct layout_link fresh;
    bool made_elsewhere = wanted->kind == LAYOUT_VETH && !wanted->peer[0];
    if (wanted->kind == LAYOUT_LOOPBACK || made_elsewhere)
        return;
    step_link(plan, PLAN_LINK_ADD, wanted);
    struct layout_link made = fresh;
    made.kind = wanted->kind;
    set_link(plan, wanted, &made);
}

static void walk_links(struct plan *plan, const struct layout *wanted, const struct layout *actual,
                       const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wanted->links_count || a < actual->links_count) {
        const struct layout_link *want = w < wanted->links_count ? &wanted->links[w] : NULL;
        const struct layout_link *have = a < actual->links_count ? &actual->links[a] : NULL;
        int order = !want ? 1 : !have ? -1 : strcmp(want->name, have->name);
        if (order < 0) {
            add_link(plan, want);
        } else if (order > 0) {
            if (is_ours(have, rules))
                step_link(plan, PLAN_LINK_DEL, have);
        } else if (is_other(want, have)) {
            step_link(plan, PLAN_LINK_DEL, have);
            add_link(plan, want);
        } else {
            set_link(plan, want, have);
        }
        w += order <= 0;
        a += order >= 0;
    }
}

// ---- rows --------------------------------------------------------------------------------------

// Whether rows of that link are ours to take away.
static bool takes(const struct layout *wanted, const struct plan_rules *rules, const char *link)
{
    return rules->rows && layout_link(wanted, link);
}

static void walk_addrs(struct plan *plan, const struct layout *wanted, const struct layout *actual,
                       const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wanted->addrs_count || a < actual->addrs_count) {
        const struct layout_addr *want = w < wanted->addrs_count ? &wanted->addrs[w] : NULL;
        const struct layout_addr *have = a < actual->addrs_count ? &actual->addrs[a] : NULL;
        int order = !want ? 1 : !have ? -1 : layout_compare_addr(want, have);
        if (order < 0)
            step(plan, PLAN_ADDR_ADD)->addr = want;
        else if (order > 0 && takes(wanted, rules, have->link))
            step(plan, PLAN_ADDR_DEL)->addr = have;
        w += order <= 0;
        a += order >= 0;
    }
}

static void walk_routes(struct plan *plan, const struct layout *wanted, const struct layout *actual,
                        const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wanted->routes_count || a < actual->routes_count) {
        const struct layout_route *want = w < wanted->routes_count ? &wanted->routes[w] : NULL;
        const struct layout_route *have = a < actual->routes_count ? &actual->routes[a] : NULL;
        int order = !want ? 1 : !have ? -1 : layout_compare_route(want, have);
        if (order < 0)
            step(plan, PLAN_ROUTE_PUT)->route = want;
        else if (order > 0 && takes(wanted, rules, have->link))
            step(plan, PLAN_ROUTE_DEL)->route = have;
        w += order <= 0;
        a += order >= 0;
    }
}

// A row for the same address with another MAC is replaced, not taken away first.
static bool has_neigh(const struct layout *layout, const struct layout_neigh *row)
{
    size_t low = 0, high = layout->neighs_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct layout_neigh *at = &layout->neighs[middle];
        int order = strcmp(at->link, row->link);
        if (!order)
            order = ipnet_compare(&at->ip, &row->ip);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void walk_neighs(struct plan *plan, const struct layout *wanted, const struct layout *actual,
                        const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wanted->neighs_count || a < actual->neighs_count) {
        const struct layout_neigh *want = w < wanted->neighs_count ? &wanted->neighs[w] : NULL;
        const struct layout_neigh *have = a < actual->neighs_count ? &actual->neighs[a] : NULL;
        int order = !want ? 1 : !have ? -1 : layout_compare_neigh(want, have);
        if (order < 0)
            step(plan, PLAN_NEIGH_PUT)->neigh = want;
        else if (order > 0 && takes(wanted, rules, have->link) && !has_neigh(wanted, have))
            step(plan, PLAN_NEIGH_DEL)->neigh = have;
        w += order <= 0;
        a += order >= 0;
    }
}

static bool has_fdb(const struct layout *layout, const struct layout_fdb *row)
{
    size_t low = 0, high = layout->fdbs_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct layout_fdb *at = &layout->fdbs[middle];
        int order = strcmp(at->link, row->link);
        if (!order)
            order = memcmp(at->mac, row->mac, MAC_BYTES);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool takes_fdb(const struct layout *wanted, const struct plan_rules *rules,
                      const struct layout_fdb *have)
{
    const struct layout_link *link = rules->rows ? layout_link(wanted, have->link) : NULL;
    // The bridge's own rows are permanent and have no tunnel.
    return link && link->kind == LAYOUT_VXLAN && (have->dst.size || !have->permanent) &&
           !has_fdb(wanted, have);
}

static void walk_fdbs(struct plan *plan, const struct layout *wanted, const struct layout *actual,
                      const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wanted->fdbs_count || a < actual->fdbs_count) {
        const struct layout_fdb *want = w < wanted->fdbs_count ? &wanted->fdbs[w] : NULL;
        const struct layout_fdb *have = a < actual->fdbs_count ? &actual->fdbs[a] : NULL;
        int order = !want ? 1 : !have ? -1 : layout_compare_fdb(want, have);
        if (order < 0 || (order == 0 && !have->permanent))
            step(plan, PLAN_FDB_PUT)->fdb = want;
        else if (order > 0 && takes_fdb(wanted, rules, have))
            step(plan, PLAN_FDB_DEL)->fdb = have;
        w += order <= 0;
        a += order >= 0;
    }
}

// ---- all of it ---------------------------------------------------------------------------------

// By kind, and within a kind as found: the walks give sorted rows already.
static void order_steps(struct plan *plan)
{
    size_t starts[PLAN_COUNT + 1] = {0};
    if (!plan->count)
        return;
    for (size_t i = 0; i < plan->count; i++)
        starts[plan->steps[i].what + 1]++;
    for (size_t i = 1; i <= PLAN_COUNT; i++)
        starts[i] += starts[i - 1];
    struct plan_step *ordered = mem_alloc_array(plan->count, sizeof *ordered);
    for (size_t i = 0; i < plan->count; i++)
        ordered[starts[plan->steps[i].what]++] = plan->steps[i];
    free(plan->steps);
    plan->steps = ordered;
    plan->cap = plan->count;
}

void plan_make(struct plan *plan, const struct layout *wanted, const struct layout *actual,
               const struct plan_rules *rules)
{
    CHECK(plan->count == 0);
    walk_links(plan, wanted, actual, rules);
    walk_addrs(plan, wanted, actual, rules);
    walk_routes(plan, wanted, actual, rules);
    walk_neighs(plan, wanted, actual, rules);
    walk_fdbs(plan, wanted, actual, rules);
    order_steps(plan);
}
