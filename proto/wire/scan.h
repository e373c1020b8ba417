// A look over encoded bytes before anything is allocated for them: well-formed, within limits, no
// string with a NUL inside. Decoding what passed recurses no deeper and allocates no more than the
// limits allow.
#ifndef PROTO_WIRE_SCAN_H
#define PROTO_WIRE_SCAN_H

#include "proto/wire/wire.h"

// 0 when `bytes` may be decoded as `type`. INVALID_ARGUMENT for malformed bytes, RESOURCE_EXHAUSTED
// past a limit. Says nothing about wire types that do not fit the field: the decoder refuses them.
int scan_message(const wire_type *type, const void *bytes, size_t size,
                 const struct wire_limits *limits, struct err *err);

#endif
