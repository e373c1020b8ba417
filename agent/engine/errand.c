#include "agent/engine/errand.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static void maybe_free(struct errand *errand)
{
    if (errand->request || errand->pending)
        return;
    if (errand->fini)
        errand->fini(errand);
    free(errand);
}

static void on_drain(struct request *request, void *owner)
{
    (void)request;
    struct errand *errand = owner;
    if (errand->drain)
        errand->drain(errand);
}

static void on_body(struct request *request, void *owner, const uint8_t *bytes, size_t size)
{
    (void)request;
    struct errand *errand = owner;
    if (errand->body)
        errand->body(errand, bytes, size);
}

static void on_body_end(struct request *request, void *owner)
{
    (void)request;
    struct errand *errand = owner;
    if (errand->body_end)
        errand->body_end(errand);
}

static void on_over(struct request *request, void *owner, bool gone)
{
    (void)request;
    (void)gone;
    struct errand *errand = owner;
    errand->request = NULL;
    if (errand->gone)
        errand->gone(errand);
    maybe_free(errand);
}

void *errand_new(struct request *request, size_t size)
{
    static const struct request_events events = {on_drain, on_body, on_body_end, on_over};
    CHECK(size >= sizeof(struct errand));
    struct errand *errand = mem_alloc(size);
    errand->request = request;
    request_follow(request, &events, errand);
    return errand;
}

void errand_await(struct errand *errand)
{
    errand->pending++;
}

bool errand_back(struct errand *errand)
{
    CHECK(errand->pending);
    errand->pending--;
    if (errand->request)
        return true;
    maybe_free(errand);
    return false;
}

const struct backend_local *errand_local(struct request *request)
{
    void *ctx;
    const struct backend *backend = request_backend(request, &ctx);
    struct backend_local *local = ARENA_NEW(request_arena(request), struct backend_local);
    if (!local || !backend->local) {
        request_fail(request, 501, "containers are not served by this node");
        return NULL;
    }
    backend->local(ctx, local);
    if (local->crates && local->images && local->volumes)
        return local;
    request_fail(request, 503, "%s",
                 str_or(local->lacking, "this node cannot run containers: it is starting"));
    return NULL;
}

void errand_fail(struct request *request, const struct err *err)
{
    if (err->code == ERR_FAILED_PRECONDITION)
        request_fail(request, 500, "%s", err->message);
    else
        request_fail_err(request, err);
}
