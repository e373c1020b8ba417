// What runtime_open finds out about the programs and the kernel.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/oci/apparmor_io.h"
#include "agent/oci/await_io.h"
#include "agent/oci/runtime_priv_io.h"
#include "agent/oci/seccomp.h"
#include "agent/oci/seccomp_bpf_io.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define PROBE_MS 10000
// Capability sets whose program is kept: a node sees few different ones.
#define COMPILED_MAX 64

static void look_for_init(struct runtime *runtime, const char *wanted)
{
    static const char *const names[] = {"docker-init", "tini-static", "catatonit"};
    bool found = wanted && process_find(wanted, runtime->init, sizeof runtime->init);
    for (size_t i = 0; i < COUNT_OF(names) && !found && !wanted; i++)
        found = process_find(names[i], runtime->init, sizeof runtime->init);
    if (!found)
        runtime->init[0] = '\0';
}

static uint64_t own_caps(void)
{
    struct buf text;
    buf_init(&text, 65536);
    uint64_t caps = 0;
    if (file_read("/proc/self/status", &text, NULL) == 0) {
        const char *at = strstr(buf_cstr(&text), "CapEff:");
        if (at)
            caps = strtoull(at + 7, NULL, 16);
    }
    buf_fini(&text);
    return caps;
}

static void look_at_apparmor(struct runtime *runtime)
{
    struct err err = ERR_INIT;
    runtime->has_apparmor = apparmor_enabled();
    runtime->confines = runtime->has_apparmor && apparmor_ensure(APPARMOR_DEFAULT, &err) == 0;
    if (err.code)
        log_warn("containers run without AppArmor, unless they ask for a profile", "err=\"%s\"",
                 err.message);
}

void runtime_look(struct runtime *runtime, const char *init_program)
{
    look_for_init(runtime, init_program);
    struct utsname name;
    uname(&name);
    str_copy(runtime->kernel, sizeof runtime->kernel, name.release);
    runtime->caps = own_caps();
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    runtime->nofile_hard_max = limit.rlim_max;
    look_at_apparmor(runtime);
    runtime->has_selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
    runtime->has_cgroup_ns = access("/proc/self/ns/cgroup", F_OK) == 0;
}

// Beside skepd as it is built, and where a package puts it.
void runtime_look_at_conmon(struct runtime *runtime)
{
    static const char *const places[] = {"skep-conmon.so", "../lib/skep/skep-conmon.so"};
    char self[RUNTIME_PATH_BYTES], preload[RUNTIME_PATH_BYTES + 16];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size < 0 ? 0 : size] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return;
    *slash = '\0';
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char *path = runtime->preload;
        const char *argv[] = {runtime->conmon, "--version", NULL};
        struct awaited said;
        if (str_format(path, sizeof runtime->preload, "%s/%s", self, places[i]) &&
            access(path, R_OK) == 0) {
            str_format(preload, sizeof preload, "LD_PRELOAD=%s", path);
            // All it needs has to be there now, not when it is first called.
            const char *env[] = {"PATH=" PROCESS_PATH, "LANG=C.UTF-8", "LD_BIND_NOW=1", preload,
                                 NULL};
            struct process_spec spec = {.argv = argv, .env = env, .timeout_ms = PROBE_MS};
            if (await_program(&spec, runtime->conmon, &said, NULL) == 0 && !said.complained)
                return;
        }
        *path = '\0';
    }
}

// ---- the default seccomp profile, compiled ------------------------------------------------------

static char *compile(const struct runtime *runtime, uint64_t caps, struct err *err)
{
    struct buf text, program, coded;
    struct json_out out;
    buf_init(&text, SECCOMP_PROFILE_BYTES);
    buf_init(&program, SECCOMP_PROFILE_BYTES);
    buf_init(&coded, 2 * SECCOMP_PROFILE_BYTES);
    json_out_init(&out, &text);
    int rc = seccomp_write(runtime->seccomp.data, runtime->seccomp.len, SECCOMP_NARROWED, caps,
                           runtime->kernel, &out, NULL, err);
    json_t *json = rc ? NULL : json_parse(text.data, text.len, err);
    if (json && seccomp_compile(json, &program, err) == 0)
        base64_encode(BASE64_STD, program.data, program.len, &coded);
    json_decref(json);
    char *result = coded.len && buf_cstr(&coded) ? str_dup(buf_cstr(&coded)) : NULL;
    buf_fini(&text);
    buf_fini(&program);
    buf_fini(&coded);
    return result;
}

const char *runtime_seccomp_bpf(void *ctx, uint64_t caps)
{
    struct runtime *runtime = ctx;
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    if (!runtime->seccomp.len)
        return NULL;
    char *known = map_get_u64(&runtime->compiled, caps);
    if (!known && map_count(&runtime->compiled) < COMPILED_MAX) {
        struct err err = ERR_INIT;
        known = compile(runtime, caps, &err);
        if (!known) {
            log_warn("seccomp profile left to the runtime", "err=\"%s\"", err.message);
            known = str_dup("");
        }
        map_put_u64(&runtime->compiled, caps, known);
    }
    return str_empty(known) ? NULL : known;
}
