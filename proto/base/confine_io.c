#include "proto/base/confine_io.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/check.h"

// Rights that came with later versions of Landlock than Debian 12's headers know.
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

// ---- user and capabilities ----------------------------------------------------------------------

static int become_user(uid_t uid, gid_t gid, struct err *err)
{
    // Before the user changes: it takes CAP_SETPCAP. Numbers beyond the kernel's last are EINVAL.
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EINVAL)
            return err_set_errno(err, errno, "drop capability %d", cap);
    if (setgroups(0, NULL))
        return err_set_errno(err, errno, "leave all groups");
    if (setresgid(gid, gid, gid))
        return err_set_errno(err, errno, "become group %u", gid);
    if (setresuid(uid, uid, uid))
        return err_set_errno(err, errno, "become user %u", uid);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &header, none))
        return err_set_errno(err, errno, "give up all capabilities");
    return 0;
}

// What is true now, asked again: a confinement that failed silently would be worse than none.
static int verify_user(uid_t uid, struct err *err)
{
    uid_t real, effective, saved;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    if (getresuid(&real, &effective, &saved) || real != uid || effective != uid || saved != uid)
        return err_set(err, ERR_INTERNAL, "still another user than %u", uid);
    if (syscall(SYS_capget, &header, caps))
        return err_set_errno(err, errno, "read the capabilities");
    for (int i = 0; i < 2; i++)
        if (caps[i].effective || caps[i].permitted || caps[i].inheritable)
            return err_set(err, ERR_INTERNAL, "still with capabilities");
    if (setresuid(0, 0, 0) == 0)
        return err_set(err, ERR_INTERNAL, "could become root again");
    return 0;
}

// ---- Landlock -----------------------------------------------------------------------------------

#define RIGHTS_READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define RIGHTS_READ_DIR  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_WRITE                                                                               \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |   \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
// All that the first version knows: execute to make_sym, bits 0 to 12.
#define RIGHTS_FIRST ((UINT64_C(1) << 13) - 1)

// What a ruleset of this version can take away.
static uint64_t rights_of_version(int version)
{
    uint64_t rights = RIGHTS_FIRST;
    if (version >= 2)
        rights |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
    return rights;
}

static int allow_path(int ruleset, const struct confine_path *path, uint64_t handled,
                      struct err *err)
{
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int result = err_set_errno(err, errno, "open %s", path->path);
        if (fd >= 0)
            close(fd);
        return result;
    }
    bool folder = S_ISDIR(st.st_mode);
    uint64_t rights = folder ? RIGHTS_READ_DIR : RIGHTS_READ_FILE;
    if (path->writable)
        rights |= (folder ? RIGHTS_WRITE | LANDLOCK_ACCESS_FS_REFER
                          : (uint64_t)LANDLOCK_ACCESS_FS_WRITE_FILE) |
                  LANDLOCK_ACCESS_FS_TRUNCATE;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights & handled,
        .parent_fd = fd,
    };
    int result = 0;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
        result = err_set_errno(err, errno, "allow %s", path->path);
    close(fd);
    return result;
}

static int enter_landlock(const struct confine_spec *spec, int *version_out, struct err *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        // ENOSYS: not built in; EOPNOTSUPP: switched off at boot.
        *version_out = 0;
        return 0;
    }
    struct landlock_ruleset_attr attr = {.handled_access_fs = rights_of_version((int)version)};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return err_set_errno(err, errno, "make a Landlock ruleset");
    int result = 0;
    for (size_t i = 0; i < spec->paths_count && !result; i++)
        result = allow_path(ruleset, &spec->paths[i], attr.handled_access_fs, err);
    if (!result && syscall(SYS_landlock_restrict_self, ruleset, 0))
        result = err_set_errno(err, errno, "enter the Landlock ruleset");
    close(ruleset);
    *version_out = (int)version;
    return result;
}

// ---- system calls -------------------------------------------------------------------------------

static size_t distinct_calls(const struct confine_spec *spec)
{
    size_t count = 0;
    for (size_t i = 0; i < spec->calls_count; i++) {
        size_t j = 0;
        while (spec->calls[j].number != spec->calls[i].number)
            j++;
        count += j == i;
    }
    return count;
}

static int enter_seccomp(const struct confine_spec *spec, bool *entered, struct err *err)
{
    *entered = false;
    // EFAULT for the missing filter says that the kernel has this mode; EINVAL that it does not.
    if (prctl(PR_SET_SECCOMP, 2, NULL, 0, 0) && errno == EINVAL)
        return 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    CHECK(filter);
    int result = 0;
    for (size_t i = 0; i < spec->calls_count && !result; i++) {
        const struct confine_call *call = &spec->calls[i];
        struct scmp_arg_cmp compare =
            SCMP_CMP64(call->arg, SCMP_CMP_MASKED_EQ, call->mask, call->value);
        result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call->number, call->mask ? 1 : 0,
                                        &compare);
    }
    // Its flags lie in memory, where no filter sees them; the C library then takes clone instead.
    if (!result)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!result)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result)
        return err_set_errno(err, result, "load the list of system calls");
    *entered = true;
    return 0;
}

// ---- all together -------------------------------------------------------------------------------

int confine_self(const struct confine_spec *spec, struct confine_report *report, struct err *err)
{
    CHECK(spec->uid != 0);
    CHECK(spec->gid != 0);
    CHECK(spec->calls_count <= CONFINE_ROWS_MAX);
    CHECK(distinct_calls(spec) <= CONFINE_CALLS_MAX);
    *report = (struct confine_report){0};
    if (geteuid() != 0)
        return err_set(err, ERR_PERMISSION_DENIED, "only root can become another user");
    int result = become_user(spec->uid, spec->gid, err);
    if (!result)
        result = verify_user(spec->uid, err);
    if (!result && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        result = err_set_errno(err, errno, "set no_new_privs");
    if (!result && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        result = err_set_errno(err, errno, "become not dumpable");
    if (!result)
        result = enter_landlock(spec, &report->landlock, err);
    if (!result)
        result = enter_seccomp(spec, &report->seccomp, err);
    return result;
}

const char *confine_lacking(const struct confine_report *report)
{
    if (!report->seccomp)
        return report->landlock ? "seccomp" : "seccomp and Landlock";
    return report->landlock ? "" : "Landlock";
}

void confine_close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0) == 0)
        return;
    // Kernels before 5.9.
    for (int fd = first; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
        close(fd);
}
