// The log: which entries exist, with which terms; what of it is committed, durable and applied; and
// the bodies that are still needed in memory.
//
// Terms of the whole log are kept as runs. Bodies are kept for a window that ends at the last
// entry; whatever is durable and applied may be dropped from its front and lives on in the stored
// log.
#ifndef RAFT_CORE_LOG_H
#define RAFT_CORE_LOG_H

#include "raft/core/raft.h"

struct log {
    uint64_t start_index; // compacted up to here; the term here is still known
    uint64_t start_term;
    uint64_t last; // last index; start_index when empty
    uint64_t commit;
    uint64_t durable; // stored up to here, exactly as it is in memory
    uint64_t emitted; // handed out for storing up to here
    uint64_t handed;  // handed out for applying up to here
    uint64_t applied; // reported as applied

    struct raft_run *runs; // cover (start_index, last]
    size_t runs_count;
    size_t runs_cap;

    struct raft_entry *ring; // bodies of [memory_first, last]
    size_t ring_cap;         // power of two, or 0
    size_t ring_head;        // where memory_first lies
    uint64_t memory_first;   // last + 1 when none
    size_t memory_bytes;
};

// From the boot facts. DATA_LOSS when they contradict each other; the log is then empty.
int log_init(struct log *log, const struct raft_boot *boot, struct err *err);
void log_fini(struct log *log);

// The term at `index`; 0 when compacted away, past the end, or at index 0.
uint64_t log_term(const struct log *log, uint64_t index);
uint64_t log_last_term(const struct log *log);

// True when the log has an entry (or its start, or nothing at 0) with this index and term.
bool log_matches(const struct log *log, uint64_t index, uint64_t term);

// The rule of section 5.4.1: is a log that ends with (index, term) at least as good as ours?
bool log_is_up_to_date(const struct log *log, uint64_t index, uint64_t term);

// The highest index at or below `index` whose term is at most `term`, and that term in *found_term.
// It is where a probe that was refused at `index` should go next. 0 and term 0 when nothing is
// known.
uint64_t log_probe_hint(const struct log *log, uint64_t index, uint64_t term, uint64_t *found_term);

// Appends an entry with index last + 1 and a term not below the last one; takes a reference.
void log_append(struct log *log, const struct raft_entry *entry);

// Drops all entries from `from` on, which are above the commit index.
void log_truncate(struct log *log, uint64_t from);

// Drops everything: the log now starts after (index, term), all committed, stored and applied.
void log_restore(struct log *log, uint64_t index, uint64_t term);

// Forgets entries up to `index`, which is applied. Going backwards is harmless.
void log_compact(struct log *log, uint64_t index);

// The entry with its body, or NULL when it is not in memory. Valid until the next change.
const struct raft_entry *log_entry(const struct log *log, uint64_t index);

// Drops bodies that are durable and applied from the front, until at most `cache_bytes` remain.
void log_trim(struct log *log, size_t cache_bytes);

#endif
