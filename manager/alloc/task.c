#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"

static struct tsk *tsk_new(struct alloc *alloc, const char *id)
{
    size_t bytes = strlen(id) + 1;
    struct tsk *tsk = mem_alloc(sizeof(*tsk) + bytes);
    memcpy(tsk->id, id, bytes);
    CHECK(!map_put_str(&alloc->tsks, id, tsk));
    return tsk;
}

static void tsk_use(struct tsk *tsk, struct net *net)
{
    for (size_t i = 0; i < tsk->nets_count; i++)
        if (tsk->nets[i] == net)
            return;
    tsk->nets = mem_realloc(tsk->nets, (tsk->nets_count + 1) * sizeof(*tsk->nets));
    tsk->nets[tsk->nets_count++] = net;
    net->held++;
}

static void tsk_unuse(struct alloc *alloc, struct tsk *tsk)
{
    for (size_t i = 0; i < tsk->nets_count; i++) {
        if (tsk->node)
            nod_count(alloc, tsk->node, tsk->nets[i], false);
        tsk->nets[i]->held--;
        net_release(alloc, tsk->nets[i]);
    }
    if (tsk->node)
        nod_release(alloc, tsk->node);
    MEM_FREE(tsk->nets);
    tsk->nets_count = 0;
    tsk->node = NULL;
}

void tsk_free(struct alloc *alloc, struct tsk *tsk)
{
    CHECK(tsk->held.count == 0);
    tsk_unuse(alloc, tsk);
    map_remove_str(&alloc->tsks, tsk->id);
    free(tsk->held.list);
    free(tsk);
}

// Its agent said that it ended, or it never ran.
static void tsk_ended(struct alloc *alloc, struct tsk *tsk)
{
    holdings_release(alloc, &tsk->held);
    tsk_free(alloc, tsk);
}

// It went without its agent's word: it may live.
static void tsk_vanished(struct alloc *alloc, struct tsk *tsk, struct mono tick)
{
    bool away = !tsk->node || !tsk->node->ready;
    struct mono due = mono_add(tick, away ? ALLOC_LINGER_AWAY_NS : ALLOC_LINGER_NS);
    for (size_t i = 0; i < tsk->held.count; i++)
        hold_rest(alloc, tsk->held.list[i], tsk->node ? tsk->node->id : "", away, due);
    tsk->held.count = 0;
    tsk_free(alloc, tsk);
}

// The record's address on the network; NULL when it has none.
static struct holding *tsk_holding(const struct tsk *tsk, const struct net *net)
{
    for (size_t i = 0; i < tsk->held.count; i++)
        if (tsk->held.list[i].subnet->net == net)
            return &tsk->held.list[i];
    return NULL;
}

// The overlay network of a stored attachment; NULL for what has no addresses of ours.
static struct net *attached_net(const struct alloc *alloc,
                                const Swarm__NetworkAttachment *attachment)
{
    struct net *net =
        attachment->network ? net_find(alloc, str_or(attachment->network->id, "")) : NULL;
    return net && net->allocated && !net->local ? net : NULL;
}

// True when the user gave the task its address on the network.
static bool address_is_given(const Swarm__Task *task, const struct net *net)
{
    for (size_t i = 0; task->spec && i < task->spec->n_networks; i++)
        if (str_equal(task->spec->networks[i]->target, net->id))
            return task->spec->networks[i]->n_addresses > 0;
    return false;
}

// Claims what the attachment says. An address that somebody has already (a stock leader that takes
// over forgets the tasks of removed services, and gives their addresses away) is both's, and
// exchanged as long as no agent knows it.
static void claim_address(struct alloc *alloc, struct tsk *tsk, const Swarm__Task *task,
                          struct net *net, const char *address)
{
    struct holding holding;
    if (hold_claim(alloc, net, address, &holding)) {
        holdings_add(&tsk->held, holding);
    } else if (hold_share(alloc, net, address, &holding)) {
        holdings_add(&tsk->held, holding);
        tsk->doubled |= !address_is_given(task, net);
    }
}

