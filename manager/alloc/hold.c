#include <stdlib.h>
#include <string.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct subnet *net_subnet(const struct net *net, const struct prefix *address)
{
    for (size_t i = 0; i < net->subnets_count; i++)
        if (prefix_contains(&net->subnets[i].ipam.subnet, address))
            return &net->subnets[i];
    return NULL;
}

static void count_in(struct alloc *alloc, struct subnet *subnet)
{
    subnet->net->held++;
    alloc->addresses++;
}

const char *holding_text(struct holding holding, struct arena *arena)
{
    char text[PREFIX_TEXT_BYTES];
    struct prefix at = prefix_at(&holding.subnet->ipam.subnet, holding.offset);
    return arena_strdup(arena, prefix_format(&at, text));
}

static int take_wanted(struct net *net, const char *wanted, struct holding *out, struct err *err)
{
    struct prefix address;
    if (!prefix_parse_address(wanted, &address))
        return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is no address", wanted);
    out->subnet = net_subnet(net, &address);
    if (!out->subnet)
        return err_set(err, ERR_INVALID_ARGUMENT, "address %s is not in network %s", wanted,
                       net->name);
    if (!ipam_claim(&out->subnet->ipam, &address, &out->offset))
        return err_set(err, ERR_FAILED_PRECONDITION, "address %s of network %s is in use", wanted,
                       net->name);
    return 0;
}

int hold_take(struct alloc *alloc, struct net *net, const char *wanted, struct arena *arena,
              struct holding *out, const char **text, struct err *err)
{
    int rc = 0;
    CHECK(net->allocated && !net->local);
    if (!str_empty(wanted)) {
        rc = take_wanted(net, wanted, out, err);
    } else {
        // The first subnet with room, IPv4 before IPv6 as the spec has them.
        size_t i = 0;
        for (; i < net->subnets_count; i++) {
            out->subnet = &net->subnets[i];
            if (ipam_take(&out->subnet->ipam, &out->offset))
                break;
        }
        if (i == net->subnets_count)
            rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "no free address in network %s", net->name);
    }
    if (rc)
        return rc;
    count_in(alloc, out->subnet);
    *text = holding_text(*out, arena);
    return 0;
}

bool hold_claim(struct alloc *alloc, struct net *net, const char *text, struct holding *out)
{
    struct prefix address;
    if (!prefix_parse_address(text, &address))
        return false;
    out->subnet = net_subnet(net, &address);
    if (!out->subnet || !ipam_claim(&out->subnet->ipam, &address, &out->offset))
        return false;
    // Serial: go on after what was handed out, not over it again.
    if (out->offset > out->subnet->ipam.cursor ||
        out->subnet->ipam.cursor == out->subnet->ipam.last)
        if (out->offset <= out->subnet->ipam.last && out->offset >= out->subnet->ipam.first)
            out->subnet->ipam.cursor = out->offset;
    count_in(alloc, out->subnet);
    return true;
}

bool hold_share(struct alloc *alloc, struct net *net, const char *text, struct holding *out)
{
    struct prefix address;
    if (!prefix_parse_address(text, &address))
        return false;
    out->subnet = net_subnet(net, &address);
    if (!out->subnet)
        return false;
    out->offset = prefix_offset(&out->subnet->ipam.subnet, &address);
    if (!ipam_is_held(&out->subnet->ipam, out->offset))
        return false;
    uintptr_t others = (uintptr_t)map_get_u64(&out->subnet->shared, out->offset);
    map_put_u64(&out->subnet->shared, out->offset, (void *)(others + 1));
    count_in(alloc, out->subnet);
    return true;
}

bool hold_is_shared(struct holding holding)
{
    return map_get_u64(&holding.subnet->shared, holding.offset) != NULL;
}

static void give_back(struct holding holding)
{
    struct map *shared = &holding.subnet->shared;
    uintptr_t others = (uintptr_t)map_get_u64(shared, holding.offset);
    if (others == 0)
        ipam_release(&holding.subnet->ipam, holding.offset);
    else if (others == 1)
        map_remove_u64(shared, holding.offset);
    else
        map_put_u64(shared, holding.offset, (void *)(others - 1));
}

void hold_release(struct alloc *alloc, struct holding holding)
{
    struct net *net = holding.subnet->net;
    give_back(holding);
    CHECK(net->held > 0);
    CHECK(alloc->addresses > 0);
    net->held--;
    alloc->addresses--;
    alloc->freed = true;
    net_release(alloc, net);
}

void holdings_add(struct holdings *holdings, struct holding holding)
{
    holdings->list = mem_realloc(holdings->list, (holdings->count + 1) * sizeof(holding));
    holdings->list[holdings->count++] = holding;
}

void holdings_release(struct alloc *alloc, struct holdings *holdings)
{
    for (size_t i = 0; i < holdings->count; i++)
        hold_release(alloc, holdings->list[i]);
    free(holdings->list);
    *holdings = (struct holdings){.list = NULL};
}

// ---- rest --------------------------------------------------------------------------------------

void hold_rest(struct alloc *alloc, struct holding holding, const char *node_id, bool away,
               struct mono due)
{
    size_t bytes = strlen(node_id) + 1;
    struct resting *resting = mem_alloc(sizeof(*resting) + bytes);
    memcpy(resting->node_id, node_id, bytes);
    resting->holding = holding;
    resting->away = away;
    resting->own = false;
    resting->due = due;
    list_push_back(&alloc->resting, &resting->link);
    alloc->resting_count++;
}

void rest_own(struct alloc *alloc, struct holding holding, const char *node_id, struct mono due)
{
    hold_rest(alloc, holding, node_id, false, due);
    LIST_ENTRY(alloc->resting.prev, struct resting, link)->own = true;
}

bool rest_take_back(struct alloc *alloc, const char *node_id, const struct net *net,
                    struct holding *out)
{
    LIST_EACH (it, &alloc->resting) {
        struct resting *resting = LIST_ENTRY(it, struct resting, link);
        if (!resting->own || resting->holding.subnet->net != net ||
            strcmp(resting->node_id, node_id) != 0)
            continue;
        *out = resting->holding;
        list_remove(&resting->link);
        alloc->resting_count--;
        free(resting);
        return true;
    }
    return false;
}

void rest_expire(struct alloc *alloc, struct mono tick)
{
    LIST_EACH_SAFE (it, &alloc->resting) {
        struct resting *resting = LIST_ENTRY(it, struct resting, link);
        if (mono_before(tick, resting->due))
            continue;
        list_remove(&resting->link);
        alloc->resting_count--;
        hold_release(alloc, resting->holding);
        free(resting);
    }
}

void rest_node_back(struct alloc *alloc, const char *node_id, struct mono tick)
{
    struct mono due = mono_add(tick, ALLOC_LINGER_NS);
    LIST_EACH (it, &alloc->resting) {
        struct resting *resting = LIST_ENTRY(it, struct resting, link);
        if (resting->away && !strcmp(resting->node_id, node_id)) {
            resting->away = false;
            resting->due = due;
        }
    }
}

struct mono rest_due(const struct alloc *alloc)
{
    struct mono due = MONO_NEVER;
    LIST_EACH (it, &alloc->resting) {
        const struct resting *resting = LIST_ENTRY(it, struct resting, link);
        if (mono_before(resting->due, due))
            due = resting->due;
    }
    return due;
}
