// A proposer for tests: a log in memory whose entries commit when the test says so.
#ifndef TESTS_SUPPORT_FAKE_LOG_H
#define TESTS_SUPPORT_FAKE_LOG_H

#include "manager/store/txn.h"

struct fake_entry {
    uint8_t *bytes; // an InternalRaftRequest without its id
    size_t size;
    struct proposal *proposal; // NULL once answered
};

#define FAKE_LOG_ENTRIES 8192

struct fake_log {
    struct proposer proposer;
    struct store *store;
    struct fake_entry *entries; // entries[i] has log index base + 1 + i
    size_t count;
    size_t committed; // of `entries`
    uint64_t base;    // log index before the first entry
    bool refuse;      // propose fails as on a follower
};

// A store with a log that stands at commit index `base`.
void fake_log_init(struct fake_log *log, uint64_t base);

// Fails what is still in flight, and frees log and store.
void fake_log_fini(struct fake_log *log);

// Commits the oldest entry in flight, or all of them.
void fake_commit(struct fake_log *log);
void fake_commit_all(struct fake_log *log);

// Drops the entries when all are committed, so that a long test does not run out of room.
void fake_log_trim(struct fake_log *log);

// Fails all entries in flight as a leader that lost its office does.
void fake_lose(struct fake_log *log);

// Begins a transaction at wall time `seconds`; ends one and commits it.
struct txn *fake_begin(struct fake_log *log, int64_t seconds);
void fake_write(struct fake_log *log, struct txn *txn);

#endif
