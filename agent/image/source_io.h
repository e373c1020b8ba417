// Where an image comes from, a registry or an archive, and how skopeo is told of it.
//
// A source is asked for raw documents (manifests and configurations, as the registry keeps them);
// fetch_io.h brings the layers too. Credentials are in a memory file that the child inherits: they
// are in no command line and on no disk.
#ifndef AGENT_IMAGE_SOURCE_IO_H
#define AGENT_IMAGE_SOURCE_IO_H

#include "agent/image/images_priv_io.h"

#define SOURCE_PLATFORM_BYTES 32

struct source_spec {
    const char *name;                  // "docker-archive:file[:tag]"; NULL: the registry
    const struct reference *reference; // what is asked for; may be NULL with a name
    const struct registry_auth *auth;  // NULL: anonymous
    const char *platform;              // "linux/arm/v7"; NULL: this machine's
};

struct source {
    struct images *images;
    char *name;
    bool registry; // takes ":tag" and "@digest"
    bool insecure;
    bool mirrored; // the file of mirrors says what is insecure
    struct reference reference;
    char os[SOURCE_PLATFORM_BYTES];
    char architecture[SOURCE_PLATFORM_BYTES];
    char variant[SOURCE_PLATFORM_BYTES]; // "": any
    int auth_fd;                         // the child's descriptor 3
};

// INVALID_ARGUMENT for a platform or credentials that cannot be told. The source is to be closed
// after an error too.
int source_open(struct source *source, struct images *images, const struct source_spec *spec,
                struct err *err);
void source_close(struct source *source);

// Runs skopeo with `args` (NULL-terminated) behind the options of this source; the rest as
// process_start. `done` may hand its result to fetch_check.
int source_run(const struct source *source, const char *const *args, int64_t timeout_ms,
               process_done *done, void *owner, struct process **out, struct err *err);

// The same for a raw document: the manifest (of `digest`; NULL: of what the reference says) or,
// with `config`, the configuration that belongs to it.
int source_inspect(const struct source *source, const char *digest, bool config, int64_t timeout_ms,
                   process_done *done, void *owner, struct process **out, struct err *err);

// "docker://domain/path@digest", or the archive's name as it is.
void source_text(const struct source *source, const char *digest, struct buf *out);

// Appends the options that say how this registry is spoken to, as `skopeo inspect` takes them or,
// for a `copy` from it, as that does: at most SOURCE_OPTIONS_MAX, none for an archive. Returns the
// new count.
#define SOURCE_OPTIONS_MAX 5
size_t source_options(const struct source *source, bool copy, const char **args, size_t count);

#endif
