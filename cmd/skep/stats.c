// skep stats: what containers use, live or once.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/interrupt_io.h"
#include "cmd/skep/text.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define WATCHED_MAX      512
#define TURN_MS          1000
#define SAMPLE_BYTES_MAX (1u << 20)

// A container that is watched: its stream, and the last sample, which is one line of JSON.
struct watched {
    struct cli *cli;
    const char *name; // as the user said it
    struct stream *stream;
    struct buf line; // what came of the next one
    json_t *sample;  // NULL: none yet
};

static bool on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
    struct watched *it = owner;
    for (size_t i = 0; i < size; i++) {
        buf_put_u8(&it->line, bytes[i]);
        if (bytes[i] != '\n')
            continue;
        json_t *sample = json_parse((const char *)it->line.data, it->line.len, NULL);
        buf_clear(&it->line);
        if (!sample)
            continue;
        json_decref(it->sample);
        it->sample = sample;
    }
    return buf_ok(&it->line);
}

// ---- a row --------------------------------------------------------------------------------------

static double cpu_percent(const json_t *sample)
{
    double used = (double)(number_at(sample, "cpu_stats.cpu_usage.total_usage") -
                           number_at(sample, "precpu_stats.cpu_usage.total_usage"));
    double system = (double)(number_at(sample, "cpu_stats.system_cpu_usage") -
                             number_at(sample, "precpu_stats.system_cpu_usage"));
    double processors = (double)number_at(sample, "cpu_stats.online_cpus");
    if (processors <= 0)
        processors = (double)json_array_size(at(sample, "cpu_stats.cpu_usage.percpu_usage"));
    return system > 0 && used > 0 ? used / system * processors * 100 : 0;
}

// Without what the kernel would give back at once, as docker counts.
static double memory_used(const json_t *sample)
{
    double used = (double)number_at(sample, "memory_stats.usage");
    double cached = (double)(at(sample, "memory_stats.stats.total_inactive_file")
                                 ? number_at(sample, "memory_stats.stats.total_inactive_file")
                                 : number_at(sample, "memory_stats.stats.inactive_file"));
    return cached < used ? used - cached : used;
}

static void put_io(struct cli *cli, json_t *row, const json_t *sample)
{
    double in = 0, out = 0, read = 0, written = 0;
    const char *key;
    json_t *link, *entry;
    size_t i;
    json_object_foreach(at(sample, "networks"), key, link)
    {
        in += (double)number_at(link, "rx_bytes");
        out += (double)number_at(link, "tx_bytes");
    }
    json_array_foreach(at(sample, "blkio_stats.io_service_bytes_recursive"), i, entry)
    {
        double bytes = (double)number_at(entry, "value");
        read += str_equal_case(text_at(entry, "op"), "read") ? bytes : 0;
        written += str_equal_case(text_at(entry, "op"), "write") ? bytes : 0;
    }
    row_set(
        row, "NetIO",
        textf(cli, "%s / %s", text_size_short(in, &cli->arena), text_size_short(out, &cli->arena)));
    row_set(row, "BlockIO",
            textf(cli, "%s / %s", text_size_short(read, &cli->arena),
                  text_size_short(written, &cli->arena)));
}

static json_t *row_of(struct cli *cli, const struct watched *it)
{
    static const char *const keys[] = {"CPUPerc", "MemUsage", "MemPerc",
                                       "NetIO",   "BlockIO",  "PIDs"};
    const json_t *sample = it->sample;
    json_t *row = row_new(cli, NULL);
    bool full = args_on(&cli->args, "no-trunc");
    const char *id = str_or(text_at(sample, "id"), it->name), *name = text_at(sample, "name");
    row_set(row, "ID", full ? id : text_short_id(id, &cli->arena));
    row_set(row, "Container", it->name);
    row_set(row, "Name", *name == '/' ? name + 1 : str_or(name, "--"));
    // One that does not run has no numbers.
    bool runs =
        number_at(sample, "pids_stats.current") > 0 || number_at(sample, "memory_stats.usage");
    for (size_t i = 0; !runs && i < COUNT_OF(keys); i++)
        row_set(row, keys[i], "--");
    if (!runs)
        return row;
    double used = memory_used(sample), limit = (double)number_at(sample, "memory_stats.limit");
    row_set(row, "CPUPerc", textf(cli, "%.2f%%", cpu_percent(sample)));
    row_set(row, "MemUsage",
            textf(cli, "%s / %s", text_size_binary(used, &cli->arena),
                  text_size_binary(limit, &cli->arena)));
    row_set(row, "MemPerc", textf(cli, "%.2f%%", limit > 0 ? used / limit * 100 : 0));
    row_set(row, "PIDs", textf(cli, "%lld", (long long)number_at(sample, "pids_stats.current")));
    put_io(cli, row, sample);
    return row;
}

// ---- watching -----------------------------------------------------------------------------------

struct watch {
    struct watched *list;
    size_t count;
};

