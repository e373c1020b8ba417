#include "proto/http/router.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/http/url.h"

const char *route_version(const char *path, struct arena *arena, const char **version)
{
    *version = NULL;
    if (!str_starts(path, "/v"))
        return path;
    const char *at = path + 2;
    size_t major = strspn(at, "0123456789");
    if (major == 0 || at[major] != '.')
        return path;
    size_t minor = strspn(at + major + 1, "0123456789");
    const char *end = at + major + 1 + minor;
    if (minor == 0 || *end != '/')
        return path;
    *version = arena_strndup(arena, at, (size_t)(end - at));
    return end;
}

// Binds one pattern; false when the path does not fit.
static bool fits(const char *pattern, const char *path, struct arena *arena,
                 struct route_match *match)
{
    match->params_count = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        const char *close = strchr(pattern, '}');
        CHECK(close);
        bool rest = close - pattern > 3 && memcmp(close - 3, "...", 3) == 0;
        const char *tail = close + 1;
        size_t length = rest ? strlen(path) : strcspn(path, "/");
        if (rest) {
            // What follows the parameter in the pattern must end the path.
            if (length < strlen(tail) || strcmp(path + length - strlen(tail), tail) != 0)
                return false;
            length -= strlen(tail);
        }
        char *value = length > 0 ? url_decode(path, length, false, arena) : NULL;
        if (!value)
            return false;
        CHECK(match->params_count < ROUTER_PARAMS_MAX);
        match->params[match->params_count++] = (struct route_param){
            .name = pattern + 1,
            .name_length = (size_t)(close - pattern) - 1 - (rest ? 3 : 0),
            .value = value,
        };
        path += length;
        pattern = tail;
    }
    return *path == '\0';
}

enum route_result route_find(const struct route *routes, size_t count, const char *method,
                             const char *raw_path, struct arena *arena, struct route_match *out)
{
    bool path_known = false;
    for (size_t i = 0; i < count; i++) {
        if (!fits(routes[i].pattern, raw_path, arena, out))
            continue;
        path_known = true;
        out->route = &routes[i];
        if (strcmp(routes[i].method, method) == 0)
            return ROUTE_FOUND;
    }
    // HEAD is GET without the body, unless the table says otherwise.
    if (path_known && strcmp(method, "HEAD") == 0 &&
        route_find(routes, count, "GET", raw_path, arena, out) == ROUTE_FOUND)
        return ROUTE_FOUND;
    *out = (struct route_match){0};
    return path_known ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}

const char *route_match_get(const struct route_match *match, const char *name)
{
    for (size_t i = 0; i < match->params_count; i++)
        if (strlen(name) == match->params[i].name_length &&
            memcmp(name, match->params[i].name, match->params[i].name_length) == 0)
            return match->params[i].value;
    return NULL;
}
