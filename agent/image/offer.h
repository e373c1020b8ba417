// What a registry has under a name, read without fetching the image: its digest, which a service
// pins, and the platforms that it runs on, to which a service is bound. Pure.
#ifndef AGENT_IMAGE_OFFER_H
#define AGENT_IMAGE_OFFER_H

#include "agent/image/manifest.h"

struct offer_platform {
    const char *os; // texts may be ""
    const char *architecture;
    const char *variant;
    const char *os_version;
    const char **os_features;
    size_t os_features_count;
};

struct offer {
    struct descriptor descriptor; // of the manifest or list; the digest is the caller's to add
    struct offer_platform *platforms;
    size_t platforms_count;
    const char *config_digest; // of a manifest, whose configuration says its platform; else NULL
};

// Reads a manifest, or a list with all its platforms. Everything lands in the arena. Errors as
// manifest_parse, but that no platform is wanted.
int offer_parse(const void *bytes, size_t size, struct arena *arena, struct offer *out,
                struct err *err);

// Adds the platform that a manifest's configuration says. One that says none, or cannot be read,
// leaves the offer without: dockerd binds no service then.
void offer_take_config(struct offer *offer, const void *bytes, size_t size, struct arena *arena);

#endif
