// Majorities, also of joint configurations.
#include <check.h>

#include "proto/base/check.h"
#include "raft/core/quorum.h"

static struct raft_conf voters(uint32_t count, uint32_t outgoing_from, uint32_t outgoing_count)
{
    struct raft_conf conf = {.voters_count = count, .outgoing_count = outgoing_count};
    for (uint32_t i = 0; i < count; i++)
        conf.voters[i] = i + 1;
    for (uint32_t i = 0; i < outgoing_count; i++)
        conf.outgoing[i] = outgoing_from + i;
    return conf;
}

static uint64_t index_of(const void *ctx, uint64_t id)
{
    return ((const uint64_t *)ctx)[id];
}

static int vote_of(const void *ctx, uint64_t id)
{
    return ((const int *)ctx)[id];
}

START_TEST(index_is_what_a_majority_reaches)
{
    static const uint64_t match[] = {0, 7, 5, 9, 3, 100};
    static const uint64_t wanted[] = {UINT64_MAX, 7, 5, 7, 5, 7};
    for (uint32_t count = 0; count < COUNT_OF(wanted); count++) {
        struct raft_conf conf = voters(count, 0, 0);
        ck_assert_uint_eq(quorum_index(&conf, index_of, match), wanted[count]);
    }
}
END_TEST

START_TEST(joint_index_needs_both_halves)
{
    static const uint64_t match[] = {0, 9, 9, 9, 2, 3, 4};
    struct raft_conf conf = voters(3, 4, 3);
    ck_assert_uint_eq(quorum_index(&conf, index_of, match), 3);
    conf.outgoing_count = 0;
    ck_assert_uint_eq(quorum_index(&conf, index_of, match), 9);
}
END_TEST

START_TEST(tally_of_one_half)
{
    static const struct {
        int vote[6];
        uint32_t count;
        enum quorum_vote wanted;
    } rows[] = {
        {{0}, 0, QUORUM_WON},
        {{0, 1}, 1, QUORUM_WON},
        {{0, 0}, 1, QUORUM_PENDING},
        {{0, -1}, 1, QUORUM_LOST},
        {{0, 1, 0}, 2, QUORUM_PENDING},
        {{0, 1, -1}, 2, QUORUM_LOST},
        {{0, 1, 1}, 2, QUORUM_WON},
        {{0, 1, 0, -1}, 3, QUORUM_PENDING},
        {{0, 1, 1, -1}, 3, QUORUM_WON},
        {{0, 1, -1, -1}, 3, QUORUM_LOST},
        {{0, 1, 1, 0, 0}, 4, QUORUM_PENDING},
        {{0, 1, 1, -1, -1}, 4, QUORUM_LOST},
        {{0, 1, 1, 1, -1, -1}, 5, QUORUM_WON},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct raft_conf conf = voters(rows[i].count, 0, 0);
        ck_assert_int_eq(quorum_tally(&conf, vote_of, rows[i].vote), rows[i].wanted);
    }
}
END_TEST

START_TEST(joint_tally_is_lost_with_either_half)
{
    static const struct {
        int vote[3];
        enum quorum_vote wanted;
    } rows[] = {
        {{0, 1, 1}, QUORUM_WON},     {{0, 1, 0}, QUORUM_PENDING}, {{0, 0, 1}, QUORUM_PENDING},
        {{0, 1, -1}, QUORUM_LOST},   {{0, -1, 1}, QUORUM_LOST},   {{0, 0, -1}, QUORUM_LOST},
        {{0, 0, 0}, QUORUM_PENDING},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct raft_conf conf = voters(1, 2, 1);
        ck_assert_int_eq(quorum_tally(&conf, vote_of, rows[i].vote), rows[i].wanted);
    }
}
END_TEST

Suite *suite_quorum(void);
Suite *suite_quorum(void)
{
    Suite *suite = suite_create("quorum");
    TCase *tcase = tcase_create("quorum");
    tcase_add_test(tcase, index_is_what_a_majority_reaches);
    tcase_add_test(tcase, joint_index_needs_both_halves);
    tcase_add_test(tcase, tally_of_one_half);
    tcase_add_test(tcase, joint_tally_is_lost_with_either_half);
    suite_add_tcase(suite, tcase);
    return suite;
}
