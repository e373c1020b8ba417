#include "agent/net/forward_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/lb/generation_io.h"
#include "agent/net/forward.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define LISTING_BYTES_MAX  (16u << 20)
#define COMMANDS_BYTES_MAX (256u << 10)

struct forward {
    struct loop *loop;
    struct loop_later later; // what one turn wants is one job
    char **next;             // bridges, for the next job
    size_t next_count;
    bool others; // than those of the last job
    bool asked, running, closing;
    void (*closed)(void *owner);
    void *closed_owner;
    size_t repairs;
    char blocked_by[FORWARD_BLOCKERS_MAX * FORWARD_NAME_BYTES];
    // The job's while it runs.
    struct loop_work work;
    char **bridges;
    size_t count;
    bool fresh; // they are others than before
    bool changed;
    bool trusted; // nothing was read
    struct generation_trust trust;
    char blockers[FORWARD_BLOCKERS_MAX][FORWARD_NAME_BYTES];
    size_t blockers_count;
    struct err err;
};

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free((void *)texts);
}

// ---- in the worker ------------------------------------------------------------------------------

static int let_pass(struct forward *job, struct nft *nft)
{
    struct buf listing, commands;
    buf_init(&listing, LISTING_BYTES_MAX);
    buf_init(&commands, COMMANDS_BYTES_MAX);
    int rc = nft_list(nft, "ip", "filter", &listing, &job->err);
    if (!rc)
        rc = forward_commands(buf_cstr(&listing), listing.len, (const char *const *)job->bridges,
                              job->count, &commands, &job->err);
    if (!rc && commands.len)
        rc = nft_apply(nft, buf_cstr(&commands), &job->err);
    job->changed = !rc && commands.len;
    buf_clear(&listing);
    if (!rc)
        rc = nft_chains(nft, &listing, &job->err);
    if (!rc)
        job->blockers_count = forward_blockers(buf_cstr(&listing), listing.len, job->blockers);
    buf_fini(&listing);
    buf_fini(&commands);
    return rc;
}

static void run(struct loop_work *work)
{
    struct forward *job = CONTAINER_OF(work, struct forward, work);
    job->changed = job->trusted = false;
    err_clear(&job->err);
    // Before the look: what is changed meanwhile is looked at again.
    uint32_t generation = generation_of(NFT_NETNS_OWN);
    if (!job->fresh && generation_trusted(&job->trust, generation)) {
        job->trusted = true;
        return;
    }
    generation_looked(&job->trust, 0);
    job->blockers_count = 0;
    struct nft *nft = nft_open(NFT_NETNS_OWN, &job->err);
    if (!nft)
        return;
    int rc = let_pass(job, nft);
    nft_close(nft);
    if (!rc && !job->changed)
        generation_looked(&job->trust, generation);
}

// ---- on the loop --------------------------------------------------------------------------------

static void start(struct forward *forward);

static void note_blockers(struct forward *forward)
{
    char now[sizeof forward->blocked_by] = "";
    size_t at = 0;
    for (size_t i = 0; i < forward->blockers_count; i++) {
        (void)str_format(now + at, sizeof now - at, "%s%s", i ? ", " : "", forward->blockers[i]);
        at = strlen(now);
    }
    if (*now && !str_equal(now, forward->blocked_by))
        log_warn("other programs' rules drop forwarded packets that they do not know",
                 "chain=\"%s\" cure=\"accept the interfaces skep* there\"", now);
    (void)str_copy(forward->blocked_by, sizeof forward->blocked_by, now);
}

static void forward_free(struct forward *forward)
{
    void (*closed)(void *owner) = forward->closed;
    void *owner = forward->closed_owner;
    loop_later_cancel(&forward->later); // others' rules may have changed since it was closed
    texts_free(forward->next, forward->next_count);
    free(forward);
    closed(owner);
}

static void done(struct loop_work *work)
{
    struct forward *forward = CONTAINER_OF(work, struct forward, work);
    forward->running = false;
    texts_free(forward->bridges, forward->count);
    forward->bridges = NULL;
    if (forward->closing) {
        forward_free(forward);
        return;
    }
    forward->repairs += forward->changed;
    if (forward->changed)
        log_info("containers' packets are let pass other programs' rules",
                 "chain=\"ip filter/FORWARD\"");
    if (forward->err.code)
        log_warn("other programs' rules were not looked at", "err=\"%s\"", forward->err.message);
    else if (!forward->trusted)
        note_blockers(forward);
    if (forward->asked)
        start(forward);
}

static void start(struct forward *forward)
{
    forward->asked = false;
    forward->running = true;
    forward->fresh = forward->others;
    forward->others = false;
    forward->bridges = mem_alloc_array(forward->next_count, sizeof(char *));
    for (size_t i = 0; i < forward->next_count; i++)
        forward->bridges[i] = str_dup(forward->next[i]);
    forward->count = forward->next_count;
    loop_work_start(forward->loop, &forward->work, run, done);
}

static void on_later(struct loop_later *later)
{
    struct forward *forward = CONTAINER_OF(later, struct forward, later);
    if (forward->asked && !forward->running)
        start(forward);
}

static int compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

void forward_want(struct forward *forward, const char *const *bridges, size_t count)
{
    char **next = mem_alloc_array(count, sizeof(char *));
    for (size_t i = 0; i < count; i++)
        next[i] = str_dup(bridges[i]);
    if (count)
        qsort((void *)next, count, sizeof(char *), compare);
    bool same = count == forward->next_count;
    for (size_t i = 0; i < count && same; i++)
        same = str_equal(next[i], forward->next[i]);
    forward->others |= !same;
    texts_free(forward->next, forward->next_count);
    forward->next = next;
    forward->next_count = count;
    forward->asked = true;
    loop_later_ask(&forward->later);
}

size_t forward_repairs(const struct forward *forward)
{
    return forward->repairs;
}

const char *forward_blocked_by(const struct forward *forward)
{
    return forward->blocked_by;
}

struct forward *forward_open(struct loop *loop)
{
    struct forward *forward = MEM_NEW(struct forward);
    forward->loop = loop;
    loop_later_init(&forward->later, loop, on_later);
    return forward;
}

void forward_close(struct forward *forward, void (*closed)(void *owner), void *owner)
{
    loop_later_cancel(&forward->later);
    forward->closing = true;
    forward->closed = closed;
    forward->closed_owner = owner;
    if (!forward->running)
        forward_free(forward);
}
