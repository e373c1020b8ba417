#include <stdlib.h>
#include <string.h>

#include "manager/sched/place.h"
#include "manager/sched/state.h"
#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// "no suitable node (" and all filters' texts fit.
#define REASON_BYTES 1024

#define DECISIONS_KEPT 1024

// ---- decisions ---------------------------------------------------------------------------------

static struct sched_decision *decide(struct sched *sched, enum sched_verdict verdict,
                                     const struct sched_task *task)
{
    if (sched->decisions_count == sched->decisions_cap) {
        sched->decisions_cap = sched->decisions_cap ? 2 * sched->decisions_cap : 64;
        sched->decisions =
            mem_realloc(sched->decisions, sched->decisions_cap * sizeof(*sched->decisions));
    }
    struct sched_decision *decision = &sched->decisions[sched->decisions_count++];
    *decision = (struct sched_decision){
        .verdict = verdict,
        .task_id = arena_strdup(&sched->arena, task->id),
        .node_id = task->node ? arena_strdup(&sched->arena, task->node->id) : NULL,
        .generic = task->taken,
    };
    CHECK(decision->task_id);
    return decision;
}

// Says why a preassigned task waits, unless that is what was said last.
static void explain(struct sched *sched, struct sched_task *task, const char *reason)
{
    if (str_equal(task->err, reason))
        return;
    free(task->err);
    task->err = str_dup(reason);
    decide(sched, SCHED_EXPLAIN, task)->err = arena_strdup(&sched->arena, reason);
}

// ---- tasks that have their node ----------------------------------------------------------------

static void run_preassigned(struct sched *sched)
{
    LIST_EACH_SAFE (it, &sched->preassigned) {
        struct sched_task *task = LIST_ENTRY(it, struct sched_task, pending);
        struct sched_node *node = map_get_str(&sched->nodes, task->home);
        if (!node || !node->exists)
            continue; // its orchestrator will hear of the node's end
        node->here = nodeinfo_here(node, task->demand->service);
        enum sched_filter filter = filter_check(task->demand, node);
        if (filter != SCHED_FILTERS) {
            size_t counts[SCHED_FILTERS] = {0};
            char reason[REASON_BYTES];
            counts[filter] = 1;
            sched_explain(counts, reason, sizeof(reason));
            explain(sched, task, reason);
            continue;
        }
        task_dequeue(sched, task);
        MEM_FREE(task->err);
        nodeinfo_add(node, task, NULL);
        decide(sched, SCHED_CONFIRM, task);
    }
}

// ---- groups ------------------------------------------------------------------------------------

struct run {
    struct place place;
    struct sched *sched;
};

static void assign(struct place *place, struct sched_task *task, struct sched_node *node)
{
    struct sched *sched = CONTAINER_OF(place, struct run, place)->sched;
    task_dequeue(sched, task);
    nodeinfo_add(node, task, NULL);
    decide(sched, SCHED_ASSIGN, task);
}

// Sets what ranking and filters ask about the group.
static void prepare(struct sched *sched, const struct demand *demand, struct wall now)
{
    for (size_t i = 0; i < sched->order_count; i++) {
        struct sched_node *node = sched->order[i];
        node->here = 0;
        node->failed = node->failures_count
                           ? nodeinfo_failures(node, demand->service, demand->spec_version, now)
                           : 0;
    }
    size_t at = 0;
    const struct map_entry *entry;
    while (demand->service && (entry = map_next(&demand->service->nodes, &at))) {
        uint64_t node;
        CHECK(entry->key_size == sizeof(node));
        memcpy(&node, entry->key, sizeof(node));
        ((struct sched_node *)(uintptr_t)node)->here = (unsigned)(uintptr_t)entry->value;
    }
}

// A task of an older spec version than its service's is not tried again.
static bool outdated(const struct demand *demand)
{
    const struct sched_service *service = demand->service;
    return service && service->exists && service->has_spec_version && demand->shared &&
           service->spec_version > demand->spec_version;
}

