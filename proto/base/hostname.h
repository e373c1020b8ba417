// Names of hosts and domains. Pure.
#ifndef PROTO_BASE_HOSTNAME_H
#define PROTO_BASE_HOSTNAME_H

#include <stdbool.h>

#include "proto/base/str.h"

// Whether it may stand between two dots: letters, digits and hyphens, none of these at an end. How
// long it is does not matter here.
bool hostname_label_ok(struct str_part part);

#endif
