// A task's status (agent/task/task.h) as the message that managers and the disk have, and back.
//
// Pure.
#ifndef AGENT_STATUS_MESSAGE_H
#define AGENT_STATUS_MESSAGE_H

#include "agent/task/task.h"
#include "proto/base/arena.h"
#include "proto/wire/types.pb-c.h"

// The status as a message in the arena; NULL past its limit.
Swarm__TaskStatus *status_message_write(const struct task_status *status, struct arena *arena);

// What a message says; nothing of it is borrowed. Texts are cut to their bounds, the message of the
// status is the one its state has here, and ports past TASK_PORTS_MAX are left out.
struct task_status status_message_read(const Swarm__TaskStatus *message);

#endif
