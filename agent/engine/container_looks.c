// Looking into containers: stats, top, what changed.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/sample_io.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/process_io.h"
#include "proto/base/str.h"

#define STATS_MS     1000
#define TOP_BYTES    (4u << 20)
#define TOP_ARGS_MAX 16
#define TOP_PIDS_MAX 4096
#define CHANGES_MAX  1000000

// ---- stats -------------------------------------------------------------------------------------

struct watching {
    struct errand errand;
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    struct loop_timer timer;
    struct sample before, now;
    bool stream;
    bool second; // of two samples for one answer
};

static void write_cpu(const struct sample *sample, const char *key, struct json_out *out)
{
    const struct cgroup_stats *stats = &sample->cgroup;
    json_out_object(out, key);
    json_out_object(out, "cpu_usage");
    json_out_uint(out, "total_usage", stats->cpu_usage_ns);
    if (sample->cpu_count) {
        json_out_array(out, "percpu_usage");
        for (size_t i = 0; i < sample->cpu_count; i++)
            json_out_uint(out, NULL, sample->cpu_ns[i]);
        json_out_end(out);
    }
    json_out_uint(out, "usage_in_kernelmode", stats->cpu_system_ns);
    json_out_uint(out, "usage_in_usermode", stats->cpu_user_ns);
    json_out_end(out);
    if (sample->system_cpu_ns)
        json_out_uint(out, "system_cpu_usage", sample->system_cpu_ns);
    if (sample->cpus)
        json_out_uint(out, "online_cpus", sample->cpus);
    json_out_object(out, "throttling_data");
    json_out_uint(out, "periods", stats->throttle_periods);
    json_out_uint(out, "throttled_periods", stats->throttled_periods);
    json_out_uint(out, "throttled_time", stats->throttled_ns);
    json_out_end(out);
    json_out_end(out);
}

static void write_memory(const struct sample *sample, struct json_out *out)
{
    const struct cgroup_stats *stats = &sample->cgroup;
    json_out_object(out, "memory_stats");
    if (sample->cpus) {
        uint64_t limit =
            stats->memory_limit_bytes && stats->memory_limit_bytes < sample->memory_total
                ? stats->memory_limit_bytes
                : sample->memory_total;
        json_out_uint(out, "usage", stats->memory_bytes);
        if (stats->memory_max_bytes)
            json_out_uint(out, "max_usage", stats->memory_max_bytes);
        json_out_object(out, "stats");
        for (size_t i = 0; i < sample->memory_count; i++)
            json_out_uint(out, sample->memory[i].key, sample->memory[i].value);
        json_out_end(out);
        json_out_uint(out, "limit", limit);
    }
    json_out_end(out);
}

