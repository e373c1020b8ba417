#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

void nod_release(struct alloc *alloc, struct nod *nod)
{
    if (nod->exists || map_count(&nod->tasks) > 0)
        return;
    CHECK(nod->held.count == 0);
    queue_forget(&alloc->nod_queue, nod->id);
    map_remove_str(&alloc->nods, nod->id);
    map_fini(&nod->tasks);
    free(nod);
}

void nod_count(struct alloc *alloc, struct nod *nod, struct net *net, bool more)
{
    uint64_t key = (uintptr_t)net;
    uintptr_t before = (uintptr_t)map_get_u64(&nod->tasks, key);
    CHECK(more || before > 0);
    uintptr_t now = more ? before + 1 : before - 1;
    if (now == 0)
        map_remove_u64(&nod->tasks, key);
    else
        map_put_u64(&nod->tasks, key, (void *)now);
    if ((before == 0) != (now == 0) && nod->exists)
        queue_want(&alloc->nod_queue, nod->id);
}

void nod_claim(struct alloc *alloc, const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Node *node = object_unpack(object, &arena);
    CHECK(node);
    struct nod *nod = nod_get(alloc, object_id(object));
    for (size_t i = 0; i < node->n_attachments; i++) {
        const Swarm__NetworkAttachment *attachment = node->attachments[i];
        struct net *net =
            attachment->network ? net_find(alloc, str_or(attachment->network->id, "")) : NULL;
        struct holding holding;
        if (net && attachment->n_addresses > 0 &&
            hold_claim(alloc, net, attachment->addresses[0], &holding))
            holdings_add(&nod->held, holding);
    }
    arena_fini(&arena);
}

void nod_set(struct alloc *alloc, const struct object *object, struct mono tick)
{
    struct nod *nod = nod_get(alloc, object_id(object));
    bool ready = object_node(object)->state == SWARM__NODE_STATUS__STATE__READY;
    if (!nod->exists)
        queue_want(&alloc->nod_queue, nod->id);
    if (ready && !nod->ready)
        rest_node_back(alloc, nod->id, tick);
    nod->exists = true;
    nod->ready = ready;
}

// Lets the node's addresses rest: it may not have heard yet.
static void nod_rest(struct alloc *alloc, const struct nod *nod, struct holding holding,
                     struct mono tick)
{
    rest_own(alloc, holding, nod->id, mono_add(tick, ALLOC_LINGER_NS));
}

void nod_unset(struct alloc *alloc, const char *id, struct mono tick)
{
    struct nod *nod = map_get_str(&alloc->nods, id);
    queue_forget(&alloc->nod_queue, id);
    if (!nod)
        return;
    for (size_t i = 0; i < nod->held.count; i++)
        nod_rest(alloc, nod, nod->held.list[i], tick);
    free(nod->held.list);
    nod->held = (struct holdings){.list = NULL};
    nod->exists = false;
    nod_release(alloc, nod);
}

// ---- attachments -------------------------------------------------------------------------------

Swarm__NetworkAttachment *attachment_new(const struct net *net, struct arena *arena)
{
    Swarm__NetworkAttachment *attachment = ARENA_NEW(arena, Swarm__NetworkAttachment);
    CHECK(attachment);
    swarm__network_attachment__init(attachment);
    attachment->network = net->message;
    return attachment;
}

static bool nod_wants(const struct alloc *alloc, const struct nod *nod, const struct net *net)
{
    if (!net->exists || !net->allocated || net->local)
        return false;
    return net == alloc->ingress || map_has(&nod->tasks, &(uint64_t){(uintptr_t)net}, 8);
}

static bool nod_holds(const struct nod *nod, const struct net *net)
{
    for (size_t i = 0; i < nod->held.count; i++)
        if (nod->held.list[i].subnet->net == net)
            return true;
    return false;
}

// Adds the attachment of one network, unless it is not wanted or there.
static int nod_attach(struct alloc *alloc, struct nod *nod, struct net *net, Swarm__Node *node,
                      struct arena *arena, bool *changed, struct err *err)
{
    if (!net || !nod_wants(alloc, nod, net) || nod_holds(nod, net))
        return 0;
    struct holding holding;
    const char *text;
    // A service whose tasks end as soon as they begin would use up the network: the node's old
    // address is as good as a new one.
    if (rest_take_back(alloc, nod->id, net, &holding)) {
        text = holding_text(holding, arena);
    } else {
        int rc = hold_take(alloc, net, NULL, arena, &holding, &text, err);
        if (rc)
            return rc;
    }
    holdings_add(&nod->held, holding);
    Swarm__NetworkAttachment *attachment = attachment_new(net, arena);
    attachment->addresses = arena_memdup(arena, &text, sizeof(text));
    attachment->n_addresses = 1;
    node->attachments[node->n_attachments++] = attachment;
    *changed = true;
    return 0;
}

// Drops attachments to networks no longer wanted, and those whose address is not the node's own.
static void nod_detach(struct alloc *alloc, struct nod *nod, Swarm__Node *node, struct mono tick,
                       struct arena *arena, bool *changed)
{
    size_t kept = 0;
    for (size_t i = 0; i < nod->held.count; i++) {
        struct holding holding = nod->held.list[i];
        if (nod_wants(alloc, nod, holding.subnet->net))
            nod->held.list[kept++] = holding;
        else
            nod_rest(alloc, nod, holding, tick);
    }
    nod->held.count = kept;
    kept = 0;
    for (size_t i = 0; i < node->n_attachments; i++) {
        Swarm__NetworkAttachment *attachment = node->attachments[i];
        const char *id = attachment->network ? attachment->network->id : NULL;
        struct net *net = net_find(alloc, str_or(id, ""));
        bool mine = false;
        for (size_t k = 0; net && attachment->n_addresses && k < nod->held.count; k++)
            mine |= nod->held.list[k].subnet->net == net &&
                    str_equal(holding_text(nod->held.list[k], arena), attachment->addresses[0]);
        if (mine)
            node->attachments[kept++] = attachment;
    }
    *changed |= kept != node->n_attachments;
    node->n_attachments = kept;
}

int nod_allocate(struct writer *writer, const char *id, struct err *err)
{
    struct alloc *alloc = writer->alloc;
    Swarm__Node *node = txn_edit(writer->txn, OBJECT_NODE, id);
    struct nod *nod = map_get_str(&alloc->nods, id);
    if (!node || !nod)
        return 0;
    struct arena *arena = txn_arena(writer->txn);
    bool changed = false;
    nod_detach(alloc, nod, node, writer->tick, arena, &changed);
    size_t most = node->n_attachments + map_count(&nod->tasks) + 1;
    Swarm__NetworkAttachment **list = arena_alloc_array(arena, most, sizeof(*list));
    CHECK(list);
    if (node->n_attachments)
        memcpy(list, node->attachments, node->n_attachments * sizeof(*list));
    node->attachments = list;
    struct err why = ERR_INIT;
    int rc = nod_attach(alloc, nod, alloc->ingress, node, arena, &changed, &why);
    MAP_EACH (entry, &nod->tasks) {
        uint64_t key;
        memcpy(&key, entry->key, sizeof(key));
        int failed =
            nod_attach(alloc, nod, (struct net *)(uintptr_t)key, node, arena, &changed, &why);
        rc = rc ? rc : failed;
    }
    if (rc)
        queue_block(&alloc->nod_queue, id, why.message);
    int written = changed ? txn_update(writer->txn, OBJECT_NODE, node, err) : 0;
    return written ? written : rc ? ALLOC_BLOCKED : 0;
}
