// /services/{id}/logs and /tasks/{id}/logs: the leader's log broker, as Docker sends it on.
#include <string.h>

#include "agent/engine/engine.h"
#include "agent/engine/log_entry.h"
#include "agent/engine/noun.h"
#include "agent/engine/stamp.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/status.h"
#include "proto/wire/logbroker.pb-c.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define SUBSCRIBE "/docker.swarmkit.v1.Logs/SubscribeLogs"

#define MESSAGE_BYTES_MAX ((size_t)64 * 1024 * 1024) // all lines of one message of the stream

struct reading {
    struct log_style style;
    Swarm__SubscribeLogsRequest *wanted;
    bool task;
};

// ---- the lines ----------------------------------------------------------------------------------

static void put_line(struct buf *out, const Swarm__LogMessage *message,
                     const struct log_style *style)
{
    struct log_detail details[LOG_DETAILS_MAX];
    struct log_entry entry = {
        .stream = message->stream == SWARM__LOG_STREAM__LOG_STREAM_STDERR ? LOG_STDERR : LOG_STDOUT,
        .at = timestamp_to_wall(message->timestamp),
        .text = message->data.data,
        .bytes = message->data.len,
        .details = details,
    };
    const Swarm__LogContext *context = message->context;
    if (context) {
        details[0] = (struct log_detail){"com.docker.swarm.node.id", context->node_id};
        details[1] = (struct log_detail){"com.docker.swarm.service.id", context->service_id};
        details[2] = (struct log_detail){"com.docker.swarm.task.id", context->task_id};
        entry.details_count = 3;
    }
    for (size_t i = 0; i < message->n_attrs && entry.details_count < LOG_DETAILS_MAX; i++)
        details[entry.details_count++] =
            (struct log_detail){message->attrs[i]->key, message->attrs[i]->value};
    log_entry_put(out, &entry, style);
}

static void on_lines(struct request *request, const void *response)
{
    const struct reading *reading = request_kept(request);
    const Swarm__SubscribeLogsMessage *message = response;
    struct buf out;
    buf_init(&out, MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < message->n_messages; i++)
        put_line(&out, message->messages[i], &reading->style);
    request_stream_write(request, out.data, out.len);
    buf_fini(&out);
    if (request_room(request) == 0)
        request_call_pause(request);
}

// An end that is no success stands in the stream: the head is long gone.
static void on_lines_end(struct request *request, const struct err *err)
{
    const struct reading *reading = request_kept(request);
    if (err) {
        char text[RPC_STATUS_TEXT_BYTES + 64], call[RPC_STATUS_TEXT_BYTES];
        struct buf out;
        rpc_status_text(err, call, sizeof call);
        str_format(text, sizeof text, "Error grabbing logs: %s\n", call);
        struct log_entry entry = {.stream = LOG_SYSTEM_ERROR, .text = text, .bytes = strlen(text)};
        buf_init(&out, sizeof text + 64);
        log_entry_put(&out, &entry, &reading->style);
        request_stream_write(request, out.data, out.len);
        buf_fini(&out);
    }
    request_stream_end(request);
}

static void on_drain(struct request *request, void *owner)
{
    (void)owner;
    request_call_resume(request);
}

static const struct request_events events = {.drain = on_drain};

// ---- what is asked ------------------------------------------------------------------------------

// "all", or how many: swarmkit counts -1 for none, and -(n + 1) for the last n.
static bool read_tail(struct request *request, int64_t *out)
{
    const char *text = str_or(request_query(request, "tail"), "all");
    uint64_t lines;
    *out = 0;
    if (strcmp(text, "all") == 0)
        return true;
    if (!str_to_u64(text, INT32_MAX, &lines)) {
        request_fail(request, request_bad_status(request),
                     "tail value must be a positive integer or \"all\"");
        return false;
    }
    *out = -((int64_t)lines + 1);
    return true;
}

static struct reading *read_query(struct request *request)
{
    struct arena *arena = request_arena(request);
    struct reading *reading = ARENA_NEW(arena, struct reading);
    struct err err = ERR_INIT;
    struct wall since;
    bool out = request_flag(request, "stdout"), errors = request_flag(request, "stderr");
    CHECK(reading);
    *reading = (struct reading){.style = {.timestamps = request_flag(request, "timestamps"),
                                          .details = request_flag(request, "details")}};
    if (!out && !errors) {
        request_fail(request, request_bad_status(request),
                     "Bad parameters: you must choose at least one stream");
        return NULL;
    }
    reading->wanted = request_message(request, SUBSCRIBE);
    Swarm__LogSubscriptionOptions *options =
        wire_new(&swarm__log_subscription_options__descriptor, arena);
    CHECK(options);
    if (!read_tail(request, &options->tail))
        return NULL;
    if (stamp_parse(request_query(request, "since"), &since, &err)) {
        request_fail(request, request_bad_status(request), "could not parse since timestamp: %s",
                     err.message);
        return NULL;
    }
    options->follow = request_flag(request, "follow");
    if (since.ns)
        options->since = timestamp_new(since, arena);
    Swarm__LogStream *streams = arena_alloc_array(arena, 2, sizeof *streams);
    CHECK(streams);
    options->streams = streams;
    if (out)
        streams[options->n_streams++] = SWARM__LOG_STREAM__LOG_STREAM_STDOUT;
    if (errors)
        streams[options->n_streams++] = SWARM__LOG_STREAM__LOG_STREAM_STDERR;
    reading->wanted->options = options;
    return reading;
}

static bool has_terminal(const Swarm__TaskSpec *spec)
{
    return spec && spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER &&
           spec->container->tty;
}

static void found(struct request *request, const void *object)
{
    struct arena *arena = request_arena(request);
    struct reading *reading = request_kept(request);
    Swarm__LogSelector *selector = wire_new(&swarm__log_selector__descriptor, arena);
    const char **ids = arena_alloc_array(arena, 1, sizeof *ids);
    CHECK(selector);
    CHECK(ids);
    ids[0] = str_or(arena_strdup(arena, noun_id(object)), "");
    if (reading->task) {
        selector->task_ids = ids;
        selector->n_task_ids = 1;
        reading->style.raw = has_terminal(((const Swarm__Task *)object)->spec);
    } else {
        selector->service_ids = ids;
        selector->n_service_ids = 1;
        reading->style.raw = has_terminal(((const Swarm__Service *)object)->spec->task);
    }
    reading->wanted->selector = selector;
    bool named = request_minor(request) >= 42 && !reading->style.raw;
    request_follow(request, &events, NULL);
    request_stream(request, 200,
                   named ? "application/vnd.docker.multiplexed-stream"
                         : "application/vnd.docker.raw-stream");
    request_call_stream(request, SUBSCRIBE, reading->wanted, on_lines, on_lines_end);
}

static void read_logs(struct request *request, const struct noun *noun, bool task)
{
    if (!request_needs_manager(request))
        return;
    struct reading *reading = read_query(request);
    if (!reading)
        return;
    reading->task = task;
    request_keep(request, reading);
    noun_find(request, noun, request_param(request, "id"), found);
}

static void service_logs(struct request *request)
{
    read_logs(request, &noun_service, false);
}

static void task_logs(struct request *request)
{
    read_logs(request, &noun_task, true);
}

static const struct endpoint rows[] = {
    {"GET", "/services/{id}/logs", service_logs},
    {"GET", "/tasks/{id}/logs", task_logs},
};
SWARM_ENDPOINTS(log_endpoints, rows);
