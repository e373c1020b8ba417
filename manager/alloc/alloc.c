#include "manager/alloc/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- queues ------------------------------------------------------------------------------------

static void queue_init(struct queue *queue)
{
    map_init(&queue->wanted);
    map_init(&queue->blocked);
}

static void queue_clear(struct queue *queue)
{
    map_clear(&queue->wanted);
    MAP_EACH (entry, &queue->blocked)
        free(entry->value);
    map_clear(&queue->blocked);
}

static void queue_fini(struct queue *queue)
{
    queue_clear(queue);
    map_fini(&queue->wanted);
    map_fini(&queue->blocked);
}

void queue_want(struct queue *queue, const char *id)
{
    map_put_str(&queue->wanted, id, queue);
}

void queue_forget(struct queue *queue, const char *id)
{
    map_remove_str(&queue->wanted, id);
    free(map_remove_str(&queue->blocked, id));
}

bool queue_block(struct queue *queue, const char *id, const char *reason)
{
    char *before = map_get_str(&queue->blocked, id);
    if (before && !strcmp(before, reason))
        return false;
    map_put_str(&queue->blocked, id, str_dup(reason));
    free(before);
    return true;
}

static void queue_unblock(struct queue *queue)
{
    // The reasons stay, so that the same one is not told twice.
    MAP_EACH (entry, &queue->blocked)
        queue_want(queue, entry->key);
}

// ---- records -----------------------------------------------------------------------------------

struct net *net_find(const struct alloc *alloc, const char *id)
{
    struct net *net = map_get_str(&alloc->nets, id);
    return net && net->exists ? net : NULL;
}

#define RECORD_GET(map, type, id)                                                                  \
    type *record = map_get_str((map), (id));                                                       \
    if (record)                                                                                    \
        return record;                                                                             \
    size_t bytes = strlen(id) + 1;                                                                 \
    record = mem_alloc(sizeof(*record) + bytes);                                                   \
    memcpy(record->id, (id), bytes);                                                               \
    map_put_str((map), (id), record)

struct net *net_get(struct alloc *alloc, const char *id)
{
    RECORD_GET(&alloc->nets, struct net, id);
    record->name = str_dup(id);
    return record;
}

struct svc *svc_get(struct alloc *alloc, const char *id)
{
    RECORD_GET(&alloc->svcs, struct svc, id);
    return record;
}

struct nod *nod_get(struct alloc *alloc, const char *id)
{
    RECORD_GET(&alloc->nods, struct nod, id);
    map_init(&record->tasks);
    return record;
}

// ---- life --------------------------------------------------------------------------------------

struct alloc *alloc_new(void)
{
    struct alloc *alloc = MEM_NEW(struct alloc);
    map_init(&alloc->nets);
    map_init(&alloc->svcs);
    map_init(&alloc->nods);
    map_init(&alloc->tsks);
    queue_init(&alloc->net_queue);
    queue_init(&alloc->svc_queue);
    queue_init(&alloc->nod_queue);
    queue_init(&alloc->tsk_queue);
    vnis_init(&alloc->vnis);
    ports_init(&alloc->ports);
    list_init(&alloc->resting);
    alloc->subnet_bits = ALLOC_SUBNET_BITS_DEFAULT;
    alloc->wake = MONO_NEVER;
    alloc->retry = MONO_NEVER;
    return alloc;
}

static void clear(struct alloc *alloc)
{
    MAP_EACH (entry, &alloc->tsks) {
        struct tsk *tsk = entry->value;
        holdings_release(alloc, &tsk->held);
        tsk_free(alloc, tsk);
    }
    MAP_EACH (entry, &alloc->svcs)
        svc_unset(alloc, ((struct svc *)entry->value)->id);
    MAP_EACH (entry, &alloc->nods)
        nod_unset(alloc, ((struct nod *)entry->value)->id, (struct mono){.ns = 0});
    rest_expire(alloc, MONO_NEVER);
    MAP_EACH (entry, &alloc->nets)
        net_unset(alloc, ((struct net *)entry->value)->id);
    queue_clear(&alloc->net_queue);
    queue_clear(&alloc->svc_queue);
    queue_clear(&alloc->nod_queue);
    queue_clear(&alloc->tsk_queue);
    MEM_FREE(alloc->pools);
    alloc->pools_count = 0;
    alloc->subnet_bits = ALLOC_SUBNET_BITS_DEFAULT;
    alloc->freed = false;
    alloc->served = false;
    alloc->wake = MONO_NEVER;
    alloc->retry = MONO_NEVER;
    CHECK(alloc->addresses == 0);
    CHECK(map_count(&alloc->nets) == 0);
    CHECK(map_count(&alloc->nods) == 0);
    CHECK(ports_count(&alloc->ports) == 0);
    CHECK(map_count(&alloc->vnis.held) == 0);
}

