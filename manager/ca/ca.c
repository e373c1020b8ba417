#include "manager/ca/ca.h"

#include <stdlib.h>
#include <string.h>

#include "manager/ca/inner.h"
#include "manager/ca/outsource_io.h"
#include "manager/ca/rotate.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

static void sign_next(struct ca *ca);

// ---- following the store ------------------------------------------------------------------------

static void load_cluster(struct ca *ca, const struct object *cluster)
{
    struct arena arena;
    if (ca->job) {
        ca->stale = true;
        return;
    }
    arena_init(&arena, OBJECT_ARENA_BYTES);
    Swarm__Cluster *message = object_unpack(cluster, &arena);
    if (message && wire_settle(message, &arena))
        trust_update(&ca->trust, message);
    else
        log_error("cluster object cannot be read", "cluster=%s", object_id(cluster));
    arena_fini(&arena);
    outsource_changed(ca->outsource);
    if (ca->trust.rotating && !loop_timer_running(&ca->round))
        loop_timer_start(&ca->round, ROTATE_ROUND_MS);
}

static void see_node(struct ca *ca, const struct object *node)
{
    const char *id = object_id(node);
    absent_see(&ca->absent, node);
    if (signing_wanted(node)) {
        if (!outsource_has(ca->outsource, id))
            map_put_str(&ca->wanted, id, NULL);
    } else if (signing_final(signing_state(node))) {
        ca_answer_waiting(ca, id, node, NULL);
    }
}

static void see_everything(struct ca *ca)
{
    struct view view = store_pin(ca->config.store);
    const struct object *cluster = view_get_by_name(view, OBJECT_CLUSTER, NAME_CLUSTER);
    absent_fini(&ca->absent);
    absent_init(&ca->absent);
    if (cluster)
        load_cluster(ca, cluster);
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL)
        see_node(ca, object);
    store_unpin(view);
}

// An event says only whom to look at. What it shows may be older than what a request saw that now
// waits: a certificate that was issued before the renewal would answer for the renewal.
static void see_event(struct ca *ca, struct view view, const struct watch_event *event)
{
    const char *id = event->now ? object_id(event->now) : "";
    if (event->action == WATCH_LOST) {
        see_everything(ca);
    } else if (object_type(event->now) == OBJECT_CLUSTER) {
        load_cluster(ca, event->now);
    } else {
        const struct object *node = view_get(view, OBJECT_NODE, id);
        if (node) {
            see_node(ca, node);
        } else {
            absent_forget(&ca->absent, id);
            ca_answer_waiting(ca, id, NULL, NULL);
        }
    }
}

static void follow(struct loop_later *later)
{
    struct ca *ca = CONTAINER_OF(later, struct ca, later);
    struct view view = store_pin(ca->config.store);
    struct watch_event event;
    MAGIC_CHECK(ca, CA_MAGIC);
    while (watch_next(ca->watch, &event)) {
        see_event(ca, view, &event);
        watch_event_fini(&event);
    }
    store_unpin(view);
    sign_next(ca);
}

static void wake(struct watch *watch, void *ctx)
{
    struct ca *ca = ctx;
    (void)watch;
    loop_later_ask(&ca->later);
}

// ---- signing ------------------------------------------------------------------------------------

static void job_run(struct loop_work *work)
{
    struct ca_job *job = CONTAINER_OF(work, struct ca_job, work);
    for (size_t i = 0; i < job->count; i++)
        signing_run(&job->batch[i], job->signer, job->cluster_id, job->expiry_ns, job->rng,
                    job->now);
}

static void job_free(struct ca_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        signing_fini(&job->batch[i]);
    free(job->cluster_id);
    free(job);
}

// Puts them back: what cannot be written now is signed again later.
static void sign_later(struct ca *ca, const struct signing *batch, size_t count,
                       const struct err *err)
{
    log_warn("certificates could not be stored", "err=\"%s\"", err->message);
    for (size_t i = 0; i < count; i++)
        map_put_str(&ca->wanted, batch[i].node_id, NULL);
    if (!loop_timer_running(&ca->retry))
        loop_timer_start(&ca->retry, CA_RETRY_MS);
}

