#include "agent/engine/info_io.h"

#include <dirent.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_io.h"
#include "agent/image/images_io.h"
#include "agent/image/mirrors.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define SMALL_FILE_BYTES 65536

// ---- the machine --------------------------------------------------------------------------------

// The value of NAME="value" in /etc/os-release.
static void release_value(const char *text, const char *name, char *out, size_t size)
{
    struct str_part line;
    size_t length = strlen(name);
    out[0] = '\0';
    while (str_split(&text, '\n', &line)) {
        if (line.len <= length || memcmp(line.at, name, length) != 0 || line.at[length] != '=')
            continue;
        const char *value = line.at + length + 1;
        size_t left = line.len - length - 1;
        if (left >= 2 && *value == '"') {
            value++;
            left -= 2;
        }
        str_format(out, size, "%.*s", (int)left, value);
        return;
    }
}

static void write_release(struct json_out *out)
{
    struct buf text;
    char name[256] = "", version[64] = "";
    buf_init(&text, SMALL_FILE_BYTES);
    if (file_read("/etc/os-release", &text, NULL) == 0) {
        release_value(buf_cstr(&text), "PRETTY_NAME", name, sizeof name);
        release_value(buf_cstr(&text), "VERSION_ID", version, sizeof version);
    }
    json_out_str(out, "OperatingSystem", str_or(name, "Linux"));
    json_out_str(out, "OSVersion", version);
    buf_fini(&text);
}

