// One supervised process: started from our own program file, told who to become, started again with
// back-off when it ends, ended in order when no longer wanted.
#ifndef CMD_SKEPD_SUPERVISE_IO_H
#define CMD_SKEPD_SUPERVISE_IO_H

#include <stdbool.h>
#include <sys/types.h>

#include "cmd/skepd/messages.h"
#include "proto/base/channel_io.h"
#include "proto/base/loop_io.h"

// A process that is not ready so long after its start is killed; so is one that has not ended so
// long after it was asked to.
#define SUPERVISE_START_MS 10000
#define SUPERVISE_STOP_MS  10000

struct supervised;

// What the owner of a supervised process provides. Outlives it.
struct supervised_spec {
    const char *role;           // its name: log lines, and --role of the new process
    const char *cwd;            // its working folder, which exists
    struct channel_rules rules; // what it may say (MESSAGE_ROWS_TO_NODE first)

    // A new process runs: sends MESSAGE_START, and then what else it needs. Called in each life.
    void (*greet)(void *owner, struct channel *channel);
    // It has given up its rights and works.
    void (*ready)(void *owner, const struct message_ready *ready);
    // It said something of the role's own. May be NULL when no rule has such.
    void (*message)(void *owner, const struct channel_message *message);
    // Its channel is about to be closed; another life may follow. May be NULL.
    void (*lost)(void *owner);
    // After supervised_stop: it has ended, and `supervised` is freed after this returns.
    void (*stopped)(void *owner);
};

// Starts it. What goes wrong is logged and tried again.
struct supervised *supervised_start(struct loop *loop, const struct supervised_spec *spec,
                                    void *owner);

// Ends it in order; `stopped` comes later, exactly once. A second call kills it at once.
void supervised_stop(struct supervised *supervised);

// Its channel while it is ready, else NULL.
struct channel *supervised_channel(const struct supervised *supervised);

// Its process id while it runs, else 0.
pid_t supervised_pid(const struct supervised *supervised);

#endif
