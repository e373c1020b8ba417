#include "manager/sched/generic.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Counted kinds appear once; named kinds once per item.
static struct generic_item *find(const struct generic_set *set, const char *kind, const char *value)
{
    for (size_t i = 0; i < set->count; i++) {
        struct generic_item *item = &set->items[i];
        if (!strcmp(item->kind, kind) && !item->value == !value &&
            (!value || !strcmp(item->value, value)))
            return item;
    }
    return NULL;
}

static void add(struct generic_set *set, const char *kind, const char *value, int64_t count)
{
    struct generic_item *item = find(set, kind, value);
    if (item) {
        if (!value && __builtin_add_overflow(item->count, count, &item->count))
            item->count = INT64_MAX;
        return;
    }
    if (set->count == set->cap) {
        set->cap = set->cap ? 2 * set->cap : 4;
        set->items = mem_realloc(set->items, set->cap * sizeof(*set->items));
    }
    set->items[set->count++] = (struct generic_item){
        .kind = str_dup(kind),
        .value = str_dup(value),
        .count = count,
    };
}

// Keeps the order of the others: the first advertised are the first claimed.
static void drop(struct generic_set *set, struct generic_item *item)
{
    size_t at = (size_t)(item - set->items);
    free(item->kind);
    free(item->value);
    memmove(item, item + 1, (set->count - at - 1) * sizeof(*item));
    set->count--;
}

void generic_init_of(struct generic_set *set, Swarm__GenericResource *const *list, size_t count)
{
    *set = (struct generic_set){.count = 0};
    for (size_t i = 0; i < count; i++) {
        const Swarm__GenericResource *one = list[i];
        if (one->resource_case == SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC)
            add(set, str_or(one->named_resource_spec->kind, ""),
                str_or(one->named_resource_spec->value, ""), 1);
        else if (one->resource_case == SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC)
            add(set, str_or(one->discrete_resource_spec->kind, ""), NULL,
                one->discrete_resource_spec->value);
    }
}

void generic_fini(struct generic_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].kind);
        free(set->items[i].value);
    }
    free(set->items);
    *set = (struct generic_set){.count = 0};
}

bool generic_has(const struct generic_set *set, const char *kind, int64_t count)
{
    int64_t named = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->items[i].kind, kind))
            continue;
        if (!set->items[i].value && set->items[i].count >= count)
            return true;
        named += set->items[i].value != NULL;
    }
    return named >= count;
}

void generic_claim(struct generic_set *set, const char *kind, int64_t count,
                   struct generic_set *taken)
{
    CHECK(generic_has(set, kind, count));
    struct generic_item *counted = find(set, kind, NULL);
    if (counted && counted->count >= count) {
        counted->count -= count;
        add(taken, kind, NULL, count);
        return;
    }
    for (size_t i = 0; i < set->count && count > 0;) {
        struct generic_item *item = &set->items[i];
        if (!item->value || strcmp(item->kind, kind)) {
            i++;
            continue;
        }
        add(taken, kind, item->value, 1);
        drop(set, item);
        count--;
    }
}

void generic_take(struct generic_set *set, const struct generic_set *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct generic_item *item = find(set, list->items[i].kind, list->items[i].value);
        if (item && item->value)
            drop(set, item);
        else if (item)
            item->count -= list->items[i].count;
    }
}

void generic_give(struct generic_set *set, const struct generic_set *list)
{
    for (size_t i = 0; i < list->count; i++)
        add(set, list->items[i].kind, list->items[i].value, list->items[i].count);
}

Swarm__GenericResource **generic_messages(const struct generic_set *set, struct arena *arena)
{
    Swarm__GenericResource **list = arena_alloc_array(arena, set->count, sizeof(*list));
    for (size_t i = 0; list && i < set->count; i++) {
        const struct generic_item *item = &set->items[i];
        list[i] = ARENA_NEW(arena, Swarm__GenericResource);
        Swarm__NamedGenericResource *named = ARENA_NEW(arena, Swarm__NamedGenericResource);
        Swarm__DiscreteGenericResource *counted = ARENA_NEW(arena, Swarm__DiscreteGenericResource);
        char *kind = arena_strdup(arena, item->kind);
        if (!list[i] || !named || !counted || !kind)
            return NULL;
        swarm__generic_resource__init(list[i]);
        if (item->value) {
            swarm__named_generic_resource__init(named);
            named->kind = kind;
            named->value = arena_strdup(arena, item->value);
            list[i]->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC;
            list[i]->named_resource_spec = named;
        } else {
            swarm__discrete_generic_resource__init(counted);
            counted->kind = kind;
            counted->value = item->count;
            list[i]->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC;
            list[i]->discrete_resource_spec = counted;
        }
    }
    return arena_overflowed(arena) ? NULL : list;
}
