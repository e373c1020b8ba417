// Looking into a task's container: health checks and logs.
#include <signal.h>
#include <stdlib.h>

#include "agent/container_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define CHECK_MAGIC        0x6368636bu
#define STREAM_MAGIC       0x6c6f6773u
#define CHECK_OUTPUT_BYTES 4096 // the first part of it is kept
#define CHECK_KILL_MS      100  // between two attempts to end a check that takes too long
#define CHECK_ARGS_MAX     1024

// ---- health checks -----------------------------------------------------------------------------

// Lives until its process ended, which may be after its answer.
struct container_check {
    unsigned magic;
    struct list link;           // containers.checks
    struct executor_task *task; // NULL: answered, or nobody waits any more
    struct runtime_exec *exec;  // NULL: it could not be started
    struct loop_timer timer;
    struct loop_later later; // answers when it could not
    struct buf output;
    struct err err;
};

static void check_free(struct container_check *check)
{
    loop_timer_stop(&check->timer);
    loop_later_cancel(&check->later);
    list_remove(&check->link);
    buf_fini(&check->output);
    MAGIC_CLEAR(check);
    free(check);
}

static void check_answer(struct container_check *check, int code, const struct err *err)
{
    struct executor_task *task = check->task;
    if (!task)
        return;
    check->task = NULL;
    task->check = NULL;
    const char *output = buf_cstr(&check->output);
    if (!err && code == 0)
        container_net_healthy(task);
    task->events->checked(task->owner, code, output ? output : "", err);
}

static void check_output(void *owner, int stream, const void *bytes, size_t size)
{
    struct container_check *check = owner;
    MAGIC_CHECK(check, CHECK_MAGIC);
    (void)stream;
    size_t room = CHECK_OUTPUT_BYTES - check->output.len;
    buf_put(&check->output, bytes, size < room ? size : room);
}

static void check_exited(void *owner, int code, const struct err *err)
{
    struct container_check *check = owner;
    MAGIC_CHECK(check, CHECK_MAGIC);
    check_answer(check, code, err);
    check_free(check);
}

static void check_late(struct loop_timer *timer)
{
    struct container_check *check = CONTAINER_OF(timer, struct container_check, timer);
    struct err err = ERR_INIT;
    // Its pid may not be known yet, so it is killed until it is gone.
    runtime_exec_kill(check->exec, SIGKILL);
    loop_timer_start(timer, CHECK_KILL_MS);
    err_set(&err, ERR_DEADLINE_EXCEEDED, "the health check took longer than its timeout");
    check_answer(check, -1, &err);
}

static void check_failed_later(struct loop_later *later)
{
    struct container_check *check = CONTAINER_OF(later, struct container_check, later);
    check_answer(check, -1, &check->err);
    check_free(check);
}

// The words to run for a test; false for one that cannot be run.
static bool check_args(const struct executor_task *task, const char *const *test, size_t count,
                       const char **args, size_t *args_count)
{
    const struct image *image = container_image(task);
    size_t used = 0;
    if (count < 2 || count > CHECK_ARGS_MAX)
        return false;
    if (str_equal(test[0], "CMD-SHELL")) {
        size_t shell_count = image ? image->config.shell_count : 0;
        if (shell_count + count > CHECK_ARGS_MAX)
            return false;
        for (size_t i = 0; i < shell_count; i++)
            args[used++] = image->config.shell[i];
        if (!shell_count) {
            args[used++] = "/bin/sh";
            args[used++] = "-c";
        }
    } else if (!str_equal(test[0], "CMD")) {
        return false;
    }
    for (size_t i = 1; i < count; i++)
        args[used++] = test[i];
    *args_count = used;
    return true;
}

