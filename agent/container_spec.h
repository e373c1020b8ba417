// A task as the container it becomes: the settled Swarm__Task, its image's configuration and its
// secrets, made into agent/oci's struct.
//
// Pure. Every option of a ContainerSpec is mapped or refused with an error that names it
// (UNIMPLEMENTED for what this node cannot do, INVALID_ARGUMENT for what is wrong); none is passed
// over. What only the machine knows (host paths of volumes, numbers of users, the root) is left for
// the caller to fill in.
#ifndef AGENT_CONTAINER_SPEC_H
#define AGENT_CONTAINER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/container_defaults.h"
#include "agent/container_log.h"
#include "agent/image/manifest.h"
#include "agent/log_marks.h"
#include "agent/oci/bundle.h"
#include "agent/task/executor.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/names.h"

#define CONTAINER_ID_BYTES 65 // 64 hexadecimal digits

// Annotations in config.json: labels come behind the prefix, so that none means something to the
// runtime.
#define CONTAINER_LABEL_PREFIX "skep.label."
#define CONTAINER_NOTE_NAME    "skep.name"
#define CONTAINER_NOTE_IMAGE   "skep.image"

// What a container takes over from its node; texts may be NULL.
struct container_node {
    const char *hostname;
    const char *resolv_conf;                   // the host's, with what the defaults say of it
    const struct container_defaults *defaults; // NULL: none
    bool init;         // whether containers get an init process unless they say
    bool overlays;     // it can attach containers to overlay networks and its gateway bridge
    const char *netns; // path of such a container's network namespace; NULL: not yet made
};

// A mount whose source is a volume.
struct container_volume {
    size_t mount;     // index in container.mounts; its source is the volume's path
    const char *name; // NULL: an anonymous one
    bool nocopy;      // stays empty at first use
    const struct oci_pair *labels;
    size_t labels_count;
    const struct oci_pair *options; // of the driver
    size_t options_count;
};

struct container_spec {
    char name[NAME_TASK_BYTES];
    // Without rootfs, uid, gid, groups and home, and with NULL for the source of volumes.
    struct oci_container container;
    struct oci_mount *mounts; // container.mounts, to be filled in
    struct container_volume *volumes;
    size_t volumes_count;
    const char **make_sources; // bind sources that are made when missing
    size_t make_sources_count;
    const char *user; // "name:group", "" for root
    struct oci_strings groups;
    const char *image;         // reference
    const char *registry_auth; // "" for none
    int stop_signal;
    const Swarm__HealthConfig *health; // NULL: none
    struct container_log log;
};

// The id of the task's container: made from the task's id, so that a container is found again
// without anything remembered.
void container_id_of_task(const char *task_id, char out[CONTAINER_ID_BYTES]);

// Makes the container of `order`, everything in `arena` or borrowed from the arguments. `image` is
// NULL while it is not known: all is made and refused as ever, but what the image gives is missing.
int container_spec_make(const struct executor_order *order, const struct image_config *image,
                        const struct container_node *node, struct arena *arena,
                        struct container_spec *out, struct err *err);

// What the log's marks are made from; in the arena.
struct log_marks_container container_marked(const struct container_spec *spec, const char *image_id,
                                            struct arena *arena);

#endif
