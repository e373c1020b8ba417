#include "cmd/skepd/metrics_io.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/metrics.h"
#include "proto/base/str.h"
#include "proto/http/server_io.h"

#define METRICS_MAGIC 0x6d747273u
#define GRACE_MS      1000

struct metrics {
    unsigned magic;
    const struct metrics_sources *sources;
    struct http_server *server;
    struct listener *listener;
    struct list scrapes; // struct scrape, that wait for the processes
    size_t scrapes_count;
    bool asked[METRICS_PROCESSES]; // and not answered yet
    struct buf told;               // by those that answered
    struct loop_timer patience;    // with them
    unsigned open;                 // parts that still have to close
    void (*closed)(void *owner);
    void *owner;
};

// A request that waits.
struct scrape {
    struct list link;
    struct metrics *metrics;
    struct http_exchange *exchange;
};

static void answer(struct metrics *metrics, struct http_exchange *exchange)
{
    struct buf text;
    buf_init(&text, METRICS_BYTES_MAX);
    metrics->sources->node(metrics->sources->ctx, &text);
    buf_put(&text, metrics->told.data, metrics->told.len);
    if (buf_ok(&text))
        http_reply(exchange, 200, METRICS_CONTENT_TYPE, text.data, text.len);
    else
        http_reply(exchange, 500, NULL, NULL, 0);
    buf_fini(&text);
}

static void answer_all(struct metrics *metrics)
{
    loop_timer_stop(&metrics->patience);
    memset(metrics->asked, 0, sizeof metrics->asked);
    while (!list_empty(&metrics->scrapes)) {
        struct scrape *scrape = LIST_ENTRY(metrics->scrapes.next, struct scrape, link);
        list_remove(&scrape->link);
        list_init(&scrape->link); // on_done takes it out again
        answer(metrics, scrape->exchange);
    }
    buf_clear(&metrics->told);
}

static bool any_asked(const struct metrics *metrics)
{
    for (size_t i = 0; i < METRICS_PROCESSES; i++)
        if (metrics->asked[i])
            return true;
    return false;
}

static void on_patience_over(struct loop_timer *timer)
{
    struct metrics *metrics = CONTAINER_OF(timer, struct metrics, patience);
    log_warn("a process does not tell its figures", "manager=%d resolver=%d relay=%d waiting=%zu",
             metrics->asked[METRICS_MANAGER], metrics->asked[METRICS_RESOLVER],
             metrics->asked[METRICS_RELAY], metrics->scrapes_count);
    answer_all(metrics);
}

void metrics_told(struct metrics *metrics, enum metrics_process process, const void *text,
                  size_t size)
{
    MAGIC_CHECK(metrics, METRICS_MAGIC);
    CHECK(process < METRICS_PROCESSES);
    if (!metrics->asked[process])
        return;
    metrics->asked[process] = false;
    buf_put(&metrics->told, text, size);
    if (!any_asked(metrics))
        answer_all(metrics);
}

static void on_done(struct http_exchange *exchange, void *owner, bool gone)
{
    (void)exchange;
    (void)gone;
    struct scrape *scrape = owner;
    list_remove(&scrape->link);
    scrape->metrics->scrapes_count--;
    free(scrape);
}

static void handle(struct http_exchange *exchange, void *context)
{
    static const struct http_events events = {.on_done = on_done};
    struct metrics *metrics = context;
    MAGIC_CHECK(metrics, METRICS_MAGIC);
    if (metrics->scrapes_count >= METRICS_WAITING_MAX) {
        http_reply(exchange, 503, NULL, NULL, 0);
        return;
    }
    // Whoever comes while they are asked shares the answers.
    bool waiting = any_asked(metrics);
    for (size_t i = 0; i < METRICS_PROCESSES && !waiting; i++)
        metrics->asked[i] = metrics->sources->ask(metrics->sources->ctx, (enum metrics_process)i);
    if (!any_asked(metrics)) {
        answer(metrics, exchange);
        return;
    }
    struct scrape *scrape = MEM_NEW(struct scrape);
    scrape->metrics = metrics;
    scrape->exchange = exchange;
    list_push_back(&metrics->scrapes, &scrape->link);
    metrics->scrapes_count++;
    http_exchange_follow(exchange, &events, scrape);
    if (!waiting)
        loop_timer_start(&metrics->patience, METRICS_PATIENCE_MS);
}

static const struct http_handler scrape_handler = {.handle = handle};
static const struct route routes[] = {{"GET", "/metrics", &scrape_handler}};

static void on_accept(struct listener *listener, struct conn *conn, void *owner)
{
    (void)listener;
    struct metrics *metrics = owner;
    http_server_take(metrics->server, conn);
}

int metrics_open(struct loop *loop, const char *addr, const struct metrics_sources *sources,
                 struct metrics **out, struct err *err)
{
    struct listener_options options = {.fd = -1, .on_accept = on_accept};
    if (addr_parse(addr, 0, &options.addr, err))
        return err_wrap(err, "metrics-addr");
    struct metrics *metrics = MEM_NEW(struct metrics);
    MAGIC_SET(metrics, METRICS_MAGIC);
    options.owner = metrics;
    metrics->listener = listener_open(loop, &options, err);
    if (!metrics->listener) {
        free(metrics);
        return err_wrap(err, "metrics-addr");
    }
    metrics->sources = sources;
    metrics->server = http_server_new(
        loop, &(struct http_server_options){
                  .routes = routes, .routes_count = COUNT_OF(routes), .context = metrics});
    list_init(&metrics->scrapes);
    buf_init(&metrics->told, METRICS_BYTES_MAX);
    loop_timer_init(&metrics->patience, loop, on_patience_over);
    *out = metrics;
    log_info("metrics are served", "addr=%s", addr);
    return 0;
}

static void part_closed(void *owner)
{
    struct metrics *metrics = owner;
    if (--metrics->open > 0)
        return;
    void (*closed)(void *owner) = metrics->closed;
    void *closed_owner = metrics->owner;
    CHECK(metrics->scrapes_count == 0);
    buf_fini(&metrics->told);
    MAGIC_CLEAR(metrics);
    free(metrics);
    closed(closed_owner);
}

void metrics_close(struct metrics *metrics, void (*closed)(void *owner), void *owner)
{
    MAGIC_CHECK(metrics, METRICS_MAGIC);
    metrics->closed = closed;
    metrics->owner = owner;
    metrics->open = 2;
    answer_all(metrics);
    listener_close(metrics->listener, part_closed);
    http_server_stop(metrics->server, GRACE_MS, part_closed, metrics);
}
