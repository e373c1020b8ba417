// Which registries images come from, and how: mirrors of docker.io, and registries that are spoken
// to without verified TLS. Pure.
#ifndef AGENT_IMAGE_MIRRORS_H
#define AGENT_IMAGE_MIRRORS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define MIRRORS_DOMAIN     "docker.io" // whose mirrors they are, as in dockerd
#define MIRRORS_MAX        16
#define MIRRORS_BYTES_MAX  512         // of one mirror's address
#define MIRRORS_CONF_BYTES (16u << 10) // all of them, written for skopeo

// What the operator says, in dockerd's form. Borrowed.
struct mirrors {
    const char *const *urls; // "https://mirror.example:5000/path", tried in this order
    size_t urls_count;
    const char *const *insecure; // "host:port", or a network: "10.0.0.0/8"
    size_t insecure_count;
};

// INVALID_ARGUMENT in dockerd's words for what is no address of a mirror, and past MIRRORS_MAX.
int mirrors_check(const struct mirrors *mirrors, struct err *err);

// Whether a registry ("host:port") may be spoken to without verified TLS. This machine's own may
// always. Networks hold for addresses, not for names that stand for some.
bool mirrors_insecure(const struct mirrors *mirrors, const char *domain);

// Writes containers-registries.conf(5) for checked mirrors: each of them is tried before
// docker.io itself. Plain HTTP is spoken to those whose address says so.
void mirrors_conf(const struct mirrors *mirrors, struct buf *out);

#endif
