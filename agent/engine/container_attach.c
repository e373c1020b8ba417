// Attaching to a container: its log first when that is asked for, then what it writes from now on.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/container_json.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/stream.h"
#include "agent/oci/logs_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Between the client's stream and the container's: freed when the client's end is closed.
struct session {
    struct stream *stream;
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    struct logs_reader *reader;  // NULL: the log was replayed, or is not wanted
    struct crate_attach *attach; // NULL: not yet, or never
    bool live;                   // its own streams come after the log
    bool running;                // it was, when it was asked for
    bool close_stdin;            // the end of the client's input is the end of the process's
    bool end;                    // that end came during the replay
    bool pause;
};

// ---- the target of the stream -------------------------------------------------------------------

static int attach_write(void *target, const void *bytes, size_t size)
{
    struct session *session = target;
    if (session->attach)
        return crate_attach_write(session->attach, bytes, size);
    return session->live ? -ERR_RESOURCE_EXHAUSTED : 0; // after the replay; or nobody reads it
}

static void attach_end(void *target)
{
    struct session *session = target;
    session->end = session->close_stdin;
    if (session->end && session->attach)
        crate_attach_end(session->attach);
}

static void attach_pause(void *target, bool pause)
{
    struct session *session = target;
    session->pause = pause;
    if (session->reader)
        logs_pause(session->reader, pause);
    if (session->attach)
        crate_attach_pause(session->attach, pause);
}

static void attach_leave(void *target)
{
    struct session *session = target;
    if (session->reader)
        logs_close(session->reader);
    if (session->attach)
        crate_attach_close(session->attach);
    free(session);
}

static const struct stream_target target_class = {attach_write, attach_end, attach_pause,
                                                  attach_leave};

// ---- live --------------------------------------------------------------------------------------

static void attach_ended(void *owner)
{
    stream_ended(owner);
}

// The stream goes on with what the container writes, or ends.
static void go_live(struct session *session, struct crate *crate)
{
    static const struct crate_attach_events events = {stream_output, attach_ended};
    struct err err = ERR_INIT;
    // One that ended meanwhile has said all in its log: nobody waits for its next life.
    if (!session->live || !crate || (session->running && !crate_running(crate))) {
        session->live = false;
        stream_ended(session->stream);
        return;
    }
    if (crate_attach(crate, &events, session->stream, &session->attach, &err)) {
        session->live = false;
        stream_output(session->stream, 2, err.message, strlen(err.message));
        stream_ended(session->stream);
        return;
    }
    if (session->end)
        crate_attach_end(session->attach);
    if (session->pause)
        crate_attach_pause(session->attach, true);
}

// ---- the log -----------------------------------------------------------------------------------

static void replay_line(void *owner, const struct log_line *line)
{
    struct session *session = owner;
    struct buf text;
    buf_init(&text, CONTAINER_LOG_BYTES_MAX);
    buf_put(&text, line->data, line->size);
    if (!line->partial)
        buf_put_u8(&text, '\n');
    stream_output(session->stream, line->stream == LOG_STREAM_STDERR ? 2 : 1, text.data, text.len);
    buf_fini(&text);
}

static void replay_ended(void *owner, const struct err *err)
{
    struct session *session = owner;
    logs_close(session->reader);
    session->reader = NULL;
    if (err)
        stream_output(session->stream, 2, err->message, strlen(err->message));
    go_live(session, crates_find(session->crates, session->id, NULL));
}

static int replay(struct session *session, struct request *request, const struct crate *crate,
                  const struct stream_options *options, struct err *err)
{
    static const struct logs_events events = {replay_line, replay_ended};
    struct logs_query query = {.out = options->out, .err = options->err, .tail = -1};
    return logs_open(request_loop(request), crate->log_path, &query, &events, session,
                     &session->reader, err);
}

// ---- the endpoint ------------------------------------------------------------------------------

// False after an answer.
static bool check(struct request *request, const struct crate *crate)
{
    const char *keys = request_query(request, "detachKeys");
    const char *driver = config_str(config_of(crate->host, "LogConfig"), "Type");
    if (!stream_keys_valid(keys))
        request_fail(request, 400, "invalid detach keys (%.50s) provided", keys);
    else if (crate->state == CRATE_PAUSED)
        request_fail(request, 409, "container %s is paused, unpause the container before attach",
                     crate->id);
    else if (crate->state == CRATE_RESTARTING)
        request_fail(request, 409,
                     "container %s is restarting, wait until the container is running", crate->id);
    else if (request_flag(request, "logs") &&
             (str_empty(crate->log_path) || str_equal(driver, "none")))
        request_fail(request, 501, "configured logging driver does not support reading");
    else
        return true;
    return false;
}

static void attach(struct request *request)
{
    struct crate *crate = container_find(request);
    struct err err = ERR_INIT;
    if (!crate || !check(request, crate))
        return;
    bool logs = request_flag(request, "logs");
    struct stream_options options = {
        .tty = config_bool(crate->config, "Tty"),
        .in = request_flag(request, "stdin") && config_bool(crate->config, "OpenStdin"),
        .out = request_flag(request, "stdout"),
        .err = request_flag(request, "stderr"),
        .detach_keys = request_query(request, "detachKeys"),
    };
    struct session *session = MEM_NEW(struct session);
    session->crates = crate->crates;
    str_copy(session->id, sizeof session->id, crate->id);
    session->close_stdin = config_bool(crate->config, "StdinOnce");
    session->live = request_flag(request, "stream");
    session->running = crate_running(crate);
    if (logs && (options.out || options.err) && replay(session, request, crate, &options, &err)) {
        request_fail(request, 500, "%s", err.message);
        free(session);
        return;
    }
    session->stream = stream_open(request, crate->crates, &options);
    // Its callbacks run later; the stream knows by then where input goes.
    if (!session->reader)
        go_live(session, crate);
    stream_begin(session->stream, &target_class, session);
}

static void attach_ws(struct request *request)
{
    request_plain(request, 400, "text/plain; charset=utf-8", "not websocket protocol");
}

static const struct endpoint rows[] = {
    {"POST", "/containers/{id}/attach", attach},
    {"GET", "/containers/{id}/attach/ws", attach_ws},
};
ENDPOINTS(container_attach_endpoints, rows);
