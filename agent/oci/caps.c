#include "agent/oci/caps.h"

#include <stddef.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *const names[CAPS_COUNT] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

// What Docker gives a container that asks for nothing.
static const char *const defaults[] = {
    "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
    "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE",
};

const char *caps_name(unsigned number)
{
    return number < CAPS_COUNT ? names[number] : NULL;
}

int caps_number(const char *name)
{
    for (unsigned i = 0; i < CAPS_COUNT; i++)
        if (str_equal_case(name, names[i]) || str_equal_case(name, names[i] + 4))
            return (int)i;
    return -1;
}

uint64_t caps_default(void)
{
    uint64_t set = 0;
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        int number = caps_number(defaults[i]);
        CHECK(number >= 0);
        set |= UINT64_C(1) << number;
    }
    return set;
}

// `option` is the list's name, for the error.
static int collect(const struct oci_strings *list, const char *option, uint64_t *set, bool *all,
                   struct err *err)
{
    *set = 0;
    *all = false;
    for (size_t i = 0; i < list->count; i++) {
        if (str_equal_case(list->items[i], "ALL") || str_equal_case(list->items[i], "CAP_ALL")) {
            *all = true;
            continue;
        }
        int number = caps_number(list->items[i]);
        if (number < 0)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "invalid %s: unknown capability: \"%s%.100s\"", option,
                           str_starts(list->items[i], "CAP_") ? "" : "CAP_", list->items[i]);
        *set |= UINT64_C(1) << number;
    }
    return 0;
}

int caps_combine(const struct oci_strings *add, const struct oci_strings *drop, uint64_t *out,
                 struct err *err)
{
    uint64_t added, dropped;
    bool add_all, drop_all;
    int rc = collect(add, "CapAdd", &added, &add_all, err);
    if (!rc)
        rc = collect(drop, "CapDrop", &dropped, &drop_all, err);
    if (rc)
        return rc;
    // "ALL" on one side makes the other side the exceptions.
    if (add_all)
        *out = CAPS_ALL & ~dropped;
    else if (drop_all)
        *out = added;
    else
        *out = (caps_default() & ~dropped) | added;
    return 0;
}
