#include "raft/disk/pending.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define HARD_BYTES_MAX 4096

void pending_init(struct pending *pending, size_t bytes_max)
{
    *pending = (struct pending){0};
    buf_init(&pending->bytes, bytes_max);
    buf_init(&pending->hard, HARD_BYTES_MAX);
}

void pending_clear(struct pending *pending)
{
    pending->first = 0;
    pending->count = 0;
    pending->cap = 0;
    free(pending->ends);
    pending->ends = NULL;
    buf_fini(&pending->bytes);
    buf_fini(&pending->hard);
}

void pending_fini(struct pending *pending)
{
    pending_clear(pending);
}

bool pending_empty(const struct pending *pending)
{
    return pending->count == 0 && pending->hard.len == 0;
}

static size_t end_of(const struct pending *pending, size_t count)
{
    return count ? pending->ends[count - 1] : 0;
}

static void push(struct pending *pending, struct cursor row)
{
    if (pending->count == pending->cap) {
        pending->cap = pending->cap ? 2 * pending->cap : 64;
        pending->ends = mem_realloc(pending->ends, pending->cap * sizeof *pending->ends);
    }
    buf_put(&pending->bytes, row.at, cursor_left(&row));
    pending->ends[pending->count++] = pending->bytes.len;
}

bool pending_take(struct pending *pending, struct journal_record *record)
{
    size_t kept = 0;
    if (record->count && pending->count && record->first > pending->first) {
        if (record->first - pending->first > pending->count)
            return false;
        kept = (size_t)(record->first - pending->first);
    }
    // The sizes before the rows count as well: a little less fits than might.
    if (cursor_left(&record->sized) > pending->bytes.limit - pending->bytes.len ||
        cursor_left(&record->hard) > HARD_BYTES_MAX)
        return false;
    if (record->count) {
        pending->bytes.len = end_of(pending, kept);
        pending->count = kept;
        if (kept == 0)
            pending->first = record->first;
        for (uint32_t i = 0; i < record->count; i++)
            push(pending, journal_record_row(record));
    }
    buf_clear(&pending->hard);
    buf_put(&pending->hard, record->hard.at, cursor_left(&record->hard));
    CHECK(buf_ok(&pending->bytes));
    CHECK(buf_ok(&pending->hard));
    return true;
}

struct cursor pending_row(const struct pending *pending, size_t at)
{
    CHECK(at < pending->count);
    size_t begin = end_of(pending, at);
    return cursor_of(pending->bytes.data + begin, pending->ends[at] - begin);
}