void container_check(struct executor_task *task, const char *const *test, size_t test_count,
                     int64_t timeout_ns)
{
    static const struct runtime_exec_events events = {check_output, check_exited};
    const char *args[CHECK_ARGS_MAX + 2];
    CHECK(!task->check);
    struct container_check *check = MEM_NEW(struct container_check);
    MAGIC_SET(check, CHECK_MAGIC);
    check->task = task;
    task->check = check;
    list_push_back(&task->containers->checks, &check->link);
    loop_timer_init(&check->timer, task->containers->loop, check_late);
    loop_later_init(&check->later, task->containers->loop, check_failed_later);
    buf_init(&check->output, CHECK_OUTPUT_BYTES + 1);
    struct oci_exec exec = {0};
    int rc = 0;
    if (!check_args(task, test, test_count, args, &exec.args.count))
        rc = err_set(&check->err, ERR_INVALID_ARGUMENT, "invalid health check");
    exec.args.items = args;
    if (!rc)
        rc = runtime_exec(task->containers->runtime, task->id, &exec, false, &events, check,
                          &check->exec, &check->err);
    if (rc)
        loop_later_ask(&check->later);
    else
        loop_timer_start(&check->timer, timeout_ns / NS_PER_MS);
}

void container_check_drop(struct executor_task *task)
{
    struct container_check *check = task->check;
    if (!check)
        return;
    task->check = NULL;
    check->task = NULL;
    if (check->exec)
        loop_timer_start(&check->timer, 0);
}

// ---- logs --------------------------------------------------------------------------------------

struct executor_log_stream {
    unsigned magic;
    struct list link; // executor_task.logs
    struct logs_reader *reader;
    void (*line)(void *owner, const struct executor_log *log);
    void (*done)(void *owner, const struct err *err);
    void *owner;
    struct buf text;
};

static void stream_line(void *owner, const struct log_line *line)
{
    struct executor_log_stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    buf_clear(&stream->text);
    buf_put(&stream->text, line->data, line->size);
    if (!line->partial)
        buf_put_u8(&stream->text, '\n');
    struct executor_log log = {.at = line->at,
                               .stream = (int)line->stream,
                               .bytes = stream->text.data,
                               .size = stream->text.len};
    stream->line(stream->owner, &log);
}

static void stream_ended(void *owner, const struct err *err)
{
    struct executor_log_stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    stream->done(stream->owner, err);
}

struct executor_log_stream *
container_logs(struct executor_task *task, const struct executor_log_options *options,
               void (*line)(void *owner, const struct executor_log *log),
               void (*done)(void *owner, const struct err *err), void *owner, struct err *err)
{
    static const struct logs_events events = {stream_line, stream_ended};
    struct runtime_status status;
    if (options->no_stdout && options->no_stderr) {
        err_set(err, ERR_INVALID_ARGUMENT, "you must choose at least one stream");
        return NULL;
    }
    if (task->log.none) {
        err_set(err, ERR_FAILED_PRECONDITION, "configured logging driver does not support reading");
        return NULL;
    }
    // Nothing more comes from a container that is not there or ended.
    bool live = runtime_inspect(task->containers->runtime, task->id, &status, NULL) == 0 &&
                status.state != RUNTIME_EXITED;
    struct logs_query query = {
        .out = !options->no_stdout,
        .err = !options->no_stderr,
        .since = options->since,
        .tail = options->tail < 0 ? -1 : options->tail,
        .follow = options->follow && live,
    };
    struct executor_log_stream *stream = MEM_NEW(struct executor_log_stream);
    MAGIC_SET(stream, STREAM_MAGIC);
    list_init(&stream->link);
    stream->line = line;
    stream->done = done;
    stream->owner = owner;
    buf_init(&stream->text, CONTAINER_LOG_BYTES_MAX);
    if (logs_open(task->containers->loop, task->log_path, &query, &events, stream, &stream->reader,
                  err)) {
        MAGIC_CLEAR(stream);
        free(stream);
        return NULL;
    }
    list_push_back(&task->logs, &stream->link);
    return stream;
}

void container_logs_pause(struct executor_log_stream *stream, bool pause)
{
    MAGIC_CHECK(stream, STREAM_MAGIC);
    logs_pause(stream->reader, pause);
}

void container_logs_close(struct executor_log_stream *stream)
{
    MAGIC_CHECK(stream, STREAM_MAGIC);
    logs_close(stream->reader);
    list_remove(&stream->link);
    buf_fini(&stream->text);
    MAGIC_CLEAR(stream);
    free(stream);
}

void container_logs_finish(struct executor_task *task)
{
    LIST_EACH_SAFE (it, &task->logs)
        logs_finish(LIST_ENTRY(it, struct executor_log_stream, link)->reader);
}
