// What an earlier life left of containers that nobody knows any more: what runs is killed, and
// layer, sandbox, holds on volumes and logs go.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container_priv_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define LEAVINGS_MAX 100000
#define ID_CHARS     (CONTAINER_ID_BYTES - 1)

struct orphan {
    struct containers *containers;
    char id[CONTAINER_ID_BYTES];
    struct volume_uses *uses;
    struct loop_work work;
    struct err err;
};

// ---- taking away -------------------------------------------------------------------------------

static void orphan_work(struct loop_work *work)
{
    struct orphan *orphan = CONTAINER_OF(work, struct orphan, work);
    volume_uses_end(orphan->uses);
    rootfs_remove(images_root(orphan->containers->images), orphan->id, &orphan->err);
}

static void orphan_worked(struct loop_work *work)
{
    struct orphan *orphan = CONTAINER_OF(work, struct orphan, work);
    struct containers *containers = orphan->containers;
    char path[4096];
    if (orphan->err.code)
        log_warn("leavings of a container stay", "container=%s err=\"%s\"", orphan->id,
                 orphan->err.message);
    else if (str_format(path, sizeof path, "%s/%s.log", containers->log_dir, orphan->id))
        logs_remove(path);
    volumes_release_all(containers->volumes, orphan->id, true);
    containers->sweeping--;
    volume_uses_free(orphan->uses);
    free(orphan);
}

static void orphan_detached(void *owner, const struct err *err)
{
    struct orphan *orphan = owner;
    if (err)
        orphan->err = *err;
    orphan->uses = volume_uses_of(orphan->containers->volumes, orphan->id);
    loop_work_start(orphan->containers->loop, &orphan->work, orphan_work, orphan_worked);
}

static void orphan_deleted(void *owner, const struct err *err)
{
    struct orphan *orphan = owner;
    if (err || !orphan->containers->nets)
        orphan_detached(owner, err);
    else
        nets_sandbox_remove(orphan->containers->nets, orphan->id, orphan_detached, orphan);
}

static void orphan_begin(struct containers *containers, const char *id)
{
    struct orphan *orphan = MEM_NEW(struct orphan);
    orphan->containers = containers;
    str_copy(orphan->id, sizeof orphan->id, id);
    containers->sweeping++;
    log_info("leavings of a container nobody knows are taken away", "container=%s", id);
    runtime_delete(containers->runtime, orphan->id, true, orphan_deleted, orphan);
}

// ---- finding -----------------------------------------------------------------------------------

// Only what has the name of a container of ours.
static bool is_container_id(const char *id)
{
    return strlen(id) == ID_CHARS && strspn(id, "0123456789abcdef") == ID_CHARS;
}

static void note(void *owner, const char *id)
{
    struct containers *containers = owner;
    if (is_container_id(id) && map_count(&containers->leavings) < LEAVINGS_MAX)
        map_put_str(&containers->leavings, id, NULL);
}

static void note_logs(struct containers *containers)
{
    DIR *folder = opendir(containers->log_dir);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char id[CONTAINER_ID_BYTES];
        size_t size = strcspn(entry->d_name, ".");
        // "<id>.log", and its older files behind it.
        if (!str_starts(entry->d_name + size, ".log"))
            continue;
        str_format(id, sizeof id, "%.*s", (int)size, entry->d_name);
        note(containers, id);
    }
    if (folder)
        closedir(folder);
}

void container_sweep_note(struct containers *containers)
{
    struct runtime_status status;
    size_t position = 0;
    while (runtime_next(containers->runtime, &position, &status))
        note(containers, status.id);
    rootfs_each(images_root(containers->images), note, containers);
    note_logs(containers);
}

size_t containers_sweep(struct containers *containers, bool (*claimed)(void *owner, const char *id),
                        void *owner)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    size_t count = 0;
    MAP_EACH (entry, &containers->leavings)
        if (!map_has_str(&containers->by_id, entry->key) && !claimed(owner, entry->key)) {
            orphan_begin(containers, entry->key);
            count++;
        }
    map_fini(&containers->leavings);
    map_init(&containers->leavings);
    return count;
}
