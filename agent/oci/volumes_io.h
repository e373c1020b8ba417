// Volumes of the local driver: folders that outlive containers.
//
//   <root>/<name>/volume.json   labels, options and time
//   <root>/<name>/_data/        what containers see
//   <root>/<name>/users/<id>    one empty file per container that holds it
//
// The folder is the truth; nothing is cached but the list, and who holds which. Calls block shortly
// (a removal or a first fill may be long: volumes_fill is for a worker job and touches no struct
// volumes).
#ifndef AGENT_OCI_VOLUMES_IO_H
#define AGENT_OCI_VOLUMES_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/oci/bundle.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"

#define VOLUME_NAME_MAX 255
#define VOLUMES_MAX     100000
#define VOLUME_PATH_MAX 4096

struct volumes;

struct volume {
    char name[VOLUME_NAME_MAX + 1];
    char *path; // of _data, on the host
    struct wall created;
    bool anonymous;
    struct oci_pair *labels;
    size_t labels_count;
    struct oci_pair *options; // of the driver (volume_options.h)
    size_t options_count;
};

struct volume_wish {
    const char *name; // NULL or empty: an anonymous one
    const struct oci_pair *labels;
    size_t labels_count;
    const struct oci_pair *options;
    size_t options_count;
};

// Opens (making it when missing, mode 0701: containers' users must pass) the folder of all volumes.
int volumes_open(const char *root, struct volumes **out, struct err *err);
void volumes_close(struct volumes *volumes);

// Makes a volume, or finds the one of that name (then labels and options are left as they are).
// INVALID_ARGUMENT for names and options that docker refuses, in its words. The volume belongs to
// the list and lives until it is removed. Nothing is mounted (volume_mounts_io.h).
int volumes_create(struct volumes *volumes, const struct volume_wish *wish,
                   const struct volume **out, struct err *err);

// NOT_FOUND "no such volume: x".
int volumes_find(const struct volumes *volumes, const char *name, const struct volume **out,
                 struct err *err);

// Walks all: start with *position 0; NULL at the end.
const struct volume *volumes_next(const struct volumes *volumes, size_t *position);

// Notes that a container needs the volume, or no longer does (also after our restart).
int volumes_hold(struct volumes *volumes, const char *name, const char *container, struct err *err);
void volumes_release(struct volumes *volumes, const char *name, const char *container);
// Releases every volume that the container holds; anonymous ones that nobody holds any more are
// removed when `remove_anonymous`.
void volumes_release_all(struct volumes *volumes, const char *container, bool remove_anonymous);
size_t volumes_users(const struct volumes *volumes, const char *name);

// FAILED_PRECONDITION while a container holds it, NOT_FOUND.
int volumes_remove(struct volumes *volumes, const char *name, struct err *err);

// Removes what nobody holds: anonymous volumes, or all of them but those with options. `removed`
// (may be NULL) hears names.
int volumes_prune(struct volumes *volumes, bool all, void (*removed)(void *owner, const char *name),
                  void *owner, struct err *err);

// Fills an empty volume with what the image has at `target`, as docker does on first use. A volume
// that holds anything, or an image that has no folder there, is left as it is.
int volumes_fill(const char *volume_path, const char *root, const char *target, struct err *err);

#endif
