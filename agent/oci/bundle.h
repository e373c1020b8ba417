// A container as plain data, and its OCI runtime configuration (config.json) made from it.
//
// Pure. Everything is settled before it comes here: templates are expanded, the image's defaults
// merged, user names resolved to numbers (agent/oci/user.h), volumes turned into bind mounts of
// host paths. All pointers are borrowed for the length of a call.
#ifndef AGENT_OCI_BUNDLE_H
#define AGENT_OCI_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define OCI_ID_CHARS_MAX 128
#define OCI_ARGS_MAX     8192 // of args and of env, entries
#define OCI_MOUNTS_MAX   512
#define OCI_FILES_MAX    1024
#define OCI_CONFIG_BYTES (8u << 20)
#define OCI_GROUPS_MAX   1024
#define OCI_HOSTNAME_MAX 64
#define OCI_LIST_MAX     1024 // capabilities, devices, sysctls, ulimits, hosts, ...
#define OCI_SHM_BYTES    (64u << 20)

// A list of strings.
struct oci_strings {
    const char *const *items;
    size_t count;
};

enum oci_mount_kind {
    OCI_MOUNT_BIND,  // a host path; volumes come as this too
    OCI_MOUNT_TMPFS, // a fresh tmpfs
};

enum oci_propagation {
    OCI_PROPAGATION_DEFAULT, // rprivate
    OCI_PROPAGATION_RPRIVATE,
    OCI_PROPAGATION_PRIVATE,
    OCI_PROPAGATION_RSHARED,
    OCI_PROPAGATION_SHARED,
    OCI_PROPAGATION_RSLAVE,
    OCI_PROPAGATION_SLAVE,
};

struct oci_mount {
    enum oci_mount_kind kind;
    const char *source; // bind: absolute host path that exists
    const char *target; // absolute path in the container; made by the runtime when missing
    bool readonly;
    bool nonrecursive; // bind: this mount alone, none below the source
    enum oci_propagation propagation;
    uint64_t tmpfs_size_bytes; // 0: the kernel's default (half of memory)
    uint32_t tmpfs_mode;       // 0: 1777
    const char *tmpfs_options; // further options, comma-separated ("noexec,uid=33"); NULL for none
};

// A file that exists in memory only, readable by the container alone: secrets and configs.
struct oci_file {
    const char *target; // absolute path in the container
    const void *data;
    size_t size;
    uint32_t mode; // permission bits
    uint32_t uid;
    uint32_t gid;
};

struct oci_device {
    const char *host_path; // character or block device on the host
    const char *path;      // in the container; NULL: the same
    const char *access;    // "rwm" or a part of it; NULL: "rwm"
};

struct oci_ulimit {
    const char *name; // "nofile", as docker names them: no RLIMIT_ in front
    int64_t soft;     // -1: unlimited
    int64_t hard;
};

struct oci_pair {
    const char *key;
    const char *value;
};

// 0 means "no limit" and "kernel's default" throughout, unless a field says otherwise.
struct oci_limits {
    int64_t nano_cpus; // 1e9 is one core
    uint64_t cpu_shares;
    int64_t cpu_quota_us; // used when nano_cpus is 0
    uint64_t cpu_period_us;
    const char *cpuset_cpus;
    const char *cpuset_mems;
    int64_t memory_bytes;
    int64_t memory_reservation_bytes;
    // Memory and swap together, docker's meaning. 0: twice the memory; -1: as much as there is.
    int64_t memory_swap_bytes;
    int64_t memory_swappiness; // 1..100, v1 only
    bool oom_kill_disable;     // v1 only
    int64_t pids_max;          // 0 and below: no limit
    uint32_t blkio_weight;     // 10..1000
};

enum oci_namespace_mode {
    OCI_NS_PRIVATE,
    OCI_NS_HOST,
    OCI_NS_PATH, // join the one at this path
};

struct oci_namespace {
    enum oci_namespace_mode mode;
    const char *path; // OCI_NS_PATH: e.g. "/run/netns/x" or "/proc/123/ns/net"
};

enum oci_seccomp_mode {
    OCI_SECCOMP_DEFAULT,
    OCI_SECCOMP_UNCONFINED,
    OCI_SECCOMP_CUSTOM, // `seccomp_profile`, in docker's profile format
};

struct oci_container {
    const char *runtime;  // the program that runs it, by name; NULL: the default
    const char *id;       // [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most OCI_ID_CHARS_MAX
    const char *rootfs;   // absolute host path of the mounted root
    const char *hostname; // NULL: the first 12 characters of the id
    const char *domainname;

    struct oci_strings args; // entrypoint and command, at least one
    struct oci_strings
        env;         // "K=V"; PATH, HOSTNAME, HOME and (with a TTY) TERM are added when missing
    const char *cwd; // NULL: "/"
    uint32_t uid;
    uint32_t gid;
    const uint32_t *groups; // supplementary
    size_t groups_count;
    const char *home; // for HOME; NULL: "/"

    bool tty;
    bool open_stdin; // standard input stays open for attachers; else it is /dev/null
    bool stdin_once; // with open_stdin: it ends when the first attacher's input ends
    bool readonly_rootfs;
    bool init; // an init process reaps children and forwards signals

