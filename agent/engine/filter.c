#include "agent/engine/filter.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/pattern.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static const struct filter_row *find_row(const char *key, const struct filter_row *rows,
                                         size_t rows_count)
{
    for (size_t i = 0; i < rows_count; i++)
        if (strcmp(rows[i].key, key) == 0)
            return &rows[i];
    return NULL;
}

bool filter_is_true(const char *value)
{
    return str_equal(value, "true") || str_equal(value, "1");
}

static int check_flag(const struct filter_row *row, const char *value, struct err *err)
{
    if (!row || row->kind != FILTER_FLAG || filter_is_true(value) || str_equal(value, "false") ||
        str_equal(value, "0"))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "invalid filter '%s=[%.100s]'", row->key, value);
}

static int add(struct filters *out, const char *key, const char *value, struct arena *arena,
               struct err *err)
{
    struct filter_value *slot = &out->values[out->count];
    slot->key = arena_strdup(arena, key);
    slot->value = arena_strdup(arena, value);
    if (out->count + 1 >= FILTER_VALUES_MAX || !slot->key || !slot->value)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d filter values",
                       FILTER_VALUES_MAX - 1);
    out->count++;
    return 0;
}

static int wrong_type(const json_t *value, const char *wanted, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "json: cannot unmarshal %s into Go value of type %s",
                   config_go_kind(value), wanted);
}

// Both forms of one key's values.
static int add_values(struct filters *out, const char *key, json_t *values, struct arena *arena,
                      struct err *err)
{
    const char *value;
    json_t *item;
    size_t i;
    int rc = 0;
    if (json_is_object(values)) {
        json_object_foreach(values, value, item)
        {
            if (rc == 0 && !json_is_boolean(item))
                rc = err_set(err, ERR_INVALID_ARGUMENT, "invalid filter '%.100s'", key);
            else if (rc == 0 && json_is_true(item))
                rc = add(out, key, value, arena, err);
        }
        return rc;
    }
    if (!json_is_array(values))
        return wrong_type(values, "map[string]bool", err);
    json_array_foreach(values, i, item)
    {
        if (!json_is_string(item))
            return wrong_type(values, "map[string]bool", err);
        if (rc == 0)
            rc = add(out, key, json_string_value(item), arena, err);
    }
    return rc;
}

int filters_parse(const char *text, const struct filter_row *rows, size_t rows_count,
                  struct arena *arena, struct filters *out, struct err *err)
{
    *out = (struct filters){0};
    if (str_empty(text))
        return 0;
    out->values = arena_alloc_array(arena, FILTER_VALUES_MAX, sizeof *out->values);
    if (!out->values)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
    json_t *json = json_parse(text, strlen(text), err);
    if (!json)
        return -ERR_INVALID_ARGUMENT;
    const char *key;
    json_t *values;
    int rc = json_is_object(json) || json_is_null(json)
                 ? 0
                 : wrong_type(json, "map[string]map[string]bool", err);
    json_object_foreach(json, key, values)
    {
        const struct filter_row *row = rows ? find_row(key, rows, rows_count) : NULL;
        size_t before = out->count;
        if (rc == 0 && rows && !row)
            rc = err_set(err, ERR_INVALID_ARGUMENT, "invalid filter '%.100s'", key);
        if (rc == 0)
            rc = add_values(out, key, values, arena, err);
        for (size_t i = before; i < out->count && rc == 0; i++)
            rc = check_flag(row, out->values[i].value, err);
    }
    json_decref(json);
    return rc;
}

static void *grow(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t size,
                  size_t *count, struct arena *arena)
{
    char *base = (char *)message;
    size_t *stored = (size_t *)(base + field->quantifier_offset);
    void **items = (void **)(base + field->offset);
    void *bigger = arena_alloc_array(arena, *stored + 1, size);
    if (!bigger)
        return NULL;
    if (*stored > 0)
        memcpy(bigger, *items, *stored * size);
    *items = bigger;
    *count = (*stored)++;
    return bigger;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    CHECK(field);
    return field;
}

