#include "agent/engine/fields.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/crate/config.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define PATH_BYTES 256

typedef const ProtobufCFieldDescriptor descriptor;

static descriptor *descriptor_of(const struct fields *fields, const struct field *row)
{
    // A search by name costs as much as writing the field: an object has some fifty of them.
    descriptor **found = &fields->found[row - fields->rows];
    if (!*found)
        *found = protobuf_c_message_descriptor_get_field_by_name(fields->type, row->proto);
    if (!*found)
        check_failed(__FILE__, __LINE__, row->proto, "a table names a field that is not there");
    return *found;
}

static void *member(const void *message, size_t offset)
{
    return (char *)message + offset;
}

// ---- writing -----------------------------------------------------------------------------------

// False when another member of the oneof is set.
static bool is_chosen(descriptor *field, const void *message)
{
    if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return true;
    return *(uint32_t *)member(message, field->quantifier_offset) == field->id;
}

static size_t count_of(descriptor *field, const void *message)
{
    return *(size_t *)member(message, field->quantifier_offset);
}

static int64_t int_of(descriptor *field, const void *message)
{
    const void *at = member(message, field->offset);
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        return *(const int32_t *)at;
    case PROTOBUF_C_TYPE_UINT32:
        return *(const uint32_t *)at;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const int64_t *)at;
    default:
        UNREACHABLE("FIELD_INT stands for integers only");
    }
}

static void write_int(descriptor *field, const void *message, const char *key, unsigned flags,
                      struct json_out *out)
{
    int64_t value = is_chosen(field, message) ? int_of(field, message) : 0;
    if (value == 0 && !(flags & FIELD_ALWAYS))
        return;
    if (field->type == PROTOBUF_C_TYPE_UINT64)
        json_out_uint(out, key, (uint64_t)value);
    else
        json_out_int(out, key, value);
}

static void write_bytes(const struct field *row, const ProtobufCBinaryData *data,
                        struct json_out *out)
{
    if (data->len == 0 && !(row->flags & FIELD_ALWAYS))
        return;
    if (data->len == 0) {
        json_out_str(out, row->json, "");
        return;
    }
    if (row->kind == FIELD_TEXT) {
        json_out_strn(out, row->json, (const char *)data->data, data->len);
        return;
    }
    struct buf text;
    buf_init(&text, base64_length(BASE64_STD, data->len) + 1);
    base64_encode(BASE64_STD, data->data, data->len, &text);
    json_out_strn(out, row->json, (const char *)text.data, text.len);
    buf_fini(&text);
}

static int compare_entries(const void *a, const void *b)
{
    const ProtobufCMessage *const *left = a, *const *right = b;
    size_t key = (*left)->descriptor->fields[0].offset;
    return strcmp(*(char **)member(*left, key), *(char **)member(*right, key));
}

// Go writes maps ordered by key.
static void write_map(const struct field *row, ProtobufCMessage **entries, size_t count,
                      struct json_out *out)
{
    if (count == 0 && !(row->flags & FIELD_ALWAYS))
        return;
    if (count == 0 && !(row->flags & FIELD_EMPTY)) {
        json_out_null(out, row->json);
        return;
    }
    ProtobufCMessage **sorted = mem_alloc_array(count, sizeof *sorted);
    if (count > 0)
        memcpy(sorted, entries, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_entries);
    json_out_object(out, row->json);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *type = sorted[i]->descriptor;
        json_out_str(out, *(char **)member(sorted[i], type->fields[0].offset),
                     *(char **)member(sorted[i], type->fields[1].offset));
    }
    json_out_end(out);
    free(sorted);
}

