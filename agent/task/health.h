// When to run a container's health check, and what its results mean. Pure.
//
// The rules are the engine's: a check runs one interval after the last one ended; failures within
// the start period do not count until a first success; `retries` failures in a row are unhealthy.
#ifndef AGENT_TASK_HEALTH_H
#define AGENT_TASK_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/wire/types.pb-c.h"

#define HEALTH_INTERVAL_NS       (30 * NS_PER_S)
#define HEALTH_TIMEOUT_NS        (30 * NS_PER_S)
#define HEALTH_START_INTERVAL_NS (5 * NS_PER_S)
#define HEALTH_RETRIES           3

enum health_state {
    HEALTH_NONE, // no check: counts as healthy
    HEALTH_STARTING,
    HEALTH_HEALTHY,
    HEALTH_UNHEALTHY,
};

struct health {
    // Settled from the spec; zeros there mean the defaults above.
    int64_t interval_ns;
    int64_t timeout_ns;
    int64_t start_period_ns;
    int64_t start_interval_ns;
    int32_t retries;
    // What is known.
    enum health_state state;
    int32_t failing; // in a row
    struct mono started;
    struct mono checked; // when the last check began: the start period is over then, or not
    struct mono due;     // of the next check; MONO_NEVER while one runs
};

// True when the spec asks for checks at all: CMD or CMD-SHELL with something to run. NULL does not;
// an empty test means the image's own check, which the executor settles before.
bool health_wanted(const Swarm__HealthConfig *config);

// `config` may be NULL. Nothing is due before health_start.
void health_init(struct health *health, const Swarm__HealthConfig *config);

// The container runs.
void health_start(struct health *health, struct mono now);

// It has run for `age_ns` already, under another life of ours, and this is what was known then:
// starting, healthy or unhealthy.
void health_resume(struct health *health, enum health_state state, int32_t failing, int64_t age_ns,
                   struct mono now);

// The container ended: no more checks.
void health_stop(struct health *health);

// True when a check is to be run now; it then counts as running.
bool health_take_due(struct health *health, struct mono now);

// A check ended, well or not.
void health_result(struct health *health, bool passed, struct mono now);

#endif
