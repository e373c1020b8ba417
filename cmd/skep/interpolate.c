#include "cmd/skep/interpolate.h"

#include <stdbool.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/str.h"

#define TEXT_BYTES_MAX (1u << 20)

struct work {
    const json_t *variables;
    struct arena *arena;
    struct err *err;
    struct buf *out;
};

static size_t name_length(const char *text)
{
    if (*text >= '0' && *text <= '9')
        return 0;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
}

// The end of "{...}", whose inside may hold references with braces of their own.
static const char *closing(const char *at)
{
    unsigned depth = 1;
    for (; *at; at++) {
        if (at[0] == '$' && at[1] == '{')
            depth++;
        else if (*at == '}' && --depth == 0)
            return at;
    }
    return NULL;
}

static bool put(struct work *work, const char *text, unsigned depth);

static bool put_braced(struct work *work, const char *inside, const char *end, unsigned depth)
{
    size_t length = name_length(inside);
    const char *name = arena_strndup(work->arena, inside, length), *rest = inside + length;
    bool colon = *rest == ':';
    rest += colon;
    char kind = rest == end ? 0 : *rest;
    if (length == 0 || rest > end || (kind && !strchr("-?+", kind)) || (colon && !kind)) {
        err_set(work->err, ERR_INVALID_ARGUMENT, "\"${%.*s}\" is no reference to a variable",
                (int)(end - inside), inside);
        return false;
    }
    const char *value = json_string_value(json_object_get(work->variables, name));
    const char *other = kind ? arena_strndup(work->arena, rest + 1, (size_t)(end - rest - 1)) : "";
    bool there = value && (!colon || *value);
    if (kind == '+')
        return !there || put(work, other, depth + 1);
    if (there || !kind) {
        buf_put_str(work->out, value ? value : "");
        return true;
    }
    if (kind == '-')
        return put(work, other, depth + 1);
    err_set(work->err, ERR_FAILED_PRECONDITION, "the variable %s is needed%s%s", name,
            *other ? ": " : "", other);
    return false;
}

static bool put(struct work *work, const char *text, unsigned depth)
{
    if (depth > INTERPOLATE_DEPTH_MAX) {
        err_set(work->err, ERR_INVALID_ARGUMENT, "defaults nest too deep");
        return false;
    }
    while (*text) {
        size_t plain = strcspn(text, "$");
        buf_put(work->out, text, plain);
        text += plain;
        if (!*text)
            break;
        if (text[1] == '$') {
            buf_put_u8(work->out, '$');
            text += 2;
        } else if (text[1] == '{') {
            const char *end = closing(text + 2);
            if (!end) {
                err_set(work->err, ERR_INVALID_ARGUMENT, "\"%.40s\": a } is missing", text);
                return false;
            }
            if (!put_braced(work, text + 2, end, depth))
                return false;
            text = end + 1;
        } else {
            size_t length = name_length(text + 1);
            if (length == 0) {
                err_set(work->err, ERR_INVALID_ARGUMENT,
                        "\"%.40s\" is no reference to a variable; write $$ for a dollar", text);
                return false;
            }
            const char *name = arena_strndup(work->arena, text + 1, length);
            const char *value = json_string_value(json_object_get(work->variables, name));
            buf_put_str(work->out, value ? value : "");
            text += 1 + length;
        }
    }
    return true;
}

const char *interpolate(const char *text, const json_t *variables, struct arena *arena,
                        struct err *err)
{
    struct buf out;
    const char *result = NULL;
    buf_init(&out, TEXT_BYTES_MAX);
    struct work work = {variables, arena, err, &out};
    if (put(&work, text, 0)) {
        if (buf_ok(&out) && buf_cstr(&out))
            result = arena_strdup(arena, buf_cstr(&out));
        if (!result)
            err_set(err, ERR_RESOURCE_EXHAUSTED, "a text becomes too long");
    }
    buf_fini(&out);
    return result;
}
