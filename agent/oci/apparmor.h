// The AppArmor profile that containers get unasked, by the name and with the rules that users of
// Docker know: a second fence behind dropped capabilities, seccomp and masked paths.
//
// Pure. Loading is apparmor_io.h's.
#ifndef AGENT_OCI_APPARMOR_H
#define AGENT_OCI_APPARMOR_H

#include <stdbool.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define APPARMOR_DEFAULT    "docker-default"
#define APPARMOR_UNCONFINED "unconfined"

#define APPARMOR_NAME_CHARS_MAX 255

// Appends the text of the default profile, as apparmor_parser reads it; it includes no other file.
// `own` is the profile that we run under ourselves, whose signals containers take; NULL: none.
void apparmor_write(const char *own, struct buf *out);

// Whether a profile of that name is in the kernel's list of them: one "name (mode)" a line.
bool apparmor_lists(const char *list, const char *name);

// A name that a profile can have. INVALID_ARGUMENT.
int apparmor_check_name(const char *name, struct err *err);

#endif