// An id that stays the same on this machine and tells nothing about its machine-id, which is to be
// kept from others: twelve groups of four, as Docker has them.
static void write_id(struct json_out *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", salt[] = "skep engine";
    struct buf text;
    uint8_t hash[32];
    char id[64];
    size_t used = 0;
    buf_init(&text, SMALL_FILE_BYTES);
    buf_put(&text, salt, sizeof salt);
    struct buf machine;
    buf_init(&machine, SMALL_FILE_BYTES / 2);
    if (file_read("/etc/machine-id", &machine, NULL) == 0)
        buf_put(&text, machine.data, machine.len);
    mbedtls_sha256_ret(text.data, text.len, hash, 0);
    for (size_t bit = 0; bit < 48 * 5; bit += 5) {
        unsigned two = (unsigned)hash[bit / 8] << 8 | (bit / 8 + 1 < 32 ? hash[bit / 8 + 1] : 0);
        if (used > 0 && (bit / 5) % 4 == 0)
            id[used++] = ':';
        id[used++] = letters[two >> (11 - bit % 8) & 31];
    }
    id[used] = '\0';
    json_out_str(out, "ID", id);
    buf_fini(&machine);
    buf_fini(&text);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool is_on(const char *path)
{
    struct buf text;
    buf_init(&text, SMALL_FILE_BYTES);
    bool on = file_read(path, &text, NULL) == 0 && buf_cstr(&text)[0] == '1';
    buf_fini(&text);
    return on;
}

// What the kernel can limit, in both layouts of cgroups.
static void write_limits(struct json_out *out)
{
    bool v2 = exists("/sys/fs/cgroup/cgroup.controllers");
    static const struct {
        const char *member, *v1, *v2;
    } rows[] = {
        {"MemoryLimit", "/sys/fs/cgroup/memory", NULL},
        {"SwapLimit", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", NULL},
        {"CpuCfsPeriod", "/sys/fs/cgroup/cpu", NULL},
        {"CpuCfsQuota", "/sys/fs/cgroup/cpu", NULL},
        {"CPUShares", "/sys/fs/cgroup/cpu", NULL},
        {"CPUSet", "/sys/fs/cgroup/cpuset", NULL},
        {"PidsLimit", "/sys/fs/cgroup/pids", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        json_out_bool(out, rows[i].member, v2 || exists(rows[i].v1));
    json_out_bool(out, "OomKillDisable", !v2 && exists("/sys/fs/cgroup/memory/memory.oom_control"));
    json_out_str(out, "CgroupDriver", "cgroupfs");
    json_out_str(out, "CgroupVersion", v2 ? "2" : "1");
    json_out_bool(out, "IPv4Forwarding", is_on("/proc/sys/net/ipv4/ip_forward"));
}

// ---- what the node keeps ------------------------------------------------------------------------

static void write_counts(const struct backend_local *local, struct json_out *out)
{
    size_t all = 0, running = 0, paused = 0, images = 0;
    const struct crate *crate = NULL;
    while (local->crates && (crate = crates_next(local->crates, crate))) {
        all++;
        paused += crate->state == CRATE_PAUSED;
        running += crate_running(crate) && crate->state != CRATE_PAUSED;
    }
    if (local->images)
        images = library_count(images_library(local->images));
    json_out_uint(out, "Containers", all);
    json_out_uint(out, "ContainersRunning", running);
    json_out_uint(out, "ContainersPaused", paused);
    json_out_uint(out, "ContainersStopped", all - running - paused);
    json_out_uint(out, "Images", images);
}

static void write_texts(struct json_out *out, const char *key, const char *const *texts)
{
    json_out_array(out, key);
    for (; *texts; texts++)
        json_out_str(out, NULL, *texts);
    json_out_end(out);
}

static void write_plugins(struct json_out *out)
{
    static const char *const volumes[] = {"local", NULL};
    static const char *const networks[] = {"bridge", "host",    "ipvlan", "macvlan",
                                           "null",   "overlay", NULL};
    static const char *const logs[] = {"json-file", "local", NULL};
    json_out_object(out, "Plugins");
    write_texts(out, "Volume", volumes);
    write_texts(out, "Network", networks);
    json_out_null(out, "Authorization");
    write_texts(out, "Log", logs);
    json_out_end(out);
}

// With the slash at the end that dockerd gives them.
static void write_mirrors(const struct backend_local *local, struct json_out *out)
{
    char text[MIRRORS_BYTES_MAX + 2];
    json_out_array(out, "Mirrors");
    for (size_t i = 0; local && i < local->registry_mirrors_count; i++) {
        const char *mirror = local->registry_mirrors[i];
        str_format(text, sizeof text, "%s%s", mirror, str_ends(mirror, "/") ? "" : "/");
        json_out_str(out, NULL, text);
    }
    json_out_end(out);
}

static void write_index(const struct backend_local *mirrors, struct json_out *out, const char *name,
                        bool official)
{
    json_out_object(out, name);
    json_out_str(out, "Name", name);
    write_mirrors(mirrors, out);
    json_out_bool(out, "Secure", official);
    json_out_bool(out, "Official", official);
    json_out_end(out);
}

static void write_registries(const struct backend_local *local, struct json_out *out)
{
    static const char *const none[] = {NULL};
    json_out_object(out, "RegistryConfig");
    write_texts(out, "AllowNondistributableArtifactsCIDRs", none);
    write_texts(out, "AllowNondistributableArtifactsHostnames", none);
    json_out_array(out, "InsecureRegistryCIDRs");
    json_out_str(out, NULL, "127.0.0.0/8"); // always (mirrors.h)
    for (size_t i = 0; i < local->insecure_registries_count; i++)
        if (strchr(local->insecure_registries[i], '/'))
            json_out_str(out, NULL, local->insecure_registries[i]);
    json_out_end(out);
    json_out_object(out, "IndexConfigs");
    write_index(local, out, MIRRORS_DOMAIN, true);
    for (size_t i = 0; i < local->insecure_registries_count; i++)
        if (!strchr(local->insecure_registries[i], '/') &&
            !str_equal(local->insecure_registries[i], "docker.io"))
            write_index(NULL, out, local->insecure_registries[i], false);
    json_out_end(out);
    write_mirrors(local, out);
    json_out_end(out);
}

static void write_runtimes(const struct backend_local *local, struct json_out *out)
{
    const struct runtime *runtime = local->crates ? crates_runtime(local->crates) : NULL;
    struct program_name name;
    size_t position = 0;
    json_out_object(out, "Runtimes");
    while (runtime && runtime_next_program(runtime, &position, &name)) {
        json_out_object(out, name.name);
        json_out_str(out, "path", name.path);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_str(out, "DefaultRuntime",
                 runtime ? runtime_program(runtime) : str_or(local->runtime, ""));
}

static void write_commit(struct json_out *out, const char *key)
{
    json_out_object(out, key);
    json_out_str(out, "ID", "");
    json_out_str(out, "Expected", "");
    json_out_end(out);
}

static size_t entries_of(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 2 ? count - 2 : 0; // but for . and ..
}

// What newer engines do not say any more. Our threads stand for dockerd's goroutines.
static void write_old(unsigned minor, struct json_out *out)
{
    json_out_uint(out, "NFd", entries_of("/proc/self/fd"));
    json_out_uint(out, "NGoroutines", entries_of("/proc/self/task"));
    if (minor < 50) {
        json_out_bool(out, "BridgeNfIptables",
                      is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"));
        json_out_bool(out, "BridgeNfIp6tables",
                      is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
    }
    if (minor < 42) {
        json_out_bool(out, "KernelMemory",
                      exists("/sys/fs/cgroup/memory/memory.kmem.limit_in_bytes"));
        json_out_bool(out, "KernelMemoryTCP",
                      exists("/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes"));
    }
    if (minor < 25)
        json_out_str(out, "ExecutionDriver", "<not supported>");
}

void info_write(const struct backend_local *local, size_t listeners, unsigned minor,
                struct json_out *out)
{
    bool confines = local->crates && runtime_apparmor(crates_runtime(local->crates));
    char now[WALL_TEXT_BYTES];
    write_id(out);
    write_counts(local, out);
    json_out_str(out, "Driver", "overlay2"); // layers are directories joined by overlayfs
    json_out_array(out, "DriverStatus");
    json_out_end(out);
    write_plugins(out);
    write_limits(out);
    write_old(minor, out);
    write_release(out);
    json_out_str(out, "SystemTime", wall_format(wall_now(), now));
    json_out_str(out, "LoggingDriver", str_or(local->log_driver, LOG_DRIVER_DEFAULT));
    json_out_uint(out, "NEventsListener", listeners);
    json_out_str(out, "IndexServerAddress", "https://index.docker.io/v1/");
    write_registries(local, out);
    json_out_null(out, "GenericResources");
    json_out_str(out, "HttpProxy", "");
    json_out_str(out, "HttpsProxy", "");
    json_out_str(out, "NoProxy", "");
    json_out_bool(out, "ExperimentalBuild", false);
    write_runtimes(local, out);
    json_out_str(out, "Isolation", "");
    json_out_str(out, "InitBinary", str_or(local->init_program, ""));
    write_commit(out, "ContainerdCommit");
    write_commit(out, "RuncCommit");
    write_commit(out, "InitCommit");
    json_out_array(out, "SecurityOptions");
    if (confines)
        json_out_str(out, NULL, "name=apparmor");
    json_out_str(out, NULL, "name=seccomp,profile=builtin");
    json_out_end(out);
}
