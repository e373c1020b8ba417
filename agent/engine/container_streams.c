// The streams of containers and execs: exec, logs, wait. Attaching is container_attach.c.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/container_json.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/log_entry.h"
#include "agent/engine/shape.h"
#include "agent/engine/stamp.h"
#include "agent/engine/stream.h"
#include "agent/log_marks.h"
#include "agent/oci/logs_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// The other end of an exec's stream: freed when the client's end is closed.
struct session {
    struct crate_exec *exec; // NULL: it ended
    struct stream *stream;
};

// ---- exec --------------------------------------------------------------------------------------

static int exec_write_in(void *target, const void *bytes, size_t size)
{
    struct session *session = target;
    return session->exec ? crate_exec_write(session->exec, bytes, size) : -ERR_FAILED_PRECONDITION;
}

static void exec_end(void *target)
{
    struct session *session = target;
    if (session->exec)
        crate_exec_end(session->exec);
}

static void exec_pause(void *target, bool pause)
{
    struct session *session = target;
    if (session->exec)
        crate_exec_pause(session->exec, pause);
}

static void exec_leave(void *target)
{
    struct session *session = target;
    if (session->exec)
        crate_exec_leave(session->exec);
    free(session);
}

static void exec_output(void *owner, int number, const void *bytes, size_t size)
{
    stream_output(((struct session *)owner)->stream, number, bytes, size);
}

static void exec_ended(void *owner)
{
    struct session *session = owner;
    session->exec = NULL;
    stream_ended(session->stream);
}

static struct crate_exec *find_exec(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const char *id = request_param(request, "id");
    struct crate_exec *exec = local ? crates_exec(local->crates, id) : NULL;
    if (local && !exec)
        request_fail(request, 404, "No such exec instance: %.100s", id);
    return exec;
}

static void exec_create(struct request *request)
{
    struct crate_exec *exec;
    struct err err = ERR_INIT;
    const json_t *body = request_json(request);
    struct crate *crate = body ? container_find(request) : NULL;
    if (!crate)
        return;
    if (crate->state == CRATE_PAUSED) {
        request_fail(request, 409, "Container %s is paused, unpause the container before exec",
                     request_param(request, "id"));
        return;
    }
    const char *keys = json_string_value(config_member(body, "DetachKeys"));
    if (!stream_keys_valid(keys)) {
        request_fail(request, 400, "invalid detach keys (%.50s) provided", keys);
        return;
    }
    if (crate_exec_make(crate, body, &exec, &err)) {
        errand_fail(request, &err);
        return;
    }
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "Id", exec->id);
    json_out_end(out);
    request_send(request, 201);
}

static const struct shape_row start_rows[] = {
    {"Detach", SHAPE_FLAG, NULL},
    {"Tty", SHAPE_FLAG, NULL},
};
static SHAPE(start_shape, "types.ExecStartCheck", start_rows);

// One that is detached: its client hears whether the program could be started. The runtime tells
// that by the program's being there, so it is looked at.
#define BEGIN_LOOK_MS 5
#define BEGIN_MS      20000

struct beginning {
    struct errand errand;
    struct crates *crates;
    char id[65];
    struct loop_timer look;
    struct mono limit;
};

static void begin_gone(struct errand *errand)
{
    loop_timer_stop(&CONTAINER_OF(errand, struct beginning, errand)->look);
}

static void begin_look(struct loop_timer *timer)
{
    struct beginning *beginning = CONTAINER_OF(timer, struct beginning, look);
    struct request *request = beginning->errand.request;
    const struct crate_exec *exec = crates_exec(beginning->crates, beginning->id);
    if (exec && exec->failure)
        request_fail(request, 400, "%s", exec->failure);
    else if (!exec || crate_exec_began(exec) ||
             !mono_before(loop_now(request_loop(request)), beginning->limit))
        request_empty(request, 200);
    else
        loop_timer_start(timer, BEGIN_LOOK_MS);
}

static void exec_detach(struct request *request, struct crate_exec *exec, bool tty)
{
    struct err err = ERR_INIT;
    if (crate_exec_start(exec, tty, NULL, NULL, &err)) {
        errand_fail(request, &err);
        return;
    }
    struct beginning *beginning = errand_new(request, sizeof *beginning);
    beginning->errand.gone = begin_gone;
    beginning->crates = exec->crate->crates;
    str_copy(beginning->id, sizeof beginning->id, exec->id);
    beginning->limit = mono_add(loop_now(request_loop(request)), BEGIN_MS * NS_PER_MS);
    loop_timer_init(&beginning->look, request_loop(request), begin_look);
    loop_timer_start(&beginning->look, BEGIN_LOOK_MS);
}

