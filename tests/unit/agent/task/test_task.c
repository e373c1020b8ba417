// The task machine: what it asks for and what it reports, one event at a time.
#include <check.h>
#include <string.h>

#include "agent/task/task.h"

#define STATE(name) SWARM__TASK_STATE__##name

static struct task task;
static struct mono now;
static const struct executor_container box = {.id = "c1", .pid = 42};
static const struct err no_image = {.code = ERR_NOT_FOUND, .message = "No such image: x:9"};
static const struct err cancelled = {.code = ERR_CANCELLED, .message = "given up"};

static void begin(Swarm__TaskState desired, const struct task_status *known)
{
    struct task_config config = {
        .desired = desired, .stop_grace_ns = 10 * NS_PER_S, .known = known};
    now = (struct mono){1000 * NS_PER_S};
    task_init(&task, &config);
}

static struct task_asks step(void)
{
    return task_step(&task, now, (struct wall){now.ns});
}

// Steps and expects this state, message and operation.
static struct task_asks expect(Swarm__TaskState state, const char *message, enum task_op op)
{
    struct task_asks asks = step();
    ck_assert_int_eq(task.status.state, state);
    ck_assert_str_eq(task.status.message, message);
    ck_assert_int_eq(asks.op, op);
    return asks;
}

// A task that runs.
static void run(void)
{
    begin(STATE(RUNNING), NULL);
    step();
    task_prepared(&task, NULL);
    step();
    task_started(&task, &box, NULL, now);
    expect(STATE(RUNNING), "started", TASK_OP_NONE);
}

static void end(int code, bool oom)
{
    struct executor_exit exit = {.code = code, .oom_killed = oom};
    task_exited(&task, &exit);
}

START_TEST(a_task_goes_up_state_by_state)
{
    begin(STATE(RUNNING), NULL);
    struct task_asks asks = expect(STATE(PREPARING), "preparing", TASK_OP_PREPARE);
    ck_assert(asks.report);
    asks = expect(STATE(PREPARING), "preparing", TASK_OP_NONE); // under way
    ck_assert(!asks.report);
    task_prepared(&task, NULL);
    expect(STATE(STARTING), "starting", TASK_OP_START);
    task_started(&task, &box, NULL, now);
    asks = expect(STATE(RUNNING), "started", TASK_OP_NONE);
    ck_assert(asks.report);
    ck_assert_str_eq(task.status.container.id, "c1");
    ck_assert_int_eq(asks.wake.ns, MONO_NEVER.ns);
    end(0, false);
    expect(STATE(COMPLETE), "finished", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "");
}
END_TEST

START_TEST(ready_means_prepared_and_waiting)
{
    begin(STATE(READY), NULL);
    step();
    task_prepared(&task, NULL);
    expect(STATE(READY), "prepared", TASK_OP_NONE);
    expect(STATE(READY), "prepared", TASK_OP_NONE);
    task_want(&task, STATE(ASSIGNED)); // lower: ignored
    expect(STATE(READY), "prepared", TASK_OP_NONE);
    task_want(&task, STATE(COMPLETE)); // a job
    expect(STATE(STARTING), "starting", TASK_OP_START);
}
END_TEST

START_TEST(failures_before_starting_reject_and_later_ones_fail)
{
    begin(STATE(RUNNING), NULL);
    step();
    task_prepared(&task, &no_image);
    expect(STATE(REJECTED), "preparing", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "No such image: x:9");
    begin(STATE(RUNNING), NULL);
    step();
    task_prepared(&task, NULL);
    step();
    task_started(&task, NULL, &no_image, now);
    expect(STATE(FAILED), "starting", TASK_OP_NONE);
    begin(STATE(RUNNING), NULL);
    task_reject(&task, &no_image);
    expect(STATE(REJECTED), "", TASK_OP_NONE);
}
END_TEST

START_TEST(an_exit_code_is_said_in_the_engines_words)
{
    run();
    end(7, false);
    expect(STATE(FAILED), "started", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "task: non-zero exit (7)");
    ck_assert_int_eq(task.status.exit_code, 7);
    run();
    end(137, true);
    step();
    ck_assert_str_eq(task.status.err, "task: non-zero exit (137): out of memory");
}
END_TEST

START_TEST(an_exit_may_come_before_started)
{
    begin(STATE(RUNNING), NULL);
    step();
    task_prepared(&task, NULL);
    step();
    end(3, false);
    task_started(&task, &box, NULL, now);
    expect(STATE(FAILED), "starting", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "task: non-zero exit (3)");
}
END_TEST

START_TEST(shutting_down_stops_what_runs)
{
    run();
    task_want(&task, STATE(SHUTDOWN));
    expect(STATE(RUNNING), "started", TASK_OP_STOP);
    end(143, false);
    expect(STATE(RUNNING), "started", TASK_OP_NONE);
    task_stopped(&task, NULL, now);
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "");
    ck_assert_int_eq(task.status.exit_code, 143);
}
END_TEST

