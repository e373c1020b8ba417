// The orchestrators: what tasks a service should have, compared with what it has (swarmkit 13 to
// 16).
//
// Level-triggered: every decision follows from the store alone, so a lost event costs nothing for
// long and a new leader goes on where the old one stopped. A replacement waits in desired state
// READY; whether it may start follows from its own age and from the state of the task before it.
// Which slots an update has in hand follows from the versions and times of their tasks.
//
// Pure but for the transactions it writes. Fed from a view at first and from store events then;
// looks only at services that changed, or whose time has come.
#ifndef MANAGER_ORCH_ORCH_H
#define MANAGER_ORCH_ORCH_H

#include "manager/store/txn.h"
#include "manager/store/watch.h"
#include "proto/base/rand.h"

struct orch;

// Runs this long after the first event that matters, so that a burst is looked at once.
#define ORCH_DELAY_MS 10

// Every service is looked at again after this time, whatever happened.
#define ORCH_AUDIT_MS 60000

struct orch *orch_new(uint64_t seed);
void orch_free(struct orch *orch);

// Forgets everything and marks all services of the view, at leader start or after lost events.
void orch_load(struct orch *orch, struct view view, struct mono tick);

// One event of a watch on services, tasks, nodes and the cluster (others are ignored).
void orch_event(struct orch *orch, const struct watch_event *event, struct mono tick);

// When orch_run is wanted; MONO_NEVER when nothing waits.
struct mono orch_due(const struct orch *orch);

// Looks at every marked service and writes what should change, in as many transactions as it takes.
// `now` is the wall clock (task times are wall times), `tick` the loop's. Nobody waits for the
// transactions: when they are lost, so is leadership. On error the rest stays marked; load again.
int orch_run(struct orch *orch, struct store *store, struct wall now, struct mono tick,
             struct err *err);

#endif
