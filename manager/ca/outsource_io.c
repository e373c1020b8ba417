#include "manager/ca/outsource_io.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define OUTSOURCE_MAGIC 0x6f757473u

struct errand {
    struct outsource *outsource;
    struct external_call *call;
    struct signing signing;
    char *cluster_id, *roots_pem, *intermediates_pem;
};

struct outsource {
    unsigned magic;
    struct outsource_config config;
    struct map errands; // node id -> struct errand
    struct map waiting; // ids of nodes that are tried again; no values
    struct loop_timer retry;
    bool paused; // until `retry`
};

static struct outsource *outsource_of(void *at)
{
    struct outsource *outsource = at;
    MAGIC_CHECK(outsource, OUTSOURCE_MAGIC);
    return outsource;
}

static void errand_free(struct errand *errand)
{
    signing_fini(&errand->signing);
    free(errand->cluster_id);
    free(errand->roots_pem);
    free(errand->intermediates_pem);
    free(errand);
}

// ---- trying again ------------------------------------------------------------------------------

static void look_again(struct outsource *outsource)
{
    struct map waiting = outsource->waiting;
    map_init(&outsource->waiting);
    outsource->paused = false;
    loop_timer_stop(&outsource->retry);
    MAP_EACH (entry, &waiting)
        outsource->config.again(outsource->config.ctx, entry->key);
    map_fini(&waiting);
    outsource->config.ready(outsource->config.ctx);
}

static void on_retry(struct loop_timer *timer)
{
    look_again(outsource_of(CONTAINER_OF(timer, struct outsource, retry)));
}

void outsource_changed(struct outsource *outsource)
{
    look_again(outsource_of(outsource));
}

static void put_off(struct outsource *outsource, const char *node_id, const struct err *err)
{
    bool silent = err->code == ERR_UNAVAILABLE;
    // Once a round: all others would say the same.
    if (!silent || !outsource->paused)
        log_warn("external CA does not sign", "node=%s err=\"%s\"", node_id, err->message);
    outsource->paused |= silent;
    map_put_str(&outsource->waiting, node_id, NULL);
    if (!loop_timer_running(&outsource->retry))
        loop_timer_start(&outsource->retry, OUTSOURCE_RETRY_MS);
}

// ---- one certificate ---------------------------------------------------------------------------

static struct external_order order_of(const struct errand *errand)
{
    return (struct external_order){.csr_pem = errand->signing.csr.data,
                                   .csr_size = errand->signing.csr.len,
                                   .node_id = errand->signing.node_id,
                                   .cluster_id = errand->cluster_id,
                                   .role = errand->signing.role,
                                   .roots_pem = errand->roots_pem,
                                   .intermediates_pem = errand->intermediates_pem};
}

static int take(void *owner, int status, const void *bytes, size_t size, struct err *err)
{
    struct errand *errand = owner;
    struct external_order order = order_of(errand);
    struct buf pem;
    buf_init(&pem, EXTERNAL_ANSWER_BYTES_MAX);
    int result = external_answer(status, bytes, size, &pem, err);
    if (!result)
        result = external_take(&order, buf_cstr(&pem), wall_now(), &errand->signing.chain, err);
    buf_fini(&pem);
    return result;
}

static void done(void *owner, const struct err *err)
{
    struct errand *errand = owner;
    struct outsource *outsource = outsource_of(errand->outsource);
    map_remove_str(&outsource->errands, errand->signing.node_id);
    if (err && err->code != ERR_FAILED_PRECONDITION) {
        put_off(outsource, errand->signing.node_id, err);
    } else {
        if (err)
            errand->signing.err = *err;
        outsource->config.finished(outsource->config.ctx, &errand->signing);
    }
    errand_free(errand);
    outsource->config.ready(outsource->config.ctx);
}

void outsource_sign(struct outsource *outsource, const struct trust *trust, struct signing *signing)
{
    struct errand *errand = MEM_NEW(struct errand);
    CHECK(outsource_takes(outsource));
    errand->outsource = outsource;
    errand->signing = *signing;
    errand->cluster_id = str_dup(trust->cluster_id);
    errand->roots_pem = str_dup(trust->roots_pem);
    errand->intermediates_pem = str_dup(trust->intermediates_pem);
    struct external_order order = order_of(errand);
    struct buf json;
    buf_init(&json, EXTERNAL_REQUEST_BYTES_MAX);
    if (external_request(&order, &json, &errand->signing.err)) {
        outsource->config.finished(outsource->config.ctx, &errand->signing);
        errand_free(errand);
    } else {
        const struct external_ask ask = {.way = &outsource->config.way,
                                         .urls = (const char *const *)trust->external_urls,
                                         .urls_count = trust->external_count,
                                         .roots_pem = trust->server_roots_pem,
                                         .body = (const char *)json.data,
                                         .body_size = json.len,
                                         .take = take,
                                         .done = done,
                                         .owner = errand};
        errand->call = external_ask(&ask);
        map_put_str(&outsource->errands, errand->signing.node_id, errand);
    }
    buf_fini(&json);
}

// ---- life --------------------------------------------------------------------------------------

struct outsource *outsource_new(const struct outsource_config *config)
{
    struct outsource *outsource = MEM_NEW(struct outsource);
    MAGIC_SET(outsource, OUTSOURCE_MAGIC);
    outsource->config = *config;
    map_init(&outsource->errands);
    map_init(&outsource->waiting);
    loop_timer_init(&outsource->retry, config->way.loop, on_retry);
    return outsource;
}

void outsource_free(struct outsource *outsource)
{
    outsource_of(outsource);
    MAP_EACH (entry, &outsource->errands) {
        struct errand *errand = entry->value;
        external_cancel(errand->call);
        errand_free(errand);
    }
    map_fini(&outsource->errands);
    map_fini(&outsource->waiting);
    loop_timer_stop(&outsource->retry);
    MAGIC_CLEAR(outsource);
    free(outsource);
}

bool outsource_takes(const struct outsource *outsource)
{
    return !outsource->paused && map_count(&outsource->errands) < OUTSOURCE_CALLS_MAX;
}

bool outsource_has(const struct outsource *outsource, const char *node_id)
{
    return map_has_str(&outsource->errands, node_id) || map_has_str(&outsource->waiting, node_id);
}
