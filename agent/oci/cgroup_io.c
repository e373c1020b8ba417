#include "agent/oci/cgroup_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define MOUNTINFO_BYTES (4u << 20)
#define FILE_BYTES      (256u << 10)
#define DEPTH_MAX       16
#define PATH_BYTES      1024
#define ID_CHARS        64
// Where crun 1.8 makes a stray folder on a v1 machine, from the "0::" line of /proc/self/cgroup.
#define STRAY_ROOT "/sys/fs/cgroup/unified"

static const struct {
    const char *v1;
    const char *v2;
} controllers[CGROUP_CONTROLLERS_COUNT] = {
    [CGROUP_CPU] = {"cpu", "cpu"},          [CGROUP_CPUACCT] = {"cpuacct", "cpu"},
    [CGROUP_CPUSET] = {"cpuset", "cpuset"}, [CGROUP_MEMORY] = {"memory", "memory"},
    [CGROUP_PIDS] = {"pids", "pids"},       [CGROUP_BLKIO] = {"blkio", "io"},
    [CGROUP_FREEZER] = {"freezer", ""},     [CGROUP_DEVICES] = {"devices", ""},
};

// ---- small files of the kernel ---------------------------------------------------------------

// The whole file as text in `out`, or NULL.
static const char *read_text(const char *path, struct buf *out)
{
    buf_init(out, FILE_BYTES);
    if (file_read(path, out, NULL) != 0) {
        buf_fini(out);
        return NULL;
    }
    return buf_cstr(out);
}

static bool read_number(const char *dir, const char *name, uint64_t *value)
{
    char path[PATH_BYTES];
    struct buf text;
    if (!str_format(path, sizeof path, "%s/%s", dir, name))
        return false;
    const char *at = read_text(path, &text);
    if (!at)
        return false;
    // "max" is what v2 says for no limit.
    bool ok = at[0] >= '0' && at[0] <= '9';
    *value = ok ? strtoull(at, NULL, 10) : 0;
    buf_fini(&text);
    return ok;
}

// The number after `key` at the start of a line ("key 123").
static bool find_number(const char *text, const char *key, uint64_t *value)
{
    struct str_part line;
    size_t size = strlen(key);
    while (str_split(&text, '\n', &line)) {
        if (line.len <= size || memcmp(line.at, key, size) != 0 || line.at[size] != ' ')
            continue;
        *value = strtoull(line.at + size + 1, NULL, 10);
        return true;
    }
    return false;
}

// Reads several keys of one file; what is not there stays as it is.
struct wanted {
    const char *key;
    uint64_t *value;
};

static void read_keys(const char *dir, const char *name, const struct wanted *wanted, size_t count)
{
    char path[PATH_BYTES];
    struct buf text;
    if (!str_format(path, sizeof path, "%s/%s", dir, name))
        return;
    const char *at = read_text(path, &text);
    for (size_t i = 0; at && i < count; i++)
        find_number(at, wanted[i].key, wanted[i].value);
    if (at)
        buf_fini(&text);
}

#define READ_KEYS(dir, name, ...)                                                                  \
    read_keys(dir, name, (struct wanted[]){__VA_ARGS__}, COUNT_OF(((struct wanted[]){__VA_ARGS__})))

// ---- layout ----------------------------------------------------------------------------------

static bool word_in_list(const char *list, size_t size, const char *word)
{
    const char *end = list + size;
    size_t length = strlen(word);
    while (list < end) {
        const char *comma = memchr(list, ',', (size_t)(end - list));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - list) == length && memcmp(list, word, length) == 0)
            return true;
        list = comma ? comma + 1 : end;
    }
    return false;
}

