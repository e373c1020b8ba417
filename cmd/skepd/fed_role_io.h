// A role that holds one thing and nothing else: the node process feeds it, and asks it for its
// figures.
#ifndef CMD_SKEPD_FED_ROLE_IO_H
#define CMD_SKEPD_FED_ROLE_IO_H

#include "cmd/skepd/role_io.h"
#include "proto/base/buf.h"

// What it holds.
struct fed_thing {
    void *(*open)(struct loop *loop);
    // A message of the node process; an error says what is wrong with it.
    int (*take)(void *thing, const struct channel_message *message, struct err *err);
    // As MESSAGE_METRICS carries them.
    void (*figures)(const void *thing, struct buf *out);
    void (*close)(void *thing);
};

// Of struct role, beside `fed`. Such a role takes no configuration.
int fed_start(struct role_frame *frame, const void *config, size_t config_bytes, void **state,
              struct err *err);
void fed_message(void *state, const struct channel_message *message);
void fed_stop(void *state);

#endif
