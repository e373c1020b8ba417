// /containers/json and one container, with their sizes.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/crates_io.h"
#include "agent/engine/container_json.h"
#include "agent/engine/container_match.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/rows.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

// ---- list --------------------------------------------------------------------------------------

struct sizing {
    struct errand errand;
    struct loop_work work;
    const struct filters *filters;
    char *root;
    size_t count;
    char (*ids)[CONTAINER_ID_BYTES];
    struct container_size *sizes;
    const struct crates *crates;
    bool one; // an inspect
};

static void sizing_fini(struct errand *errand)
{
    struct sizing *sizing = CONTAINER_OF(errand, struct sizing, errand);
    free(sizing->root);
    free(sizing->ids);
    free(sizing->sizes);
}

static void sizing_work(struct loop_work *work)
{
    struct sizing *sizing = CONTAINER_OF(work, struct sizing, work);
    for (size_t i = 0; i < sizing->count; i++)
        sizing->sizes[i].rw = (int64_t)rootfs_upper_bytes(sizing->root, sizing->ids[i]);
}

static void sizing_done(struct loop_work *work)
{
    struct sizing *sizing = CONTAINER_OF(work, struct sizing, work);
    if (!errand_back(&sizing->errand))
        return;
    struct request *request = sizing->errand.request;
    struct json_out *out = request_write(request);
    struct images *images = crates_images(sizing->crates);
    if (!sizing->one)
        json_out_array(out, NULL);
    size_t written = 0;
    for (size_t i = 0; i < sizing->count; i++) {
        const struct crate *crate = crates_find(sizing->crates, sizing->ids[i], NULL);
        if (!crate)
            continue;
        const struct image *image = library_by_id(images_library(images), crate->image_id);
        sizing->sizes[i].root = sizing->sizes[i].rw + (image ? (int64_t)image->size_bytes : 0);
        if (sizing->one)
            container_write(crate, &sizing->sizes[i], request_minor(request), out);
        else
            container_write_row(crate, &sizing->sizes[i], out);
        written++;
    }
    if (!sizing->one)
        json_out_end(out);
    if (sizing->one && !written)
        request_fail(request, 404, "No such container: %s", sizing->ids[0]);
    else
        request_send(request, 200);
}

// Answers with sizes, which are counted in a worker job.
static struct sizing *sizing_new(struct request *request, const struct crates *crates, size_t most)
{
    struct sizing *sizing = errand_new(request, sizeof *sizing);
    sizing->errand.fini = sizing_fini;
    sizing->crates = crates;
    sizing->root = str_dup(images_root(crates_images(crates)));
    sizing->ids = mem_alloc_array(most + 1, sizeof *sizing->ids);
    sizing->sizes = mem_alloc_array(most + 1, sizeof *sizing->sizes);
    return sizing;
}

static void sizing_start(struct request *request, struct sizing *sizing)
{
    errand_await(&sizing->errand);
    loop_work_start(request_loop(request), &sizing->work, sizing_work, sizing_done);
}

static void list(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    struct filters filters;
    struct err err = ERR_INIT;
    if (!local)
        return;
    struct container_match match;
    int64_t limit = -1;
    const char *limit_text = request_query(request, "limit");
    if (filters_parse(request_query(request, "filters"), container_match_rows,
                      container_match_rows_count, request_arena(request), &filters, &err)) {
        request_fail_filters(request, &err);
        return;
    }
    if (!str_empty(limit_text) && !str_to_i64(limit_text, INT32_MIN, INT32_MAX, &limit))
        err_set(&err, ERR_INTERNAL, "strconv.Atoi: parsing \"%.100s\": invalid syntax", limit_text);
    if (!err.code)
        container_match_make(&filters, local, request_arena(request), &match, &err);
    if (err.code) {
        request_fail_err(request, &err);
        return;
    }
    bool all = request_flag(request, "all") || match.ended || limit > 0;
    bool sized = request_flag(request, "size");
    struct sizing *sizing = sized ? sizing_new(request, local->crates, CRATES_MAX) : NULL;
    struct json_out *out = request_write(request);
    json_out_array(out, NULL);
    int64_t count = 0;
    for (const struct crate *crate = NULL; (crate = crates_next(local->crates, crate));) {
        if (limit > 0 && count >= limit)
            break;
        if ((!all && !crate_running(crate) && crate->state != CRATE_RESTARTING) ||
            !container_match(&match, crate))
            continue;
        count++;
        if (sizing && sizing->count < CRATES_MAX)
            str_copy(sizing->ids[sizing->count++], CONTAINER_ID_BYTES, crate->id);
        else if (!sizing)
            container_write_row(crate, NULL, out);
    }
    json_out_end(out);
    if (sizing)
        sizing_start(request, sizing);
    else
        request_send(request, 200);
}

static void inspect(struct request *request)
{
    struct crate *crate = container_find(request);
    if (!crate)
        return;
    if (request_flag(request, "size")) {
        struct sizing *sizing = sizing_new(request, crate->crates, 1);
        sizing->one = true;
        str_copy(sizing->ids[sizing->count++], CONTAINER_ID_BYTES, crate->id);
        sizing_start(request, sizing);
        return;
    }
    container_write(crate, NULL, request_minor(request), request_write(request));
    request_send(request, 200);
}

static const struct endpoint rows[] = {
    {"GET", "/containers/json", list},
    {"GET", "/containers/{id}/json", inspect},
};
ENDPOINTS(container_list_endpoints, rows);
