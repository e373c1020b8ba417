// What a service of a compose file mounts.
#include "cmd/skep/common.h"
#include "cmd/skep/compose_impl.h"
#include "cmd/skep/flags.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static int put_volume(struct converting *c, const json_t *volume, json_t *mount)
{
    const char *source = text_at(volume, "source");
    const json_t *known = json_object_get(json_object_get(c->project, "volumes"), source);
    if (!*source)
        return 0;
    if (!known)
        return compose_refuse(c,
                              arena_printf(c->arena, "volumes: undefined volume \"%s\"", source));
    set_text(mount, "Source", compose_name(c, "volumes", source));
    if (compose_is_external(known))
        return 0;
    set_at(mount, "VolumeOptions.Labels", compose_labels(c, at(known, "labels")));
    if (*text_at(known, "driver"))
        set_text(mount, "VolumeOptions.DriverConfig.Name", text_at(known, "driver"));
    compose_copy(known, "driver_opts", mount, "VolumeOptions.DriverConfig.Options");
    return 0;
}

static const char *bind_source(struct converting *c, const char *source)
{
    if (str_starts(source, "./"))
        source += 2;
    return *source == '/' ? source : arena_printf(c->arena, "%s/%s", c->files->folder, source);
}

// Whether the mount's type, its source and its options fit each other.
static int check(struct converting *c, const json_t *volume, const char *type)
{
    static const char *const types[] = {"volume", "bind", "tmpfs"};
    bool known = false, has_source = *text_at(volume, "source");
    if (!*text_at(volume, "target"))
        return compose_refuse(c, "volumes: a target is needed");
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        known = known || str_equal(type, types[i]);
        if (at(volume, types[i]) && !str_equal(type, types[i]))
            return compose_refuse(c, arena_printf(c->arena,
                                                  "volumes: %s options do not fit the type %s",
                                                  types[i], type));
    }
    if (!known)
        return compose_refuse(
            c, arena_printf(c->arena,
                            "volumes: unsupported type \"%s\"; there are volume, bind and tmpfs",
                            type));
    if (str_equal(type, "bind") && !has_source)
        return compose_refuse(c, "volumes: a bind mount needs a source");
    if (str_equal(type, "tmpfs") && has_source)
        return compose_refuse(c, "volumes: a tmpfs has no source");
    return 0;
}

int compose_mounts(struct converting *c, const json_t *service, json_t *spec)
{
    size_t i;
    json_t *volume;
    json_array_foreach(at(service, "volumes"), i, volume)
    {
        const char *type = str_or(text_at(volume, "type"), "volume");
        json_t *mount = json_object();
        json_array_append_new(array_at(spec, CONTAINER "Mounts"), mount);
        set_text(mount, "Type", type);
        if (check(c, volume, type) < 0)
            return -ERR_INVALID_ARGUMENT;
        set_text(mount, "Target", text_at(volume, "target"));
        compose_copy(volume, "read_only", mount, "ReadOnly");
        compose_copy(volume, "consistency", mount, "Consistency");
        compose_copy(volume, "bind.propagation", mount, "BindOptions.Propagation");
        compose_copy(volume, "volume.nocopy", mount, "VolumeOptions.NoCopy");
        compose_copy(volume, "volume.subpath", mount, "VolumeOptions.Subpath");
        compose_copy(volume, "tmpfs.mode", mount, "TmpfsOptions.Mode");
        if (str_equal(type, "bind"))
            set_text(mount, "Source", bind_source(c, text_at(volume, "source")));
        else if (str_equal(type, "volume") && put_volume(c, volume, mount) < 0)
            return -ERR_INVALID_ARGUMENT;
        if (compose_number(c, FLAG_BYTES, volume, "tmpfs.size", mount, "TmpfsOptions.SizeBytes") <
            0)
            return -ERR_INVALID_ARGUMENT;
    }
    json_array_foreach(at(service, "tmpfs"), i, volume) json_array_append_new(
        array_at(spec, CONTAINER "Mounts"),
        json_pack("{s:s, s:s}", "Type", "tmpfs", "Target", json_string_value(volume)));
    return 0;
}