static void store_signed(struct ca *ca, const struct signing *batch, size_t count)
{
    struct txn *txn;
    struct err err = ERR_INIT;
    if (txn_begin(ca->config.store, wall_now(), &txn, &err)) {
        sign_later(ca, batch, count, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct signing *signing = &batch[i];
        struct err why = ERR_INIT;
        if (signing_store(signing, txn, &why))
            log_debug("certificate signed", "node=%s role=%s err=\"%s\"", signing->node_id,
                      identity_role_name(signing->role), signing->err.message);
        else if (why.code != ERR_OK)
            log_error("certificate not stored", "node=%s err=\"%s\"", signing->node_id,
                      why.message);
        else // it wants another one by now, or none
            map_put_str(&ca->wanted, signing->node_id, NULL);
    }
    if (txn_commit(txn, NULL, &err) < 0)
        sign_later(ca, batch, count, &err);
}

static void job_done(struct loop_work *work)
{
    struct ca_job *job = CONTAINER_OF(work, struct ca_job, work);
    struct ca *ca = job->ca;
    if (!ca) {
        signer_free(job->signer); // the CA left it to us
        job_free(job);
        return;
    }
    MAGIC_CHECK(ca, CA_MAGIC);
    ca->job = NULL;
    store_signed(ca, job->batch, job->count);
    job_free(job);
    if (ca->stale) {
        ca->stale = false;
        see_everything(ca);
    }
    sign_next(ca);
}

static void take_batch(struct ca *ca, struct ca_job *job)
{
    struct view view = store_pin(ca->config.store);
    MAP_EACH (entry, &ca->wanted) {
        if (job->count == CA_BATCH_MAX)
            break;
        const struct object *node = view_get(view, OBJECT_NODE, entry->key);
        if (node && signing_init(&job->batch[job->count], node))
            job->count++;
        map_remove(&ca->wanted, entry->key, entry->key_size);
    }
    store_unpin(view);
}

// One at a time, for what is finished at once changes what is wanted.
static void sign_outside(struct ca *ca)
{
    while (map_count(&ca->wanted) > 0 && outsource_takes(ca->outsource)) {
        struct view view = store_pin(ca->config.store);
        size_t position = 0;
        const struct map_entry *first = map_next(&ca->wanted, &position);
        const struct object *node = view_get(view, OBJECT_NODE, first->key);
        struct signing signing;
        bool busy = outsource_has(ca->outsource, first->key);
        bool wanted = node && !busy && signing_init(&signing, node);
        map_remove(&ca->wanted, first->key, first->key_size);
        store_unpin(view);
        if (wanted)
            outsource_sign(ca->outsource, &ca->trust, &signing);
    }
}

static void signed_outside(void *ctx, const struct signing *signing)
{
    store_signed(ctx, signing, 1);
}

static void again_outside(void *ctx, const char *node_id)
{
    struct ca *ca = ctx;
    map_put_str(&ca->wanted, node_id, NULL);
}

static void ready_outside(void *ctx)
{
    struct ca *ca = ctx;
    loop_later_ask(&ca->later);
}

static void sign_next(struct ca *ca)
{
    if (ca->job || map_count(&ca->wanted) == 0)
        return;
    if (ca->trust.external_count > 0) {
        sign_outside(ca);
        return;
    }
    if (!ca->trust.signer) {
        // Recoverable: the state stays as it is until there is a signer.
        if (!loop_timer_running(&ca->retry)) {
            log_warn("certificates cannot be signed", "waiting=%zu err=\"%s\"",
                     map_count(&ca->wanted), ca->trust.why.message);
            loop_timer_start(&ca->retry, CA_RETRY_MS);
        }
        return;
    }
    struct ca_job *job = MEM_NEW(struct ca_job);
    take_batch(ca, job);
    if (job->count == 0) {
        job_free(job);
        return;
    }
    job->ca = ca;
    job->signer = ca->trust.signer;
    job->rng = ca->config.rng;
    job->cluster_id = str_dup(ca->trust.cluster_id);
    job->expiry_ns = ca->trust.expiry_ns;
    job->now = wall_now();
    ca->job = job;
    loop_work_start(ca->config.loop, &job->work, job_run, job_done);
}

static void retry(struct loop_timer *timer)
{
    struct ca *ca = CONTAINER_OF(timer, struct ca, retry);
    MAGIC_CHECK(ca, CA_MAGIC);
    sign_next(ca);
}

// ---- rotation -----------------------------------------------------------------------------------

static void next_round(struct loop_timer *timer)
{
    struct ca *ca = CONTAINER_OF(timer, struct ca, round);
    struct err err = ERR_INIT;
    MAGIC_CHECK(ca, CA_MAGIC);
    if (!ca->trust.rotating)
        return;
    if (rotate_round(ca->config.store, ca->config.rng, wall_now(), &err))
        log_warn("root rotation cannot go on", "err=\"%s\"", err.message);
    loop_timer_start(&ca->round, ROTATE_ROUND_MS);
}

void ca_settle(struct ca *ca, struct settling *settling, Swarm__Cluster *cluster,
               struct arena *arena)
{
    MAGIC_CHECK(ca, CA_MAGIC);
    list_init(&settling->link);
    list_push_back(&ca->settlings, &settling->link);
    settling_start(settling, &ca->config.way, cluster, arena);
}

// ---- life ---------------------------------------------------------------------------------------

struct ca *ca_start(const struct ca_config *config)
{
    struct ca *ca = MEM_NEW(struct ca);
    const struct watch_rule rules[] = {
        {.type = OBJECT_NODE, .actions = WATCH_ANY},
        {.type = OBJECT_CLUSTER, .actions = WATCH_CREATE | WATCH_UPDATE},
    };
    const struct watch_options options = {
        .rules = rules, .rules_count = COUNT_OF(rules), .wake = wake, .ctx = ca};
    struct err err = ERR_INIT;
    MAGIC_SET(ca, CA_MAGIC);
    ca->config = *config;
    ca->config.way.loop = config->loop;
    ca->config.way.rng = config->rng;
    ca->outsource = outsource_new(&(struct outsource_config){.way = ca->config.way,
                                                             .finished = signed_outside,
                                                             .again = again_outside,
                                                             .ready = ready_outside,
                                                             .ctx = ca});
    list_init(&ca->settlings);
    loop_later_init(&ca->later, config->loop, follow);
    loop_timer_init(&ca->retry, config->loop, retry);
    loop_timer_init(&ca->round, config->loop, next_round);
    map_init(&ca->wanted);
    map_init(&ca->waiting);
    list_init(&ca->commits);
    guesses_init(&ca->guesses);
    absent_init(&ca->absent);
    CHECK(watch_open(config->store, &options, &ca->watch, &err) == 0);
    see_everything(ca);
    sign_next(ca);
    return ca;
}

static void answer_everybody(struct ca *ca, const struct err *err)
{
    while (!list_empty(&ca->commits)) {
        struct ca_request *request = LIST_ENTRY(ca->commits.next, struct ca_request, link);
        struct ca_commit *commit = request->commit;
        commit->request = NULL;
        commit->ca = NULL;
        ca_answer(request, NULL, err);
    }
    MAP_EACH (entry, &ca->waiting) {
        struct list *requests = entry->value;
        while (!list_empty(requests))
            ca_answer(LIST_ENTRY(requests->next, struct ca_request, link), NULL, err);
        free(requests);
    }
    while (!list_empty(&ca->settlings)) {
        struct settling *settling = LIST_ENTRY(ca->settlings.next, struct settling, link);
        settling_cancel(settling);
        settling->settled(settling, NULL, err);
    }
}

void ca_stop(struct ca *ca)
{
    struct err err = ERR_INIT;
    MAGIC_CHECK(ca, CA_MAGIC);
    loop_later_cancel(&ca->later);
    loop_timer_stop(&ca->retry);
    loop_timer_stop(&ca->round);
    watch_close(ca->watch);
    if (ca->job) {
        ca->job->ca = NULL;
        ca->trust.signer = NULL; // the job frees it
    }
    err_set(&err, ERR_ABORTED, CA_ERR_STOPPED);
    answer_everybody(ca, &err);
    outsource_free(ca->outsource);
    loop_later_cancel(&ca->later);
    map_fini(&ca->waiting);
    map_fini(&ca->wanted);
    guesses_fini(&ca->guesses);
    absent_fini(&ca->absent);
    trust_fini(&ca->trust);
    MAGIC_CLEAR(ca);
    free(ca);
}
