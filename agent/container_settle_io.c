#include "agent/container_settle_io.h"

#include "agent/oci/root_io.h"
#include "agent/oci/user.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"

#define RESOLV_BYTES_MAX (64u << 10)

int container_settle_user(struct container_spec *spec, struct arena *arena, struct err *err)
{
    struct oci_container *container = &spec->container;
    struct user *user = ARENA_NEW(arena, struct user);
    CHECK(user);
    int rc =
        root_user(container->rootfs, spec->user, spec->groups.items, spec->groups.count, user, err);
    if (rc)
        return rc;
    container->uid = user->uid;
    container->gid = user->gid;
    container->groups = user->groups;
    container->groups_count = user->groups_count;
    container->home = user->home;
    return 0;
}

int container_settle_sources(const struct container_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->make_sources_count; i++)
        if (!file_exists(spec->make_sources[i])) {
            int rc = dir_make(spec->make_sources[i], 0755, err);
            if (rc)
                return rc;
        }
    for (size_t i = 0; i < spec->container.mounts_count; i++) {
        const struct oci_mount *mount = &spec->mounts[i];
        if (mount->kind == OCI_MOUNT_BIND && !file_exists(mount->source))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "invalid mount config for type \"bind\": bind source path does not "
                           "exist: %s",
                           mount->source);
    }
    return 0;
}

void container_settle_resolv(const char *path, const struct container_defaults *defaults,
                             struct buf *out)
{
    struct buf host;
    struct err err = ERR_INIT;
    buf_init(&host, RESOLV_BYTES_MAX);
    buf_init(out, RESOLV_BYTES_MAX);
    if (file_read(path, &host, NULL))
        buf_clear(&host); // a host without one, or with an absurd one
    // The words were checked when the node started.
    if (container_defaults_resolv(defaults, buf_cstr(&host), out, &err))
        log_warn("containers get the host's resolv.conf", "err=\"%s\"", err.message);
    buf_fini(&host);
}