static void write_io(const struct sample *sample, struct json_out *out)
{
    static const char *const empty[] = {"io_queue_recursive",     "io_service_time_recursive",
                                        "io_wait_time_recursive", "io_merged_recursive",
                                        "io_time_recursive",      "sectors_recursive"};
    const struct {
        const char *key;
        uint64_t read, write;
    } rows[] = {
        {"io_service_bytes_recursive", sample->cgroup.io_read_bytes, sample->cgroup.io_write_bytes},
        {"io_serviced_recursive", sample->cgroup.io_reads, sample->cgroup.io_writes},
    };
    json_out_object(out, "blkio_stats");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_out_array(out, rows[i].key);
        for (int write = 0; write < 2 && (rows[i].read || rows[i].write); write++) {
            json_out_object(out, NULL);
            json_out_uint(out, "major", 0);
            json_out_uint(out, "minor", 0);
            json_out_str(out, "op", write ? "write" : "read");
            json_out_uint(out, "value", write ? rows[i].write : rows[i].read);
            json_out_end(out);
        }
        json_out_end(out);
    }
    for (size_t i = 0; i < COUNT_OF(empty); i++) {
        json_out_array(out, empty[i]);
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_links(const struct sample *sample, struct json_out *out)
{
    if (!sample->links_count)
        return;
    json_out_object(out, "networks");
    for (size_t i = 0; i < sample->links_count; i++) {
        const struct sample_link *link = &sample->links[i];
        json_out_object(out, link->name);
        json_out_uint(out, "rx_bytes", link->rx_bytes);
        json_out_uint(out, "rx_packets", link->rx_packets);
        json_out_uint(out, "rx_errors", link->rx_errors);
        json_out_uint(out, "rx_dropped", link->rx_dropped);
        json_out_uint(out, "tx_bytes", link->tx_bytes);
        json_out_uint(out, "tx_packets", link->tx_packets);
        json_out_uint(out, "tx_errors", link->tx_errors);
        json_out_uint(out, "tx_dropped", link->tx_dropped);
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_stats(const struct watching *watching, const struct crate *crate,
                        struct json_out *out)
{
    char time[WALL_TEXT_BYTES], name[CRATE_NAME_BYTES + 1];
    const struct sample *now = &watching->now, *before = &watching->before;
    json_out_object(out, NULL);
    json_out_str(out, "read", now->cpus ? wall_format(now->at, time) : "0001-01-01T00:00:00Z");
    json_out_str(out, "preread",
                 before->cpus ? wall_format(before->at, time) : "0001-01-01T00:00:00Z");
    json_out_object(out, "pids_stats");
    if (now->cgroup.pids)
        json_out_uint(out, "current", now->cgroup.pids);
    if (now->cgroup.pids_limit)
        json_out_uint(out, "limit", now->cgroup.pids_limit);
    json_out_end(out);
    write_io(now, out);
    json_out_uint(out, "num_procs", 0);
    json_out_object(out, "storage_stats");
    json_out_end(out);
    write_cpu(now, "cpu_stats", out);
    write_cpu(before, "precpu_stats", out);
    write_memory(now, out);
    str_format(name, sizeof name, "/%s", crate->name);
    json_out_str(out, "name", name);
    json_out_str(out, "id", crate->id);
    write_links(now, out);
    json_out_end(out);
}

static void send_stats(struct watching *watching, const struct crate *crate)
{
    struct request *request = watching->errand.request;
    struct buf text;
    struct json_out out;
    buf_init(&text, 64u << 10);
    json_out_init(&out, &text);
    write_stats(watching, crate, &out);
    buf_put_u8(&text, '\n');
    request_stream_write(request, text.data, text.len);
    buf_fini(&text);
    if (!watching->stream)
        request_stream_end(request);
}

static void stats_fire(struct loop_timer *timer)
{
    struct watching *watching = CONTAINER_OF(timer, struct watching, timer);
    struct request *request = watching->errand.request;
    const struct crate *crate = crates_find(watching->crates, watching->id, NULL);
    if (!crate) {
        request_stream_end(request);
        return;
    }
    watching->before = watching->now;
    sample_take(crate, &watching->now);
    loop_timer_start(timer, STATS_MS);
    if (request_room(request) > 0) // a slow reader misses samples
        send_stats(watching, crate);
}

static void stats_gone(struct errand *errand)
{
    struct watching *watching = CONTAINER_OF(errand, struct watching, errand);
    loop_timer_stop(&watching->timer);
}

static void stats(struct request *request)
{
    struct crate *crate = container_find(request);
    if (!crate)
        return;
    const char *stream = request_query(request, "stream");
    struct watching *watching = errand_new(request, sizeof *watching);
    watching->errand.gone = stats_gone;
    watching->crates = crate->crates;
    watching->stream = str_empty(stream) || request_flag(request, "stream");
    str_copy(watching->id, sizeof watching->id, crate->id);
    loop_timer_init(&watching->timer, request_loop(request), stats_fire);
    sample_take(crate, &watching->now);
    request_stream(request, 200, "application/json");
    bool at_once = watching->stream || request_flag(request, "one-shot") || !crate_running(crate);
    if (at_once)
        send_stats(watching, crate);
    if (watching->stream || !at_once)
        loop_timer_start(&watching->timer, STATS_MS);
}

// ---- top ---------------------------------------------------------------------------------------

struct listing_of {
    struct errand errand;
    pid_t pids[TOP_PIDS_MAX];
    size_t count;
};

static bool has_pid(const struct listing_of *top, const char *text)
{
    int64_t pid;
    if (!str_to_i64(text, 1, INT32_MAX, &pid))
        return false;
    for (size_t i = 0; i < top->count; i++)
        if (top->pids[i] == (pid_t)pid)
            return true;
    return false;
}

// Splits a line of ps into at most `most` words; the last one takes the rest.
static size_t words_of(char *line, char **words, size_t most)
{
    size_t count = 0;
    for (char *at = line; *at && count < most;) {
        at += strspn(at, " \t");
        if (!*at)
            break;
        words[count++] = at;
        if (count == most)
            break;
        at += strcspn(at, " \t");
        if (*at)
            *at++ = '\0';
    }
    return count;
}

#define TOP_COLUMNS_MAX 64

static void top_done(void *owner, const struct process_result *result)
{
    struct listing_of *top = owner;
    if (!errand_back(&top->errand))
        return;
    struct request *request = top->errand.request;
    struct err err = ERR_INIT;
    char *titles[TOP_COLUMNS_MAX], *words[TOP_COLUMNS_MAX];
    if (result->exit_code && *result->err) {
        // The first line says what is wrong; the others say how ps is called.
        request_fail(request, 500, "ps: %.*s", (int)strcspn(result->err, "\n"), result->err);
        return;
    }
    if (process_check(result, "ps", &err)) {
        request_fail(request, 500, "error running %s", err.message);
        return;
    }
    char *text = str_dup(result->out), *line = text, *save = NULL;
    line = strtok_r(text, "\n", &save);
    size_t columns = line ? words_of(line, titles, TOP_COLUMNS_MAX) : 0, pid_at = 0;
    while (pid_at < columns && !str_equal(titles[pid_at], "PID"))
        pid_at++;
    if (pid_at == columns) {
        free(text);
        request_fail(request, 500, "couldn't find PID field in ps output");
        return;
    }
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_array(out, "Titles");
    for (size_t i = 0; i < columns; i++)
        json_out_str(out, NULL, titles[i]);
    json_out_end(out);
    json_out_array(out, "Processes");
    while ((line = strtok_r(NULL, "\n", &save))) {
        size_t count = words_of(line, words, columns);
        if (count != columns || !has_pid(top, words[pid_at]))
            continue;
        json_out_array(out, NULL);
        for (size_t i = 0; i < columns; i++)
            json_out_str(out, NULL, words[i]);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
    free(text);
    request_send(request, 200);
}

static void top(struct request *request)
{
    struct crate *crate = container_find(request);
    struct err err = ERR_INIT;
    if (!crate)
        return;
    if (!crate_running(crate)) {
        request_fail(request, 409, "Container %s is not running", crate->id);
        return;
    }
    struct listing_of *listing = errand_new(request, sizeof *listing);
    int count =
        runtime_pids(crates_runtime(crate->crates), crate->id, listing->pids, TOP_PIDS_MAX, &err);
    listing->count = count < 0 ? 0 : count < TOP_PIDS_MAX ? (size_t)count : TOP_PIDS_MAX;
    char *args =
        arena_strdup(request_arena(request), str_or(request_query(request, "ps_args"), "-ef"));
    const char *argv[TOP_ARGS_MAX + 2] = {"ps"};
    char *words[TOP_ARGS_MAX];
    size_t used = args ? words_of(args, words, TOP_ARGS_MAX) : 0;
    for (size_t i = 0; i < used; i++)
        argv[i + 1] = words[i];
    struct process_spec spec = {.argv = argv, .output_bytes_max = TOP_BYTES, .timeout_ms = 10000};
    if (count < 0 || process_start(request_loop(request), &spec, top_done, listing, NULL, &err)) {
        request_fail(request, 500, "%s", err.message);
        return;
    }
    crate_tell(crate, "top", NULL);
    errand_await(&listing->errand);
}

// ---- changes -----------------------------------------------------------------------------------

struct changes {
    struct json_out *out;
    size_t count;
    bool etc_waits;
};

// Files that every container gets from its node, with what they lie in: no changes of its own.
static bool is_node_made(const char *path)
{
    static const char *const files[] = {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"};
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (str_equal(path, files[i]))
            return true;
    return false;
}

static void write_change(struct changes *changes, char kind, const char *path)
{
    if (changes->count++ > CHANGES_MAX)
        return;
    json_out_object(changes->out, NULL);
    json_out_str(changes->out, "Path", path);
    json_out_int(changes->out, "Kind", kind == 'A' ? 1 : kind == 'D' ? 2 : 0);
    json_out_end(changes->out);
}

// A folder comes before what lies in it: /etc is told of once something else there has changed.
static void one_change(void *owner, char kind, const char *path)
{
    struct changes *changes = owner;
    if (is_node_made(path))
        return;
    if (str_equal(path, "/etc") && kind == 'C') {
        changes->etc_waits = true;
        return;
    }
    if (changes->etc_waits && str_starts(path, "/etc/"))
        write_change(changes, 'C', "/etc");
    changes->etc_waits = changes->etc_waits && !str_starts(path, "/etc/");
    write_change(changes, kind, path);
}

static void diff(struct request *request)
{
    struct crate *crate = container_find(request);
    struct err err = ERR_INIT;
    if (!crate)
        return;
    struct changes changes = {.out = request_write(request)};
    json_out_array(changes.out, NULL);
    if (rootfs_diff(images_root(crates_images(crate->crates)), crate->id, one_change, &changes,
                    &err)) {
        request_fail(request, 500, "%s", err.message);
        return;
    }
    json_out_end(changes.out);
    if (!changes.count) // none is null
        json_out_null(request_write(request), NULL);
    request_send(request, 200);
}

static const struct endpoint rows[] = {
    {"GET", "/containers/{id}/stats", stats},
    {"GET", "/containers/{id}/top", top},
    {"GET", "/containers/{id}/changes", diff},
};
ENDPOINTS(container_look_endpoints, rows);
