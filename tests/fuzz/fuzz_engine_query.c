// What queries of the Engine API carry: filters in both forms, moments, names of images; and events
// and log lines made of such texts.
#include <stdlib.h>
#include <string.h>

#include "agent/engine/event_match.h"
#include "agent/engine/log_entry.h"
#include "agent/engine/stamp.h"
#include "manager/control/reference.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static void filters(const char *text)
{
    struct arena arena;
    struct filters filters;
    arena_init(&arena, 1 << 20);
    if (filters_parse(text, NULL, 0, &arena, &filters, NULL) == 0) {
        const struct bus_attribute attributes[] = {{"image", "a/b:1"}, {"name", "web"}};
        const struct bus_event event = {.type = "container",
                                        .action = "exec_start: sh",
                                        .actor_id = "c0ffee",
                                        .attributes = attributes,
                                        .attributes_count = 2};
        event_match(&filters, &event);
    }
    arena_fini(&arena);
}

// The text as everything an event has: what comes out is JSON again.
static void event(const char *text)
{
    struct bus *bus = bus_new();
    const struct bus_attribute attributes[] = {{text, text}, {"image", text}};
    struct bus_kept kept;
    bus_publish(bus, &(struct bus_event){.type = "container",
                                         .action = text,
                                         .actor_id = text,
                                         .attributes = attributes,
                                         .attributes_count = 2});
    if (bus_get(bus, 0, &kept)) {
        json_t *json = json_parse(kept.json, kept.json_bytes, NULL);
        CHECK(json);
        json_decref(json);
    }
    bus_free(bus);
}

static void line(const char *text, size_t size)
{
    struct log_detail details[] = {{text, text}, {"a", text}};
    struct log_entry line = {
        .stream = LOG_STDOUT, .text = text, .bytes = size, .details = details, .details_count = 2};
    struct buf out;
    buf_init(&out, 64 * (size + 64));
    log_entry_put(&out, &line, &(struct log_style){.timestamps = true, .details = true});
    CHECK(buf_cstr(&out));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wall at;
    if (size > 4096)
        return 0;
    char *text = str_ndup((const char *)data, size);
    filters(text);
    event(text);
    line(text, strlen(text));
    stamp_parse(text, &at, NULL);
    reference_valid(text);
    free(text);
    return 0;
}
