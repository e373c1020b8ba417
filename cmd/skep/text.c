#include "cmd/skep/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define WORD_MAX 63

const char *text_span(int64_t span_ns, struct arena *arena)
{
    int64_t seconds = span_ns / NS_PER_S;
    int64_t minutes = seconds / 60;
    int64_t hours = (span_ns + NS_PER_H / 2) / NS_PER_H;
    if (seconds < 1)
        return "Less than a second";
    if (seconds == 1)
        return "1 second";
    if (seconds < 60)
        return arena_printf(arena, "%lld seconds", (long long)seconds);
    if (minutes == 1)
        return "About a minute";
    if (minutes < 60)
        return arena_printf(arena, "%lld minutes", (long long)minutes);
    if (hours == 1)
        return "About an hour";
    if (hours < 48)
        return arena_printf(arena, "%lld hours", (long long)hours);
    if (hours < 24 * 7 * 2)
        return arena_printf(arena, "%lld days", (long long)hours / 24);
    if (hours < 24 * 30 * 2)
        return arena_printf(arena, "%lld weeks", (long long)hours / 24 / 7);
    if (hours < 24 * 365 * 2)
        return arena_printf(arena, "%lld months", (long long)hours / 24 / 30);
    return arena_printf(arena, "%lld years", (long long)hours / 24 / 365);
}

const char *text_since(const char *moment, struct wall now, struct arena *arena)
{
    struct wall at;
    if (str_empty(moment) || str_starts(moment, "0001-") || wall_parse(moment, &at, NULL) < 0)
        return "";
    return text_span(wall_since(now, at), arena);
}

static const char *scaled(double bytes, double step, int digits, const char *const units[],
                          struct arena *arena)
{
    size_t unit = 0;
    while (bytes >= step && units[unit + 1]) {
        bytes /= step;
        unit++;
    }
    return arena_printf(arena, "%.*g%s", digits, bytes, units[unit]);
}

static const char *const decimal_units[] = {"B",  "kB", "MB", "GB", "TB",
                                            "PB", "EB", "ZB", "YB", NULL};
static const char *const binary_units[] = {"B",   "KiB", "MiB", "GiB", "TiB",
                                           "PiB", "EiB", "ZiB", "YiB", NULL};

const char *text_size(double bytes, struct arena *arena)
{
    return scaled(bytes, 1000, 4, decimal_units, arena);
}

const char *text_size_short(double bytes, struct arena *arena)
{
    return scaled(bytes, 1000, 3, decimal_units, arena);
}

const char *text_size_binary(double bytes, struct arena *arena)
{
    return scaled(bytes, 1024, 4, binary_units, arena);
}

int text_parse_bytes(const char *text, int64_t *out, struct err *err)
{
    static const char units[] = "bkmgtp";
    char *end = NULL;
    double number = -1;
    if (*text >= '0' && *text <= '9')
        number = strtod(text, &end);
    if (!end || number < 0 || strpbrk(text, "xX"))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid size: '%s'", text);
    while (*end == ' ')
        end++;
    double factor = 1;
    if (*end) {
        char letter = *end >= 'A' && *end <= 'Z' ? (char)(*end + 32) : *end;
        const char *unit = strchr(units, letter);
        if (!unit)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid suffix: '%s'", end);
        for (ptrdiff_t i = 0; i < unit - units; i++)
            factor *= 1024;
        end++;
        if (letter != 'b' && (*end == 'i' || *end == 'I') && (end[1] == 'b' || end[1] == 'B'))
            end += 2;
        else if (letter != 'b' && (*end == 'b' || *end == 'B'))
            end++;
        if (*end)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid size: '%s'", text);
    }
    if (number * factor >= 9.2e18)
        return err_set(err, ERR_OUT_OF_RANGE, "size out of range: '%s'", text);
    *out = (int64_t)(number * factor);
    return 0;
}

int text_parse_cpus(const char *text, int64_t *out, struct err *err)
{
    int64_t value = 0;
    int decimals = -1;
    const char *at = text;
    for (; *at; at++) {
        if (*at == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (*at < '0' || *at > '9')
            return err_set(err, ERR_INVALID_ARGUMENT, "failed to parse %s as a rational number",
                           text);
        if (decimals >= 9 && *at != '0')
            return err_set(err, ERR_OUT_OF_RANGE, "value is too precise");
        if (decimals >= 9)
            continue;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *at - '0', &value))
            return err_set(err, ERR_OUT_OF_RANGE, "%s processors are too many", text);
        decimals += decimals >= 0;
    }
    if (at == text || str_equal(text, "."))
        return err_set(err, ERR_INVALID_ARGUMENT, "failed to parse %s as a rational number", text);
    for (int i = decimals < 0 ? 0 : decimals; i < 9; i++)
        if (__builtin_mul_overflow(value, 10, &value))
            return err_set(err, ERR_OUT_OF_RANGE, "%s processors are too many", text);
    *out = value;
    return 0;
}

