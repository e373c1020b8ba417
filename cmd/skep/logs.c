#include "cmd/skep/logs.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/demux.h"
#include "cmd/skep/service.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define LINE_BYTES_MAX (1u << 20)

// ---- the query ----------------------------------------------------------------------------------

const char *logs_moment(struct cli *cli, const char *text)
{
    static const char *const tails[] = {"", "Z", ":00Z", "T00:00:00Z"};
    int64_t duration;
    struct wall moment;
    const char *rest = text + strspn(text, "0123456789.");
    if (*text && !*rest)
        return text;
    bool found = duration_parse(text, &duration, NULL) == 0;
    if (found)
        moment = wall_add(cli_now(), -duration);
    for (size_t i = 0; i < COUNT_OF(tails) && !found; i++)
        found = wall_parse(textf(cli, "%s%s", text, tails[i]), &moment, NULL) == 0;
    if (found)
        return textf(cli, "%lld.%09lld", (long long)(moment.ns / NS_PER_S),
                     (long long)(moment.ns % NS_PER_S));
    err_set(&cli->error, ERR_INVALID_ARGUMENT,
            "invalid value for \"since\": '%s' is neither a moment nor a duration", text);
    return NULL;
}

const char *logs_query(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *since = args_text(args, "since");
    const char *moment = since ? logs_moment(cli, since) : "";
    return moment ? textf(cli, "stdout=1&stderr=1%s%s%s%s%s",
                          args_on(args, "follow") ? "&follow=1" : "",
                          args_on(args, "timestamps") ? "&timestamps=1" : "",
                          args_on(args, "details") ? "&details=1" : "",
                          parameter(cli, "since", moment),
                          parameter(cli, "tail", str_or(args_text(args, "tail"), "all")))
                  : NULL;
}

// ---- lines of services --------------------------------------------------------------------------

struct service_logs {
    struct cli *cli;
    struct demux demux;
    struct buf lines[4]; // by stream, what came of its line
    struct map names;    // task id -> what its lines begin with
    size_t width;        // of the widest beginning
    bool tty, raw, details, timestamps;
    bool broken;
};

// "web.1.abcdef@node-1", asked for once per task.
static const char *name_of_task(struct service_logs *logs, const char *id, const char *node)
{
    struct cli *cli = logs->cli;
    const char *known = map_get_str(&logs->names, id);
    if (known)
        return known;
    bool resolve = !args_on(&cli->args, "no-resolve");
    json_t *task = resolve ? api_get(cli, "/tasks/%s", escape(cli, id)) : NULL;
    json_t *service =
        task ? api_get(cli, "/services/%s", escape(cli, text_at(task, "ServiceID"))) : NULL;
    json_t *host = service ? api_get(cli, "/nodes/%s", escape(cli, node)) : NULL;
    const char *base = id;
    if (service && number_at(task, "Slot"))
        base = textf(cli, "%s.%lld", text_at(service, "Spec.Name"),
                     (long long)number_at(task, "Slot"));
    else if (service)
        base = textf(cli, "%s.%s", text_at(service, "Spec.Name"), text_short_id(node, &cli->arena));
    if (service && !args_on(&cli->args, "no-task-ids"))
        base = textf(cli, "%s.%s", base,
                     args_on(&cli->args, "no-trunc") ? id : text_short_id(id, &cli->arena));
    const char *name =
        textf(cli, "%s@%s", base, host ? text_at(host, "Description.Hostname") : node);
    map_put_str(&logs->names, id, (void *)name);
    return name;
}

// The details before a line, "a=1,b=2": the swarm's own are taken out.
static const char *own_details(struct cli *cli, const char *details, const char **task,
                               const char **node)
{
    struct buf rest;
    struct str_part part;
    buf_init(&rest, LINE_BYTES_MAX);
    for (const char *at = details; str_split(&at, ',', &part);) {
        const char *value, *pair = arena_strndup(&cli->arena, part.at, part.len);
        const char *key = split_once(pair, '=', &value, &cli->arena);
        if (str_equal(key, "com.docker.swarm.task.id"))
            *task = str_or(value, "");
        else if (str_equal(key, "com.docker.swarm.node.id"))
            *node = str_or(value, "");
        else if (!str_equal(key, "com.docker.swarm.service.id"))
            buf_printf(&rest, "%s%s", rest.len ? "," : "", pair);
    }
    const char *copy = textf(cli, "%s", buf_cstr(&rest));
    buf_fini(&rest);
    return copy;
}

static void say_line(struct service_logs *logs, int stream, const char *line)
{
    struct cli *cli = logs->cli;
    const char *stamp = "", *rest = line, *task = "", *node = "";
    if (logs->timestamps)
        stamp = split_once(rest, ' ', &rest, &cli->arena);
    const char *details = rest ? split_once(rest, ' ', &rest, &cli->arena) : "";
    const char *kept = own_details(cli, details, &task, &node);
    const char *name = name_of_task(logs, task, node);
    size_t columns = text_columns(name);
    logs->width = columns > logs->width ? columns : logs->width;
    const char *shown = textf(cli, "%s%s%s%*s    | %s%s%s\n", stamp, *stamp ? " " : "", name,
                              (int)(logs->width - columns), "", logs->details ? kept : "",
                              logs->details && *kept ? " " : "", rest ? rest : "");
    if (stream == 2)
        warn_bytes(cli, shown, strlen(shown));
    else
        say_bytes(cli, shown, strlen(shown));
}

