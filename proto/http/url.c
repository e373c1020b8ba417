#include "proto/http/url.h"

#include <string.h>
#include <strings.h>

#include "proto/base/codec.h"
#include "proto/base/str.h"

char *url_decode(const char *text, size_t length, bool plus_is_blank, struct arena *arena)
{
    char *out = arena_alloc(arena, length + 1);
    if (!out)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '%') {
            // An escaped NUL would cut every C text short of what the sender meant.
            if (length - i < 3 || !hex_decode(text + i + 1, 2, &byte, 1) || byte == 0)
                return NULL;
            i += 2;
        } else if (byte == '+' && plus_is_blank) {
            byte = ' ';
        } else if (byte == 0) {
            return NULL;
        }
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return out;
}

static int parse_query(const char *query, size_t length, struct arena *arena, struct url *out,
                       struct err *err)
{
    size_t count = 1;
    for (size_t i = 0; i < length; i++)
        count += query[i] == '&';
    if (count > URL_PAIRS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d query values", URL_PAIRS_MAX);
    out->pairs = arena_alloc_array(arena, count, sizeof *out->pairs);
    const char *end = query + length;
    while (query < end) {
        const char *stop = memchr(query, '&', (size_t)(end - query));
        if (!stop)
            stop = end;
        const char *equals = memchr(query, '=', (size_t)(stop - query));
        const char *name_end = equals ? equals : stop;
        const char *value = equals ? equals + 1 : stop;
        struct url_pair pair = {
            url_decode(query, (size_t)(name_end - query), true, arena),
            url_decode(value, (size_t)(stop - value), true, arena),
        };
        if (!out->pairs || !pair.name || !pair.value)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid escape in the query");
        if (stop > query)
            out->pairs[out->pairs_count++] = pair;
        query = stop + 1;
    }
    return 0;
}

int url_parse(const char *target, size_t length, struct arena *arena, struct url *out,
              struct err *err)
{
    *out = (struct url){0};
    if (length > 7 && strncasecmp(target, "http://", 7) == 0) {
        const char *slash = memchr(target + 7, '/', length - 7);
        size_t skip = slash ? (size_t)(slash - target) : length;
        target += skip;
        length -= skip;
    }
    if (length == 0 || target[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT, "the request target is no path");
    const char *fragment = memchr(target, '#', length);
    if (fragment)
        length = (size_t)(fragment - target);
    const char *query = memchr(target, '?', length);
    size_t path_length = query ? (size_t)(query - target) : length;
    out->path = url_decode(target, path_length, false, arena);
    out->raw_path = arena_strndup(arena, target, path_length);
    if (!out->path || !out->raw_path)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid escape in the path");
    if (!query)
        return 0;
    return parse_query(query + 1, length - path_length - 1, arena, out, err);
}

const char *url_get(const struct url *url, const char *name)
{
    for (size_t i = 0; i < url->pairs_count; i++)
        if (strcmp(url->pairs[i].name, name) == 0)
            return url->pairs[i].value;
    return NULL;
}

bool url_get_bool(const struct url *url, const char *name)
{
    static const char *const falses[] = {"", "0", "no", "false", "none"};
    const char *value = url_get(url, name);
    if (!value)
        return false;
    for (size_t i = 0; i < sizeof falses / sizeof falses[0]; i++)
        if (strcasecmp(value, falses[i]) == 0)
            return false;
    return true;
}

void url_encode(const char *text, struct buf *out)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("-_.~", *at);
        if (plain)
            buf_put_u8(out, *at);
        else
            buf_printf(out, "%%%02X", *at);
    }
}
