#include "agent/net/rows.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/map.h"
#include "proto/base/str.h"

struct row {
    struct rows_row row; // key, node and value owned
    struct mono gone;    // when it stops lingering
};

struct set {
    struct row *rows;
    size_t count, cap;
};

struct rows {
    struct set now, before;
    struct map keys;  // table and key of `now`
    struct map nodes; // names
};

struct rows *rows_new(void)
{
    struct rows *rows = MEM_NEW(struct rows);
    map_init(&rows->keys);
    map_init(&rows->nodes);
    return rows;
}

static void row_free(struct row *row)
{
    free((void *)(uintptr_t)row->row.key);
    free((void *)(uintptr_t)row->row.node);
    free((void *)(uintptr_t)row->row.value);
}

static void set_clear(struct set *set)
{
    for (size_t i = 0; i < set->count; i++)
        row_free(&set->rows[i]);
    set->count = 0;
}

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    set_clear(&rows->now);
    set_clear(&rows->before);
    free(rows->now.rows);
    free(rows->before.rows);
    map_fini(&rows->keys);
    map_fini(&rows->nodes);
    free(rows);
}

static struct row *set_add(struct set *set)
{
    if (set->count == set->cap) {
        set->cap = set->cap ? set->cap * 2 : 16;
        set->rows = mem_realloc(set->rows, set->cap * sizeof *set->rows);
    }
    return &set->rows[set->count++];
}

// The key of `keys`: the table's number before the row's own.
static size_t key_of(const struct rows_row *row, char out[256])
{
    str_format(out, 256, "%d%s", (int)row->table, row->key);
    return strlen(out);
}

void rows_begin(struct rows *rows)
{
    struct set spare = rows->before;
    set_clear(&spare);
    rows->before = rows->now;
    rows->now = spare;
    map_clear(&rows->keys);
    map_clear(&rows->nodes);
}

void rows_add(struct rows *rows, const struct rows_row *from)
{
    char key[256];
    if (rows->now.count >= ROWS_COUNT_MAX)
        return;
    struct row *row = set_add(&rows->now);
    *row = (struct row){.row = *from};
    row->row.key = str_dup(from->key);
    row->row.node = str_dup(str_or(from->node, ""));
    row->row.value = mem_dup(from->value, from->value_size);
    row->row.lingers = false;
    size_t size = key_of(from, key);
    map_put(&rows->keys, key, size, rows);
}

void rows_node(struct rows *rows, const char *node)
{
    map_put_str(&rows->nodes, node, rows);
}

void rows_end(struct rows *rows, struct mono now, struct mono *due)
{
    *due = MONO_NEVER;
    for (size_t i = 0; i < rows->before.count; i++) {
        struct row *old = &rows->before.rows[i];
        char key[256];
        size_t size = key_of(&old->row, key);
        if (map_has(&rows->keys, key, size) || map_has_str(&rows->nodes, old->row.node) ||
            rows->now.count >= ROWS_COUNT_MAX)
            continue;
        struct mono gone = old->row.lingers ? old->gone : mono_add(now, ROWS_LINGER_MS * NS_PER_MS);
        if (!mono_before(now, gone))
            continue;
        struct row *kept = set_add(&rows->now);
        *kept = *old;
        kept->gone = gone;
        kept->row.lingers = true;
        memset(old, 0, sizeof *old); // it moved
        if (mono_before(gone, *due))
            *due = gone;
    }
    set_clear(&rows->before);
}

void rows_walk(const struct rows *rows, enum rows_table table,
               void (*visit)(void *ctx, const struct rows_row *row), void *ctx)
{
    for (size_t i = 0; i < rows->now.count; i++)
        if (rows->now.rows[i].row.table == table)
            visit(ctx, &rows->now.rows[i].row);
}

bool rows_has_nodes(const struct rows *rows)
{
    return map_count(&rows->nodes) > 0;
}
