// skep run, create, exec, attach and start -a: containers joined to this terminal.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/container.h"
#include "cmd/skep/hijack_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define WAIT_HEAD_MS 2000

int container_start_status(const struct cli *cli)
{
    const char *why = cli->error.message;
    if (strstr(why, "executable file not found") || strstr(why, "no such file or directory"))
        return 127;
    return strstr(why, "permission denied") ? 126 : 125;
}

// What went wrong, with an exit status of its own.
static int failed_with(struct cli *cli, int status)
{
    failed(cli);
    return status;
}

static int complained(struct cli *cli, const char *what, int status)
{
    complain(cli, "%s", what);
    return status;
}

// ---- create -------------------------------------------------------------------------------------

// The container's id, made after fetching its image if need be; NULL with cli->error.
static const char *create(struct cli *cli, json_t *body)
{
    struct args *args = &cli->args;
    const char *image = text_at(body, "Image"), *pull = str_or(args_text(args, "pull"), "missing");
    const char *target =
        textf(cli, "/containers/create?%s%s", parameter(cli, "name", args_text(args, "name")),
              parameter(cli, "platform", args_text(args, "platform")));
    const char *file = args_text(args, "cidfile");
    if (file && file_exists(file)) {
        err_set(&cli->error, ERR_ALREADY_EXISTS,
                "container ID file found, make sure the other container isn't running or delete %s",
                file);
        return NULL;
    }
    if (str_equal(pull, "always") &&
        image_fetch(cli, image, args_text(args, "platform"), args_on(args, "quiet")) != 0)
        return NULL;
    json_t *made = api(cli, "POST", target, body);
    if (!made && cli->status == 404 && str_equal(pull, "missing") &&
        strstr(cli->error.message, "mage")) {
        warn(cli, "Unable to find image '%s' locally\n", image);
        if (image_fetch(cli, image, args_text(args, "platform"), args_on(args, "quiet")) != 0)
            return NULL;
        made = api(cli, "POST", target, body);
    }
    if (!made)
        return NULL;
    size_t i;
    json_t *warning;
    json_array_foreach(at(made, "Warnings"), i, warning)
        warn(cli, "WARNING: %s\n", str_or(json_string_value(warning), ""));
    const char *id = text_at(made, "Id");
    if (file && cli_write(cli, file, id, strlen(id), 0644) < 0)
        return NULL;
    return id;
}

static int run_create(struct cli *cli)
{
    json_t *body = container_body(cli);
    if (!body)
        return failed_with(cli, 125);
    const char *id = create(cli, body);
    if (!id)
        return failed(cli);
    say(cli, "%s\n", id);
    return 0;
}

// ---- run ----------------------------------------------------------------------------------------

static int start_container(struct cli *cli, void *owner)
{
    const char *id = owner;
    return api(cli, "POST", textf(cli, "/containers/%s/start", id), NULL) ? 0
                                                                          : -(int)cli->error.code;
}

struct answer {
    struct buf text;
};

static bool collect(void *owner, const uint8_t *bytes, size_t size)
{
    struct answer *answer = owner;
    buf_put(&answer->text, bytes, size);
    return true;
}

// `streams`: which ones, as parameters.
static struct stream *attach(struct cli *cli, const char *id, const char *streams, const char *keys)
{
    struct stream_request request = {.method = "POST",
                                     .target = textf(cli, "/containers/%s/attach?stream=1%s%s", id,
                                                     streams, parameter(cli, "detachKeys", keys)),
                                     .upload_fd = -1,
                                     .upgrade = true};
    struct stream *stream = stream_start(cli, &request);
    if (stream && stream_wait(stream) < 0) {
        stream_free(stream);
        return NULL;
    }
    return stream;
}

static bool passes_signals(const struct args *args)
{
    return !args_set(args, "sig-proxy") || args_on(args, "sig-proxy");
}

static int status_of(struct cli *cli, json_t *answer)
{
    const char *why = text_at(answer, "Error.Message");
    if (*why)
        return complained(cli, why, 125);
    return (int)(number_at(answer, "StatusCode") & 255);
}

