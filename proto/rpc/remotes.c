#include "proto/rpc/remotes.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Keeps remotes of weight 0 and less eligible: they come last, not never.
#define REMOTES_WEIGHT_FLOOR 0.001

void remotes_init(struct remotes *remotes)
{
    *remotes = (struct remotes){0};
}

void remotes_fini(struct remotes *remotes)
{
    free(remotes->list);
    remotes_init(remotes);
}

static struct remote *find(const struct remotes *remotes, const char *node_id, const char *addr)
{
    for (size_t i = 0; i < remotes->count; i++) {
        struct remote *remote = &remotes->list[i];
        if (str_equal(remote->node_id, node_id) && str_equal(remote->addr, addr))
            return remote;
    }
    return NULL;
}

static int clip(int weight)
{
    if (weight > REMOTES_WEIGHT_MAX)
        return REMOTES_WEIGHT_MAX;
    return weight < -REMOTES_WEIGHT_MAX ? -REMOTES_WEIGHT_MAX : weight;
}

static void blend(struct remote *remote, int observed)
{
    int sum = remote->weight + clip(observed);
    // Half of the sum, rounded up: C's division rounds towards zero, which is up below zero.
    remote->weight = clip(sum > 0 ? (sum + 1) / 2 : sum / 2);
}

bool remotes_observe(struct remotes *remotes, const char *node_id, const char *addr, int weight)
{
    struct remote *known = find(remotes, node_id, addr);
    if (known) {
        blend(known, weight);
        return true;
    }
    struct remote fresh = {.weight = clip(weight)};
    if (str_empty(addr) || remotes->count >= REMOTES_MAX ||
        !str_copy(fresh.node_id, sizeof fresh.node_id, str_or(node_id, "")) ||
        !str_copy(fresh.addr, sizeof fresh.addr, addr))
        return false;
    if (remotes->count == remotes->cap) {
        remotes->cap = remotes->cap ? remotes->cap * 2 : 4;
        remotes->list = mem_realloc(remotes->list, remotes->cap * sizeof *remotes->list);
    }
    remotes->list[remotes->count++] = fresh;
    return true;
}

void remotes_observe_known(struct remotes *remotes, const char *node_id, const char *addr,
                           int weight)
{
    struct remote *known = find(remotes, node_id, addr);
    if (known)
        blend(known, weight);
}

static void remove_at(struct remotes *remotes, size_t at)
{
    CHECK(at < remotes->count);
    remotes->count--;
    memmove(&remotes->list[at], &remotes->list[at + 1],
            (remotes->count - at) * sizeof *remotes->list);
}

void remotes_remove(struct remotes *remotes, const char *node_id, const char *addr)
{
    struct remote *known = find(remotes, node_id, addr);
    if (known)
        remove_at(remotes, (size_t)(known - remotes->list));
}

static bool listed(const struct remote *list, size_t count, const struct remote *remote)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(list[i].node_id, remote->node_id) && str_equal(list[i].addr, remote->addr))
            return true;
    return false;
}

void remotes_update(struct remotes *remotes, const struct remote *list, size_t count)
{
    for (size_t i = remotes->count; i-- > 0;)
        if (!listed(list, count, &remotes->list[i]))
            remove_at(remotes, i);
    for (size_t i = 0; i < count; i++)
        if (!str_empty(list[i].addr))
            remotes_observe(remotes, list[i].node_id, list[i].addr, list[i].weight);
}

static bool excepted(const struct remote *remote, const char *const *except, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(remote->node_id, except[i]))
            return true;
    return false;
}

static double share(const struct remote *remote)
{
    return (remote->weight > 0 ? remote->weight : 0) + REMOTES_WEIGHT_FLOOR;
}

bool remotes_set_own(struct remotes *remotes, const char *node_id, const char *addr)
{
    struct remote own = {.weight = 0};
    if (!str_copy(own.node_id, sizeof own.node_id, node_id) ||
        !str_copy(own.addr, sizeof own.addr, addr))
        return false;
    remotes->own = own;
    return true;
}

const char *remotes_dialled(const struct remotes *remotes, const struct remote *remote)
{
    bool own = *remotes->own.node_id && str_equal(remote->node_id, remotes->own.node_id);
    return own ? remotes->own.addr : remote->addr;
}

const struct remote *remotes_pick(const struct remotes *remotes, struct rand *rand,
                                  const char *const *except, size_t except_count)
{
    double total = 0;
    const struct remote *last = NULL;
    for (size_t i = 0; i < remotes->count; i++) {
        if (excepted(&remotes->list[i], except, except_count))
            continue;
        total += share(&remotes->list[i]);
        last = &remotes->list[i];
    }
    if (!last)
        return NULL;
    double draw = rand_unit(rand) * total;
    for (size_t i = 0; i < remotes->count; i++) {
        if (excepted(&remotes->list[i], except, except_count))
            continue;
        draw -= share(&remotes->list[i]);
        if (draw < 0)
            return &remotes->list[i];
    }
    return last; // the sum of the shares was rounded
}
