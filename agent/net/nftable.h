// One nftables table: as it should be, or as the kernel lists it, and the transaction between the
// two. Pure. (The balancer's table, which may be very large, has agent/lb/ruleset of its own.)
//
// A table is a frame (collections, chains, rules) and the elements of its collections. Each rule
// bears a comment with the fingerprint of its chain and of all collections, so that a listing tells
// whether the frame is the one wanted. Where it is, a change is a few elements; where it is not,
// one transaction replaces the table. Chains without a hook may come and go with the elements that
// lead to them: missing ones are added, and those nobody wants any more stay.
#ifndef AGENT_NET_NFTABLE_H
#define AGENT_NET_NFTABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define NFTABLE_NAME_BYTES     32
#define NFTABLE_KEY_BYTES      80 // of an element's key or value
#define NFTABLE_TEXT_BYTES_MAX (64u << 20)

struct nftable;

// An empty table. `family` is nft's word: "ip", "netdev".
struct nftable *nftable_new(const char *family, const char *name);
void nftable_free(struct nftable *table); // NULL is fine

const char *nftable_family(const struct nftable *table);
const char *nftable_name(const struct nftable *table);

// ---- the frame, in the order of the calls -------------------------------------------------------
// Texts are nft's language. What a rule names is defined by earlier calls.

// Defines a "set", "map" or "counter"; `spec` is what stands between its braces: "type ipv4_addr;".
// Elements of a "set" that the packets make themselves (flags dynamic) are never looked at.
void nftable_collection(struct nftable *table, const char *kind, const char *name,
                        const char *spec);

// Begins a chain; `hook` is the text of a base chain ("type nat hook output priority -100"), whose
// policy is accept, or NULL.
void nftable_chain(struct nftable *table, const char *name, const char *hook);

// Adds a rule to the chain begun last.
void nftable_rule(struct nftable *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// ---- the elements -------------------------------------------------------------------------------

// Puts an element; `value` is NULL in sets. Written as nft lists it in numbers: protocols, ports
// and marks decimal, parts with " . " between them, "goto chain", "10.0.0.0/8". A key put again
// takes the new value.
void nftable_element(struct nftable *table, const char *collection, const char *key,
                     const char *value);

// The value at the key, "" in sets, NULL where there is none.
const char *nftable_find(const struct nftable *table, const char *collection, const char *key);
size_t nftable_elements_count(const struct nftable *table, const char *collection);

// ---- between the kernel and us ------------------------------------------------------------------

// Reads libnftables' JSON listing of one table. NULL and INVALID_ARGUMENT for what is no listing.
// What we do not write ourselves only makes the frame an unknown one.
struct nftable *nftable_parse(const char *family, const char *name, const void *json, size_t size,
                              struct err *err);

// Puts into `out` the commands of one transaction that leads from `actual` (NULL: no such table) to
// `wanted`. False when there is nothing to do. CHECKs that `out` took it all.
bool nftable_diff(const struct nftable *actual, const struct nftable *wanted, struct buf *out);

// Takes over into `wanted` what `actual` holds at keys that `wanted` does not have. Nothing where
// the frames are not the same: what the elements mean is not known then.
void nftable_keep(struct nftable *wanted, const struct nftable *actual);

// Puts the commands that remove the table, whether it is there or not.
void nftable_teardown(const char *family, const char *name, struct buf *out);

#endif