static void take_piece(void *owner, int stream, const uint8_t *bytes, size_t size)
{
    struct service_logs *logs = owner;
    struct buf *line = &logs->lines[stream & 3];
    if (logs->raw || stream == 3) {
        (stream >= 2 ? warn_bytes : say_bytes)(logs->cli, bytes, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            buf_put_u8(line, bytes[i]);
            continue;
        }
        say_line(logs, stream, str_or(buf_cstr(line), ""));
        buf_clear(line);
    }
}

// Bytes wait here until the loop has turned: what they lead to (asking for a task's name) runs the
// loop itself.
struct waiting {
    struct buf bytes;
    struct stream *stream;
};

static bool put_aside(void *owner, const uint8_t *bytes, size_t size)
{
    struct waiting *waiting = owner;
    buf_put(&waiting->bytes, bytes, size);
    return true;
}

static bool has_bytes(void *context)
{
    const struct waiting *waiting = context;
    return waiting->bytes.len > 0 || stream_done(waiting->stream);
}

static void take_bytes(struct service_logs *logs, const uint8_t *bytes, size_t size)
{
    if (logs->tty)
        take_piece(logs, 1, bytes, size);
    else if (demux_feed(&logs->demux, bytes, size, take_piece, logs, &logs->cli->error) < 0)
        logs->broken = true;
    say_flush(logs->cli);
}

static int follow(struct cli *cli, const char *target, bool tty)
{
    struct service_logs logs = {.cli = cli,
                                .tty = tty,
                                .raw = args_on(&cli->args, "raw") || tty,
                                .details = args_on(&cli->args, "details"),
                                .timestamps = args_on(&cli->args, "timestamps")};
    struct waiting waiting = {0};
    struct stream_request request = {.method = "GET",
                                     .target = target,
                                     .upload_fd = -1,
                                     .on_data = put_aside,
                                     .owner = &waiting};
    buf_init(&waiting.bytes, CLIENT_ANSWER_BYTES_MAX);
    waiting.stream = stream_start(cli, &request);
    if (!waiting.stream)
        return failed(cli);
    for (size_t i = 0; i < COUNT_OF(logs.lines); i++)
        buf_init(&logs.lines[i], LINE_BYTES_MAX);
    map_init(&logs.names);
    while (!logs.broken) {
        size_t size;
        client_wait(cli, has_bytes, &waiting);
        uint8_t *bytes = buf_steal(&waiting.bytes, &size);
        if (!bytes)
            break;
        take_bytes(&logs, bytes, size);
        free(bytes);
    }
    for (size_t i = 0; i < COUNT_OF(logs.lines); i++) {
        if (logs.lines[i].len)
            say_line(&logs, (int)i, buf_cstr(&logs.lines[i]));
        buf_fini(&logs.lines[i]);
    }
    map_fini(&logs.names);
    int status = logs.broken || stream_wait(waiting.stream) < 0 ? failed(cli) : 0;
    stream_free(waiting.stream);
    buf_fini(&waiting.bytes);
    return status;
}

int service_run_logs(struct cli *cli)
{
    const char *name = cli->args.argv[0], *query = logs_query(cli), *kind = "services";
    if (!query)
        return failed(cli);
    // Without details nobody could tell which task wrote a line.
    if (!args_on(&cli->args, "raw") && !args_on(&cli->args, "details"))
        query = textf(cli, "%s&details=1", query);
    json_t *found = service_fetch(cli, name);
    const char *tty = "Spec.TaskTemplate.ContainerSpec.TTY";
    if (!found && cli->status == 404) {
        found = api_get(cli, "/tasks/%s", escape(cli, name));
        kind = "tasks";
        tty = "Spec.ContainerSpec.TTY";
        if (!found && cli->status == 404)
            return complain(cli, "no such task or service: %s", name);
    }
    if (!found)
        return failed(cli);
    if (true_at(found, tty) && !args_on(&cli->args, "raw"))
        return complain(cli, "tty service logs only supported with --raw");
    return follow(cli, textf(cli, "/%s/%s/logs?%s", kind, text_at(found, "ID"), query),
                  true_at(found, tty));
}

const struct flag service_logs_flags[] = {
    LOGS_FLAGS,
    {"no-resolve", 0, FLAG_BOOL, NULL, "Show ids in place of names"},
    {"no-task-ids", 0, FLAG_BOOL, NULL, "Leave the ids of tasks out"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten ids"},
    {"raw", 0, FLAG_BOOL, NULL, "Show what was written and nothing else"},
    {0},
};
