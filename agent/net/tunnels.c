#include "agent/net/tunnels.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/map.h"
#include "proto/base/str.h"

struct row {
    char *key;
    bool counted; // the one that counted for its address before
    struct overlay_peer peer;
};

struct tunnels {
    struct row *rows; // of the walk under way
    size_t rows_count, rows_cap;
    struct map chosen; // address bytes -> key of the row that counts, owned
    struct overlay_peer *list;
    size_t list_count;
};

struct tunnels *tunnels_new(void)
{
    struct tunnels *peers = MEM_NEW(struct tunnels);
    map_init(&peers->chosen);
    return peers;
}

static void rows_clear(struct tunnels *peers)
{
    for (size_t i = 0; i < peers->rows_count; i++)
        free(peers->rows[i].key);
    peers->rows_count = 0;
}

static void chosen_clear(struct tunnels *peers)
{
    MAP_EACH (entry, &peers->chosen)
        free(entry->value);
    map_clear(&peers->chosen);
}

void tunnels_free(struct tunnels *peers)
{
    if (!peers)
        return;
    rows_clear(peers);
    chosen_clear(peers);
    map_fini(&peers->chosen);
    free(peers->rows);
    free(peers->list);
    free(peers);
}

void tunnels_begin(struct tunnels *peers)
{
    rows_clear(peers);
}

void tunnels_row(struct tunnels *peers, const struct overlay *overlay, const char *key,
                 const struct overlay_peer *peer)
{
    const struct overlay_subnet *subnet = overlay_subnet_of(overlay, &peer->ip);
    if (!subnet || subnet->subnet.prefix != peer->ip.prefix ||
        ipnet_same_ip(&subnet->gateway, &peer->ip) || peers->rows_count == TUNNELS_MAX)
        return;
    if (peers->rows_count == peers->rows_cap) {
        peers->rows_cap = peers->rows_cap ? peers->rows_cap * 2 : 16;
        peers->rows = mem_realloc(peers->rows, peers->rows_cap * sizeof *peers->rows);
    }
    const char *before = map_get(&peers->chosen, peer->ip.bytes, sizeof peer->ip.bytes);
    peers->rows[peers->rows_count++] = (struct row){
        .key = str_dup(key),
        .counted = before && strcmp(before, key) == 0,
        .peer = *peer,
    };
}

static int compare_rows(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    int order = ipnet_compare(&a->peer.ip, &b->peer.ip);
    if (order)
        return order;
    if (a->counted != b->counted)
        return a->counted ? -1 : 1;
    return strcmp(a->key, b->key);
}

bool tunnels_end(struct tunnels *peers)
{
    struct overlay_peer *list = mem_alloc_array(peers->rows_count + 1, sizeof *list);
    size_t count = 0;
    if (peers->rows_count)
        qsort(peers->rows, peers->rows_count, sizeof *peers->rows, compare_rows);
    chosen_clear(peers);
    for (size_t i = 0; i < peers->rows_count; i++) {
        struct row *row = &peers->rows[i];
        if (count && ipnet_same_ip(&list[count - 1].ip, &row->peer.ip))
            continue;
        list[count++] = row->peer;
        map_put(&peers->chosen, row->peer.ip.bytes, sizeof row->peer.ip.bytes, row->key);
        row->key = NULL;
    }
    rows_clear(peers);
    bool same = count == peers->list_count &&
                (count == 0 || memcmp(list, peers->list, count * sizeof *list) == 0);
    free(peers->list);
    peers->list = list;
    peers->list_count = count;
    return !same;
}

const struct overlay_peer *tunnels_list(const struct tunnels *peers, size_t *count)
{
    *count = peers->list_count;
    return peers->list;
}
