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

struct sample {
    struct wall at; // 0: none was taken
    struct cgroup_stats cgroup;
    uint64_t system_cpu_ns; // of the whole machine
    unsigned cpus;
    uint64_t memory_total; // of the machine
    struct sample_link links[SAMPLE_LINKS_MAX];
    size_t links_count;
};

// Zeros with `at` for one that does not run.
void sample_take(const struct crate *crate, struct sample *out);

#endif
