// /containers/prune: what does not run is removed, and told with the room that its changes took.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/crates_io.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/filter.h"
#include "agent/engine/rows.h"
#include "agent/engine/stamp.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

static const struct filter_row prune_filters[] = {
    {"label", FILTER_KNOWN}, {"label!", FILTER_KNOWN}, {"until", FILTER_KNOWN}};

struct pruning {
    struct errand errand;
    struct loop_work work;
    struct crates *crates;
    char *root; // of images and layers, for the worker
    size_t count;
    struct pruned {
        struct pruning *pruning;
        char *id;
        uint64_t bytes;
        bool removed;
    } * list;
};

static void pruning_fini(struct errand *errand)
{
    struct pruning *pruning = CONTAINER_OF(errand, struct pruning, errand);
    for (size_t i = 0; i < pruning->count; i++)
        free(pruning->list[i].id);
    free(pruning->list);
    free(pruning->root);
}

static void answer(struct pruning *pruning)
{
    struct json_out *out = request_write(pruning->errand.request);
    uint64_t freed = 0;
    size_t written = 0;
    json_out_object(out, NULL);
    for (size_t i = 0; i < pruning->count; i++) {
        if (!pruning->list[i].removed)
            continue;
        if (written++ == 0)
            json_out_array(out, "ContainersDeleted");
        json_out_str(out, NULL, pruning->list[i].id);
        freed += pruning->list[i].bytes;
    }
    if (written)
        json_out_end(out);
    else
        json_out_null(out, "ContainersDeleted");
    json_out_uint(out, "SpaceReclaimed", freed);
    json_out_end(out);
    tell_pruned(pruning->errand.request, "container", freed);
    request_send(pruning->errand.request, 200);
}

static void removed(void *owner, const struct err *err)
{
    struct pruned *pruned = owner;
    struct pruning *pruning = pruned->pruning;
    pruned->removed = !err; // else it was started or removed by somebody else meanwhile
    if (errand_back(&pruning->errand) && !pruning->errand.pending)
        answer(pruning);
}

static void count_bytes(struct loop_work *work)
{
    struct pruning *pruning = CONTAINER_OF(work, struct pruning, work);
    for (size_t i = 0; i < pruning->count; i++)
        pruning->list[i].bytes = rootfs_upper_bytes(pruning->root, pruning->list[i].id);
}

static void counted(struct loop_work *work)
{
    struct pruning *pruning = CONTAINER_OF(work, struct pruning, work);
    if (!errand_back(&pruning->errand))
        return; // its client is gone, and nothing was done yet
    for (size_t i = 0; i < pruning->count; i++) {
        struct crate *crate = crates_find(pruning->crates, pruning->list[i].id, NULL);
        if (!crate)
            continue;
        errand_await(&pruning->errand);
        crate_remove(crate, false, false, removed, &pruning->list[i]);
    }
    if (!pruning->errand.pending)
        answer(pruning);
}

static bool is_wanted(const struct crate *crate, const struct filters *filters, struct wall until)
{
    const json_t *labels = json_object_get(crate->config, "Labels");
    return !crate->task && !crate_running(crate) && crate->state != CRATE_RESTARTING &&
           crate->state != CRATE_REMOVING && crate->created.ns <= until.ns &&
           container_labels_fit(labels, filters, "label", true) &&
           container_labels_fit(labels, filters, "label!", false);
}

static void prune(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    struct wall until = {INT64_MAX};
    if (!local)
        return;
    if (filters_parse(request_query(request, "filters"), prune_filters, COUNT_OF(prune_filters),
                      request_arena(request), &filters, &err)) {
        request_fail_filters_as(request, 400, &err); // at every version
        return;
    }
    for (size_t i = 0; i < filters.count; i++)
        if (str_equal(filters.values[i].key, "until") &&
            stamp_filter_parse(filters.values[i].value, wall_now(), &until, &err)) {
            request_fail(request, request_bad_status(request), "%s", err.message);
            return;
        }
    struct pruning *pruning = errand_new(request, sizeof *pruning);
    pruning->errand.fini = pruning_fini;
    pruning->crates = local->crates;
    pruning->root = str_dup(images_root(local->images));
    pruning->list = mem_alloc_array(CRATES_MAX, sizeof *pruning->list);
    for (struct crate *crate = NULL; (crate = crates_next(local->crates, crate));)
        if (is_wanted(crate, &filters, until) && pruning->count < CRATES_MAX)
            pruning->list[pruning->count++] =
                (struct pruned){.pruning = pruning, .id = str_dup(crate->id)};
    errand_await(&pruning->errand);
    loop_work_start(request_loop(request), &pruning->work, count_bytes, counted);
}

static const struct endpoint rows[] = {
    {"POST", "/containers/prune", prune},
};
ENDPOINTS(container_prune_endpoints, rows);
