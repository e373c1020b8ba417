// Which message fields stock peers always write, and so are always there in a settled message.
#ifndef PROTO_WIRE_SETTLE_H
#define PROTO_WIRE_SETTLE_H

#include "proto/wire/wire.h"

// True when field `number` of `type` is never NULL in a settled message.
bool settle_never_null(const wire_type *type, uint32_t number);

#endif