static void write_list(const struct field *row, void **items, size_t count, struct json_out *out)
{
    if (count == 0 && !(row->flags & FIELD_ALWAYS))
        return;
    if (count == 0 && !(row->flags & FIELD_EMPTY)) {
        json_out_null(out, row->json);
        return;
    }
    json_out_array(out, row->json);
    for (size_t i = 0; i < count; i++) {
        if (row->kind == FIELD_STRINGS) {
            json_out_str(out, NULL, items[i]);
            continue;
        }
        json_out_object(out, NULL);
        fields_write(row->sub, items[i], out);
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_object(const struct field *row, const void *message, struct json_out *out)
{
    if (!message && (row->flags & FIELD_NULL))
        json_out_null(out, row->json);
    if (!message && !(row->flags & FIELD_ALWAYS))
        return;
    json_out_object(out, row->json);
    if (message)
        fields_write(row->sub, message, out);
    json_out_end(out);
}

static void write_text(const struct field *row, const char *text, struct json_out *out)
{
    if (!str_empty(text) || (row->flags & FIELD_ALWAYS))
        json_out_str(out, row->json, text);
}

static void write_wrapped(const struct field *row, const ProtobufCMessage *value,
                          struct json_out *out)
{
    if (!value)
        return;
    descriptor *field = &value->descriptor->fields[0];
    if (field->type == PROTOBUF_C_TYPE_BOOL)
        json_out_bool(out, row->json, *(protobuf_c_boolean *)member(value, field->offset));
    else
        write_int(field, value, row->json, FIELD_ALWAYS, out);
}

static void write_time(const struct field *row, const Google__Timestamp *at, struct json_out *out)
{
    char text[WALL_TEXT_BYTES];
    if (at)
        json_out_str(out, row->json, wall_format(timestamp_to_wall(at), text));
    else if (row->flags & FIELD_ALWAYS)
        json_out_str(out, row->json, "0001-01-01T00:00:00Z"); // Go's zero time
}

static void write_row(const struct fields *fields, const struct field *row, const void *message,
                      struct json_out *out)
{
    if (row->kind == FIELD_CONST) {
        json_out_str(out, row->json, row->proto);
        return;
    }
    descriptor *field = descriptor_of(fields, row);
    const void *at = member(message, field->offset);
    bool chosen = is_chosen(field, message);
    void *pointer = chosen && field->label != PROTOBUF_C_LABEL_REPEATED &&
                            field->type == PROTOBUF_C_TYPE_MESSAGE
                        ? *(void *const *)at
                        : NULL;
    switch (row->kind) {
    case FIELD_STRING:
        write_text(row, chosen ? *(char *const *)at : "", out);
        break;
    case FIELD_BOOL:
        if (*(const protobuf_c_boolean *)at || (row->flags & FIELD_ALWAYS))
            json_out_bool(out, row->json, *(const protobuf_c_boolean *)at);
        break;
    case FIELD_INT:
        write_int(field, message, row->json, row->flags, out);
        break;
    case FIELD_FLOAT:
        // A float that is written as a double would show digits that nobody asked for.
        if (*(const float *)at != 0 || (row->flags & FIELD_ALWAYS))
            json_out_double(out, row->json, round(*(const float *)at * 1e7) / 1e7);
        break;
    case FIELD_ENUM:
        write_text(row, field_name_text(row->sub, *(const int32_t *)at), out);
        break;
    case FIELD_DURATION:
        if ((pointer && !(row->flags & FIELD_NONZERO)) || (row->flags & FIELD_ALWAYS) ||
            duration_to_ns(pointer, 0) != 0)
            json_out_int(out, row->json, duration_to_ns(pointer, 0));
        break;
    case FIELD_TIME:
        write_time(row, pointer, out);
        break;
    case FIELD_BYTES:
    case FIELD_TEXT:
        write_bytes(row, at, out);
        break;
    case FIELD_MAP:
        write_map(row, *(ProtobufCMessage ***)at, count_of(field, message), out);
        break;
    case FIELD_STRINGS:
    case FIELD_OBJECTS:
        write_list(row, *(void ***)at, count_of(field, message), out);
        break;
    case FIELD_OBJECT:
        write_object(row, pointer, out);
        break;
    case FIELD_INLINE:
        if (pointer)
            fields_write(row->sub, pointer, out);
        break;
    case FIELD_WRAPPED:
        write_wrapped(row, pointer, out);
        break;
    case FIELD_GROUP:
    case FIELD_HOOK:
    case FIELD_CONST:
        UNREACHABLE("handled before");
    }
}

// A group is written when any of its members would be, or always.
static void write_group(const struct field *row, const void *message, struct json_out *out)
{
    struct buf probe_buf;
    struct json_out probe;
    buf_init(&probe_buf, SIZE_MAX / 2);
    json_out_init(&probe, &probe_buf);
    json_out_object(&probe, NULL);
    size_t empty = probe_buf.len;
    fields_write(row->sub, message, &probe);
    bool any = probe_buf.len > empty;
    json_out_end(&probe);
    if (any || (row->flags & FIELD_ALWAYS))
        json_out_raw(out, row->json, (const char *)probe_buf.data, probe_buf.len);
    buf_fini(&probe_buf);
}

void fields_write(const struct fields *fields, const void *message, struct json_out *out)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *row = &fields->rows[i];
        if (row->flags & FIELD_READ_ONLY)
            continue;
        if (row->kind == FIELD_HOOK)
            ((const struct field_hook *)row->sub)->write(row->json, message, out);
        else if (row->kind == FIELD_GROUP)
            write_group(row, message, out);
        else
            write_row(fields, row, message, out);
    }
}

