// The leader's log broker at work: the core of broker.h, tied to the control loop.
#ifndef MANAGER_LOGS_LOGS_H
#define MANAGER_LOGS_LOGS_H

#include "manager/logs/broker.h"
#include "proto/base/loop_io.h"

struct logs;

// `loop` is the control loop; `rng` makes subscription ids.
struct logs *logs_start(struct loop *loop, struct store *store, const struct rng *rng);

// Ends all streams with UNKNOWN "broker is not running", and frees it.
void logs_stop(struct logs *logs);

struct broker *logs_broker(struct logs *logs);

#endif