// One line of mountinfo: "id parent dev root target options ... - type source superoptions".
static void take_mount(struct cgroup *out, struct str_part line, char *unified, size_t unified_size)
{
    char text[PATH_BYTES * 2];
    if (line.len >= sizeof text)
        return;
    memcpy(text, line.at, line.len);
    text[line.len] = '\0';
    char *dash = strstr(text, " - ");
    char type[32], super[512], target[CGROUP_PATH_BYTES];
    if (!dash || sscanf(dash, " - %31s %*s %511s", type, super) != 2 ||
        sscanf(text, "%*s %*s %*s %*s %255s", target) != 1)
        return;
    // A mount that another one covers is in the list, but cannot be seen.
    if (access(target, F_OK) != 0)
        return;
    if (str_equal(type, "cgroup2")) {
        if (str_equal(target, "/sys/fs/cgroup"))
            str_copy(out->root, sizeof out->root, target);
        else if (str_starts(target, "/sys/fs/cgroup/"))
            str_copy(unified, unified_size, target);
        return;
    }
    if (!str_equal(type, "cgroup") || !str_starts(target, "/sys/fs/cgroup/"))
        return;
    for (size_t i = 0; i < CGROUP_CONTROLLERS_COUNT; i++)
        if (word_in_list(super, strlen(super), controllers[i].v1))
            str_copy(out->mounts[i], sizeof out->mounts[i], target);
}

static void take_v2_controllers(struct cgroup *out)
{
    char path[PATH_BYTES];
    struct buf text;
    str_format(path, sizeof path, "%s/cgroup.controllers", out->root);
    const char *list = read_text(path, &text);
    struct str_part word;
    while (list && str_split(&list, ' ', &word))
        for (size_t i = 0; i < CGROUP_CONTROLLERS_COUNT; i++)
            if (*controllers[i].v2 && str_part_is(str_trim(word), controllers[i].v2))
                str_copy(out->mounts[i], sizeof out->mounts[i], out->root);
    buf_fini(&text);
    // The kernel freezes and filters devices in every v2 group, without controllers.
    str_copy(out->mounts[CGROUP_FREEZER], CGROUP_PATH_BYTES, out->root);
    str_copy(out->mounts[CGROUP_DEVICES], CGROUP_PATH_BYTES, out->root);
}

int cgroup_detect(struct cgroup *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    struct buf text;
    buf_init(&text, MOUNTINFO_BYTES);
    int rc = file_read("/proc/self/mountinfo", &text, err);
    const char *rest = rc ? NULL : buf_cstr(&text);
    char unified[CGROUP_PATH_BYTES] = "";
    struct str_part line;
    while (rest && str_split(&rest, '\n', &line))
        take_mount(out, line, unified, sizeof unified);
    buf_fini(&text);
    if (rc)
        return err_wrap(err, "look for cgroups");
    if (*out->root) {
        out->layout = CGROUP_V2;
        take_v2_controllers(out);
        out->swap_accounting = true;
        return 0;
    }
    bool v1 = *out->mounts[CGROUP_MEMORY] || *out->mounts[CGROUP_CPU] || *out->mounts[CGROUP_PIDS];
    out->layout = !v1 ? CGROUP_NONE : *unified ? CGROUP_HYBRID : CGROUP_V1;
    char path[PATH_BYTES];
    str_format(path, sizeof path, "%s/memory.memsw.limit_in_bytes", out->mounts[CGROUP_MEMORY]);
    out->swap_accounting = *out->mounts[CGROUP_MEMORY] && access(path, F_OK) == 0;
    return 0;
}

const char *cgroup_layout_name(enum cgroup_layout layout)
{
    switch (layout) {
    case CGROUP_NONE:
        return "none";
    case CGROUP_V1:
        return "cgroup v1";
    case CGROUP_V2:
        return "cgroup v2";
    case CGROUP_HYBRID:
        return "hybrid cgroups";
    }
    UNREACHABLE("cgroup layout");
}

char *cgroup_describe(const struct cgroup *cgroup, char *out, size_t size)
{
    struct buf text;
    buf_init(&text, PATH_BYTES);
    buf_printf(&text, "%s (", cgroup_layout_name(cgroup->layout));
    bool first = true;
    for (size_t i = 0; i < CGROUP_CONTROLLERS_COUNT; i++) {
        if (!*cgroup->mounts[i])
            continue;
        buf_printf(&text, "%s%s", first ? "" : ", ", controllers[i].v1);
        first = false;
    }
    buf_put_str(&text, ")");
    str_copy(out, size, buf_cstr(&text));
    buf_fini(&text);
    return out;
}

// ---- usage -----------------------------------------------------------------------------------

