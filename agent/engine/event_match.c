#include "agent/engine/event_match.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *attribute(const struct bus_event *event, const char *key)
{
    for (size_t i = 0; i < event->attributes_count; i++)
        if (strcmp(event->attributes[i].key, key) == 0)
            return event->attributes[i].value;
    return NULL;
}

// "health_status" also stands for "health_status: healthy", and so do the two exec actions, whose
// command stands behind the colon.
static bool match_action(const struct filters *filters, const char *action)
{
    const char *colon = strchr(action, ':');
    char head[64];
    if (filters_match(filters, "event", action, false))
        return true;
    if (!colon || (size_t)(colon - action) >= sizeof head)
        return false;
    memcpy(head, action, (size_t)(colon - action));
    head[colon - action] = '\0';
    return filters_match(filters, "event", head, false);
}

// The beginning of the id or the name is enough.
static bool match_noun(const struct filters *filters, const char *key,
                       const struct bus_event *event)
{
    const char *name = attribute(event, "name");
    return filters_match(filters, key, event->actor_id, true) ||
           (name && filters_match(filters, key, name, true));
}

// An image by its id, its name, or its name without the tag.
static bool match_image(const struct filters *filters, const struct bus_event *event)
{
    if (filters_count(filters, "image") == 0)
        return true;
    const char *name =
        str_or(attribute(event, strcmp(event->type, "image") ? "image" : "name"), "");
    char bare[512];
    str_copy(bare, sizeof bare, name);
    char *slash = strrchr(bare, '/'), *colon = strrchr(bare, ':');
    if (colon && (!slash || colon > slash))
        *colon = '\0';
    return filters_match(filters, "image", event->actor_id, false) ||
           filters_match(filters, "image", name, false) ||
           filters_match(filters, "image", bare, false);
}

static bool match_labels(const struct filters *filters, const struct bus_event *event)
{
    for (size_t i = 0; i < filters->count; i++) {
        const char *wanted = filters->values[i].value;
        if (strcmp(filters->values[i].key, "label") != 0)
            continue;
        const char *equals = strchr(wanted, '=');
        size_t length = equals ? (size_t)(equals - wanted) : strlen(wanted);
        bool found = false;
        for (size_t k = 0; k < event->attributes_count; k++)
            found |= strlen(event->attributes[k].key) == length &&
                     memcmp(event->attributes[k].key, wanted, length) == 0 &&
                     (!equals || str_equal(event->attributes[k].value, equals + 1));
        if (!found)
            return false;
    }
    return true;
}

bool event_match(const struct filters *filters, const struct bus_event *event)
{
    static const char *const nouns[] = {"config", "container", "daemon",  "network", "node",
                                        "plugin", "secret",    "service", "volume"};
    if (!filters_match(filters, "type", event->type, false) ||
        !filters_match(filters, "scope", event->swarm ? "swarm" : "local", false) ||
        !match_action(filters, event->action) || !match_image(filters, event) ||
        !match_labels(filters, event))
        return false;
    for (size_t i = 0; i < COUNT_OF(nouns); i++)
        if (!match_noun(filters, nouns[i], event))
            return false;
    return true;
}
