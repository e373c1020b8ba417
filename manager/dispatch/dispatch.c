#include "manager/dispatch/dispatch.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define DISPATCH_MAGIC 0x64736863u

struct dispatch {
    unsigned magic;
    struct loop *loop;
    struct dispatcher *core;
    struct loop_later later;
    struct loop_timer timer;
    struct mono armed; // what the timer is set to
};

struct moment dispatch_moment(const struct dispatch *dispatch)
{
    return (struct moment){.mono = loop_now(dispatch->loop), .wall = wall_now()};
}

void dispatch_kick(struct dispatch *dispatch)
{
    struct mono due = dispatcher_due(dispatch->core);
    if (!mono_before(loop_now(dispatch->loop), due)) {
        loop_later_ask(&dispatch->later); // now, but after what else happens in this turn
    } else if (due.ns == MONO_NEVER.ns) {
        loop_timer_stop(&dispatch->timer);
    } else if (!loop_timer_running(&dispatch->timer) || mono_before(due, dispatch->armed)) {
        // A timer that fires early is cheaper than one that is moved with every heartbeat.
        dispatch->armed = due;
        loop_timer_start_at(&dispatch->timer, due);
    }
}

static void step(struct dispatch *dispatch)
{
    MAGIC_CHECK(dispatch, DISPATCH_MAGIC);
    dispatcher_step(dispatch->core, dispatch_moment(dispatch));
    dispatch_kick(dispatch);
}

static void on_later(struct loop_later *later)
{
    step(CONTAINER_OF(later, struct dispatch, later));
}

static void on_timer(struct loop_timer *timer)
{
    step(CONTAINER_OF(timer, struct dispatch, timer));
}

static void on_wake(void *ctx)
{
    struct dispatch *dispatch = ctx;
    loop_later_ask(&dispatch->later);
}

struct dispatch *dispatch_start(struct loop *loop, const struct dispatcher_config *config)
{
    struct dispatch *dispatch = MEM_NEW(struct dispatch);
    struct dispatcher_config own = *config;
    MAGIC_SET(dispatch, DISPATCH_MAGIC);
    dispatch->loop = loop;
    loop_later_init(&dispatch->later, loop, on_later);
    loop_timer_init(&dispatch->timer, loop, on_timer);
    own.wake = on_wake;
    own.ctx = dispatch;
    dispatch->core = dispatcher_new(&own, dispatch_moment(dispatch));
    dispatch_kick(dispatch);
    return dispatch;
}

void dispatch_stop(struct dispatch *dispatch)
{
    MAGIC_CHECK(dispatch, DISPATCH_MAGIC);
    dispatcher_free(dispatch->core);
    loop_later_cancel(&dispatch->later);
    loop_timer_stop(&dispatch->timer);
    MAGIC_CLEAR(dispatch);
    free(dispatch);
}

void dispatch_set_managers(struct dispatch *dispatch, const struct dispatch_manager *managers,
                           size_t managers_count)
{
    MAGIC_CHECK(dispatch, DISPATCH_MAGIC);
    dispatcher_set_managers(dispatch->core, managers, managers_count);
    dispatch_kick(dispatch);
}

struct dispatcher *dispatch_core(struct dispatch *dispatch)
{
    MAGIC_CHECK(dispatch, DISPATCH_MAGIC);
    return dispatch->core;
}
