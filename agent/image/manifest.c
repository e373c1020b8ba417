#include "agent/image/manifest.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define TYPE_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"
#define TYPE_DOCKER_LAYER    "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define TYPE_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define TYPE_OCI_CONFIG      "application/vnd.oci.image.config.v1+json"
#define LAYER_BYTES_MAX      (UINT64_C(1) << 46)

static const char *text_of(const json_t *object, const char *key, struct arena *arena)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? arena_strdup(arena, text) : "";
}

// ---- manifests ----------------------------------------------------------------------------------

static int take_descriptor(const json_t *json, struct arena *arena, struct descriptor *out,
                           struct err *err)
{
    json_int_t size = json_integer_value(json_object_get(json, "size"));
    out->media_type = text_of(json, "mediaType", arena);
    out->digest = text_of(json, "digest", arena);
    if (!digest_valid(out->digest))
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: invalid digest \"%.80s\"",
                       str_or(out->digest, ""));
    if (size < 0 || (uint64_t)size > LAYER_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: invalid size of %s",
                       out->digest);
    out->size = (uint64_t)size;
    return 0;
}

static int take_manifest(const json_t *root, struct arena *arena, struct manifest *out,
                         struct err *err)
{
    const json_t *layers = json_object_get(root, "layers");
    out->layers_count = json_array_size(layers);
    if (out->layers_count > MANIFEST_LAYERS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: more than %d layers",
                       MANIFEST_LAYERS_MAX);
    int rc = take_descriptor(json_object_get(root, "config"), arena, &out->config, err);
    if (rc)
        return rc;
    if (out->config.size > IMAGE_CONFIG_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: configuration is too large");
    out->layers = arena_alloc_array(arena, out->layers_count, sizeof *out->layers);
    for (size_t i = 0; i < out->layers_count && !rc; i++) {
        rc = take_descriptor(json_array_get(layers, i), arena, &out->layers[i], err);
        if (!rc && (strstr(out->layers[i].media_type, "foreign") ||
                    strstr(out->layers[i].media_type, "nondistributable")))
            rc = err_set(err, ERR_UNIMPLEMENTED,
                         "image has foreign layers, which are not "
                         "supported");
    }
    return rc;
}

// How well a list's entry fits: 0 not at all, 2 exactly.
static int fit(const json_t *entry, const struct platform *wanted)
{
    const json_t *platform = json_object_get(entry, "platform");
    if (!str_equal(json_string_value(json_object_get(platform, "os")), wanted->os) ||
        !str_equal(json_string_value(json_object_get(platform, "architecture")),
                   wanted->architecture))
        return 0;
    const char *variant = json_string_value(json_object_get(platform, "variant"));
    return str_equal(variant, wanted->variant) ? 2 : 1;
}

static int take_list(const json_t *root, const struct platform *wanted, struct arena *arena,
                     struct manifest *out, struct err *err)
{
    const json_t *entries = json_object_get(root, "manifests");
    size_t count = json_array_size(entries);
    if (count > MANIFEST_LIST_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "manifest list: more than %d entries",
                       MANIFEST_LIST_MAX);
    const json_t *best = NULL;
    int best_fit = 0;
    for (size_t i = 0; i < count; i++) {
        int now = fit(json_array_get(entries, i), wanted);
        if (now > best_fit) {
            best = json_array_get(entries, i);
            best_fit = now;
        }
    }
    if (!best)
        return err_set(err, ERR_NOT_FOUND,
                       "no matching manifest for %s/%s in the manifest list entries", wanted->os,
                       wanted->architecture);
    out->is_list = true;
    return take_descriptor(best, arena, &out->chosen, err);
}

static int kind_of(const json_t *root, bool *is_list, struct err *err)
{
    bool has_list = json_is_array(json_object_get(root, "manifests"));
    bool has_layers = json_is_array(json_object_get(root, "layers"));
    json_int_t version = json_integer_value(json_object_get(root, "schemaVersion"));
    *is_list = has_list;
    // A document that is both could mean different images to different readers (GO-2024-2914).
    if (has_list && (has_layers || json_object_get(root, "config")))
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest is both a manifest and a list");
    if (version == 1)
        return err_set(err, ERR_UNIMPLEMENTED, "image manifest schema 1 is not supported");
    if (version != 2)
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest has no schema version");
    if (!has_list && !has_layers)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "image manifest has neither layers nor manifests");
    return 0;
}

