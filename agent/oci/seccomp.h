// A seccomp profile in docker's and containers-common's form, made into the form OCI runtimes take.
#ifndef AGENT_OCI_SECCOMP_H
#define AGENT_OCI_SECCOMP_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/json.h"

#define SECCOMP_PROFILE_BYTES (1u << 20)
#define SECCOMP_RULES_MAX     1024
#define SECCOMP_NAMES_MAX     2048

// The annotation under which crun looks for a compiled profile in base64 (seccomp_bpf_io.h).
#define SECCOMP_BPF_ANNOTATION "run.oci.seccomp_bpf_data"

enum seccomp_kind {
    SECCOMP_AS_IS, // a profile of the user's
    // The node's own. Where it is wider than Docker's for the same capabilities (containers-common
    // allows new namespaces and mounts to everybody, for containers in containers), it is narrowed.
    SECCOMP_NARROWED,
};

// Writes the object `key` (linux.seccomp) for a container that has the capabilities in `caps` (a
// bit per capability number) on this architecture and kernel: rules whose includes and excludes do
// not fit are left out. INVALID_ARGUMENT says what is wrong with a profile.
int seccomp_write(const void *profile, size_t profile_bytes, enum seccomp_kind kind, uint64_t caps,
                  const char *kernel_release, struct json_out *out, const char *key,
                  struct err *err);

#endif
