// Archives of containers' files: out of one, into one, all of one.
#include <string.h>

#include "agent/crate/archive_io.h"
#include "agent/crate/view_io.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand_files.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

struct carrying {
    struct errand_files files; // first
    struct loop_work work;
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    char root[4096];
    char path[4096];
    json_t *points;           // what to mount below a root that only we mounted; NULL: nothing
    struct volume_uses *uses; // with it: volumes that are mounted themselves; NULL: none
    bool whole;
    bool keep_kind;
    bool root_open;
    struct archive_stat stat;
    bool put;
};

static void carrying_fini(struct errand_files *files)
{
    struct carrying *carrying = (struct carrying *)files;
    struct crate *crate =
        carrying->root_open ? crates_find(carrying->crates, carrying->id, NULL) : NULL;
    if (crate)
        crate_root_close(crate);
    json_decref(carrying->points);
    volume_uses_free(carrying->uses);
    if (carrying->crates)
        crates_release(carrying->crates);
}

// NULL after an answer. The path is as the container sees it.
static struct carrying *carrying_new(struct request *request, const char *path)
{
    const struct backend_local *local = errand_local(request);
    struct crate *crate = local ? container_find(request) : NULL;
    struct err err = ERR_INIT;
    if (!crate)
        return NULL;
    if (str_empty(path)) {
        request_fail(request, 400, "bad parameter: path cannot be empty");
        return NULL;
    }
    struct carrying *carrying = errand_new(request, sizeof *carrying);
    carrying->files.fini = carrying_fini;
    carrying->crates = crate->crates;
    crates_hold(crate->crates);
    str_copy(carrying->id, sizeof carrying->id, crate->id);
    if (errand_files_init(&carrying->files, local->tmp_dir, &err) ||
        crate_root_open(crate, carrying->root, &err)) {
        request_fail(request, 500, "%s", err.message);
        return NULL;
    }
    carrying->root_open = true;
    if (!crate_running(crate) && json_array_size(crate->points))
        carrying->points = json_deep_copy(crate->points);
    if (carrying->points)
        carrying->uses = crate_volumes(crate);
    if (!str_format(carrying->path, sizeof carrying->path, path[0] == '/' ? "%s" : "/%s", path)) {
        request_fail(request, 400, "the path is too long");
        return NULL;
    }
    return carrying;
}

static void carrying_fail(struct carrying *carrying)
{
    struct request *request = carrying->files.errand.request;
    const struct err *err = &carrying->files.err;
    if (err->code == ERR_NOT_FOUND)
        request_fail(request, 404, "Could not find the file %.300s in container %s", carrying->path,
                     request_param(request, "id"));
    else
        request_fail_err(request, err);
}

// {"name":...} in base64, as the client wants it in a header.
static void put_stat_header(struct request *request, const struct archive_stat *stat)
{
    char time[WALL_TEXT_BYTES];
    struct buf text;
    struct json_out out;
    buf_init(&text, 32u << 10);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, "name", stat->name);
    json_out_int(&out, "size", stat->size);
    json_out_uint(&out, "mode", stat->go_mode);
    json_out_str(&out, "mtime", wall_format(stat->mtime, time));
    json_out_str(&out, "linkTarget", stat->link);
    json_out_end(&out);
    struct buf encoded;
    buf_init(&encoded, 64u << 10);
    base64_encode(BASE64_STD, text.data, text.len, &encoded);
    request_reply_header(request, "X-Docker-Container-Path-Stat", buf_cstr(&encoded));
    buf_fini(&encoded);
    buf_fini(&text);
}

// Runs it with the container's volumes where they belong.
static void carry(struct carrying *carrying, void (*run)(void *ctx))
{
    if (carrying->points)
        view_run(carrying->root, carrying->points, carrying->uses, run, carrying,
                 &carrying->files.err);
    else
        run(carrying);
}

// Says that it was done, to those who listen.
static void tell(const struct carrying *carrying, const char *action)
{
    const struct crate *crate = crates_find(carrying->crates, carrying->id, NULL);
    if (crate)
        crate_tell(crate, action, NULL);
}

