// The log: terms as runs, bodies in a window, truncation, compaction, hints.
#include <check.h>
#include <signal.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "raft/core/log.h"

static struct log new_log(void)
{
    struct log log;
    struct raft_boot boot = {0};
    ck_assert_int_eq(log_init(&log, &boot, NULL), 0);
    return log;
}

static void append(struct log *log, uint64_t term, const char *text)
{
    struct raft_entry entry = {.term = term, .index = log->last + 1};
    entry.data = text ? raft_blob_new(text, 1) : NULL;
    log_append(log, &entry);
    raft_blob_unref(entry.data);
}

// Terms 1 1 2 2 2 5 at indexes 1..6.
static struct log sample_log(void)
{
    static const uint64_t terms[] = {1, 1, 2, 2, 2, 5};
    struct log log = new_log();
    for (size_t i = 0; i < COUNT_OF(terms); i++)
        append(&log, terms[i], "x");
    return log;
}

START_TEST(terms_are_found_through_runs)
{
    struct log log = sample_log();
    static const uint64_t terms[] = {0, 1, 1, 2, 2, 2, 5, 0};
    for (uint64_t i = 0; i < COUNT_OF(terms); i++)
        ck_assert_uint_eq(log_term(&log, i), terms[i]);
    ck_assert_uint_eq(log.runs_count, 3);
    ck_assert_uint_eq(log_last_term(&log), 5);
    log_fini(&log);
}
END_TEST

START_TEST(truncation_drops_bodies_runs_and_durability)
{
    struct log log = sample_log();
    log.durable = 6;
    log.emitted = 6;
    log_truncate(&log, 4);
    ck_assert_uint_eq(log.last, 3);
    ck_assert_uint_eq(log.durable, 3);
    ck_assert_uint_eq(log.emitted, 3);
    ck_assert_uint_eq(log.runs_count, 2);
    ck_assert_ptr_null(log_entry(&log, 4));
    append(&log, 6, "y");
    ck_assert_uint_eq(log_term(&log, 4), 6);
    ck_assert_int_eq(log_entry(&log, 4)->data->bytes[0], 'y');
    log_fini(&log);
}
END_TEST

START_TEST(truncating_committed_entries_stops_the_process)
{
    struct log log = sample_log();
    log.commit = 4;
    log_truncate(&log, 4);
}
END_TEST

START_TEST(truncation_reaches_below_what_is_in_memory)
{
    struct log log = sample_log();
    log.durable = log.applied = 4;
    log_trim(&log, 0);
    ck_assert_uint_eq(log.memory_first, 5);
    log_truncate(&log, 3);
    ck_assert_uint_eq(log.memory_first, 3);
    append(&log, 7, "z");
    ck_assert_ptr_nonnull(log_entry(&log, 3));
    log_fini(&log);
}
END_TEST

START_TEST(compaction_keeps_the_term_of_its_last_entry)
{
    struct log log = sample_log();
    log.applied = log.commit = log.durable = 6;
    log_compact(&log, 4);
    ck_assert_uint_eq(log_term(&log, 3), 0);
    ck_assert_uint_eq(log_term(&log, 4), 2);
    ck_assert_uint_eq(log_term(&log, 5), 2);
    ck_assert_uint_eq(log_term(&log, 6), 5);
    log_compact(&log, 2); // backwards: nothing
    ck_assert_uint_eq(log.start_index, 4);
    log_compact(&log, 6);
    ck_assert_uint_eq(log_last_term(&log), 5);
    ck_assert_uint_eq(log.runs_count, 0);
    append(&log, 5, "x");
    ck_assert_uint_eq(log_term(&log, 7), 5);
    log_fini(&log);
}
END_TEST

START_TEST(trim_keeps_what_is_not_durable_or_not_applied)
{
    struct log log = sample_log();
    log.durable = 5;
    log.applied = 3;
    log_trim(&log, 0);
    ck_assert_ptr_null(log_entry(&log, 3));
    ck_assert_ptr_nonnull(log_entry(&log, 4));
    log.applied = 6;
    log_trim(&log, 10 * (RAFT_ENTRY_OVERHEAD_BYTES + 1)); // all fit
    ck_assert_ptr_nonnull(log_entry(&log, 4));
    log_trim(&log, 0);
    ck_assert_ptr_null(log_entry(&log, 5));
    ck_assert_ptr_nonnull(log_entry(&log, 6));
    ck_assert_uint_eq(log_term(&log, 1), 1); // terms stay
    log_fini(&log);
}
END_TEST

