// Which services still use a secret or config. Pure; internal to the room.
#ifndef MANAGER_CONTROL_USES_H
#define MANAGER_CONTROL_USES_H

#include "manager/store/view.h"

// INVALID_ARGUMENT "<kind> '<name>' is in use by the following service: a" (or "services: a, b")
// when any does.
int uses_check(struct view view, enum index index, const struct object *object, const char *kind,
               struct err *err);

#endif
