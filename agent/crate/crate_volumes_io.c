// Volumes with a mount: a crate uses them from its start to its end.
#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct volume_uses *crate_volumes(const struct crate *crate)
{
    struct volume_uses *uses = NULL;
    for (size_t i = 0; i < json_array_size(crate->points); i++) {
        const json_t *point = json_array_get(crate->points, i);
        const struct volume *volume;
        if (!str_equal(config_str(point, "Type"), "volume") ||
            volumes_find(crate->crates->volumes, config_str(point, "Name"), &volume, NULL))
            continue;
        if (!volume->options_count)
            continue;
        uses = uses ? uses : volume_uses_new(crate->id);
        volume_uses_add(uses, volume);
    }
    return uses;
}

static void begin_work(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    volume_uses_begin(life->uses, &LIST_ENTRY(life->ops.next, struct crate_op, link)->err);
}

static void end_work(struct loop_work *work)
{
    volume_uses_end(CONTAINER_OF(work, struct crate_life, work)->uses);
}

static void worked(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    crate_op_back(life->crate);
    volume_uses_free(life->uses);
    life->uses = NULL;
    life->volumes_done(life->crate);
}

static void run(struct crate *crate, struct volume_uses *uses, void (*job)(struct loop_work *work),
                void (*done)(struct crate *crate))
{
    struct crate_life *life = crate->life;
    CHECK(!life->uses);
    if (!volume_uses_count(uses)) {
        volume_uses_free(uses);
        done(crate);
        return;
    }
    life->uses = uses;
    life->volumes_done = done;
    crate->crates->pending++;
    loop_work_start(crate->crates->loop, &life->work, job, worked);
}

void crate_volumes_begin(struct crate *crate, void (*done)(struct crate *crate))
{
    run(crate, crate_volumes(crate), begin_work, done);
}

void crate_volumes_end(struct crate *crate, void (*done)(struct crate *crate))
{
    run(crate, volume_uses_of(crate->crates->volumes, crate->id), end_work, done);
}

void crate_volumes_tell(const struct crate *crate, const char *action)
{
    const struct crates *crates = crate->crates;
    bool mounts = str_equal(action, "mount"), removes = str_equal(action, "destroy");
    for (size_t i = 0; crates->event && i < json_array_size(crate->points); i++) {
        const json_t *point = json_array_get(crate->points, i);
        const char *name = config_str(point, "Name");
        const struct volume *volume;
        if (!str_equal(config_str(point, "Type"), "volume") ||
            (removes && volumes_find(crates->volumes, name, &volume, NULL) == 0))
            continue;
        // As dockerd: who mounts it is told at both ends, the rest at the first.
        const char *extra[] = {"driver",
                               "local",
                               mounts || str_equal(action, "unmount") ? "container" : NULL,
                               crate->id,
                               mounts ? "destination" : NULL,
                               config_str(point, "Destination"),
                               "read/write",
                               config_bool(point, "RW") ? "true" : "false",
                               "propagation",
                               config_str(point, "Propagation"),
                               NULL};
        struct crate_event event = {
            .action = action, .crate = crate, .volume = name, .extra = extra};
        crates->event(crates->owner, &event);
    }
}