// ---- reading -----------------------------------------------------------------------------------

// Where a value stands, for the error texts.
struct place {
    const char *go_type;
    char path[PATH_BYTES];
    struct arena *arena;
    struct err *err;
};

static int wrong_type(const struct place *place, const json_t *value, const char *wanted)
{
    return err_set(place->err, ERR_INVALID_ARGUMENT,
                   "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                   config_go_kind(value), place->go_type, place->path, wanted);
}

static int out_of_memory(const struct place *place)
{
    return err_set(place->err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
}

static int read_fields(const struct fields *fields, const json_t *json, void *message,
                       struct place *place);

json_t *fields_member(const json_t *object, const char *name)
{
    return (json_t *)(uintptr_t)config_member(object, name);
}

static int read_string(const json_t *value, char **out, struct place *place)
{
    if (!json_is_string(value))
        return wrong_type(place, value, "string");
    // A text with a NUL in it would be cut by every C reader behind us.
    if (strlen(json_string_value(value)) != json_string_length(value))
        return err_set(place->err, ERR_INVALID_ARGUMENT, "%s holds a NUL character", place->path);
    *out = arena_strdup(place->arena, json_string_value(value));
    return *out ? 0 : out_of_memory(place);
}

static int read_int(descriptor *field, const json_t *value, void *at, struct place *place)
{
    const char *wanted = field->type == PROTOBUF_C_TYPE_INT32    ? "int32"
                         : field->type == PROTOBUF_C_TYPE_UINT32 ? "uint32"
                         : field->type == PROTOBUF_C_TYPE_INT64  ? "int64"
                                                                 : "uint64";
    if (!json_is_integer(value))
        return wrong_type(place, value, wanted);
    json_int_t number = json_integer_value(value);
    bool is_unsigned =
        field->type == PROTOBUF_C_TYPE_UINT32 || field->type == PROTOBUF_C_TYPE_UINT64;
    bool narrow = field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_UINT32;
    bool fits = !is_unsigned || number >= 0;
    if (narrow)
        fits = fits && number <= (is_unsigned ? (json_int_t)UINT32_MAX : INT32_MAX) &&
               number >= INT32_MIN;
    if (!fits)
        return err_set(place->err, ERR_INVALID_ARGUMENT,
                       "json: cannot unmarshal number %lld into Go struct field %s.%s of type %s",
                       (long long)number, place->go_type, place->path, wanted);
    if (narrow)
        *(int32_t *)at = (int32_t)number;
    else
        *(int64_t *)at = (int64_t)number;
    return 0;
}

static int read_enum(const struct field_names *names, const json_t *value, void *at,
                     struct place *place)
{
    int number;
    if (!json_is_string(value))
        return wrong_type(place, value, "string");
    if (!field_name_value(names, json_string_value(value), &number)) {
        const char *percent = strstr(names->complaint, "%s");
        CHECK(percent);
        return err_set(place->err, ERR_INVALID_ARGUMENT, "%.*s%.200s%s",
                       (int)(percent - names->complaint), names->complaint,
                       json_string_value(value), percent + 2);
    }
    *(int32_t *)at = number;
    return 0;
}

static int read_bytes(enum field_kind kind, const json_t *value, ProtobufCBinaryData *data,
                      struct place *place)
{
    if (!json_is_string(value))
        return wrong_type(place, value, kind == FIELD_TEXT ? "string" : "[]uint8");
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    struct buf decoded;
    buf_init(&decoded, length + 1);
    if (kind == FIELD_TEXT)
        buf_put(&decoded, text, length);
    else if (!base64_decode(BASE64_STD, text, length, &decoded)) {
        buf_fini(&decoded);
        size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789+/");
        // Go names the beginning of a group of four that is cut off.
        if (good == length)
            good -= length % 4;
        return err_set(place->err, ERR_INVALID_ARGUMENT, "illegal base64 data at input byte %zu",
                       good);
    }
    data->len = decoded.len;
    data->data = decoded.len ? arena_memdup(place->arena, decoded.data, decoded.len) : NULL;
    bool fits = data->data || decoded.len == 0;
    buf_wipe(&decoded); // it may be a secret
    return fits ? 0 : out_of_memory(place);
}

static int read_map(descriptor *field, const json_t *value, void *message, struct place *place)
{
    if (!json_is_object(value))
        return wrong_type(place, value, "map[string]string");
    const ProtobufCMessageDescriptor *type = field->descriptor;
    size_t count = json_object_size(value), used = 0;
    ProtobufCMessage **entries = arena_alloc_array(place->arena, count, sizeof *entries);
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)value, key, item)
    {
        ProtobufCMessage *entry = wire_new(type, place->arena);
        if (!entry || !entries)
            return out_of_memory(place);
        char **entry_key = member(entry, type->fields[0].offset);
        char **entry_value = member(entry, type->fields[1].offset);
        *entry_key = arena_strdup(place->arena, key);
        if (!*entry_key)
            return out_of_memory(place);
        int rc = json_is_null(item) ? 0 : read_string(item, entry_value, place);
        if (rc)
            return rc;
        entries[used++] = entry;
    }
    *(void **)member(message, field->offset) = entries;
    *(size_t *)member(message, field->quantifier_offset) = used;
    return 0;
}