const char *text_short_id(const char *id, struct arena *arena)
{
    const char *colon = strchr(id, ':');
    return arena_strndup(arena, colon ? colon + 1 : id,
                         strnlen(colon ? colon + 1 : id, TEXT_SHORT_ID));
}

// ---- columns ------------------------------------------------------------------------------------

// One code point; a byte that begins none counts as itself.
static uint32_t code_point(const char **at)
{
    const unsigned char *bytes = (const unsigned char *)*at;
    size_t step = str_utf8_step(bytes, strnlen(*at, 4));
    if (step <= 1) {
        (*at)++;
        return *bytes;
    }
    uint32_t code = bytes[0] & (0x7fu >> step);
    for (size_t i = 1; i < step; i++)
        code = (code << 6) | (bytes[i] & 0x3f);
    *at += step;
    return code;
}

static size_t code_columns(uint32_t code)
{
    // Combining marks, joiners and variation selectors.
    if ((code >= 0x300 && code <= 0x36f) || (code >= 0x200b && code <= 0x200f) ||
        (code >= 0xfe00 && code <= 0xfe0f) || code == 0xfeff)
        return 0;
    // East Asian wide and fullwidth forms, and emoji.
    if ((code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
        (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
        (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
        (code >= 0xffe0 && code <= 0xffe6) || (code >= 0x1f300 && code <= 0x1faff) ||
        (code >= 0x20000 && code <= 0x3fffd))
        return 2;
    return 1;
}

// Steps over "ESC [ ... letter"; false when there is none.
static bool skip_escape(const char **at)
{
    if ((*at)[0] != '\033' || (*at)[1] != '[')
        return false;
    const char *end = *at + 2 + strspn(*at + 2, "0123456789;");
    *at = *end ? end + 1 : end;
    return true;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    while (*text)
        if (!skip_escape(&text))
            columns += code_columns(code_point(&text));
    return columns;
}

const char *text_cut(const char *text, size_t columns, struct arena *arena)
{
    if (text_columns(text) <= columns)
        return text;
    if (columns == 0)
        return "";
    const char *at = text;
    size_t used = 0;
    while (*at) {
        const char *next = at;
        size_t wide = code_columns(code_point(&next));
        if (used + wide > columns - 1)
            break;
        used += wide;
        at = next;
    }
    return arena_printf(arena, "%.*s\xe2\x80\xa6", (int)(at - text), text);
}

const char *text_printable(const char *text, struct arena *arena)
{
    const char *at = text;
    while (*at && (unsigned char)*at >= ' ' && *at != 0x7f && (unsigned char)*at < 0x80)
        at++;
    if (!*at)
        return text;
    char *copy = arena_alloc(arena, strlen(text) * 3 + 1), *out = copy;
    if (!copy)
        return "";
    for (at = text; *at;) {
        const char *from = at;
        uint32_t code = code_point(&at);
        size_t size = (size_t)(at - from);
        bool broken = size == 1 && code >= 0x80;
        if (code < ' ' || (code >= 0x7f && code < 0xa0) || broken) {
            *out++ = ' ';
        } else {
            memcpy(out, from, size);
            out += size;
        }
    }
    *out = 0;
    return copy;
}

// ---- nearness -----------------------------------------------------------------------------------

unsigned text_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > WORD_MAX || columns > WORD_MAX)
        return WORD_MAX;
    unsigned char cost[3][WORD_MAX + 1];
    for (size_t j = 0; j <= columns; j++)
        cost[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= rows; i++) {
        unsigned char *now = cost[i % 3], *before = cost[(i + 2) % 3], *earlier = cost[(i + 1) % 3];
        now[0] = (unsigned char)i;
        for (size_t j = 1; j <= columns; j++) {
            unsigned best = before[j - 1] + (a[i - 1] != b[j - 1]);
            if (before[j] + 1u < best)
                best = before[j] + 1u;
            if (now[j - 1] + 1u < best)
                best = now[j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                earlier[j - 2] + 1u < best)
                best = earlier[j - 2] + 1u;
            now[j] = (unsigned char)best;
        }
    }
    return cost[rows % 3][columns];
}

static const char *moment_in(const char *moment, const char *zone, struct arena *arena)
{
    size_t size = strlen(moment);
    if (size < 20 || moment[10] != 'T' || moment[size - 1] != 'Z')
        return moment;
    return arena_printf(arena, "%.10s %.*s +0000 %s", moment, (int)size - 12, moment + 11, zone);
}

const char *text_moment(const char *moment, struct arena *arena)
{
    return moment_in(moment, "UTC", arena);
}

const char *text_moment_small(const char *moment, struct arena *arena)
{
    return moment_in(moment, "utc", arena);
}