// Joined to the terminal from before its start to its end: its exit status.
static int run_attached(struct cli *cli, const char *id, json_t *body, bool input)
{
    struct args *args = &cli->args;
    bool removes = args_on(args, "rm"), tty = true_at(body, "Tty");
    const char *streams = textf(cli, "%s%s%s", input ? "&stdin=1" : "",
                                true_at(body, "AttachStdout") ? "&stdout=1" : "",
                                true_at(body, "AttachStderr") ? "&stderr=1" : "");
    struct stream *stream = attach(cli, id, streams, args_text(args, "detach-keys"));
    if (!stream)
        return failed_with(cli, 125);
    // Who waits before the start cannot miss a short life.
    struct answer answer;
    buf_init(&answer.text, 65536);
    struct stream_request request = {.method = "POST",
                                     .target = textf(cli, "/containers/%s/wait?condition=%s", id,
                                                     removes ? "removed" : "next-exit"),
                                     .upload_fd = -1,
                                     .on_data = collect,
                                     .owner = &answer};
    struct stream *wait = stream_start(cli, &request);
    loop_run_until(cli_loop(cli), stream_has_head, wait, WAIT_HEAD_MS);
    bool proxies = !tty && passes_signals(args);
    struct hijack_options options = {.tty = tty,
                                     .input = input,
                                     .detach_keys = args_text(args, "detach-keys"),
                                     .resize = textf(cli, "/containers/%s/resize", id),
                                     .kill =
                                         proxies ? textf(cli, "/containers/%s/kill", id) : NULL};
    int result = hijack_run(cli, stream, &options, start_container, (void *)id), status = 0;
    if (result < 0) {
        status = container_start_status(cli);
        complain(cli, "skep: %s.", cli->error.message);
        if (removes)
            api(cli, "DELETE", textf(cli, "/containers/%s?force=1", id), NULL);
    } else if (result == 0) {
        if (stream_wait(wait) < 0)
            status = failed_with(cli, 125);
        else
            status = status_of(cli, keep(cli, json_parse(answer.text.data, answer.text.len, NULL)));
    }
    stream_free(wait);
    stream_free(stream);
    buf_fini(&answer.text);
    return status;
}

static int run_run(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = container_body(cli);
    bool detaches = args_on(args, "detach"), input = true_at(body, "AttachStdin");
    if (!body)
        return failed_with(cli, 125);
    if (detaches && args_set(args, "attach"))
        return complained(cli, "Conflicting options: -a and -d", 125);
    if (detaches) {
        set_true(body, "AttachStdin", false);
        set_true(body, "AttachStdout", false);
        set_true(body, "AttachStderr", false);
        set_true(body, "StdinOnce", false);
    } else if (input && true_at(body, "Tty") && !cli->terminal.in) {
        return complained(cli, "the input device is not a TTY", 1);
    }
    const char *id = create(cli, body);
    if (!id)
        return complained(cli, textf(cli, "skep: %s.\nSee 'skep run --help'.", cli->error.message),
                          125);
    if (!detaches)
        return run_attached(cli, id, body, input);
    if (start_container(cli, (void *)id) < 0) {
        int status = container_start_status(cli);
        complain(cli, "skep: %s.", cli->error.message);
        return status;
    }
    say(cli, "%s\n", id);
    return 0;
}

// ---- attach, start ------------------------------------------------------------------------------

static int exit_code(struct cli *cli, const char *id)
{
    json_t *answer = api(cli, "POST", textf(cli, "/containers/%s/wait", id), NULL);
    return answer ? status_of(cli, answer) : 0; // one that removes itself is gone by now
}

static int join(struct cli *cli, const char *name, bool input, bool starts, bool signals)
{
    json_t *container = api_get(cli, "/containers/%s/json", escape(cli, name));
    if (!container)
        return failed(cli);
    if (!starts && !true_at(container, "State.Running"))
        return complain(cli, "You cannot attach to a stopped container, start it first");
    if (!starts && true_at(container, "State.Paused"))
        return complain(cli, "You cannot attach to a paused container, unpause it first");
    const char *id = text_at(container, "Id"), *keys = args_text(&cli->args, "detach-keys");
    bool tty = true_at(container, "Config.Tty");
    input = input && true_at(container, "Config.OpenStdin");
    if (tty && input && !cli->terminal.in)
        return complain(cli, "the input device is not a TTY");
    struct stream *stream =
        attach(cli, id, input ? "&stdin=1&stdout=1&stderr=1" : "&stdout=1&stderr=1", keys);
    if (!stream)
        return failed(cli);
    struct hijack_options options = {
        .tty = tty,
        .input = input,
        .detach_keys = keys,
        .resize = textf(cli, "/containers/%s/resize", id),
        .kill = tty || !signals ? NULL : textf(cli, "/containers/%s/kill", id)};
    int result = hijack_run(cli, stream, &options, starts ? start_container : NULL, (void *)id);
    int status = result < 0 ? failed(cli) : result == 0 ? exit_code(cli, id) : 0;
    stream_free(stream);
    return status;
}