START_TEST(shutting_down_aborts_a_prepare_under_way)
{
    begin(STATE(RUNNING), NULL);
    step();
    task_want(&task, STATE(SHUTDOWN));
    struct task_asks asks = expect(STATE(PREPARING), "preparing", TASK_OP_NONE);
    ck_assert(asks.abort);
    asks = step();
    ck_assert(!asks.abort); // once
    task_prepared(&task, &cancelled);
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_NONE);
    // Too late to abort: what was made is stopped, then taken away with the task.
    begin(STATE(RUNNING), NULL);
    step();
    task_want(&task, STATE(SHUTDOWN));
    step();
    task_prepared(&task, NULL);
    expect(STATE(PREPARING), "preparing", TASK_OP_STOP);
    task_stopped(&task, NULL, now);
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_NONE);
}
END_TEST

START_TEST(a_task_never_begun_is_shut_down_without_work)
{
    begin(STATE(REMOVE), NULL);
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_NONE);
}
END_TEST

START_TEST(a_container_that_will_not_stop_is_asked_again_and_then_fails)
{
    struct err busy = {.code = ERR_UNAVAILABLE, .message = "busy"};
    run();
    task_want(&task, STATE(SHUTDOWN));
    for (int i = 0; i < TASK_STOP_TRIES; i++) {
        ck_assert_int_eq(step().op, TASK_OP_STOP);
        task_stopped(&task, &busy, now);
        if (i + 1 < TASK_STOP_TRIES) {
            struct task_asks asks = step();
            ck_assert_int_eq(asks.op, TASK_OP_NONE);
            ck_assert_int_eq(mono_since(asks.wake, now), TASK_STOP_PAUSE_NS);
            now = asks.wake;
        }
    }
    expect(STATE(FAILED), "started", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "the container cannot be stopped: busy");
}
END_TEST

START_TEST(a_forgotten_task_is_stopped_removed_and_gone)
{
    struct err busy = {.code = ERR_UNAVAILABLE, .message = "busy"};
    run();
    task_forget(&task);
    expect(STATE(RUNNING), "started", TASK_OP_STOP);
    end(0, false);
    task_stopped(&task, NULL, now);
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_REMOVE);
    task_removed(&task, &busy, now);
    struct task_asks asks = expect(STATE(SHUTDOWN), "shutdown", TASK_OP_NONE);
    ck_assert(!asks.gone);
    now = asks.wake;
    expect(STATE(SHUTDOWN), "shutdown", TASK_OP_REMOVE);
    task_removed(&task, NULL, now);
    ck_assert(step().gone);
}
END_TEST

static void restart(Swarm__TaskState state, Swarm__TaskState desired)
{
    struct task_status known = {.state = state, .message = "as known"};
    begin(desired, &known);
}

START_TEST(a_restarted_agent_goes_on_with_what_it_finds)
{
    restart(STATE(RUNNING), STATE(RUNNING));
    struct task_asks asks = expect(STATE(RUNNING), "as known", TASK_OP_FIND);
    ck_assert(asks.report); // told again in a new session
    task_found(&task, EXECUTOR_RUNNING, &box, NULL, now);
    expect(STATE(RUNNING), "as known", TASK_OP_NONE);

    restart(STATE(STARTING), STATE(RUNNING));
    step();
    task_found(&task, EXECUTOR_RUNNING, &box, NULL, now);
    expect(STATE(RUNNING), "started", TASK_OP_NONE);

    restart(STATE(STARTING), STATE(RUNNING));
    step();
    task_found(&task, EXECUTOR_CREATED, NULL, NULL, now);
    expect(STATE(STARTING), "as known", TASK_OP_START);

    restart(STATE(RUNNING), STATE(RUNNING));
    step();
    struct executor_exit exit = {.code = 9};
    task_found(&task, EXECUTOR_EXITED, &box, &exit, now);
    expect(STATE(FAILED), "as known", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "task: non-zero exit (9)");
}
END_TEST

START_TEST(what_is_lost_is_made_again_only_before_it_ran)
{
    restart(STATE(RUNNING), STATE(RUNNING));
    step();
    task_found(&task, EXECUTOR_ABSENT, NULL, NULL, now);
    expect(STATE(FAILED), "as known", TASK_OP_NONE);
    restart(STATE(READY), STATE(READY));
    step();
    task_found(&task, EXECUTOR_ABSENT, NULL, NULL, now);
    expect(STATE(READY), "as known", TASK_OP_PREPARE); // the state does not go back
    task_prepared(&task, NULL);
    task_want(&task, STATE(RUNNING));
    expect(STATE(STARTING), "starting", TASK_OP_START);
}
END_TEST

START_TEST(a_restart_during_shutdown_stops_what_still_runs)
{
    restart(STATE(RUNNING), STATE(SHUTDOWN));
    expect(STATE(RUNNING), "as known", TASK_OP_FIND);
    task_found(&task, EXECUTOR_RUNNING, &box, NULL, now);
    expect(STATE(RUNNING), "as known", TASK_OP_STOP);
    // A final task needs nothing until it is forgotten.
    restart(STATE(FAILED), STATE(RUNNING));
    expect(STATE(FAILED), "as known", TASK_OP_NONE);
    task_forget(&task);
    expect(STATE(FAILED), "as known", TASK_OP_REMOVE);
}
END_TEST