// A stored task that has networks: claims its addresses.
static struct tsk *tsk_claim(struct alloc *alloc, const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Task *task = object_unpack(object, &arena);
    CHECK(task);
    struct tsk *tsk = tsk_new(alloc, object_id(object));
    for (size_t i = 0; i < task->n_networks; i++) {
        const Swarm__NetworkAttachment *attachment = task->networks[i];
        struct net *net = attached_net(alloc, attachment);
        if (!net)
            continue;
        tsk_use(tsk, net);
        for (size_t k = 0; k < attachment->n_addresses; k++)
            claim_address(alloc, tsk, task, net, attachment->addresses[k]);
    }
    arena_fini(&arena);
    return tsk;
}

void tsk_set(struct alloc *alloc, const struct object *object, struct mono tick)
{
    const struct task_facts *facts = object_task(object);
    const char *id = object_id(object);
    struct tsk *tsk = map_get_str(&alloc->tsks, id);
    if (facts->state == SWARM__TASK_STATE__NEW) {
        // Our own allocation may be on its way through the log while this event is not.
        if (facts->desired_state > SWARM__TASK_STATE__COMPLETE)
            queue_forget(&alloc->tsk_queue, id);
        else if (!tsk)
            queue_want(&alloc->tsk_queue, id);
        return;
    }
    queue_forget(&alloc->tsk_queue, id);
    if (PLANTED(ADDRESS_STOPPING) && facts->desired_state > SWARM__TASK_STATE__RUNNING) {
        if (tsk)
            tsk_ended(alloc, tsk);
        return;
    }
    if (facts->state > SWARM__TASK_STATE__RUNNING) {
        if (tsk && facts->state == SWARM__TASK_STATE__ORPHANED && tsk->ran)
            tsk_vanished(alloc, tsk, tick);
        else if (tsk)
            tsk_ended(alloc, tsk);
        return;
    }
    if (!tsk && object_has_index(object, INDEX_NETWORK))
        tsk = tsk_claim(alloc, object);
    if (!tsk)
        return;
    if (facts->state >= SWARM__TASK_STATE__ASSIGNED ||
        facts->desired_state > SWARM__TASK_STATE__COMPLETE)
        tsk->doubled = false; // an agent knows them, or none ever will
    if (tsk->doubled)
        queue_want(&alloc->tsk_queue, id);
    tsk->ran |= facts->state >= SWARM__TASK_STATE__ASSIGNED;
    if (tsk->node || !*facts->node_id)
        return;
    tsk->node = nod_get(alloc, facts->node_id);
    for (size_t i = 0; i < tsk->nets_count; i++)
        nod_count(alloc, tsk->node, tsk->nets[i], true);
}

void tsk_orphan(struct alloc *alloc, const struct object *object, struct mono tick)
{
    if (!object_has_index(object, INDEX_NETWORK))
        return;
    struct tsk *tsk = tsk_claim(alloc, object);
    if (*object_task(object)->node_id) {
        tsk->node = nod_get(alloc, object_task(object)->node_id);
        for (size_t i = 0; i < tsk->nets_count; i++)
            nod_count(alloc, tsk->node, tsk->nets[i], true);
    }
    tsk_vanished(alloc, tsk, tick);
}

void tsk_unset(struct alloc *alloc, const struct object *object, struct mono tick)
{
    const char *id = object_id(object);
    queue_forget(&alloc->tsk_queue, id);
    struct tsk *tsk = map_get_str(&alloc->tsks, id);
    if (!tsk)
        return;
    if (tsk->ran)
        tsk_vanished(alloc, tsk, tick);
    else
        tsk_ended(alloc, tsk);
}

// ---- allocating --------------------------------------------------------------------------------

