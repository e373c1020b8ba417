#include "agent/oci/programs_io.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/oci/await_io.h"
#include "agent/oci/sealed_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define PROBE_MS  10000
#define ELF_FIRST 0x7f

// The programs that are known without being named.
static const char *const built_in[] = {"crun", "runc"};

// Names that clients of containerd use for runc's shim: here they mean the default.
static const char *const aliases[] = {"io.containerd.runc.v2", "io.containerd.runtime.v1.linux"};

// ---- one program --------------------------------------------------------------------------------

static struct program *program_new(const char *name, const char *path)
{
    char found[PATH_MAX];
    struct program *program = MEM_NEW(struct program);
    program->name = str_dup(name);
    // Where it is now; a program that is not there yet may come.
    program->path = str_dup(process_find(path, found, sizeof found) ? found : path);
    return program;
}

static void program_free(struct program *program)
{
    CHECK(!program->users);
    sealed_free(program->sealed);
    free(program->name);
    free(program->path);
    free(program);
}

static unsigned version_number(const char *text)
{
    unsigned parts[3] = {0};
    sscanf(text, "%u.%u.%u", &parts[0], &parts[1], &parts[2]);
    return parts[0] * 1000000 + parts[1] * 1000 + parts[2];
}

// Versions with a known way out of the container. Debian mends old versions and says so in the
// commit line, so a mark there excuses the number.
static int refuse_known_bad(const char *kind, const char *version, const char *said,
                            struct err *err)
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
        if (str_equal(kind, rows[i].name) && !strstr(said, rows[i].mark) &&
            version_number(version) < version_number(rows[i].mended_in))
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "%s %s is refused because of %s: %s or later is needed", rows[i].name,
                           version, rows[i].why, rows[i].mended_in);
    return 0;
}

static int check_kind(const struct programs *programs, const struct program *program,
                      const char *kind, struct err *err)
{
    if (!str_equal(kind, "crun") && !str_equal(kind, "runc"))
        return err_set(err, ERR_FAILED_PRECONDITION, "%s is %.40s: crun and runc are supported",
                       program->path, kind);
    if (str_equal(kind, "crun") && programs->layout == CGROUP_HYBRID)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "crun cannot work with this machine's hybrid cgroups (v1 controllers with "
                       "a v2 tree at /sys/fs/cgroup/unified): boot with "
                       "systemd.unified_cgroup_hierarchy=1, unmount that tree, or use runc");
    return 0;
}

int programs_ready(const struct programs *programs, struct program *program, struct err *err)
{
    char found[PATH_MAX], kind[sizeof program->kind], version[sizeof program->version];
    if (*program->kind)
        return 0;
    if (!process_find(program->path, found, sizeof found))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "container runtime %s is not installed or cannot be executed",
                       program->path);
    const char *argv[] = {found, "--version", NULL};
    struct process_spec spec = {.argv = argv, .timeout_ms = PROBE_MS};
    struct awaited said;
    if (await_program(&spec, found, &said, NULL) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "%s --version failed", found);
    // "crun version 1.8.1", "runc version 1.1.5+ds1"
    if (sscanf(said.out, "%31s version %63s", kind, version) != 2)
        return err_set(err, ERR_FAILED_PRECONDITION, "%s does not say which runtime it is", found);
    int rc = check_kind(programs, program, kind, err);
    if (!rc)
        rc = refuse_known_bad(kind, version, said.out, err);
    if (rc)
        return rc;
    free(program->path);
    program->path = str_dup(found);
    str_copy(program->kind, sizeof program->kind, kind);
    str_copy(program->version, sizeof program->version, version);
    return 0;
}

const char *program_path(const struct program *program)
{
    return program->sealed ? sealed_path(program->sealed) : program->path;
}

// ---- all of them --------------------------------------------------------------------------------

static struct program *listed(const struct programs *programs, const char *name)
{
    for (size_t i = 0; i < programs->count; i++)
        if (programs->all[i]->listed && str_equal(programs->all[i]->name, name))
            return programs->all[i];
    return NULL;
}

// The one of this name and path, made when it is new. NULL: there are too many.
static struct program *add(struct programs *programs, const char *name, const char *path)
{
    struct program *program = program_new(name, path);
    for (size_t i = 0; i < programs->count; i++) {
        struct program *other = programs->all[i];
        if (str_equal(other->name, name) && str_equal(other->path, program->path)) {
            program_free(program);
            return other;
        }
    }
    if (programs->count == PROGRAMS_MAX) {
        program_free(program);
        return NULL;
    }
    return programs->all[programs->count++] = program;
}

