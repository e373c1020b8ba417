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
    struct list scrapes; // struct scrape, that wait for the manager
    size_t scrapes_count;
    struct loop_timer patience; // with the manager
    unsigned open;              // parts that still have to close
    void (*closed)(void *owner);
    void *owner;
};

// A request that waits.
struct scrape {
    struct list link;
    struct metrics *metrics;
    struct http_exchange *exchange;
};

static void answer(struct metrics *metrics, struct http_exchange *exchange, const void *told,
                   size_t told_size)
{
    struct buf text;
    buf_init(&text, METRICS_BYTES_MAX);
    metrics->sources->node(metrics->sources->ctx, &text);
    if (told_size)
        buf_put(&text, told, told_size);
    if (buf_ok(&text))
        http_reply(exchange, 200, METRICS_CONTENT_TYPE, text.data, text.len);
    else
        http_reply(exchange, 500, NULL, NULL, 0);
    buf_fini(&text);
}

static void answer_all(struct metrics *metrics, const void *told, size_t told_size)
{
    loop_timer_stop(&metrics->patience);
    while (!list_empty(&metrics->scrapes)) {
        struct scrape *scrape = LIST_ENTRY(metrics->scrapes.next, struct scrape, link);
        list_remove(&scrape->link);
        list_init(&scrape->link); // on_done takes it out again
        answer(metrics, scrape->exchange, told, told_size);
    }
}

static void on_patience_over(struct loop_timer *timer)
{
    struct metrics *metrics = CONTAINER_OF(timer, struct metrics, patience);
    log_warn("the manager process does not tell its figures", "waiting=%zu",
             metrics->scrapes_count);
    answer_all(metrics, NULL, 0);
}

void metrics_manager_told(struct metrics *metrics, const void *text, size_t size)
{
    MAGIC_CHECK(metrics, METRICS_MAGIC);
    answer_all(metrics, text, size);
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
    // Whoever comes while the manager is asked shares its answer.
    bool asked = loop_timer_running(&metrics->patience);
    if (!asked && !metrics->sources->ask_manager(metrics->sources->ctx)) {
        answer(metrics, exchange, NULL, 0);
        return;
    }
    struct scrape *scrape = MEM_NEW(struct scrape);
    scrape->metrics = metrics;
    scrape->exchange = exchange;
    list_push_back(&metrics->scrapes, &scrape->link);
    metrics->scrapes_count++;
    http_exchange_follow(exchange, &events, scrape);
    if (!asked)
        loop_timer_start(&metrics->patience, METRICS_MANAGER_MS);
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
    answer_all(metrics, NULL, 0);
    listener_close(metrics->listener, part_closed);
    http_server_stop(metrics->server, GRACE_MS, part_closed, metrics);
}
