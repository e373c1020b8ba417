// Statuses: the newest of each task, one at a time, all of them again in a new session.
#include <check.h>

#include "agent/reporter.h"
#include "agent/status_message.h"

#define STATE(name) SWARM__TASK_STATE__##name

static struct reporter reporter;

static void set_up(void)
{
    reporter_init(&reporter);
}

static void tear_down(void)
{
    reporter_fini(&reporter);
}

static void set(const char *id, Swarm__TaskState state)
{
    struct task_status status = {.state = state, .message = "m"};
    reporter_set(&reporter, id, &status);
}

static void expect(const char *id, Swarm__TaskState state)
{
    const char *got;
    const struct task_status *status = reporter_next(&reporter, &got);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(got, id);
    ck_assert_int_eq(status->state, state);
}

static void expect_nothing(void)
{
    const char *id;
    ck_assert_ptr_null(reporter_next(&reporter, &id));
}

START_TEST(only_the_newest_of_each_task_is_told)
{
    set("a", STATE(ACCEPTED));
    set("b", STATE(READY));
    set("a", STATE(RUNNING));
    set("b", STATE(PREPARING)); // lower: dropped
    expect("a", STATE(RUNNING));
    expect_nothing(); // one at a time
    reporter_answered(&reporter, true);
    expect("b", STATE(READY));
    reporter_answered(&reporter, true);
    expect_nothing();
}
END_TEST

START_TEST(what_changes_under_way_is_told_again)
{
    set("a", STATE(STARTING));
    expect("a", STATE(STARTING));
    set("a", STATE(RUNNING));
    expect_nothing();
    reporter_answered(&reporter, true);
    expect("a", STATE(RUNNING));
    reporter_answered(&reporter, true);
    expect_nothing();
}
END_TEST

START_TEST(what_fails_waits_behind_the_others)
{
    set("a", STATE(RUNNING));
    set("b", STATE(RUNNING));
    expect("a", STATE(RUNNING));
    reporter_answered(&reporter, false);
    expect("b", STATE(RUNNING));
    reporter_answered(&reporter, true);
    expect("a", STATE(RUNNING));
}
END_TEST

START_TEST(a_new_session_is_told_everything)
{
    set("a", STATE(RUNNING));
    set("b", STATE(RUNNING));
    expect("a", STATE(RUNNING));
    reporter_answered(&reporter, true);
    expect("b", STATE(RUNNING)); // the session ends before its answer
    reporter_restart(&reporter);
    ck_assert_uint_eq(reporter_waiting(&reporter), 2);
    expect("b", STATE(RUNNING));
    reporter_answered(&reporter, true);
    expect("a", STATE(RUNNING));
    reporter_answered(&reporter, true);
    expect_nothing();
}
END_TEST

START_TEST(the_answer_to_a_forgotten_task_concerns_nothing)
{
    set("a", STATE(RUNNING));
    set("b", STATE(RUNNING));
    expect("a", STATE(RUNNING));
    reporter_forget(&reporter, "a");
    reporter_forget(&reporter, "unknown");
    expect_nothing(); // the call is still under way
    reporter_answered(&reporter, false);
    expect("b", STATE(RUNNING));
}
END_TEST

START_TEST(a_status_becomes_a_message_with_container_and_ports)
{
    struct arena arena;
    struct task_status status = {
        .state = STATE(RUNNING), .message = "started", .has_container = true, .at = {NS_PER_S}};
    arena_init(&arena, 1 << 16);
    status.container.pid = 7;
    status.ports_count = 1;
    status.ports[0] = (struct task_port){.target = 80, .published = 32768};
    const Swarm__TaskStatus *message = status_message_write(&status, &arena);
    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(message->timestamp->seconds, 1);
    ck_assert_int_eq(message->container->pid, 7);
    ck_assert_uint_eq(message->port_status->n_ports, 1);
    ck_assert_uint_eq(message->port_status->ports[0]->published_port, 32768);
    arena_fini(&arena);
}
END_TEST

Suite *suite_reporter(void);
Suite *suite_reporter(void)
{
    Suite *suite = suite_create("reporter");
    TCase *tcase = tcase_create("reporter");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_the_newest_of_each_task_is_told);
    tcase_add_test(tcase, what_changes_under_way_is_told_again);
    tcase_add_test(tcase, what_fails_waits_behind_the_others);
    tcase_add_test(tcase, a_new_session_is_told_everything);
    tcase_add_test(tcase, the_answer_to_a_forgotten_task_concerns_nothing);
    tcase_add_test(tcase, a_status_becomes_a_message_with_container_and_ports);
    suite_add_tcase(suite, tcase);
    return suite;
}
