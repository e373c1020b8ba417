// Settling the root for another CA configuration: the plan (settle.h), with what authorities
// outside say to it.
#ifndef MANAGER_CA_SETTLE_IO_H
#define MANAGER_CA_SETTLE_IO_H

#include "manager/ca/external_io.h"
#include "manager/ca/settle.h"
#include "proto/base/list.h"

struct settling {
    struct list link; // the owner's own
    // The end, once, maybe before settling_start returns: the cluster, whose RootCA is settled, or
    // NULL and the error. The struct may go in it.
    void (*settled)(struct settling *settling, const Swarm__Cluster *cluster,
                    const struct err *err);

    // Inner.
    const struct external_way *way;
    Swarm__Cluster *cluster;
    struct arena *arena;
    struct settle_plan plan;
    size_t heard; // of the plan's needs
    struct external_call *call;
    char *crossed_pem;
};

// Begins, with `settled` filled in. The cluster (with the wanted spec) and what is new in it are in
// the arena, which lives until the end.
void settling_start(struct settling *settling, const struct external_way *way,
                    Swarm__Cluster *cluster, struct arena *arena);

// Nobody waits any more: `settled` does not run.
void settling_cancel(struct settling *settling);

#endif
