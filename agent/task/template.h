// Templates in a task's spec, expanded on the worker: env values, mount sources and targets, volume
// labels and driver options, hostname; and inside secrets and configs (swarmkit.md section 25).
// Pure.
//
// The language is the part of Go's text/template that has a use here: text, {{.Fields}}, {{index .X
// "key"}}, {{join "sep" ...}}, string literals, {{- trimming -}} and comments; in secrets and
// configs also {{secret "t"}}, {{config "t"}} and {{env "V"}}. Anything else is an error that names
// it.
#ifndef AGENT_TASK_TEMPLATE_H
#define AGENT_TASK_TEMPLATE_H

#include <stddef.h>

#include "agent/task/executor.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"

// Largest text one template may expand to in a spec, and in a secret or config.
#define TEMPLATE_VALUE_BYTES   (64u << 10)
#define TEMPLATE_PAYLOAD_BYTES (1u << 20)
#define TEMPLATE_ARGS_MAX      16

struct template_node {
    const char *id;
    const char *hostname;
    const char *os;
    const char *architecture;
};

struct template_context {
    const Swarm__Task *task;
    const struct template_node *node;
    // For payloads only; all borrowed. `files` are those the task references, unexpanded.
    const struct executor_file *files;
    size_t files_count;
};

// Appends the expansion of `text`. `payload` adds the functions of secrets and configs.
// INVALID_ARGUMENT with the reason; RESOURCE_EXHAUSTED past out's limit.
int template_expand(const struct template_context *context, const char *text, size_t size,
                    bool payload, struct buf *out, struct err *err);

// The same language over other fields, without labels but with the functions lower and upper:
// `field` answers for ".Name", NULL where there is none of that name.
int template_expand_names(const char *(*field)(void *owner, struct str_part path), void *owner,
                          const char *text, size_t size, struct buf *out, struct err *err);

// A copy of the task in `arena` with every template of its container spec expanded, for a settled
// task. NULL and *err, which names the field, when one cannot be.
Swarm__Task *template_expand_task(const struct template_context *context, struct arena *arena,
                                  struct err *err);

#endif