    const struct oci_mount *mounts;
    size_t mounts_count;
    const struct oci_file *files; // secrets and configs
    size_t files_count;
    uint64_t shm_bytes; // size of /dev/shm; 0: OCI_SHM_BYTES
    const char *shm;    // folder that /dev/shm is, shared with others; NULL: one of its own
    bool no_shm;        // nor that

    // Written to /etc/hosts, /etc/resolv.conf and /etc/hostname, bind mounted from the container's
    // state folder. NULL hosts_text or resolv_text: that file is left as the image has it.
    const char *hosts_text;
    const char *resolv_text;

    struct oci_limits limits;
    const struct oci_ulimit *ulimits;
    size_t ulimits_count;
    const struct oci_device *devices; // besides the standard ones
    size_t devices_count;
    struct oci_strings device_rules; // cgroup device rules: "c 1:3 rwm"
    bool oom_score_adj_set;
    int oom_score_adj;

    bool privileged;
    struct oci_strings cap_add; // "NET_ADMIN", "CAP_NET_ADMIN" or "ALL", any case
    struct oci_strings cap_drop;
    enum oci_seccomp_mode seccomp;
    const char *seccomp_profile; // OCI_SECCOMP_CUSTOM: JSON text
    size_t seccomp_profile_bytes;
    bool no_new_privileges;
    // NULL: the host's default, or none when privileged; "unconfined": none. A named one is refused
    // where the kernel has no AppArmor.
    const char *apparmor_profile;
    const char *selinux_label; // NULL: none
    const struct oci_pair *sysctls;
    size_t sysctls_count;
    struct oci_strings masked_paths; // count 0 and paths_given false: the usual ones
    struct oci_strings readonly_paths;
    bool paths_given;

    struct oci_namespace net;
    struct oci_namespace pid;
    struct oci_namespace ipc;
    struct oci_namespace uts;
    bool cgroup_ns_host;

    const struct oci_pair *annotations; // kept in config.json; "run.oci." is not for users
    size_t annotations_count;
};

// What the bundle needs to know of the machine. Filled by runtime_io.
struct oci_host {
    const char *cgroup_path; // of this container, e.g. "/skep/<id>"
    bool cgroup_v2;
    bool has_swap_accounting; // v1: memory.memsw.* exist
    bool has_cgroup_ns;
    bool has_apparmor;
    const char *apparmor_default; // the profile of those that name none; NULL: none
    bool has_selinux;
    bool may_lower_oom_score; // has CAP_SYS_RESOURCE
    uint64_t
        nofile_hard_max;   // hard limit of our own process; limits above it need CAP_SYS_RESOURCE
    const char *init_path; // static init program on the host; NULL: none found
    const char *seccomp_json; // the default profile; NULL: not there
    size_t seccomp_json_bytes;
    // The default profile compiled for these capabilities, in base64, valid until the next call;
    // may be NULL, and may answer NULL: then the runtime compiles it.
    const char *(*seccomp_bpf)(void *ctx, uint64_t caps);
    void *seccomp_ctx;
    const char *kernel_release; // "6.1.0"
    const char *files_dir;      // host folder with files named 0, 1, ... as in `files`
    const char *etc_dir;        // host folder with hosts, hostname, resolv.conf
    uint64_t caps;              // bit per capability that our own process may hand on
    const struct oci_device_node *device_nodes; // one per `devices`, what stat said
    const unsigned *mount_flags; // enum oci_kept, one per `mounts`; NULL: nothing is kept
};

// What the mount that a bind's source lies on forbids, and the bind therefore too.
enum oci_kept {
    OCI_KEPT_RDONLY = 1,
    OCI_KEPT_NOSUID = 2,
    OCI_KEPT_NODEV = 4,
    OCI_KEPT_NOEXEC = 8,
    OCI_KEPT_NOATIME = 16,
    OCI_KEPT_NODIRATIME = 32,
};

struct oci_device_node {
    char type; // 'c' or 'b'
    uint32_t major;
    uint32_t minor;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
};

// The AppArmor profile that the container is to run under; NULL: none. `unasked` is that of those
// that name none.
const char *bundle_apparmor(const char *named, bool privileged, const char *unasked);

// One limit's name and order. INVALID_ARGUMENT.
int bundle_ulimit_check(const struct oci_ulimit *limit, struct err *err);

// Checks everything that can be known without the machine: ranges, paths, names, limits. The
// messages are for the user of the service. INVALID_ARGUMENT.
int bundle_check(const struct oci_container *container, struct err *err);

// Appends config.json. The container was checked before. FAILED_PRECONDITION for what this machine
// cannot do (with the reason), INVALID_ARGUMENT for a broken custom seccomp profile.
int bundle_write(const struct oci_container *container, const struct oci_host *host,
                 struct buf *out, struct err *err);

// Appends a process object for exec: as the container's own, but for args, env, cwd, user and TTY.
struct oci_exec {
    struct oci_strings args;
    struct oci_strings env; // added to the container's
    const char *cwd;        // NULL: the container's
    bool user_set;          // else the container's
    uint32_t uid;
    uint32_t gid;
    const uint32_t *groups;
    size_t groups_count;
    const char *home;
    bool tty;
    bool privileged;
};

// Builds the process object from the container's config.json as written by bundle_write.
int bundle_write_exec(const struct oci_exec *exec, const void *config_json, size_t config_bytes,
                      uint64_t host_caps, struct buf *out, struct err *err);

#endif
