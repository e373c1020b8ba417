// Weights of managers, and pauses between attempts.
#include <check.h>
#include <string.h>

#include "proto/rpc/backoff.h"
#include "proto/rpc/remotes.h"

START_TEST(experience_moves_weights_half_way_and_rounds_up)
{
    struct remotes remotes;
    remotes_init(&remotes);
    ck_assert(remotes_observe(&remotes, "m1", "10.0.0.1:2377", 10));
    ck_assert_int_eq(remotes.list[0].weight, 10);
    static const int wanted[] = {0, -5, -7, -8, -9, -9};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        remotes_observe(&remotes, "m1", "10.0.0.1:2377", REMOTES_OBSERVED_BAD);
        ck_assert_int_eq(remotes.list[0].weight, wanted[i]);
    }
    remotes_observe(&remotes, "m1", "10.0.0.1:2377", REMOTES_OBSERVED_GOOD);
    ck_assert_int_eq(remotes.list[0].weight, 1);
    for (int i = 0; i < 20; i++)
        remotes_observe(&remotes, "m1", "10.0.0.1:2377", 100000);
    ck_assert_int_eq(remotes.list[0].weight, REMOTES_WEIGHT_MAX);
    remotes_fini(&remotes);
}
END_TEST

START_TEST(late_answers_bring_nobody_back)
{
    struct remotes remotes;
    remotes_init(&remotes);
    remotes_observe_known(&remotes, "m1", "a:1", 10);
    ck_assert_uint_eq(remotes.count, 0);
    ck_assert(!remotes_observe(&remotes, "m1", "", 10));
    remotes_fini(&remotes);
}
END_TEST

START_TEST(session_message_is_the_complete_list)
{
    struct remotes remotes;
    remotes_init(&remotes);
    remotes_observe(&remotes, "m1", "a:1", 10);
    remotes_observe(&remotes, "m2", "b:1", 10);
    remotes_observe(&remotes, "m2", "b:1", -10);
    struct remote list[] = {{"m2", "b:1", 10}, {"m3", "c:1", 10}, {"m4", "", 10}};
    remotes_update(&remotes, list, 3);
    ck_assert_uint_eq(remotes.count, 2);
    ck_assert_str_eq(remotes.list[0].node_id, "m2");
    ck_assert_int_eq(remotes.list[0].weight, 5);
    ck_assert_str_eq(remotes.list[1].node_id, "m3");
    remotes_remove(&remotes, "m2", "b:1");
    remotes_remove(&remotes, "m2", "b:1");
    ck_assert_uint_eq(remotes.count, 1);
    remotes_fini(&remotes);
}
END_TEST

START_TEST(choice_follows_weights)
{
    struct remotes remotes;
    remotes_init(&remotes);
    struct rand rand;
    rand_init(&rand, 1);
    ck_assert_ptr_null(remotes_pick(&remotes, &rand, NULL, 0));
    remotes_observe(&remotes, "m1", "a:1", 30);
    remotes_observe(&remotes, "m2", "b:1", 10);
    remotes_observe(&remotes, "m3", "c:1", -10);
    int picked[4] = {0};
    for (int i = 0; i < 4000; i++)
        picked[remotes_pick(&remotes, &rand, NULL, 0)->node_id[1] - '0']++;
    ck_assert_int_gt(picked[1], 2800);
    ck_assert_int_lt(picked[1], 3200);
    ck_assert_int_lt(picked[3], 10);
    const char *except[] = {"m1", "m2"};
    ck_assert_str_eq(remotes_pick(&remotes, &rand, except, 2)->node_id, "m3");
    const char *all[] = {"m1", "m2", "m3"};
    ck_assert_ptr_null(remotes_pick(&remotes, &rand, all, 3));
    remotes_fini(&remotes);
}
END_TEST

START_TEST(list_has_a_limit)
{
    struct remotes remotes;
    remotes_init(&remotes);
    char addr[16];
    for (int i = 0; i < REMOTES_MAX; i++) {
        memcpy(addr, "h:0000", 7);
        for (int n = i, at = 5; n > 0; n /= 10, at--)
            addr[at] = (char)('0' + n % 10);
        ck_assert(remotes_observe(&remotes, "m", addr, 1));
    }
    ck_assert(!remotes_observe(&remotes, "m", "one:more", 1));
    remotes_fini(&remotes);
}
END_TEST

START_TEST(an_own_manager_is_dialled_where_it_listens)
{
    struct remotes remotes;
    remotes_init(&remotes);
    ck_assert(remotes_observe(&remotes, "m1", "203.0.113.7:2377", 1));
    ck_assert(remotes_observe(&remotes, "m2", "203.0.113.8:2377", 1));
    ck_assert(remotes_observe(&remotes, "", "203.0.113.9:2377", 1));
    for (size_t i = 0; i < remotes.count; i++)
        ck_assert_str_eq(remotes_dialled(&remotes, &remotes.list[i]), remotes.list[i].addr);
    ck_assert(remotes_set_own(&remotes, "m1", "127.0.0.1:2377"));
    ck_assert_str_eq(remotes_dialled(&remotes, &remotes.list[0]), "127.0.0.1:2377");
    for (size_t i = 1; i < remotes.count; i++)
        ck_assert_str_eq(remotes_dialled(&remotes, &remotes.list[i]), remotes.list[i].addr);
    // An update of the list changes nothing of it.
    remotes_update(&remotes, remotes.list, 1);
    ck_assert_str_eq(remotes_dialled(&remotes, &remotes.list[0]), "127.0.0.1:2377");
    remotes_fini(&remotes);
}
END_TEST

START_TEST(pauses_grow_to_their_limit_and_start_again)
{
    struct backoff backoff;
    struct rand rand;
    rand_init(&rand, 7);
    backoff_init(&backoff, 1000, 8000);
    static const int64_t wanted[] = {1000, 1600, 2560, 4096, 6553, 8000, 8000};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        int64_t pause = backoff_next_ms(&backoff, &rand);
        ck_assert_int_ge(pause, wanted[i] * 79 / 100);
        ck_assert_int_le(pause, wanted[i] * 121 / 100);
    }
    backoff_reset(&backoff);
    ck_assert_int_le(backoff_next_ms(&backoff, &rand), 1200);
}
END_TEST

Suite *suite_remotes(void);
Suite *suite_remotes(void)
{
    Suite *suite = suite_create("remotes");
    TCase *weights = tcase_create("weights");
    tcase_add_test(weights, experience_moves_weights_half_way_and_rounds_up);
    tcase_add_test(weights, late_answers_bring_nobody_back);
    tcase_add_test(weights, session_message_is_the_complete_list);
    tcase_add_test(weights, choice_follows_weights);
    tcase_add_test(weights, list_has_a_limit);
    tcase_add_test(weights, an_own_manager_is_dialled_where_it_listens);
    tcase_add_test(weights, pauses_grow_to_their_limit_and_start_again);
    suite_add_tcase(suite, weights);
    return suite;
}