int manifest_open(const void *bytes, size_t size, json_t **root, bool *is_list, struct err *err)
{
    if (size > MANIFEST_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: larger than %u bytes",
                       MANIFEST_BYTES_MAX);
    *root = json_parse(bytes, size, err);
    if (!*root)
        return err_wrap(err, "image manifest");
    int rc = kind_of(*root, is_list, err);
    if (rc)
        json_decref(*root);
    return rc;
}

int manifest_parse(const void *bytes, size_t size, const struct platform *wanted,
                   struct arena *arena, struct manifest *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    bool is_list;
    json_t *root;
    int rc = manifest_open(bytes, size, &root, &is_list, err);
    if (rc)
        return rc;
    rc = is_list ? take_list(root, wanted, arena, out, err) : take_manifest(root, arena, out, err);
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "image manifest is too large");
    json_decref(root);
    return rc;
}

static void put_descriptor(struct json_out *out, const char *key, const char *type,
                           const struct descriptor *descriptor)
{
    json_out_object(out, key);
    json_out_str(out, "mediaType", type);
    json_out_uint(out, "size", descriptor->size);
    json_out_str(out, "digest", descriptor->digest);
    json_out_end(out);
}

static const char *oci_layer_type(const char *type)
{
    if (strstr(type, "zstd"))
        return "application/vnd.oci.image.layer.v1.tar+zstd";
    return strstr(type, "gzip") ? "application/vnd.oci.image.layer.v1.tar+gzip"
                                : "application/vnd.oci.image.layer.v1.tar";
}

static void put_manifest(const struct manifest *manifest, bool oci, struct buf *buf)
{
    CHECK(!manifest->is_list);
    struct json_out out;
    json_out_init(&out, buf);
    json_out_object(&out, NULL);
    json_out_int(&out, "schemaVersion", 2);
    json_out_str(&out, "mediaType", oci ? TYPE_OCI_MANIFEST : TYPE_DOCKER_MANIFEST);
    put_descriptor(&out, "config", oci ? TYPE_OCI_CONFIG : TYPE_DOCKER_CONFIG, &manifest->config);
    json_out_array(&out, "layers");
    for (size_t i = 0; i < manifest->layers_count; i++) {
        const struct descriptor *layer = &manifest->layers[i];
        put_descriptor(&out, NULL, oci ? oci_layer_type(layer->media_type) : TYPE_DOCKER_LAYER,
                       layer);
    }
    json_out_end(&out);
    json_out_end(&out);
}

void manifest_write_oci(const struct manifest *manifest, struct buf *out)
{
    put_manifest(manifest, true, out);
}

void manifest_write_docker(const struct manifest *manifest, struct buf *out)
{
    put_manifest(manifest, false, out);
}

// ---- configurations -----------------------------------------------------------------------------

static int too_many(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "image configuration: more than %d entries in a list",
                   IMAGE_ITEMS_MAX);
}

static int take_strings(const json_t *object, const char *key, struct arena *arena,
                        const char ***out, size_t *count, struct err *err)
{
    const json_t *list = json_object_get(object, key);
    *count = 0;
    if (json_array_size(list) > IMAGE_ITEMS_MAX)
        return too_many(err);
    *out = arena_alloc_array(arena, json_array_size(list) + 1, sizeof **out);
    for (size_t i = 0; *out && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return err_set(err, ERR_INVALID_ARGUMENT, "image configuration: %s holds no text", key);
        (*out)[(*count)++] = arena_strdup(arena, text);
    }
    return 0;
}

// {"80/tcp": {}} and the like: the keys are the list.
static int take_keys(const json_t *object, const char *key, struct arena *arena, const char ***out,
                     size_t *count, struct err *err)
{
    json_t *set = json_object_get(object, key);
    *count = 0;
    if (json_object_size(set) > IMAGE_ITEMS_MAX)
        return too_many(err);
    *out = arena_alloc_array(arena, json_object_size(set) + 1, sizeof **out);
    const char *name;
    json_t *value;
    json_object_foreach(set, name, value)
    {
        if (*out)
            (*out)[(*count)++] = arena_strdup(arena, name);
    }
    return 0;
}

static int take_labels(const json_t *object, struct arena *arena, struct image_config *out,
                       struct err *err)
{
    json_t *labels = json_object_get(object, "Labels");
    if (json_object_size(labels) > IMAGE_ITEMS_MAX)
        return too_many(err);
    out->labels = arena_alloc_array(arena, json_object_size(labels) + 1, sizeof *out->labels);
    const char *name;
    json_t *value;
    json_object_foreach(labels, name, value)
    {
        if (out->labels)
            out->labels[out->labels_count++] =
                (struct string_pair){arena_strdup(arena, name),
                                     arena_strdup(arena, str_or(json_string_value(value), ""))};
    }
    return 0;
}

