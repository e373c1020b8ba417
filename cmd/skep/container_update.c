// skep container update: other limits for containers, without a restart.
#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/restart.h"
#include "proto/base/str.h"

// Options that are a member of the request each.
static const struct {
    const char *flag, *member;
    bool text;
} rows[] = {
    {"blkio-weight", "BlkioWeight", false},
    {"cpu-period", "CpuPeriod", false},
    {"cpu-quota", "CpuQuota", false},
    {"cpu-rt-period", "CpuRealtimePeriod", false},
    {"cpu-rt-runtime", "CpuRealtimeRuntime", false},
    {"cpu-shares", "CpuShares", false},
    {"cpus", "NanoCpus", false},
    {"cpuset-cpus", "CpusetCpus", true},
    {"cpuset-mems", "CpusetMems", true},
    {"memory", "Memory", false},
    {"kernel-memory", "KernelMemory", false},
    {"memory-reservation", "MemoryReservation", false},
    {"memory-swap", "MemorySwap", false},
    {"pids-limit", "PidsLimit", false},
};

static int put_restart(struct cli *cli, json_t *body)
{
    const char *text = args_text(&cli->args, "restart");
    struct restart restart;
    if (!text)
        return 0;
    if (restart_parse(text, &restart, &cli->arena, &cli->error) < 0)
        return -(int)cli->error.code;
    set_text(body, "RestartPolicy.Name", restart.name);
    set_number(body, "RestartPolicy.MaximumRetryCount", restart.retries);
    return 0;
}

static json_t *body_of(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (args_set(args, rows[i].flag) && rows[i].text)
            set_text(body, rows[i].member, args_text(args, rows[i].flag));
        else if (args_set(args, rows[i].flag))
            set_number(body, rows[i].member, args_number(args, rows[i].flag, 0));
    }
    if (put_restart(cli, body) < 0)
        return NULL;
    if (json_object_size(body) == 0) {
        err_set(&cli->error, ERR_INVALID_ARGUMENT,
                "you must provide one or more flags when using this command");
        return NULL;
    }
    return body;
}

static int update_one(struct cli *cli, const char *name)
{
    json_t *body = body_of(cli), *warning;
    size_t i;
    json_t *answer =
        body ? api(cli, "POST", textf(cli, "/containers/%s/update", escape(cli, name)), body)
             : NULL;
    if (!answer)
        return failed(cli);
    json_array_foreach(at(answer, "Warnings"), i, warning)
        warn(cli, "%s\n", str_or(json_string_value(warning), ""));
    say(cli, "%s\n", name);
    return 0;
}

static int run_update(struct cli *cli)
{
    return each_argument(cli, update_one);
}

static const struct flag update_flags[] = {
    {"blkio-weight", 0, FLAG_UINT, "weight", "Share of the disks, 10 to 1000"},
    {"cpu-period", 0, FLAG_INT, "us", "Length of a scheduling period"},
    {"cpu-quota", 0, FLAG_INT, "us", "Processor time in each period"},
    {"cpu-rt-period", 0, FLAG_INT, "us", "The same for real-time processes"},
    {"cpu-rt-runtime", 0, FLAG_INT, "us", "Their processor time in each period"},
    {"cpu-shares", 'c', FLAG_INT, "shares", "Share of the processors when they are short"},
    {"cpus", 0, FLAG_CPUS, "number", "Processors it may use, such as 0.5"},
    {"cpuset-cpus", 0, FLAG_TEXT, "list", "Which processors, such as 0-2"},
    {"cpuset-mems", 0, FLAG_TEXT, "list", "Which memory nodes"},
    {"kernel-memory", 0, FLAG_BYTES, "bytes", "Memory of the kernel (old daemons)"},
    {"memory", 'm', FLAG_BYTES, "bytes", "Memory it may use, such as 64m"},
    {"memory-reservation", 0, FLAG_BYTES, "bytes", "Memory it keeps when memory is short"},
    {"memory-swap", 0, FLAG_SWAP, "bytes", "Memory and swap together, -1 for no limit"},
    {"pids-limit", 0, FLAG_INT, "number", "Processes it may have, -1 for no limit"},
    {"restart", 0, FLAG_TEXT, "policy", "no, always, unless-stopped, on-failure[:times]"},
    {0},
};

const struct command update_commands[] = {
    {"container update", "[OPTIONS] CONTAINER [CONTAINER...]",
     "Change limits of containers while they run", update_flags, run_update, 1, COMMAND_MANY, 0,
     "container"},
    {0},
};
