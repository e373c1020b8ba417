// A role: what a supervised process of skepd is for, and the frame that each of them runs in.
//
// The frame connects to the node process, waits to be told who to become, gives up all other rights
// (confine_io.h), starts the role on a loop, and ends it in order when asked to, or when the node
// process is gone. A role only fills in this struct.
#ifndef CMD_SKEPD_ROLE_IO_H
#define CMD_SKEPD_ROLE_IO_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/channel_io.h"
#include "proto/base/confine_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

// The descriptor a supervised process finds its channel at.
#define ROLE_CHANNEL_FD 3

struct role;

// What a role has from its frame, for as long as it runs.
struct role_frame {
    const struct role *role;
    struct loop *loop;
    struct channel *channel; // to the node process
};

struct role_calls {
    const struct confine_call *rows;
    size_t count;
};

struct fed_thing;

struct role {
    const char *name;  // "manager": how it is asked for, and what log lines start with
    const char *title; // "skepd: manager": how ps shows it; at most 15 characters

    // What it takes from the node process (MESSAGE_ROWS_FROM_NODE first) ...
    struct channel_rules rules;
    // ... which system calls it needs, and which files beside its working folder.
    const struct role_calls *calls;
    const struct confine_path *paths;
    size_t paths_count;

    // Starts, confined already. `config` is the role's own JSON (may be empty), borrowed. *state is
    // given to the other two. An error ends the process.
    int (*start)(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
                 struct err *err);

    // A message after the start, MESSAGE_SOCKET and those from MESSAGE_ROLE_FIRST on.
    void (*message)(void *state, const struct channel_message *message);

    // Ends in order: gives back all it holds and calls role_stopped, now or later.
    void (*stop)(void *state);

    const struct fed_thing *fed; // of roles of that kind (fed_role_io.h)
};

// Runs the role in this process; gives the process's exit status.
int role_run(const struct role *role);

// The role has stopped and holds nothing any more: asked to, or because it could not go on.
void role_stopped(struct role_frame *frame);

#endif
