// Seccomp profiles compiled once instead of once per container.
//
// With three architectures the default profile takes libseccomp some 40 ms; crun takes the finished
// program in an annotation instead. (The profile stays in config.json all the same: a runtime that
// does not know the annotation compiles it itself.)
#ifndef AGENT_OCI_SECCOMP_BPF_IO_H
#define AGENT_OCI_SECCOMP_BPF_IO_H

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

// Appends the program for a linux.seccomp object as seccomp_write makes it. System calls that this
// libseccomp does not know are passed over, as runtimes do. UNIMPLEMENTED for an action or operator
// that cannot be compiled here.
int seccomp_compile(const json_t *seccomp, struct buf *out, struct err *err);

#endif