static int read_list(const struct field *row, descriptor *field, const json_t *value, void *message,
                     struct place *place)
{
    const struct fields *sub = row->sub;
    char wanted[80];
    if (!json_is_array(value)) {
        str_format(wanted, sizeof wanted, "[]%s",
                   row->kind == FIELD_STRINGS ? "string" : sub->go_type);
        return wrong_type(place, value, wanted);
    }
    size_t count = json_array_size(value);
    void **items = arena_alloc_array(place->arena, count, sizeof *items);
    if (!items)
        return out_of_memory(place);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(value, i);
        int rc = 0;
        items[i] = row->kind == FIELD_STRINGS ? (void *)"" : wire_new(sub->type, place->arena);
        if (!items[i])
            return out_of_memory(place);
        if (json_is_null(item))
            continue;
        if (row->kind == FIELD_STRINGS)
            rc = read_string(item, (char **)&items[i], place);
        else
            rc = read_fields(sub, item, items[i], place);
        if (rc)
            return rc;
    }
    *(void ***)member(message, field->offset) = items;
    *(size_t *)member(message, field->quantifier_offset) = count;
    return 0;
}

// The message of a message field, made when it is not there yet.
static void *submessage(descriptor *field, void *message, struct place *place)
{
    void **at = member(message, field->offset);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        *(uint32_t *)member(message, field->quantifier_offset) = field->id;
        *at = NULL;
    }
    if (!*at)
        *at = wire_new(field->descriptor, place->arena);
    return *at;
}

static int read_duration(const json_t *value, Google__Duration *duration, struct place *place)
{
    if (!json_is_integer(value))
        return wrong_type(place, value, "time.Duration");
    duration_set(duration, json_integer_value(value));
    return 0;
}

static int read_wrapped(const json_t *value, ProtobufCMessage *wrapper, struct place *place)
{
    descriptor *field = &wrapper->descriptor->fields[0];
    void *at = member(wrapper, field->offset);
    if (field->type != PROTOBUF_C_TYPE_BOOL)
        return read_int(field, value, at, place);
    if (!json_is_boolean(value))
        return wrong_type(place, value, "bool");
    *(protobuf_c_boolean *)at = json_is_true(value);
    return 0;
}

static int read_message_row(const struct field *row, descriptor *field, const json_t *value,
                            void *message, struct place *place)
{
    void *sub = submessage(field, message, place);
    if (!sub)
        return out_of_memory(place);
    if (row->kind == FIELD_DURATION)
        return read_duration(value, sub, place);
    if (row->kind == FIELD_WRAPPED)
        return read_wrapped(value, sub, place);
    return read_fields(row->sub, value, sub, place);
}