void alloc_free(struct alloc *alloc)
{
    if (!alloc)
        return;
    clear(alloc);
    map_fini(&alloc->nets);
    map_fini(&alloc->svcs);
    map_fini(&alloc->nods);
    map_fini(&alloc->tsks);
    queue_fini(&alloc->net_queue);
    queue_fini(&alloc->svc_queue);
    queue_fini(&alloc->nod_queue);
    queue_fini(&alloc->tsk_queue);
    vnis_fini(&alloc->vnis);
    ports_fini(&alloc->ports);
    free(alloc);
}

// Should two have one address, it stays with those that cannot change it any more, and goes before
// all from tasks that will never use it.
#define LOAD_RANKS 3
static int load_rank(const struct task_facts *facts)
{
    if (facts->state >= SWARM__TASK_STATE__ASSIGNED)
        return 0;
    return facts->desired_state <= SWARM__TASK_STATE__COMPLETE ? 1 : 2;
}

static void load_tasks(struct alloc *alloc, struct view view, int rank, struct mono tick)
{
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        const struct task_facts *facts = object_task(object);
        if (load_rank(facts) != rank)
            continue;
        // A task given up with its node keeps its addresses as if that had happened just now.
        if (facts->state == SWARM__TASK_STATE__ORPHANED)
            tsk_orphan(alloc, object, tick);
        else
            tsk_set(alloc, object, tick);
    }
}

void alloc_load(struct alloc *alloc, struct view view, struct mono tick)
{
    clear(alloc);
    VIEW_EACH (object, view, OBJECT_CLUSTER, BY_ALL)
        pools_set(alloc, object);
    VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL)
        net_set(alloc, object);
    VIEW_EACH (object, view, OBJECT_NODE, BY_ALL) {
        nod_set(alloc, object, tick);
        nod_claim(alloc, object);
    }
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL) {
        svc_claim(alloc, object);
        queue_want(&alloc->svc_queue, object_id(object));
    }
    for (int rank = 0; rank < LOAD_RANKS; rank++)
        load_tasks(alloc, view, rank, tick);
    alloc->freed = false;
    alloc->served = false;
    alloc->wake = tick;
}

void alloc_event(struct alloc *alloc, const struct watch_event *event, struct mono tick)
{
    if (!event->now)
        return;
    const struct object *object = event->now;
    const char *id = object_id(object);
    bool gone = event->action == WATCH_REMOVE;
    switch (object_type(object)) {
    case OBJECT_CLUSTER:
        if (!gone)
            pools_set(alloc, object);
        break;
    case OBJECT_NETWORK:
        if (gone) {
            net_unset(alloc, id);
            break;
        }
        net_set(alloc, object);
        break;
    case OBJECT_SERVICE:
        if (gone)
            svc_unset(alloc, id);
        else
            queue_want(&alloc->svc_queue, id);
        break;
    case OBJECT_NODE:
        if (gone)
            nod_unset(alloc, id, tick);
        else
            nod_set(alloc, object, tick);
        break;
    case OBJECT_TASK:
        if (gone)
            tsk_unset(alloc, object, tick);
        else
            tsk_set(alloc, object, tick);
        break;
    default:
        return;
    }
    if (mono_before(tick, alloc->wake))
        alloc->wake = tick;
}

// ---- running -----------------------------------------------------------------------------------

static size_t wanted_count(const struct alloc *alloc)
{
    return map_count(&alloc->net_queue.wanted) + map_count(&alloc->nod_queue.wanted) +
           map_count(&alloc->svc_queue.wanted) + map_count(&alloc->tsk_queue.wanted);
}

static size_t blocked_count(const struct alloc *alloc)
{
    return map_count(&alloc->net_queue.blocked) + map_count(&alloc->nod_queue.blocked) +
           map_count(&alloc->svc_queue.blocked) + map_count(&alloc->tsk_queue.blocked);
}

struct mono alloc_due(const struct alloc *alloc)
{
    if (wanted_count(alloc) > 0 || (alloc->freed && blocked_count(alloc) > 0) ||
        (alloc->served && map_count(&alloc->tsk_queue.blocked) > 0))
        return alloc->wake.ns == MONO_NEVER.ns ? (struct mono){.ns = 0} : alloc->wake;
    struct mono due = rest_due(alloc);
    if (blocked_count(alloc) > 0 && mono_before(alloc->retry, due))
        due = alloc->retry;
    return due;
}

