// What goes in and comes out: exec, attach, logs.
#include "tests/interop/oci/boxes.h"

#include <signal.h>
#include <string.h>

#include "agent/oci/log_files_io.h"
#include "agent/oci/logs_io.h"
#include "agent/oci/stdio_io.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

struct session {
    int ended;
    int code;
    struct err err;
    char out[8192];
    char errors[8192];
};

static void on_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct session *session = owner;
    char *text = stream == 1 ? session->out : session->errors;
    size_t used = strlen(text);
    ck_assert_uint_lt(used + size, sizeof session->out);
    memcpy(text + used, bytes, size);
    text[used + size] = '\0';
}

static void on_exec_exited(void *owner, int code, const struct err *err)
{
    struct session *session = owner;
    session->ended++;
    session->code = code;
    if (err)
        err_copy(&session->err, err);
}

static void on_stdio_ended(void *owner)
{
    ((struct session *)owner)->ended++;
}

static bool session_ended(void *owner)
{
    return ((struct session *)owner)->ended > 0;
}

static bool session_spoke(void *owner)
{
    return strchr(((struct session *)owner)->out, '\n') != NULL;
}

static const struct runtime_exec_events exec_events = {on_output, on_exec_exited};

static struct runtime_exec *exec_start(const char *script, bool tty, bool input,
                                       struct session *session)
{
    memset(session, 0, sizeof *session);
    const char *args[] = {"sh", "-c", script};
    struct oci_exec spec = {.args = {args, 3}, .tty = tty};
    struct runtime_exec *exec;
    struct err err = ERR_INIT;
    int rc = runtime_exec(boxes.runtime, "host", &spec, input, &exec_events, session, &exec, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    return exec;
}

static void exec_await(struct session *session)
{
    ck_assert(loop_run_until(&boxes.loop, session_ended, session, WAIT_MS));
    ck_assert_int_eq(session->ended, 1);
    ck_assert_msg(session->err.code == 0, "%s", session->err.message);
}

START_TEST(exec_runs_beside_with_its_own_streams)
{
    struct oci_container spec = BOX_SHELL("host", "sleep 100");
    spec.env = (struct oci_strings){(const char *const[]){"FROM=container"}, 1};
    box_begin(&spec);
    struct session session;
    exec_start("echo $FROM; echo bad >&2; exit 9", false, false, &session);
    exec_await(&session);
    ck_assert_str_eq(session.out, "container\n");
    ck_assert_str_eq(session.errors, "bad\n");
    ck_assert_int_eq(session.code, 9);

    struct runtime_exec *exec = exec_start("tr a-z A-Z", false, true, &session);
    ck_assert_int_eq(runtime_exec_write(exec, "shout\n", 6, NULL), 0);
    runtime_exec_close_stdin(exec);
    exec_await(&session);
    ck_assert_str_eq(session.out, "SHOUT\n");

    exec = exec_start("read x; echo got $x", true, true, &session);
    runtime_exec_resize(exec, 33, 77);
    ck_assert_int_eq(runtime_exec_write(exec, "word\n", 5, NULL), 0);
    exec_await(&session);
    ck_assert_msg(strstr(session.out, "got word"), "%s", session.out);

    exec = exec_start("echo ready; sleep 100", false, false, &session);
    ck_assert(loop_run_until(&boxes.loop, session_spoke, &session, WAIT_MS));
    runtime_exec_kill(exec, SIGKILL);
    exec_await(&session);
    ck_assert_int_eq(session.code, 137);

    const char *args[] = {"/no/such"};
    struct oci_exec missing = {.args = {args, 1}};
    struct err err = ERR_INIT;
    memset(&session, 0, sizeof session);
    ck_assert_int_eq(
        runtime_exec(boxes.runtime, "host", &missing, false, &exec_events, &session, &exec, &err),
        0);
    ck_assert(loop_run_until(&boxes.loop, session_ended, &session, WAIT_MS));
    ck_assert_int_eq(session.err.code, ERR_NOT_FOUND);
    ck_assert_int_eq(session.code, -1);
    box_delete("host");
    ck_assert_int_eq(
        runtime_exec(boxes.runtime, "host", &missing, false, &exec_events, &session, &exec, &err),
        -ERR_NOT_FOUND);
}
END_TEST

static const struct stdio_events stdio_events = {on_output, on_stdio_ended};

START_TEST(attach_gives_and_takes_the_container_streams)
{
    struct oci_container spec = BOX_SHELL("talk", "read x; echo got $x; cat; echo end >&2");
    spec.open_stdin = true;
    spec.stdin_once = true;
    struct answer answer;
    box_must(box_create(&spec, &answer), &answer);
    struct session session = {0};
    struct stdio *stdio;
    struct err err = ERR_INIT;
    ck_assert_int_eq(stdio_attach(&boxes.loop, runtime_dir(boxes.runtime, "talk"), &stdio_events,
                                  &session, &stdio, &err),
                     0);
    box_must(box_start("talk", &answer), &answer);
    ck_assert_int_eq(stdio_write(stdio, "hello\nmore\n", 11, &err), 0);
    stdio_close_stdin(stdio);
    ck_assert(loop_run_until(&boxes.loop, session_ended, &session, WAIT_MS));
    ck_assert_str_eq(session.out, "got hello\nmore\n");
    ck_assert_str_eq(session.errors, "end\n");
    stdio_close(stdio);
    box_await_exits(1);
    box_delete("talk");
}
END_TEST

START_TEST(a_terminal_is_resized_and_read_through_attach)
{
    struct oci_container spec =
        BOX_SHELL("tty", "read x; until stty size | grep '44 99'; do sleep 0.1; done; echo $TERM");
    spec.tty = true;
    spec.open_stdin = true;
    struct answer answer;
    box_must(box_create(&spec, &answer), &answer);
    struct session session = {0};
    struct stdio *stdio;
    struct err err = ERR_INIT;
    ck_assert_int_eq(stdio_attach(&boxes.loop, runtime_dir(boxes.runtime, "tty"), &stdio_events,
                                  &session, &stdio, &err),
                     0);
    box_must(box_start("tty", &answer), &answer);
    ck_assert_int_eq(stdio_resize(stdio, 44, 99, &err), 0);
    ck_assert_int_eq(stdio_write(stdio, "go\n", 3, &err), 0);
    ck_assert(loop_run_until(&boxes.loop, session_ended, &session, WAIT_MS));
    ck_assert_msg(strstr(session.out, "44 99\r\nxterm"), "%s", session.out);
    stdio_close(stdio);
    box_await_exits(1);
    box_delete("tty");
}
END_TEST

static void on_line(void *owner, const struct log_line *line)
{
    struct session *session = owner;
    on_output(session, line->stream, line->data, line->size);
    on_output(session, line->stream, "\n", 1);
}

static void on_logs_ended(void *owner, const struct err *err)
{
    on_exec_exited(owner, 0, err);
}

static const struct logs_events log_events = {on_line, on_logs_ended};

static const char *read_logs(const struct logs_query *query)
{
    static struct session session;
    struct logs_reader *reader;
    memset(&session, 0, sizeof session);
    ck_assert_int_eq(logs_open(&boxes.loop, boxes.log, query, &log_events, &session, &reader, NULL),
                     0);
    ck_assert(loop_run_until(&boxes.loop, session_ended, &session, WAIT_MS));
    logs_close(reader);
    return session.out;
}

static bool has_line_five(void *owner)
{
    return strstr(((struct session *)owner)->out, "line 5\n") != NULL;
}

START_TEST(logs_are_followed_through_rotation_and_cut_to_their_tail)
{
    struct oci_container spec = BOX_SHELL(
        "logs", "for i in 1 2 3 4 5; do echo line $i; echo no >&2; sleep 0.2; done; sleep 100");
    box_begin(&spec);
    struct session session = {0};
    struct logs_reader *reader;
    struct logs_query follow = {.out = true, .tail = -1, .follow = true};
    ck_assert_int_eq(
        logs_open(&boxes.loop, boxes.log, &follow, &log_events, &session, &reader, NULL), 0);
    ck_assert(loop_run_until(&boxes.loop, session_spoke, &session, WAIT_MS));
    struct err err = ERR_INIT;
    ck_assert(!logs_rotate(boxes.log, 1 << 20, 3, &err));
    ck_assert(logs_rotate(boxes.log, 1, 3, &err));
    ck_assert_int_eq(runtime_reopen_log(boxes.runtime, "logs", &err), 0);
    ck_assert(loop_run_until(&boxes.loop, has_line_five, &session, WAIT_MS));
    ck_assert_str_eq(session.out, "line 1\nline 2\nline 3\nline 4\nline 5\n");
    logs_finish(reader);
    ck_assert(loop_run_until(&boxes.loop, session_ended, &session, WAIT_MS));
    logs_close(reader);
    box_delete("logs");

    char older[320];
    str_format(older, sizeof older, "%s.1", boxes.log);
    ck_assert(file_exists(older));
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 2}), "line 4\nline 5\n");
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 0}), "");
    ck_assert_str_eq(read_logs(&(struct logs_query){.out = true, .tail = 5}),
                     "line 1\nline 2\nline 3\nline 4\nline 5\n");
    ck_assert_str_eq(read_logs(&(struct logs_query){.err = true, .tail = -1}), "");
    struct logs_query future = {.tail = -1, .since = {wall_now().ns + NS_PER_H}};
    ck_assert_str_eq(read_logs(&future), "");
    struct logs_query past = {.tail = -1, .until = {wall_now().ns - NS_PER_H}};
    ck_assert_str_eq(read_logs(&past), "");
    logs_remove(boxes.log);
    ck_assert(!file_exists(older));
}
END_TEST

void oci_streams_tests(TCase *tcase)
{
    tcase_add_test(tcase, exec_runs_beside_with_its_own_streams);
    tcase_add_test(tcase, attach_gives_and_takes_the_container_streams);
    tcase_add_test(tcase, a_terminal_is_resized_and_read_through_attach);
    tcase_add_test(tcase, logs_are_followed_through_rotation_and_cut_to_their_tail);
}
