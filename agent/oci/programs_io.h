// The OCI runtimes of a node: programs that run containers, by the names their users know them by.
//
// One of them is the default. crun and runc go by their own names where they are installed; the
// operator adds others ("mine" at /opt/crun). The default is looked at when it is chosen, another
// one when a container first needs it.
#ifndef AGENT_OCI_PROGRAMS_IO_H
#define AGENT_OCI_PROGRAMS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/oci/cgroup_io.h"
#include "proto/base/err.h"

#define PROGRAMS_MAX 64 // at one time, those in use that are no longer listed included

// A runtime as the operator names it.
struct program_name {
    const char *name;
    const char *path;
};

struct program {
    char *name;
    char *path;            // as wanted, or absolute once it was found
    char kind[32];         // "crun" or "runc"; "": not yet looked at
    char version[64];      // "1.8.1"
    struct sealed *sealed; // a copy of it; NULL: it is run itself
    bool listed;           // containers may ask for it
    size_t users;          // containers that it runs
};

struct programs {
    struct program *all[PROGRAMS_MAX];
    size_t count;
    struct program *chosen; // the default; NULL: none yet
    enum cgroup_layout layout;
};

// `chosen` is the default: a name of `more`, a path, or a program's name; NULL takes crun, and runc
// where crun cannot work. May be called again: what containers use stays until they are gone. On an
// error everything is as before: FAILED_PRECONDITION with what is wrong with the default,
// RESOURCE_EXHAUSTED.
int programs_set(struct programs *programs, const char *chosen, const struct program_name *more,
                 size_t more_count, struct err *err);
void programs_fini(struct programs *programs);

// Has the default run from a copy in memory, named in this folder, where it is crun and the kernel
// allows it. Once.
void programs_seal(struct programs *programs, const char *dir);

// The runtime that a container names; NULL and "" name the default, and so do containerd's names
// for runc's shim. NULL: there is none of that name.
struct program *programs_find(const struct programs *programs, const char *name);

// The runtime that ran a container in an earlier life: the one of this name and path, listed or
// not. NULL: there are too many.
struct program *programs_recall(struct programs *programs, const char *name, const char *path);

// Looks at the program unless that was done: FAILED_PRECONDITION with what is wrong.
int programs_ready(const struct programs *programs, struct program *program, struct err *err);

// What containers may ask for, one after the other: its name and where it is. Starts at 0.
bool programs_next(const struct programs *programs, size_t *position, struct program_name *out);

// What to execute now.
const char *program_path(const struct program *program);

#endif
