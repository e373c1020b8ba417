// Watching the store: what changed, in order, with the object before and after.
//
// Each watcher has a bounded queue that the store fills when it publishes a commit. A watcher that
// falls behind loses its queue and is told so once; it then starts again from a view (or resumes).
// Control thread only; whoever serves watchers elsewhere carries the events over (objects are
// counted and may travel).
#ifndef MANAGER_STORE_WATCH_H
#define MANAGER_STORE_WATCH_H

#include "manager/store/store.h"

struct watch;

// The numbers are SwarmKit's WatchActionKind and may be or-ed.
enum watch_action {
    WATCH_CREATE = 1,
    WATCH_UPDATE = 2,
    WATCH_REMOVE = 4,
    WATCH_ANY = 7,
    WATCH_COMMIT = 8, // the end of one commit: no object
    WATCH_LOST = 16,  // the queue overflowed: events are missing
};

struct watch_event {
    enum watch_action action;
    uint64_t version;         // log index of the commit
    const struct object *now; // CREATE and UPDATE: after; REMOVE: the object removed. Else NULL
    const struct object *was; // UPDATE: before (NULL for replayed events). Else NULL
};

// Most conditions on one rule, and most rules on one watcher.
#define WATCH_CONDITIONS_MAX 16
#define WATCH_RULES_MAX      64

// One rule: events of `type` with an action in `actions` whose object meets all conditions. Rules
// are or-ed. Strings in the conditions are copied.
struct watch_rule {
    enum object_type type;
    unsigned actions;
    const char *kind; // OBJECT_RESOURCE only: of that kind; NULL for any
    const struct by *conditions;
    size_t conditions_count;
};

// Most events a queue holds unless told otherwise.
#define WATCH_QUEUE_DEFAULT 65536

struct watch_options {
    const struct watch_rule *rules; // none: everything
    size_t rules_count;
    size_t queue_max; // 0: WATCH_QUEUE_DEFAULT
    bool commits;     // also WATCH_COMMIT after each commit with a matching event
    void (*wake)(struct watch *watch, void *ctx); // the queue was empty and now is not; may be NULL
    void *ctx;
};

// Starts with what is committed next. INVALID_ARGUMENT past the limits above.
int watch_open(struct store *store, const struct watch_options *options, struct watch **watch,
               struct err *err);

// As watch_open, but the queue starts with the events of all commits after `version`, without their
// old objects, as a replay from the log has none. OUT_OF_RANGE when the store does not remember
// that far back (WATCH_HISTORY_*) or `version` lies in the future.
int watch_resume(struct store *store, const struct watch_options *options, uint64_t version,
                 struct watch **watch, struct err *err);

// What the store remembers for resuming: the newest events within both bounds.
#define WATCH_HISTORY_EVENTS 1024
#define WATCH_HISTORY_BYTES  ((size_t)512 * 1024)

void watch_close(struct watch *watch);

// The next event, or false. The caller holds its objects until watch_event_fini.
bool watch_next(struct watch *watch, struct watch_event *event);
void watch_event_fini(struct watch_event *event);

size_t watch_count(const struct watch *watch); // events waiting

#endif
