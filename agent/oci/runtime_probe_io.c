// What runtime_open finds out about the programs and the kernel.
#include <fcntl.h>
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

#define PROBE_MS  10000
#define ELF_FIRST 0x7f
// Capability sets whose program is kept: a node sees few different ones.
#define COMPILED_MAX 64

// "<program> --version", which everything here answers.
static int ask_version(const char *program, const char *const *env, struct awaited *said,
                       struct err *err)
{
    const char *argv[] = {program, "--version", NULL};
    struct process_spec spec = {.argv = argv, .env = env, .timeout_ms = PROBE_MS};
    if (await_program(&spec, program, said, NULL) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "%s --version failed", program);
    return 0;
}

static unsigned version_number(const char *text)
{
    unsigned parts[3] = {0};
    sscanf(text, "%u.%u.%u", &parts[0], &parts[1], &parts[2]);
    return parts[0] * 1000000 + parts[1] * 1000 + parts[2];
}

// Versions with a known way out of the container. Debian mends old versions and says so in the
// commit line, so a mark there excuses the number.
static int refuse_known_bad(const struct runtime *runtime, const char *said, struct err *err)
{
    static const struct {
        const char *name;
        const char *mended_in;
        const char *mark;
        const char *why;
    } rows[] = {
        {"runc", "1.1.12", "+deb", "CVE-2024-21626 (leaked descriptors)"},
        {"crun", "1.4.4", "+deb", "CVE-2022-27650 (inheritable capabilities)"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal(runtime->name, rows[i].name) && !strstr(said, rows[i].mark) &&
            version_number(runtime->version) < version_number(rows[i].mended_in))
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "%s %s is refused because of %s: %s or later is needed", rows[i].name,
                           runtime->version, rows[i].why, rows[i].mended_in);
    return 0;
}

static int look_at_program(struct runtime *runtime, const char *program, struct err *err)
{
    if (!process_find(program, runtime->program, sizeof runtime->program))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "container runtime %s is not installed or cannot be executed", program);
    struct awaited said;
    int rc = ask_version(runtime->program, NULL, &said, err);
    if (rc)
        return rc;
    // "crun version 1.8.1", "runc version 1.1.5+ds1"
    if (sscanf(said.out, "%31s version %63s", runtime->name, runtime->version) != 2)
        return err_set(err, ERR_FAILED_PRECONDITION, "%s does not say which runtime it is",
                       runtime->program);
    if (!str_equal(runtime->name, "crun") && !str_equal(runtime->name, "runc"))
        return err_set(err, ERR_FAILED_PRECONDITION, "%s is %.40s: crun and runc are supported",
                       runtime->program, runtime->name);
    rc = refuse_known_bad(runtime, said.out, err);
    if (!rc && str_equal(runtime->name, "crun") && runtime->cgroup.layout == CGROUP_HYBRID)
        rc = err_set(err, ERR_FAILED_PRECONDITION,
                     "crun cannot work with this machine's hybrid cgroups (v1 controllers with a "
                     "v2 tree at /sys/fs/cgroup/unified): boot with "
                     "systemd.unified_cgroup_hierarchy=1, unmount that tree, or use runc");
    return rc;
}

int runtime_choose(struct runtime *runtime, const char *wanted, struct err *err)
{
    if (runtime->cgroup.layout == CGROUP_NONE)
        return err_set(err, ERR_FAILED_PRECONDITION, "no cgroup tree is mounted at /sys/fs/cgroup");
    if (wanted)
        return look_at_program(runtime, wanted, err);
    struct err first = ERR_INIT;
    if (look_at_program(runtime, "crun", &first) == 0)
        return 0;
    if (look_at_program(runtime, "runc", err) != 0)
        return err_copy(err, &first);
    log_warn("runtime chosen", "runtime=runc version=%s why=\"%s\"", runtime->version,
             first.message);
    return 0;
}

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

static bool file_begins(const char *path, char wanted)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char first = 0;
    bool ok = fd >= 0 && read(fd, &first, 1) == 1 && first == wanted;
    if (fd >= 0)
        close(fd);
    return ok;
}

// A script is left as it is: it may look for what lies beside it. So is runc, which is large.
void runtime_seal(struct runtime *runtime, const char *dir)
{
    char link[RUNTIME_PATH_BYTES];
    struct err err = ERR_INIT;
    if (!str_equal(runtime->name, "crun") || !file_begins(runtime->program, ELF_FIRST) ||
        !str_format(link, sizeof link, "%s/crun", dir))
        return;
    if (sealed_new(runtime->program, link, &runtime->sealed, &err) != 0)
        log_warn("crun is not run from memory", "err=\"%s\"", err.message);
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
        struct awaited said;
        if (str_format(path, sizeof runtime->preload, "%s/%s", self, places[i]) &&
            access(path, R_OK) == 0) {
            str_format(preload, sizeof preload, "LD_PRELOAD=%s", path);
            // All it needs has to be there now, not when it is first called.
            const char *env[] = {"PATH=" PROCESS_PATH, "LANG=C.UTF-8", "LD_BIND_NOW=1", preload,
                                 NULL};
            if (ask_version(runtime->conmon, env, &said, NULL) == 0 && !said.complained)
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
