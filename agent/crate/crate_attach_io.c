// Those who look at and write to the standard streams of a crate: before its start they wait, while
// it runs each has a connection to conmon of its own.
#include <stdlib.h>

#include "agent/crate/crates_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

struct crate_attach {
    unsigned magic;
    struct list link; // crate_life.attaches while it waits or runs, then crates.drains
    struct crates *crates;
    struct stdio *stdio; // NULL: the container does not run
    const struct crate_attach_events *events;
    void *owner;
    struct loop_later ending; // tells that it ended
    struct buf early;         // input that came before the start
    bool end_early;
    bool paused;
    bool ended;
};

static void attach_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct crate_attach *attach = owner;
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    attach->events->output(attach->owner, stream, bytes, size);
}

static void attach_ended(void *owner)
{
    struct crate_attach *attach = owner;
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    list_remove(&attach->link);
    attach->ended = true;
    attach->events->ended(attach->owner);
}

static void ending_run(struct loop_later *later)
{
    struct crate_attach *attach = CONTAINER_OF(later, struct crate_attach, ending);
    if (!attach->ended)
        attach_ended(attach);
}

static int attach_open(struct crate *crate, struct crate_attach *attach, struct err *err)
{
    static const struct stdio_events events = {attach_output, attach_ended};
    const char *dir = runtime_dir(crate->crates->runtime, crate->id);
    if (!dir)
        return err_set(err, ERR_FAILED_PRECONDITION, "Container %s is not running", crate->id);
    int rc = stdio_attach(crate->crates->loop, dir, &events, attach, &attach->stdio, err);
    if (rc)
        return rc;
    if (attach->early.len)
        stdio_write(attach->stdio, attach->early.data, attach->early.len, NULL);
    buf_clear(&attach->early);
    if (attach->end_early)
        stdio_close_stdin(attach->stdio);
    if (attach->paused)
        stdio_pause(attach->stdio, true);
    return 0;
}

int crate_attach(struct crate *crate, const struct crate_attach_events *events, void *owner,
                 struct crate_attach **out, struct err *err)
{
    struct crate_attach *attach = MEM_NEW(struct crate_attach);
    MAGIC_SET(attach, CRATE_ATTACH_MAGIC);
    attach->crates = crate->crates;
    attach->events = events;
    attach->owner = owner;
    list_init(&attach->link);
    loop_later_init(&attach->ending, crate->crates->loop, ending_run);
    buf_init(&attach->early, STDIO_INPUT_BYTES);
    int rc = crate_running(crate) ? attach_open(crate, attach, err) : 0;
    if (rc) {
        MAGIC_CLEAR(attach);
        free(attach);
        return rc;
    }
    list_push_back(&crate->life->attaches, &attach->link);
    crate_tell(crate, "attach", NULL);
    *out = attach;
    return 0;
}

void crate_attaches_begin(struct crate *crate)
{
    struct err err = ERR_INIT;
    LIST_EACH_SAFE (it, &crate->life->attaches) {
        struct crate_attach *attach = LIST_ENTRY(it, struct crate_attach, link);
        if (attach->stdio || attach->ended || attach_open(crate, attach, &err) == 0)
            continue;
        log_warn("attach to container", "name=%s err=\"%s\"", crate->name, err.message);
        loop_later_ask(&attach->ending);
    }
}

static void end_all(struct list *attaches)
{
    LIST_EACH (it, attaches)
        loop_later_ask(&LIST_ENTRY(it, struct crate_attach, link)->ending);
}

void crate_attaches_end(struct crate *crate)
{
    end_all(&crate->life->attaches);
}

// conmon is gone, and what it wrote last may still lie in the connection: that ends by itself.
void crate_attaches_drain(struct crate *crate)
{
    LIST_EACH_SAFE (it, &crate->life->attaches) {
        struct crate_attach *attach = LIST_ENTRY(it, struct crate_attach, link);
        if (!attach->stdio || attach->ended) {
            loop_later_ask(&attach->ending);
            continue;
        }
        list_remove(&attach->link);
        list_push_back(&crate->crates->drains, &attach->link);
    }
}

void crates_attaches_end(struct crates *crates)
{
    LIST_EACH (it, &crates->all)
        crate_attaches_end(LIST_ENTRY(it, struct crate, link));
    end_all(&crates->drains);
}

int crate_attach_write(struct crate_attach *attach, const void *bytes, size_t size)
{
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    if (attach->ended)
        return -ERR_FAILED_PRECONDITION;
    if (attach->stdio)
        return stdio_write(attach->stdio, bytes, size, NULL);
    if (size > STDIO_INPUT_BYTES - attach->early.len)
        return -ERR_RESOURCE_EXHAUSTED;
    buf_put(&attach->early, bytes, size);
    return 0;
}

void crate_attach_end(struct crate_attach *attach)
{
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    attach->end_early = true;
    if (attach->stdio && !attach->ended)
        stdio_close_stdin(attach->stdio);
}

void crate_attach_pause(struct crate_attach *attach, bool pause)
{
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    attach->paused = pause;
    if (attach->stdio)
        stdio_pause(attach->stdio, pause);
}

void crate_attach_close(struct crate_attach *attach)
{
    MAGIC_CHECK(attach, CRATE_ATTACH_MAGIC);
    list_remove(&attach->link);
    loop_later_cancel(&attach->ending);
    if (attach->stdio)
        stdio_close(attach->stdio);
    buf_fini(&attach->early);
    MAGIC_CLEAR(attach);
    free(attach);
}