static void exec_start(struct request *request)
{
    static const struct stream_target class = {exec_write_in, exec_end, exec_pause, exec_leave};
    static const struct crate_attach_events events = {exec_output, exec_ended};
    struct err err = ERR_INIT;
    bool with_body = request_body_bytes(request) > 0;
    const json_t *body = with_body ? request_shaped(request, &start_shape) : NULL;
    struct crate_exec *exec = body || !with_body ? find_exec(request) : NULL;
    if (!exec)
        return;
    const json_t *detach = body ? config_member(body, "Detach") : NULL;
    const json_t *tty = body ? config_member(body, "Tty") : NULL;
    bool with_tty = tty ? json_is_true(tty) : config_bool(exec->config, "Tty");
    if (exec->started) {
        request_fail(request, 409, "Error: Exec command %s has already run", exec->id);
        return;
    }
    if (!exec->crate || exec->crate->state != CRATE_RUNNING) {
        request_fail(request, 409, "Container %s is %s", exec->container_id,
                     exec->crate && exec->crate->state == CRATE_PAUSED
                         ? "paused, unpause the container before exec"
                         : "not running");
        return;
    }
    if (json_is_true(detach)) {
        exec_detach(request, exec, with_tty);
        return;
    }
    struct stream_options options = {
        .tty = with_tty,
        .in = config_bool(exec->config, "AttachStdin"),
        .out = config_bool(exec->config, "AttachStdout"),
        .err = config_bool(exec->config, "AttachStderr"),
        .detach_keys = config_str(exec->config, "DetachKeys"),
    };
    struct stream *stream = stream_open(request, exec->crate->crates, &options);
    struct session *session = MEM_NEW(struct session);
    session->exec = exec;
    session->stream = stream;
    if (crate_exec_start(exec, with_tty, &events, session, &err)) {
        stream_output(stream, options.out ? 1 : 2, err.message, strlen(err.message));
        stream_output(stream, options.out ? 1 : 2, "\r\n", 2);
        free(session);
        stream_ended(stream);
        return;
    }
    stream_begin(stream, &class, session);
}

static void exec_inspect(struct request *request)
{
    struct crate_exec *exec = find_exec(request);
    if (!exec)
        return;
    exec_write(exec, request_write(request));
    request_send(request, 200);
}

static void exec_resize(struct request *request)
{
    struct crate_exec *exec = find_exec(request);
    struct err err = ERR_INIT;
    uint64_t rows, columns;
    const char *h = str_or(request_query(request, "h"), "");
    const char *w = str_or(request_query(request, "w"), "");
    if (!exec)
        return;
    bool good_h = str_to_u64(h, UINT16_MAX, &rows), good_w = str_to_u64(w, UINT16_MAX, &columns);
    if (!good_h || !good_w)
        request_fail(request, 400, "strconv.Atoi: parsing \"%.50s\": invalid syntax",
                     good_h ? w : h);
    else if (crate_exec_resize(exec, (uint16_t)rows, (uint16_t)columns, &err))
        errand_fail(request, &err);
    else
        request_empty(request, 200);
}

// ---- wait --------------------------------------------------------------------------------------

struct waiting {
    struct errand errand;
    struct crate_wait wait;
    bool active;
};

static void wait_gone(struct errand *errand)
{
    struct waiting *waiting = CONTAINER_OF(errand, struct waiting, errand);
    if (waiting->active)
        crate_wait_cancel(&waiting->wait);
    waiting->active = false;
}

static void wait_done(struct crate_wait *wait)
{
    struct waiting *waiting = CONTAINER_OF(wait, struct waiting, wait);
    struct request *request = waiting->errand.request;
    struct buf text;
    struct json_out out;
    waiting->active = false;
    buf_init(&text, 8192);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_null(&out, "Error"); // of the waiting itself
    json_out_int(&out, "StatusCode", wait->code);
    json_out_end(&out);
    buf_put_u8(&text, '\n');
    request_stream_write(request, text.data, text.len);
    buf_fini(&text);
    request_stream_end(request);
}

