// Giving up rights for good: a process that parses what comes from outside first becomes a user of
// its own, without capabilities, with a list of system calls and a list of folders.
//
// Called once, early, while the process has one thread and holds what it needs by descriptor.
#ifndef PROTO_BASE_CONFINE_IO_H
#define PROTO_BASE_CONFINE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/err.h"

// Most rows of an allow-list, and most different calls in it (security.md).
#define CONFINE_ROWS_MAX  80
#define CONFINE_CALLS_MAX 60

// One system call that stays allowed. With a mask it is allowed only when that argument, masked, is
// `value`; several rows for one call are alternatives. Calls that are not allowed fail with EPERM:
// a forgotten one is then an error that is seen and survived, not a manager that dies.
struct confine_call {
    int number; // __NR_...
    unsigned arg;
    uint64_t mask; // 0: any arguments
    uint64_t value;
};

struct confine_path {
    const char *path; // a file, or a folder with all below it. One that does not exist is left out
    bool writable;
};

struct confine_spec {
    uid_t uid; // not 0
    gid_t gid; // not 0
    const struct confine_call *calls;
    size_t calls_count;
    const struct confine_path *paths; // what may be opened; nothing else may
    size_t paths_count;
};

// What the kernel gave. What it lacks is no error here: the caller says so, once.
struct confine_report {
    bool seccomp;
    int landlock; // the kernel's version of Landlock, 0 without
};

// User and groups, capabilities (the bounding set too), no_new_privs, not dumpable, Landlock,
// system calls, in this order. On an error the process may be half confined and must end.
// PERMISSION_DENIED when it does not start as root.
int confine_self(const struct confine_spec *spec, struct confine_report *report, struct err *err);

// "" or what the kernel lacks, such as "Landlock"; static text.
const char *confine_lacking(const struct confine_report *report);

// Closes every descriptor from `first` on: what a careless parent may have left open.
void confine_close_from(int first);

#endif
