// printf of templates: Go's Sprintf for the kinds of values that JSON has.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/template_impl.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define WIDTH_MAX     1000
#define PRECISION_MAX 100

struct verb {
    char flags[8];        // those of "-+# 0" that were given
    int width, precision; // -1: none
    char letter;
};

static bool has_flag(const struct verb *verb, char flag)
{
    return strchr(verb->flags, flag) != NULL;
}

// Go counts characters, not bytes, to fill up to the width.
static void put_padded(const struct verb *verb, const char *text, size_t length, struct buf *out)
{
    int missing = verb->width;
    for (size_t i = 0; i < length; i++)
        missing -= ((unsigned char)text[i] & 0xc0) != 0x80;
    missing = missing > 0 ? missing : 0;
    if (has_flag(verb, '-'))
        buf_printf(out, "%.*s%*s", (int)length, text, missing, "");
    else
        buf_printf(out, "%*s%.*s", missing, "", (int)length, text);
}

// What Go puts where verb and value do not go together.
static void put_wrong(const struct verb *verb, const char *type, const json_t *value,
                      struct buf *out)
{
    buf_printf(out, "%%!%c(%s=", verb->letter, type);
    run_print(value, out);
    buf_put_u8(out, ')');
}

static void put_quoted(const char *text, size_t length, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_strn(&json, NULL, text, length);
}

static void put_text(const struct verb *verb, const json_t *value, struct buf *out)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    struct buf made;
    buf_init(&made, TEMPLATE_TEXT_BYTES_MAX);
    if (verb->precision >= 0 && verb->letter != 'x' && verb->letter != 'X') {
        size_t at = 0;
        for (int i = 0; i < verb->precision && at < length; i++) {
            size_t step = str_utf8_step((const unsigned char *)text + at, length - at);
            at += step ? step : 1;
        }
        length = at;
    }
    switch (verb->letter) {
    case 'v':
    case 's':
        buf_put(&made, text, length);
        break;
    case 'q':
        put_quoted(text, length, &made);
        break;
    case 'x':
    case 'X':
        for (size_t i = 0; i < length; i++)
            buf_printf(&made, verb->letter == 'x' ? "%02x" : "%02X", (unsigned char)text[i]);
        break;
    default:
        put_wrong(verb, "string", value, out);
    }
    if (made.len || strchr("vsqxX", verb->letter))
        put_padded(verb, made.len ? (char *)made.data : "", made.len, out);
    buf_fini(&made);
}

// The directive in C's words; the letters used here mean the same in both.
static void put_number(const struct verb *verb, const char *length, char letter, char spec[32])
{
    char precision[8] = "";
    if (verb->precision >= 0)
        snprintf(precision, sizeof precision, ".%d", verb->precision);
    snprintf(spec, 32, "%%%s*%s%s%c", verb->flags, precision, length, letter);
}

static void put_binary(const struct verb *verb, unsigned long long value, struct buf *out)
{
    char text[65];
    size_t at = sizeof text;
    do
        text[--at] = (char)('0' + (value & 1));
    while (value >>= 1);
    put_padded(verb, text + at, sizeof text - at, out);
}