// The group's folder in a controller's hierarchy; false when the controller is missing.
static bool group_dir(const struct cgroup *cgroup, enum cgroup_controller controller,
                      const char *path, char out[PATH_BYTES])
{
    CHECK(path[0] == '/');
    return *cgroup->mounts[controller] &&
           str_format(out, PATH_BYTES, "%s%s", cgroup->mounts[controller], path);
}

// The group's folder where the processes are: any v1 hierarchy, or the v2 tree.
static bool main_dir(const struct cgroup *cgroup, const char *path, char out[PATH_BYTES])
{
    static const enum cgroup_controller order[] = {CGROUP_PIDS, CGROUP_MEMORY, CGROUP_CPU,
                                                   CGROUP_FREEZER, CGROUP_DEVICES};
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (group_dir(cgroup, order[i], path, out) && access(out, F_OK) == 0)
            return true;
    return false;
}

static void read_v1(const struct cgroup *cgroup, const char *path, struct cgroup_stats *out)
{
    char dir[PATH_BYTES];
    if (group_dir(cgroup, CGROUP_CPUACCT, path, dir)) {
        read_number(dir, "cpuacct.usage", &out->cpu_usage_ns);
        uint64_t user = 0, system = 0;
        READ_KEYS(dir, "cpuacct.stat", {"user", &user}, {"system", &system});
        uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
        out->cpu_user_ns = user * tick_ns;
        out->cpu_system_ns = system * tick_ns;
    }
    if (group_dir(cgroup, CGROUP_CPU, path, dir))
        READ_KEYS(dir, "cpu.stat", {"nr_periods", &out->throttle_periods},
                  {"nr_throttled", &out->throttled_periods},
                  {"throttled_time", &out->throttled_ns});
    if (group_dir(cgroup, CGROUP_MEMORY, path, dir)) {
        read_number(dir, "memory.usage_in_bytes", &out->memory_bytes);
        read_number(dir, "memory.max_usage_in_bytes", &out->memory_max_bytes);
        read_number(dir, "memory.limit_in_bytes", &out->memory_limit_bytes);
        // v1 says "no limit" as the largest page-aligned number.
        if (out->memory_limit_bytes > (uint64_t)INT64_MAX - (1 << 20))
            out->memory_limit_bytes = 0;
        READ_KEYS(dir, "memory.stat", {"total_inactive_file", &out->memory_cache_bytes});
        READ_KEYS(dir, "memory.oom_control", {"oom_kill", &out->oom_kills});
    }
    if (group_dir(cgroup, CGROUP_BLKIO, path, dir)) {
        char file[PATH_BYTES];
        struct buf text;
        str_format(file, sizeof file, "%s/blkio.throttle.io_service_bytes", dir);
        const char *rest = read_text(file, &text);
        struct str_part line;
        unsigned long long bytes;
        char op[16];
        while (rest && str_split(&rest, '\n', &line)) {
            if (sscanf(line.at, "%*s %15s %llu", op, &bytes) != 2)
                continue;
            out->io_read_bytes += str_equal(op, "Read") ? bytes : 0;
            out->io_write_bytes += str_equal(op, "Write") ? bytes : 0;
        }
        buf_fini(&text);
    }
}

static void read_v2_io(const char *dir, struct cgroup_stats *out)
{
    char file[PATH_BYTES];
    struct buf text;
    str_format(file, sizeof file, "%s/io.stat", dir);
    const char *rest = read_text(file, &text);
    struct str_part line;
    while (rest && str_split(&rest, '\n', &line)) {
        unsigned long long rb, wb, rios, wios;
        if (sscanf(line.at, "%*s rbytes=%llu wbytes=%llu rios=%llu wios=%llu", &rb, &wb, &rios,
                   &wios) != 4)
            continue;
        out->io_read_bytes += rb;
        out->io_write_bytes += wb;
        out->io_reads += rios;
        out->io_writes += wios;
    }
    buf_fini(&text);
}

