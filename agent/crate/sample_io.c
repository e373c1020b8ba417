#include "agent/crate/sample_io.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define TEXT_BYTES_MAX (1u << 20)

// The first line of /proc/stat: ticks of the machine in all states but guest's, which are counted
// as the user's already.
static uint64_t system_cpu(void)
{
    struct buf text;
    unsigned long long n[8] = {0};
    uint64_t ticks = 0;
    long per_second = sysconf(_SC_CLK_TCK);
    buf_init(&text, TEXT_BYTES_MAX);
    if (file_read("/proc/stat", &text, NULL) == 0 && buf_cstr(&text))
        sscanf(buf_cstr(&text), "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &n[0], &n[1], &n[2],
               &n[3], &n[4], &n[5], &n[6], &n[7]);
    buf_fini(&text);
    // As dockerd sums it: without the last one, stolen time.
    for (size_t i = 0; i < 7; i++)
        ticks += n[i];
    return ticks * (uint64_t)(NS_PER_S / (per_second > 0 ? per_second : 100));
}

static void read_links(int32_t pid, struct sample *out)
{
    struct buf text;
    char path[64];
    struct str_part line;
    str_format(path, sizeof path, "/proc/%d/net/dev", (int)pid);
    buf_init(&text, TEXT_BYTES_MAX);
    const char *rest = file_read(path, &text, NULL) == 0 ? buf_cstr(&text) : NULL;
    while (str_split(&rest, '\n', &line)) {
        char row[512], name[16];
        unsigned long long n[12];
        str_format(row, sizeof row, "%.*s", (int)line.len, line.at);
        if (sscanf(row, " %15[^:]: %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu %llu",
                   name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9],
                   &n[10], &n[11]) != 13 ||
            str_equal(name, "lo") || out->links_count == SAMPLE_LINKS_MAX)
            continue;
        struct sample_link *link = &out->links[out->links_count++];
        str_copy(link->name, sizeof link->name, name);
        link->rx_bytes = n[0];
        link->rx_packets = n[1];
        link->rx_errors = n[2];
        link->rx_dropped = n[3];
        link->tx_bytes = n[8];
        link->tx_packets = n[9];
        link->tx_errors = n[10];
        link->tx_dropped = n[11];
    }
    buf_fini(&text);
}

// A file of the container's group; NULL when the controller or the file is missing.
static const char *read_group(const struct crate *crate, enum cgroup_controller controller,
                              const char *file, struct buf *text)
{
    const struct runtime *runtime = crates_runtime(crate->crates);
    const struct cgroup *cgroup = runtime_cgroup(runtime);
    const char *group = runtime_cgroup_path(runtime, crate->id);
    const char *mount = cgroup->layout == CGROUP_V2 ? cgroup->root : cgroup->mounts[controller];
    char path[2 * CGROUP_PATH_BYTES + 64];
    buf_init(text, TEXT_BYTES_MAX);
    if (!group || !*mount || !str_format(path, sizeof path, "%s%s/%s", mount, group, file) ||
        file_read(path, text, NULL))
        return NULL;
    return buf_cstr(text);
}

static void read_memory(const struct crate *crate, struct sample *out)
{
    struct buf text;
    struct str_part line;
    const char *rest = read_group(crate, CGROUP_MEMORY, "memory.stat", &text);
    while (str_split(&rest, '\n', &line) && out->memory_count < SAMPLE_MEMORY_MAX) {
        struct sample_memory *row = &out->memory[out->memory_count];
        char text_line[128];
        unsigned long long value;
        str_format(text_line, sizeof text_line, "%.*s", (int)line.len, line.at);
        if (sscanf(text_line, "%47s %llu", row->key, &value) != 2)
            continue;
        row->value = value;
        out->memory_count++;
    }
    buf_fini(&text);
}

static void read_cpus(const struct crate *crate, struct sample *out)
{
    struct buf text;
    struct str_part word;
    const char *rest = read_group(crate, CGROUP_CPUACCT, "cpuacct.usage_percpu", &text);
    while (str_split(&rest, ' ', &word) && out->cpu_count < SAMPLE_CPUS_MAX) {
        char number[32];
        str_format(number, sizeof number, "%.*s", (int)word.len, word.at);
        if (str_to_u64(number, UINT64_MAX, &out->cpu_ns[out->cpu_count]))
            out->cpu_count++;
    }
    buf_fini(&text);
}

void sample_take(const struct crate *crate, struct sample *out)
{
    struct sysinfo memory = {0};
    *out = (struct sample){.at = wall_now()};
    if (!crate_running(crate) ||
        runtime_stats(crates_runtime(crate->crates), crate->id, &out->cgroup, NULL))
        return;
    sysinfo(&memory);
    out->memory_total = (uint64_t)memory.totalram * memory.mem_unit;
    out->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    out->system_cpu_ns = system_cpu();
    read_memory(crate, out);
    read_cpus(crate, out);
    // The machine's own devices are nobody's usage.
    if (!str_equal(config_str(crate->host, "NetworkMode"), "host"))
        read_links(crate->pid, out);
}
