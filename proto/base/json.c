#include "proto/base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static_assert(JSON_DEPTH_MAX <= 64, "json_out.in_object has a bit per level");

// jansson recurses on nesting, so look at the depth before it does. Counts brackets outside
// strings.
static bool too_deep(const char *at, size_t size)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string) {
            if (at[i] == '\\')
                i++;
            else if (at[i] == '"')
                in_string = false;
        } else if (at[i] == '"') {
            in_string = true;
        } else if (at[i] == '{' || at[i] == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if ((at[i] == '}' || at[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *json_parse(const void *bytes, size_t size, struct err *err)
{
    if (too_deep(bytes, size)) {
        err_set(err, ERR_INVALID_ARGUMENT, "JSON nests deeper than %d levels", JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t why;
    json_t *value = json_loadb(size ? bytes : "", size, JSON_DECODE_ANY, &why);
    if (!value)
        err_set(err, ERR_INVALID_ARGUMENT, "invalid JSON at line %d, column %d: %s", why.line,
                why.column, why.text);
    return value;
}

// ---- writing ------------------------------------------------------------------------------------

void json_out_init(struct json_out *out, struct buf *buf)
{
    *out = (struct json_out){.buf = buf, .first = true};
}

static bool inside_object(const struct json_out *out)
{
    return out->depth > 0 && (out->in_object >> (out->depth - 1) & 1) != 0;
}

static void put_escape(struct buf *buf, unsigned char c)
{
    static const char shorts[] = "\b\f\n\r\t\"\\";
    static const char names[] = "bfnrt\"\\";
    const char *place = c ? strchr(shorts, c) : NULL;
    if (place) {
        buf_put_u8(buf, '\\');
        buf_put_u8(buf, (uint8_t)names[place - shorts]);
    } else {
        buf_printf(buf, "\\u%04x", c);
    }
}

static void put_text(struct buf *buf, const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + length;
    buf_put_u8(buf, '"');
    while (at < end) {
        // Copy the longest run that needs nothing done to it.
        const unsigned char *run = at;
        while (at < end && *at >= ' ' && *at < 0x7f && *at != '"' && *at != '\\')
            at++;
        buf_put(buf, run, (size_t)(at - run));
        if (at == end)
            break;
        size_t step = str_utf8_step(at, (size_t)(end - at));
        if (step == 0) {
            buf_put_str(buf, "\xef\xbf\xbd");
            at++;
        } else if (step == 1 && *at != 0x7f) {
            put_escape(buf, *at++);
        } else {
            buf_put(buf, at, step);
            at += step;
        }
    }
    buf_put_u8(buf, '"');
}

// What stands before any value: the comma and, in an object, the key.
static void put_prefix(struct json_out *out, const char *key)
{
    CHECK(inside_object(out) == (key != NULL));
    CHECK(out->depth > 0 || out->first); // one value at the top
    if (!out->first)
        buf_put_u8(out->buf, ',');
    out->first = false;
    if (key) {
        put_text(out->buf, key, strlen(key));
        buf_put_u8(out->buf, ':');
    }
}

static void begin(struct json_out *out, const char *key, bool object)
{
    put_prefix(out, key);
    CHECK(out->depth < JSON_DEPTH_MAX);
    uint64_t bit = UINT64_C(1) << out->depth++;
    out->in_object = object ? out->in_object | bit : out->in_object & ~bit;
    out->first = true;
    buf_put_u8(out->buf, object ? '{' : '[');
}

void json_out_object(struct json_out *out, const char *key)
{
    begin(out, key, true);
}

void json_out_array(struct json_out *out, const char *key)
{
    begin(out, key, false);
}

void json_out_end(struct json_out *out)
{
    CHECK(out->depth > 0);
    buf_put_u8(out->buf, inside_object(out) ? '}' : ']');
    out->depth--;
    out->first = false;
}

void json_out_strn(struct json_out *out, const char *key, const char *text, size_t length)
{
    put_prefix(out, key);
    put_text(out->buf, text, length);
}

void json_out_str(struct json_out *out, const char *key, const char *text)
{
    json_out_strn(out, key, text ? text : "", text ? strlen(text) : 0);
}

// Lists are full of numbers, and printf takes several times as long for one.
static void put_number(struct buf *buf, uint64_t value, bool negative)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (negative)
        text[--at] = '-';
    buf_put(buf, text + at, sizeof text - at);
}

void json_out_int(struct json_out *out, const char *key, int64_t value)
{
    put_prefix(out, key);
    put_number(out->buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void json_out_uint(struct json_out *out, const char *key, uint64_t value)
{
    put_prefix(out, key);
    put_number(out->buf, value, false);
}

void json_out_double(struct json_out *out, const char *key, double value)
{
    CHECK(isfinite(value));
    put_prefix(out, key);
    // The shortest of 15, 16 or 17 digits that reads back as the same number.
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double again = 0;
        if (sscanf(text, "%lf", &again) == 1 && memcmp(&again, &value, sizeof value) == 0)
            break;
    }
    buf_put_str(out->buf, text);
}

void json_out_bool(struct json_out *out, const char *key, bool value)
{
    put_prefix(out, key);
    buf_put_str(out->buf, value ? "true" : "false");
}

void json_out_null(struct json_out *out, const char *key)
{
    put_prefix(out, key);
    buf_put_str(out->buf, "null");
}

void json_out_raw(struct json_out *out, const char *key, const char *json, size_t length)
{
    put_prefix(out, key);
    buf_put(out->buf, json, length);
}

static int put_dump(const char *bytes, size_t size, void *ctx)
{
    buf_put(ctx, bytes, size);
    return 0;
}

void json_out_value(struct json_out *out, const char *key, const json_t *value)
{
    put_prefix(out, key);
    int result = json_dump_callback(value, put_dump, out->buf, JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK(result == 0);
}

bool json_out_done(const struct json_out *out)
{
    return out->depth == 0 && !out->first && buf_ok(out->buf);
}
