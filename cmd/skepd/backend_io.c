#include "cmd/skepd/backend_io.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proto/base/str.h"

#ifndef SKEP_VERSION
#error "the build names the version"
#endif

// ---- facts --------------------------------------------------------------------------------------

static struct utsname *machine(void)
{
    static struct utsname name;
    if (!name.sysname[0])
        uname(&name);
    return &name;
}

static void on_version(void *ctx, struct backend_version *out)
{
    (void)ctx;
    out->version = SKEP_VERSION;
    out->kernel = machine()->release;
    out->arch = str_equal(machine()->machine, "x86_64")    ? "amd64"
                : str_equal(machine()->machine, "aarch64") ? "arm64"
                                                           : machine()->machine;
}

static void on_info(void *ctx, struct json_out *out)
{
    const struct backend_parts *parts = ctx;
    struct sysinfo memory = {0};
    sysinfo(&memory);
    json_out_str(out, "Name", machine()->nodename);
    json_out_str(out, "ServerVersion", SKEP_VERSION);
    json_out_str(out, "OSType", "linux");
    json_out_str(out, "KernelVersion", machine()->release);
    json_out_str(out, "Architecture", machine()->machine);
    json_out_str(out, "DockerRootDir", parts->config->data_root);
    json_out_int(out, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    json_out_int(out, "MemTotal", (int64_t)memory.totalram * memory.mem_unit);
    json_out_bool(out, "Debug", parts->config->debug);
    json_out_bool(out, "LiveRestoreEnabled", parts->config->live_restore);
}

// ---- the swarm ----------------------------------------------------------------------------------

static void on_swarm(void *ctx, struct backend_swarm *out)
{
    const struct backend_parts *parts = ctx;
    membership_describe(parts->membership, out);
}

static void on_init(void *ctx, const struct backend_init *init, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_init(parts->membership, init, done, owner);
}

static void on_leave(void *ctx, bool force, backend_done *done, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_leave(parts->membership, force, done, owner);
}

static void on_forget(void *ctx, void *owner)
{
    const struct backend_parts *parts = ctx;
    membership_forget(parts->membership, owner);
}

// What is NULL answers 501 with a text that says so.
const struct backend node_backend = {
    .swarm = on_swarm,
    .version = on_version,
    .info = on_info,
    .init = on_init,
    .leave = on_leave,
    .forget = on_forget,
};
