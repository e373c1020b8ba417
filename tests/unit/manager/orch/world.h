// A small cluster for the orchestrators: its store, its clock, and how agents and scheduler do
// their part.
// Time moves only when the test moves it.
#ifndef TESTS_UNIT_MANAGER_ORCH_WORLD_H
#define TESTS_UNIT_MANAGER_ORCH_WORLD_H

#include "manager/orch/orch.h"
#include "proto/base/id.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define TASK(name) SWARM__TASK_STATE__##name

struct seen {
    unsigned state, desired;
    uint64_t slot;
    char id[ID_CHARS + 1];
    char node_id[64];
    char image[64];
};

extern struct world {
    struct fake_log journal;
    struct orch *orch;
    struct watch *watch;
    int64_t now_s; // seconds
    struct arena arena;
    struct seen tasks[512]; // as world_look found them
    size_t tasks_count;
} world;

// The fixture.
void world_setup(void);
void world_teardown(void);

struct mono world_tick(void);
// Whether the events that wait make the orchestrators look.
bool world_worth_a_look(void);
// Feeds events and runs what is due, until nothing more is.
void world_settle(void);
// Lets time pass second by second.
void world_pass(int64_t seconds);

// Objects; the service is "svc".
void world_put(enum object_type type, void *message, bool create);
void world_add_node(const char *id);
void world_set_node(const char *id, unsigned state, unsigned availability);
Swarm__Service *world_new_service(uint64_t replicas);
Swarm__Service *world_edit_service(struct txn *txn);
void world_write_service(struct txn *txn, Swarm__Service *service);
void world_scale(uint64_t replicas);
// A new image, as UpdateService does it.
void world_update_image(const char *image);

// Tasks, as they are now.
void world_look(void);
size_t world_count(unsigned desired, unsigned state);
size_t world_count_desired(unsigned desired);
void world_set_task(const char *id, unsigned state, const char *node_id);
// Agents and scheduler do their part: what should run runs, what should stop stops. `broken` (may
// be NULL) is an image that fails at once.
void world_agents(const char *broken);
// A service of `replicas` running tasks on three nodes.
void world_running_service(uint64_t replicas);
Swarm__UpdateStatus *world_update_status(void);
size_t world_running_image(const char *image);
void world_global_service(void);

#endif
