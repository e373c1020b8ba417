#include "agent/reporter.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

struct report {
    struct list link; // in `waiting`, or alone
    char *task_id;
    struct task_status status;
};

void reporter_init(struct reporter *reporter)
{
    *reporter = (struct reporter){0};
    map_init(&reporter->entries);
    list_init(&reporter->waiting);
}

static void report_free(struct report *report)
{
    list_remove(&report->link);
    free(report->task_id);
    free(report);
}

void reporter_fini(struct reporter *reporter)
{
    MAP_EACH (entry, &reporter->entries)
        report_free(entry->value);
    map_fini(&reporter->entries);
}

// Puts it at the end of the queue unless it waits already.
static void enqueue(struct reporter *reporter, struct report *report)
{
    if (report == reporter->flying)
        reporter->flying_again = true;
    else if (list_empty(&report->link))
        list_push_back(&reporter->waiting, &report->link);
}

void reporter_set(struct reporter *reporter, const char *task_id, const struct task_status *status)
{
    struct report *report = map_get_str(&reporter->entries, task_id);
    if (!report) {
        report = MEM_NEW(struct report);
        list_init(&report->link);
        report->task_id = str_dup(task_id);
        map_put_str(&reporter->entries, task_id, report);
    } else if (status->state < report->status.state) {
        return;
    }
    report->status = *status;
    enqueue(reporter, report);
}

void reporter_forget(struct reporter *reporter, const char *task_id)
{
    struct report *report = map_remove_str(&reporter->entries, task_id);
    if (!report)
        return;
    // Its answer may still come; it then concerns nothing.
    if (report == reporter->flying)
        reporter->flying = NULL;
    report_free(report);
}

void reporter_restart(struct reporter *reporter)
{
    // What was under way ended with its session.
    struct report *flying = reporter->flying;
    reporter->flying = NULL;
    reporter->busy = false;
    if (flying)
        list_push_front(&reporter->waiting, &flying->link);
    MAP_EACH (entry, &reporter->entries)
        enqueue(reporter, entry->value);
}

const struct task_status *reporter_next(struct reporter *reporter, const char **task_id)
{
    if (reporter->busy)
        return NULL;
    struct list *link = list_pop_front(&reporter->waiting);
    if (!link)
        return NULL;
    struct report *report = LIST_ENTRY(link, struct report, link);
    reporter->busy = true;
    reporter->flying = report;
    reporter->flying_again = false;
    *task_id = report->task_id;
    return &report->status;
}

void reporter_answered(struct reporter *reporter, bool accepted)
{
    struct report *report = reporter->flying;
    CHECK(reporter->busy);
    reporter->busy = false;
    reporter->flying = NULL;
    if (report && (!accepted || reporter->flying_again))
        enqueue(reporter, report);
}

size_t reporter_waiting(const struct reporter *reporter)
{
    size_t count = 0;
    LIST_EACH (link, &reporter->waiting)
        count++;
    return count;
}

Swarm__TaskStatus *reporter_message(const struct task_status *status, struct arena *arena)
{
    Swarm__TaskStatus *message = wire_new(&swarm__task_status__descriptor, arena);
    if (!message)
        return NULL;
    message->timestamp = timestamp_new(status->at, arena);
    message->state = status->state;
    message->message = arena_strdup(arena, str_or(status->message, ""));
    message->err = arena_strdup(arena, status->err);
    if (status->ports_count) {
        message->port_status = wire_new(&swarm__port_status__descriptor, arena);
        if (!message->port_status)
            return NULL;
        message->port_status->ports = arena_alloc_array(arena, status->ports_count, sizeof(void *));
        for (size_t i = 0; message->port_status->ports && i < status->ports_count; i++) {
            Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, arena);
            if (!port)
                return NULL;
            port->protocol = status->ports[i].protocol;
            port->target_port = status->ports[i].target;
            port->published_port = status->ports[i].published;
            port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
            message->port_status->ports[message->port_status->n_ports++] = port;
        }
    }
    if (status->has_container) {
        Swarm__ContainerStatus *container = wire_new(&swarm__container_status__descriptor, arena);
        if (container) {
            container->container_id = arena_strdup(arena, status->container.id);
            container->pid = status->container.pid;
            container->exit_code = status->exit_code;
            message->runtime_status_case = SWARM__TASK_STATUS__RUNTIME_STATUS_CONTAINER;
            message->container = container;
        }
    }
    return arena_overflowed(arena) ? NULL : message;
}
