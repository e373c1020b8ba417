// Whether an event is one that a follower asked for: the filters of /events.
#ifndef AGENT_ENGINE_EVENT_MATCH_H
#define AGENT_ENGINE_EVENT_MATCH_H

#include "agent/engine/bus.h"
#include "agent/engine/filter.h"

// Values of one key are or-ed but for labels, keys are and-ed.
bool event_match(const struct filters *filters, const struct bus_event *event);

#endif
