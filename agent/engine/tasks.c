// /tasks
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/list.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

static const struct filter_row task_filters[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},
    {"name", FILTER_TEXTS, "name_prefixes", NULL},
    {"label", FILTER_LABELS, "labels", NULL},
    {"service", FILTER_KNOWN, NULL, NULL}, // names are looked up first
    {"node", FILTER_KNOWN, NULL, NULL},
    {"desired-state", FILTER_ENUM, "desired_states", &task_state_names},
    {"_up-to-date", FILTER_KNOWN, NULL, NULL},
    {"runtime", FILTER_TEXTS, "runtimes", NULL},
};

const struct noun noun_task = {
    .word = "task",
    .get = CONTROL("GetTask"),
    .id_field = "task_id",
    .list = CONTROL("ListTasks"),
    .remove = CONTROL("RemoveTask"),
    .fields = &task_fields,
    .filters = task_filters,
    .filters_count = COUNT_OF(task_filters),
};

// A listing whose service and node names are being looked up, one after the other.
struct listing {
    struct filters filters;
    size_t next; // filter value
    Swarm__ListTasksRequest *message;
};

static void show(struct request *request, struct shelf *shelf)
{
    (void)shelf;
    list_send(request, NULL, NULL);
}

static void look_up(struct request *request);

static void looked_up(struct request *request, const void *object)
{
    struct listing *listing = request_kept(request);
    bool node = strcmp(listing->filters.values[listing->next].key, "node") == 0;
    (void)message_add_text(&listing->message->filters->base, node ? "node_ids" : "service_ids",
                           noun_id(object), request_arena(request));
    listing->next++;
    look_up(request);
}

static void look_up(struct request *request)
{
    struct listing *listing = request_kept(request);
    for (; listing->next < listing->filters.count; listing->next++) {
        const struct filter_value *it = &listing->filters.values[listing->next];
        if (strcmp(it->key, "node") == 0 || strcmp(it->key, "service") == 0) {
            noun_find(request, strcmp(it->key, "node") == 0 ? &noun_node : &noun_service, it->value,
                      looked_up);
            return;
        }
        if (strcmp(it->key, "_up-to-date") == 0)
            listing->message->filters->up_to_date = str_equal(it->value, "true");
    }
    list_ask(request, &noun_task, listing->message, show);
}

static void list(struct request *request)
{
    struct arena *arena = request_arena(request);
    struct err err = ERR_INIT;
    struct listing *listing = ARENA_NEW(arena, struct listing);
    CHECK(listing);
    bool wrong = filters_parse(request_query(request, "filters"), task_filters,
                               COUNT_OF(task_filters), arena, &listing->filters, &err) != 0;
    bool readable = !wrong || str_starts(err.message, "invalid filter");
    if (readable && !request_needs_manager(request))
        return;
    if (wrong) {
        request_fail_err(request, &err);
        return;
    }
    listing->message = request_message(request, CONTROL("ListTasks"));
    listing->message->filters = wire_new(&swarm__list_tasks_request__filters__descriptor, arena);
    if (!listing->message->filters ||
        filters_apply(&listing->filters, task_filters, COUNT_OF(task_filters),
                      &listing->message->filters->base, arena, &err) != 0) {
        request_fail(request, err.code == ERR_INTERNAL ? 500 : 400, "%s", err.message);
        return;
    }
    request_keep(request, listing);
    look_up(request);
}

static void inspect(struct request *request)
{
    noun_inspect(request, &noun_task);
}

static const struct endpoint rows[] = {
    {"GET", "/tasks", list},
    {"GET", "/tasks/{id}", inspect},
};
SWARM_ENDPOINTS(task_endpoints, rows);
