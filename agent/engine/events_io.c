// /events
#include <stdlib.h>

#include "agent/engine/bus.h"
#include "agent/engine/engine.h"
#include "agent/engine/event_match.h"
#include "agent/engine/info_io.h"
#include "agent/engine/stamp.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/loop_io.h"
#include "proto/base/str.h"

// Clients that follow at once, on one node.
#define EVENTS_FOLLOWERS_MAX 4096

struct follower {
    struct bus_follower core;
    struct request *request;
    const struct bus *bus;
    struct filters filters;   // in the request's arena
    struct wall since, until; // 0: none
    uint64_t next;            // the number of the next event to look at
    struct loop_timer end;    // until
    bool past_only;
};

static size_t followers_count;

size_t events_listeners(void)
{
    return followers_count;
}

static void finish(struct follower *follower)
{
    bus_unfollow(&follower->core);
    request_stream_end(follower->request);
}

static bool wanted(const struct follower *follower, const struct bus_event *event)
{
    return event->at.ns >= follower->since.ns &&
           (follower->until.ns == 0 || event->at.ns <= follower->until.ns) &&
           event_match(&follower->filters, event);
}

// Sends as the client takes it; what it has not read waits on the bus, for everybody at once.
static void pump(struct follower *follower)
{
    struct bus_kept kept;
    while (request_room(follower->request) > 0 && bus_get(follower->bus, follower->next, &kept)) {
        if (kept.number > follower->next) { // too slow: it missed events, and must not think not
            bus_unfollow(&follower->core);
            request_stream_abort(follower->request);
            return;
        }
        follower->next = kept.number + 1;
        if (!wanted(follower, &kept.event))
            continue;
        struct buf line;
        buf_init(&line, kept.json_bytes + 1);
        buf_put(&line, kept.json, kept.json_bytes);
        buf_put_u8(&line, '\n');
        request_stream_write(follower->request, line.data, line.len);
        buf_fini(&line);
    }
    if (follower->past_only && follower->next >= bus_next(follower->bus))
        finish(follower);
}

static void on_news(struct bus_follower *core)
{
    pump(CONTAINER_OF(core, struct follower, core));
}

static void on_end(struct loop_timer *timer)
{
    struct follower *follower = CONTAINER_OF(timer, struct follower, end);
    follower->past_only = true;
    pump(follower);
}

static void on_drain(struct request *request, void *owner)
{
    (void)request;
    pump(owner);
}

static void on_over(struct request *request, void *owner, bool gone)
{
    (void)request;
    (void)gone;
    struct follower *follower = owner;
    loop_timer_stop(&follower->end);
    bus_unfollow(&follower->core);
    followers_count--;
    free(follower);
}

static const struct request_events events = {.drain = on_drain, .over = on_over};

// The oldest event to look at.
static uint64_t first_number(const struct follower *follower)
{
    struct bus_kept kept;
    if (follower->since.ns == 0 && follower->until.ns == 0)
        return bus_next(follower->bus);
    return bus_get(follower->bus, 0, &kept) ? kept.number : bus_next(follower->bus);
}

static bool read_times(struct request *request, struct wall *since, struct wall *until)
{
    struct err err = ERR_INIT;
    const char *from = request_query(request, "since"), *to = request_query(request, "until");
    if (stamp_parse(from, since, &err) || stamp_parse(to, until, &err)) {
        request_fail(request, request_bad_status(request), "%s", err.message);
        return false;
    }
    if (until->ns && since->ns > until->ns) {
        request_fail(request, 400, "`since` time (%s) cannot be after `until` time (%s)", from, to);
        return false;
    }
    return true;
}

static void follow(struct request *request)
{
    struct err err = ERR_INIT;
    struct wall since, until;
    struct filters filters;
    if (!read_times(request, &since, &until))
        return;
    // Alone of all lists, dockerd's of events takes keys it does not know, and they mean nothing.
    if (filters_parse(request_query(request, "filters"), NULL, 0, request_arena(request), &filters,
                      &err)) {
        request_fail_filters(request, &err);
        return;
    }
    if (followers_count >= EVENTS_FOLLOWERS_MAX) {
        request_fail(request, 503, "more than %d clients follow the events", EVENTS_FOLLOWERS_MAX);
        return;
    }
    struct follower *follower = MEM_NEW(struct follower);
    *follower = (struct follower){.core.news = on_news,
                                  .request = request,
                                  .bus = request_bus(request),
                                  .filters = filters,
                                  .since = since,
                                  .until = until};
    followers_count++;
    loop_timer_init(&follower->end, request_loop(request), on_end);
    follower->next = first_number(follower);
    int64_t left_ns = until.ns ? wall_since(until, wall_now()) : 0;
    follower->past_only = until.ns != 0 && left_ns <= 0;
    request_follow(request, &events, follower);
    request_stream(request, 200, "application/json");
    bus_follow(request_bus(request), &follower->core);
    if (left_ns > 0)
        loop_timer_start(&follower->end, left_ns / NS_PER_MS + 1);
    pump(follower);
}

static const struct endpoint rows[] = {
    {"GET", "/events", follow},
};
ENDPOINTS(event_endpoints, rows);
