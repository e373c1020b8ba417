// Root file systems of containers: the image's unpacked tree below, a folder of the container's own
// changes above, joined by overlayfs.
//
//   <root>/trees/<image hex>/            one unpacked tree per image, never written again
//   <root>/layers/<container>/upper,work the container's changes; they live until rootfs_remove
//   <root>/layers/<container>/merged     where it is mounted while the container runs
//   <root>/layers/<container>/shm        shared memory for other containers, while one offers it
//   <root>/layers/<container>/image      which image it stands on
//
// Calls block shortly, but for rootfs_remove of a big layer, which is for a worker job.
#ifndef AGENT_IMAGE_ROOTFS_IO_H
#define AGENT_IMAGE_ROOTFS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define ROOTFS_PATH_BYTES 4096

// Makes the container's layer over the image's tree. ALREADY_EXISTS when it has one.
int rootfs_create(const char *root, const char *container, const char *image_id, struct err *err);

// Mounts it (once: a mounted one is left as it is); the path comes out. FAILED_PRECONDITION when
// the image's tree is not there or the kernel has no overlayfs.
int rootfs_mount(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
                 struct err *err);

// The container's shared memory, for it and others to bind: a tmpfs of so many bytes, mounted until
// rootfs_unmount; one that is there stays. And where it is: NOT_FOUND when none is mounted.
int rootfs_shm_mount(const char *root, const char *container, uint64_t bytes,
                     char out[ROOTFS_PATH_BYTES], struct err *err);
int rootfs_shm(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
               struct err *err);

// Unmounts both; one that is not mounted is no error.
int rootfs_unmount(const char *root, const char *container, struct err *err);

// Unmounts and removes the layer; one that is not there is no error.
int rootfs_remove(const char *root, const char *container, struct err *err);

// Image id ("sha256:...") of the layer; NOT_FOUND.
int rootfs_image(const char *root, const char *container, char out[72], struct err *err);

// How many container layers stand on the image; one of them by name in `example` (may be NULL).
size_t rootfs_users(const char *root, const char *image_id, char *example, size_t example_size);

// The folder of the container's own changes, in overlayfs's form.
int rootfs_upper(const char *root, const char *container, char out[ROOTFS_PATH_BYTES],
                 struct err *err);

// Bytes of the blocks of all that lies in a folder, such as a volume; 0 when it cannot be read. For
// a worker job.
uint64_t rootfs_folder_bytes(const char *folder);

// Bytes in the container's upper folder; walks it, so for a worker job.
uint64_t rootfs_upper_bytes(const char *root, const char *container);

// What the container changed, added ('A'), changed ('C') or deleted ('D'), as `docker diff`.
typedef void rootfs_change(void *owner, char kind, const char *path);
int rootfs_diff(const char *root, const char *container, rootfs_change *change, void *owner,
                struct err *err);

// Calls `found` for each container with a layer: for cleaning up after a crash.
void rootfs_each(const char *root, void (*found)(void *owner, const char *container), void *owner);

#endif
