// Bodies and filters of the Engine API from anybody: refused, or a message that packs and is
// written as JSON again. The first byte chooses the table.
#include <stdint.h>
#include <string.h>

#include "agent/engine/filter.h"
#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/wire/wire.h"

#define ARENA_BYTES (4 << 20)

static void read_filters(const char *text)
{
    static const struct filter_row rows[] = {
        {"id", FILTER_TEXTS, "id_prefixes", NULL},
        {"label", FILTER_LABELS, "labels", NULL},
        {"role", FILTER_ENUM, "roles", &node_role_names},
    };
    struct arena arena;
    struct filters filters;
    arena_init(&arena, ARENA_BYTES);
    if (filters_parse(text, rows, COUNT_OF(rows), &arena, &filters, NULL) == 0)
        CHECK(filters.count < FILTER_VALUES_MAX);
    arena_fini(&arena);
}

static void read_body(const struct fields *fields, const json_t *json)
{
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    void *message = wire_new(fields->type, &arena);
    if (fields_read(fields, json, message, &arena, NULL) == 0) {
        struct buf packed, text;
        struct json_out out;
        buf_init(&packed, ARENA_BYTES);
        buf_init(&text, 16 * ARENA_BYTES);
        CHECK(wire_pack(message, &packed, NULL) == 0);
        json_out_init(&out, &text);
        json_out_object(&out, NULL);
        fields_write(fields, message, &out);
        json_out_end(&out);
        CHECK(json_out_done(&out));
        json_t *again = json_parse(text.data, text.len, NULL);
        CHECK(again);
        json_decref(again);
        buf_fini(&packed);
        buf_fini(&text);
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct fields *const tables[] = {
        &service_spec_fields, &node_spec_fields,   &cluster_spec_fields,
        &secret_spec_fields,  &config_spec_fields,
    };
    if (size == 0 || size > 65536)
        return 0;
    if (data[0] == 'f') {
        char text[65536];
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        read_filters(text);
        return 0;
    }
    json_t *json = json_parse(data + 1, size - 1, NULL);
    if (json)
        read_body(tables[data[0] % COUNT_OF(tables)], json);
    json_decref(json);
    return 0;
}
