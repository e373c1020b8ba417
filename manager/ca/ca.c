#include "manager/ca/ca.h"

#include <stdlib.h>
#include <string.h>

#include "manager/ca/absent.h"
#include "manager/ca/guesses.h"
#include "manager/ca/outsource_io.h"
#include "manager/ca/rotate.h"
#include "manager/ca/signing.h"
#include "manager/ca/trust.h"
#include "manager/store/watch.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

#define CA_MAGIC 0x63617376u

// Go's names of gRPC codes, which are all the text that SwarmKit gives for these.
#define ERR_TEXT_INVALID  "InvalidArgument"
#define ERR_TEXT_NOTFOUND "NotFound"

// A batch on a worker. It outlives the CA when that stops meanwhile.
struct ca_job {
    struct loop_work work;
    struct ca *ca; // NULL once stopped
    struct signer *signer;
    const struct rng *rng;
    char *cluster_id;
    int64_t expiry_ns;
    struct wall now;
    size_t count;
    struct signing batch[CA_BATCH_MAX];
};

// A write that somebody waits for. The same: the store may answer after the CA stopped.
struct ca_commit {
    struct txn_done done;
    struct ca *ca;              // NULL once stopped
    struct ca_request *request; // NULL once answered
    char *node_id;
};

struct ca {
    unsigned magic;
    struct ca_config config;
    struct watch *watch;
    struct loop_later later;
    struct loop_timer retry;
    struct loop_timer round; // while a rotation is under way
    struct trust trust;
    bool stale;         // the cluster changed while a job had the signer
    struct map wanted;  // ids of nodes whose certificate is to be signed; no values
    struct ca_job *job; // at most one: a signer is for one thread at a time
    struct map waiting; // node id -> struct list of ca_request
    struct list commits;
    struct outsource *outsource;
    struct list settlings;
    struct guesses guesses;
    struct absent absent;
};

static void sign_next(struct ca *ca);

// ---- answers ------------------------------------------------------------------------------------

static void answer(struct ca_request *request, const struct object *node, const struct err *err)
{
    list_remove(&request->link);
    request->commit = NULL;
    request->answered(request, node, err);
}

static void fail(struct ca_request *request, enum err_code code, const char *text)
{
    struct err err = ERR_INIT;
    err_set(&err, code, "%s", text);
    answer(request, NULL, &err);
}

// Everybody who waits for the node: `node` or, when it is gone, NOT_FOUND; or all with `err`.
static void answer_waiting(struct ca *ca, const char *node_id, const struct object *node,
                           const struct err *err)
{
    struct list *requests = map_remove_str(&ca->waiting, node_id);
    if (!requests)
        return;
    while (!list_empty(requests)) {
        struct ca_request *request = LIST_ENTRY(requests->next, struct ca_request, link);
        if (node || err)
            answer(request, node, err);
        else
            fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
    }
    free(requests);
}

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
        answer_waiting(ca, id, node, NULL);
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
            answer_waiting(ca, id, NULL, NULL);
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

// ---- writes that somebody waits for -------------------------------------------------------------

static void commit_free(struct ca_commit *commit)
{
    free(commit->node_id);
    free(commit);
}

// A node that was counted when it joined, and then could not be written.
static void uncount(struct ca *ca, const char *node_id)
{
    struct view view = store_pin(ca->config.store);
    if (!view_get(view, OBJECT_NODE, node_id))
        absent_forget(&ca->absent, node_id);
    store_unpin(view);
}

static void committed(struct txn_done *done, const struct err *err)
{
    struct ca_commit *commit = CONTAINER_OF(done, struct ca_commit, done);
    struct ca_request *request = commit->request;
    if (err && commit->ca)
        uncount(commit->ca, commit->node_id);
    if (request && err) {
        answer(request, NULL, err);
    } else if (request) {
        struct view view = store_pin(commit->ca->config.store);
        const struct object *node = view_get(view, OBJECT_NODE, commit->node_id);
        if (node)
            answer(request, node, NULL);
        else
            fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
        store_unpin(view);
    }
    commit_free(commit);
}

