// IPsec numbers are those of stock nodes, and rotations lose no packet: a model of two nodes'
// kernels plays the steps and asks after each whether what one sends the other opens.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/ipsec.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"

#define A 0xc0a84d0bu // 192.168.77.11
#define B 0xc0a84d0cu // 192.168.77.12

START_TEST(spis_are_those_of_stock_nodes)
{
    ck_assert_uint_eq(ipsec_spi(A, 1, B), 0x3cfc8377);
    ck_assert_uint_eq(ipsec_spi(B, 1, A), 0x39d23313);
    ck_assert_uint_eq(ipsec_spi(A, 40007, B), 0xd86985fd);
}
END_TEST

static Swarm__EncryptionKey wire_key(uint8_t *bytes, uint64_t time, const char *subsystem)
{
    Swarm__EncryptionKey key = SWARM__ENCRYPTION_KEY__INIT;
    memset(bytes, (int)time, IPSEC_KEY_BYTES);
    key.subsystem = (char *)subsystem;
    key.key.data = bytes;
    key.key.len = IPSEC_KEY_BYTES;
    key.lamport_time = time;
    return key;
}

START_TEST(keys_are_ordered_by_their_time)
{
    uint8_t bytes[5][IPSEC_KEY_BYTES];
    Swarm__EncryptionKey keys[] = {
        wire_key(bytes[0], 9, "networking:ipsec"), wire_key(bytes[1], 1, "networking:gossip"),
        wire_key(bytes[2], 7, "networking:ipsec"), wire_key(bytes[3], 8, "networking:ipsec"),
        wire_key(bytes[4], 6, "networking:ipsec")};
    Swarm__EncryptionKey *all[] = {&keys[0], &keys[1], &keys[2], &keys[3], &keys[4]};
    struct ipsec_keys out = {.keys[0].tag = 55};
    struct err err = ERR_INIT;
    ck_assert_int_eq(ipsec_keys_load(all, 4, &out, &err), 0);
    ck_assert_uint_eq(out.keys[0].tag, 7);
    ck_assert_uint_eq(out.keys[1].tag, 8);
    ck_assert_uint_eq(out.keys[2].tag, 9);
    ck_assert_uint_eq(out.keys[1].key[0], 8);
    ck_assert_int_eq(ipsec_keys_load(all, 5, &out, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(ipsec_keys_load(all, 3, &out, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(ipsec_keys_load(all + 1, 1, &out, &err), -ERR_FAILED_PRECONDITION);
    keys[3].lamport_time = 9;
    ck_assert_int_eq(ipsec_keys_load(all, 4, &out, &err), -ERR_INVALID_ARGUMENT);
    keys[3].lamport_time = 8;
    keys[3].key.len = 15;
    ck_assert_int_eq(ipsec_keys_load(all, 4, &out, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(out.keys[0].tag, 7);
}
END_TEST

static struct ipsec_keys ring(uint32_t first)
{
    struct ipsec_keys keys;
    for (uint32_t i = 0; i < IPSEC_KEYS; i++) {
        memset(keys.keys[i].key, (int)(first + i), IPSEC_KEY_BYTES);
        keys.keys[i].tag = first + i;
    }
    return keys;
}

// Takes one step in a kernel, as strictly as the kernel does.
static void play(struct ipsec_set *kernel, const struct ipsec_step *step)
{
    size_t at = 0;
    switch (step->verb) {
    case IPSEC_STATE_ADD:
        for (size_t i = 0; i < kernel->states_count; i++)
            ck_assert(kernel->states[i].to != step->state->to ||
                      kernel->states[i].spi != step->state->spi);
        *ipsec_set_state(kernel) = *step->state;
        break;
    case IPSEC_STATE_DEL:
        while (at < kernel->states_count && (kernel->states[at].to != step->state->to ||
                                             kernel->states[at].spi != step->state->spi))
            at++;
        ck_assert_uint_lt(at, kernel->states_count);
        kernel->states[at] = kernel->states[--kernel->states_count];
        break;
    case IPSEC_POLICY_PUT:
    case IPSEC_POLICY_DEL:
        while (at < kernel->policies_count && kernel->policies[at].to != step->policy->to)
            at++;
        if (step->verb == IPSEC_POLICY_DEL) {
            ck_assert_uint_lt(at, kernel->policies_count);
            kernel->policies[at] = kernel->policies[--kernel->policies_count];
        } else if (at < kernel->policies_count) {
            kernel->policies[at] = *step->policy;
        } else {
            *ipsec_set_policy(kernel) = *step->policy;
        }
        break;
    }
    ipsec_set_sort(kernel);
}

// Whether what `from` sends now is opened by `to`.
static bool gets_through(const struct ipsec_set *from, const struct ipsec_set *to, uint32_t peer)
{
    for (size_t i = 0; i < from->policies_count; i++) {
        const struct ipsec_policy *policy = &from->policies[i];
        for (size_t k = 0; policy->to == peer && k < from->states_count; k++)
            for (size_t n = 0; from->states[k].spi == policy->spi && from->states[k].to == peer &&
                               n < to->states_count;
                 n++)
                if (to->states[n].spi == policy->spi && to->states[n].to == peer &&
                    memcmp(to->states[n].aead, from->states[k].aead, IPSEC_AEAD_BYTES) == 0)
                    return true;
    }
    return false;
}

static void wish(struct ipsec_set *out, uint32_t own, uint32_t peer, uint32_t first)
{
    struct ipsec_keys keys = ring(first);
    const struct ipsec_local local = {own, own, 4789};
    ipsec_set_init(out);
    ipsec_compile(out, &local, &keys, &peer, 1);
}

START_TEST(rotation_loses_nothing)
{
    struct ipsec_set kernel[2], wanted;
    const uint32_t own[2] = {A, B};
    uint32_t ring_of[2] = {1, 1};
    struct rand rand;
    size_t count;
    rand_init(&rand, (uint64_t)_i + 3);
    for (int i = 0; i < 2; i++) {
        struct ipsec_set nothing;
        ipsec_set_init(&nothing);
        ipsec_set_init(&kernel[i]);
        wish(&wanted, own[i], own[!i], 1);
        struct ipsec_step *steps = ipsec_diff(&nothing, &wanted, own[i], &count);
        ck_assert_uint_eq(count, 6);
        ck_assert(steps[0].verb == IPSEC_POLICY_PUT && steps[0].policy->to == 0);
        for (size_t k = 0; k < count; k++)
            play(&kernel[i], &steps[k]);
        free(steps);
        ipsec_set_fini(&wanted);
    }
    // Ten rotations that reach the two in any order, never more than one apart.
    while (ring_of[0] + ring_of[1] < 22) {
        size_t who = (size_t)rand_below(&rand, 2);
        if (ring_of[who] > ring_of[!who])
            who = !who;
        struct ipsec_set copy;
        wish(&copy, own[who], own[!who], ring_of[who]);
        wish(&wanted, own[who], own[!who], ++ring_of[who]);
        struct ipsec_step *steps = ipsec_diff(&copy, &wanted, own[who], &count);
        ck_assert_uint_eq(count, 5); // as the overlay's description has it
        ck_assert(steps[0].verb == IPSEC_STATE_DEL && steps[0].state->to == own[who]);
        ck_assert(steps[1].verb == IPSEC_STATE_ADD && steps[1].state->to == own[who]);
        ck_assert(steps[2].verb == IPSEC_STATE_ADD && steps[2].state->to == own[!who]);
        ck_assert(steps[3].verb == IPSEC_POLICY_PUT);
        ck_assert(steps[4].verb == IPSEC_STATE_DEL && steps[4].state->to == own[!who]);
        for (size_t k = 0; k < count; k++) {
            play(&kernel[who], &steps[k]);
            ck_assert(gets_through(&kernel[0], &kernel[1], B));
            ck_assert(gets_through(&kernel[1], &kernel[0], A));
        }
        free(steps);
        ipsec_set_fini(&wanted);
        ipsec_set_fini(&copy);
    }
    ipsec_set_fini(&kernel[0]);
    ipsec_set_fini(&kernel[1]);
}
END_TEST

START_TEST(what_is_right_stays_and_what_is_wrong_goes)
{
    struct ipsec_set actual, wanted, nothing, kernel;
    size_t count;
    ipsec_set_init(&nothing);
    wish(&kernel, A, B, 1);
    wish(&actual, A, B, 1);
    wish(&wanted, A, B, 1);
    free(ipsec_diff(&actual, &wanted, A, &count));
    ck_assert_uint_eq(count, 0);
    // A wrong key with the right numbers, both ways.
    for (size_t i = 0; i < actual.states_count; i++) {
        actual.states[i].aead[0] ^= 1;
        kernel.states[i].aead[0] ^= 1;
    }
    struct ipsec_step *steps = ipsec_diff(&actual, &wanted, A, &count);
    ck_assert_uint_eq(count, 8);
    for (size_t i = 0; i < count; i++)
        play(&kernel, &steps[i]);
    free(steps);
    free(ipsec_diff(&kernel, &wanted, A, &count));
    ck_assert_uint_eq(count, 0);
    steps = ipsec_diff(&wanted, &nothing, A, &count);
    for (size_t i = 0; i < count; i++)
        play(&kernel, &steps[i]);
    free(steps);
    ck_assert_uint_eq(kernel.states_count + kernel.policies_count, 0);
    ipsec_set_fini(&actual);
    ipsec_set_fini(&wanted);
    ipsec_set_fini(&kernel);
}
END_TEST

START_TEST(what_a_life_before_left_can_be_kept)
{
    const struct ipsec_local local = {A, A, 4789};
    const uint32_t peer = B;
    struct ipsec_keys before = ring(1), after = ring(2);
    struct ipsec_set actual, wanted;
    size_t count;
    // Without keys and peers: nothing goes, and what blocks stands already.
    ipsec_set_init(&actual);
    ipsec_set_init(&wanted);
    ipsec_compile(&actual, &local, &before, &peer, 1);
    ipsec_compile(&wanted, &local, &after, NULL, 0);
    ipsec_keep(&wanted, &actual);
    free(ipsec_diff(&actual, &wanted, A, &count));
    ck_assert_uint_eq(count, 0);
    ipsec_set_fini(&wanted);
    // With newer keys: they are added, the older ones stay.
    ipsec_set_init(&wanted);
    ipsec_compile(&wanted, &local, &after, &peer, 1);
    ipsec_keep(&wanted, &actual);
    struct ipsec_step *steps = ipsec_diff(&actual, &wanted, A, &count);
    ck_assert_uint_eq(count, 3); // a key to decrypt with, one to encrypt with, the policy of that
    for (size_t i = 0; i < count; i++)
        ck_assert(steps[i].verb == IPSEC_STATE_ADD || steps[i].verb == IPSEC_POLICY_PUT);
    free(steps);
    ipsec_set_fini(&actual);
    ipsec_set_fini(&wanted);
}
END_TEST

Suite *suite_ipsec(void);
Suite *suite_ipsec(void)
{
    Suite *suite = suite_create("ipsec");
    TCase *tcase = tcase_create("ipsec");
    tcase_add_test(tcase, spis_are_those_of_stock_nodes);
    tcase_add_test(tcase, keys_are_ordered_by_their_time);
    tcase_add_loop_test(tcase, rotation_loses_nothing, 0, 8);
    tcase_add_test(tcase, what_is_right_stays_and_what_is_wrong_goes);
    tcase_add_test(tcase, what_a_life_before_left_can_be_kept);
    suite_add_tcase(suite, tcase);
    return suite;
}