// A transaction with room to rewrite the object. Looking takes memory of the transaction's too, so
// one that only looks is ended now and then as well.
static int writer_ready(struct writer *writer, enum object_type type, const char *id,
                        struct err *err)
{
    if (writer->txn && (txn_full(writer->txn, 1) || writer->looks >= STORE_ACTIONS_MAX ||
                        !txn_has_room(writer->txn, view_get(txn_view(writer->txn), type, id)))) {
        writer->looks = 0;
        return txn_renew(&writer->txn, err);
    }
    writer->looks++;
    return writer->txn ? 0 : txn_begin(writer->store, writer->now, &writer->txn, err);
}

// Looks at all ids of one queue. Those that come in meanwhile wait for the next round.
static int queue_run(struct writer *writer, struct queue *queue, enum object_type type,
                     int (*allocate)(struct writer *writer, const char *id, struct err *err),
                     struct err *err)
{
    struct map todo = queue->wanted;
    map_init(&queue->wanted);
    int rc = 0;
    MAP_EACH (entry, &todo) {
        writer->alloc->looks++;
        rc = writer_ready(writer, type, entry->key, err);
        if (!rc)
            rc = allocate(writer, entry->key, err);
        if (rc < 0)
            break;
        if (rc != ALLOC_BLOCKED)
            free(map_remove_str(&queue->blocked, entry->key));
        rc = 0;
    }
    map_fini(&todo);
    return rc;
}

static int run_round(struct writer *writer, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    // The routing mesh's network first, then what depends on networks, then what depends on all.
    if (alloc->ingress && !alloc->ingress->allocated) {
        int rc = writer_ready(writer, OBJECT_NETWORK, alloc->ingress->id, err);
        if (!rc)
            rc = net_allocate(writer, alloc->ingress->id, err);
        if (rc < 0)
            return rc;
    }
    int rc = queue_run(writer, &alloc->net_queue, OBJECT_NETWORK, net_allocate, err);
    if (!rc)
        rc = queue_run(writer, &alloc->nod_queue, OBJECT_NODE, nod_allocate, err);
    if (!rc)
        rc = queue_run(writer, &alloc->svc_queue, OBJECT_SERVICE, svc_allocate, err);
    if (!rc)
        rc = queue_run(writer, &alloc->tsk_queue, OBJECT_TASK, tsk_allocate, err);
    return rc;
}

static void unblock(struct alloc *alloc)
{
    queue_unblock(&alloc->net_queue);
    queue_unblock(&alloc->nod_queue);
    queue_unblock(&alloc->svc_queue);
    queue_unblock(&alloc->tsk_queue);
}

int alloc_run(struct alloc *alloc, struct store *store, struct wall now, struct mono tick,
              struct err *err)
{
    struct writer writer = {.alloc = alloc, .store = store, .now = now, .tick = tick};
    rest_expire(alloc, tick);
    bool again = alloc->freed || !mono_before(tick, alloc->retry);
    bool later = again || alloc->retry.ns == MONO_NEVER.ns;
    int rc = 0;
    // What one round gives back may serve what it could not; more rounds than kinds of holders
    // find nothing new.
    for (unsigned round = 0; round < 4 && !rc; round++) {
        // A network that is full leaves most nodes of a large cluster blocked: they are looked at
        // for what may help them, not for each new service.
        if (again)
            unblock(alloc);
        else if (alloc->served)
            queue_unblock(&alloc->tsk_queue);
        alloc->freed = false;
        alloc->served = false;
        if (wanted_count(alloc) == 0)
            break;
        rc = run_round(&writer, err);
        again = alloc->freed;
    }
    alloc->freed = false;
    alloc->served = false;
    alloc->wake = MONO_NEVER;
    if (blocked_count(alloc) == 0)
        alloc->retry = MONO_NEVER;
    else if (later)
        alloc->retry = mono_add(tick, ALLOC_RETRY_NS);
    if (!writer.txn)
        return rc;
    if (rc) {
        txn_abandon(writer.txn);
        return rc;
    }
    rc = txn_commit(writer.txn, NULL, err);
    return rc < 0 ? rc : 0;
}

void alloc_stats(const struct alloc *alloc, struct alloc_stats *out)
{
    *out = (struct alloc_stats){
        .addresses = alloc->addresses,
        .resting = alloc->resting_count,
        .ports = ports_count(&alloc->ports),
        .vnis = map_count(&alloc->vnis.held),
        .blocked = blocked_count(alloc),
        .looks = alloc->looks,
    };
}
