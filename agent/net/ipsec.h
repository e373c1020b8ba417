// Encrypted overlays: the states and policies that the kernel's IPsec should hold, and the order of
// steps that leads there from what it holds, so that no packet is lost while keys rotate. Pure.
//
// As stock nodes have it: ESP in transport mode around the VXLAN datagrams, between each pair of
// nodes, for all encrypted networks together. Of the cluster's three keys all decrypt; the middle
// one by Lamport time encrypts, because everybody has known it for a whole rotation. SPIs follow
// from addresses and the key's time, so nobody has to tell anybody.
//
// Beside the policies for members there is one that blocks: a marked datagram to anybody else, or
// at a moment when its policy is not there, is dropped and never goes out in clear text.
#ifndef AGENT_NET_IPSEC_H
#define AGENT_NET_IPSEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/wire/types.pb-c.h"

#define IPSEC_KEYS       3
#define IPSEC_KEY_BYTES  16
#define IPSEC_AEAD       "rfc4106(gcm(aes))"
#define IPSEC_AEAD_BYTES 20 // the key and 4 bytes of salt, which are the SPI
#define IPSEC_ICV_BITS   64
#define IPSEC_REQID      0xd0c4e3u // also the mark of policies; guard.h sets it
#define IPSEC_PEERS_MAX  65536
#define IPSEC_BLOCK_PRIO 100 // of the policy that blocks; those of members have 0, which goes first

struct ipsec_key {
    uint8_t key[IPSEC_KEY_BYTES];
    uint32_t tag; // the low half of its Lamport time
};

// Old, primary, next. Holds secrets: wipe it.
struct ipsec_keys {
    struct ipsec_key keys[IPSEC_KEYS];
};

// Takes the IPsec keys out of a session message's set; those of others are passed over.
// FAILED_PRECONDITION when there are none; INVALID_ARGUMENT for another number than three, another
// algorithm or size, or two of one time. *out is untouched on an error.
int ipsec_keys_load(Swarm__EncryptionKey *const *keys, size_t count, struct ipsec_keys *out,
                    struct err *err);
void ipsec_keys_wipe(struct ipsec_keys *keys);

// The SPI of what `from` sends to `to` (IPv4, host byte order) under the key with this tag.
uint32_t ipsec_spi(uint32_t from, uint32_t tag, uint32_t to);

struct ipsec_state {
    uint32_t from, to;
    uint32_t spi;
    uint8_t aead[IPSEC_AEAD_BYTES];
};

struct ipsec_policy {
    uint32_t from, to; // 0, 0: the one that blocks
    uint32_t spi;
    uint16_t port;
};

// What the kernel holds, or should hold, of ours; rows sorted.
struct ipsec_set {
    struct ipsec_state *states;
    size_t states_count, states_cap;
    struct ipsec_policy *policies;
    size_t policies_count, policies_cap;
};

void ipsec_set_init(struct ipsec_set *set);
void ipsec_set_fini(struct ipsec_set *set); // wipes the keys
void ipsec_set_sort(struct ipsec_set *set);
struct ipsec_state *ipsec_set_state(struct ipsec_set *set);   // appends a zeroed one
struct ipsec_policy *ipsec_set_policy(struct ipsec_set *set); // likewise

// SPIs are made of the addresses that nodes advertise, states of the address this node's tunnels
// are bound to. Often these are the same.
struct ipsec_local {
    uint32_t advertised;
    uint32_t bound;
    uint16_t port; // the data path port
};

// Fills `out` (empty) for these peers (their data path addresses).
void ipsec_compile(struct ipsec_set *out, const struct ipsec_local *local,
                   const struct ipsec_keys *keys, const uint32_t *peers, size_t count);

// Adds to what is wanted what is there of other peers and other keys: it stays as it is.
void ipsec_keep(struct ipsec_set *wanted, const struct ipsec_set *actual);

enum ipsec_verb {
    IPSEC_STATE_ADD,
    IPSEC_STATE_DEL,
    IPSEC_POLICY_PUT, // adds, or puts in place of the one between the two
    IPSEC_POLICY_DEL,
};

struct ipsec_step {
    enum ipsec_verb verb;
    const struct ipsec_state *state; // of `actual` or `wanted`
    const struct ipsec_policy *policy;
};

// The steps from `actual` to `wanted` in their order: what blocks first; then for all peers, one
// kind after the other, the old ways to decrypt go, new ones come, new ways to encrypt come, the
// policies turn to them, and the old ways to encrypt go (overlay rotation). `bound` tells which
// states are for decrypting. To be freed.
struct ipsec_step *ipsec_diff(const struct ipsec_set *actual, const struct ipsec_set *wanted,
                              uint32_t bound, size_t *count);

#endif
