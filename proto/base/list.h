// Intrusive doubly linked list: the links live in the listed structs, so membership never
// allocates.
#ifndef PROTO_BASE_LIST_H
#define PROTO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/check.h"

// A list head, or the link inside a member. A link that is in no list points at itself.
struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

// Puts `item` (in no list) right after `place`; with a head, that is the front.
static inline void list_insert_after(struct list *place, struct list *item)
{
    item->prev = place;
    item->next = place->next;
    place->next->prev = item;
    place->next = item;
}

static inline void list_push_front(struct list *list, struct list *item)
{
    list_insert_after(list, item);
}

static inline void list_push_back(struct list *list, struct list *item)
{
    list_insert_after(list->prev, item);
}

// Takes `item` out of whatever list it is in; harmless when it is in none.
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

// The first member taken out, or NULL when the list is empty.
static inline struct list *list_pop_front(struct list *list)
{
    if (list_empty(list))
        return NULL;
    struct list *item = list->next;
    list_remove(item);
    return item;
}

// The struct around a link.
#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)

// Walks the list; the body must not remove members.
#define LIST_EACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

// Walks the list; the body may remove and free the current member, no other.
#define LIST_EACH_SAFE(it, head)                                                                   \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

#endif