static int take_health(const json_t *object, struct arena *arena, struct image_health *out,
                       struct err *err)
{
    const json_t *health = json_object_get(object, "Healthcheck");
    out->interval_ns = json_integer_value(json_object_get(health, "Interval"));
    out->timeout_ns = json_integer_value(json_object_get(health, "Timeout"));
    out->start_period_ns = json_integer_value(json_object_get(health, "StartPeriod"));
    out->start_interval_ns = json_integer_value(json_object_get(health, "StartInterval"));
    out->retries = json_integer_value(json_object_get(health, "Retries"));
    return take_strings(health, "Test", arena, &out->test, &out->test_count, err);
}

static struct wall time_of(const json_t *object, const char *key)
{
    struct wall at = {0};
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || wall_parse(text, &at, NULL) != 0)
        at.ns = 0;
    return at;
}

static int take_history(const json_t *root, struct arena *arena, struct image_config *out,
                        struct err *err)
{
    const json_t *history = json_object_get(root, "history");
    size_t count = json_array_size(history);
    if (count > IMAGE_ITEMS_MAX)
        return too_many(err);
    out->history = arena_alloc_array(arena, count + 1, sizeof *out->history);
    for (size_t i = 0; out->history && i < count; i++) {
        const json_t *entry = json_array_get(history, i);
        out->history[out->history_count++] = (struct image_history){
            .created = time_of(entry, "created"),
            .created_by = text_of(entry, "created_by", arena),
            .comment = text_of(entry, "comment", arena),
            .empty_layer = json_is_true(json_object_get(entry, "empty_layer")),
        };
    }
    return 0;
}

static int take_rootfs(const json_t *root, struct arena *arena, struct image_config *out,
                       struct err *err)
{
    const json_t *rootfs = json_object_get(root, "rootfs");
    int rc = take_strings(rootfs, "diff_ids", arena, &out->diff_ids, &out->diff_ids_count, err);
    for (size_t i = 0; i < out->diff_ids_count && !rc; i++)
        if (!digest_valid(out->diff_ids[i]))
            rc = err_set(err, ERR_INVALID_ARGUMENT, "image configuration: invalid layer digest");
    return rc;
}

int image_config_parse(const void *bytes, size_t size, struct arena *arena,
                       struct image_config *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    if (size > IMAGE_CONFIG_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "image configuration: larger than %u bytes",
                       IMAGE_CONFIG_BYTES_MAX);
    json_t *root = json_parse(bytes, size, err);
    if (!root)
        return err_wrap(err, "image configuration");
    const json_t *config = json_object_get(root, "config");
    out->created = time_of(root, "created");
    out->author = text_of(root, "author", arena);
    out->comment = text_of(root, "comment", arena);
    out->architecture = text_of(root, "architecture", arena);
    out->variant = text_of(root, "variant", arena);
    out->os = text_of(root, "os", arena);
    out->docker_version = text_of(root, "docker_version", arena);
    out->working_dir = text_of(config, "WorkingDir", arena);
    out->user = text_of(config, "User", arena);
    out->stop_signal = text_of(config, "StopSignal", arena);
    const struct {
        const char *key;
        const char ***items;
        size_t *count;
        bool keys;
    } lists[] = {
        {"Env", &out->env, &out->env_count, false},
        {"Entrypoint", &out->entrypoint, &out->entrypoint_count, false},
        {"Cmd", &out->cmd, &out->cmd_count, false},
        {"Shell", &out->shell, &out->shell_count, false},
        {"OnBuild", &out->on_build, &out->on_build_count, false},
        {"Volumes", &out->volumes, &out->volumes_count, true},
        {"ExposedPorts", &out->ports, &out->ports_count, true},
    };
    int rc = json_is_object(root)
                 ? 0
                 : err_set(err, ERR_INVALID_ARGUMENT, "image configuration: not a JSON object");
    for (size_t i = 0; i < COUNT_OF(lists) && !rc; i++)
        rc = (lists[i].keys ? take_keys : take_strings)(config, lists[i].key, arena, lists[i].items,
                                                        lists[i].count, err);
    if (!rc)
        rc = take_labels(config, arena, out, err);
    if (!rc)
        rc = take_health(config, arena, &out->health, err);
    if (!rc)
        rc = take_history(root, arena, out, err);
    if (!rc)
        rc = take_rootfs(root, arena, out, err);
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "image configuration is too large");
    json_decref(root);
    return rc;
}
