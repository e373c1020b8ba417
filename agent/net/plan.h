// Wanted minus actual: the steps that lead one network namespace from what it holds to what it
// should hold. Pure; apply_io takes the steps.
//
// Both layouts are sorted and walked side by side. A namespace that is as wanted gives no step at
// all, which is why the same call repairs, adopts after a restart, and audits.
#ifndef AGENT_NET_PLAN_H
#define AGENT_NET_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/layout.h"

// In the order in which they are taken.
enum plan_what {
    PLAN_LINK_DEL,
    PLAN_LINK_ADD,
    PLAN_LINK_MAC,
    PLAN_LINK_MTU,
    PLAN_LINK_LOCAL,
    PLAN_LINK_MASTER,
    PLAN_LINK_UP,
    PLAN_ADDR_DEL,
    PLAN_ADDR_ADD,
    PLAN_ROUTE_DEL,
    PLAN_ROUTE_PUT,
    PLAN_FDB_DEL,
    PLAN_NEIGH_DEL,
    PLAN_NEIGH_PUT,
    PLAN_FDB_PUT,
    PLAN_COUNT, // how many there are
};

struct plan_step {
    enum plan_what what;
    // Borrowed from the layouts; one of them is set.
    const struct layout_link *link;
    const struct layout_addr *addr;
    const struct layout_route *route;
    const struct layout_neigh *neigh;
    const struct layout_fdb *fdb;
};

struct plan {
    struct plan_step *steps;
    size_t count, cap;
};

// What in the namespace is ours to take away.
struct plan_rules {
    // Bridges, VXLAN links and pairs whose name starts so and that nobody wants; "" all of them,
    // NULL none.
    const char *links;
    // Addresses, routes, neighbours and forwarding rows of wanted links that nobody wants. Also
    // what a bridge learned behind a VXLAN link and no wanted row confirms: it would lead frames
    // astray for minutes after an endpoint moved.
    bool rows;
};

void plan_init(struct plan *plan);
void plan_fini(struct plan *plan);

// Both layouts are sorted and outlive the plan. A wanted pair without a peer is one end that the
// other end's namespace makes: it is kept and set, never made.
void plan_make(struct plan *plan, const struct layout *wanted, const struct layout *actual,
               const struct plan_rules *rules);

#endif
