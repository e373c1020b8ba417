// What the dispatcher's files share: its state, and the agents' streams. Not for other rooms.
#ifndef MANAGER_DISPATCH_INNER_H
#define MANAGER_DISPATCH_INNER_H

#include "manager/dispatch/agents.h"
#include "manager/dispatch/shared.h"
#include "manager/dispatch/writes.h"
#include "manager/store/watch.h"

struct dispatcher {
    unsigned magic;
    struct dispatcher_config config;
    struct watch *watch;
    struct agents agents;
    struct timers streams; // dispatch_stream.timer
    struct list dirty;     // agents with a session message due
    struct writes writes;
    struct mono write_at; // MONO_NEVER: nothing waits
    struct shared shared;
    struct dispatcher_stats stats;
};

static inline struct dispatch_stream *stream_of(struct list *link)
{
    return LIST_ENTRY(link, struct dispatch_stream, link);
}

// Adds the stream to one of its agent's lists; one too many ends the oldest, which the agent has
// given up for sure.
void streams_attach(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                    struct agent *agent, struct list *streams);

// Takes it away from its agent; what it held is freed.
void streams_detach(struct dispatcher *dispatcher, struct dispatch_stream *stream);

// Ends all of a list, or of an agent.
void streams_end_list(struct dispatcher *dispatcher, struct list *streams, enum err_code code,
                      const char *text);
void streams_end(struct dispatcher *dispatcher, struct agent *agent, enum err_code code,
                 const char *text);

// A session message may be due to the agent, or to all; sent by streams_send_dirty, to whom it is
// news.
void streams_mark(struct dispatcher *dispatcher, struct agent *agent);
void streams_mark_all(struct dispatcher *dispatcher);
void streams_send_dirty(struct dispatcher *dispatcher);

// Sends what was collected, when there is room.
void streams_send_assignments(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                              struct moment now);

// After a change of the stream's set: what comes to a quiet stream goes at once, with what else
// this step brings. Further changes wait for more of their kind, counted from the last message, so
// that a steady trickle does not hold them up; so many go at once.
void streams_collect(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                     struct moment now);

#endif
