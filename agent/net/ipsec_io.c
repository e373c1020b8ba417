#include "agent/net/ipsec_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/net/xfrm_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define IPSEC_MAGIC 0x195ec

struct ipsec {
    unsigned magic;
    struct loop *loop;
    void (*settled)(void *owner, const struct err *err);
    void (*probed)(void *owner);
    void *owner;
    struct loop_work probe;
    bool probing;
    enum ipsec_able able;
    struct err unable; // the probe's
    struct err why;    // it is unable
    struct ipsec_keys keys;
    bool has_keys;
    bool has_peers;
    struct ipsec_local local;
    uint32_t *peers;
    size_t peers_count;
    bool dirty; // something was said since the job began
    bool asked; // by the caller, not by the clock
    struct loop_later later;
    struct loop_timer timer;
    bool running;
    bool closing, empty;
    void (*closed)(void *owner);
    void *closed_owner;
    struct ipsec_counts counts;
    // What the life before left stays until this one had time to hear of keys and peers.
    bool looked; // for it
    bool kept;   // in the last job
    struct mono keep_until;
    // The job's.
    bool keep, found;
    struct loop_work work;
    struct ipsec_set wanted;
    uint32_t bound;
    size_t steps;
    bool drift; // nobody had asked for a change
    struct err err;
};

static void run(struct loop_work *work)
{
    struct ipsec *ipsec = CONTAINER_OF(work, struct ipsec, work);
    struct xfrm *xfrm = NULL;
    struct ipsec_set actual;
    size_t count = 0;
    err_clear(&ipsec->err);
    ipsec->steps = 0;
    ipsec_set_init(&actual);
    if (xfrm_open(&xfrm, &ipsec->err) < 0)
        return;
    if (xfrm_read(xfrm, &actual, &ipsec->err) == 0) {
        ipsec->found = actual.states_count > 0;
        if (ipsec->keep)
            ipsec_keep(&ipsec->wanted, &actual);
        struct ipsec_step *steps = ipsec_diff(&actual, &ipsec->wanted, ipsec->bound, &count);
        for (size_t i = 0; i < count; i++) {
            if (xfrm_step(xfrm, &steps[i], &ipsec->err) < 0)
                break; // the order is a promise
            ipsec->steps++;
        }
        free(steps);
    }
    ipsec_set_fini(&actual);
    xfrm_close(xfrm);
}

static void free_now(struct ipsec *ipsec)
{
    void (*closed)(void *) = ipsec->closed;
    void *owner = ipsec->closed_owner;
    loop_timer_stop(&ipsec->timer);
    loop_later_cancel(&ipsec->later);
    ipsec_keys_wipe(&ipsec->keys);
    ipsec_set_fini(&ipsec->wanted);
    free(ipsec->peers);
    MAGIC_CLEAR(ipsec);
    free(ipsec);
    if (closed)
        closed(owner);
}

static void done(struct loop_work *work)
{
    struct ipsec *ipsec = CONTAINER_OF(work, struct ipsec, work);
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    bool failed = ipsec->err.code != ERR_OK;
    ipsec->running = false;
    ipsec_set_fini(&ipsec->wanted);
    if (!failed && !ipsec->looked && ipsec->found)
        ipsec->keep_until = mono_add(loop_now(ipsec->loop), IPSEC_KEEP_MS * NS_PER_MS);
    ipsec->looked |= !failed;
    ipsec->counts.steps += ipsec->steps;
    ipsec->counts.repairs += ipsec->drift ? ipsec->steps : 0;
    ipsec->counts.failures += failed;
    if (ipsec->closing) {
        loop_later_ask(&ipsec->later);
        return;
    }
    loop_timer_start(&ipsec->timer, failed ? IPSEC_RETRY_MS : IPSEC_AUDIT_MS);
    if (ipsec->dirty)
        loop_later_ask(&ipsec->later);
    else if (ipsec->settled)
        ipsec->settled(ipsec->owner, failed ? &ipsec->err : NULL);
}

static void start(struct ipsec *ipsec)
{
    ipsec->running = true;
    ipsec->dirty = false;
    ipsec->drift = !ipsec->asked;
    ipsec->asked = false;
    ipsec->keep = !ipsec->closing && (!ipsec->looked || !ipsec->has_keys ||
                                      mono_before(loop_now(ipsec->loop), ipsec->keep_until));
    // The end of that time is no drift.
    ipsec->drift &= !ipsec->kept;
    ipsec->kept = ipsec->keep;
    ipsec->bound = ipsec->local.bound;
    ipsec_set_init(&ipsec->wanted);
    if (!ipsec->closing)
        ipsec_compile(&ipsec->wanted, &ipsec->local, &ipsec->keys, ipsec->peers,
                      ipsec->has_keys ? ipsec->peers_count : 0);
    loop_work_start(ipsec->loop, &ipsec->work, run, done);
}

