#include "cmd/skepd/figures_io.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/crate/crates_io.h"
#include "agent/net/nets_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/metrics.h"
#include "proto/base/str.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

#define SMALL_FILE_BYTES 4096

// ---- engine_daemon_* ----------------------------------------------------------------------------

static void put_engine(const struct figures_parts *parts, struct buf *out)
{
    (void)parts;
    struct utsname machine = {0};
    struct sysinfo memory = {0};
    uname(&machine);
    sysinfo(&memory);
    const struct metric_label labels[] = {
        {"architecture", machine.machine}, {"commit", ""},       {"graphdriver", "overlay2"},
        {"kernel", machine.release},       {"os_type", "linux"}, {"version", SKEP_VERSION},
    };
    metrics_family(out, "engine_daemon_engine_info", METRIC_GAUGE,
                   "The engine and the system it runs on.");
    metrics_sample(out, "engine_daemon_engine_info", labels, COUNT_OF(labels), 1);
    metrics_gauge(out, "engine_daemon_engine_cpus_cpus", "Processors of the host.",
                  (double)sysconf(_SC_NPROCESSORS_ONLN));
    metrics_gauge(out, "engine_daemon_engine_memory_bytes", "Memory of the host.",
                  (double)memory.totalram * memory.mem_unit);
}

static void put_containers(const struct figures_parts *parts, struct buf *out)
{
    enum { PAUSED, RUNNING, STOPPED, STATES };
    static const char *const names[STATES] = {"paused", "running", "stopped"};
    size_t counts[STATES] = {0};
    struct crates *crates = parts->station ? station_crates(parts->station) : NULL;
    const struct crate *crate = NULL;
    while (crates && (crate = crates_next(crates, crate)))
        counts[crate->state == CRATE_PAUSED ? PAUSED : crate_running(crate) ? RUNNING : STOPPED]++;
    metrics_family(out, "engine_daemon_container_states_containers", METRIC_GAUGE,
                   "Containers by state.");
    for (size_t i = 0; i < STATES; i++) {
        struct metric_label label = {"state", names[i]};
        metrics_sample(out, "engine_daemon_container_states_containers", &label, 1,
                       (double)counts[i]);
    }
}

// ---- swarm_node_* -------------------------------------------------------------------------------

static void put_swarm(const struct figures_parts *parts, struct buf *out)
{
    struct backend_swarm swarm = {0};
    const struct agent *agent = parts->station ? station_agent(parts->station) : NULL;
    if (parts->membership)
        membership_describe(parts->membership, &swarm);
    metrics_gauge(out, "swarm_node_manager", "Whether this node is a manager.",
                  swarm.standing == STANDING_MANAGER);
    if (!agent || str_empty(swarm.node_id))
        return;
    const struct metric_label labels[] = {
        {"node_id", swarm.node_id},
        {"swarm_id", agent_credentials(agent)->identity.cluster_id},
    };
    metrics_family(out, "swarm_node_info", METRIC_GAUGE, "This node and its swarm.");
    metrics_sample(out, "swarm_node_info", labels, COUNT_OF(labels), 1);
}

// ---- processes ----------------------------------------------------------------------------------

struct process_figures {
    double cpu_s, start_s, resident_bytes, virtual_bytes, files;
};

// When the machine was started, in seconds since 1970.
static double boot_s(void)
{
    struct buf text;
    double boot = 0;
    buf_init(&text, (size_t)1 << 20);
    if (file_read("/proc/stat", &text, NULL) == 0) {
        const char *line = strstr(buf_cstr(&text), "\nbtime ");
        if (line)
            sscanf(line, "\nbtime %lf", &boot);
    }
    buf_fini(&text);
    return boot;
}

