// The leader's dispatcher at work: the core of dispatcher.h, tied to the control loop.
//
// A leader starts it once its state is caught up (a first assignment message that lacked tasks
// would make agents kill their containers), and stops it when it loses its office.
#ifndef MANAGER_DISPATCH_DISPATCH_H
#define MANAGER_DISPATCH_DISPATCH_H

#include "manager/dispatch/dispatcher.h"
#include "proto/base/loop_io.h"

struct dispatch;

// Marks the nodes UNKNOWN and takes calls from now on. `loop` is the control loop.
struct dispatch *dispatch_start(struct loop *loop, const struct dispatcher_config *config);

// Sends every agent a last message, ends all streams (sessions with "node must disconnect") and
// frees it.
void dispatch_stop(struct dispatch *dispatch);

// The managers that agents are told of: all raft members that have an address, never none. Call
// after the start and with every change; the list is copied.
void dispatch_set_managers(struct dispatch *dispatch, const struct dispatch_manager *managers,
                           size_t managers_count);

// The core, for calls: see dispatcher.h. Follow them with dispatch_kick.
struct dispatcher *dispatch_core(struct dispatch *dispatch);

// The time to give to the core's calls.
struct moment dispatch_moment(const struct dispatch *dispatch);

// Sets the timer by what the core wants next; after every call into it.
void dispatch_kick(struct dispatch *dispatch);

#endif