static void wait_for(struct request *request)
{
    struct crate *crate = container_find(request);
    const char *text = str_or(request_query(request, "condition"), "");
    enum crate_condition condition = str_equal(text, "next-exit") ? CRATE_NEXT_EXIT
                                     : str_equal(text, "removed") ? CRATE_REMOVED
                                                                  : CRATE_NOT_RUNNING;
    if (!crate)
        return;
    if (*text && condition == CRATE_NOT_RUNNING && !str_equal(text, "not-running") &&
        request_minor(request) >= 42) {
        request_fail(request, 400, "invalid condition: \"%.50s\"", text);
        return;
    }
    struct waiting *waiting = errand_new(request, sizeof *waiting);
    waiting->errand.gone = wait_gone;
    waiting->active = true;
    waiting->wait.done = wait_done;
    request_stream(request, 200, "application/json");
    crate_wait(crate, condition, &waiting->wait);
}

// ---- logs --------------------------------------------------------------------------------------

struct reading {
    struct errand errand;
    struct logs_reader *reader;
    struct crate_wait wait; // for the end of a container that is followed
    bool waiting;
    bool paused;
    struct log_style style;
    struct log_detail marks[LOG_MARKS_MAX]; // of every line
    size_t marks_count;
    struct buf text;
};

static void reading_gone(struct errand *errand)
{
    struct reading *reading = CONTAINER_OF(errand, struct reading, errand);
    if (reading->waiting)
        crate_wait_cancel(&reading->wait);
    if (reading->reader)
        logs_close(reading->reader);
    reading->reader = NULL;
    buf_fini(&reading->text);
}

// ["K=V", ...] as texts, in the arena.
static struct oci_strings texts_of(const json_t *list, struct arena *arena)
{
    size_t count = json_array_size(list);
    const char **items = arena_alloc_array(arena, count, sizeof *items);
    for (size_t i = 0; items && i < count; i++)
        items[i] = str_or(json_string_value(json_array_get(list, i)), "");
    return (struct oci_strings){items, items ? count : 0};
}

static struct oci_pair *pairs_of(json_t *object, struct arena *arena, size_t *count)
{
    struct oci_pair *pairs = arena_alloc_array(arena, json_object_size(object), sizeof *pairs);
    const char *key;
    json_t *value;
    *count = 0;
    if (pairs)
        json_object_foreach(object, key, value) pairs[(*count)++] =
            (struct oci_pair){key, json_string_value(value)};
    return pairs;
}

static const char *command_of(const struct crate *crate, struct arena *arena)
{
    static const char *const parts[] = {"Entrypoint", "Cmd"};
    const char *text = "";
    for (size_t part = 0; part < COUNT_OF(parts); part++) {
        const json_t *list = config_of(crate->config, parts[part]);
        for (size_t i = 0; i < json_array_size(list); i++)
            text = str_or(arena_printf(arena, "%s%s%s", text, *text ? " " : "",
                                       str_or(json_string_value(json_array_get(list, i)), "")),
                          "");
    }
    return text;
}

// What the log's options name, as json-file has it. They were looked at when the container was
// made.
static void note_marks(struct request *request, const struct crate *crate, struct reading *reading)
{
    struct arena *arena = request_arena(request);
    struct log_marks_options options = {0};
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(json_object_get(crate->host, "LogConfig"), "Config"), key,
                        value)
    {
        const char **option = log_marks_option(&options, key);
        if (option)
            *option = json_string_value(value);
    }
    struct log_marks_container container = {
        .id = crate->id,
        .name = crate->name,
        .image = config_str(crate->config, "Image"),
        .image_id = crate->image_id,
        .env = texts_of(config_of(crate->config, "Env"), arena),
    };
    if (!str_empty(options.tag))
        container.command = command_of(crate, arena);
    container.labels =
        pairs_of(json_object_get(crate->config, "Labels"), arena, &container.labels_count);
    struct oci_pair *marks;
    size_t count;
    if (log_marks_make(&options, &container, arena, &marks, &count, NULL))
        return;
    for (size_t i = 0; i < count; i++)
        reading->marks[i] = (struct log_detail){marks[i].key, marks[i].value};
    reading->marks_count = count;
}

