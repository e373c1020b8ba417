#include "agent/image/offer.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define TYPE_OCI_INDEX    "application/vnd.oci.image.index.v1+json"
#define TYPE_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OS_FEATURES_MAX   16

static const char *text_of(const json_t *object, const char *key, struct arena *arena)
{
    const char *text = json_string_value(json_object_get(object, key));
    return str_or(text ? arena_strdup(arena, text) : NULL, "");
}

static void take_platform(const json_t *json, struct arena *arena, struct offer_platform *out)
{
    const json_t *features = json_object_get(json, "os.features");
    size_t count = json_array_size(features);
    *out = (struct offer_platform){
        .os = text_of(json, "os", arena),
        .architecture = text_of(json, "architecture", arena),
        .variant = text_of(json, "variant", arena),
        .os_version = text_of(json, "os.version", arena),
    };
    if (count > OS_FEATURES_MAX)
        count = OS_FEATURES_MAX;
    out->os_features = arena_alloc_array(arena, count, sizeof *out->os_features);
    for (size_t i = 0; out->os_features && i < count; i++) {
        const char *feature = json_string_value(json_array_get(features, i));
        if (feature)
            out->os_features[out->os_features_count++] = arena_strdup(arena, feature);
    }
}

static int take_list(const json_t *root, struct arena *arena, struct offer *out, struct err *err)
{
    const json_t *entries = json_object_get(root, "manifests");
    size_t count = json_array_size(entries);
    if (count > MANIFEST_LIST_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "manifest list: more than %d entries",
                       MANIFEST_LIST_MAX);
    out->platforms = arena_alloc_array(arena, count, sizeof *out->platforms);
    for (size_t i = 0; out->platforms && i < count; i++)
        take_platform(json_object_get(json_array_get(entries, i), "platform"), arena,
                      &out->platforms[out->platforms_count++]);
    return 0;
}

static int take_manifest(const json_t *root, struct arena *arena, struct offer *out,
                         struct err *err)
{
    out->config_digest = text_of(json_object_get(root, "config"), "digest", arena);
    if (digest_valid(out->config_digest))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "image manifest: invalid digest \"%.80s\"",
                   out->config_digest);
}

int offer_parse(const void *bytes, size_t size, struct arena *arena, struct offer *out,
                struct err *err)
{
    memset(out, 0, sizeof *out);
    bool is_list;
    json_t *root;
    int rc = manifest_open(bytes, size, &root, &is_list, err);
    if (rc)
        return rc;
    rc = is_list ? take_list(root, arena, out, err) : take_manifest(root, arena, out, err);
    // OCI leaves it to the writer whether a document names its own type.
    out->descriptor.media_type = text_of(root, "mediaType", arena);
    if (!rc && !*out->descriptor.media_type)
        out->descriptor.media_type = is_list ? TYPE_OCI_INDEX : TYPE_OCI_MANIFEST;
    out->descriptor.size = size;
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "image manifest is too large");
    json_decref(root);
    return rc;
}

void offer_take_config(struct offer *offer, const void *bytes, size_t size, struct arena *arena)
{
    CHECK(offer->config_digest);
    CHECK(!offer->platforms_count);
    json_t *root = size <= IMAGE_CONFIG_BYTES_MAX ? json_parse(bytes, size, NULL) : NULL;
    struct offer_platform *platform = ARENA_NEW(arena, struct offer_platform);
    if (json_is_object(root) && platform) {
        take_platform(root, arena, platform);
        if ((*platform->os || *platform->architecture) && !arena_overflowed(arena)) {
            offer->platforms = platform;
            offer->platforms_count = 1;
        }
    }
    json_decref(root);
}
