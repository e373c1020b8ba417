// Placing the waiting tasks of one group: spread preferences as a tree, ranking at its leaves.
#ifndef MANAGER_SCHED_PLACE_H
#define MANAGER_SCHED_PLACE_H

#include "manager/sched/nodeinfo.h"

struct place {
    struct demand *demand; // its pending tasks are placed, the oldest first
    struct sched_node **nodes;
    size_t nodes_count;
    // Takes the task off demand->pending and puts it on the node.
    void (*assign)(struct place *place, struct sched_task *task, struct sched_node *node);
};

// Places up to `count` tasks; node->here and node->failed must be those of the group. Returns how
// many found a node.
size_t place_tasks(struct place *place, size_t count);

// True when `a` ranks before `b` (swarmkit.md section 15, Ranking).
bool place_before(const struct sched_node *a, const struct sched_node *b);

#endif
