#include "tests/support/fake_log.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static struct fake_log *log_of(struct proposer *proposer)
{
    return CONTAINER_OF(proposer, struct fake_log, proposer);
}

static uint64_t fake_commit_index(struct proposer *proposer)
{
    struct fake_log *log = log_of(proposer);
    return log->base + log->committed;
}

static int fake_propose(struct proposer *proposer, struct buf *actions, struct proposal *proposal,
                        uint64_t *index, struct err *err)
{
    struct fake_log *log = log_of(proposer);
    if (log->refuse)
        return err_set(err, ERR_UNKNOWN, STORE_ERR_LOST);
    CHECK(log->count < FAKE_LOG_ENTRIES);
    struct fake_entry *entry = &log->entries[log->count++];
    entry->bytes = buf_steal(actions, &entry->size);
    entry->proposal = proposal;
    *index = log->base + log->count;
    return 0;
}

void fake_log_init(struct fake_log *log, uint64_t base)
{
    *log = (struct fake_log){
        .proposer = {.commit_index = fake_commit_index, .propose = fake_propose},
        .base = base,
        .store = store_new(),
        .entries = mem_alloc_array(FAKE_LOG_ENTRIES, sizeof(struct fake_entry)),
    };
    store_set_proposer(log->store, &log->proposer);
}

void fake_lose(struct fake_log *log)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, STORE_ERR_LOST);
    size_t count = log->count;
    for (size_t i = log->committed; i < count; i++) {
        struct proposal *proposal = log->entries[i].proposal;
        log->entries[i].proposal = NULL;
        free(log->entries[i].bytes);
        log->entries[i].bytes = NULL;
        proposal->done(proposal, &err);
    }
    CHECK(log->count == count);
    log->count = log->committed;
}

void fake_log_fini(struct fake_log *log)
{
    fake_lose(log);
    store_free(log->store);
    for (size_t i = 0; i < log->count; i++)
        free(log->entries[i].bytes);
    free(log->entries);
}

void fake_commit(struct fake_log *log)
{
    CHECK(log->committed < log->count);
    struct fake_entry *entry = &log->entries[log->committed++];
    struct proposal *proposal = entry->proposal;
    entry->proposal = NULL;
    proposal->done(proposal, NULL);
}

void fake_commit_all(struct fake_log *log)
{
    while (log->committed < log->count)
        fake_commit(log);
}

void fake_log_trim(struct fake_log *log)
{
    if (log->committed < log->count)
        return;
    for (size_t i = 0; i < log->count; i++)
        free(log->entries[i].bytes);
    log->base += log->count;
    log->count = log->committed = 0;
}

struct txn *fake_begin(struct fake_log *log, int64_t seconds)
{
    struct txn *txn;
    struct err err = ERR_INIT;
    int rc = txn_begin(log->store, (struct wall){.ns = seconds * NS_PER_S}, &txn, &err);
    CHECK(rc == 0);
    return txn;
}

void fake_write(struct fake_log *log, struct txn *txn)
{
    struct err err = ERR_INIT;
    int rc = txn_commit(txn, NULL, &err);
    CHECK(rc >= 0);
    fake_commit_all(log);
}