static void put_integer(const struct verb *verb, const json_t *value, struct buf *out)
{
    long long number = json_integer_value(value);
    char spec[32], text[WIDTH_MAX + PRECISION_MAX];
    int length = 0;
    switch (verb->letter) {
    case 'v':
    case 'd':
        put_number(verb, "ll", 'd', spec);
        break;
    case 'x':
    case 'X':
    case 'o':
        put_number(verb, "ll", verb->letter, spec);
        break;
    case 'b':
        put_binary(verb, (unsigned long long)number, out);
        return;
    case 'U':
        length = snprintf(text, sizeof text, "U+%04llX", (unsigned long long)number);
        put_padded(verb, text, (size_t)length, out);
        return;
    case 'c':
        length = snprintf(text, sizeof text, "%c", number > 0 && number < 128 ? (int)number : '?');
        put_padded(verb, text, (size_t)length, out);
        return;
    default:
        put_wrong(verb, "int", value, out);
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    length = snprintf(text, sizeof text, spec, verb->width, number);
#pragma GCC diagnostic pop
    buf_put(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void put_real(const struct verb *verb, const json_t *value, struct buf *out)
{
    char spec[32], text[WIDTH_MAX + PRECISION_MAX + 400];
    if (verb->letter == 'v' || (strchr("gG", verb->letter) && verb->precision < 0)) {
        struct buf made;
        buf_init(&made, 512);
        run_print(value, &made);
        put_padded(verb, made.len ? (char *)made.data : "", made.len, out);
        buf_fini(&made);
        return;
    }
    if (!strchr("eEfFgG", verb->letter)) {
        put_wrong(verb, "float64", value, out);
        return;
    }
    put_number(verb, "", verb->letter, spec);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int length = snprintf(text, sizeof text, spec, verb->width, json_real_value(value));
#pragma GCC diagnostic pop
    buf_put(out, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void put_value(const struct verb *verb, const json_t *value, struct buf *out);

// Lists and maps: each value by the verb. JSON nests at most JSON_DEPTH_MAX deep.
static void put_many(const struct verb *verb, const json_t *value, struct buf *out)
{
    size_t i, count = 0;
    const char *key;
    json_t *item;
    buf_put_str(out, json_is_array(value) ? "[" : "map[");
    json_array_foreach(value, i, item)
    {
        buf_put_str(out, count++ ? " " : "");
        put_value(verb, item, out);
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (*key == '@')
            continue;
        json_t *name = json_string(key);
        buf_put_str(out, count++ ? " " : "");
        put_value(verb, name, out);
        buf_put_u8(out, ':');
        put_value(verb, item, out);
        json_decref(name);
    }
    buf_put_u8(out, ']');
}

static void put_value(const struct verb *verb, const json_t *value, struct buf *out)
{
    const json_t *text = json_object_get(value, "@text");
    if (text && strchr("vs", verb->letter))
        value = text;
    value = run_plain(value);
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        put_text(verb, value, out);
        break;
    case JSON_INTEGER:
        put_integer(verb, value, out);
        break;
    case JSON_REAL:
        put_real(verb, value, out);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        if (strchr("tv", verb->letter))
            put_padded(verb, json_is_true(value) ? "true" : "false", json_is_true(value) ? 4 : 5,
                       out);
        else
            put_wrong(verb, "bool", value, out);
        break;
    case JSON_NULL:
        if (verb->letter == 'v')
            put_padded(verb, "<nil>", 5, out);
        else
            buf_printf(out, "%%!%c(<nil>)", verb->letter);
        break;
    default:
        if (verb->letter == 'v')
            run_print(value, out);
        else
            put_many(verb, value, out);
    }
}

// "*" takes the next value for a number, as digits give it; -1 without either.
static const char *read_number(const char *at, json_t **args, size_t count, size_t *next,
                               int *number)
{
    *number = -1;
    if (*at == '*') {
        if (*next < count && json_is_integer(args[*next]))
            *number = (int)json_integer_value(args[*next]);
        ++*next;
        return at + 1;
    }
    if (*at >= '0' && *at <= '9') {
        char *end;
        long value = strtol(at, &end, 10);
        *number = value > WIDTH_MAX ? WIDTH_MAX + 1 : (int)value;
        at = end;
    }
    return at;
}

// What stands behind a '%': the place of its letter, or NULL for what is too wide to be meant.
static const char *read_verb(const char *at, json_t **args, size_t count, size_t *next,
                             struct verb *verb)
{
    *verb = (struct verb){.precision = -1};
    for (size_t used = 0; *at && strchr("-+# 0", *at); at++)
        if (!has_flag(verb, *at) || !used)
            verb->flags[used++] = *at;
    at = read_number(at, args, count, next, &verb->width);
    if (*at == '.') {
        at = read_number(at + 1, args, count, next, &verb->precision);
        verb->precision = verb->precision < 0 ? 0 : verb->precision;
    }
    verb->width = verb->width < 0 ? 0 : verb->width;
    verb->letter = *at;
    return verb->width > WIDTH_MAX || verb->precision > PRECISION_MAX ? NULL : at;
}

static const char *kind_of(const json_t *value)
{
    if (json_is_string(value))
        return "string";
    if (json_is_boolean(value))
        return "bool";
    if (json_is_number(value))
        return json_is_integer(value) ? "int" : "float64";
    return json_is_array(value) ? "[]interface {}" : "map[string]interface {}";
}

static void put_extra(json_t **args, size_t count, size_t next, struct buf *out)
{
    for (size_t i = next; i < count; i++) {
        buf_put_str(out, i == next ? "%!(EXTRA " : ", ");
        if (args[i] && !json_is_null(args[i]))
            buf_printf(out, "%s=", kind_of(run_plain(args[i])));
        run_print(args[i], out);
    }
    if (next < count)
        buf_put_u8(out, ')');
}

bool run_printf(json_t **args, size_t count, struct buf *out)
{
    size_t next = 1;
    for (const char *at = json_string_value(args[0]); *at; at++) {
        struct verb verb;
        if (*at != '%') {
            buf_put_u8(out, (uint8_t)*at);
            continue;
        }
        at = read_verb(at + 1, args, count, &next, &verb);
        if (!at)
            return false;
        if (!*at) {
            buf_put_str(out, "%!(NOVERB)");
            break;
        }
        if (*at == '%')
            buf_put_u8(out, '%');
        else if (next >= count)
            buf_printf(out, "%%!%c(MISSING)", *at);
        else
            put_value(&verb, args[next++], out);
    }
    put_extra(args, count, next, out);
    return true;
}
