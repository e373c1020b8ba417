#include "agent/reporter.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

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