// What was carried; NULL: its client is gone, or has been told what went wrong.
static struct carrying *carried(struct loop_work *work)
{
    struct carrying *carrying = CONTAINER_OF(work, struct carrying, work);
    if (!errand_back(&carrying->files.errand))
        return NULL;
    if (!carrying->files.err.code)
        return carrying;
    carrying_fail(carrying);
    return NULL;
}

static void get_run(void *ctx)
{
    struct carrying *carrying = ctx;
    struct err *err = &carrying->files.err;
    if (!carrying->whole && archive_stat(carrying->root, carrying->path, &carrying->stat, err))
        return;
    archive_write(carrying->root, carrying->path, carrying->whole, carrying->files.path, err);
}

static void get_work(struct loop_work *work)
{
    carry(CONTAINER_OF(work, struct carrying, work), get_run);
}

static void get_done(struct loop_work *work)
{
    struct carrying *carrying = carried(work);
    if (!carrying)
        return;
    if (!carrying->whole)
        put_stat_header(carrying->files.errand.request, &carrying->stat);
    tell(carrying, carrying->whole ? "export" : "archive-path");
    errand_download(&carrying->files,
                    carrying->whole ? "application/octet-stream" : "application/x-tar");
}

static void carry_out(struct request *request, struct carrying *carrying)
{
    errand_await(&carrying->files.errand);
    loop_work_start(request_loop(request), &carrying->work, get_work, get_done);
}

static void archive_get(struct request *request)
{
    struct carrying *carrying = carrying_new(request, request_query(request, "path"));
    if (carrying)
        carry_out(request, carrying);
}

static void export_it(struct request *request)
{
    struct carrying *carrying = carrying_new(request, "/");
    if (!carrying)
        return;
    carrying->whole = true;
    // Volumes are no part of what is exported.
    json_decref(carrying->points);
    carrying->points = NULL;
    carry_out(request, carrying);
}

static void head_run(void *ctx)
{
    struct carrying *carrying = ctx;
    archive_stat(carrying->root, carrying->path, &carrying->stat, &carrying->files.err);
}

static void head_work(struct loop_work *work)
{
    carry(CONTAINER_OF(work, struct carrying, work), head_run);
}

static void head_done(struct loop_work *work)
{
    struct carrying *carrying = carried(work);
    if (!carrying)
        return;
    put_stat_header(carrying->files.errand.request, &carrying->stat);
    request_empty(carrying->files.errand.request, 200);
}

static void archive_head(struct request *request)
{
    struct carrying *carrying = carrying_new(request, request_query(request, "path"));
    if (!carrying)
        return;
    errand_await(&carrying->files.errand);
    loop_work_start(request_loop(request), &carrying->work, head_work, head_done);
}

static void put_run(void *ctx)
{
    struct carrying *carrying = ctx;
    archive_read(carrying->root, carrying->path, carrying->files.path, carrying->keep_kind,
                 &carrying->files.err);
}

static void put_work(struct loop_work *work)
{
    carry(CONTAINER_OF(work, struct carrying, work), put_run);
}

static void put_done(struct loop_work *work)
{
    struct carrying *carrying = carried(work);
    if (!carrying)
        return;
    tell(carrying, "extract-to-dir");
    request_empty(carrying->files.errand.request, 200);
}

static void put_uploaded(struct errand_files *files)
{
    struct carrying *carrying = (struct carrying *)files;
    errand_await(&files->errand);
    loop_work_start(request_loop(files->errand.request), &carrying->work, put_work, put_done);
}

static void archive_put(struct request *request)
{
    struct err err = ERR_INIT;
    struct carrying *carrying = carrying_new(request, request_query(request, "path"));
    if (!carrying)
        return;
    carrying->keep_kind = request_flag(request, "noOverwriteDirNonDir");
    if (errand_upload(&carrying->files, put_uploaded, &err))
        request_fail(request, 500, "%s", err.message);
}

static const struct endpoint rows[] = {
    {"GET", "/containers/{id}/export", export_it},
    {"HEAD", "/containers/{id}/archive", archive_head},
    {"GET", "/containers/{id}/archive", archive_get},
};
ENDPOINTS(container_archive_endpoints, rows);

static const struct endpoint upload_rows[] = {
    {"PUT", "/containers/{id}/archive", archive_put},
};
UPLOAD_ENDPOINTS(container_upload_endpoints, upload_rows);
