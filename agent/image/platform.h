// Platforms as "linux/arm/v7": which image runs where, as containerd's `platforms.Only` has it.
#ifndef AGENT_IMAGE_PLATFORM_H
#define AGENT_IMAGE_PLATFORM_H

#include <stdbool.h>

#include "proto/base/err.h"

#define PLATFORM_PART_BYTES 32

struct platform_parts {
    char os[PLATFORM_PART_BYTES];
    char architecture[PLATFORM_PART_BYTES];
    char variant[PLATFORM_PART_BYTES]; // "" or "v7" ...
};

// Reads OS, ARCH, OS/ARCH or OS/ARCH/VARIANT; what is not named is this machine's. Architectures
// may go by their other names (x86_64, aarch64, armhf). INVALID_ARGUMENT in containerd's words.
int platform_parse(const char *text, struct platform_parts *out, struct err *err);

// Whether an image of one platform (parts as its configuration has them, may be NULL) does where
// the other is wanted: of the same kind, and of no later variant.
bool platform_serves(const struct platform_parts *wanted, const char *os, const char *architecture,
                     const char *variant);

#endif