bool message_add_text(ProtobufCMessage *message, const char *name, const char *text,
                      struct arena *arena)
{
    const ProtobufCFieldDescriptor *field = field_of(message, name);
    size_t at;
    char *copy = arena_strdup(arena, text);
    char **texts = copy ? grow(message, field, sizeof *texts, &at, arena) : NULL;
    if (!texts)
        return false;
    texts[at] = copy;
    return true;
}

static bool add_label(ProtobufCMessage *message, const char *name, const char *text,
                      struct arena *arena)
{
    const ProtobufCFieldDescriptor *field = field_of(message, name);
    size_t at;
    size_t key_length = strcspn(text, "=");
    const ProtobufCMessageDescriptor *type = field->descriptor;
    char *entry = wire_new(type, arena);
    char *key = arena_strndup(arena, text, key_length);
    char *value = arena_strdup(arena, text[key_length] ? text + key_length + 1 : "");
    void **entries =
        entry && key && value ? grow(message, field, sizeof *entries, &at, arena) : NULL;
    if (!entries)
        return false;
    *(char **)(entry + type->fields[0].offset) = key;
    *(char **)(entry + type->fields[1].offset) = value;
    entries[at] = entry;
    return true;
}

static int add_enum(const struct filter_row *row, const char *text, ProtobufCMessage *message,
                    struct arena *arena, struct err *err)
{
    int value;
    size_t at;
    if (!field_name_value(row->names, text, &value) || !*text)
        return err_set(err, ERR_INTERNAL, "Invalid %s filter: '%.100s'", row->key, text);
    int32_t *values = grow(message, field_of(message, row->proto), sizeof *values, &at, arena);
    if (!values)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
    values[at] = value;
    return 0;
}

int filters_apply(const struct filters *filters, const struct filter_row *rows, size_t rows_count,
                  ProtobufCMessage *message, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < filters->count; i++) {
        const struct filter_value *it = &filters->values[i];
        const struct filter_row *row = find_row(it->key, rows, rows_count);
        CHECK(row);
        bool fits = true;
        int rc = 0;
        if (row->kind == FILTER_TEXTS)
            fits = message_add_text(message, row->proto, it->value, arena);
        else if (row->kind == FILTER_LABELS)
            fits = add_label(message, row->proto, it->value, arena);
        else if (row->kind == FILTER_ENUM)
            rc = add_enum(row, it->value, message, arena, err);
        if (!fits)
            rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
        if (rc)
            return rc;
    }
    return 0;
}

size_t filters_count(const struct filters *filters, const char *key)
{
    size_t count = 0;
    for (size_t i = 0; i < filters->count; i++)
        count += strcmp(filters->values[i].key, key) == 0;
    return count;
}

bool filters_match(const struct filters *filters, const char *key, const char *text, bool prefix)
{
    if (filters_count(filters, key) == 0)
        return true;
    for (size_t i = 0; i < filters->count; i++) {
        const struct filter_value *it = &filters->values[i];
        if (strcmp(it->key, key) == 0 &&
            (prefix ? str_starts(text, it->value) : str_equal(text, it->value)))
            return true;
    }
    return false;
}

static bool is_found(const char *text, const char *wanted)
{
    struct pattern pattern;
    if (str_equal(text, wanted))
        return true;
    if (pattern_init(&pattern, wanted, NULL))
        return false;
    bool found = pattern_found(&pattern, text);
    pattern_fini(&pattern);
    return found;
}

bool filters_found(const struct filters *filters, const char *key, const char *text)
{
    if (filters_count(filters, key) == 0)
        return true;
    for (size_t i = 0; i < filters->count; i++)
        if (str_equal(filters->values[i].key, key) && is_found(text, filters->values[i].value))
            return true;
    return false;
}
