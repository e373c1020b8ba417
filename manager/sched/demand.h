// What a group of tasks demands of a node: the parts of a task that filters and sums look at, taken
// out of the message once for all tasks of one service and spec version.
#ifndef MANAGER_SCHED_DEMAND_H
#define MANAGER_SCHED_DEMAND_H

#include "manager/sched/constraint.h"
#include "manager/sched/generic.h"
#include "proto/base/list.h"

struct sched_service;

struct plugin_want {
    const char *type; // "Volume", "Network", "Log"
    char *name;
};

struct platform_want {
    char *os;   // "" for any
    char *arch; // "" for any; normalised
};

struct host_port {
    uint16_t protocol;
    uint16_t number;
};

// A spread preference: which labels, and which of them.
struct spread_want {
    bool engine; // engine.labels, else node.labels
    char *label;
};

struct demand {
    struct list pending;           // sched_task.pending: tasks that wait, oldest first; those
                                   // that were told `reason` before those that were not
    struct list waiting;           // sched.waiting, while `pending` has members
    struct sched_service *service; // NULL for tasks without one
    size_t pending_count;          // members of `pending`
    size_t unwanted_count;         // of these: not wanted any more
    char *reason;                  // why they wait, as told last; NULL for nothing
    unsigned refs;                 // tasks that have it
    bool shared;                   // known by service and spec version, else of one task alone
    uint64_t spec_version;
    int64_t nano_cpus;
    int64_t memory_bytes;
    struct generic_set generic; // counted kinds only
    struct constraints constraints;
    bool constraints_broken; // do not parse: met by no node
    bool wants_volumes;      // cluster volumes, which nothing here provides
    uint64_t max_replicas;   // 0: no limit
    struct plugin_want *plugins;
    size_t plugins_count;
    struct platform_want *platforms;
    size_t platforms_count;
    struct host_port *ports;
    size_t ports_count;
    struct spread_want *spreads;
    size_t spreads_count;
};

// Without a service and references. Bounds are those of a store object.
struct demand *demand_of(const Swarm__Task *task);
void demand_free(struct demand *demand);

// "x86_64" and "aarch64" by their other names.
const char *arch_normal(const char *arch);

#endif
