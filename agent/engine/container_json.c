#include "agent/engine/container_json.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/points.h"
#include "agent/engine/container_net_json.h"
#include "agent/oci/apparmor.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

void human_duration(int64_t seconds, char *out, size_t size)
{
    static const struct {
        int64_t below;
        int64_t unit;
        const char *one; // NULL: plural only
        const char *many;
    } rows[] = {
        {60, 1, NULL, "seconds"},
        {3600, 60, "About a minute", "minutes"},
        {172800, 3600, "About an hour", "hours"},
        {1209600, 86400, NULL, "days"},
        {5184000, 604800, NULL, "weeks"},
        {63072000, 2592000, NULL, "months"},
        {INT64_MAX, 31536000, NULL, "years"},
    };
    if (seconds < 1) {
        str_format(out, size, "Less than a second");
        return;
    }
    if (seconds == 1) {
        str_format(out, size, "1 second");
        return;
    }
    size_t at = 0;
    while (seconds >= rows[at].below)
        at++;
    // Go rounds hours to the nearest.
    int64_t count = rows[at].unit == 3600 ? (seconds + 1800) / 3600 : seconds / rows[at].unit;
    if (count <= 1 && rows[at].one)
        str_format(out, size, "%s", rows[at].one);
    else
        str_format(out, size, "%lld %s", (long long)count, rows[at].many);
}

static void write_time(struct json_out *out, const char *key, struct wall at)
{
    char text[WALL_TEXT_BYTES];
    json_out_str(out, key, at.ns ? wall_format(at, text) : "0001-01-01T00:00:00Z");
}

static void status_text(const struct crate *crate, char *out, size_t size)
{
    struct wall now = wall_now();
    char since[64];
    int64_t up = wall_since(now, crate->started) / NS_PER_S;
    int64_t down = wall_since(now, crate->finished) / NS_PER_S;
    human_duration(crate_running(crate) ? up : down, since, sizeof since);
    switch (crate->state) {
    case CRATE_CREATED:
        str_format(out, size, "Created");
        return;
    case CRATE_PAUSED:
        str_format(out, size, "Up %s (Paused)", since);
        return;
    case CRATE_RUNNING:
        if (crate->health)
            str_format(out, size, "Up %s (%s%s)", since,
                       str_equal(crate->health, "starting") ? "health: " : "", crate->health);
        else
            str_format(out, size, "Up %s", since);
        return;
    case CRATE_RESTARTING:
        str_format(out, size, "Restarting (%d) %s ago", crate->exit_code, since);
        return;
    case CRATE_EXITED:
        str_format(out, size, "Exited (%d) %s ago", crate->exit_code, since);
        return;
    case CRATE_REMOVING:
        break;
    }
    str_format(out, size, "Removal In Progress");
}

// ---- the command -------------------------------------------------------------------------------

static const char *word_at(const json_t *list, size_t index)
{
    return str_or(json_string_value(json_array_get(list, index)), "");
}

// The program and its arguments, the entrypoint first.
static size_t words_count(const struct crate *crate)
{
    return json_array_size(config_of(crate->config, "Entrypoint")) +
           json_array_size(config_of(crate->config, "Cmd"));
}

static const char *word_of(const struct crate *crate, size_t index)
{
    const json_t *first = config_of(crate->config, "Entrypoint");
    size_t count = json_array_size(first);
    return index < count ? word_at(first, index)
                         : word_at(config_of(crate->config, "Cmd"), index - count);
}

static void write_command(const struct crate *crate, struct json_out *out)
{
    struct buf text;
    buf_init(&text, 1u << 20);
    for (size_t i = 0; i < words_count(crate); i++) {
        if (i)
            buf_put_u8(&text, ' ');
        const char *word = word_of(crate, i);
        buf_printf(&text, strchr(word, ' ') ? "'%s'" : "%s", word);
    }
    json_out_str(out, "Command", buf_cstr(&text));
    buf_fini(&text);
}

// ---- list and inspect --------------------------------------------------------------------------