START_TEST(restore_starts_over_after_the_snapshot)
{
    struct log log = sample_log();
    log_restore(&log, 40, 9);
    ck_assert_uint_eq(log.last, 40);
    ck_assert_uint_eq(log.commit, 40);
    ck_assert_uint_eq(log_term(&log, 40), 9);
    ck_assert_uint_eq(log_term(&log, 6), 0);
    ck_assert_uint_eq(log.memory_bytes, 0);
    append(&log, 9, "x");
    ck_assert_ptr_nonnull(log_entry(&log, 41));
    log_fini(&log);
}
END_TEST

START_TEST(up_to_date_compares_term_then_index)
{
    struct log log = sample_log();
    ck_assert(log_is_up_to_date(&log, 6, 5));
    ck_assert(log_is_up_to_date(&log, 7, 5));
    ck_assert(log_is_up_to_date(&log, 1, 6));
    ck_assert(!log_is_up_to_date(&log, 5, 5));
    ck_assert(!log_is_up_to_date(&log, 100, 4));
    log_fini(&log);
}
END_TEST

START_TEST(probe_hint_skips_terms_that_cannot_agree)
{
    struct log log = sample_log();
    uint64_t term;
    ck_assert_uint_eq(log_probe_hint(&log, 100, 9, &term), 6);
    ck_assert_uint_eq(term, 5);
    ck_assert_uint_eq(log_probe_hint(&log, 6, 3, &term), 5);
    ck_assert_uint_eq(term, 2);
    ck_assert_uint_eq(log_probe_hint(&log, 4, 1, &term), 2);
    ck_assert_uint_eq(term, 1);
    ck_assert_uint_eq(log_probe_hint(&log, 6, 0, &term), 0);
    ck_assert_uint_eq(term, 0);
    log.applied = log.commit = log.durable = 6;
    log_compact(&log, 4);
    ck_assert_uint_eq(log_probe_hint(&log, 6, 1, &term), 4);
    ck_assert_uint_eq(term, 2);
    ck_assert_uint_eq(log_probe_hint(&log, 2, 1, &term), 2); // below the start nothing is known
    ck_assert_uint_eq(term, 0);
    log_fini(&log);
}
END_TEST

START_TEST(matches_knows_start_end_and_nothing_else)
{
    struct log log = sample_log();
    ck_assert(log_matches(&log, 0, 0));
    ck_assert(log_matches(&log, 6, 5));
    ck_assert(!log_matches(&log, 6, 2));
    ck_assert(!log_matches(&log, 7, 0));
    log.applied = log.commit = log.durable = 6;
    log_compact(&log, 3);
    ck_assert(!log_matches(&log, 2, 1));
    ck_assert(log_matches(&log, 3, 2));
    log_fini(&log);
}
END_TEST

// Appends, truncations, trims and compactions against a plain array.
START_TEST(random_changes_agree_with_a_plain_array)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    struct log log = new_log();
    static uint64_t terms[20000];
    uint64_t term = 1;
    for (int step = 0; step < 2000; step++) {
        switch (rand_below(&rand, 6)) {
        case 0:
            log.commit += rand_below(&rand, log.last - log.commit + 1);
            log.durable = log.emitted = log.last;
            log.applied = log.handed = log.commit;
            break;
        case 1:
            if (log.last > log.commit)
                log_truncate(&log, log.commit + 1 + rand_below(&rand, log.last - log.commit));
            break;
        case 2:
            log_trim(&log, rand_below(&rand, 500));
            break;
        case 3:
            log_compact(&log, log.applied - rand_below(&rand, log.applied + 1));
            break;
        default:
            term += rand_chance(&rand, 1, 5);
            terms[log.last + 1] = term;
            append(&log, term, rand_chance(&rand, 1, 2) ? "b" : NULL);
            break;
        }
        for (uint64_t i = log.start_index + 1; i <= log.last; i++) {
            ck_assert_uint_eq(log_term(&log, i), terms[i]);
            const struct raft_entry *entry = log_entry(&log, i);
            ck_assert(!entry || (entry->index == i && entry->term == terms[i]));
            ck_assert(entry || i <= log.applied);
        }
    }
    log_fini(&log);
}
END_TEST

// ---- boot ---------------------------------------------------------------------------------------

