// What a container uses now: its cgroup's counters, its network devices', and the machine's.
#ifndef AGENT_CRATE_SAMPLE_IO_H
#define AGENT_CRATE_SAMPLE_IO_H

#include "agent/crate/crates_io.h"

#define SAMPLE_LINKS_MAX 32

struct sample_link {
    char name[16];
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

#define SAMPLE_MEMORY_MAX 64
#define SAMPLE_CPUS_MAX   256

struct sample_memory {
    char key[48]; // as the kernel names it in memory.stat
    uint64_t value;
};

struct sample {
    struct wall at; // 0: none was taken
    struct cgroup_stats cgroup;
    uint64_t system_cpu_ns; // of the whole machine
    unsigned cpus;
    uint64_t memory_total; // of the machine
    struct sample_link links[SAMPLE_LINKS_MAX];
    size_t links_count;
    struct sample_memory memory[SAMPLE_MEMORY_MAX];
    size_t memory_count;
    uint64_t cpu_ns[SAMPLE_CPUS_MAX]; // v1: per processor
    size_t cpu_count;
};

// Zeros with `at` for one that does not run.
void sample_take(const struct crate *crate, struct sample *out);

#endif