static int run_attach(struct cli *cli)
{
    return join(cli, cli->args.argv[0], !args_on(&cli->args, "no-stdin"), false,
                passes_signals(&cli->args));
}

static int start_one(struct cli *cli, const char *name)
{
    if (!api(cli, "POST", textf(cli, "/containers/%s/start", escape(cli, name)), NULL))
        return failed(cli);
    say(cli, "%s\n", name);
    return 0;
}

static int run_start(struct cli *cli)
{
    struct args *args = &cli->args;
    if (!args_on(args, "attach") && !args_on(args, "interactive")) {
        const char *failing = "";
        for (int i = 0; i < args->argc; i++)
            if (start_one(cli, args->argv[i]) != 0)
                failing = textf(cli, "%s%s%s", failing, *failing ? ", " : "", args->argv[i]);
        return *failing ? complain(cli, "Error: failed to start containers: %s", failing) : 0;
    }
    if (args->argc > 1)
        return complain(cli, "you cannot start and attach multiple containers at once");
    return join(cli, args->argv[0], args_on(args, "interactive"), true, true);
}

// ---- exec ---------------------------------------------------------------------------------------

static int exec_attached(struct cli *cli, const char *id, bool tty, bool input)
{
    json_t *body = keep(cli, json_pack("{s:b, s:b}", "Detach", 0, "Tty", tty));
    struct stream_request request = {.method = "POST",
                                     .target = textf(cli, "/exec/%s/start", id),
                                     .body = body,
                                     .upload_fd = -1,
                                     .upgrade = true};
    struct stream *stream = stream_start(cli, &request);
    if (!stream || stream_wait(stream) < 0) {
        if (stream)
            stream_free(stream);
        int status = container_start_status(cli);
        failed(cli);
        return status;
    }
    struct hijack_options options = {.tty = tty,
                                     .input = input,
                                     .detach_keys = args_text(&cli->args, "detach-keys"),
                                     .resize = textf(cli, "/exec/%s/resize", id)};
    int result = hijack_run(cli, stream, &options, NULL, NULL);
    stream_free(stream);
    if (result != 0)
        return result < 0 ? failed(cli) : 0;
    json_t *state = api_get(cli, "/exec/%s/json", id);
    return state ? (int)number_at(state, "ExitCode") : failed(cli);
}

static int run_exec(struct cli *cli)
{
    struct args *args = &cli->args;
    bool detaches = args_on(args, "detach"), tty = args_on(args, "tty");
    bool input = args_on(args, "interactive");
    json_t *body = keep(cli, json_object());
    set_text(body, "User", str_or(args_text(args, "user"), ""));
    set_true(body, "Privileged", args_on(args, "privileged"));
    set_true(body, "Tty", tty);
    set_true(body, "AttachStdin", input && !detaches);
    set_true(body, "AttachStdout", !detaches);
    set_true(body, "AttachStderr", !detaches);
    set_true(body, "Detach", detaches);
    if (args_set(args, "workdir"))
        set_text(body, "WorkingDir", args_text(args, "workdir"));
    if (args_set(args, "detach-keys"))
        set_text(body, "DetachKeys", args_text(args, "detach-keys"));
    if (put_env_options(cli, body, "Env") < 0)
        return failed(cli);
    for (int i = 1; i < args->argc; i++)
        json_array_append_new(array_at(body, "Cmd"), json_string(args->argv[i]));
    if (tty && input && !detaches && !cli->terminal.in)
        return complain(cli, "the input device is not a TTY");
    json_t *made =
        api(cli, "POST", textf(cli, "/containers/%s/exec", escape(cli, args->argv[0])), body);
    if (!made)
        return failed(cli);
    const char *id = text_at(made, "Id");
    if (!detaches)
        return exec_attached(cli, id, tty, input);
    json_t *start = keep(cli, json_pack("{s:b, s:b}", "Detach", 1, "Tty", tty));
    return api(cli, "POST", textf(cli, "/exec/%s/start", id), start) ? 0 : failed(cli);
}