// Attaches one network: an attachment in the task, an address in the record.
static int attach(struct alloc *alloc, struct tsk *tsk, Swarm__Task *task, struct net *net,
                  const Swarm__NetworkAttachmentConfig *config, struct arena *arena,
                  struct err *err)
{
    if (!net->allocated)
        return net_unready(alloc, net, err);
    Swarm__NetworkAttachment *attachment = attachment_new(net, arena);
    if (config) {
        // The entries of both maps are of one shape, message by message.
        attachment->aliases = config->aliases;
        attachment->n_aliases = config->n_aliases;
        attachment->n_driver_attachment_opts = config->n_driver_attachment_opts;
        attachment->driver_attachment_opts = arena_alloc_array(
            arena, config->n_driver_attachment_opts, sizeof(*attachment->driver_attachment_opts));
        for (size_t i = 0; i < config->n_driver_attachment_opts; i++) {
            Swarm__NetworkAttachment__DriverAttachmentOptsEntry *entry =
                ARENA_NEW(arena, Swarm__NetworkAttachment__DriverAttachmentOptsEntry);
            CHECK(entry);
            swarm__network_attachment__driver_attachment_opts_entry__init(entry);
            entry->key = config->driver_attachment_opts[i]->key;
            entry->value = config->driver_attachment_opts[i]->value;
            attachment->driver_attachment_opts[i] = entry;
        }
    }
    task->networks[task->n_networks++] = attachment;
    if (net->local)
        return 0;
    struct holding holding;
    const char *text = NULL;
    size_t wishes = config ? config->n_addresses : 0;
    int rc = wishes ? -1 : hold_take(alloc, net, NULL, arena, &holding, &text, err);
    for (size_t i = 0; i < wishes && rc; i++)
        rc = hold_take(alloc, net, config->addresses[i], arena, &holding, &text, err);
    if (rc)
        return rc;
    holdings_add(&tsk->held, holding);
    tsk_use(tsk, net);
    attachment->addresses = arena_memdup(arena, &text, sizeof(text));
    attachment->n_addresses = 1;
    return 0;
}