// Forgets what is neither listed nor used.
static void tidy(struct programs *programs)
{
    size_t kept = 0;
    for (size_t i = 0; i < programs->count; i++) {
        struct program *program = programs->all[i];
        if (program->listed || program->users)
            programs->all[kept++] = program;
        else
            program_free(program);
    }
    programs->count = kept;
}

// crun, and runc where crun cannot work.
static int choose_any(const struct programs *programs, struct program **out, struct err *err)
{
    struct program *crun = listed(programs, "crun"), *runc = listed(programs, "runc");
    struct err first = ERR_INIT;
    if (!crun && !runc)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "container runtime crun is not installed or cannot be executed");
    *out = crun;
    if (crun && programs_ready(programs, crun, &first) == 0)
        return 0;
    int rc = runc ? programs_ready(programs, runc, err) : err_copy(err, &first);
    if (rc)
        return crun ? err_copy(err, &first) : rc;
    if (crun)
        log_warn("runtime chosen", "runtime=runc version=%s why=\"%s\"", runc->version,
                 first.message);
    *out = runc;
    return 0;
}

// A path that has no name goes by that of the program it is.
static int choose_path(struct programs *programs, const char *path, struct program **out,
                       struct err *err)
{
    struct program *program = program_new("", path);
    int rc = programs_ready(programs, program, err);
    struct program *taken = rc ? NULL : listed(programs, program->kind);
    if (!rc)
        *out = add(programs, program->kind, program->path);
    program_free(program);
    if (!rc && !*out)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d runtimes", PROGRAMS_MAX);
    if (rc)
        return rc;
    if (taken)
        taken->listed = false;
    (*out)->listed = true;
    return programs_ready(programs, *out, err);
}

static int choose(struct programs *programs, const char *chosen, struct program **out,
                  struct err *err)
{
    if (str_empty(chosen))
        return choose_any(programs, out, err);
    *out = listed(programs, chosen);
    return *out ? programs_ready(programs, *out, err) : choose_path(programs, chosen, out, err);
}

static int list_all(struct programs *programs, const struct program_name *more, size_t more_count,
                    struct err *err)
{
    for (size_t i = 0; i < more_count + COUNT_OF(built_in); i++) {
        char found[PATH_MAX];
        bool own = i >= more_count;
        const char *name = own ? built_in[i - more_count] : more[i].name;
        if (own && (listed(programs, name) || !process_find(name, found, sizeof found)))
            continue;
        struct program *program = add(programs, name, own ? found : more[i].path);
        if (!program)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d runtimes", PROGRAMS_MAX);
        program->listed = true;
    }
    return 0;
}

int programs_set(struct programs *programs, const char *chosen, const struct program_name *more,
                 size_t more_count, struct err *err)
{
    bool before[PROGRAMS_MAX] = {false};
    struct program *now = NULL;
    size_t count = programs->count;
    for (size_t i = 0; i < count; i++) {
        before[i] = programs->all[i]->listed;
        programs->all[i]->listed = false;
    }
    int rc = list_all(programs, more, more_count, err);
    if (!rc)
        rc = choose(programs, chosen, &now, err);
    if (!rc)
        programs->chosen = now;
    for (size_t i = 0; rc && i < programs->count; i++)
        programs->all[i]->listed = i < count && before[i];
    tidy(programs);
    return rc;
}

void programs_fini(struct programs *programs)
{
    for (size_t i = 0; i < programs->count; i++)
        program_free(programs->all[i]);
    *programs = (struct programs){0};
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
void programs_seal(struct programs *programs, const char *dir)
{
    char link[PATH_MAX];
    struct err err = ERR_INIT;
    struct program *program = programs->chosen;
    CHECK(program);
    if (!str_equal(program->kind, "crun") || !file_begins(program->path, ELF_FIRST) ||
        !str_format(link, sizeof link, "%s/crun", dir))
        return;
    if (sealed_new(program->path, link, &program->sealed, &err) != 0)
        log_warn("crun is not run from memory", "err=\"%s\"", err.message);
}

struct program *programs_find(const struct programs *programs, const char *name)
{
    struct program *program = str_empty(name) ? programs->chosen : listed(programs, name);
    for (size_t i = 0; !program && i < COUNT_OF(aliases); i++)
        if (str_equal(name, aliases[i]))
            program = programs->chosen;
    return program;
}

struct program *programs_recall(struct programs *programs, const char *name, const char *path)
{
    return add(programs, name, path);
}

bool programs_next(const struct programs *programs, size_t *position, struct program_name *out)
{
    while (*position < programs->count + COUNT_OF(aliases)) {
        size_t at = (*position)++;
        const struct program *program = at < programs->count ? programs->all[at] : programs->chosen;
        if (!program->listed)
            continue;
        *out = (struct program_name){
            at < programs->count ? program->name : aliases[at - programs->count], program->path};
        return true;
    }
    return false;
}
