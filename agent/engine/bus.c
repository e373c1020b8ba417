#include "agent/engine/bus.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define JSON_BYTES_MAX ((size_t)256 * 1024) // of one event

// One event in one block of memory's worth: its line, and its parts for the filters.
struct kept {
    struct bus_event event;
    struct bus_attribute *attributes;
    char *texts; // all strings, each with its NUL
    char *json;
    size_t json_bytes;
    size_t bytes; // all of it
};

struct bus {
    struct kept *ring[BUS_EVENTS]; // number n is at n % BUS_EVENTS
    uint64_t first, next;          // numbers kept: first to next - 1
    size_t bytes;
    struct list followers;
};

struct bus *bus_new(void)
{
    struct bus *bus = MEM_NEW(struct bus);
    bus->first = bus->next = 1;
    list_init(&bus->followers);
    return bus;
}

static void drop_oldest(struct bus *bus)
{
    struct kept **at = &bus->ring[bus->first % BUS_EVENTS];
    struct kept *kept = *at;
    *at = NULL;
    bus->first++;
    bus->bytes -= kept->bytes;
    free(kept->attributes);
    free(kept->texts);
    free(kept->json);
    free(kept);
}

void bus_free(struct bus *bus)
{
    CHECK(list_empty(&bus->followers));
    while (bus->first < bus->next)
        drop_oldest(bus);
    free(bus);
}

// ---- keeping ------------------------------------------------------------------------------------

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct bus_attribute *)a)->key, ((const struct bus_attribute *)b)->key);
}

static const char *put_text(char **at, const char *text)
{
    const char *copy = *at;
    size_t bytes = strlen(text) + 1;
    memcpy(*at, text, bytes);
    *at += bytes;
    return copy;
}

// Containers and images also carry the members that older clients read.
static void write_legacy(const struct bus_event *event, struct json_out *out)
{
    bool container = strcmp(event->type, "container") == 0;
    if (!container && strcmp(event->type, "image") != 0)
        return;
    json_out_str(out, "status", event->action);
    json_out_str(out, "id", event->actor_id);
    for (size_t i = 0; container && i < event->attributes_count; i++)
        if (strcmp(event->attributes[i].key, "image") == 0)
            json_out_str(out, "from", event->attributes[i].value);
}

static void write_json(struct kept *kept)
{
    struct buf text;
    struct json_out out;
    const struct bus_event *event = &kept->event;
    buf_init(&text, JSON_BYTES_MAX);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    write_legacy(event, &out);
    json_out_str(&out, "Type", event->type);
    json_out_str(&out, "Action", event->action);
    json_out_object(&out, "Actor");
    json_out_str(&out, "ID", event->actor_id);
    json_out_object(&out, "Attributes");
    for (size_t i = 0; i < event->attributes_count; i++)
        json_out_str(&out, event->attributes[i].key, event->attributes[i].value);
    json_out_end(&out);
    json_out_end(&out);
    json_out_str(&out, "scope", event->swarm ? "swarm" : "local");
    json_out_int(&out, "time", event->at.ns / NS_PER_S);
    json_out_int(&out, "timeNano", event->at.ns);
    json_out_end(&out);
    if (json_out_done(&out)) {
        kept->json = str_ndup((const char *)text.data, text.len);
        kept->json_bytes = text.len;
    }
    buf_fini(&text);
}

static struct kept *keep(const struct bus_event *event)
{
    struct kept *kept = MEM_NEW(struct kept);
    size_t count =
        event->attributes_count < BUS_ATTRIBUTES_MAX ? event->attributes_count : BUS_ATTRIBUTES_MAX;
    const char *actor_id = str_or(event->actor_id, "");
    size_t bytes = strlen(event->type) + strlen(event->action) + strlen(actor_id) + 3;
    for (size_t i = 0; i < count; i++)
        bytes +=
            strlen(event->attributes[i].key) + strlen(str_or(event->attributes[i].value, "")) + 2;
    kept->texts = mem_alloc(bytes);
    kept->attributes = mem_alloc_array(count ? count : 1, sizeof *kept->attributes);
    char *at = kept->texts;
    kept->event = (struct bus_event){.type = put_text(&at, event->type),
                                     .action = put_text(&at, event->action),
                                     .actor_id = put_text(&at, actor_id),
                                     .swarm = event->swarm,
                                     .at = event->at,
                                     .attributes = kept->attributes,
                                     .attributes_count = count};
    for (size_t i = 0; i < count; i++) {
        kept->attributes[i].key = put_text(&at, event->attributes[i].key);
        kept->attributes[i].value = put_text(&at, str_or(event->attributes[i].value, ""));
    }
    qsort(kept->attributes, count, sizeof *kept->attributes, by_key);
    write_json(kept);
    kept->bytes = sizeof *kept + bytes + count * sizeof *kept->attributes + kept->json_bytes;
    return kept;
}

void bus_publish(struct bus *bus, const struct bus_event *event)
{
    struct kept *kept = keep(event);
    if (!kept->json) { // longer than any line may be
        free(kept->attributes);
        free(kept->texts);
        free(kept);
        return;
    }
    uint64_t most = list_empty(&bus->followers) ? BUS_EVENTS_BACK : BUS_EVENTS;
    while (bus->next - bus->first >= most)
        drop_oldest(bus);
    bus->ring[bus->next % BUS_EVENTS] = kept;
    bus->next++;
    bus->bytes += kept->bytes;
    while (bus->bytes > BUS_BYTES && bus->first + 1 < bus->next)
        drop_oldest(bus);
    LIST_EACH_SAFE (link, &bus->followers) {
        struct bus_follower *follower = LIST_ENTRY(link, struct bus_follower, link);
        follower->news(follower);
    }
}

// ---- reading ------------------------------------------------------------------------------------

bool bus_get(const struct bus *bus, uint64_t number, struct bus_kept *out)
{
    uint64_t at = number < bus->first ? bus->first : number;
    if (at >= bus->next)
        return false;
    const struct kept *kept = bus->ring[at % BUS_EVENTS];
    *out = (struct bus_kept){
        .number = at, .event = kept->event, .json = kept->json, .json_bytes = kept->json_bytes};
    return true;
}

uint64_t bus_next(const struct bus *bus)
{
    return bus->next;
}

void bus_follow(struct bus *bus, struct bus_follower *follower)
{
    list_push_back(&bus->followers, &follower->link);
}

void bus_unfollow(struct bus_follower *follower)
{
    list_remove(&follower->link);
}
