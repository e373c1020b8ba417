#include "agent/net/layout.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void layout_init(struct layout *layout)
{
    memset(layout, 0, sizeof *layout);
}

void layout_fini(struct layout *layout)
{
    free(layout->links);
    free(layout->addrs);
    free(layout->routes);
    free(layout->neighs);
    free(layout->fdbs);
    layout_init(layout);
}

void layout_clear(struct layout *layout)
{
    layout->links_count = layout->addrs_count = layout->routes_count = 0;
    layout->neighs_count = layout->fdbs_count = 0;
}

// Room for one more element; returns it zeroed.
static void *grow(void **rows, size_t *count, size_t *cap, size_t size)
{
    CHECK(*count < LAYOUT_ROWS_MAX);
    if (*count == *cap) {
        *cap = *cap ? *cap * 2 : 8;
        *rows = mem_realloc(*rows, *cap * size);
    }
    void *row = (char *)*rows + (*count)++ * size;
    memset(row, 0, size);
    return row;
}

#define GROW(layout, rows)                                                                         \
    grow((void **)&(layout)->rows, &(layout)->rows##_count, &(layout)->rows##_cap,                 \
         sizeof *(layout)->rows)

static void name_set(char out[LAYOUT_NAME_BYTES], const char *name)
{
    bool fits = str_copy(out, LAYOUT_NAME_BYTES, name);
    CHECK(fits);
}

struct layout_link *layout_add_link(struct layout *layout, const char *name, enum layout_kind kind)
{
    struct layout_link *link = GROW(layout, links);
    name_set(link->name, name);
    link->kind = kind;
    return link;
}

struct layout_addr *layout_add_addr(struct layout *layout, const char *link, const struct ipnet *ip)
{
    struct layout_addr *addr = GROW(layout, addrs);
    name_set(addr->link, link);
    addr->ip = *ip;
    return addr;
}

struct layout_route *layout_add_route(struct layout *layout, const struct ipnet *to,
                                      const char *link, const struct ipnet *gateway)
{
    struct layout_route *route = GROW(layout, routes);
    name_set(route->link, link);
    route->to = ipnet_base(to);
    if (gateway && gateway->size)
        route->gateway = ipnet_host(gateway);
    return route;
}

struct layout_neigh *layout_add_neigh(struct layout *layout, const char *link,
                                      const struct ipnet *ip, const uint8_t mac[MAC_BYTES])
{
    struct layout_neigh *neigh = GROW(layout, neighs);
    name_set(neigh->link, link);
    neigh->ip = ipnet_host(ip);
    memcpy(neigh->mac, mac, MAC_BYTES);
    return neigh;
}

struct layout_fdb *layout_add_fdb(struct layout *layout, const char *link,
                                  const uint8_t mac[MAC_BYTES], const struct ipnet *dst)
{
    struct layout_fdb *fdb = GROW(layout, fdbs);
    name_set(fdb->link, link);
    memcpy(fdb->mac, mac, MAC_BYTES);
    if (dst && dst->size)
        fdb->dst = ipnet_host(dst);
    fdb->permanent = true;
    return fdb;
}

static int compare_link(const void *a, const void *b)
{
    return strcmp(((const struct layout_link *)a)->name, ((const struct layout_link *)b)->name);
}

int layout_compare_addr(const struct layout_addr *a, const struct layout_addr *b)
{
    int order = strcmp(a->link, b->link);
    return order ? order : ipnet_compare(&a->ip, &b->ip);
}

int layout_compare_route(const struct layout_route *a, const struct layout_route *b)
{
    int order = ipnet_compare(&a->to, &b->to);
    if (!order)
        order = strcmp(a->link, b->link);
    return order ? order : ipnet_compare(&a->gateway, &b->gateway);
}

int layout_compare_neigh(const struct layout_neigh *a, const struct layout_neigh *b)
{
    int order = strcmp(a->link, b->link);
    if (!order)
        order = ipnet_compare(&a->ip, &b->ip);
    return order ? order : memcmp(a->mac, b->mac, MAC_BYTES);
}

int layout_compare_fdb(const struct layout_fdb *a, const struct layout_fdb *b)
{
    int order = strcmp(a->link, b->link);
    if (!order)
        order = memcmp(a->mac, b->mac, MAC_BYTES);
    return order ? order : ipnet_compare(&a->dst, &b->dst);
}

static int compare_addr(const void *a, const void *b)
{
    return layout_compare_addr(a, b);
}

static int compare_route(const void *a, const void *b)
{
    return layout_compare_route(a, b);
}

static int compare_neigh(const void *a, const void *b)
{
    return layout_compare_neigh(a, b);
}

static int compare_fdb(const void *a, const void *b)
{
    return layout_compare_fdb(a, b);
}

static void sort(void *rows, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    if (count)
        qsort(rows, count, size, compare);
}

void layout_sort(struct layout *layout)
{
    sort(layout->links, layout->links_count, sizeof *layout->links, compare_link);
    sort(layout->addrs, layout->addrs_count, sizeof *layout->addrs, compare_addr);
    sort(layout->routes, layout->routes_count, sizeof *layout->routes, compare_route);
    sort(layout->neighs, layout->neighs_count, sizeof *layout->neighs, compare_neigh);
    sort(layout->fdbs, layout->fdbs_count, sizeof *layout->fdbs, compare_fdb);
}

static bool same_fdb(const struct layout_fdb *a, const struct layout_fdb *b)
{
    return strcmp(a->link, b->link) == 0 && memcmp(a->mac, b->mac, MAC_BYTES) == 0;
}

#define UNIQUE(layout, rows, same)                                                                 \
    do {                                                                                           \
        size_t kept_count = 0;                                                                     \
        for (size_t i = 0; i < (layout)->rows##_count; i++)                                        \
            if (!kept_count || !same(&(layout)->rows[kept_count - 1], &(layout)->rows[i]))         \
                (layout)->rows[kept_count++] = (layout)->rows[i];                                  \
        (layout)->rows##_count = kept_count;                                                       \
    } while (0)
#define SAME_ADDR(a, b)  (layout_compare_addr(a, b) == 0)
#define SAME_ROUTE(a, b) (layout_compare_route(a, b) == 0)
#define SAME_NEIGH(a, b) (layout_compare_neigh(a, b) == 0)

void layout_settle(struct layout *layout)
{
    layout_sort(layout);
    UNIQUE(layout, addrs, SAME_ADDR);
    UNIQUE(layout, routes, SAME_ROUTE);
    UNIQUE(layout, neighs, SAME_NEIGH);
    UNIQUE(layout, fdbs, same_fdb);
}

const struct layout_link *layout_link(const struct layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->links_count; i++)
        if (strcmp(layout->links[i].name, name) == 0)
            return &layout->links[i];
    return NULL;
}

const struct layout_link *layout_link_at(const struct layout *layout, uint32_t index)
{
    for (size_t i = 0; i < layout->links_count; i++)
        if (layout->links[i].index == index)
            return &layout->links[i];
    return NULL;
}
