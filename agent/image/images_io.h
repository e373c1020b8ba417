// Images of this node: get them, keep them, name them, give them to containers.
//
// One place for all of it: skopeo fetches into a staging folder, blobs are checked and moved into
// one shared store, the library records them; umoci unpacks an image once. What fails halfway
// leaves nothing behind. A local image never asks a registry. Everything runs on the loop's thread,
// long work in helper programs and the worker pool. A `done` runs exactly once and never before its
// call returns.
#ifndef AGENT_IMAGE_IMAGES_IO_H
#define AGENT_IMAGE_IMAGES_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/image/library_io.h"
#include "agent/image/mirrors.h"
#include "agent/image/reference.h"
#include "proto/base/err.h"
#include "proto/base/json.h"
#include "proto/base/loop_io.h"

struct images;

struct images_config {
    struct loop *loop;
    const char *root;        // below --data-root; made 0700. No ':' or ',' or '\' in it (overlayfs)
    const char *skopeo;      // NULL: found in PATH; missing: pulls fail with that reason
    const char *umoci;       // likewise
    struct mirrors mirrors;  // checked
    const char *certs_dir;   // <dir>/<host:port>/ca.crt ...; NULL: /etc/docker/certs.d by skopeo
    unsigned pulls_max;      // at once; 0: 3
    int64_t pull_timeout_ms; // without any progress; 0: 10 minutes
};

int images_open(const struct images_config *config, struct images **out, struct err *err);
// These of the configuration change; what is being pulled goes on as it began. The mirrors' errors
// are those of writing them down for skopeo: they stay as they were then.
int images_reload(struct images *images, const struct mirrors *mirrors, unsigned pulls_max,
                  struct err *err);
// No operation may be under way (images_busy): cancel pulls first.
void images_close(struct images *images);
bool images_busy(const struct images *images);
void images_cancel_all(struct images *images);

const struct library *images_library(const struct images *images);
const char *images_root(const struct images *images);

// Registry credentials; all NULL is anonymous.
struct registry_auth {
    const char *username;
    const char *password;
    const char *identity_token; // an OAuth refresh token, instead of a password
    const char *registry_token; // a bearer token
    const char *server;
};

// Reads docker's X-Registry-Auth / RegistryAuth text (base64 of JSON). Texts land in the arena; ""
// gives an anonymous one. INVALID_ARGUMENT.
int registry_auth_parse(const char *text, struct arena *arena, struct registry_auth *out,
                        struct err *err);

// One step of a pull, in the words `docker pull` prints.
struct pull_progress {
    const char *id;     // short layer id, tag, or ""
    const char *status; // "Pulling fs layer", "Downloading", "Download complete", "Digest: ..."
    uint64_t current;   // bytes; both 0 when it has none
    uint64_t total;
};

typedef void images_progress(void *owner, const struct pull_progress *progress);
// image is valid during the call and afterwards until the library changes; NULL with err.
typedef void images_done(void *owner, const struct image *image, const struct err *err);

struct images_pull;

struct pull_request {
    const char *reference;            // as the user wrote it
    const struct registry_auth *auth; // NULL: anonymous
    const char *platform;             // "linux/arm64"; NULL: this machine's
    bool
        always; // ask the registry even when the image is here (docker pull); else a local one wins
    images_progress *progress; // may be NULL
};

// Gets an image. The same image asked for twice at once with the same credentials is fetched once.
// With `always` false and the image here, no program and no network is touched. NOT_FOUND,
// UNAUTHENTICATED, PERMISSION_DENIED, UNAVAILABLE (registry unreachable), RESOURCE_EXHAUSTED
// (disk). *out (may be NULL) may be cancelled until done.
void images_pull(struct images *images, const struct pull_request *request, images_done *done,
                 void *owner, struct images_pull **out);
// done runs with CANCELLED; the download stops when nobody else waits for it.
void images_pull_cancel(struct images_pull *pull);

// Asks a registry what it has under a name, fetching nothing: docker's clients pin it. It gives up
// after IMAGES_ASK_MS_MAX, which is how long dockerd waits for a registry's first word. `offer` is
// valid during the call; NULL with err.
#define IMAGES_ASK_MS_MAX 15000
struct offer;
struct images_ask;
typedef void images_offered(void *owner, const struct offer *offer, const struct err *err);
void images_ask(struct images *images, const struct reference *reference,
                const struct registry_auth *auth, images_offered *done, void *owner,
                struct images_ask **out);
// done runs with CANCELLED, as soon as possible.
void images_ask_cancel(struct images_ask *ask);

// Sends an image to a registry. done says which manifest the registry has now, and how long it is.
typedef void images_pushed(void *owner, const char *digest, uint64_t size, const struct err *err);
void images_push(struct images *images, const char *reference, const struct registry_auth *auth,
                 images_pushed *done, void *owner);

typedef void images_simple_done(void *owner, const struct err *err);

// Asks the registry auth->server ("" is docker's own) whether it takes the name and password.
// UNAUTHENTICATED when not, UNAVAILABLE, INVALID_ARGUMENT, UNIMPLEMENTED for tokens.
void images_login(struct images *images, const struct registry_auth *auth, images_simple_done *done,
                  void *owner);

// Makes sure that the image's tree is unpacked. Concurrent calls unpack once.
void images_unpack(struct images *images, const char *id, images_simple_done *done, void *owner);

// What becomes of a new image's configuration; all may be NULL.
struct import_config {
    const json_t *config; // "Env", "Cmd", ...
    const char *comment;
    const char *author;
    const char *created_by; // NULL: nothing
};

// Imports a tar of a root file system as a one-layer image. `tar_path` is read, not kept; plain or
// gzip. INVALID_ARGUMENT for what is no such archive. `config` and `reference` may be NULL.
void images_import(struct images *images, const char *tar_path, const struct import_config *config,
                   const char *reference, images_done *done, void *owner);

// Makes an image of another's layers and one more, a tar in OCI's form (whiteouts). The rest as
// images_import. NOT_FOUND when there is no such parent.
void images_commit(struct images *images, const char *parent_id, const char *tar_path,
                   const struct import_config *config, const char *reference, images_done *done,
                   void *owner);

// Reads an archive of `docker save` or an OCI archive. `loaded` runs per image and tag (NULL: it
// has none there), then done.
typedef void images_loaded(void *owner, const struct image *image, const char *tag);
void images_load(struct images *images, const char *archive_path, images_loaded *loaded,
                 images_simple_done *done, void *owner);
// Writes docker's archive format into a new file: images by names or ids, a name without a tag for
// all its tags. NOT_FOUND names the first that is not there.
void images_save(struct images *images, const char *const *names, size_t count,
                 const char *archive_path, images_simple_done *done, void *owner);

int images_tag(struct images *images, const char *source, const char *target, struct err *err);

// What was taken away: names, the image by its id, and each layer that no other image has, from the
// top, by the digest of its chain (OCI's ChainID).
enum images_gone { IMAGES_UNTAGGED, IMAGES_DELETED, IMAGES_LAYER };
typedef void images_removed(void *owner, enum images_gone gone, const char *what);

// As `docker rmi`: a name is taken away; with the last one (or by id) the image goes.
// FAILED_PRECONDITION while a container stands on it or, by id, while it has several names (unless
// `force`).
int images_remove(struct images *images, const char *text, bool force, images_removed *removed,
                  void *owner, struct err *err);

// Removes images without names (all: without containers). *freed (may be NULL) gets the bytes.
int images_prune(struct images *images, bool all, images_removed *removed, void *owner,
                 uint64_t *freed, struct err *err);

#endif