static void on_later(struct loop_later *later)
{
    struct ipsec *ipsec = CONTAINER_OF(later, struct ipsec, later);
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    if (ipsec->running || (ipsec->closing && ipsec->probing))
        return;
    if (ipsec->closing && (!ipsec->empty || !ipsec->has_peers)) {
        free_now(ipsec);
        return;
    }
    if (ipsec->closing)
        ipsec->empty = false; // this last job, and then the end
    if (ipsec->closing || ipsec->has_peers)
        start(ipsec);
}

static void on_timer(struct loop_timer *timer)
{
    struct ipsec *ipsec = CONTAINER_OF(timer, struct ipsec, timer);
    ipsec->dirty = true;
    loop_later_ask(&ipsec->later);
}

static void probe(struct loop_work *work)
{
    struct ipsec *ipsec = CONTAINER_OF(work, struct ipsec, probe);
    err_clear(&ipsec->unable);
    (void)xfrm_probe(&ipsec->unable);
}

static void probe_done(struct loop_work *work)
{
    struct ipsec *ipsec = CONTAINER_OF(work, struct ipsec, probe);
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    ipsec->probing = false;
    if (ipsec->closing) {
        loop_later_ask(&ipsec->later);
        return;
    }
    ipsec->able = ipsec->unable.code == ERR_OK ? IPSEC_ABLE : IPSEC_UNABLE;
    ipsec->why = ipsec->unable;
    if (ipsec->probed)
        ipsec->probed(ipsec->owner);
}

enum ipsec_able ipsec_able(struct ipsec *ipsec, struct err *why)
{
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    if (ipsec->able == IPSEC_UNABLE && why)
        *why = ipsec->why;
    if (ipsec->able != IPSEC_ABLE && !ipsec->probing && !ipsec->closing) {
        ipsec->probing = true;
        loop_work_start(ipsec->loop, &ipsec->probe, probe, probe_done);
    }
    return ipsec->able;
}

struct ipsec *ipsec_open(struct loop *loop, void (*settled)(void *owner, const struct err *err),
                         void (*probed)(void *owner), void *owner)
{
    struct ipsec *ipsec = MEM_NEW(struct ipsec);
    MAGIC_SET(ipsec, IPSEC_MAGIC);
    ipsec->loop = loop;
    ipsec->settled = settled;
    ipsec->probed = probed;
    ipsec->owner = owner;
    loop_later_init(&ipsec->later, loop, on_later);
    loop_timer_init(&ipsec->timer, loop, on_timer);
    return ipsec;
}

static void ask(struct ipsec *ipsec)
{
    ipsec->dirty = true;
    ipsec->asked = true;
    loop_later_ask(&ipsec->later);
}

int ipsec_take_keys(struct ipsec *ipsec, Swarm__EncryptionKey *const *keys, size_t count,
                    struct err *err)
{
    struct ipsec_keys loaded;
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    int rc = ipsec_keys_load(keys, count, &loaded, err);
    if (rc < 0)
        return rc;
    if (!ipsec->has_keys || memcmp(&loaded, &ipsec->keys, sizeof loaded) != 0) {
        ipsec->keys = loaded;
        ipsec->has_keys = true;
        ask(ipsec);
    }
    ipsec_keys_wipe(&loaded);
    return 0;
}

bool ipsec_has_keys(const struct ipsec *ipsec)
{
    return ipsec->has_keys;
}

void ipsec_set(struct ipsec *ipsec, const struct ipsec_local *local, const uint32_t *peers,
               size_t count)
{
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    CHECK(!ipsec->closing);
    if (count > IPSEC_PEERS_MAX)
        count = IPSEC_PEERS_MAX;
    if (ipsec->has_peers && count == ipsec->peers_count &&
        local->advertised == ipsec->local.advertised && local->bound == ipsec->local.bound &&
        local->port == ipsec->local.port &&
        (count == 0 || memcmp(peers, ipsec->peers, count * sizeof *peers) == 0))
        return;
    free(ipsec->peers);
    ipsec->peers = count ? mem_dup(peers, count * sizeof *peers) : NULL;
    ipsec->peers_count = count;
    ipsec->local = *local;
    ipsec->has_peers = true;
    ask(ipsec);
}

bool ipsec_busy(const struct ipsec *ipsec)
{
    return ipsec->running || (ipsec->dirty && ipsec->has_peers);
}

struct ipsec_counts ipsec_counts(const struct ipsec *ipsec)
{
    return ipsec->counts;
}

void ipsec_close(struct ipsec *ipsec, bool keep, void (*closed)(void *owner), void *owner)
{
    MAGIC_CHECK(ipsec, IPSEC_MAGIC);
    CHECK(!ipsec->closing);
    ipsec->closing = true;
    ipsec->empty = !keep;
    ipsec->closed = closed;
    ipsec->closed_owner = owner;
    loop_timer_stop(&ipsec->timer);
    loop_later_ask(&ipsec->later);
}
