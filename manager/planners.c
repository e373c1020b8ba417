#include "manager/planners.h"

#include <stdlib.h>

#include "manager/alloc/alloc.h"
#include "manager/orch/orch.h"
#include "manager/sched/sched.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

struct planners {
    struct store *store;
    struct watch *watch;
    struct alloc *alloc;
    struct sched *sched;
    struct orch *orch;
    bool reload; // the whole state must be read again
    void (*wake)(void *ctx);
    void *ctx;
};

static void on_change(struct watch *watch, void *ctx)
{
    (void)watch;
    struct planners *planners = ctx;
    planners->wake(planners->ctx);
}

struct planners *planners_new(struct store *store, uint64_t seed, void (*wake)(void *ctx),
                              void *ctx)
{
    struct planners *planners = MEM_NEW(struct planners);
    *planners = (struct planners){.store = store,
                                  .alloc = alloc_new(),
                                  .sched = sched_new(),
                                  .orch = orch_new(seed),
                                  .reload = true,
                                  .wake = wake,
                                  .ctx = ctx};
    struct watch_options options = {.wake = on_change, .ctx = planners};
    int opened = watch_open(store, &options, &planners->watch, NULL);
    CHECK(opened == 0);
    return planners;
}

void planners_free(struct planners *planners)
{
    watch_close(planners->watch);
    orch_free(planners->orch);
    sched_free(planners->sched);
    alloc_free(planners->alloc);
    free(planners);
}

static void load(struct planners *planners, struct mono tick, struct wall now)
{
    struct view view = store_pin(planners->store);
    alloc_load(planners->alloc, view, tick);
    sched_load(planners->sched, view, now);
    orch_load(planners->orch, view, tick);
    store_unpin(view);
    planners->reload = false;
}

static void feed(struct planners *planners, struct mono tick, struct wall now)
{
    struct watch_event event;
    while (watch_next(planners->watch, &event)) {
        if (event.action == WATCH_LOST) {
            planners->reload = true;
        } else {
            alloc_event(planners->alloc, &event, tick);
            sched_event(planners->sched, &event, now, tick);
            orch_event(planners->orch, &event, tick);
        }
        watch_event_fini(&event);
    }
}

// One could not write. The log being full for the moment passes; a lost office is told by Raft. In
// both cases they start again from what is really there.
static void after_error(struct planners *planners, const char *who, const struct err *err)
{
    log_debug("planner could not write", "planner=%s err=\"%s\"", who, err->message);
    planners->reload = true;
}

static bool is_due(struct mono due, struct mono tick)
{
    return !mono_before(tick, due);
}

static void run(struct planners *planners, struct mono tick, struct wall now)
{
    struct store *store = planners->store;
    struct err err = ERR_INIT;
    if (is_due(orch_due(planners->orch), tick) && orch_run(planners->orch, store, now, tick, &err))
        after_error(planners, "orch", &err);
    if (is_due(alloc_due(planners->alloc), tick) &&
        alloc_run(planners->alloc, store, now, tick, &err))
        after_error(planners, "alloc", &err);
    if (is_due(sched_due(planners->sched), tick) &&
        sched_run_and_write(planners->sched, store, now, tick, &err))
        after_error(planners, "sched", &err);
}

struct mono planners_turn(struct planners *planners, struct mono tick, struct wall now)
{
    feed(planners, tick, now);
    // Reading everything again makes sense only once what is on its way has arrived or failed.
    if (planners->reload && store_settled(planners->store))
        load(planners, tick, now);
    if (!planners->reload)
        run(planners, tick, now);
    if (planners->reload)
        return mono_add(tick, PLANNERS_RELOAD_NS);
    struct mono due = orch_due(planners->orch);
    if (mono_before(alloc_due(planners->alloc), due))
        due = alloc_due(planners->alloc);
    if (mono_before(sched_due(planners->sched), due))
        due = sched_due(planners->sched);
    return due;
}
