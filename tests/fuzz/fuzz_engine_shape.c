// Bodies of the Engine API that are read by their shape: refused, or each member, found as the
// handlers find it, has its type.
#include <stdint.h>

#include "agent/engine/fields.h"
#include "agent/engine/shape.h"
#include "proto/base/check.h"

static const struct shape_row leaf_rows[] = {
    {"Address", SHAPE_TEXT, NULL},
    {"Aliases", SHAPE_TEXTS, NULL},
};
static SHAPE(leaf_shape, "network.Leaf", leaf_rows);

static const struct shape_row middle_rows[] = {
    {"Config", SHAPE_OBJECT, &leaf_shape},
    {"Anything", SHAPE_OBJECT, NULL},
};
static SHAPE(middle_shape, "network.Middle", middle_rows);

static const struct shape_row rows[] = {
    {"Text", SHAPE_TEXT, NULL},
    {"Flag", SHAPE_FLAG, NULL},
    {"Number", SHAPE_NUMBER, NULL},
    {"Texts", SHAPE_TEXTS, NULL},
    {"Map", SHAPE_MAP, NULL},
    {"Object", SHAPE_OBJECT, &middle_shape},
    {"Named", SHAPE_NAMED, &leaf_shape},
};
static SHAPE(shape, "fuzz.Body", rows);

static void check_texts(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    json_array_foreach(value, i, item) CHECK(json_is_string(item) || json_is_null(item));
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
        CHECK(json_is_string(item) || json_is_null(item));
}

static bool absent(const json_t *value)
{
    return !value || json_is_null(value);
}

static void check_leaf(const json_t *leaf)
{
    const json_t *address = fields_member(leaf, "Address");
    const json_t *aliases = fields_member(leaf, "Aliases");
    CHECK(absent(address) || json_is_string(address));
    CHECK(absent(aliases) || json_is_array(aliases));
    check_texts(aliases);
}

static void check_body(const json_t *body)
{
    const char *key;
    json_t *item;
    const json_t *number = fields_member(body, "Number"), *object = fields_member(body, "Object");
    const json_t *named = fields_member(body, "Named"), *map = fields_member(body, "Map");
    CHECK(absent(fields_member(body, "Text")) || json_is_string(fields_member(body, "Text")));
    CHECK(absent(fields_member(body, "Flag")) || json_is_boolean(fields_member(body, "Flag")));
    CHECK(absent(number) || json_is_integer(number));
    CHECK(json_integer_value(number) >= 0);
    CHECK(json_integer_value(number) <= UINT32_MAX);
    CHECK(absent(map) || json_is_object(map));
    check_texts(map);
    check_texts(fields_member(body, "Texts"));
    CHECK(absent(object) || json_is_object(object));
    check_leaf(fields_member(object, "Config"));
    CHECK(absent(named) || json_is_object(named));
    json_object_foreach((json_t *)(uintptr_t)named, key, item) check_leaf(item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    if (size > 65536)
        return 0;
    json_t *json = json_parse(data, size, NULL);
    if (json && shape_check(&shape, json, &err) == 0)
        check_body(json);
    json_decref(json);
    return 0;
}
