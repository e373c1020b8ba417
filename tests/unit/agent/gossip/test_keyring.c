// The middle key by Lamport time seals, all three open, and junk is cheap.
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/gossip/packet.h"
#include "proto/base/rand.h"
#include "tests/unit/agent/gossip/ring.h"

#define ACK "02 82 a75061796c6f6164 c0 a55365714e6f 07"
#define ACK_UDP                                                                                    \
    "01 101112131415161718191a1b c6aca4ff6e36da8076b99d5094429a7055bb"                             \
    "23eee91178c4a35027822931d5325ec7"
#define ACK_PADDED                                                                                 \
    "00 101112131415161718191a1b c6aca4ff6e36da8076b99d5094429a7055bb"                             \
    "7a8938fa65b18bc5271f690b1fa3 a5d768f2eb2cb6b0a1cba42c089e81e2"

static int open_one(struct keyring *ring, const struct buf *sealed, struct buf *out)
{
    return keyring_open(ring, NULL, 0, sealed->data, sealed->len, packet_peek, out, NULL);
}

START_TEST(sealed_bytes_are_memberlists)
{
    struct keyring *ring = ring_golden();
    struct buf ack = bytes_of(ACK), out;
    buf_init(&out, 256);
    keyring_seal(ring, nonce_golden, NULL, 0, ack.data, ack.len, &out);
    ASSERT_BYTES(&out, ACK_UDP);
    const char *forms[] = {ACK_UDP, ACK_PADDED};
    for (size_t i = 0; i < 2; i++) {
        struct buf sealed = bytes_of(forms[i]);
        buf_clear(&out);
        ck_assert_int_eq(open_one(ring, &sealed, &out), 0);
        ASSERT_BYTES(&out, ACK);
        // No byte may change, but the version, which memberlist leaves outside the seal.
        for (size_t j = 1; j < sealed.len; j++) {
            sealed.data[j] ^= 0x01;
            ck_assert_int_eq(open_one(ring, &sealed, &out), -ERR_UNAUTHENTICATED);
            sealed.data[j] ^= 0x01;
        }
        for (size_t size = 0; size < sealed.len; size++) // nor be missing
            ck_assert_int_eq(
                keyring_open(ring, NULL, 0, sealed.data, size, packet_peek, &out, NULL),
                -ERR_UNAUTHENTICATED);
        ck_assert_uint_eq(out.len, ack.len); // and what failed left nothing
        buf_fini(&sealed);
    }
    buf_fini(&ack);
    buf_fini(&out);
    keyring_free(ring);
}
END_TEST

// A set of three generations from `oldest` on; the key of generation g is all bytes g.
static void load_generations(struct keyring *ring, unsigned oldest)
{
    struct key_set set = {0};
    for (unsigned i = 3; i-- > 0;) {
        uint8_t key[KEYRING_KEY_BYTES];
        memset(key, (int)(oldest + i), sizeof key);
        key_set_add(&set, KEYRING_GOSSIP, key, oldest + i);
        key_set_add(&set, KEYRING_IPSEC, key, 100 + oldest + i);
    }
    ck_assert_int_eq(keyring_load(ring, set.list, set.count, NULL), 0);
    ck_assert_uint_eq(keyring_primary(ring), oldest + 1);
}

START_TEST(neighbours_in_rotation_understand_each_other)
{
    struct keyring *here = keyring_new(), *there = keyring_new();
    struct buf ack = bytes_of(ACK), sealed, out;
    buf_init(&sealed, 256);
    buf_init(&out, 256);
    load_generations(here, 1);
    for (unsigned oldest = 1; oldest <= 3; oldest++) {
        load_generations(there, oldest);
        buf_clear(&out);
        buf_clear(&sealed);
        keyring_seal(here, nonce_golden, NULL, 0, ack.data, ack.len, &sealed);
        // One rotation apart both ways work; two apart the old primary is gone.
        ck_assert_int_eq(open_one(there, &sealed, &out), oldest <= 2 ? 0 : -ERR_UNAUTHENTICATED);
        buf_clear(&sealed);
        keyring_seal(there, nonce_golden, NULL, 0, ack.data, ack.len, &sealed);
        ck_assert_int_eq(open_one(here, &sealed, &out), oldest <= 2 ? 0 : -ERR_UNAUTHENTICATED);
    }
    buf_fini(&ack);
    buf_fini(&sealed);
    buf_fini(&out);
    keyring_free(here);
    keyring_free(there);
}
END_TEST

