#include "manager/ca/settle_io.h"

#include <stdlib.h>

#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/identity/x509.h"

static void go_on(struct settling *settling);

static void forget(struct settling *settling)
{
    list_remove(&settling->link);
    free(settling->crossed_pem);
    settling->crossed_pem = NULL;
}

static void fail(struct settling *settling, const struct err *err)
{
    forget(settling);
    settling->settled(settling, NULL, err);
}

// ---- reaching somebody -------------------------------------------------------------------------

static void unreachable(struct settling *settling, const char *why)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_INVALID_ARGUMENT,
            "there must be at least one valid, reachable external CA corresponding to the %s CA "
            "certificate: %s",
            settling->plan.needs[settling->heard].what, why);
    fail(settling, &err);
}

static void on_reached(void *owner, const struct err *err)
{
    struct settling *settling = owner;
    settling->call = NULL;
    if (err) {
        unreachable(settling, err->message);
        return;
    }
    settling->heard++;
    go_on(settling);
}

static void reach(struct settling *settling)
{
    const struct settle_need *need = &settling->plan.needs[settling->heard];
    if (need->urls_count == 0) {
        unreachable(settling, "there is none");
        return;
    }
    settling->call = external_ask(&(struct external_ask){.way = settling->way,
                                                         .urls = need->urls,
                                                         .urls_count = need->urls_count,
                                                         .roots_pem = need->root_pem,
                                                         .done = on_reached,
                                                         .owner = settling});
}

// ---- the new root, signed outside --------------------------------------------------------------

static int take_crossed(void *owner, int status, const void *bytes, size_t size, struct err *err)
{
    struct settling *settling = owner;
    struct buf pem;
    buf_init(&pem, EXTERNAL_ANSWER_BYTES_MAX);
    int result = external_answer(status, bytes, size, &pem, err);
    if (!result)
        result = external_take_crossed(buf_cstr(&pem), settling->plan.root_pem,
                                       settling->plan.needs[0].root_pem, wall_now(), err);
    struct buf clean;
    buf_init(&clean, EXTERNAL_ANSWER_BYTES_MAX);
    if (!result)
        result = x509_normalise(buf_cstr(&pem), &clean, err);
    if (!result)
        settling->crossed_pem = str_dup(buf_cstr(&clean));
    buf_fini(&clean);
    buf_fini(&pem);
    return result;
}

static void on_crossed(void *owner, const struct err *err)
{
    struct settling *settling = owner;
    settling->call = NULL;
    if (err) {
        struct err why = ERR_INIT;
        err_set(&why, ERR_INTERNAL,
                "unable to generate a cross-signed certificate for root rotation: %s",
                err->message);
        fail(settling, &why);
        return;
    }
    go_on(settling);
}

static void cross(struct settling *settling)
{
    const struct settle_need *need = &settling->plan.needs[0];
    struct err err = ERR_INIT;
    struct buf json;
    buf_init(&json, EXTERNAL_REQUEST_BYTES_MAX);
    if (external_cross_request(settling->plan.root_pem, settling->plan.key_pem, settling->way->rng,
                               &json, &err))
        fail(settling, &err);
    else
        settling->call = external_ask(&(struct external_ask){.way = settling->way,
                                                             .urls = need->urls,
                                                             .urls_count = need->urls_count,
                                                             .roots_pem = need->root_pem,
                                                             .body = (const char *)json.data,
                                                             .body_size = json.len,
                                                             .take = take_crossed,
                                                             .done = on_crossed,
                                                             .owner = settling});
    buf_fini(&json);
}

// ---- life --------------------------------------------------------------------------------------

static void go_on(struct settling *settling)
{
    const struct settle_plan *plan = &settling->plan;
    struct err err = ERR_INIT;
    if (settling->heard < plan->needs_count) {
        reach(settling);
    } else if (plan->crossed_outside && !settling->crossed_pem) {
        cross(settling);
    } else if (settle_apply(settling->cluster, plan, settling->crossed_pem, settling->way->rng,
                            settling->arena, &err)) {
        fail(settling, &err);
    } else {
        forget(settling);
        settling->settled(settling, settling->cluster, NULL);
    }
}

void settling_start(struct settling *settling, const struct external_way *way,
                    Swarm__Cluster *cluster, struct arena *arena)
{
    struct err err = ERR_INIT;
    settling->way = way;
    settling->cluster = cluster;
    settling->arena = arena;
    settling->heard = 0;
    settling->call = NULL;
    settling->crossed_pem = NULL;
    if (settle_plan(cluster, way->rng, wall_now(), arena, &settling->plan, &err))
        fail(settling, &err);
    else
        go_on(settling);
}

void settling_cancel(struct settling *settling)
{
    if (settling->call)
        external_cancel(settling->call);
    forget(settling);
}