static int begin(struct cli *cli, struct watched *it, const char *name, bool once)
{
    *it = (struct watched){.cli = cli, .name = name};
    buf_init(&it->line, SAMPLE_BYTES_MAX);
    struct stream_request request = {
        .method = "GET",
        .target = textf(cli, "/containers/%s/stats?stream=%d", escape(cli, name), once ? 0 : 1),
        .upload_fd = -1,
        .on_data = on_bytes,
        .owner = it};
    it->stream = stream_start(cli, &request);
    return it->stream ? 0 : -(int)cli->error.code;
}

// Every one has a sample, or will get none.
static bool all_told(void *context)
{
    const struct watch *watch = context;
    for (size_t i = 0; i < watch->count; i++)
        if (!watch->list[i].sample && !stream_done(watch->list[i].stream))
            return false;
    return true;
}

static json_t *names_wanted(struct cli *cli)
{
    json_t *names = keep(cli, json_array()), *containers, *one;
    size_t i;
    for (int k = 0; k < cli->args.argc; k++)
        json_array_append_new(names, json_string(cli->args.argv[k]));
    if (cli->args.argc)
        return names;
    containers = api_get(cli, "/containers/json?all=%d", args_on(&cli->args, "all"));
    json_array_foreach(containers, i, one) json_array_append_new(
        names, json_string(args_on(&cli->args, "no-trunc")
                               ? text_at(one, "Id")
                               : text_short_id(text_at(one, "Id"), &cli->arena)));
    return containers ? names : NULL;
}

static int show(struct cli *cli, const struct watch *watch)
{
    static const struct column columns[] = {{"ID", "CONTAINER ID"},
                                            {"Container", "CONTAINER"},
                                            {"Name", "NAME"},
                                            {"CPUPerc", "CPU %"},
                                            {"MemUsage", "MEM USAGE / LIMIT"},
                                            {"MemPerc", "MEM %"},
                                            {"NetIO", "NET I/O"},
                                            {"BlockIO", "BLOCK I/O"},
                                            {"PIDs", "PIDS"},
                                            {0}};
    static const struct listing listing = {
        columns,
        "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t"
        "{{.BlockIO}}\t{{.PIDs}}",
        NULL, "statsFormat"};
    json_t *rows = keep(cli, json_array());
    for (size_t i = 0; i < watch->count; i++)
        if (watch->list[i].sample)
            json_array_append(rows, row_of(cli, &watch->list[i]));
    return show_list(cli, &listing, rows);
}

// Redraws until interrupted, or until all have ended.
static int follow(struct cli *cli, struct watch *watch)
{
    struct interrupt interrupt;
    int status = 0;
    bool going = true;
    interrupt_open(&interrupt, cli);
    do {
        // What a turn needs is given back after it: this may run for days.
        struct arena saved = cli->arena;
        json_t *kept = cli->kept;
        arena_init(&cli->arena, CLI_ARENA_BYTES_MAX);
        cli->kept = json_array();
        if (cli->terminal.out)
            say(cli, "\033[2J\033[H");
        status = show(cli, watch);
        say_flush(cli);
        json_decref(cli->kept);
        arena_fini(&cli->arena);
        cli->arena = saved;
        cli->kept = kept;
        going = false;
        for (size_t i = 0; i < watch->count; i++)
            going |= !stream_done(watch->list[i].stream);
    } while (status == 0 && going && !interrupt_wait(&interrupt, TURN_MS));
    interrupt_close(&interrupt);
    return status;
}

static int run_stats(struct cli *cli)
{
    bool once = args_on(&cli->args, "no-stream");
    json_t *names = names_wanted(cli), *name;
    size_t i;
    int status = 0;
    if (!names)
        return failed(cli);
    if (json_array_size(names) > WATCHED_MAX)
        return complain(cli, "at most %d containers can be watched at a time", WATCHED_MAX);
    struct watch watch = {.list = mem_alloc_array(json_array_size(names) + 1, sizeof *watch.list)};
    json_array_foreach(names, i, name) if (status == 0 && begin(cli, &watch.list[watch.count++],
                                                                json_string_value(name), once) < 0)
        status = failed(cli);
    if (status == 0)
        client_wait(cli, all_told, &watch);
    // A container that is not there is told, and the others are shown.
    for (i = 0; status == 0 && i < watch.count; i++)
        if (!watch.list[i].sample && stream_wait(watch.list[i].stream) < 0 && failed(cli))
            status = cli->args.argc ? 1 : 0;
    if (status == 0)
        status = once ? show(cli, &watch) : follow(cli, &watch);
    for (i = 0; i < watch.count; i++) {
        if (watch.list[i].stream)
            stream_free(watch.list[i].stream);
        json_decref(watch.list[i].sample);
        buf_fini(&watch.list[i].line);
    }
    free(watch.list);
    return status;
}

static const struct flag stats_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "Also containers that do not run"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"no-stream", 0, FLAG_BOOL, NULL, "Print once, and end"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Print whole ids"},
    {0},
};

const struct command stats_commands[] = {
    {"container stats", "[OPTIONS] [CONTAINER...]", "Show what containers use", stats_flags,
     run_stats, 0, COMMAND_MANY, 0, "container"},
    {0},
};
