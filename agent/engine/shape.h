// The shape of a request's body: which members it may have, and of which types. Pure.
//
// For bodies that no table of fields.h or crate/config.h reads: afterwards they are read without a
// second look at types. As in Go's encoding/json keys match in any case, null is absent, and
// unknown keys are passed over.
#ifndef AGENT_ENGINE_SHAPE_H
#define AGENT_ENGINE_SHAPE_H

#include <stddef.h>

#include "proto/base/err.h"
#include "proto/base/json.h"

enum shape_kind {
    SHAPE_TEXT,
    SHAPE_FLAG,
    SHAPE_NUMBER, // 0 to UINT32_MAX
    SHAPE_TEXTS,
    SHAPE_MAP, // of texts
    SHAPE_OBJECT,
    SHAPE_NAMED, // objects by names of their own; sub is the shape of each
};

struct shape_row {
    const char *key;
    enum shape_kind kind;
    const struct shape *sub; // of an object, or of each; NULL: whatever it holds
};

struct shape {
    const char *go_type; // "swarm.InitRequest", as Go's error texts name it
    const struct shape_row *rows;
    size_t count;
};

#define SHAPE(name_, go_, rows_)                                                                   \
    const struct shape name_ = {go_, rows_, sizeof(rows_) / sizeof((rows_)[0])}

// INVALID_ARGUMENT in Go's words.
int shape_check(const struct shape *shape, const json_t *body, struct err *err);

#endif