// ---- the table ----------------------------------------------------------------------------------

#define CREATE_FLAGS                                                                               \
    {"add-host", 0, FLAG_HOSTS, "name:ip", "Line of the container's /etc/hosts"},                  \
        {"annotation", 0, FLAG_LIST, "key=value", "Annotation for the runtime"},                   \
        {"attach", 'a', FLAG_LIST, "stream", "Join only stdin, stdout or stderr"},                 \
        {"blkio-weight", 0, FLAG_UINT, "weight", "Share of the disks, 10 to 1000"},                \
        {"blkio-weight-device", 0, FLAG_LIST, "device:n", "The same for one disk"},                \
        {"cap-add", 0, FLAG_LIST, "capability", "Add a Linux capability"},                         \
        {"cap-drop", 0, FLAG_LIST, "capability", "Take a Linux capability away"},                  \
        {"cgroup-parent", 0, FLAG_TEXT, "cgroup", "Cgroup to put it below"},                       \
        {"cgroupns", 0, FLAG_TEXT, "mode", "Cgroup namespace: host or private"},                   \
        {"cidfile", 0, FLAG_TEXT, "file", "Write the container's id there"},                       \
        {"cpu-period", 0, FLAG_INT, "us", "Period of the CPU quota"},                              \
        {"cpu-quota", 0, FLAG_INT, "us", "CPU time in each period"},                               \
        {"cpu-rt-period", 0, FLAG_INT, "us", "Period of the real-time quota"},                     \
        {"cpu-rt-runtime", 0, FLAG_INT, "us", "Real-time CPU time in each period"},                \
        {"cpu-shares", 'c', FLAG_INT, "int", "CPU weight"},                                        \
        {"cpus", 0, FLAG_CPUS, "decimal", "Most processors it may use"},                           \
        {"cpuset-cpus", 0, FLAG_TEXT, "list", "Processors it may run on"},                         \
        {"cpuset-mems", 0, FLAG_TEXT, "list", "Memory nodes it may use"},                          \
        {"device", 0, FLAG_LIST, "device", "Give it a device of the host"},                        \
        {"device-cgroup-rule", 0, FLAG_RULES, "rule", "Rule of its allowed devices"},              \
        {"device-read-bps", 0, FLAG_LIST, "device:rate", "Bytes a second it may read"},            \
        {"device-read-iops", 0, FLAG_LIST, "device:rate", "Reads a second"},                       \
        {"device-write-bps", 0, FLAG_LIST, "device:rate", "Bytes a second it may write"},          \
        {"device-write-iops", 0, FLAG_LIST, "device:rate", "Writes a second"},                     \
        {"disable-content-trust", 0, FLAG_TRUE, NULL, "Signatures are never looked at"},           \
        {"dns", 0, FLAG_IPS, "address", "Name server"},                                            \
        {"dns-option", 0, FLAG_LIST, "option", "Option of the resolver"},                          \
        {"dns-search", 0, FLAG_DOMAINS, "domain", "Domain names are searched in"},                 \
        {"domainname", 0, FLAG_TEXT, "name", "NIS domain name"},                                   \
        {"entrypoint", 0, FLAG_TEXT, "command", "Run this in place of the image's entrypoint"},    \
        {"env", 'e', FLAG_LIST, "KEY=value", "Set a variable of the environment"},                 \
        {"env-file", 0, FLAG_LIST, "file", "Set the variables of a file"},                         \
        {"expose", 0, FLAG_LIST, "port", "Port others may reach"},                                 \
        {"gpus", 0, FLAG_LIST, "gpus", "Give it graphics processors: all, or how many"},           \
        {"group-add", 0, FLAG_LIST, "group", "Further group of the process"},                      \
        {"health-cmd", 0, FLAG_TEXT, "command", "Tells whether it is healthy"},                    \
        {"health-interval", 0, FLAG_DURATION, "duration", "Time between two checks"},              \
        {"health-retries", 0, FLAG_INT, "int", "Failures in a row that make it unhealthy"},        \
        {"health-start-interval", 0, FLAG_DURATION, "duration",                                    \
         "Time between two checks while it starts"},                                               \
        {"health-start-period", 0, FLAG_DURATION, "duration",                                      \
         "Time in which failures do not count"},                                                   \
        {"health-timeout", 0, FLAG_DURATION, "duration", "Longest time of one check"},             \
        {"hostname", 'h', FLAG_TEXT, "name", "Host name"},                                         \
        {"init", 0, FLAG_BOOL, NULL, "Run an init process in it"},                                 \
        {"interactive", 'i', FLAG_BOOL, NULL, "Keep its input open, and send ours"},               \
        {"ip", 0, FLAG_TEXT, "ip", "IPv4 address on its network"},                                 \
        {"ip6", 0, FLAG_TEXT, "ip", "IPv6 address on its network"},                                \
        {"ipc", 0, FLAG_TEXT, "mode", "IPC namespace"},                                            \
        {"isolation", 0, FLAG_TEXT, "mode", "Isolation of Windows containers"},                    \
        {"kernel-memory", 0, FLAG_BYTES, "bytes", "Memory of the kernel (old daemons)"},           \
        {"label", 'l', FLAG_LABELS, "key=value", "Label of the container"},                        \
        {"label-file", 0, FLAG_LIST, "file", "Set the labels of a file"},                          \
        {"link", 0, FLAG_LIST, "container:name", "Name for another container"},                    \
        {"link-local-ip", 0, FLAG_LIST, "ip", "Further address on its network"},                   \
        {"log-driver", 0, FLAG_TEXT, "driver", "Where its output goes"},                           \
        {"log-opt", 0, FLAG_LIST, "key=value", "Option of the log driver"},                        \
        {"mac-address", 0, FLAG_TEXT, "address", "Its MAC address"},                               \
        {"memory", 'm', FLAG_BYTES, "bytes", "Most memory it may use"},                            \
        {"memory-reservation", 0, FLAG_BYTES, "bytes", "Memory it is pressed down to"},            \
        {"memory-swap", 0, FLAG_SWAP, "bytes", "Memory and swap together, -1: no limit"},          \
        {"memory-swappiness", 0, FLAG_INT, "int", "How readily it is swapped out"},                \
        {"mount", 0, FLAG_LIST, "mount", "Mount a volume or a folder"},                            \
        {"name", 0, FLAG_TEXT, "name", "Name of the container"},                                   \
        {"network", 0, FLAG_LIST, "network", "Network it is on"},                                  \
        {"network-alias", 0, FLAG_LIST, "name", "Another name on that network"},                   \
        {"no-healthcheck", 0, FLAG_BOOL, NULL, "Do not check as the image says"},                  \
        {"oom-kill-disable", 0, FLAG_BOOL, NULL, "It is not ended when memory runs out"},          \
        {"oom-score-adj", 0, FLAG_INT, "int", "Who is ended first"},                               \
        {"pid", 0, FLAG_TEXT, "mode", "Process namespace"},                                        \
        {"pids-limit", 0, FLAG_INT, "int", "Most processes"},                                      \
        {"platform", 0, FLAG_TEXT, "platform", "Platform of the image"},                           \
        {"privileged", 0, FLAG_BOOL, NULL, "Give it all rights of the host"},                      \
        {"publish", 'p', FLAG_LIST, "port", "Publish a port of it on the host"},                   \
        {"publish-all", 'P', FLAG_BOOL, NULL, "Publish all exposed ports"},                        \
        {"pull", 0, FLAG_TEXT, "when", "Fetch the image always, when missing, or never"},          \
        {"quiet", 'q', FLAG_BOOL, NULL, "Do not show how the image is fetched"},                   \
        {"read-only", 0, FLAG_BOOL, NULL, "Its root file system is not writable"},                 \
        {"restart", 0, FLAG_TEXT, "policy", "no, always, on-failure[:n], unless-stopped"},         \
        {"rm", 0, FLAG_BOOL, NULL, "Remove it when it ends"},                                      \
        {"runtime", 0, FLAG_TEXT, "runtime", "What runs it"},                                      \
        {"security-opt", 0, FLAG_LIST, "option", "Security option"},                               \
        {"shm-size", 0, FLAG_BYTES, "bytes", "Size of /dev/shm"},                                  \
        {"stop-signal", 0, FLAG_TEXT, "signal", "What asks it to end"},                            \
        {"stop-timeout", 0, FLAG_INT, "seconds", "How long it may take to end"},                   \
        {"storage-opt", 0, FLAG_LIST, "key=value", "Option of its storage"},                       \
        {"sysctl", 0, FLAG_SYSCTLS, "key=value", "Kernel setting"},                                \
        {"tmpfs", 0, FLAG_LIST, "folder", "Folder kept in memory"},                                \
        {"tty", 't', FLAG_BOOL, NULL, "Give it a terminal"},                                       \
        {"ulimit", 0, FLAG_LIST, "name=n:m", "Limit of its processes"},                            \
        {"user", 'u', FLAG_TEXT, "user", "User, and group, of its process"},                       \
        {"userns", 0, FLAG_TEXT, "mode", "User namespace"},                                        \
        {"uts", 0, FLAG_TEXT, "mode", "UTS namespace"},                                            \
        {"volume", 'v', FLAG_LIST, "volume", "Mount a volume or a folder"},                        \
        {"volume-driver", 0, FLAG_TEXT, "driver", "Driver of its volumes"},                        \
        {"volumes-from", 0, FLAG_LIST, "container", "Mount the volumes of a container"},           \
    {                                                                                              \
        "workdir", 'w', FLAG_TEXT, "folder", "Folder its process starts in"                        \
    }

