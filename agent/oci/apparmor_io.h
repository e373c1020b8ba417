// AppArmor as this machine's kernel has it.
#ifndef AGENT_OCI_APPARMOR_IO_H
#define AGENT_OCI_APPARMOR_IO_H

#include <stdbool.h>

#include "agent/oci/apparmor.h"

// The kernel has it and it is switched on.
bool apparmor_enabled(void);

// A profile of that name is in the kernel. The default one is loaded unless it is there already:
// an operator's own of that name stays. FAILED_PRECONDITION with what is missing. May block for
// some milliseconds, the first time.
int apparmor_ensure(const char *name, struct err *err);

#endif