static double count_files(pid_t pid)
{
    char path[64];
    str_format(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    size_t count = 0;
    while (dir && readdir(dir))
        count++;
    if (!dir)
        return 0;
    closedir(dir);
    // Not "." and "..", and not what looks at the folder of our own.
    return (double)(count - 2 - (pid == getpid()));
}

static bool read_process(pid_t pid, struct process_figures *out)
{
    char path[64];
    struct buf text;
    unsigned long user, system, bytes;
    unsigned long long start;
    long pages;
    buf_init(&text, SMALL_FILE_BYTES);
    str_format(path, sizeof path, "/proc/%d/stat", (int)pid);
    // Its name, in brackets, may hold anything.
    const char *rest = file_read(path, &text, NULL) == 0 ? strrchr(buf_cstr(&text), ')') : NULL;
    bool ok = rest && sscanf(rest,
                             ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d "
                             "%*d %*d %*d %llu %lu %ld",
                             &user, &system, &start, &bytes, &pages) == 5;
    buf_fini(&text);
    if (!ok)
        return false;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    *out = (struct process_figures){
        .cpu_s = (double)(user + system) / ticks,
        .start_s = boot_s() + (double)start / ticks,
        .resident_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE),
        .virtual_bytes = (double)bytes,
        .files = count_files(pid),
    };
    return true;
}

// The usual families, which name no process, are of the node process.
static void put_own_process(const struct figures_parts *parts, struct buf *out)
{
    (void)parts;
    struct process_figures own;
    struct rlimit files = {0};
    if (!read_process(getpid(), &own))
        return;
    getrlimit(RLIMIT_NOFILE, &files);
    metrics_counter(out, "process_cpu_seconds_total", "CPU time of the node process.", own.cpu_s);
    metrics_gauge(out, "process_max_fds", "File descriptors it may have.", (double)files.rlim_cur);
    metrics_gauge(out, "process_open_fds", "File descriptors it has.", own.files);
    metrics_gauge(out, "process_resident_memory_bytes", "Its resident memory.", own.resident_bytes);
    metrics_gauge(out, "process_start_time_seconds", "When it was started, since 1970.",
                  own.start_s);
    metrics_gauge(out, "process_virtual_memory_bytes", "Its address space.", own.virtual_bytes);
}

static void put_processes(const struct figures_parts *parts, struct buf *out)
{
    const struct {
        const char *name;
        pid_t pid;
    } processes[] = {{"node", getpid()},
                     {"manager", parts->manager},
                     {"resolver", parts->resolver},
                     {"relay", parts->relay}};
    enum { CPU, RESIDENT, FILES, FAMILIES };
    static const struct {
        const char *name, *help;
        enum metric_kind kind;
    } families[FAMILIES] = {
        {"skep_process_cpu_seconds_total", "CPU time of each process of skepd.", METRIC_COUNTER},
        {"skep_process_resident_memory_bytes", "Resident memory of each.", METRIC_GAUGE},
        {"skep_process_open_fds", "File descriptors of each.", METRIC_GAUGE},
    };
    struct process_figures figures[COUNT_OF(processes)];
    bool known[COUNT_OF(processes)];
    for (size_t i = 0; i < COUNT_OF(processes); i++)
        known[i] = processes[i].pid > 0 && read_process(processes[i].pid, &figures[i]);
    for (size_t family = 0; family < FAMILIES; family++) {
        metrics_family(out, families[family].name, families[family].kind, families[family].help);
        for (size_t i = 0; i < COUNT_OF(processes); i++) {
            if (!known[i])
                continue;
            const double values[FAMILIES] = {figures[i].cpu_s, figures[i].resident_bytes,
                                             figures[i].files};
            struct metric_label label = {"process", processes[i].name};
            metrics_sample(out, families[family].name, &label, 1, values[family]);
        }
    }
}

static void put_networks(const struct figures_parts *parts, struct buf *out)
{
    struct nets *nets = parts->station ? station_nets(parts->station) : NULL;
    if (nets)
        nets_figures(nets, out);
}

// ---- all of it ----------------------------------------------------------------------------------

static void (*const parts_of_figures[])(const struct figures_parts *parts, struct buf *out) = {
    put_engine, put_containers, put_swarm, put_networks, put_own_process, put_processes,
};

void figures_put(const struct figures_parts *parts, struct buf *out)
{
    for (size_t i = 0; i < COUNT_OF(parts_of_figures); i++)
        parts_of_figures[i](parts, out);
}
