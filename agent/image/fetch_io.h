// One image on its way into the store: from a registry or out of an archive, by skopeo.
//
// The raw manifest and configuration are asked for first, so that what is kept is what the registry
// signed for (skopeo's copy into an OCI layout rewrites both); the copy then brings the layers
// straight into the shared store, passing over those that are there. Everything is checked against
// the manifest's digests before the library hears of it.
#ifndef AGENT_IMAGE_FETCH_IO_H
#define AGENT_IMAGE_FETCH_IO_H

#include "agent/image/images_priv_io.h"
#include "agent/image/source_io.h"

struct fetch;

struct fetch_spec {
    struct source_spec source; // its reference also names the result; NULL: no name
    images_progress *progress; // may be NULL
    images_done *done;         // exactly once
    void *owner;
};

// Starts when there is a slot. Never fails at once.
struct fetch *fetch_start(struct images *images, const struct fetch_spec *spec);

// Ends it as soon as possible; done runs with CANCELLED.
void fetch_cancel(struct fetch *fetch);
// Those that wait start, as many as may run at once.
void fetch_next(struct images *images);

// The authentication file as a descriptor (a memory file): secrets are in no command line and on no
// disk. -code on failure.
int fetch_auth_fd(const char *domain, const struct registry_auth *auth, struct err *err);
#define FETCH_AUTH_PATH "/proc/self/fd/3"

// What skopeo's last words mean.
int fetch_check(const struct process_result *result, const char *what, struct err *err);

// True when the registry may be spoken to without certificates.
bool fetch_insecure(const struct images *images, const char *domain);

#endif
