// Helper programs get only what they are given, and we learn how they ended, once.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/process_io.h"

#define DEADLINE_MS 60000

struct outcome {
    int count;
    struct process_result result;
    char out[4096];
    char err[4096];
};

static void on_done(void *owner, const struct process_result *result)
{
    struct outcome *outcome = owner;
    outcome->count++;
    outcome->result = *result;
    memcpy(outcome->out, result->out, result->out_bytes + 1);
    memcpy(outcome->err, result->err, result->err_bytes + 1);
    // What the result points to goes when this returns.
    outcome->result.out = outcome->out;
    outcome->result.err = outcome->err;
}

static bool is_done(void *owner)
{
    return ((struct outcome *)owner)->count > 0;
}

static void run(const struct process_spec *spec, struct outcome *outcome)
{
    struct loop loop;
    struct err err = ERR_INIT;
    memset(outcome, 0, sizeof *outcome);
    loop_init(&loop);
    ck_assert_int_eq(process_start(&loop, spec, on_done, outcome, NULL, &err), 0);
    ck_assert_int_eq(outcome->count, 0);
    ck_assert(loop_run_until(&loop, is_done, outcome, DEADLINE_MS));
    ck_assert_int_eq(outcome->count, 1);
    loop_fini(&loop);
}

static void run_shell(const char *script, struct outcome *outcome)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    run(&(struct process_spec){.argv = argv, .output_bytes_max = 1000}, outcome);
}

START_TEST(output_and_exit_code_come_back)
{
    struct outcome outcome;
    struct err err = ERR_INIT;
    run_shell("echo out; echo first >&2; echo last words >&2; exit 3", &outcome);
    ck_assert_int_eq(outcome.result.exit_code, 3);
    ck_assert_int_eq(outcome.result.signal, 0);
    ck_assert_str_eq(outcome.out, "out\n");
    ck_assert_int_eq(process_check(&outcome.result, "do it", &err), -ERR_INTERNAL);
    run_shell("exit 0", &outcome);
    ck_assert_int_eq(process_check(&outcome.result, "do it", &err), 0);
}
END_TEST

START_TEST(the_error_is_the_last_line_it_wrote)
{
    struct process_result result = {.exit_code = 1, .err = "one\n two \n\n", .out = ""};
    struct err err = ERR_INIT;
    process_check(&result, "copy", &err);
    ck_assert_str_eq(err.message, "copy: two");
    result.err = "";
    process_check(&result, "copy", &err);
    ck_assert_str_eq(err.message, "copy: exit code 1");
}
END_TEST

START_TEST(a_signal_is_told_apart_from_an_exit)
{
    struct outcome outcome;
    run_shell("kill -9 $$", &outcome);
    ck_assert_int_eq(outcome.result.signal, SIGKILL);
    ck_assert_int_eq(outcome.result.exit_code, 137);
}
END_TEST

START_TEST(output_is_bounded_and_the_rest_dropped)
{
    struct outcome outcome;
    run_shell("head -c 300000 /dev/zero | tr '\\0' x", &outcome);
    ck_assert_int_eq(outcome.result.exit_code, 0);
    ck_assert_uint_eq(outcome.result.out_bytes, 1000);
}
END_TEST

START_TEST(input_arrives_whole_and_ends)
{
    static char input[200000];
    memset(input, 'y', sizeof input);
    const char *argv[] = {"wc", "-c", NULL};
    struct outcome outcome;
    run(
        &(struct process_spec){
            .argv = argv, .input = input, .input_bytes = sizeof input, .output_bytes_max = 100},
        &outcome);
    ck_assert_str_eq(outcome.out, "200000\n");
}
END_TEST

START_TEST(a_timeout_kills_the_whole_group)
{
    const char *argv[] = {"sh", "-c", "sleep 100 & sleep 100", NULL};
    struct outcome outcome;
    run(&(struct process_spec){.argv = argv, .output_bytes_max = 100, .timeout_ms = 50}, &outcome);
    ck_assert(outcome.result.timed_out);
    struct err err = ERR_INIT;
    ck_assert_int_eq(process_check(&outcome.result, "x", &err), -ERR_DEADLINE_EXCEEDED);
}
END_TEST

START_TEST(only_named_descriptors_are_inherited)
{
    // Open descriptors without close-on-exec all around; only the two given ones may arrive.
    int leaked[5];
    for (size_t i = 0; i < COUNT_OF(leaked); i++)
        leaked[i] = open("/dev/null", O_RDONLY);
    int a = open("/dev/zero", O_RDONLY);
    int b = open("/dev/full", O_RDONLY);
    // Without a pipe, whose ends the shell would hold for a moment; and not as the last command,
    // which it might become itself.
    const char *argv[] = {"sh", "-c",
                          "readlink /proc/$$/fd/3 /proc/$$/fd/4; ls /proc/$$/fd; :", NULL};
    struct outcome outcome;
    run(
        &(struct process_spec){
            .argv = argv, .fds = (int[]){b, a}, .fds_count = 2, .output_bytes_max = 1000},
        &outcome);
    ck_assert_str_eq(outcome.out, "/dev/full\n/dev/zero\n0\n1\n2\n3\n4\n");
    for (size_t i = 0; i < COUNT_OF(leaked); i++)
        close(leaked[i]);
    close(a);
    close(b);
}
END_TEST

START_TEST(the_environment_is_not_inherited)
{
    setenv("SECRET_OF_THE_DAEMON", "1", 1);
    const char *argv[] = {"env", NULL};
    struct outcome outcome;
    run(&(struct process_spec){.argv = argv, .output_bytes_max = 1000}, &outcome);
    ck_assert_ptr_null(strstr(outcome.out, "SECRET"));
    ck_assert_ptr_nonnull(strstr(outcome.out, "PATH=" PROCESS_PATH));
}
END_TEST

START_TEST(a_missing_program_is_said_at_once)
{
    struct loop loop;
    loop_init(&loop);
    const char *argv[] = {"no-such-program-here", NULL};
    struct process_spec spec = {.argv = argv};
    struct outcome outcome = {0};
    struct err err = ERR_INIT;
    ck_assert_int_eq(process_start(&loop, &spec, on_done, &outcome, NULL, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "program no-such-program-here not found");
    ck_assert_int_eq(outcome.count, 0);
    loop_fini(&loop);
}
END_TEST

START_TEST(a_grandchild_that_holds_the_pipes_delays_nothing)
{
    struct outcome outcome;
    run_shell("sleep 2 & echo done", &outcome);
    ck_assert_str_eq(outcome.out, "done\n");
}
END_TEST

Suite *suite_process_io(void);
Suite *suite_process_io(void)
{
    Suite *suite = suite_create("process_io");
    TCase *tcase = tcase_create("process");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, output_and_exit_code_come_back);
    tcase_add_test(tcase, the_error_is_the_last_line_it_wrote);
    tcase_add_test(tcase, a_signal_is_told_apart_from_an_exit);
    tcase_add_test(tcase, output_is_bounded_and_the_rest_dropped);
    tcase_add_test(tcase, input_arrives_whole_and_ends);
    tcase_add_test(tcase, a_timeout_kills_the_whole_group);
    tcase_add_test(tcase, only_named_descriptors_are_inherited);
    tcase_add_test(tcase, the_environment_is_not_inherited);
    tcase_add_test(tcase, a_missing_program_is_said_at_once);
    tcase_add_test(tcase, a_grandchild_that_holds_the_pipes_delays_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
