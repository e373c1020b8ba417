// Volumes with a mount, when a task's container ends: its part in them ends before its removal,
// which may be days away.
#include <stdlib.h>

#include "agent/container_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct ending {
    struct containers *containers;
    struct volume_uses *uses;
    struct loop_work work;
};

static void ending_work(struct loop_work *work)
{
    volume_uses_end(CONTAINER_OF(work, struct ending, work)->uses);
}

static void ending_worked(struct loop_work *work)
{
    struct ending *ending = CONTAINER_OF(work, struct ending, work);
    ending->containers->sweeping--;
    volume_uses_free(ending->uses);
    free(ending);
}

void container_volumes_end(struct containers *containers, const char *id)
{
    struct volume_uses *uses = volume_uses_of(containers->volumes, id);
    if (!uses)
        return;
    struct ending *ending = MEM_NEW(struct ending);
    ending->containers = containers;
    ending->uses = uses;
    containers->sweeping++;
    loop_work_start(containers->loop, &ending->work, ending_work, ending_worked);
}