static void read_v2(const char *dir, struct cgroup_stats *out)
{
    uint64_t usage = 0, user = 0, system = 0, throttled = 0;
    READ_KEYS(dir, "cpu.stat", {"usage_usec", &usage}, {"user_usec", &user},
              {"system_usec", &system}, {"nr_periods", &out->throttle_periods},
              {"nr_throttled", &out->throttled_periods}, {"throttled_usec", &throttled});
    out->cpu_usage_ns = usage * 1000;
    out->cpu_user_ns = user * 1000;
    out->cpu_system_ns = system * 1000;
    out->throttled_ns = throttled * 1000;
    read_number(dir, "memory.current", &out->memory_bytes);
    read_number(dir, "memory.peak", &out->memory_max_bytes);
    read_number(dir, "memory.max", &out->memory_limit_bytes);
    READ_KEYS(dir, "memory.stat", {"inactive_file", &out->memory_cache_bytes});
    READ_KEYS(dir, "memory.events", {"oom_kill", &out->oom_kills});
    read_v2_io(dir, out);
}

int cgroup_read_stats(const struct cgroup *cgroup, const char *path, struct cgroup_stats *out,
                      struct err *err)
{
    memset(out, 0, sizeof *out);
    char dir[PATH_BYTES];
    if (!main_dir(cgroup, path, dir))
        return err_set(err, ERR_NOT_FOUND, "no cgroup %s", path);
    if (cgroup->layout == CGROUP_V2)
        read_v2(dir, out);
    else
        read_v1(cgroup, path, out);
    if (group_dir(cgroup, CGROUP_PIDS, path, dir)) {
        read_number(dir, "pids.current", &out->pids);
        read_number(dir, "pids.max", &out->pids_limit);
    }
    return 0;
}

// ---- processes -------------------------------------------------------------------------------

// Calls `visit` for the folder and all below it, deepest first.
static void each_group(const char *dir, unsigned depth, void (*visit)(const char *dir, void *ctx),
                       void *ctx)
{
    DIR *stream = depth < DEPTH_MAX ? opendir(dir) : NULL;
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char child[PATH_BYTES];
        if (entry->d_name[0] == '.' || entry->d_type != DT_DIR)
            continue;
        if (str_format(child, sizeof child, "%s/%s", dir, entry->d_name))
            each_group(child, depth + 1, visit, ctx);
    }
    if (stream)
        closedir(stream);
    visit(dir, ctx);
}

struct pid_list {
    pid_t *pids;
    size_t max;
    size_t count;
};

static void collect_pids(const char *dir, void *ctx)
{
    struct pid_list *list = ctx;
    char file[PATH_BYTES];
    struct buf text;
    if (!str_format(file, sizeof file, "%s/cgroup.procs", dir))
        return;
    const char *rest = read_text(file, &text);
    struct str_part line;
    while (rest && str_split(&rest, '\n', &line)) {
        if (!line.len)
            continue;
        pid_t pid = (pid_t)strtol(line.at, NULL, 10);
        if (list->count < list->max)
            list->pids[list->count] = pid;
        list->count++;
    }
    buf_fini(&text);
}

int cgroup_pids(const struct cgroup *cgroup, const char *path, pid_t *out, size_t max,
                struct err *err)
{
    char dir[PATH_BYTES];
    if (!main_dir(cgroup, path, dir))
        return err_set(err, ERR_NOT_FOUND, "no cgroup %s", path);
    struct pid_list list = {out, max, 0};
    each_group(dir, 0, collect_pids, &list);
    return (int)list.count;
}

static void kill_pids(const char *dir, void *ctx)
{
    (void)ctx;
    pid_t pids[256];
    struct pid_list list = {pids, COUNT_OF(pids), 0};
    collect_pids(dir, &list);
    size_t count = list.count < COUNT_OF(pids) ? list.count : COUNT_OF(pids);
    for (size_t i = 0; i < count; i++)
        if (pids[i] > 1)
            kill(pids[i], SIGKILL);
}

void cgroup_kill(const struct cgroup *cgroup, const char *path)
{
    char dir[PATH_BYTES];
    if (main_dir(cgroup, path, dir))
        each_group(dir, 0, kill_pids, NULL);
}

// The file that freezes, and what is written there.
static bool freezer_file(const struct cgroup *cgroup, const char *path, char out[PATH_BYTES])
{
    char dir[PATH_BYTES];
    return group_dir(cgroup, CGROUP_FREEZER, path, dir) &&
           str_format(out, PATH_BYTES, "%s/%s", dir,
                      cgroup->layout == CGROUP_V2 ? "cgroup.freeze" : "freezer.state");
}