// ---- health ------------------------------------------------------------------------------------

static const char *test_words[] = {"CMD-SHELL", "true"};
static Swarm__HealthConfig health_config;

static void begin_with_health(void)
{
    static Google__Duration second;
    google__duration__init(&second);
    second.seconds = 1;
    swarm__health_config__init(&health_config);
    health_config.test = (void *)test_words;
    health_config.n_test = 2;
    health_config.interval = &second;
    health_config.retries = 2;
    struct task_config config = {.desired = STATE(RUNNING)};
    now = (struct mono){1000 * NS_PER_S};
    task_init(&task, &config);
    step();
    task_set_health(&task, &health_config); // known with the image
    task_prepared(&task, NULL);
    step();
    task_started(&task, &box, NULL, now);
    task_set_health(&task, NULL); // not any more while it runs
}

static void check(bool passed)
{
    now = step().wake;
    ck_assert(step().check);
    task_checked(&task, passed, now);
}

START_TEST(health_goes_on_where_an_earlier_life_left_it)
{
    struct task_status known = {.state = STATE(RUNNING), .message = "as known"};
    begin_with_health();
    begin(STATE(RUNNING), &known);
    step();
    struct executor_container found = box;
    found.health = HEALTH_HEALTHY;
    found.health_failing = 1;
    found.age_ns = 60 * NS_PER_S;
    task_set_health(&task, &health_config);
    task_found(&task, EXECUTOR_RUNNING, &found, NULL, now);
    expect(STATE(RUNNING), "as known", TASK_OP_NONE);
    ck_assert_int_eq(task.health.state, HEALTH_HEALTHY);
    // The second of two failures in a row, of which the first was seen by the earlier life.
    now = mono_add(now, NS_PER_S);
    ck_assert(step().check);
    task_checked(&task, false, now);
    expect(STATE(RUNNING), "as known", TASK_OP_STOP);
}
END_TEST

START_TEST(running_is_said_once_healthy)
{
    begin_with_health();
    expect(STATE(STARTING), "starting", TASK_OP_NONE);
    check(false);
    expect(STATE(STARTING), "starting", TASK_OP_NONE);
    check(true);
    expect(STATE(RUNNING), "started", TASK_OP_NONE);
    check(false);
    expect(STATE(RUNNING), "started", TASK_OP_NONE);
}
END_TEST

START_TEST(an_unhealthy_container_is_stopped_and_fails)
{
    begin_with_health();
    check(true);
    step();
    check(false);
    step();
    check(false);
    expect(STATE(RUNNING), "started", TASK_OP_STOP);
    end(137, false);
    expect(STATE(FAILED), "started", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "task: non-zero exit (137): unhealthy container");
    task_stopped(&task, NULL, now);
    step();
    // The same for one that ends politely.
    begin_with_health();
    check(false);
    step();
    check(false);
    expect(STATE(STARTING), "starting", TASK_OP_STOP);
    end(0, false);
    task_stopped(&task, NULL, now);
    expect(STATE(FAILED), "starting", TASK_OP_NONE);
    ck_assert_str_eq(task.status.err, "unhealthy container");
}
END_TEST

Suite *suite_task(void);
Suite *suite_task(void)
{
    Suite *suite = suite_create("task");
    TCase *tcase = tcase_create("states");
    tcase_add_test(tcase, health_goes_on_where_an_earlier_life_left_it);
    tcase_add_test(tcase, a_task_goes_up_state_by_state);
    tcase_add_test(tcase, ready_means_prepared_and_waiting);
    tcase_add_test(tcase, failures_before_starting_reject_and_later_ones_fail);
    tcase_add_test(tcase, an_exit_code_is_said_in_the_engines_words);
    tcase_add_test(tcase, an_exit_may_come_before_started);
    tcase_add_test(tcase, shutting_down_stops_what_runs);
    tcase_add_test(tcase, shutting_down_aborts_a_prepare_under_way);
    tcase_add_test(tcase, a_task_never_begun_is_shut_down_without_work);
    tcase_add_test(tcase, a_container_that_will_not_stop_is_asked_again_and_then_fails);
    tcase_add_test(tcase, a_forgotten_task_is_stopped_removed_and_gone);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("restart");
    tcase_add_test(tcase, a_restarted_agent_goes_on_with_what_it_finds);
    tcase_add_test(tcase, what_is_lost_is_made_again_only_before_it_ran);
    tcase_add_test(tcase, a_restart_during_shutdown_stops_what_still_runs);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("health");
    tcase_add_test(tcase, running_is_said_once_healthy);
    tcase_add_test(tcase, an_unhealthy_container_is_stopped_and_fails);
    suite_add_tcase(suite, tcase);
    return suite;
}
