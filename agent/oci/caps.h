// Capability sets by name.
#ifndef AGENT_OCI_CAPS_H
#define AGENT_OCI_CAPS_H

#include <stdint.h>

#include "agent/oci/bundle.h"
#include "proto/base/err.h"

// Number of capabilities known, and the bit of one.
#define CAPS_COUNT 41
#define CAPS_ALL   ((UINT64_C(1) << CAPS_COUNT) - 1)

// "CAP_CHOWN" for 0 and so on; NULL past the end.
const char *caps_name(unsigned number);

// The number for "NET_ADMIN", "cap_net_admin", ...; -1 when there is none.
int caps_number(const char *name);

// Docker's default fourteen.
uint64_t caps_default(void);

// The default set with additions and removals, "ALL" included, as docker combines them.
// INVALID_ARGUMENT names an unknown one.
int caps_combine(const struct oci_strings *add, const struct oci_strings *drop, uint64_t *out,
                 struct err *err);

#endif
