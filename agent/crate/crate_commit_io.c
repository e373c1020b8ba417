// An image made of a container: paused -> its layer read in a worker job -> goes on -> the image.
#include "agent/crate/archive_io.h"
#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define COMMAND_BYTES (64u << 10) // a longer one is not written down

json_t *crate_image_config(const struct crate *crate)
{
    static const char *const names[] = {"User",       "ExposedPorts", "Env",        "Entrypoint",
                                        "Cmd",        "Volumes",      "WorkingDir", "Labels",
                                        "StopSignal", "Healthcheck",  "OnBuild",    "Shell"};
    json_t *out = json_object();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_t *value = json_object_get(crate->config, names[i]);
        bool empty = !value || json_is_null(value) ||
                     (json_is_string(value) && str_empty(json_string_value(value)));
        if (!empty)
            json_object_set_new(out, names[i], json_deep_copy(value));
    }
    return out;
}

static void commit_made(void *owner, const struct image *image, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    struct crate_commit *commit = op->commit;
    if (err) {
        op->err = *err;
    } else {
        str_copy(commit->image_id, sizeof commit->image_id, image->id);
        crate_tell(crate, "commit",
                   (const char *const[]){"comment", str_or(commit->comment, ""), "imageID",
                                         image->id, "imageRef", str_or(commit->reference, ""),
                                         NULL});
    }
    crate_op_end(crate);
}

// As dockerd: the words of the command that it was made with.
static void command_text(const struct crate *crate, struct buf *text)
{
    const json_t *words = config_of(crate->config, "Cmd");
    buf_init(text, COMMAND_BYTES);
    for (size_t i = 0; i < json_array_size(words); i++)
        buf_printf(text, i ? " %s" : "%s", json_string_value(json_array_get(words, i)));
}

static void commit_image(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    struct buf text;
    if (op->err.code) {
        crate_op_end(crate);
        return;
    }
    command_text(crate, &text);
    struct import_config config = {.config = op->commit->config,
                                   .comment = op->commit->comment,
                                   .author = op->commit->author,
                                   .created_by = buf_ok(&text) ? buf_cstr(&text) : NULL};
    crate->crates->pending++;
    images_commit(crate->crates->images, crate->image_id, op->commit->layer_path, &config,
                  op->commit->reference, commit_made, crate);
    buf_fini(&text);
}

static void commit_resumed(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    if (err && crate_running(crate))
        log_warn("a container stays paused", "name=%s err=\"%s\"", crate->name, err->message);
    else if (crate_running(crate))
        crate->state = CRATE_RUNNING;
    commit_image(crate);
}

static void commit_work(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    struct crate *crate = life->crate;
    struct crate_op *op = LIST_ENTRY(life->ops.next, struct crate_op, link);
    char upper[ROOTFS_PATH_BYTES];
    if (!rootfs_upper(images_root(crate->crates->images), crate->id, upper, &op->err))
        archive_write_layer(upper, op->commit->layer_path, &op->err);
}

static void commit_worked(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    struct crate *crate = life->crate;
    crate_op_back(crate);
    if (!crate_op_now(crate)->paused || !crate_running(crate)) {
        commit_image(crate);
        return;
    }
    crate->crates->pending++;
    runtime_resume(crate->crates->runtime, crate->id, commit_resumed, crate);
}

static void commit_read(struct crate *crate)
{
    crate->crates->pending++;
    loop_work_start(crate->crates->loop, &crate->life->work, commit_work, commit_worked);
}

static void commit_paused(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    if (err && crate_running(crate)) {
        op->err = *err;
        crate_op_end(crate);
        return;
    }
    op->paused = !err;
    if (op->paused && crate_running(crate))
        crate->state = CRATE_PAUSED;
    commit_read(crate);
}

void crate_commit_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    if (op->commit->pause && crate->state == CRATE_RUNNING) {
        crate->crates->pending++;
        runtime_pause(crate->crates->runtime, crate->id, commit_paused, crate);
        return;
    }
    commit_read(crate);
}

void crate_commit(struct crate *crate, struct crate_commit *commit, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_COMMIT, done, owner);
    op->commit = commit;
    crate_op_queue(crate, op);
}
