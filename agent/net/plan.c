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
           (wanted->vni != actual->vni || wanted->port != actual->port ||
            (wanted->local_set && actual->local.size == 16));
}

static void set_link(struct plan *plan, const struct layout_link *wanted,
                     const struct layout_link *actual)
{
    if (wanted->mac_set && memcmp(wanted->mac, actual->mac, MAC_BYTES) != 0)
        step_link(plan, PLAN_LINK_MAC, wanted);
    if (wanted->mtu && wanted->mtu != actual->mtu)
        step_link(plan, PLAN_LINK_MTU, wanted);
    if (wanted->local_set && ipnet_compare(&wanted->local, &actual->local) != 0)
        step_link(plan, PLAN_LINK_LOCAL, wanted);
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
    made.local = wanted->local; // with which it is made
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

// One kind of rows, in the order of `compare`.
struct row_kind {
    enum plan_what put, del;
    size_t bytes;
    int (*compare)(const void *a, const void *b);
    void (*set)(struct plan_step *step, const void *row);
    // Whether what nobody wants is ours to take away; and whether what is there has to be put again
    // (NULL: never).
    bool (*goes)(const struct layout *wanted, const struct plan_rules *rules, const void *have);
    bool (*is_poor)(const void *have);
};

struct row_list {
    const void *rows;
    size_t count;
};

static const void *row_at(const struct row_kind *kind, struct row_list list, size_t at)
{
    return at < list.count ? (const char *)list.rows + at * kind->bytes : NULL;
}

static void walk_rows(struct plan *plan, const struct row_kind *kind, struct row_list wants,
                      struct row_list haves, const struct layout *wanted,
                      const struct plan_rules *rules)
{
    size_t w = 0, a = 0;
    while (w < wants.count || a < haves.count) {
        const void *want = row_at(kind, wants, w), *have = row_at(kind, haves, a);
        int order = !want ? 1 : !have ? -1 : kind->compare(want, have);
        if (order < 0 || (order == 0 && kind->is_poor && kind->is_poor(have)))
            kind->set(step(plan, kind->put), want);
        else if (order > 0 && kind->goes(wanted, rules, have))
            kind->set(step(plan, kind->del), have);
        w += order <= 0;
        a += order >= 0;
    }
}

static int compare_addrs(const void *a, const void *b)
{
    return layout_compare_addr(a, b);
}

static void set_addr(struct plan_step *step, const void *row)
{
    step->addr = row;
}

static bool addr_goes(const struct layout *wanted, const struct plan_rules *rules, const void *have)
{
    return takes(wanted, rules, ((const struct layout_addr *)have)->link);
}

static int compare_routes(const void *a, const void *b)
{
    return layout_compare_route(a, b);
}

static void set_route(struct plan_step *step, const void *row)
{
    step->route = row;
}

static bool route_goes(const struct layout *wanted, const struct plan_rules *rules,
                       const void *have)
{
    return takes(wanted, rules, ((const struct layout_route *)have)->link);
}

static int compare_neighs(const void *a, const void *b)
{
    return layout_compare_neigh(a, b);
}

static void set_neigh(struct plan_step *step, const void *row)
{
    step->neigh = row;
}

static int compare_neigh_keys(const void *left, const void *right)
{
    const struct layout_neigh *a = left, *b = right;
    int order = strcmp(a->link, b->link);
    return order ? order : ipnet_compare(&a->ip, &b->ip);
}

// A row for the same address with another MAC is replaced, not taken away first.
static bool neigh_goes(const struct layout *wanted, const struct plan_rules *rules,
                       const void *have)
{
    return takes(wanted, rules, ((const struct layout_neigh *)have)->link) &&
           !(wanted->neighs_count && bsearch(have, wanted->neighs, wanted->neighs_count,
                                             sizeof *wanted->neighs, compare_neigh_keys));
}

static int compare_fdbs(const void *a, const void *b)
{
    return layout_compare_fdb(a, b);
}

static void set_fdb(struct plan_step *step, const void *row)
{
    step->fdb = row;
}

static int compare_fdb_keys(const void *left, const void *right)
{
    const struct layout_fdb *a = left, *b = right;
    int order = strcmp(a->link, b->link);
    return order ? order : memcmp(a->mac, b->mac, MAC_BYTES);
}

static bool fdb_goes(const struct layout *wanted, const struct plan_rules *rules, const void *row)
{
    const struct layout_fdb *have = row;
    const struct layout_link *link = rules->rows ? layout_link(wanted, have->link) : NULL;
    // The bridge's own rows are permanent and have no tunnel.
    return link && link->kind == LAYOUT_VXLAN && (have->dst.size || !have->permanent) &&
           !(wanted->fdbs_count && bsearch(have, wanted->fdbs, wanted->fdbs_count,
                                           sizeof *wanted->fdbs, compare_fdb_keys));
}

static bool fdb_is_poor(const void *have)
{
    return !((const struct layout_fdb *)have)->permanent;
}

static const struct row_kind addr_kind = {PLAN_ADDR_ADD, PLAN_ADDR_DEL, sizeof(struct layout_addr),
                                          compare_addrs, set_addr,      addr_goes,
                                          NULL};
static const struct row_kind route_kind = {PLAN_ROUTE_PUT,
                                           PLAN_ROUTE_DEL,
                                           sizeof(struct layout_route),
                                           compare_routes,
                                           set_route,
                                           route_goes,
                                           NULL};
static const struct row_kind neigh_kind = {PLAN_NEIGH_PUT,
                                           PLAN_NEIGH_DEL,
                                           sizeof(struct layout_neigh),
                                           compare_neighs,
                                           set_neigh,
                                           neigh_goes,
                                           NULL};
static const struct row_kind fdb_kind = {PLAN_FDB_PUT, PLAN_FDB_DEL, sizeof(struct layout_fdb),
                                         compare_fdbs, set_fdb,      fdb_goes,
                                         fdb_is_poor};

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
#define WALK(kind, rows)                                                                           \
    walk_rows(plan, &(kind), (struct row_list){wanted->rows, wanted->rows##_count},                \
              (struct row_list){actual->rows, actual->rows##_count}, wanted, rules)
    WALK(addr_kind, addrs);
    WALK(route_kind, routes);
    WALK(neigh_kind, neighs);
    WALK(fdb_kind, fdbs);
#undef WALK
    order_steps(plan);
}
