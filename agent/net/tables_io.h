// Keeps nftables tables of one network namespace as they should be.
//
// The caller says what each table should hold (nftable.h), as often as it likes; a worker job
// brings the kernel there, one transaction per table, with the newest wish when several came while
// it ran. At times, and in the host's namespace as soon as anybody changes its rules, all tables
// are read back and repaired (security.md: restored within a second of a flush). As long as nobody
// makes a transaction in the namespace (generation_io.h) only some of the looks read. Everything
// here is called on the loop's thread.
#ifndef AGENT_NET_TABLES_IO_H
#define AGENT_NET_TABLES_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/lb/nft_io.h"
#include "agent/net/nftable.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define TABLES_COUNT_MAX  8
#define TABLES_AUDIT_MS   30000
#define TABLES_RETRY_MS   1000
#define TABLES_NOTICED_MS 50  // from a change by others to the look at it
#define TABLES_SPACING_MS 400 // between two such looks

struct tables;

struct tables_config {
    struct loop *loop;
    int netns_fd; // stays the caller's; NFT_NETNS_OWN for the process's own
    bool watch;   // only with NFT_NETNS_OWN

    // Runs in a worker job, inside the namespace, before the first table and at each audit: for
    // settings that belong to the tables. It touches nothing but `settings`, which is one heap
    // block that tables_close frees. May be NULL.
    int (*prepare)(void *settings, struct err *err);
    void *settings;

    // Whenever a job ended and no wish is left: err is NULL, or what failed (and is tried again).
    // May be NULL.
    void (*settled)(void *owner, const struct err *err);
    // An audit found a table that others had changed, and repaired it. May be NULL.
    void (*repaired)(void *owner, const char *table);
    void *owner;
};

struct tables_counts {
    uint64_t changes;  // transactions that carried a wish
    uint64_t repairs;  // tables found changed by others
    uint64_t failures; // jobs that failed
    uint64_t trusted;  // looks that read nothing, because nothing was changed
};

// NULL with *err filled when the namespace cannot be had. Nothing is done yet.
struct tables *tables_open(const struct tables_config *config, struct err *err);

// Takes the table as the wish for its family and name.
void tables_want(struct tables *tables, struct nftable *table);

// The same while not all is known: elements that the kernel holds at other keys stay until the next
// wish. What an earlier life made goes on working that way until this one knows better.
void tables_want_more(struct tables *tables, struct nftable *table);

// Removes the table from the kernel, and the wish. Also one that an earlier life left.
void tables_drop(struct tables *tables, const char *family, const char *name);

// Runs the job even when no table changed: to have `prepare` done.
void tables_ask(struct tables *tables);

// Whether a job runs or is due because of a wish.
bool tables_busy(const struct tables *tables);

struct tables_counts tables_counts(const struct tables *tables);

// Frees it once the running job ended; what the kernel holds stays. `closed` (or NULL) runs then,
// never inside this call.
void tables_close(struct tables *tables, void (*closed)(void *owner), void *owner);

#endif