int cgroup_freeze(const struct cgroup *cgroup, const char *path, bool freeze, struct err *err)
{
    char file[PATH_BYTES];
    if (!freezer_file(cgroup, path, file))
        return err_set(err, ERR_FAILED_PRECONDITION, "this node has no cgroup freezer");
    const char *word = cgroup->layout == CGROUP_V2 ? (freeze ? "1" : "0")
                       : freeze                    ? "FROZEN"
                                                   : "THAWED";
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "open %s", file);
    ssize_t put = write(fd, word, strlen(word));
    int errnum = errno;
    close(fd);
    return put < 0 ? err_set_errno(err, errnum, "write %s", file) : 0;
}

bool cgroup_frozen(const struct cgroup *cgroup, const char *path)
{
    char file[PATH_BYTES];
    struct buf text;
    if (!freezer_file(cgroup, path, file))
        return false;
    const char *at = read_text(file, &text);
    bool frozen = at && (at[0] == '1' || at[0] == 'F'); // FREEZING counts: it is on its way
    buf_fini(&text);
    return frozen;
}

static void remove_group(const char *dir, void *ctx)
{
    if (rmdir(dir) < 0 && errno != ENOENT)
        *(int *)ctx = errno;
}

// A stray group is a plain folder with a plain file in it; in a real tree the file cannot be
// removed.
static void remove_stray(const char *dir, void *ctx)
{
    (void)ctx;
    char file[PATH_BYTES];
    if (str_format(file, sizeof file, "%s/cgroup.procs", dir))
        unlink(file);
    rmdir(dir);
}

int cgroup_remove(const struct cgroup *cgroup, const char *path, struct err *err)
{
    CHECK(strlen(path) > 1);
    char dir[PATH_BYTES];
    int failed = 0;
    for (size_t i = 0; i < CGROUP_CONTROLLERS_COUNT; i++)
        if (group_dir(cgroup, i, path, dir) && access(dir, F_OK) == 0)
            each_group(dir, 0, remove_group, &failed);
    int ignored = 0;
    if (cgroup->layout != CGROUP_V2 && str_format(dir, sizeof dir, STRAY_ROOT "%s", path) &&
        access(dir, F_OK) == 0)
        each_group(dir, 0, remove_stray, NULL);
    // The v1 hierarchy of systemd's own names holds a group too.
    if (cgroup->layout != CGROUP_V2 &&
        str_format(dir, sizeof dir, "/sys/fs/cgroup/systemd%s", path) && access(dir, F_OK) == 0)
        each_group(dir, 0, remove_group, &ignored);
    if (failed)
        return err_set_errno(err, failed, "remove cgroup %s", path);
    return 0;
}

static void sweep_one(const char *dir)
{
    struct pid_list list = {NULL, 0, 0};
    int ignored = 0;
    each_group(dir, 0, collect_pids, &list);
    if (!list.count)
        each_group(dir, 0, remove_group, &ignored);
}

static void sweep_below(const char *dir, bool (*known)(void *owner, const char *id), void *owner)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    while (stream && (entry = readdir(stream))) {
        char child[PATH_BYTES];
        bool named = strlen(entry->d_name) == ID_CHARS &&
                     strspn(entry->d_name, "0123456789abcdef") == ID_CHARS;
        if (named && entry->d_type == DT_DIR && !known(owner, entry->d_name) &&
            str_format(child, sizeof child, "%s/%s", dir, entry->d_name))
            sweep_one(child);
    }
    if (stream)
        closedir(stream);
}

void cgroup_sweep(const struct cgroup *cgroup, const char *parent,
                  bool (*known)(void *owner, const char *id), void *owner)
{
    char dir[PATH_BYTES];
    for (size_t i = 0; i < CGROUP_CONTROLLERS_COUNT; i++)
        if (group_dir(cgroup, i, parent, dir))
            sweep_below(dir, known, owner);
    if (cgroup->layout != CGROUP_V2 &&
        str_format(dir, sizeof dir, "/sys/fs/cgroup/systemd%s", parent))
        sweep_below(dir, known, owner);
}
