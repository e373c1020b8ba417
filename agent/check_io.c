#include "agent/check_io.h"

#include <signal.h>
#include <stdlib.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define CHECK_MAGIC    0x6368636bu
#define CHECK_KILL_MS  100 // between two attempts to end a check that takes too long
#define CHECK_ARGS_MAX 1024
#define CHECK_CUT      "..." // behind output that was too long

struct check {
    unsigned magic;
    struct list link;
    struct runtime_exec *exec; // NULL: it could not be started
    struct loop_timer timer;
    struct loop_later later; // answers when it could not
    struct wall started;
    int64_t timeout_ns;
    struct buf output;
    bool cut;
    struct err err;
    void (*done)(void *owner, const struct check_result *result); // NULL: answered, or dropped
    void *owner;
};

static void check_free(struct check *check)
{
    MAGIC_CHECK(check, CHECK_MAGIC);
    loop_timer_stop(&check->timer);
    loop_later_cancel(&check->later);
    list_remove(&check->link);
    buf_fini(&check->output);
    MAGIC_CLEAR(check);
    free(check);
}

static void check_answer(struct check *check, int code, const struct err *err)
{
    void (*done)(void *owner, const struct check_result *result) = check->done;
    check->done = NULL;
    if (!done)
        return;
    if (check->cut)
        buf_put_str(&check->output, CHECK_CUT);
    const char *output = buf_cstr(&check->output);
    struct check_result result = {
        .started = check->started,
        .ended = wall_now(),
        .code = err ? -1 : code,
        .output = err ? err->message : str_or(output, ""),
        .err = err,
    };
    done(check->owner, &result);
}

static void on_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct check *check = owner;
    MAGIC_CHECK(check, CHECK_MAGIC);
    (void)stream;
    size_t room = CHECK_OUTPUT_BYTES - check->output.len;
    check->cut |= check->done && size > room;
    if (check->done)
        buf_put(&check->output, bytes, size < room ? size : room);
}

static void on_exited(void *owner, int code, const struct err *err)
{
    struct check *check = owner;
    check_answer(check, code, err);
    check_free(check);
}

static void on_late(struct loop_timer *timer)
{
    struct check *check = CONTAINER_OF(timer, struct check, timer);
    char limit[32];
    struct err err = ERR_INIT;
    MAGIC_CHECK(check, CHECK_MAGIC);
    // Its pid may not be known yet, so it is killed until it is gone.
    runtime_exec_kill(check->exec, SIGKILL);
    loop_timer_start(timer, CHECK_KILL_MS);
    str_format(limit, sizeof limit, "%.9g", (double)check->timeout_ns / (double)NS_PER_S);
    err_set(&err, ERR_DEADLINE_EXCEEDED, "Health check exceeded timeout (%ss)", limit);
    check_answer(check, -1, &err);
}

static void on_refused(struct loop_later *later)
{
    struct check *check = CONTAINER_OF(later, struct check, later);
    check_answer(check, -1, &check->err);
    check_free(check);
}

// The words to run; INVALID_ARGUMENT for a test that is none.
static int check_args(const struct check_spec *spec, const char **args, size_t *count,
                      struct err *err)
{
    static const char *const plain[] = {"/bin/sh", "-c"};
    struct oci_strings shell = {0};
    bool is_shell = spec->test.count && str_equal(spec->test.items[0], "CMD-SHELL");
    if (is_shell)
        shell = spec->shell.count ? spec->shell : (struct oci_strings){plain, COUNT_OF(plain)};
    if (spec->test.count < 2 || (!is_shell && !str_equal(spec->test.items[0], "CMD")) ||
        spec->test.count - 1 + shell.count > CHECK_ARGS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid health check");
    *count = 0;
    for (size_t i = 0; i < shell.count; i++)
        args[(*count)++] = shell.items[i];
    for (size_t i = 1; i < spec->test.count; i++)
        args[(*count)++] = spec->test.items[i];
    return 0;
}

struct check *check_start(const struct check_spec *spec, struct list *under_way,
                          void (*done)(void *owner, const struct check_result *result), void *owner)
{
    static const struct runtime_exec_events events = {on_output, on_exited};
    const char *args[CHECK_ARGS_MAX];
    struct check *check = MEM_NEW(struct check);
    MAGIC_SET(check, CHECK_MAGIC);
    check->done = done;
    check->owner = owner;
    check->started = wall_now();
    check->timeout_ns = spec->timeout_ns;
    list_push_back(under_way, &check->link);
    loop_timer_init(&check->timer, spec->loop, on_late);
    loop_later_init(&check->later, spec->loop, on_refused);
    buf_init(&check->output, CHECK_OUTPUT_BYTES + sizeof CHECK_CUT);
    struct oci_exec exec = {0};
    int rc = check_args(spec, args, &exec.args.count, &check->err);
    exec.args.items = args;
    if (!rc)
        rc = runtime_exec(spec->runtime, spec->id, &exec, false, &events, check, &check->exec,
                          &check->err);
    if (rc)
        loop_later_ask(&check->later);
    else
        loop_timer_start(&check->timer, spec->timeout_ns / NS_PER_MS);
    return check;
}

void check_drop(struct check *check)
{
    MAGIC_CHECK(check, CHECK_MAGIC);
    check->done = NULL;
    if (check->exec)
        loop_timer_start(&check->timer, 0);
}
