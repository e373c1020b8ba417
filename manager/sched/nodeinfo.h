// A node as the scheduler sees it: what is free on it, who runs there, what failed there.
#ifndef MANAGER_SCHED_NODEINFO_H
#define MANAGER_SCHED_NODEINFO_H

#include "manager/sched/demand.h"
#include "manager/sched/sched.h"
#include "proto/base/map.h"

// A service as far as scheduling goes.
struct sched_service {
    char *id;
    uint64_t serial; // tells it from all services before it
    bool exists;     // the store has it; else tasks remain of it
    bool has_spec_version;
    uint64_t spec_version;
    unsigned refs;    // demands, and the table while it exists
    struct map nodes; // node as number -> active tasks there, as a number in the pointer
};

// A task that is pending, or uses a node.
struct sched_task {
    struct list pending; // demand.pending, while it waits
    struct list here;    // sched_node.tasks, while it uses a node
    struct sched_node *node;
    struct demand *demand;
    struct generic_set *taken; // generic resources it holds; NULL for none
    char *err;                 // preassigned: why it waits, as told last; NULL for nothing
    bool told;                 // its demand's reason
    char *home;                // the node it was given when it was made, else NULL
    bool active;               // desired <= COMPLETE: counted
    bool preassigned;          // its node was given when it was made
    bool unwanted;             // desired past COMPLETE
    char id[];
};

// One failure on a node.
struct sched_failure {
    uint64_t service; // its serial
    uint64_t spec_version;
    struct wall at;
};

// Most failures remembered on one node; the oldest go first.
#define NODE_FAILURES_MAX 64

struct sched_node {
    bool exists;
    bool ready;      // READY and ACTIVE
    bool has_engine; // told us what plugins it has
    unsigned active; // active tasks
    unsigned here;   // active tasks of the service that is being scheduled
    unsigned failed; // recent failures of the group that is being scheduled
    int64_t nano_cpus_free;
    int64_t memory_free;
    struct generic_set generic_free;
    struct node_traits traits; // in `block`
    char *block;
    char *plugins; // "Type:Name\n" lines
    struct host_port *ports;
    size_t ports_count;
    size_t ports_cap;
    struct list tasks; // sched_task.here
    struct sched_failure *failures;
    size_t failures_count;
    char id[];
};

struct sched_node *nodeinfo_new(const char *id);
void nodeinfo_free(struct sched_node *node); // no tasks left

// Takes over what the store says of the node; tasks on it stay counted.
void nodeinfo_set(struct sched_node *node, const Swarm__Node *message);
void nodeinfo_unset(struct sched_node *node);

// Puts the task on the node: its demand leaves what is free. `taken` (may be NULL) are the generic
// resources that are already its own; with NULL and a demand for some, they are claimed if there.
void nodeinfo_add(struct sched_node *node, struct sched_task *task, struct generic_set *taken);
void nodeinfo_remove(struct sched_task *task);

void nodeinfo_failed(struct sched_node *node, const struct sched_service *service,
                     uint64_t spec_version, struct wall now);
unsigned nodeinfo_failures(const struct sched_node *node, const struct sched_service *service,
                           uint64_t spec_version, struct wall now);

bool nodeinfo_port_used(const struct sched_node *node, struct host_port port);

// True when the node lists the plugin; *type_listed whether it lists any of the type.
bool nodeinfo_has_plugin(const struct sched_node *node, const char *type, const char *name,
                         bool *type_listed);

// How many active tasks of the service are there.
unsigned nodeinfo_here(const struct sched_node *node, const struct sched_service *service);

// The first filter that turns the demand away, or SCHED_FILTERS. node->here must be valid.
enum sched_filter filter_check(const struct demand *demand, const struct sched_node *node);

#endif
