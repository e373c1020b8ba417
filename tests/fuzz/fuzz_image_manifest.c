// Manifests and configurations as a hostile registry or archive may send them.
#include <stdint.h>

#include "agent/image/manifest.h"
#include "agent/image/offer.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct platform platform = {"linux", "amd64", ""};
    struct arena arena;
    struct manifest manifest;
    struct image_config config;
    struct offer offer;
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    if (manifest_parse(data, size, &platform, &arena, &manifest, &err) == 0) {
        CHECK(manifest.layers_count <= MANIFEST_LAYERS_MAX);
        CHECK(digest_valid(manifest.is_list ? manifest.chosen.digest : manifest.config.digest));
    } else {
        CHECK(err.code != ERR_OK);
    }
    err_clear(&err);
    if (image_config_parse(data, size, &arena, &config, &err) != 0)
        CHECK(err.code != ERR_OK);
    err_clear(&err);
    if (offer_parse(data, size, &arena, &offer, &err) != 0)
        CHECK(err.code != ERR_OK);
    else if (offer.config_digest)
        offer_take_config(&offer, data, size, &arena);
    arena_fini(&arena);
    return 0;
}
