// Probe, replicate, snapshot: what answers and refusals make of a peer's progress.
#include <check.h>
#include <signal.h>

#include "raft/core/progress.h"

static struct progress probing(uint64_t next)
{
    struct progress progress;
    progress_init(&progress, 2, false, 3);
    progress_reset(&progress, next, (struct mono){0});
    return progress;
}

START_TEST(a_probe_waits_for_its_answer)
{
    struct progress progress = probing(10);
    ck_assert(!progress_is_paused(&progress));
    progress.paused = true;
    ck_assert(progress_is_paused(&progress));
    ck_assert(progress_refuse(&progress, 9, 4));
    ck_assert_uint_eq(progress.next, 5);
    ck_assert(!progress_is_paused(&progress));
}
END_TEST

START_TEST(a_refusal_of_another_probe_is_stale)
{
    struct progress progress = probing(10);
    ck_assert(!progress_refuse(&progress, 8, 4));
    ck_assert(!progress_refuse(&progress, 10, 4));
    ck_assert_uint_eq(progress.next, 10);
}
END_TEST

START_TEST(a_hint_never_moves_forward_nor_below_the_match)
{
    struct progress progress = probing(10);
    ck_assert(progress_refuse(&progress, 9, 100));
    ck_assert_uint_eq(progress.next, 9);
    progress.match = 6;
    ck_assert(progress_refuse(&progress, 8, 2));
    ck_assert_uint_eq(progress.next, 7);
}
END_TEST

START_TEST(acknowledgements_free_the_window)
{
    struct progress progress = probing(1);
    progress_become_replicate(&progress);
    progress_window_add(&progress, 4);
    progress_window_add(&progress, 8);
    progress_window_add(&progress, 12);
    ck_assert(progress_is_paused(&progress));
    ck_assert(progress_acknowledge(&progress, 8));
    ck_assert_uint_eq(progress.window_count, 1);
    ck_assert_uint_eq(progress.next, 9);
    ck_assert(!progress_acknowledge(&progress, 8));
    ck_assert(!progress_is_paused(&progress));
    progress_window_add(&progress, 13); // around the end of the ring
    progress_window_add(&progress, 14);
    ck_assert(progress_acknowledge(&progress, 13));
    ck_assert_uint_eq(progress.window_count, 1);
    progress_fini(&progress);
}
END_TEST

START_TEST(a_refusal_while_replicating_means_probing_from_the_match)
{
    struct progress progress = probing(1);
    progress_acknowledge(&progress, 5);
    progress_become_replicate(&progress);
    progress.next = 20;
    progress_window_add(&progress, 19);
    ck_assert(!progress_refuse(&progress, 5, 0)); // overtaken: 5 is known to match
    ck_assert(progress_refuse(&progress, 12, 0));
    ck_assert_int_eq(progress.state, RAFT_PROBE);
    ck_assert_uint_eq(progress.next, 6);
    ck_assert_uint_eq(progress.window_count, 0);
    progress_fini(&progress);
}
END_TEST

START_TEST(after_a_snapshot_probing_goes_on_behind_it)
{
    struct progress progress = probing(3);
    progress_become_snapshot(&progress);
    ck_assert(progress_is_paused(&progress));
    ck_assert(!progress_refuse(&progress, 2, 0));
    progress.snapshot_index = 50;
    progress_become_probe(&progress);
    ck_assert_uint_eq(progress.next, 51);
    progress_become_snapshot(&progress);
    progress.snapshot_index = 0; // it failed
    progress_become_probe(&progress);
    ck_assert_uint_eq(progress.next, 1);
}
END_TEST

START_TEST(an_overfull_window_stops_the_process)
{
    struct progress progress = probing(1);
    for (uint64_t i = 1; i <= 4; i++)
        progress_window_add(&progress, i);
}
END_TEST

Suite *suite_progress(void);
Suite *suite_progress(void)
{
    Suite *suite = suite_create("progress");
    TCase *tcase = tcase_create("progress");
    tcase_add_test(tcase, a_probe_waits_for_its_answer);
    tcase_add_test(tcase, a_refusal_of_another_probe_is_stale);
    tcase_add_test(tcase, a_hint_never_moves_forward_nor_below_the_match);
    tcase_add_test(tcase, acknowledgements_free_the_window);
    tcase_add_test(tcase, a_refusal_while_replicating_means_probing_from_the_match);
    tcase_add_test(tcase, after_a_snapshot_probing_goes_on_behind_it);
    tcase_add_test_raise_signal(tcase, an_overfull_window_stops_the_process, SIGABRT);
    suite_add_tcase(suite, tcase);
    return suite;
}