static const struct raft_run good_runs[] = {{4, 2}, {6, 3}};

static struct raft_boot good_boot(void)
{
    return (struct raft_boot){
        .hard = {.term = 4, .commit = 5},
        .start = {3, 2},
        .last_index = 8,
        .runs = good_runs,
        .runs_count = 2,
        .applied = 4,
    };
}

START_TEST(boot_takes_terms_from_runs_and_loads_nothing)
{
    struct raft_boot boot = good_boot();
    struct log log;
    ck_assert_int_eq(log_init(&log, &boot, NULL), 0);
    ck_assert_uint_eq(log_term(&log, 3), 2);
    ck_assert_uint_eq(log_term(&log, 5), 2);
    ck_assert_uint_eq(log_term(&log, 8), 3);
    ck_assert_uint_eq(log.commit, 5);
    ck_assert_ptr_null(log_entry(&log, 8));
    log_fini(&log);
}
END_TEST

START_TEST(boot_commits_at_least_what_is_applied)
{
    struct raft_boot boot = good_boot();
    boot.applied = 7;
    struct log log;
    ck_assert_int_eq(log_init(&log, &boot, NULL), 0);
    ck_assert_uint_eq(log.commit, 7);
    log_fini(&log);
}
END_TEST

static void refuses(const struct raft_boot *boot, const char *why)
{
    struct log log;
    struct err err = ERR_INIT;
    ck_assert_int_eq(log_init(&log, boot, &err), -(int)ERR_DATA_LOSS);
    ck_assert_msg(strstr(err.message, why), "%s", err.message);
}

START_TEST(boot_refuses_contradictions)
{
    struct raft_boot boot = good_boot();
    boot.last_index = 2;
    refuses(&boot, "before its start");
    boot = good_boot();
    boot.start.term = 0;
    refuses(&boot, "has term 0");
    boot = good_boot();
    boot.applied = 2;
    refuses(&boot, "outside the log");
    boot.applied = 9;
    refuses(&boot, "outside the log");
    boot = good_boot();
    boot.hard.commit = 9;
    refuses(&boot, "past the log's end");
    boot = good_boot();
    boot.runs_count = 0;
    refuses(&boot, "do not cover");
    boot = good_boot();
    boot.start.index = 2;
    refuses(&boot, "do not cover");
    boot = good_boot();
    boot.hard.term = 2;
    refuses(&boot, "the hard state only");
}
END_TEST

START_TEST(boot_refuses_runs_that_do_not_ascend)
{
    static const struct raft_run bad[][2] = {
        {{4, 2}, {4, 3}}, {{4, 3}, {6, 2}}, {{4, 1}, {6, 3}}, {{4, 2}, {9, 3}}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct raft_boot boot = good_boot();
        boot.runs = bad[i];
        refuses(&boot, "terms do not ascend");
    }
    static const struct raft_run zero[] = {{1, 0}};
    struct raft_boot boot = {.last_index = 1, .runs = zero, .runs_count = 1};
    refuses(&boot, "terms do not ascend");
}
END_TEST

Suite *suite_log(void);
Suite *suite_log(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_test(tcase, terms_are_found_through_runs);
    tcase_add_test(tcase, truncation_drops_bodies_runs_and_durability);
    tcase_add_test_raise_signal(tcase, truncating_committed_entries_stops_the_process, SIGABRT);
    tcase_add_test(tcase, truncation_reaches_below_what_is_in_memory);
    tcase_add_test(tcase, compaction_keeps_the_term_of_its_last_entry);
    tcase_add_test(tcase, trim_keeps_what_is_not_durable_or_not_applied);
    tcase_add_test(tcase, restore_starts_over_after_the_snapshot);
    tcase_add_test(tcase, up_to_date_compares_term_then_index);
    tcase_add_test(tcase, probe_hint_skips_terms_that_cannot_agree);
    tcase_add_test(tcase, matches_knows_start_end_and_nothing_else);
    tcase_add_loop_test(tcase, random_changes_agree_with_a_plain_array, 0, 10);
    tcase_add_test(tcase, boot_takes_terms_from_runs_and_loads_nothing);
    tcase_add_test(tcase, boot_commits_at_least_what_is_applied);
    tcase_add_test(tcase, boot_refuses_contradictions);
    tcase_add_test(tcase, boot_refuses_runs_that_do_not_ascend);
    suite_add_tcase(suite, tcase);
    return suite;
}
