// What one look at a service carries around: the open transaction, the time, and when to look
// again. Internal to the room.
#ifndef MANAGER_ORCH_STEP_H
#define MANAGER_ORCH_STEP_H

#include "manager/store/txn.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/wire/defaults.h"
#include "proto/wire/objects.pb-c.h"

// Room for one service's spec and the messages built for it.
#define STEP_ARENA_BYTES OBJECT_ARENA_BYTES

// What the store does not keep of a task that ended.
struct run {
    int64_t ns; // how long it ran; 0: it never did
};

struct step {
    struct txn *txn; // replaced when it is full; NULL after an error
    struct wall now;
    struct rand *rand;
    const struct map *runs; // task id -> struct run, of those seen to end; NULL: none
    struct wall wake;       // the earliest moment worth another look; ns 0: none
    bool follow;            // how far tasks are in starting matters, see step_follow
    struct arena arena;
    struct err *err;
    int result;      // the first error: everything after it does nothing
    uint64_t writes; // so far
};

// Opens the first transaction.
void step_begin(struct step *step, struct store *store, struct wall now, struct rand *rand,
                struct err *err);

// Commits what is left. Returns the first error.
int step_end(struct step *step);

// The state as this step has made it.
struct view step_view(const struct step *step);

// Asks to look again at `at`, if that is sooner than what was asked before.
void step_wake(struct step *step, struct wall at);

// Asks to look again when a task is further in starting, or runs. Without it only tasks that come,
// go, end, or are wanted otherwise are a reason.
void step_follow(struct step *step);

// Writes. Each does nothing after an error, and opens another transaction when this one is full.
void step_create(struct step *step, Swarm__Task *task);
void step_desire(struct step *step, const char *task_id, Swarm__TaskState state);
void step_delete(struct step *step, const char *task_id);
void step_update_service(struct step *step, Swarm__Service *service);

#endif
