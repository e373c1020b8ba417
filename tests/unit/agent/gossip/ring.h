// Bytes and keys for the gossip tests.
#ifndef TESTS_UNIT_AGENT_GOSSIP_RING_H
#define TESTS_UNIT_AGENT_GOSSIP_RING_H

#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/keyring.h"
#include "proto/base/buf.h"

// The bytes of a hexadecimal text, blanks in it ignored. Free with buf_fini.
struct buf bytes_of(const char *hex);

// A session message's set of keys under test: what keyring_load wants.
struct key_set {
    Swarm__EncryptionKey keys[8];
    Swarm__EncryptionKey *list[8];
    uint8_t bytes[8][KEYRING_KEY_BYTES];
    size_t count;
};

void key_set_add(struct key_set *set, const char *subsystem, const uint8_t *key,
                 uint64_t lamport_time);

// A ring whose primary key is 00..0f, the old one all 0xaa, the next one all 0xbb.
struct keyring *ring_golden(void);

extern const uint8_t nonce_golden[KEYRING_NONCE_BYTES]; // 10..1b

struct span span_text(const char *text);

#define ASSERT_BYTES(got, hex)                                                                     \
    do {                                                                                           \
        struct buf wanted_ = bytes_of(hex);                                                        \
        ck_assert_uint_eq((got)->len, wanted_.len);                                                \
        ck_assert_mem_eq((got)->data, wanted_.data, wanted_.len);                                  \
        buf_fini(&wanted_);                                                                        \
    } while (0)

#endif
