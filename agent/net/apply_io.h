// Brings one network namespace to a wanted layout: reads what is there, plans, and takes the steps.
// For worker jobs, with inputs of their own.
#ifndef AGENT_NET_APPLY_IO_H
#define AGENT_NET_APPLY_IO_H

#include <stddef.h>

#include "agent/net/layout.h"
#include "agent/net/plan.h"
#include "proto/base/err.h"

struct apply_setting {
    const char *name; // as netns_sysctl has it
    const char *value;
};

struct apply {
    const char *path; // of the pinned namespace; NULL: the thread's own
    const struct layout *wanted;
    struct plan_rules rules;
    const struct apply_setting *settings;
    size_t settings_count;
    size_t *kinds; // of steps, PLAN_COUNT of them, counted up; may be NULL
};

// The namespace is there. *steps counts what had to be done. The first error of links ends it; of
// rows all are tried, and the first error is told. `found` (may be NULL; empty) gets what was there
// before.
int apply_layout(const struct apply *apply, struct layout *found, size_t *steps, struct err *err);

#endif