static void commit_for(struct ca *ca, struct txn *txn, const char *node_id,
                       struct ca_request *request)
{
    struct ca_commit *commit = MEM_NEW(struct ca_commit);
    struct err err = ERR_INIT;
    commit->done.run = committed;
    commit->ca = ca;
    commit->request = request;
    commit->node_id = str_dup(node_id);
    request->commit = commit;
    list_push_back(&ca->commits, &request->link);
    if (txn_commit(txn, &commit->done, &err)) {
        uncount(ca, node_id);
        commit_free(commit);
        answer(request, NULL, &err);
    }
}

// ---- requests -----------------------------------------------------------------------------------

static void set_request(struct txn *txn, Swarm__Certificate *certificate,
                        const struct ca_issue *issue, Swarm__IssuanceStatus__State state,
                        Swarm__NodeRole role, const char *node_id)
{
    swarm__certificate__init(certificate);
    certificate->status = wire_new(&swarm__issuance_status__descriptor, txn_arena(txn));
    certificate->status->state = state;
    // The node compares: what comes back has to be what it sent, byte for byte.
    certificate->csr.data = (uint8_t *)issue->csr;
    certificate->csr.len = issue->csr_size;
    certificate->role = role;
    certificate->cn = node_id;
}

static void issue_renewal(struct ca *ca, struct txn *txn, const struct ca_issue *issue,
                          struct ca_request *request)
{
    struct err err = ERR_INIT;
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, issue->renewal_of);
    if (!node || !wire_settle(node, txn_arena(txn)))
        err_set(&err, ERR_NOT_FOUND, "node %s not found when attempting to renew certificate",
                issue->renewal_of);
    else {
        // The role that the cluster sees in the node now, whatever its certificate said.
        set_request(txn, node->certificate, issue, SWARM__ISSUANCE_STATUS__STATE__RENEW, node->role,
                    node->id);
        txn_update(txn, OBJECT_NODE, node, &err);
    }
    if (err.code != ERR_OK) {
        txn_abandon(txn);
        answer(request, NULL, &err);
        return;
    }
    commit_for(ca, txn, issue->renewal_of, request);
}

static uint32_t vxlan_port(struct txn *txn)
{
    const struct object *object = view_get_by_name(txn_view(txn), OBJECT_CLUSTER, NAME_CLUSTER);
    const Swarm__Cluster *cluster = object ? object_unpack(object, txn_arena(txn)) : NULL;
    return cluster ? cluster->vxlanudpport : 0;
}

// Until the node has a session: from where it joined, so that the next leader can count it too.
static char *host_of(struct txn *txn, const char *addr)
{
    const char *colon = strrchr(addr, ':');
    char *host = arena_strdup(txn_arena(txn), addr);
    if (colon)
        host[colon - addr] = '\0';
    return host;
}

static void issue_join(struct ca *ca, struct txn *txn, const struct ca_issue *issue,
                       enum identity_role role, struct ca_request *request)
{
    struct err err = ERR_INIT;
    struct id id;
    Swarm__Node *node = wire_new(&swarm__node__descriptor, txn_arena(txn));
    Swarm__NodeRole wanted =
        role == IDENTITY_MANAGER ? SWARM__NODE_ROLE__MANAGER : SWARM__NODE_ROLE__WORKER;
    node->role = wanted;
    node->spec->desired_role = wanted;
    node->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    node->spec->availability = (Swarm__NodeSpec__Availability)issue->availability;
    node->vxlanudpport = vxlan_port(txn);
    node->status->addr = host_of(txn, issue->addr);
    int result = -ERR_UNKNOWN;
    for (int attempt = 0; result && attempt <= CA_ID_COLLISION_MAX; attempt++) {
        unsigned char random[ID_RANDOM_BYTES];
        rng_fill(ca->config.rng, random, sizeof random);
        id = id_from_random(random);
        node->id = id.text;
        set_request(txn, node->certificate, issue, SWARM__ISSUANCE_STATUS__STATE__PENDING, wanted,
                    node->id);
        err_clear(&err);
        result = txn_create(txn, OBJECT_NODE, node, &err);
        if (result && !str_equal(err.message, STORE_ERR_EXIST))
            break;
    }
    if (result) {
        txn_abandon(txn);
        answer(request, NULL, &err);
        return;
    }
    absent_add(&ca->absent, id.text, issue->addr);
    log_info("node admitted", "node=%s role=%s addr=%s", id.text, identity_role_name(role),
             issue->addr);
    commit_for(ca, txn, id.text, request);
}

