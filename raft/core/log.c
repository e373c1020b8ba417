#include "raft/core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

static int check_boot(const struct raft_boot *boot, struct err *err)
{
    uint64_t start = boot->start.index;
    if (boot->last_index < start)
        return err_set(err, ERR_DATA_LOSS, "log ends at %" PRIu64 ", before its start %" PRIu64,
                       boot->last_index, start);
    if ((start == 0) != (boot->start.term == 0))
        return err_set(err, ERR_DATA_LOSS, "log start %" PRIu64 " has term %" PRIu64, start,
                       boot->start.term);
    if (boot->applied < start || boot->applied > boot->last_index)
        return err_set(err, ERR_DATA_LOSS,
                       "applied %" PRIu64 " lies outside the log (%" PRIu64 ", %" PRIu64 "]",
                       boot->applied, start, boot->last_index);
    if (boot->hard.commit > boot->last_index)
        return err_set(err, ERR_DATA_LOSS, "commit %" PRIu64 " lies past the log's end %" PRIu64,
                       boot->hard.commit, boot->last_index);
    bool empty = boot->last_index == start;
    if (empty != (boot->runs_count == 0) || (!empty && boot->runs[0].index != start + 1))
        return err_set(err, ERR_DATA_LOSS, "the runs do not cover the log from %" PRIu64,
                       start + 1);
    uint64_t term = boot->start.term;
    uint64_t index = start;
    for (size_t i = 0; i < boot->runs_count; i++) {
        const struct raft_run *run = &boot->runs[i];
        if (run->index <= index || run->index > boot->last_index || run->term < term ||
            run->term == 0)
            return err_set(err, ERR_DATA_LOSS, "terms do not ascend at index %" PRIu64, run->index);
        index = run->index;
        term = run->term;
    }
    if (term > boot->hard.term)
        return err_set(err, ERR_DATA_LOSS,
                       "the log has term %" PRIu64 ", the hard state only %" PRIu64, term,
                       boot->hard.term);
    return 0;
}

static void add_run(struct log *log, uint64_t index, uint64_t term)
{
    if (log->runs_count == log->runs_cap) {
        log->runs_cap = log->runs_cap ? 2 * log->runs_cap : 8;
        log->runs = realloc(log->runs, log->runs_cap * sizeof *log->runs);
        CHECK(log->runs);
    }
    log->runs[log->runs_count++] = (struct raft_run){.index = index, .term = term};
}

int log_init(struct log *log, const struct raft_boot *boot, struct err *err)
{
    *log = (struct log){.memory_first = 1};
    int result = check_boot(boot, err);
    if (result < 0)
        return result;
    *log = (struct log){
        .start_index = boot->start.index,
        .start_term = boot->start.term,
        .last = boot->last_index,
        .commit = boot->hard.commit > boot->applied ? boot->hard.commit : boot->applied,
        .durable = boot->last_index,
        .emitted = boot->last_index,
        .handed = boot->applied,
        .applied = boot->applied,
        .memory_first = boot->last_index + 1,
    };
    for (size_t i = 0; i < boot->runs_count; i++)
        if (i == 0 || boot->runs[i].term != boot->runs[i - 1].term)
            add_run(log, boot->runs[i].index, boot->runs[i].term);
    return 0;
}

// ---- bodies in memory ---------------------------------------------------------------------------

static struct raft_entry *slot(const struct log *log, uint64_t index)
{
    return &log->ring[(log->ring_head + (index - log->memory_first)) & (log->ring_cap - 1)];
}

static size_t memory_count(const struct log *log)
{
    return log->last + 1 - log->memory_first;
}

static void ring_grow(struct log *log)
{
    size_t cap = log->ring_cap ? 2 * log->ring_cap : 64;
    struct raft_entry *ring = malloc(cap * sizeof *ring);
    CHECK(ring);
    size_t count = memory_count(log);
    for (size_t i = 0; i < count; i++)
        ring[i] = *slot(log, log->memory_first + i);
    free(log->ring);
    log->ring = ring;
    log->ring_cap = cap;
    log->ring_head = 0;
}

static void drop_body(struct log *log, uint64_t index)
{
    struct raft_entry *entry = slot(log, index);
    log->memory_bytes -= raft_entry_bytes(entry);
    raft_blob_unref(entry->data);
    entry->data = NULL;
}

static void drop_front(struct log *log)
{
    drop_body(log, log->memory_first);
    log->ring_head = (log->ring_head + 1) & (log->ring_cap - 1);
    log->memory_first++;
}

