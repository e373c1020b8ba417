// The kernel's side of balancing: what one sandbox's nftables table should hold for a set of
// services, and the transaction that leads there from what it holds. Pure.
//
// The table `ip skep_lb` has a fixed frame and four collections that all services share:
//
//   vips   virtual address -> N                 the only look-up that other traffic pays, and only
//                                               the first packet of a connection (nat hooks)
//   picks  N -> goto pick_N                     one for each N in use
//   slots  virtual address . number -> backend  N numbers per service, as many per backend as its
//                                               weight asks for
//   idle   virtual addresses without a backend  new connections there are refused at once
//
// A chain pick_N, shared by all services with N slots, counts a number below N for each new
// connection; conntrack keeps the connection there from then on, whatever happens to the slots. So
// a change is a few map elements, and the cost of a connection does not grow with the services.
// Virtual addresses lead to numbers, not to chains, because the kernel follows each verdict of a
// map to its chain when a transaction touches one: 3 ms for 10,000 services, with every change.
//
// Counting keeps backends within a fraction of a per cent of even, where drawing lots leaves one
// per cent after 100,000 connections to ten of them. Its own traps have a remedy each. Services
// that are called in turn would fall into step, each with the same few numbers: one connection in
// eight draws its number and leaves the counter alone, which brings the others out of step. And
// every sandbox would begin with the same backend: each numbers them in an order of its own. (A
// hash of the ports, the other way, spreads over the few ports that a client uses.)
#ifndef AGENT_LB_RULESET_H
#define AGENT_LB_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/lb/services.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

// Weights whose sum (divided by what they have in common) is larger than this are rounded to shares
// of this many; each backend that is not draining keeps at least one.
#define RULESET_SLOTS_SHARED 1024

// Most slots of one service: those shares, each rounded up.
#define RULESET_SLOTS_MAX (RULESET_SLOTS_SHARED + SERVICES_BACKENDS_COUNT_MAX)

// Room that a transaction may need: a buf for ruleset_diff has at least this limit.
#define RULESET_TEXT_BYTES_MAX (256u << 20)

struct ruleset_vip {
    uint32_t vip;         // host byte order
    uint32_t slots_count; // 0: idle
};

struct ruleset_slot {
    uint32_t vip;
    uint32_t number;
    uint32_t backend;
};

struct ruleset {
    bool present; // the table is there
    bool sound;   // and its frame (collections, hooks, rules) is ours and complete
    struct ruleset_vip *vips;
    size_t vips_count, vips_cap;
    struct ruleset_slot *slots;
    size_t slots_count, slots_cap;
    bool pick[RULESET_SLOTS_MAX + 1]; // chains pick_N that exist, with their rows in picks
};

// What a namespace holds that was never touched: nothing.
void ruleset_init(struct ruleset *ruleset);
void ruleset_fini(struct ruleset *ruleset);

// Fills `out` (initialised, empty) with what the kernel should hold for these services, the
// backends of each numbered in an order that `order` makes: the same for the same number.
#define RULESET_BY_ADDRESS 0
void ruleset_compile(struct ruleset *out, const struct services *services, uint64_t order);

// Fills `out` (initialised, empty) from libnftables' JSON listing of the table. What is not as this
// file writes it only clears `sound`, so that the next transaction starts afresh; INVALID_ARGUMENT
// is for text that is no listing. `out` may be partly filled then.
int ruleset_parse(struct ruleset *out, const void *json, size_t size, struct err *err);

// True when a JSON listing of tables names ours.
bool ruleset_is_listed(const void *json, size_t size);

// Puts into `out` the commands (nft's language, one transaction) that turn `actual` into `wanted`.
// False when there is nothing to do. Both are sorted, as compile and parse leave them. Where the
// frame is not sound everything is loaded afresh; open connections go on either way. Chains pick_N
// that no service uses any more stay: there are at most RULESET_SLOTS_MAX, and the next rolling
// update wants them again. CHECKs that `out` took it all.
bool ruleset_diff(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out);

// The first part of that alone: the frame afresh where it is not sound, and the chains pick_N that
// are missing. Traffic sees nothing of it where the frame is sound, or no table was there.
bool ruleset_frame(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out);

// The second part: the elements that differ, deletions of a key before its addition. Runs of one
// collection come together. agent/lb/elements_io.h makes messages of them.
// `picks` goes with the frame.
enum ruleset_collection { RULESET_VIPS, RULESET_SLOTS, RULESET_IDLE };

struct ruleset_change {
    bool add; // or delete
    enum ruleset_collection in;
    uint32_t vip;
    uint32_t number;  // of a slot; of a virtual address: how many it has
    uint32_t backend; // of a slot
};

typedef void ruleset_visit(void *ctx, const struct ruleset_change *change);

void ruleset_changes(const struct ruleset *actual, const struct ruleset *wanted,
                     ruleset_visit *visit, void *ctx);

// Its name in the kernel.
const char *ruleset_collection_name(enum ruleset_collection collection);

// After the kernel took the transaction: `actual` becomes what it holds now, `wanted` is left
// empty.
void ruleset_applied(struct ruleset *actual, struct ruleset *wanted);

// Puts the commands that remove the table into `out`, whether it is there or not.
void ruleset_teardown(struct buf *out);

#endif
