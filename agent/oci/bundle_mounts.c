#include "agent/oci/bundle_parts.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static void put_mount(struct json_out *out, const char *target, const char *type,
                      const char *source, const char *const *options, size_t options_count)
{
    json_out_object(out, NULL);
    json_out_str(out, "destination", target);
    json_out_str(out, "type", type);
    json_out_str(out, "source", source);
    json_out_array(out, "options");
    for (size_t i = 0; i < options_count; i++)
        json_out_str(out, NULL, options[i]);
    json_out_end(out);
    json_out_end(out);
}

#define PUT_MOUNT(out, target, type, source, ...)                                                  \
    put_mount(out, target, type, source, (const char *const[]){__VA_ARGS__},                       \
              COUNT_OF(((const char *const[]){__VA_ARGS__})))

static const char *propagation_name(enum oci_propagation propagation)
{
    switch (propagation) {
    case OCI_PROPAGATION_PRIVATE:
        return "private";
    case OCI_PROPAGATION_RSHARED:
        return "rshared";
    case OCI_PROPAGATION_SHARED:
        return "shared";
    case OCI_PROPAGATION_RSLAVE:
        return "rslave";
    case OCI_PROPAGATION_SLAVE:
        return "slave";
    case OCI_PROPAGATION_DEFAULT:
    case OCI_PROPAGATION_RPRIVATE:
        break;
    }
    return "rprivate";
}

static void put_kernel_mounts(struct json_out *out, const struct oci_container *c)
{
    const char *access = c->privileged ? "rw" : "ro";
    PUT_MOUNT(out, "/proc", "proc", "proc", "nosuid", "noexec", "nodev");
    PUT_MOUNT(out, "/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k");
    PUT_MOUNT(out, "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
              "ptmxmode=0666", "mode=0620", "gid=5");
    PUT_MOUNT(out, "/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access);
    PUT_MOUNT(out, "/sys/fs/cgroup", "cgroup", "cgroup", access, "nosuid", "noexec", "nodev");
    if (c->ipc.mode == OCI_NS_HOST) {
        PUT_MOUNT(out, "/dev/mqueue", "bind", "/dev/mqueue", "rbind", "nosuid", "noexec", "nodev");
        PUT_MOUNT(out, "/dev/shm", "bind", "/dev/shm", "rbind", "nosuid", "noexec", "nodev");
        return;
    }
    PUT_MOUNT(out, "/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev");
    if (c->shm) {
        PUT_MOUNT(out, "/dev/shm", "bind", c->shm, "bind", "nosuid", "noexec", "nodev");
    } else if (c->ipc.mode == OCI_NS_PRIVATE && !c->no_shm) {
        char size[40];
        str_format(size, sizeof size, "size=%llu",
                   (unsigned long long)(c->shm_bytes ? c->shm_bytes : OCI_SHM_BYTES));
        PUT_MOUNT(out, "/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", size);
    }
}

static void put_etc_mounts(struct json_out *out, const struct oci_container *c,
                           const struct oci_host *host)
{
    const struct {
        const char *name;
        bool wanted;
    } files[] = {
        {"resolv.conf", c->resolv_text != NULL},
        {"hostname", c->hosts_text != NULL},
        {"hosts", c->hosts_text != NULL},
    };
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (!files[i].wanted)
            continue;
        char *source = str_printf("%s/%s", host->etc_dir, files[i].name);
        char *target = str_printf("/etc/%s", files[i].name);
        PUT_MOUNT(out, target, "bind", source, "rbind", "rprivate");
        free(source);
        free(target);
    }
}

// What the source's own mount forbids is asked for again: crun would take it back.
static void put_bind(struct json_out *out, const struct oci_mount *mount, unsigned kept)
{
    static const struct {
        unsigned flag;
        const char *word;
    } rows[] = {
        {OCI_KEPT_RDONLY, "ro"},       {OCI_KEPT_NOSUID, "nosuid"},
        {OCI_KEPT_NODEV, "nodev"},     {OCI_KEPT_NOEXEC, "noexec"},
        {OCI_KEPT_NOATIME, "noatime"}, {OCI_KEPT_NODIRATIME, "nodiratime"},
    };
    const char *words[2 + COUNT_OF(rows)];
    size_t count = 0;
    words[count++] = mount->nonrecursive ? "bind" : "rbind";
    kept |= mount->readonly ? OCI_KEPT_RDONLY : 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (kept & rows[i].flag)
            words[count++] = rows[i].word;
    words[count++] = propagation_name(mount->propagation);
    put_mount(out, mount->target, "bind", mount->source, words, count);
}

static void put_tmpfs(struct json_out *out, const struct oci_mount *mount)
{
    json_out_object(out, NULL);
    json_out_str(out, "destination", mount->target);
    json_out_str(out, "type", "tmpfs");
    json_out_str(out, "source", "tmpfs");
    json_out_array(out, "options");
    json_out_str(out, NULL, "noexec");
    json_out_str(out, NULL, "nosuid");
    json_out_str(out, NULL, "nodev");
    json_out_str(out, NULL, "rprivate");
    char text[40];
    str_format(text, sizeof text, "mode=%o", mount->tmpfs_mode ? mount->tmpfs_mode : 01777);
    json_out_str(out, NULL, text);
    if (mount->tmpfs_size_bytes) {
        str_format(text, sizeof text, "size=%llu", (unsigned long long)mount->tmpfs_size_bytes);
        json_out_str(out, NULL, text);
    }
    if (mount->readonly)
        json_out_str(out, NULL, "ro");
    const char *rest = str_empty(mount->tmpfs_options) ? NULL : mount->tmpfs_options;
    struct str_part part;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.len)
            json_out_strn(out, NULL, part.at, part.len);
    }
    json_out_end(out);
    json_out_end(out);
}

static size_t depth_of(const char *path)
{
    size_t depth = 0;
    for (; *path; path++)
        depth += path[0] == '/' && path[1] != '/' && path[1];
    return depth;
}

struct order {
    const struct oci_mount *mount;
    size_t depth;
    size_t place;
};

static int compare_order(const void *a, const void *b)
{
    const struct order *x = a;
    const struct order *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

void bundle_put_mounts(struct json_out *out, const struct oci_container *c,
                       const struct oci_host *host)
{
    json_out_array(out, "mounts");
    put_kernel_mounts(out, c);
    put_etc_mounts(out, c, host);
    if (c->init)
        PUT_MOUNT(out, BUNDLE_INIT_TARGET, "bind", host->init_path, "bind", "ro", "rprivate");
    // A mount below another one's target must come after it, or it would be covered.
    struct order *order = mem_alloc_array(c->mounts_count + 1, sizeof *order);
    for (size_t i = 0; i < c->mounts_count; i++)
        order[i] = (struct order){&c->mounts[i], depth_of(c->mounts[i].target), i};
    qsort(order, c->mounts_count, sizeof *order, compare_order);
    for (size_t i = 0; i < c->mounts_count; i++) {
        if (order[i].mount->kind == OCI_MOUNT_BIND)
            put_bind(out, order[i].mount,
                     host->mount_flags ? host->mount_flags[order[i].place] : 0);
        else
            put_tmpfs(out, order[i].mount);
    }
    free(order);
    for (size_t i = 0; i < c->files_count; i++) {
        char *source = str_printf("%s/%zu", host->files_dir, i);
        PUT_MOUNT(out, c->files[i].target, "bind", source, "rbind", "ro", "rprivate", "nosuid",
                  "nodev");
        free(source);
    }
    json_out_end(out);
}