// Takes those out that nobody wants any more, before they take somebody's place.
static void sort_out(struct sched *sched, struct demand *demand)
{
    bool old = outdated(demand);
    if (demand->unwanted_count == 0)
        return;
    LIST_EACH_SAFE (it, &demand->pending) {
        struct sched_task *task = LIST_ENTRY(it, struct sched_task, pending);
        if (!task->unwanted)
            continue;
        if (old)
            decide(sched, SCHED_SHUT_DOWN, task);
        task_dequeue(sched, task);
    }
    CHECK(demand->unwanted_count == 0);
}

// Tells those that wait, unless they know: with the same reason as before only the newest do not.
static void tell(struct sched *sched, struct demand *demand, const char *reason)
{
    bool same = str_equal(demand->reason, reason);
    if (!same) {
        free(demand->reason);
        demand->reason = str_dup(reason);
    }
    const char *text = NULL;
    for (struct list *it = demand->pending.prev; it != &demand->pending; it = it->prev) {
        struct sched_task *task = LIST_ENTRY(it, struct sched_task, pending);
        if (same && task->told)
            return;
        if (!text)
            text = arena_strdup(&sched->arena, reason);
        task->told = true;
        decide(sched, SCHED_EXPLAIN, task)->err = text;
    }
}

static void explain_group(struct sched *sched, struct demand *demand)
{
    size_t counts[SCHED_FILTERS + 1] = {0};
    for (size_t i = 0; i < sched->order_count; i++)
        counts[filter_check(demand, sched->order[i])]++;
    char reasons[REASON_BYTES];
    char text[REASON_BYTES + 32];
    sched_explain(counts, reasons, sizeof(reasons));
    str_format(text, sizeof(text), *reasons ? "no suitable node (%s)" : "no suitable node",
               reasons);
    bool orphans = demand->service && !demand->service->exists;
    if (!orphans && !outdated(demand)) {
        tell(sched, demand, text);
        return;
    }
    LIST_EACH_SAFE (it, &demand->pending)
        task_dequeue(sched, LIST_ENTRY(it, struct sched_task, pending));
}

static void run_group(struct sched *sched, struct demand *demand, struct wall now)
{
    sort_out(sched, demand);
    size_t wanted = demand->pending_count;
    if (wanted > 0) {
        struct run run = {
            .place =
                {
                    .demand = demand,
                    .nodes = sched->order,
                    .nodes_count = sched->order_count,
                    .assign = assign,
                },
            .sched = sched,
        };
        prepare(sched, demand, now);
        if (place_tasks(&run.place, wanted) < wanted)
            explain_group(sched, demand);
    }
    if (list_empty(&demand->pending))
        list_remove(&demand->waiting);
}

const struct sched_decision *sched_run(struct sched *sched, struct wall now, size_t *count)
{
    arena_reset(&sched->arena);
    sched->decisions_count = 0;
    sched->first = MONO_NEVER;
    order_nodes(sched);
    run_preassigned(sched);
    LIST_EACH_SAFE (it, &sched->waiting)
        run_group(sched, LIST_ENTRY(it, struct demand, waiting), now);
    *count = sched->decisions_count;
    return sched->decisions;
}

// ---- writing -----------------------------------------------------------------------------------

// The task may have moved on, or the node have become unfit, since we heard of them.
static bool still_right(const struct sched_decision *decision, struct view view)
{
    const struct object *task = view_get(view, OBJECT_TASK, decision->task_id);
    if (!task || object_task(task)->state != SWARM__TASK_STATE__PENDING)
        return false;
    if (decision->verdict == SCHED_ASSIGN && *object_task(task)->node_id)
        return false;
    if (decision->verdict != SCHED_ASSIGN && decision->verdict != SCHED_CONFIRM)
        return true;
    const struct object *node = view_get(view, OBJECT_NODE, decision->node_id);
    return node && object_node(node)->state == SWARM__NODE_STATUS__STATE__READY &&
           (object_node(node)->availability == SWARM__NODE_SPEC__AVAILABILITY__ACTIVE ||
            PLANTED(PASSIVE));
}

