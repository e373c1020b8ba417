#include "agent/engine/feed_io.h"

#include <stdlib.h>

#include "agent/engine/changes.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define WATCH_PATH "/docker.swarmkit.v1.Watch/Watch"

struct feed {
    struct loop *loop;
    struct bus *bus;
    struct rpc_client *client;
    struct rpc_request *request; // NULL: between two attempts
    struct loop_timer retry;
    uint64_t version; // up to where the changes are on the bus; 0: from now on
};

static void open_stream(struct feed *feed);

static void on_retry(struct loop_timer *timer)
{
    struct feed *feed = CONTAINER_OF(timer, struct feed, retry);
    if (feed->client && !feed->request)
        open_stream(feed);
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *base)
{
    (void)request;
    struct feed *feed = ctx;
    const Swarm__WatchMessage *message = (const Swarm__WatchMessage *)base;
    for (size_t i = 0; i < message->n_events; i++)
        changes_publish(feed->bus, message->events[i], wall_now());
    if (message->version && message->version->index > feed->version)
        feed->version = message->version->index;
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct feed *feed = ctx;
    feed->request = NULL;
    // The manager does not remember that far back: what happened meanwhile is not told.
    if (status->err.code == ERR_OUT_OF_RANGE)
        feed->version = 0;
    if (status->err.code == ERR_UNIMPLEMENTED)
        log_warn("this node's manager offers no events", "err=\"%s\"", status->err.message);
    else
        loop_timer_start(&feed->retry, FEED_RETRY_MS);
}

static void open_stream(struct feed *feed)
{
    Swarm__WatchRequest request = SWARM__WATCH_REQUEST__INIT;
    Swarm__WatchRequest__WatchEntry entries[8], *list[8];
    Swarm__Version from = SWARM__VERSION__INIT;
    CHECK(changes_kinds_count <= COUNT_OF(entries));
    for (size_t i = 0; i < changes_kinds_count; i++) {
        swarm__watch_request__watch_entry__init(&entries[i]);
        entries[i].kind = changes_kinds[i];
        entries[i].action = (Swarm__WatchActionKind)7; // created, updated, removed
        list[i] = &entries[i];
    }
    request.entries = list;
    request.n_entries = changes_kinds_count;
    request.include_old_object = 1;
    from.index = feed->version;
    request.resume_from = feed->version ? &from : NULL;
    struct rpc_request_spec spec = {.path = WATCH_PATH,
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__watch_message__descriptor,
                                    .wait_for_ready = true,
                                    .on_message = on_message,
                                    .on_done = on_done,
                                    .ctx = feed};
    feed->request = rpc_client_call(feed->client, &spec, &request.base);
}

struct feed *feed_new(struct loop *loop, struct bus *bus)
{
    struct feed *feed = MEM_NEW(struct feed);
    feed->loop = loop;
    feed->bus = bus;
    loop_timer_init(&feed->retry, loop, on_retry);
    return feed;
}

void feed_set_manager(struct feed *feed, struct rpc_client *client)
{
    if (feed->request)
        rpc_request_drop(feed->request);
    feed->request = NULL;
    loop_timer_stop(&feed->retry);
    feed->client = client;
    feed->version = 0; // another client may be another cluster's
    if (client)
        open_stream(feed);
}

void feed_free(struct feed *feed)
{
    feed_set_manager(feed, NULL);
    free(feed);
}