static int read_row(const struct fields *fields, const struct field *row, const json_t *value,
                    void *message, struct place *place)
{
    descriptor *field = descriptor_of(fields, row);
    void *at = member(message, field->offset);
    bool one_of = field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
    // The docker command sends the others as well, empty; these choose nothing.
    if (one_of && json_is_string(value) && json_string_length(value) == 0)
        return 0;
    if (one_of && field->type != PROTOBUF_C_TYPE_MESSAGE)
        *(uint32_t *)member(message, field->quantifier_offset) = field->id;
    switch (row->kind) {
    case FIELD_STRING:
        return read_string(value, at, place);
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            return wrong_type(place, value, "bool");
        *(protobuf_c_boolean *)at = json_is_true(value);
        return 0;
    case FIELD_INT:
        return read_int(field, value, at, place);
    case FIELD_FLOAT:
        if (!json_is_number(value))
            return wrong_type(place, value, "float32");
        *(float *)at = (float)json_number_value(value);
        return 0;
    case FIELD_ENUM:
        return read_enum(row->sub, value, at, place);
    case FIELD_BYTES:
    case FIELD_TEXT:
        return read_bytes(row->kind, value, at, place);
    case FIELD_MAP:
        return read_map(field, value, message, place);
    case FIELD_STRINGS:
    case FIELD_OBJECTS:
        return read_list(row, field, value, message, place);
    case FIELD_DURATION:
    case FIELD_WRAPPED:
    case FIELD_OBJECT:
        return read_message_row(row, field, value, message, place);
    case FIELD_TIME:
    case FIELD_INLINE:
    case FIELD_GROUP:
    case FIELD_HOOK:
    case FIELD_CONST:
        break;
    }
    UNREACHABLE("rows that are never read, or were handled before");
}

static int read_member(const struct fields *fields, const struct field *row, const json_t *json,
                       void *message, struct place *place)
{
    if (row->kind == FIELD_INLINE) {
        void *sub = submessage(descriptor_of(fields, row), message, place);
        if (!sub)
            return out_of_memory(place);
        const char *go_type = place->go_type;
        struct fields inlined = *(const struct fields *)row->sub;
        inlined.go_type = go_type;
        return read_fields(&inlined, json, sub, place);
    }
    const json_t *value = fields_member(json, row->json);
    if (!value)
        return 0;
    size_t length = strlen(place->path);
    str_format(place->path + length, sizeof place->path - length, "%s%s", length ? "." : "",
               row->json);
    const char *go_type = place->go_type;
    int rc;
    if (row->kind == FIELD_HOOK)
        rc = ((const struct field_hook *)row->sub)->read(value, message, place->arena, place->err);
    else if (row->kind == FIELD_GROUP)
        rc = read_fields(row->sub, value, message, place);
    else
        rc = read_row(fields, row, value, message, place);
    if (rc == 0) { // an error keeps its place
        place->path[length] = '\0';
        place->go_type = go_type;
    }
    return rc;
}

static int read_fields(const struct fields *fields, const json_t *json, void *message,
                       struct place *place)
{
    if (!json_is_object(json))
        return place->path[0] ? wrong_type(place, json, fields->go_type)
                              : err_set(place->err, ERR_INVALID_ARGUMENT,
                                        "json: cannot unmarshal %s into Go value of type swarm.%s",
                                        config_go_kind(json), fields->go_type);
    place->go_type = fields->go_type;
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *row = &fields->rows[i];
        if (row->flags & FIELD_WRITE_ONLY || row->kind == FIELD_CONST || row->kind == FIELD_TIME)
            continue;
        place->go_type = fields->go_type;
        int rc = read_member(fields, row, json, message, place);
        if (rc)
            return rc;
    }
    return 0;
}

int fields_read(const struct fields *fields, const json_t *json, void *message, struct arena *arena,
                struct err *err)
{
    struct place place = {.go_type = fields->go_type, .arena = arena, .err = err};
    return read_fields(fields, json, message, &place);
}

bool fields_is_decoding(const struct err *err)
{
    return str_starts(err->message, "json: ") || str_starts(err->message, "illegal base64");
}

// ---- names -------------------------------------------------------------------------------------

const char *field_name_text(const struct field_names *names, int value)
{
    for (size_t i = 0; i < names->count; i++)
        if (names->rows[i].value == value)
            return names->rows[i].text;
    return "";
}

bool field_name_value(const struct field_names *names, const char *text, int *out)
{
    if (!*text) {
        *out = names->fallback;
        return true;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (strcasecmp(names->rows[i].text, text) == 0) {
            *out = names->rows[i].value;
            return true;
        }
    }
    return false;
}
