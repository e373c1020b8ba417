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

// Writes the object `key` (linux.seccomp) for a container that has the capabilities in `caps` (a
// bit per capability number) on this architecture and kernel: rules whose includes and excludes do
// not fit are left out. INVALID_ARGUMENT says what is wrong with a profile.
int seccomp_write(const void *profile, size_t profile_bytes, uint64_t caps,
                  const char *kernel_release, struct json_out *out, const char *key,
                  struct err *err);

#endif
