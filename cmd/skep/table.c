#include "cmd/skep/table.h"

#include <stdbool.h>
#include <string.h>

#include "cmd/skep/text.h"
#include "proto/base/str.h"

// Widths of the columns that other columns follow, and of the last cells.
struct widths {
    size_t cell[TABLE_COLUMNS_MAX];
    size_t count; // columns but the last
    size_t last;
};

// Cells beyond the limit stay part of the last one.
static bool next_cell(const char **at, size_t column, const char *end, struct str_part *cell)
{
    const char *tab =
        column + 1 < TABLE_COLUMNS_MAX ? memchr(*at, '\t', (size_t)(end - *at)) : NULL;
    *cell = (struct str_part){*at, (size_t)((tab ? tab : end) - *at)};
    *at = tab ? tab + 1 : end;
    return tab != NULL;
}

static void measure(const char *lines, struct widths *widths, struct arena *arena)
{
    struct str_part line, cell;
    for (const char *rest = lines; str_split(&rest, '\n', &line);) {
        const char *at = line.at, *end = line.at + line.len;
        for (size_t column = 0;; column++) {
            bool more = next_cell(&at, column, end, &cell);
            size_t columns = text_columns(arena_strndup(arena, cell.at, cell.len));
            if (!more) {
                widths->last = columns > widths->last ? columns : widths->last;
                break;
            }
            widths->count = column + 1 > widths->count ? column + 1 : widths->count;
            if (columns > widths->cell[column])
                widths->cell[column] = columns;
        }
    }
}

static void shrink(struct widths *widths, size_t width)
{
    size_t total = widths->last;
    for (size_t i = 0; i < widths->count; i++)
        total += widths->cell[i] + TABLE_GAP;
    while (total > width) {
        size_t *widest = widths->last > TABLE_SHRINK_MIN ? &widths->last : NULL;
        for (size_t i = 0; i < widths->count; i++)
            if (widths->cell[i] > TABLE_SHRINK_MIN && (!widest || widths->cell[i] > *widest))
                widest = &widths->cell[i];
        if (!widest)
            return;
        --*widest;
        total--;
    }
}

void table_align(const char *lines, size_t width, struct arena *arena, struct buf *out)
{
    struct widths widths = {0};
    measure(lines, &widths, arena);
    for (size_t i = 0; i < widths.count; i++)
        if (widths.cell[i] + TABLE_GAP < TABLE_CELL_MIN)
            widths.cell[i] = TABLE_CELL_MIN - TABLE_GAP;
    if (width)
        shrink(&widths, width);
    struct str_part line, cell;
    for (const char *rest = lines; str_split(&rest, '\n', &line);) {
        if (!rest && line.len == 0)
            break; // what follows the last newline
        const char *at = line.at, *end = line.at + line.len;
        for (size_t column = 0;; column++) {
            bool more = next_cell(&at, column, end, &cell);
            const char *text = arena_strndup(arena, cell.at, cell.len);
            if (width)
                text = text_cut(text, more ? widths.cell[column] : widths.last, arena);
            buf_put_str(out, text);
            if (!more)
                break;
            for (size_t n = text_columns(text); n < widths.cell[column] + TABLE_GAP; n++)
                buf_put_u8(out, ' ');
        }
        buf_put_u8(out, '\n');
    }
}
