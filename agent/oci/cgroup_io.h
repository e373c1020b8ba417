// The machine's cgroup tree: which layout it has, what a container's group uses, what happened in
// it.
#ifndef AGENT_OCI_CGROUP_IO_H
#define AGENT_OCI_CGROUP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/err.h"

enum cgroup_layout {
    CGROUP_NONE,   // nothing usable is mounted
    CGROUP_V1,     // a hierarchy per controller
    CGROUP_V2,     // one tree
    CGROUP_HYBRID, // v1 with a v2 tree at /sys/fs/cgroup/unified: crun refuses it, runc does not
};

// Controllers that matter to containers.
enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_CPUSET,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_BLKIO, // "io" in v2
    CGROUP_FREEZER,
    CGROUP_DEVICES,
    CGROUP_CONTROLLERS_COUNT,
};

#define CGROUP_PATH_BYTES 256

struct cgroup {
    enum cgroup_layout layout;
    char mounts[CGROUP_CONTROLLERS_COUNT][CGROUP_PATH_BYTES]; // "" where the controller is missing
    char root[CGROUP_PATH_BYTES];                             // v2: where the tree is mounted
    bool swap_accounting;
};

// Looks at /proc/self/mountinfo and at the tree. Finding none is no error (CGROUP_NONE).
int cgroup_detect(struct cgroup *out, struct err *err);

// "cgroup v1 (cpu, memory, pids)", for logs and `info`. Returns out.
char *cgroup_describe(const struct cgroup *cgroup, char *out, size_t size);
const char *cgroup_layout_name(enum cgroup_layout layout);

struct cgroup_stats {
    uint64_t cpu_usage_ns;
    uint64_t cpu_user_ns;
    uint64_t cpu_system_ns;
    uint64_t throttle_periods;
    uint64_t throttled_periods;
    uint64_t throttled_ns;
    uint64_t memory_bytes;
    uint64_t memory_max_bytes;   // peak; 0 where the kernel does not say
    uint64_t memory_limit_bytes; // 0: none
    uint64_t memory_cache_bytes; // inactive file pages, what `docker stats` subtracts
    uint64_t oom_kills;
    uint64_t pids;
    uint64_t pids_limit; // 0: none
    uint64_t io_read_bytes;
    uint64_t io_write_bytes;
    uint64_t io_reads;
    uint64_t io_writes;
};

// `path` is as in config.json's cgroupsPath, e.g. "/skep/<id>". Controllers that are missing leave
// zeros. NOT_FOUND when there is no such group.
int cgroup_read_stats(const struct cgroup *cgroup, const char *path, struct cgroup_stats *out,
                      struct err *err);

// Pids in the group and below it, at most `max` of them; returns how many there are or -code.
int cgroup_pids(const struct cgroup *cgroup, const char *path, pid_t *out, size_t max,
                struct err *err);

// SIGKILL to everything in it and below; what starts meanwhile is caught by calling again.
void cgroup_kill(const struct cgroup *cgroup, const char *path);

// Stops or continues all processes in it; NOT_FOUND, FAILED_PRECONDITION without a freezer.
int cgroup_freeze(const struct cgroup *cgroup, const char *path, bool freeze, struct err *err);
bool cgroup_frozen(const struct cgroup *cgroup, const char *path);

// Removes the empty group with those below it from every hierarchy, also the stray folder that crun
// leaves below /sys/fs/cgroup/unified on a v1 machine. A group that is gone is no error.
int cgroup_remove(const struct cgroup *cgroup, const char *path, struct err *err);

// Removes the groups right below `parent` that are named like containers (64 hex digits), that
// `known` does not know, and that hold no process: whose the others are nobody can tell.
void cgroup_sweep(const struct cgroup *cgroup, const char *parent,
                  bool (*known)(void *owner, const char *id), void *owner);

#endif
