// Mounting volumes that have options of a mount: at their first use, once for all who use them, and
// no longer than somebody does. Who uses a volume is written down next to it, so that a restarted
// daemon goes on counting:
//
//   <root>/<name>/mounts/<user>   one empty file per user; the folder only once there was one
//
// All here is for worker jobs: a server that is away may block a mount for minutes. It touches no
// struct volumes; a list of uses is a copy of what it needs of them.
#ifndef AGENT_OCI_VOLUME_MOUNTS_IO_H
#define AGENT_OCI_VOLUME_MOUNTS_IO_H

#include "agent/oci/volumes_io.h"

struct volume_uses;

// An empty list; the user is a container's id.
struct volume_uses *volume_uses_new(const char *user);
void volume_uses_free(struct volume_uses *uses);          // NULL is fine
size_t volume_uses_count(const struct volume_uses *uses); // NULL has none

// Adds the volume; one without options of a mount is not.
void volume_uses_add(struct volume_uses *uses, const struct volume *volume);

// Those that the user was noted to use, by this life or an earlier one; NULL when there are none.
struct volume_uses *volume_uses_of(const struct volumes *volumes, const char *user);

// Notes the user at each, and mounts what is not mounted. "error while mounting volume '...': ..."
// in dockerd's words; then none of them is used.
int volume_uses_begin(const struct volume_uses *uses, struct err *err);
// The opposite: what nobody uses any more is unmounted. Harmless when it was not begun.
void volume_uses_end(const struct volume_uses *uses);

// Mounts what is not mounted in the caller's mount namespace, which ends with its use: nothing is
// noted.
int volume_uses_show(const struct volume_uses *uses, struct err *err);

// Whether something is mounted there. What is said of a server that is away needs no word of it.
bool volume_mounted(const char *path);
// Unmounts, at once, what a removed volume may still have.
int volume_unmount(const char *path, struct err *err);

#endif
