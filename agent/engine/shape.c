#include "agent/engine/shape.h"

#include <string.h>

#include "agent/crate/config.h"
#include "proto/base/check.h"

#define DEPTH_MAX 4 // shapes in shapes

static const char *const kind_names[] = {
    [SHAPE_TEXT] = "string",
    [SHAPE_FLAG] = "bool",
    [SHAPE_NUMBER] = "uint32",
    [SHAPE_TEXTS] = "[]string",
    [SHAPE_MAP] = "map[string]string",
    [SHAPE_OBJECT] = "object",
    [SHAPE_NAMED] = "map[string]object",
};

static int wrong(const struct shape *shape, const struct shape_row *row, const json_t *value,
                 const char *wanted, struct err *err)
{
    const char *dot = strrchr(shape->go_type, '.');
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                   config_go_kind(value), dot ? dot + 1 : shape->go_type, row->key, wanted);
}

// The first text of a list or a map that is none; NULL: all are.
static const json_t *no_text(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item) && !json_is_null(item))
            return item;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (!json_is_string(item) && !json_is_null(item))
            return item;
    }
    return NULL;
}

static bool fits(enum shape_kind kind, const json_t *value)
{
    switch (kind) {
    case SHAPE_TEXT:
        return json_is_string(value);
    case SHAPE_FLAG:
        return json_is_boolean(value);
    case SHAPE_NUMBER:
        return json_is_integer(value) && json_integer_value(value) >= 0 &&
               json_integer_value(value) <= UINT32_MAX;
    case SHAPE_TEXTS:
        return json_is_array(value);
    case SHAPE_MAP:
    case SHAPE_OBJECT:
    case SHAPE_NAMED:
        return json_is_object(value);
    }
    UNREACHABLE("a kind of member");
}

static int check(const struct shape *shape, const json_t *body, unsigned depth, struct err *err);

static int check_below(const struct shape *shape, const struct shape_row *row, const json_t *value,
                       unsigned depth, struct err *err)
{
    const char *key;
    json_t *item;
    int rc = 0;
    if (row->kind != SHAPE_NAMED)
        return check(row->sub, value, depth, err);
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        if (!rc && !json_is_null(item))
            rc = json_is_object(item) ? check(row->sub, item, depth, err)
                                      : wrong(shape, row, item, "object", err);
    }
    return rc;
}

static int check(const struct shape *shape, const json_t *body, unsigned depth, struct err *err)
{
    CHECK(depth < DEPTH_MAX);
    for (size_t i = 0; i < shape->count; i++) {
        const struct shape_row *row = &shape->rows[i];
        const json_t *value = config_member(body, row->key);
        if (!value)
            continue;
        if (!fits(row->kind, value))
            return wrong(shape, row, value, kind_names[row->kind], err);
        const json_t *bad =
            row->kind == SHAPE_TEXTS || row->kind == SHAPE_MAP ? no_text(value) : NULL;
        if (bad)
            return wrong(shape, row, bad, "string", err);
        int rc = row->sub ? check_below(shape, row, value, depth + 1, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

int shape_check(const struct shape *shape, const json_t *body, struct err *err)
{
    if (json_is_null(body))
        return 0;
    if (!json_is_object(body))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "json: cannot unmarshal %s into Go value of type %s", config_go_kind(body),
                       shape->go_type);
    return check(shape, body, 0, err);
}