static int attach_all(struct alloc *alloc, struct tsk *tsk, Swarm__Task *task,
                      const Swarm__Service *service, struct arena *arena, struct err *err)
{
    size_t count = task->spec ? task->spec->n_networks : 0;
    Swarm__NetworkAttachmentConfig **list = count ? task->spec->networks : NULL;
    const Swarm__ServiceSpec *spec = service ? service->spec : NULL;
    if (count == 0 && spec) {
        count = spec->n_networks;
        list = spec->networks;
    }
    task->n_networks = 0;
    task->networks = arena_alloc_array(arena, count + 1, sizeof(*task->networks));
    CHECK(task->networks);
    if (service && service->endpoint && endpoint_needs_ingress(service->endpoint->spec)) {
        if (!alloc->ingress)
            return err_set(err, ERR_UNAVAILABLE, "there is no ingress network");
        int rc = attach(alloc, tsk, task, alloc->ingress, NULL, arena, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < count; i++) {
        struct net *net = net_find(alloc, str_or(list[i]->target, ""));
        int rc = net ? attach(alloc, tsk, task, net, list[i], arena, err) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

static void stamp(Swarm__TaskStatus *status, struct wall now, struct arena *arena)
{
    status->timestamp = ARENA_NEW(arena, Google__Timestamp);
    CHECK(status->timestamp);
    google__timestamp__init(status->timestamp);
    status->timestamp->seconds = now.ns / NS_PER_S;
    status->timestamp->nanos = (int32_t)(now.ns % NS_PER_S);
}

// The task stays NEW; people see why.
static int refuse(struct writer *writer, Swarm__Task *task, const char *reason, struct err *err)
{
    if (!queue_block(&writer->alloc->tsk_queue, task->id, reason))
        return ALLOC_BLOCKED;
    task->status->err = reason;
    stamp(task->status, writer->now, txn_arena(writer->txn));
    int rc = txn_update(writer->txn, OBJECT_TASK, task, err);
    return rc ? rc : ALLOC_BLOCKED;
}

// Where it runs already, if its node was given when it was made.
static void count_node(struct alloc *alloc, struct tsk *tsk, const char *node_id)
{
    if (str_empty(node_id))
        return;
    tsk->node = nod_get(alloc, node_id);
    for (size_t i = 0; i < tsk->nets_count; i++)
        nod_count(alloc, tsk->node, tsk->nets[i], true);
}

// Gives the task addresses of its own in place of those that it still shares.
static int exchange(struct writer *writer, struct tsk *tsk, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    struct arena *arena = txn_arena(writer->txn);
    Swarm__Task *task = txn_edit(writer->txn, OBJECT_TASK, tsk->id);
    // What the planners after us made of it is no event yet.
    if (!task || !task->status || task->status->state >= SWARM__TASK_STATE__ASSIGNED ||
        task->desired_state > SWARM__TASK_STATE__COMPLETE)
        return 0;
    struct err why = ERR_INIT;
    bool changed = false;
    for (size_t i = 0; i < task->n_networks && !why.code; i++) {
        Swarm__NetworkAttachment *attachment = task->networks[i];
        struct net *net = attached_net(alloc, attachment);
        struct holding *now = net ? tsk_holding(tsk, net) : NULL;
        struct holding fresh;
        const char *text;
        if (!now || !hold_is_shared(*now) || address_is_given(task, net) ||
            hold_take(alloc, net, NULL, arena, &fresh, &text, &why))
            continue;
        hold_release(alloc, *now);
        *now = fresh;
        attachment->addresses = arena_memdup(arena, &text, sizeof(text));
        attachment->n_addresses = 1;
        changed = true;
    }
    tsk->doubled = why.code != ERR_OK;
    if (tsk->doubled)
        queue_block(&alloc->tsk_queue, tsk->id, why.message);
    int rc = changed ? txn_update(writer->txn, OBJECT_TASK, task, err) : 0;
    return rc ? rc : tsk->doubled ? ALLOC_BLOCKED : 0;
}

int tsk_allocate(struct writer *writer, const char *id, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    struct arena *arena = txn_arena(writer->txn);
    struct view view = txn_view(writer->txn);
    const struct object *object = view_get(view, OBJECT_TASK, id);
    struct tsk *known = map_get_str(&alloc->tsks, id);
    if (known && known->doubled)
        return exchange(writer, known, err);
    if (!object || map_has_str(&alloc->tsks, id) ||
        object_task(object)->state != SWARM__TASK_STATE__NEW ||
        object_task(object)->desired_state > SWARM__TASK_STATE__COMPLETE)
        return 0;
    const char *service_id = object_task(object)->service_id;
    const struct svc *svc = map_get_str(&alloc->svcs, service_id);
    Swarm__Service *service =
        *service_id ? txn_edit(writer->txn, OBJECT_SERVICE, service_id) : NULL;
    if (*service_id && !service)
        return 0; // the task goes with its service
    Swarm__Task *task = txn_edit(writer->txn, OBJECT_TASK, id);
    CHECK(task);
    if (!task->status) {
        task->status = ARENA_NEW(arena, Swarm__TaskStatus);
        CHECK(task->status);
        swarm__task_status__init(task->status);
    }
    struct err why = ERR_INIT;
    if (service && !(svc && svc->ready)) {
        err_set(&why, ERR_UNAVAILABLE, "service is not allocated: %s",
                svc ? str_or(svc->err, "") : "");
        return refuse(writer, task, why.message, err);
    }
    struct tsk *tsk = tsk_new(alloc, id);
    if (attach_all(alloc, tsk, task, service, arena, &why)) {
        bool freed = alloc->freed;
        tsk_ended(alloc, tsk);
        alloc->freed = freed; // no news for the others
        task->n_networks = 0; // not what was given back again
        return refuse(writer, task, why.message, err);
    }
    if (service)
        task->endpoint = service->endpoint;
    task->status->state = SWARM__TASK_STATE__PENDING;
    task->status->message = NAME_STATUS_PENDING;
    task->status->err = "";
    stamp(task->status, writer->now, arena);
    if (tsk->nets_count == 0)
        tsk_free(alloc, tsk);
    else
        count_node(alloc, tsk, task->node_id);
    return txn_update(writer->txn, OBJECT_TASK, task, err);
}
