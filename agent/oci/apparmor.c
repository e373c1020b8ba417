#include "agent/oci/apparmor.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// What is not denied is allowed: what a container really may do is settled by its capabilities, its
// mounts and its seccomp profile.
static const char *const allowed[] = {
    "capability",
    "file",
    "network",
    "umount",
    "unix",
    // Who runs outside (we, conmon, the operator) may signal and trace it, it only its own kind.
    // Some distributions give the runtimes profiles of their own.
    "signal (receive) peer=unconfined",
    "signal (receive) peer=crun",
    "signal (receive) peer=runc",
    "signal (send, receive) peer=" APPARMOR_DEFAULT,
    "ptrace (tracedby, readby) peer=unconfined",
    "ptrace (trace, read, tracedby, readby) peer=" APPARMOR_DEFAULT,
};

// Denials win over what is allowed. Their patterns know no "all but": what may be written to is
// spelled around, letter by letter. ("*" ends at a slash, "**" does not.)
static const char *const denied[] = {
    // Its mounts are as we made them.
    "mount",
    // Of /proc it writes below its processes and /proc/sys alone,
    "/proc/* w",
    "/proc/[^1-9s]*/** w",
    "/proc/s[^y]*/** w",
    "/proc/sy[^s]*/** w",
    "/proc/sys?*/** w",
    // of that to kernel/shm* alone, whose values are its own namespace's.
    "/proc/sys/[^k]** w",
    "/proc/sys/kernel/[^s]** w",
    "/proc/sys/kernel/s[^h]** w",
    "/proc/sys/kernel/sh[^m]** w",
    // Of /sys it changes its cgroups alone.
    "/sys/[^f]*/** wklx",
    "/sys/f[^s]*/** wklx",
    "/sys/fs/[^c]*/** wklx",
    "/sys/fs/c[^g]*/** wklx",
    "/sys/fs/cg[^r]*/** wklx",
    // What tells of the machine or stops it is not even read.
    "/proc/kcore rwklx",
    "/proc/sysrq-trigger rwklx",
    "/sys/devices/virtual/powercap/** rwklx",
    "/sys/firmware/** rwklx",
    "/sys/kernel/security/** rwklx",
};

void apparmor_write(const char *own, struct buf *out)
{
    // A container's files may lie on mounts that its own tree does not reach, or be removed.
    buf_put_str(out,
                "profile " APPARMOR_DEFAULT " flags=(attach_disconnected, mediate_deleted) {\n");
    for (size_t i = 0; i < COUNT_OF(allowed); i++)
        buf_printf(out, "  %s,\n", allowed[i]);
    if (!str_empty(own))
        buf_printf(out, "  signal (receive) peer=\"%s\",\n", own);
    for (size_t i = 0; i < COUNT_OF(denied); i++)
        buf_printf(out, "  deny %s,\n", denied[i]);
    buf_put_str(out, "}\n");
}

bool apparmor_lists(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = list; *line; line += strspn(line, "\n")) {
        size_t length = strcspn(line, "\n");
        if (length > size && strncmp(line, name, size) == 0 && str_starts(line + size, " ("))
            return true;
        line += length;
    }
    return false;
}

int apparmor_check_name(const char *name, struct err *err)
{
    size_t size = strlen(name);
    bool bad = size == 0 || size > APPARMOR_NAME_CHARS_MAX;
    for (size_t i = 0; i < size; i++)
        bad |= (unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '"';
    if (bad)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid AppArmor profile name \"%.100s\"", name);
    return 0;
}
