#include "agent/oci/runtime_folder_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/oci/apparmor_io.h"
#include "agent/oci/bundle_parts.h"
#include "agent/oci/monitor_io.h"
#include "agent/oci/runtime_priv_io.h"
#include "agent/oci/secret_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

int container_folder_write(const struct container *container, const char *name, const char *text,
                           struct err *err)
{
    char path[RUNTIME_PATH_BYTES];
    if (!str_format(path, sizeof path, "%s/%s", container->dir, name))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set_errno(err, errno, "make %s", path);
    size_t size = strlen(text);
    int rc = 0;
    if (write(fd, text, size) != (ssize_t)size || fchmod(fd, 0644) < 0)
        rc = err_set_errno(err, errno ? errno : EIO, "write %s", path);
    close(fd);
    return rc;
}

static int make_folder(const char *dir, const char *name, mode_t mode, struct err *err)
{
    char path[RUNTIME_PATH_BYTES];
    if (!str_format(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    if (mkdir(path, mode) < 0)
        return err_set_errno(err, errno, "make %s", path);
    return 0;
}

static int write_etc(const struct container *container, const struct oci_container *spec,
                     struct err *err)
{
    int rc = make_folder(container->dir, ETC_DIR, 0755, err);
    if (!rc && spec->hosts_text)
        rc = container_folder_write(container, ETC_DIR "/hosts", spec->hosts_text, err);
    if (!rc && spec->hosts_text) {
        char name[OCI_HOSTNAME_MAX + 2];
        str_format(name, sizeof name, "%.*s\n", spec->hostname ? OCI_HOSTNAME_MAX : 12,
                   str_or(spec->hostname, spec->id));
        rc = container_folder_write(container, ETC_DIR "/hostname", name, err);
    }
    if (!rc && spec->resolv_text)
        rc = container_folder_write(container, ETC_DIR "/resolv.conf", spec->resolv_text, err);
    return rc;
}

static int look_at_devices(const struct oci_container *spec, struct oci_device_node *nodes,
                           struct err *err)
{
    for (size_t i = 0; i < spec->devices_count; i++) {
        struct stat st;
        const char *path = str_or(spec->devices[i].host_path, "");
        int rc = stat(path, &st);
        if (rc < 0 && errno == ENOENT)
            return err_set(err, ERR_NOT_FOUND,
                           "error gathering device information while adding custom device "
                           "\"%.200s\": no such file or directory",
                           path);
        if (rc < 0)
            return err_set_errno(err, errno, "device %.200s", path);
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
            return err_set(err, ERR_INVALID_ARGUMENT, "%.200s is no device", path);
        nodes[i] = (struct oci_device_node){
            .type = S_ISCHR(st.st_mode) ? 'c' : 'b',
            .major = major(st.st_rdev),
            .minor = minor(st.st_rdev),
            .mode = st.st_mode & 0777,
            .uid = st.st_uid,
            .gid = st.st_gid,
        };
    }
    return 0;
}

static void look_at_sources(const struct oci_container *spec, unsigned *flags)
{
    static const struct {
        unsigned long theirs;
        unsigned ours;
    } rows[] = {
        {ST_RDONLY, OCI_KEPT_RDONLY},   {ST_NOSUID, OCI_KEPT_NOSUID},
        {ST_NODEV, OCI_KEPT_NODEV},     {ST_NOEXEC, OCI_KEPT_NOEXEC},
        {ST_NOATIME, OCI_KEPT_NOATIME}, {ST_NODIRATIME, OCI_KEPT_NODIRATIME},
    };
    for (size_t i = 0; i < spec->mounts_count; i++) {
        struct statvfs st;
        if (spec->mounts[i].kind != OCI_MOUNT_BIND || statvfs(spec->mounts[i].source, &st) < 0)
            continue;
        for (size_t row = 0; row < COUNT_OF(rows); row++)
            flags[i] |= st.f_flag & rows[row].theirs ? rows[row].ours : 0;
    }
}

static int check_sources(const struct oci_container *spec, struct err *err)
{
    for (size_t i = 0; i < spec->mounts_count; i++)
        if (spec->mounts[i].kind == OCI_MOUNT_BIND && access(spec->mounts[i].source, F_OK) < 0)
            return err_set(err, ERR_NOT_FOUND,
                           "invalid mount config for type \"bind\": bind source path does not "
                           "exist: %.200s",
                           spec->mounts[i].source);
    if (access(spec->rootfs, F_OK) < 0)
        return err_set_errno(err, errno, "root file system %.200s", spec->rootfs);
    return 0;
}

// The profile may have gone since the start, or is the operator's own: what runs without the one it
// was to have would look confined and not be.
static int check_apparmor(const struct oci_container *spec, const struct oci_host *host,
                          struct err *err)
{
    const char *profile =
        bundle_apparmor(spec->apparmor_profile, spec->privileged, host->apparmor_default);
    return profile ? apparmor_ensure(profile, err) : 0;
}

static int write_config(const struct container *container, const struct oci_container *spec,
                        struct oci_host *host, struct err *err)
{
    struct oci_device_node *nodes = mem_alloc_array(spec->devices_count + 1, sizeof *nodes);
    unsigned *flags = mem_alloc_array(spec->mounts_count + 1, sizeof *flags);
    host->device_nodes = nodes;
    host->mount_flags = flags;
    struct buf config;
    buf_init(&config, OCI_CONFIG_BYTES);
    look_at_sources(spec, flags);
    int rc = look_at_devices(spec, nodes, err);
    if (!rc)
        rc = bundle_write(spec, host, &config, err);
    if (!rc && !buf_cstr(&config))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "container configuration is too large");
    if (!rc)
        rc = container_folder_write(container, CONFIG_FILE, buf_cstr(&config), err);
    buf_fini(&config);
    free(nodes);
    free(flags);
    return rc;
}

// So that a later life of ours knows it again.
static int write_program(const struct container *container, struct err *err)
{
    char *text = str_printf("%s\n%s\n", container->program->name, container->program->path);
    int rc = container_folder_write(container, PROGRAM_FILE, text, err);
    free(text);
    return rc;
}

int container_folder_make(const struct container *container, const struct oci_container *spec,
                          struct err *err)
{
    char files[RUNTIME_PATH_BYTES], etc[RUNTIME_PATH_BYTES];
    if (!str_format(files, sizeof files, "%s/" FILES_DIR, container->dir) ||
        !str_format(etc, sizeof etc, "%s/" ETC_DIR, container->dir))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of container state is too long");
    struct oci_host host;
    runtime_host(container->runtime, container, &host);
    host.files_dir = files;
    host.etc_dir = etc;
    int rc = check_sources(spec, err);
    if (!rc)
        rc = check_apparmor(spec, &host, err);
    if (!rc)
        rc = make_folder(container->dir, "", 0700, err);
    if (!rc)
        rc = make_folder(container->dir, MONITOR_PERSIST_DIR, 0700, err);
    if (!rc)
        rc = make_folder(container->dir, FILES_DIR, 0700, err);
    if (!rc)
        rc = write_program(container, err);
    if (!rc)
        rc = write_etc(container, spec, err);
    if (!rc)
        rc = write_config(container, spec, &host, err);
    if (!rc && spec->files_count)
        rc = secret_mount(files, spec->files, spec->files_count, err);
    return rc;
}