static const struct flag create_flags[] = {CREATE_FLAGS, {0}};
static const struct flag run_flags[] = {
    CREATE_FLAGS,
    {"detach", 'd', FLAG_BOOL, NULL, "Run it in the background and print its id"},
    {"detach-keys", 0, FLAG_TEXT, "keys", "What is typed to leave it (ctrl-p,ctrl-q)"},
    {"sig-proxy", 0, FLAG_BOOL, NULL, "Pass signals on to it (default true)"},
    {0},
};
static const struct flag exec_flags[] = {
    {"detach", 'd', FLAG_BOOL, NULL, "Run it in the background"},
    {"detach-keys", 0, FLAG_TEXT, "keys", "What is typed to leave it (ctrl-p,ctrl-q)"},
    {"env", 'e', FLAG_LIST, "KEY=value", "Set a variable of the environment"},
    {"env-file", 0, FLAG_LIST, "file", "Set the variables of a file"},
    {"interactive", 'i', FLAG_BOOL, NULL, "Send our input"},
    {"privileged", 0, FLAG_BOOL, NULL, "Give it all rights of the host"},
    {"tty", 't', FLAG_BOOL, NULL, "Give it a terminal"},
    {"user", 'u', FLAG_TEXT, "user", "User, and group, of the process"},
    {"workdir", 'w', FLAG_TEXT, "folder", "Folder it starts in"},
    {0},
};
static const struct flag attach_flags[] = {
    {"detach-keys", 0, FLAG_TEXT, "keys", "What is typed to leave it (ctrl-p,ctrl-q)"},
    {"no-stdin", 0, FLAG_BOOL, NULL, "Do not send our input"},
    {"sig-proxy", 0, FLAG_BOOL, NULL, "Pass signals on to it (default true)"},
    {0},
};
static const struct flag start_flags[] = {
    {"attach", 'a', FLAG_BOOL, NULL, "Show its output, and pass signals on"},
    {"detach-keys", 0, FLAG_TEXT, "keys", "What is typed to leave it (ctrl-p,ctrl-q)"},
    {"interactive", 'i', FLAG_BOOL, NULL, "Send our input"},
    {0},
};

const struct command run_commands[] = {
    {"container attach", "[OPTIONS] CONTAINER", "Join this terminal to a container", attach_flags,
     run_attach, 1, 1, 0, "container"},
    {"container create", "[OPTIONS] IMAGE [COMMAND] [ARG...]",
     "Create a container without starting it", create_flags, run_create, 1, COMMAND_MANY,
     COMMAND_STOPS, "image"},
    {"container exec", "[OPTIONS] CONTAINER COMMAND [ARG...]", "Run a command in a container",
     exec_flags, run_exec, 2, COMMAND_MANY, COMMAND_STOPS, "container"},
    {"container run", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a container and start it",
     run_flags, run_run, 1, COMMAND_MANY, COMMAND_STOPS, "image"},
    {"container start", "[OPTIONS] CONTAINER [CONTAINER...]", "Start containers", start_flags,
     run_start, 1, COMMAND_MANY, 0, "container"},
    {0},
};