void log_fini(struct log *log)
{
    while (memory_count(log) > 0)
        drop_front(log);
    free(log->ring);
    free(log->runs);
    log->ring = NULL;
    log->runs = NULL;
}

const struct raft_entry *log_entry(const struct log *log, uint64_t index)
{
    if (index < log->memory_first || index > log->last)
        return NULL;
    return slot(log, index);
}

void log_trim(struct log *log, size_t cache_bytes)
{
    uint64_t settled = log->durable < log->applied ? log->durable : log->applied;
    while (log->memory_first <= settled && log->memory_first <= log->last &&
           (log->memory_bytes > cache_bytes || log->memory_first <= log->start_index))
        drop_front(log);
}

// ---- terms --------------------------------------------------------------------------------------

// The run that covers `index`, which lies in (start_index, last].
static const struct raft_run *run_of(const struct log *log, uint64_t index)
{
    size_t low = 0;
    size_t high = log->runs_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->runs[middle].index <= index)
            low = middle;
        else
            high = middle;
    }
    return &log->runs[low];
}

uint64_t log_term(const struct log *log, uint64_t index)
{
    if (index == log->start_index)
        return log->start_term;
    if (index < log->start_index || index > log->last)
        return 0;
    return run_of(log, index)->term;
}

uint64_t log_last_term(const struct log *log)
{
    return log_term(log, log->last);
}

bool log_matches(const struct log *log, uint64_t index, uint64_t term)
{
    if (index < log->start_index || index > log->last)
        return false;
    return log_term(log, index) == term;
}

bool log_is_up_to_date(const struct log *log, uint64_t index, uint64_t term)
{
    uint64_t own = log_last_term(log);
    return term > own || (term == own && index >= log->last);
}

uint64_t log_probe_hint(const struct log *log, uint64_t index, uint64_t term, uint64_t *found_term)
{
    if (index > log->last)
        index = log->last;
    while (index > log->start_index) {
        const struct raft_run *run = run_of(log, index);
        if (run->term <= term) {
            *found_term = run->term;
            return index;
        }
        index = run->index - 1;
    }
    // Below the start nothing is known; the start itself is committed, so it is as good as any
    // guess.
    *found_term = index == log->start_index ? log->start_term : 0;
    return index;
}

// ---- changes ------------------------------------------------------------------------------------

void log_append(struct log *log, const struct raft_entry *entry)
{
    CHECK(entry->index == log->last + 1);
    CHECK(entry->term >= log_last_term(log));
    if (memory_count(log) == log->ring_cap)
        ring_grow(log);
    if (log->runs_count == 0 || log->runs[log->runs_count - 1].term != entry->term)
        add_run(log, entry->index, entry->term);
    log->last = entry->index;
    struct raft_entry *place = slot(log, entry->index);
    *place = *entry;
    raft_blob_ref(place->data);
    log->memory_bytes += raft_entry_bytes(place);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void log_truncate(struct log *log, uint64_t from)
{
    CHECK(from > log->commit);
    CHECK(from > log->start_index);
    while (log->last >= from) {
        if (log->last >= log->memory_first)
            drop_body(log, log->last);
        log->last--;
    }
    if (log->memory_first > log->last + 1)
        log->memory_first = log->last + 1;
    while (log->runs_count > 0 && log->runs[log->runs_count - 1].index > log->last)
        log->runs_count--;
    log->durable = min_u64(log->durable, log->last);
    log->emitted = min_u64(log->emitted, log->last);
}

void log_restore(struct log *log, uint64_t index, uint64_t term)
{
    while (memory_count(log) > 0)
        drop_front(log);
    log->runs_count = 0;
    log->start_index = index;
    log->start_term = term;
    log->last = index;
    log->commit = index;
    log->durable = index;
    log->emitted = index;
    log->handed = index;
    log->applied = index;
    log->memory_first = index + 1;
}

void log_compact(struct log *log, uint64_t index)
{
    CHECK(index <= log->applied);
    if (index <= log->start_index)
        return;
    uint64_t term = log_term(log, index);
    size_t gone = 0;
    while (gone + 1 < log->runs_count && log->runs[gone + 1].index <= index + 1)
        gone++;
    if (index == log->last)
        gone = log->runs_count;
    memmove(log->runs, log->runs + gone, (log->runs_count - gone) * sizeof *log->runs);
    log->runs_count -= gone;
    if (log->runs_count > 0 && log->runs[0].index <= index)
        log->runs[0].index = index + 1;
    log->start_index = index;
    log->start_term = term;
}
