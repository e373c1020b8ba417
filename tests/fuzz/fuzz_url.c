// Request targets from anybody: parsed within the arena's limit, and every value is a C text.
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/http/router.h"
#include "proto/http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct route routes[] = {
        {"GET", "/a/{x}/b/{y}", NULL},
        {"GET", "/images/{name...}/json", NULL},
    };
    struct arena arena;
    struct url url;
    arena_init(&arena, 1 << 16);
    if (url_parse((const char *)data, size, &arena, &url, NULL) == 0) {
        CHECK(url.path[0] == '/');
        CHECK(strlen(url.path) <= size);
        struct route_match match;
        const char *version;
        const char *path = route_version(url.raw_path, &arena, &version);
        (void)route_find(routes, COUNT_OF(routes), "GET", path, &arena, &match);
        (void)url_get_bool(&url, "x");
    }
    arena_fini(&arena);
    return 0;
}
