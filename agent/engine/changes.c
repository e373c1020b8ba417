#include "agent/engine/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"

const char *const changes_kinds[] = {"node", "service", "network", "secret", "config"};
const size_t changes_kinds_count = COUNT_OF(changes_kinds);

// Numbers as text, and the attributes, of the event in the making.
struct draft {
    struct bus_event event;
    struct bus_attribute attributes[16];
    char texts[4][24];
    size_t texts_count;
};

static void put(struct draft *draft, const char *key, const char *value)
{
    CHECK(draft->event.attributes_count < COUNT_OF(draft->attributes));
    draft->attributes[draft->event.attributes_count++] = (struct bus_attribute){key, value};
}

// Both sides of a text that changed.
static void put_change(struct draft *draft, const char *key_old, const char *key_new,
                       const char *was, const char *now)
{
    if (strcmp(was, now) == 0)
        return;
    put(draft, key_old, was);
    put(draft, key_new, now);
}

static const char *number(struct draft *draft, uint64_t value)
{
    CHECK(draft->texts_count < COUNT_OF(draft->texts));
    char *text = draft->texts[draft->texts_count++];
    snprintf(text, sizeof draft->texts[0], "%" PRIu64, value);
    return text;
}

static const char *flag(bool value)
{
    return value ? "true" : "false";
}

// ---- nouns --------------------------------------------------------------------------------------

static void add_node(struct draft *draft, const Swarm__Node *node, const Swarm__Node *was)
{
    const char *name = node->spec->annotations->name;
    if (str_empty(name) && node->description)
        name = node->description->hostname;
    put(draft, "name", name);
    if (!was)
        return;
    put_change(draft, "availability.old", "availability.new",
               field_name_text(&node_availability_names, was->spec->availability),
               field_name_text(&node_availability_names, node->spec->availability));
    put_change(draft, "role.old", "role.new", field_name_text(&node_role_names, was->role),
               field_name_text(&node_role_names, node->role));
    if (was->status && node->status)
        put_change(draft, "state.old", "state.new",
                   field_name_text(&node_state_names, was->status->state),
                   field_name_text(&node_state_names, node->status->state));
    if (!was->manager_status || !node->manager_status)
        return;
    put_change(draft, "leader.old", "leader.new", flag(was->manager_status->leader),
               flag(node->manager_status->leader));
    put_change(draft, "reachability.old", "reachability.new",
               field_name_text(&reachability_names, was->manager_status->reachability),
               field_name_text(&reachability_names, node->manager_status->reachability));
}

static const char *image_of(const Swarm__Service *service)
{
    const Swarm__TaskSpec *task = service->spec->task;
    return task && task->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER
               ? task->container->image
               : "";
}

static bool is_replicated(const Swarm__Service *service)
{
    return service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_REPLICATED;
}

static void add_service(struct draft *draft, const Swarm__Service *service,
                        const Swarm__Service *was)
{
    put(draft, "name", service->spec->annotations->name);
    if (!was)
        return;
    if (is_replicated(service) && is_replicated(was) &&
        service->spec->replicated->replicas != was->spec->replicated->replicas) {
        put(draft, "replicas.old", number(draft, was->spec->replicated->replicas));
        put(draft, "replicas.new", number(draft, service->spec->replicated->replicas));
    }
    put_change(draft, "image.old", "image.new", image_of(was), image_of(service));
    if (!service->update_status)
        return;
    const char *state = field_name_text(&update_state_names, service->update_status->state);
    if (was->update_status)
        put_change(draft, "updatestate.old", "updatestate.new",
                   field_name_text(&update_state_names, was->update_status->state), state);
    else
        put(draft, "updatestate.new", state);
}

// ---- all of them --------------------------------------------------------------------------------

// The name that stands in the object's annotations, and its times. False for other kinds.
static bool describe(struct draft *draft, const Swarm__Object *object, const Swarm__Object *was,
                     const Swarm__Meta **meta)
{
    struct bus_event *event = &draft->event;
    bool alike = was && was->object_case == object->object_case;
    switch (object->object_case) {
    case SWARM__OBJECT__OBJECT_NODE:
        event->type = "node";
        event->actor_id = object->node->id;
        *meta = object->node->meta;
        add_node(draft, object->node, alike ? was->node : NULL);
        return true;
    case SWARM__OBJECT__OBJECT_SERVICE:
        event->type = "service";
        event->actor_id = object->service->id;
        *meta = object->service->meta;
        add_service(draft, object->service, alike ? was->service : NULL);
        return true;
    case SWARM__OBJECT__OBJECT_NETWORK:
        event->type = "network";
        event->actor_id = object->network->id;
        *meta = object->network->meta;
        put(draft, "name", object->network->spec->annotations->name);
        return true;
    case SWARM__OBJECT__OBJECT_SECRET:
        event->type = "secret";
        event->actor_id = object->secret->id;
        *meta = object->secret->meta;
        put(draft, "name", object->secret->spec->annotations->name);
        return true;
    case SWARM__OBJECT__OBJECT_CONFIG:
        event->type = "config";
        event->actor_id = object->config->id;
        *meta = object->config->meta;
        put(draft, "name", object->config->spec->annotations->name);
        return true;
    default:
        return false;
    }
}

void changes_publish(struct bus *bus, const Swarm__WatchMessage__Event *event, struct wall now)
{
    struct draft draft = {0};
    const Swarm__Meta *meta = NULL;
    draft.event.attributes = draft.attributes;
    draft.event.swarm = true;
    bool update = event->action == SWARM__WATCH_ACTION_KIND__WATCH_ACTION_UPDATE;
    bool create = event->action == SWARM__WATCH_ACTION_KIND__WATCH_ACTION_CREATE;
    draft.event.action = create ? "create" : update ? "update" : "remove";
    if (!event->object ||
        !describe(&draft, event->object, update ? event->old_object : NULL, &meta))
        return;
    const Google__Timestamp *at = meta && create   ? meta->created_at
                                  : meta && update ? meta->updated_at
                                                   : NULL;
    draft.event.at = at ? timestamp_to_wall(at) : now;
    bus_publish(bus, &draft.event);
}
