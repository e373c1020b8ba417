// Makes the calls that an enroll asks for, until it is done.
#ifndef AGENT_ENROLL_RPC_H
#define AGENT_ENROLL_RPC_H

#include "agent/enroll.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/remotes.h"

struct enroller;

struct enroller_config {
    struct loop *loop;
    struct remotes *remotes; // the caller's; good and bad experience is noted in it
    struct enroll *enroll;   // taken over, freed with the enroller
    // Runs once, never before enroller_start returned: enroll_next says DONE or FAILED. It may call
    // enroller_close.
    void (*done)(void *owner, struct enroll *enroll);
    void *owner;
};

struct enroller *enroller_start(const struct enroller_config *config);

// Ends it, if need be in the middle, without `done`. Connections take a moment to close: `closed`
// (may be NULL) runs when the last has, never before this returns, and the enroller is gone then.
void enroller_close(struct enroller *enroller, void (*closed)(void *ctx), void *ctx);

#endif