// What a list shows of the image: its name, or its id when the name is another's by now.
void container_write_row(const struct crate *crate, const struct container_size *size,
                         struct json_out *out)
{
    char status[128], name[CRATE_NAME_BYTES + 1];
    status_text(crate, status, sizeof status);
    str_format(name, sizeof name, "/%s", crate->name);
    json_out_object(out, NULL);
    json_out_str(out, "Id", crate->id);
    json_out_array(out, "Names");
    json_out_str(out, NULL, name);
    json_out_end(out);
    json_out_str(out, "Image", config_str(crate->config, "Image"));
    json_out_str(out, "ImageID", crate->image_id);
    write_command(crate, out);
    json_out_int(out, "Created", crate->created.ns / NS_PER_S);
    container_write_port_list(crate, out);
    if (size && size->rw >= 0)
        json_out_int(out, "SizeRw", size->rw);
    if (size && size->root >= 0)
        json_out_int(out, "SizeRootFs", size->root);
    json_out_value(out, "Labels", config_of(crate->config, "Labels"));
    json_out_str(out, "State", crate_state_name(crate));
    json_out_str(out, "Status", status);
    json_out_object(out, "HostConfig");
    json_out_str(out, "NetworkMode", config_str(crate->host, "NetworkMode"));
    json_out_end(out);
    json_out_object(out, "NetworkSettings");
    container_write_networks(crate, 0, out);
    json_out_end(out);
    points_write(crate->points, out, "Mounts");
    json_out_end(out);
}

static void write_health_log(const json_t *log, struct json_out *out)
{
    json_out_array(out, "Log");
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *entry = json_array_get(log, i);
        json_out_object(out, NULL);
        json_out_str(out, "Start", config_str(entry, "Start"));
        json_out_str(out, "End", config_str(entry, "End"));
        json_out_int(out, "ExitCode", config_int(entry, "ExitCode"));
        json_out_str(out, "Output", config_str(entry, "Output"));
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_state(const struct crate *crate, struct json_out *out)
{
    json_out_object(out, "State");
    json_out_str(out, "Status", crate_state_name(crate));
    json_out_bool(out, "Running", crate_running(crate) || crate->state == CRATE_RESTARTING);
    json_out_bool(out, "Paused", crate->state == CRATE_PAUSED);
    json_out_bool(out, "Restarting", crate->state == CRATE_RESTARTING);
    json_out_bool(out, "OOMKilled", crate->oom_killed);
    json_out_bool(out, "Dead", false);
    json_out_int(out, "Pid", crate->pid);
    json_out_int(out, "ExitCode", crate->exit_code);
    json_out_str(out, "Error", crate->error);
    write_time(out, "StartedAt", crate->started);
    write_time(out, "FinishedAt", crate->finished);
    if (crate->health) {
        json_out_object(out, "Health");
        json_out_str(out, "Status", crate->health);
        json_out_int(out, "FailingStreak", crate->health_failing);
        write_health_log(crate->health_log, out);
        json_out_end(out);
    }
    json_out_end(out);
}

static const char *const masked[] = {
    "/proc/asound",        "/proc/acpi",       "/proc/kcore",       "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi",          "/sys/firmware",
};
static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                       "/proc/sysrq-trigger"};

static void write_paths(struct json_out *out, const char *key, const char *const *paths,
                        size_t count)
{
    json_out_array(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, NULL, paths[i]);
    json_out_end(out);
}

static void write_host(const struct crate *crate, struct json_out *out)
{
    const char *key;
    json_t *value;
    bool privileged = config_bool(crate->host, "Privileged");
    json_out_object(out, "HostConfig");
    json_object_foreach(crate->host, key, value)
    {
        if (!privileged && str_equal(key, "MaskedPaths") && !json_is_array(value))
            write_paths(out, key, masked, COUNT_OF(masked));
        else if (!privileged && str_equal(key, "ReadonlyPaths") && !json_is_array(value))
            write_paths(out, key, readonly, COUNT_OF(readonly));
        else if (str_equal(key, "Runtime") && str_empty(json_string_value(value)))
            json_out_str(out, key, runtime_program(crates_runtime(crate->crates)));
        else
            json_out_value(out, key, value);
    }
    json_out_end(out);
}

static void write_driver(const struct crate *crate, struct json_out *out)
{
    const char *root = images_root(crates_images(crate->crates));
    static const struct {
        const char *key;
        const char *folder;
    } rows[] = {{"MergedDir", "merged"}, {"UpperDir", "upper"}, {"WorkDir", "work"}};
    char path[4096];
    const char *hex = strchr(crate->image_id, ':');
    json_out_object(out, "GraphDriver");
    json_out_object(out, "Data");
    str_format(path, sizeof path, "%s/trees/%s", root, hex ? hex + 1 : "");
    json_out_str(out, "LowerDir", path);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        str_format(path, sizeof path, "%s/layers/%s/%s", root, crate->id, rows[i].folder);
        json_out_str(out, rows[i].key, path);
    }
    json_out_end(out);
    json_out_str(out, "Name", "overlay2");
    json_out_end(out);
}

static void write_file(const struct crate *crate, const char *key, const char *file,
                       struct json_out *out)
{
    const char *dir = runtime_dir(crates_runtime(crate->crates), crate->id);
    char path[4096];
    str_format(path, sizeof path, "%s/etc/%s", str_or(dir, ""), file);
    json_out_str(out, key, dir ? path : "");
}

