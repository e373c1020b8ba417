// Lives of containers: their ends, what they leave, and what outlives whom.
#include "tests/interop/oci/boxes.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "agent/oci/monitor_io.h"
#include "proto/base/str.h"

static void on_started_first(void *owner, const struct err *err)
{
    ck_assert_int_eq(boxes.exits, 0);
    box_on_done(owner, err);
}

START_TEST(output_and_exit_code_are_kept)
{
    struct oci_container spec = BOX_SHELL("life", "echo out; echo err >&2; exit 7");
    ck_assert_str_eq(box_run(&spec), "out\n");
    ck_assert_str_eq(box_output(2), "err\n");
    ck_assert_int_eq(boxes.exit.code, 7);
    ck_assert(!boxes.exit.oom_killed);
    ck_assert_str_eq(boxes.exit.message, "");
}
END_TEST

START_TEST(the_end_is_told_after_the_start)
{
    struct oci_container spec = BOX_SHELL("brief", "exit 0");
    struct answer answer;
    box_must(box_create(&spec, &answer), &answer);
    memset(&answer, 0, sizeof answer);
    runtime_start(boxes.runtime, "brief", on_started_first, &answer);
    box_must(box_await(&answer), &answer);
    box_await_exits(1);
    box_delete("brief");
}
END_TEST

START_TEST(a_missing_program_is_said_in_words)
{
    struct oci_container spec = box_spec("missing", (const char *const[]){"/no/such"}, 1);
    struct answer answer;
    int rc = box_create(&spec, &answer);
    if (!rc) { // runc finds out when it starts
        rc = box_start("missing", &answer);
        box_delete("missing");
    }
    ck_assert_int_eq(rc, -ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(answer.err.message, "/no/such"));
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(boxes.runtime, "missing", &status, NULL), -ERR_NOT_FOUND);
}
END_TEST

START_TEST(stop_asks_first_and_kills_after_the_grace_period)
{
    struct oci_container polite = BOX_SHELL(
        "polite", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done");
    box_begin(&polite);
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(boxes.runtime, "polite", &status, NULL), 0);
    ck_assert_int_eq(status.state, RUNTIME_RUNNING);
    // The shell needs a moment to set its trap.
    struct answer answer = {0};
    box_await_ready();
    runtime_stop(boxes.runtime, "polite", SIGTERM, 10000, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    ck_assert_int_eq(boxes.exit.code, 3);
    box_delete("polite");
    unlink(boxes.log);

    struct oci_container deaf =
        BOX_SHELL("deaf", "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    box_begin(&deaf);
    box_await_ready();
    memset(&answer, 0, sizeof answer);
    runtime_stop(boxes.runtime, "deaf", SIGTERM, 300, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    ck_assert_int_eq(boxes.exit.code, 137);
    box_delete("deaf");
}
END_TEST

// Waits for the end of a container's monitor, which nobody watches meanwhile.
static void await_monitor_end(const char *id)
{
    char dir[400];
    str_format(dir, sizeof dir, "%s/containers/%s", boxes.state, id);
    for (int i = 0; i < WAIT_MS / 20 && monitor_find(dir, id); i++)
        usleep(20000);
    ck_assert_int_eq(monitor_find(dir, id), 0);
}

struct adopted {
    struct runtime_status *seen;
    size_t *count;
};

static void adopt_found(void *owner, const struct runtime_status *status)
{
    struct adopted *adopted = owner;
    adopted->seen[(*adopted->count)++] = *status;
}

START_TEST(a_container_survives_our_restart)
{
    struct oci_container spec = BOX_SHELL("survivor", "sleep 1; echo ready; sleep 100");
    box_begin(&spec);
    struct oci_container brief = BOX_SHELL("brief", "exit 5");
    box_begin(&brief);
    runtime_close(boxes.runtime);
    loop_fini(&boxes.loop);
    box_await_ready();
    await_monitor_end("brief");
    loop_init(&boxes.loop);
    boxes_open();
    struct runtime_status seen[4];
    size_t count = 0;
    struct adopted adopted = {seen, &count};
    struct err err = ERR_INIT;
    ck_assert_int_eq(runtime_adopt(boxes.runtime, adopt_found, &adopted, &err), 0);
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < count; i++) {
        if (str_equal(seen[i].id, "survivor")) {
            ck_assert_int_eq(seen[i].state, RUNTIME_RUNNING);
            ck_assert_int_gt(seen[i].pid, 0);
        } else {
            ck_assert_int_eq(seen[i].state, RUNTIME_EXITED);
            ck_assert_int_eq(seen[i].exit.code, 5);
        }
    }
    struct answer answer = {0};
    runtime_stop(boxes.runtime, "survivor", SIGKILL, 0, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    ck_assert_int_eq(boxes.exit.code, 137);
    box_delete("survivor");
    box_delete("brief");
}
END_TEST

START_TEST(a_killed_monitor_ends_its_container_with_a_reason)
{
    struct oci_container spec = BOX_SHELL("orphan", "sleep 100 & sleep 100");
    box_begin(&spec);
    struct runtime_status status;
    ck_assert_int_eq(runtime_inspect(boxes.runtime, "orphan", &status, NULL), 0);
    kill(status.monitor_pid, SIGKILL);
    box_await_exits(1);
    ck_assert_int_eq(boxes.exit.code, -1);
    ck_assert_ptr_nonnull(strstr(boxes.exit.message, "conmon"));
    box_delete("orphan");
    for (int i = 0; i < WAIT_MS / 20 && kill(status.pid, 0) == 0; i++)
        usleep(20000);
    ck_assert(kill(status.pid, 0) < 0);
}
END_TEST

START_TEST(pause_stops_the_clock_of_a_container)
{
    struct oci_container spec = BOX_SHELL("paused", "while :; do sleep 0.05; done");
    box_begin(&spec);
    struct answer answer = {0};
    runtime_pause(boxes.runtime, "paused", box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    struct runtime_status status;
    runtime_inspect(boxes.runtime, "paused", &status, NULL);
    ck_assert_int_eq(status.state, RUNTIME_PAUSED);
    memset(&answer, 0, sizeof answer);
    runtime_stop(boxes.runtime, "paused", SIGTERM, 100, box_on_done, &answer);
    box_must(box_await(&answer), &answer);
    box_delete("paused");
}
END_TEST

void oci_life_tests(TCase *tcase)
{
    tcase_add_test(tcase, output_and_exit_code_are_kept);
    tcase_add_test(tcase, the_end_is_told_after_the_start);
    tcase_add_test(tcase, a_missing_program_is_said_in_words);
    tcase_add_test(tcase, stop_asks_first_and_kills_after_the_grace_period);
    tcase_add_test(tcase, a_container_survives_our_restart);
    tcase_add_test(tcase, a_killed_monitor_ends_its_container_with_a_reason);
    tcase_add_test(tcase, pause_stops_the_clock_of_a_container);
}
