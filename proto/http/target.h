// Where the URL of a service points that we call ourselves: address, Host header and request
// target. Only https: what is sent there must reach nobody else.
#ifndef PROTO_HTTP_TARGET_H
#define PROTO_HTTP_TARGET_H

#include "proto/base/err.h"
#include "proto/net/addr.h"

// Longest URL taken, terminator included.
#define TARGET_TEXT_BYTES 2048

struct target {
    struct addr addr;             // port 443 unless the URL names one
    char host[ADDR_TEXT_BYTES];   // the Host header: as in the URL
    char path[TARGET_TEXT_BYTES]; // with its query, "/" when there is none
};

// INVALID_ARGUMENT, with the reason, for another scheme, user names, no host, and characters that
// belong in no URL.
int target_parse(const char *url, struct target *out, struct err *err);

#endif