// Who may have a certificate. 0 with *role set for a join.
static int check_issue(struct ca *ca, const struct ca_issue *issue, enum identity_role *role,
                       struct err *err)
{
    struct mono now = loop_now(ca->config.loop);
    if (issue->csr_size == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, ERR_TEXT_INVALID);
    if (!ca->trust.cluster_id)
        return err_set(err, ERR_ABORTED, CA_ERR_STARTING);
    if (issue->renewal_of)
        return 0;
    if (!guesses_allow(&ca->guesses, issue->addr, now))
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "too many wrong join tokens from this address, try again later");
    if (trust_admits(&ca->trust, issue->token, role)) {
        if (absent_allows(&ca->absent, issue->addr))
            return 0;
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "%d nodes that joined from this address are down, remove some of them first",
                       ABSENT_MAX);
    }
    guesses_wrong(&ca->guesses, issue->addr, now);
    return err_set(err, ERR_INVALID_ARGUMENT, CA_ERR_TOKEN);
}

void ca_issue(struct ca *ca, const struct ca_issue *issue, struct ca_request *request)
{
    struct err err = ERR_INIT;
    enum identity_role role = IDENTITY_WORKER;
    struct txn *txn;
    MAGIC_CHECK(ca, CA_MAGIC);
    list_init(&request->link);
    request->commit = NULL;
    if (check_issue(ca, issue, &role, &err) || txn_begin(ca->config.store, wall_now(), &txn, &err))
        answer(request, NULL, &err);
    else if (issue->renewal_of)
        issue_renewal(ca, txn, issue, request);
    else
        issue_join(ca, txn, issue, role, request);
}

void ca_status(struct ca *ca, const char *node_id, struct ca_request *request)
{
    MAGIC_CHECK(ca, CA_MAGIC);
    list_init(&request->link);
    request->commit = NULL;
    if (str_empty(node_id)) {
        fail(request, ERR_INVALID_ARGUMENT, ERR_TEXT_INVALID);
        return;
    }
    struct view view = store_pin(ca->config.store);
    const struct object *node = view_get(view, OBJECT_NODE, node_id);
    if (!node) {
        fail(request, ERR_NOT_FOUND, ERR_TEXT_NOTFOUND);
    } else if (signing_final(signing_state(node))) {
        answer(request, node, NULL);
    } else {
        struct list *requests = map_get_str(&ca->waiting, node_id);
        if (!requests) {
            requests = MEM_NEW(struct list);
            list_init(requests);
            map_put_str(&ca->waiting, node_id, requests);
        }
        list_push_back(requests, &request->link);
    }
    store_unpin(view);
}

void ca_forget(struct ca_request *request)
{
    // The list of the node stays behind, empty, until its certificate is signed: there are no more
    // of those than nodes.
    list_remove(&request->link);
    if (request->commit)
        request->commit->request = NULL;
    request->commit = NULL;
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
        answer(request, NULL, err);
    }
    MAP_EACH (entry, &ca->waiting) {
        struct list *requests = entry->value;
        while (!list_empty(requests))
            answer(LIST_ENTRY(requests->next, struct ca_request, link), NULL, err);
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
