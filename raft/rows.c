#include "raft/rows.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct row {
    bool remove;
    size_t size;
    uint8_t value[];
};

// Rows lie one behind the other in pieces, which are let go together: thousands of small ones
// between objects of the store that stay would leave holes in the heap.
struct piece {
    struct piece *next;
    size_t used, cap;
    _Alignas(max_align_t) uint8_t bytes[];
};

#define PIECE_BYTES ((size_t)128 << 10)

void rows_init(struct rows *rows)
{
    *rows = (struct rows){0};
    map_init(&rows->by_key);
}

static void forget(struct rows *rows)
{
    for (struct piece *piece; (piece = rows->pieces);) {
        rows->pieces = piece->next;
        // The values are parts of the store and may be secrets.
        explicit_bzero(piece->bytes, piece->used);
        free(piece);
    }
    map_clear(&rows->by_key);
    rows->bytes = 0;
}

void rows_fini(struct rows *rows)
{
    forget(rows);
    map_fini(&rows->by_key);
    free(rows->ops);
    *rows = (struct rows){0};
}

bool rows_empty(const struct rows *rows)
{
    return map_count(&rows->by_key) == 0 && !rows->replaced;
}

static struct row *new_row(struct rows *rows, size_t value_size)
{
    size_t align = _Alignof(struct row);
    size_t size = (sizeof(struct row) + value_size + align - 1) / align * align;
    struct piece *piece = rows->pieces;
    if (!piece || piece->cap - piece->used < size) {
        size_t cap = size > PIECE_BYTES ? size : PIECE_BYTES;
        piece = mem_alloc(sizeof *piece + cap);
        *piece = (struct piece){.next = rows->pieces, .cap = cap};
        rows->pieces = piece;
    }
    struct row *row = (struct row *)(piece->bytes + piece->used);
    piece->used += size;
    return row;
}

void rows_put(struct rows *rows, const void *key, size_t key_size, const void *value,
              size_t value_size)
{
    struct row *row = new_row(rows, value_size);
    row->remove = value == NULL;
    row->size = value_size;
    if (value_size)
        memcpy(row->value, value, value_size);
    rows->bytes += key_size + value_size;
    map_put(&rows->by_key, key, key_size, row); // an older one goes with its piece
}

void rows_replace(struct rows *rows)
{
    forget(rows);
    rows->replaced = true;
}

const struct logdb_op *rows_ops(struct rows *rows, size_t *count)
{
    *count = map_count(&rows->by_key);
    free(rows->ops);
    rows->ops = mem_alloc_array(*count, sizeof *rows->ops);
    size_t next = 0;
    MAP_EACH (entry, &rows->by_key) {
        const struct row *row = entry->value;
        rows->ops[next++] = (struct logdb_op){
            .key = entry->key,
            .key_size = entry->key_size,
            .value = row->value,
            .value_size = row->size,
            .remove = row->remove,
        };
    }
    CHECK(next == *count);
    return rows->ops;
}

void rows_move(struct rows *to, struct rows *from)
{
    CHECK(rows_empty(to));
    rows_fini(to);
    *to = *from;
    rows_init(from);
}