static void write_execs(const struct crate *crate, struct json_out *out)
{
    size_t count = 0;
    for (const struct crate_exec *exec = NULL; (exec = crate_exec_next(crate, exec));)
        if (exec->running) {
            if (!count++)
                json_out_array(out, "ExecIDs");
            json_out_str(out, NULL, exec->id);
        }
    if (count)
        json_out_end(out);
    else
        json_out_null(out, "ExecIDs");
}

// The profile it was given, or would be. "" where this machine confines nothing by itself.
static const char *apparmor_of(const struct crate *crate)
{
    static const char key[] = "apparmor";
    const char *unasked = runtime_apparmor(crates_runtime(crate->crates));
    const char *named = NULL, *text;
    const json_t *options = config_of(crate->host, "SecurityOpt");
    for (size_t i = 0; i < json_array_size(options); i++) {
        text = json_string_value(json_array_get(options, i));
        if (str_starts(text, key) && (text[sizeof key - 1] == '=' || text[sizeof key - 1] == ':'))
            named = text + sizeof key;
    }
    const char *profile = bundle_apparmor(named, config_bool(crate->host, "Privileged"), unasked);
    return profile ? profile : unasked ? APPARMOR_UNCONFINED : "";
}

void container_write(const struct crate *crate, const struct container_size *size, unsigned minor,
                     struct json_out *out)
{
    char name[CRATE_NAME_BYTES + 1], created[WALL_TEXT_BYTES];
    str_format(name, sizeof name, "/%s", crate->name);
    json_out_object(out, NULL);
    json_out_str(out, "Id", crate->id);
    json_out_str(out, "Created", wall_format(crate->created, created));
    json_out_str(out, "Path", words_count(crate) ? word_of(crate, 0) : "");
    json_out_array(out, "Args");
    for (size_t i = 1; i < words_count(crate); i++)
        json_out_str(out, NULL, word_of(crate, i));
    json_out_end(out);
    write_state(crate, out);
    json_out_str(out, "Image", crate->image_id);
    write_file(crate, "ResolvConfPath", "resolv.conf", out);
    write_file(crate, "HostnamePath", "hostname", out);
    write_file(crate, "HostsPath", "hosts", out);
    json_out_str(out, "LogPath", crate->log_path);
    json_out_str(out, "Name", name);
    json_out_uint(out, "RestartCount", crate->restart_count);
    json_out_str(out, "Driver", "overlay2");
    json_out_str(out, "Platform", "linux");
    json_out_str(out, "MountLabel", "");
    json_out_str(out, "ProcessLabel", "");
    json_out_str(out, "AppArmorProfile", apparmor_of(crate));
    write_execs(crate, out);
    write_host(crate, out);
    write_driver(crate, out);
    if (size && size->rw >= 0)
        json_out_int(out, "SizeRw", size->rw);
    if (size && size->root >= 0)
        json_out_int(out, "SizeRootFs", size->root);
    points_write(crate->points, out, "Mounts");
    json_out_value(out, "Config", crate->config);
    container_write_network_settings(crate, minor, out);
    json_out_end(out);
}

void exec_write(const struct crate_exec *exec, struct json_out *out)
{
    const json_t *words = config_of(exec->config, "Cmd");
    json_out_object(out, NULL);
    json_out_str(out, "ID", exec->id);
    json_out_bool(out, "Running", exec->running);
    if (exec->started && !exec->running)
        json_out_int(out, "ExitCode", exec->exit_code);
    else
        json_out_null(out, "ExitCode");
    json_out_object(out, "ProcessConfig");
    json_out_bool(out, "tty", config_bool(exec->config, "Tty"));
    json_out_str(out, "entrypoint", word_at(words, 0));
    json_out_array(out, "arguments");
    for (size_t i = 1; i < json_array_size(words); i++)
        json_out_str(out, NULL, word_at(words, i));
    json_out_end(out);
    json_out_bool(out, "privileged", config_bool(exec->config, "Privileged"));
    if (!str_empty(config_str(exec->config, "User")))
        json_out_str(out, "user", config_str(exec->config, "User"));
    json_out_end(out);
    json_out_bool(out, "OpenStdin", config_bool(exec->config, "AttachStdin"));
    json_out_bool(out, "OpenStderr", config_bool(exec->config, "AttachStderr"));
    json_out_bool(out, "OpenStdout", config_bool(exec->config, "AttachStdout"));
    json_out_bool(out, "CanRemove", false);
    json_out_str(out, "ContainerID", exec->container_id);
    json_out_str(out, "DetachKeys", config_str(exec->config, "DetachKeys"));
    json_out_int(out, "Pid", exec->exec ? runtime_exec_pid(exec->exec) : exec->pid);
    json_out_end(out);
}
