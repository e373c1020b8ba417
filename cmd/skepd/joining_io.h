// A node on its way into a swarm: it gets its certificate by token and keeps it (swarmkit.md 3.2).
#ifndef CMD_SKEPD_JOINING_IO_H
#define CMD_SKEPD_JOINING_IO_H

#include <stddef.h>

#include "cmd/skepd/place.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/wire/specs.pb-c.h"

struct joining;

struct joining_config {
    struct loop *loop;
    const char *data_root; // borrowed while it runs; so is nothing else
    const struct place *place;
    const char *const *remotes; // managers, host:port
    size_t remotes_count;
    const char *token;
    Swarm__NodeSpec__Availability availability;

    // Runs once, later: everything about the place is on disk (NULL), or nothing. The error is in
    // the words of docker. Call joining_close, from here or later.
    void (*done)(void *owner, const struct err *err);
    void *owner;
};

// INVALID_ARGUMENT for addresses that are none; "invalid join token" is of code UNKNOWN, as users
// know it.
int joining_start(const struct joining_config *config, struct joining **out, struct err *err);

// What the key file it kept is locked with (LOCK_KEY_BYTES), NULL for nothing. After `done`.
const uint8_t *joining_lock_key(const struct joining *joining);

// Ends it, if need be in the middle and without `done`. `closed` (may be NULL) runs once, later.
void joining_close(struct joining *joining, void (*closed)(void *owner), void *owner);

#endif
