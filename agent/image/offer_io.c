// Asks registries what they have under a name (offer.h), by skopeo and within a bounded time.
#include "agent/image/offer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image/blobs_io.h"
#include "agent/image/fetch_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ASK_MAGIC    0x61736b73u
#define ARENA_BYTES  (16u << 20)
#define ASKS_AT_ONCE 4

struct images_ask {
    unsigned magic;
    struct list link; // in images->asks
    struct images *images;
    struct source source;
    struct arena arena;
    struct offer offer;
    char digest[72];
    bool runs; // it has a slot
    struct process *process;
    struct loop_timer deadline;
    struct loop_later later;
    struct err err;
    images_offered *done;
    void *owner;
};

static void ask_next(struct images *images);

static void ask_end(struct images_ask *ask)
{
    struct images *images = ask->images;
    loop_timer_stop(&ask->deadline);
    list_remove(&ask->link);
    images->ops--;
    if (ask->runs)
        images->asks_running--;
    ask->done(ask->owner, ask->err.code ? NULL : &ask->offer, ask->err.code ? &ask->err : NULL);
    source_close(&ask->source);
    arena_fini(&ask->arena);
    MAGIC_CLEAR(ask);
    free(ask);
    ask_next(images);
}

// Gives it up, whatever it is about: the end comes when its program is gone.
static void ask_stop(struct images_ask *ask)
{
    CHECK(ask->err.code);
    if (ask->process)
        process_kill(ask->process, SIGKILL);
    else
        loop_later_ask(&ask->later);
}

static void too_late(struct loop_timer *timer)
{
    struct images_ask *ask = CONTAINER_OF(timer, struct images_ask, deadline);
    MAGIC_CHECK(ask, ASK_MAGIC);
    if (!ask->err.code)
        err_set(&ask->err, ERR_DEADLINE_EXCEEDED, "registry %s did not answer within %d s",
                ask->source.reference.domain, IMAGES_ASK_MS_MAX / 1000);
    ask_stop(ask);
}

// What every program's end begins with. False: the question is over.
static bool program_ended(struct images_ask *ask, const struct process_result *result,
                          const char *what)
{
    MAGIC_CHECK(ask, ASK_MAGIC);
    ask->process = NULL;
    if (!ask->err.code && fetch_check(result, what, &ask->err) == 0)
        return true;
    ask_end(ask);
    return false;
}

static void got_config(void *owner, const struct process_result *result)
{
    struct images_ask *ask = owner;
    ask->process = NULL;
    // As dockerd has it, the digest is worth telling without the platform.
    if (!ask->err.code && result->exit_code == 0)
        offer_take_config(&ask->offer, result->out, result->out_bytes, &ask->arena);
    ask_end(ask);
}

static void got_manifest(void *owner, const struct process_result *result)
{
    struct images_ask *ask = owner;
    if (!program_ended(ask, result, "read image manifest"))
        return;
    const char *asked = ask->source.reference.digest;
    blobs_digest(result->out, result->out_bytes, ask->digest);
    int rc = offer_parse(result->out, result->out_bytes, &ask->arena, &ask->offer, &ask->err);
    if (!rc && *asked && !str_equal(asked, ask->digest))
        rc =
            err_set(&ask->err, ERR_DATA_LOSS, "image manifest does not match its digest %s", asked);
    ask->offer.descriptor.digest = ask->digest;
    if (rc || !ask->offer.config_digest ||
        source_inspect(&ask->source, ask->digest, true, 0, got_config, ask, &ask->process,
                       &ask->err))
        ask_end(ask);
}

static void ask_run(struct loop_later *later)
{
    struct images_ask *ask = CONTAINER_OF(later, struct images_ask, later);
    MAGIC_CHECK(ask, ASK_MAGIC);
    if (ask->err.code ||
        source_inspect(&ask->source, NULL, false, 0, got_manifest, ask, &ask->process, &ask->err))
        ask_end(ask);
}

// Those that wait start, as many as may run at once.
static void ask_next(struct images *images)
{
    LIST_EACH (link, &images->asks) {
        struct images_ask *ask = LIST_ENTRY(link, struct images_ask, link);
        if (images->asks_running == ASKS_AT_ONCE)
            return;
        if (ask->runs)
            continue;
        ask->runs = true;
        images->asks_running++;
        loop_later_ask(&ask->later);
    }
}

void images_ask(struct images *images, const struct reference *reference,
                const struct registry_auth *auth, images_offered *done, void *owner,
                struct images_ask **out)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    CHECK(done);
    struct images_ask *ask = MEM_NEW(struct images_ask);
    struct reference wanted = *reference;
    MAGIC_SET(ask, ASK_MAGIC);
    reference_default_tag(&wanted);
    images->ops++;
    ask->images = images;
    ask->done = done;
    ask->owner = owner;
    arena_init(&ask->arena, ARENA_BYTES);
    loop_timer_init(&ask->deadline, images->loop, too_late);
    loop_later_init(&ask->later, images->loop, ask_run);
    list_init(&ask->link);
    list_push_back(&images->asks, &ask->link);
    source_open(&ask->source, images, &(struct source_spec){.reference = &wanted, .auth = auth},
                &ask->err);
    loop_timer_start(&ask->deadline, IMAGES_ASK_MS_MAX);
    ask_next(images);
    if (ask->err.code)
        loop_later_ask(&ask->later);
    if (out)
        *out = ask;
}

void images_ask_cancel(struct images_ask *ask)
{
    MAGIC_CHECK(ask, ASK_MAGIC);
    if (!ask->err.code)
        err_set(&ask->err, ERR_CANCELLED, "the question was given up");
    ask_stop(ask);
}

void images_asks_cancel(struct images *images)
{
    LIST_EACH (link, &images->asks)
        images_ask_cancel(LIST_ENTRY(link, struct images_ask, link));
}