static Swarm__TaskStatus *status_new(struct arena *arena, Swarm__TaskState state,
                                     const char *message)
{
    Swarm__TaskStatus *status = ARENA_NEW(arena, Swarm__TaskStatus);
    CHECK(status);
    swarm__task_status__init(status);
    status->state = state;
    status->message = message;
    return status;
}

static void status_stamp(struct arena *arena, Swarm__TaskStatus *status, struct wall now)
{
    status->timestamp = ARENA_NEW(arena, Google__Timestamp);
    CHECK(status->timestamp);
    google__timestamp__init(status->timestamp);
    status->timestamp->seconds = now.ns / NS_PER_S;
    status->timestamp->nanos = (int32_t)(now.ns % NS_PER_S);
}

static void fill(Swarm__Task *task, const struct sched_decision *decision, struct arena *arena)
{
    if (!task->status)
        task->status = status_new(arena, SWARM__TASK_STATE__PENDING, "");
    switch (decision->verdict) {
    case SCHED_ASSIGN:
        task->node_id = decision->node_id;
        task->status =
            status_new(arena, SWARM__TASK_STATE__ASSIGNED, "scheduler assigned task to node");
        break;
    case SCHED_CONFIRM:
        task->status = status_new(arena, SWARM__TASK_STATE__ASSIGNED,
                                  "scheduler confirmed task can run on preassigned node");
        break;
    case SCHED_EXPLAIN:
        task->status->err = decision->err;
        break;
    case SCHED_SHUT_DOWN:
        task->status->state = SWARM__TASK_STATE__SHUTDOWN;
        task->status->err = "";
        break;
    }
    if (decision->generic) {
        task->assigned_generic_resources = generic_messages(decision->generic, arena);
        task->n_assigned_generic_resources = decision->generic->count;
        CHECK(task->assigned_generic_resources);
    }
}

int sched_write(struct sched *sched, const struct sched_decision *decision, struct txn *txn,
                struct wall now, bool *ok, struct err *err)
{
    struct view view = txn_view(txn);
    *ok = still_right(decision, view);
    if (!*ok) {
        sched_resync(sched, view, decision->task_id, now, sched->last);
        return 0;
    }
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, decision->task_id);
    CHECK(task);
    fill(task, decision, txn_arena(txn));
    status_stamp(txn_arena(txn), task->status, now);
    return txn_update(txn, OBJECT_TASK, task, err);
}

// The decisions of a large run are not kept for the next, which will be small.
static void forget_decisions(struct sched *sched)
{
    sched->decisions_count = 0;
    arena_reset(&sched->arena);
    if (sched->decisions_cap <= DECISIONS_KEPT)
        return;
    MEM_FREE(sched->decisions);
    sched->decisions_cap = 0;
}

static int write_all(struct sched *sched, const struct sched_decision *decisions, size_t count,
                     struct store *store, struct wall now, struct err *err)
{
    struct txn *txn;
    int rc = txn_begin(store, now, &txn, err);
    for (size_t i = 0; i < count && !rc; i++) {
        bool ok;
        rc = txn_turn(&txn, 1, err);
        if (!rc && !txn_has_room(txn, view_get(txn_view(txn), OBJECT_TASK, decisions[i].task_id)))
            rc = txn_renew(&txn, err);
        if (!rc)
            rc = sched_write(sched, &decisions[i], txn, now, &ok, err);
    }
    if (!txn)
        return rc;
    if (rc) {
        txn_abandon(txn);
        return rc;
    }
    rc = txn_commit(txn, NULL, err);
    return rc < 0 ? rc : 0;
}

int sched_run_and_write(struct sched *sched, struct store *store, struct wall now, struct mono tick,
                        struct err *err)
{
    size_t count;
    const struct sched_decision *decisions = sched_run(sched, now, &count);
    if (count == 0)
        return 0;
    // What turns out to be overtaken by a change on its way is decided again once that is here, not
    // over and over until then.
    sched->last = tick;
    int rc = write_all(sched, decisions, count, store, now, err);
    forget_decisions(sched);
    return rc;
}