static void reading_drain(struct errand *errand)
{
    struct reading *reading = CONTAINER_OF(errand, struct reading, errand);
    if (reading->paused && reading->reader) {
        reading->paused = false;
        logs_pause(reading->reader, false);
    }
}

static void reading_line(void *owner, const struct log_line *line)
{
    struct reading *reading = owner;
    struct request *request = reading->errand.request;
    struct buf *text = &reading->text;
    const struct log_entry entry = {
        .stream = line->stream == LOG_STREAM_STDERR ? LOG_STDERR : LOG_STDOUT,
        .at = line->at,
        .text = line->data,
        .bytes = line->size,
        .newline = !line->partial,
        .details = reading->marks,
        .details_count = reading->marks_count,
    };
    buf_clear(text);
    log_entry_put(text, &entry, &reading->style);
    if (text->len)
        request_stream_write(request, text->data, text->len);
    if (request_room(request) == 0) {
        reading->paused = true;
        logs_pause(reading->reader, true);
    }
}

static void reading_ended(void *owner, const struct err *err)
{
    struct reading *reading = owner;
    struct request *request = reading->errand.request;
    if (err)
        request_stream_abort(request);
    else
        request_stream_end(request);
}

static void reading_stopped(struct crate_wait *wait)
{
    struct reading *reading = CONTAINER_OF(wait, struct reading, wait);
    reading->waiting = false;
    if (reading->reader)
        logs_finish(reading->reader);
}

static bool reading_query(struct request *request, struct logs_query *query)
{
    struct err err = ERR_INIT;
    const char *tail = str_or(request_query(request, "tail"), "all");
    *query = (struct logs_query){
        .out = request_flag(request, "stdout"),
        .err = request_flag(request, "stderr"),
        .follow = request_flag(request, "follow"),
        .tail = -1,
    };
    int64_t lines;
    if (str_to_i64(tail, 0, INT64_MAX, &lines))
        query->tail = lines; // anything else is "all"
    if (!query->out && !query->err) {
        request_fail(request, 400, "Bad parameters: you must choose at least one stream");
        return false;
    }
    if (stamp_parse(request_query(request, "since"), &query->since, &err) ||
        stamp_parse(request_query(request, "until"), &query->until, &err)) {
        request_fail(request, request_bad_status(request), "%s", err.message);
        return false;
    }
    return true;
}

static void logs(struct request *request)
{
    static const struct logs_events events = {reading_line, reading_ended};
    struct crate *crate = container_find(request);
    struct logs_query query;
    struct err err = ERR_INIT;
    if (!crate || !reading_query(request, &query))
        return;
    if (str_empty(crate->log_path) ||
        str_equal(config_str(config_of(crate->host, "LogConfig"), "Type"), "none")) {
        request_fail(request, 501, "configured logging driver does not support reading");
        return;
    }
    bool live = crate_running(crate) || crate->state == CRATE_RESTARTING;
    query.follow = query.follow && live;
    struct reading *reading = errand_new(request, sizeof *reading);
    reading->errand.gone = reading_gone;
    reading->errand.drain = reading_drain;
    reading->style = (struct log_style){
        .raw = config_bool(crate->config, "Tty"),
        .timestamps = request_flag(request, "timestamps"),
        .details = request_flag(request, "details"),
    };
    buf_init(&reading->text, CONTAINER_LOG_BYTES_MAX);
    if (reading->style.details)
        note_marks(request, crate, reading);
    if (logs_open(request_loop(request), crate->log_path, &query, &events, reading,
                  &reading->reader, &err)) {
        errand_fail(request, &err);
        return;
    }
    request_stream(request, 200,
                   !reading->style.raw && request_minor(request) >= 42
                       ? "application/vnd.docker.multiplexed-stream"
                       : "application/vnd.docker.raw-stream");
    if (query.follow) {
        reading->waiting = true;
        reading->wait.done = reading_stopped;
        crate_wait(crate, CRATE_NEXT_EXIT, &reading->wait);
    }
}

static const struct endpoint rows[] = {
    {"POST", "/containers/{id}/wait", wait_for},    {"GET", "/containers/{id}/logs", logs},
    {"POST", "/containers/{id}/exec", exec_create}, {"POST", "/exec/{id}/start", exec_start},
    {"GET", "/exec/{id}/json", exec_inspect},       {"POST", "/exec/{id}/resize", exec_resize},
};
ENDPOINTS(container_stream_endpoints, rows);
