// Looking into a task's container: health checks and logs.
#include <stdlib.h>

#include "agent/container_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define STREAM_MAGIC    0x6c6f6773u
#define MARKS_BYTES_MAX (1u << 20)

// ---- health checks -----------------------------------------------------------------------------

const Swarm__HealthConfig *container_health(const struct executor_task *task)
{
    return task->spec.health;
}

json_t *containers_health(const struct containers *containers, const char *id)
{
    const char *dir = runtime_dir(containers->runtime, id);
    char path[4096];
    struct buf text;
    if (!dir || !str_format(path, sizeof path, "%s/" CONTAINER_HEALTH_FILE, dir) ||
        !file_exists(path))
        return NULL;
    buf_init(&text, CONTAINER_HEALTH_BYTES);
    json_t *record = file_read(path, &text, NULL) ? NULL : json_parse(text.data, text.len, NULL);
    buf_fini(&text);
    return record;
}

void container_health_found(const struct executor_task *task, struct executor_container *found,
                            struct wall started)
{
    static const char *const names[] = {
        [HEALTH_STARTING] = "starting",
        [HEALTH_HEALTHY] = "healthy",
        [HEALTH_UNHEALTHY] = "unhealthy",
    };
    json_t *record = containers_health(task->containers, task->id);
    const json_t *health = json_object_get(record, "Health");
    const char *status = json_string_value(json_object_get(health, "Status"));
    for (size_t i = HEALTH_STARTING; i < COUNT_OF(names); i++)
        if (status && str_equal(status, names[i]))
            found->health = (enum health_state)i;
    found->health_failing = (int32_t)json_integer_value(json_object_get(health, "FailingStreak"));
    found->age_ns = wall_since(wall_now(), started);
    json_decref(record);
}

static void check_done(void *owner, const struct check_result *result)
{
    struct executor_task *task = owner;
    const struct containers *containers = task->containers;
    task->check = NULL;
    if (!result->err && result->code == 0)
        container_net_healthy(task);
    if (containers->watcher)
        containers->watcher->checked(containers->watcher_owner, task->id, result);
    task->events->checked(task->owner, result->code, result->output, result->err);
}

void container_check(struct executor_task *task, const char *const *test, size_t test_count,
                     int64_t timeout_ns)
{
    struct containers *containers = task->containers;
    const struct image *image = container_image(task);
    CHECK(!task->check);
    struct check_spec spec = {
        .loop = containers->loop,
        .runtime = containers->runtime,
        .id = task->id,
        .test = {test, test_count},
        .timeout_ns = timeout_ns,
    };
    if (image)
        spec.shell = (struct oci_strings){image->config.shell, image->config.shell_count};
    if (containers->watcher)
        containers->watcher->checking(containers->watcher_owner, task->id);
    task->check = check_start(&spec, &containers->checks, check_done, task);
}

void container_check_drop(struct executor_task *task)
{
    if (task->check)
        check_drop(task->check);
    task->check = NULL;
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
    struct arena arena;
    struct executor_mark *marks; // in it
    size_t marks_count;
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
                               .size = stream->text.len,
                               .marks = stream->marks,
                               .marks_count = stream->marks_count};
    stream->line(stream->owner, &log);
}

static void stream_ended(void *owner, const struct err *err)
{
    struct executor_log_stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    stream->done(stream->owner, err);
}

// Options that cannot be were refused when the container was made: there is nothing to tell here.
static void make_marks(const struct executor_task *task, struct executor_log_stream *stream)
{
    static_assert(LOG_MARKS_MAX <= EXECUTOR_MARKS_MAX, "all marks fit");
    struct oci_pair *marks;
    size_t count;
    arena_init_small(&stream->arena, MARKS_BYTES_MAX);
    struct log_marks_container container =
        container_marked(&task->spec, task->image_id, &stream->arena);
    if (log_marks_make(&task->spec.log.marks, &container, &stream->arena, &marks, &count, NULL))
        return;
    stream->marks = arena_alloc_array(&stream->arena, count, sizeof *stream->marks);
    for (size_t i = 0; stream->marks && i < count; i++)
        stream->marks[stream->marks_count++] = (struct executor_mark){marks[i].key, marks[i].value};
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
    make_marks(task, stream);
    if (logs_open(task->containers->loop, task->log_path, &query, &events, stream, &stream->reader,
                  err)) {
        arena_fini(&stream->arena);
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
    arena_fini(&stream->arena);
    MAGIC_CLEAR(stream);
    free(stream);
}

void container_logs_finish(struct executor_task *task)
{
    LIST_EACH_SAFE (it, &task->logs)
        logs_finish(LIST_ENTRY(it, struct executor_log_stream, link)->reader);
}
