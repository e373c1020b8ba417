// What became of the cluster, as events of `docker events`: from a Watch stream onto the bus.
#ifndef AGENT_ENGINE_CHANGES_H
#define AGENT_ENGINE_CHANGES_H

#include "agent/engine/bus.h"
#include "proto/base/clock.h"
#include "proto/wire/watch.pb-c.h"

// The kinds of objects that make events, for the entries of the request.
extern const char *const changes_kinds[];
extern const size_t changes_kinds_count;

// Publishes the event of one change; other kinds make none. `now` dates removals.
void changes_publish(struct bus *bus, const Swarm__WatchMessage__Event *event, struct wall now);

#endif