START_TEST(a_bad_set_leaves_the_ring_as_it_was)
{
    struct keyring *ring = keyring_new();
    uint8_t key[KEYRING_KEY_BYTES] = {1};
    struct key_set set = {0};
    ck_assert(!keyring_ready(ring));
    for (uint64_t i = 0; i < 4; i++) {
        int result = keyring_load(ring, set.list, set.count, NULL);
        ck_assert_int_eq(result, i == 3 ? 0 : -ERR_INVALID_ARGUMENT);
        key_set_add(&set, KEYRING_GOSSIP, key, 10 + i);
    }
    ck_assert_int_eq(keyring_load(ring, set.list, 4, NULL), -ERR_INVALID_ARGUMENT); // too many
    set.keys[2].lamport_time = 10;                                                  // twice
    ck_assert_int_eq(keyring_load(ring, set.list, 3, NULL), -ERR_INVALID_ARGUMENT);
    set.keys[2].lamport_time = 12;
    set.keys[2].key.len = 15;
    ck_assert_int_eq(keyring_load(ring, set.list, 3, NULL), -ERR_INVALID_ARGUMENT);
    set.keys[2].key.len = 16;
    set.keys[2].algorithm = 1;
    ck_assert_int_eq(keyring_load(ring, set.list, 3, NULL), -ERR_INVALID_ARGUMENT);
    set.keys[2].algorithm = 0;
    set.keys[3].subsystem = "networking:other";
    ck_assert_int_eq(keyring_load(ring, set.list, 4, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert(keyring_ready(ring));
    ck_assert_uint_eq(keyring_primary(ring), 11);
    keyring_free(ring);
}
END_TEST

START_TEST(a_ring_without_keys_opens_nothing)
{
    struct keyring *ring = keyring_new();
    struct buf sealed = bytes_of(ACK_UDP), out;
    buf_init(&out, 256);
    ck_assert_int_eq(open_one(ring, &sealed, &out), -ERR_UNAUTHENTICATED);
    buf_fini(&sealed);
    keyring_free(ring);
}
END_TEST

START_TEST(junk_is_cheap)
{
    // security.md: at most 5 us a datagram. Junk here has the version byte right, which random
    // bytes rarely have. The bound of the test is wide, for sanitizers, and of this process's time
    // alone, for busy machines; the figure is printed.
    enum { ROUNDS = 20000, SIZE = 1400 };
    struct keyring *ring = ring_golden();
    struct rand rand;
    rand_init(&rand, 1);
    uint8_t junk[SIZE];
    rand_bytes(&rand, junk, sizeof junk);
    junk[0] = 1;
    struct buf out;
    buf_init(&out, PACKET_BYTES_MAX);
    clock_t start = clock();
    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(junk + 1, &i, sizeof i); // another nonce
        ck_assert_int_eq(keyring_open(ring, NULL, 0, junk, sizeof junk, packet_peek, &out, NULL),
                         -ERR_UNAUTHENTICATED);
    }
    double us = (double)(clock() - start) * 1e6 / CLOCKS_PER_SEC / ROUNDS;
    printf("junk of %d bytes: %.2f us\n", SIZE, us);
    ck_assert(us < 100);
    buf_fini(&out);
    keyring_free(ring);
}
END_TEST

Suite *suite_keyring(void);
Suite *suite_keyring(void)
{
    Suite *suite = suite_create("keyring");
    TCase *tcase = tcase_create("keyring");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, sealed_bytes_are_memberlists);
    tcase_add_test(tcase, neighbours_in_rotation_understand_each_other);
    tcase_add_test(tcase, a_bad_set_leaves_the_ring_as_it_was);
    tcase_add_test(tcase, a_ring_without_keys_opens_nothing);
    tcase_add_test(tcase, junk_is_cheap);
    suite_add_tcase(suite, tcase);
    return suite;
}
