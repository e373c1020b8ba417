#include "agent/pattern.h"

#include <ctype.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define COMPILED_BYTES_MAX (8 * PATTERN_BYTES_MAX)

// One translation from Go's syntax to POSIX's.
struct translation {
    const char *at;
    const char *whole;
    // How many times an item may stand in what is compiled, because of the repetitions around and
    // behind it: the heaviest of each open group, and the item just taken.
    uint64_t weights[PATTERN_DEPTH_MAX + 1];
    size_t depth;
    uint64_t last;
    bool bare; // there is no item that a repetition could be of
    struct buf *out;
    struct err *err;
};

static int refuse(const struct translation *translation, const char *what)
{
    return err_set(translation->err, ERR_INVALID_ARGUMENT, "error parsing regexp: %s: `%s`", what,
                   translation->whole);
}

static void take_item(struct translation *translation)
{
    translation->last = 1;
    translation->bare = false;
}

// The C library writes "x{9}" out nine times and "x+" as "xx*".
static int repeat(struct translation *translation, uint64_t times)
{
    if (translation->bare)
        return refuse(translation, "missing argument to repetition operator");
    translation->last *= times ? times : 1;
    if (translation->last > PATTERN_REPEATS_MAX)
        return refuse(translation, "repetitions multiply to too much");
    uint64_t *heaviest = &translation->weights[translation->depth];
    if (translation->last > *heaviest)
        *heaviest = translation->last;
    translation->bare = true;
    if (translation->at[0] == '?') // asks for the shortest match, which is no other answer
        translation->at++;
    return 0;
}

static int open_group(struct translation *translation)
{
    if (translation->depth == PATTERN_DEPTH_MAX)
        return refuse(translation, "expression nests too deeply");
    if (translation->at[1] == '?' && translation->at[2] != ':')
        return refuse(translation, "flags and names of groups are not supported");
    translation->at += translation->at[1] == '?' ? 3 : 1;
    translation->weights[++translation->depth] = 1;
    translation->bare = true;
    buf_put_u8(translation->out, '(');
    return 0;
}

static int close_group(struct translation *translation)
{
    if (!translation->depth)
        return refuse(translation, "unexpected )");
    take_item(translation);
    translation->last = translation->weights[translation->depth--];
    if (translation->last > translation->weights[translation->depth])
        translation->weights[translation->depth] = translation->last;
    translation->at++;
    buf_put_u8(translation->out, ')');
    return 0;
}

// What a class after a backslash stands for inside of brackets; NULL: it is none.
static const char *class_of(char letter)
{
    return letter == 'd'   ? "0-9"
           : letter == 'w' ? "0-9A-Za-z_"
           : letter == 's' ? " \t\n\f\r"
                           : NULL;
}

// A backslash and what follows, outside of brackets.
static int take_escape(struct translation *translation)
{
    char letter = translation->at[1];
    if (!letter)
        return refuse(translation, "trailing backslash at end of expression");
    translation->at += 2;
    if (letter == 'd' || letter == 'D')
        buf_printf(translation->out, "[%s0-9]", letter == 'D' ? "^" : "");
    else if (letter == 'A')
        buf_put_u8(translation->out, '^');
    else if (letter == 'z')
        buf_put_u8(translation->out, '$');
    else if (ispunct((unsigned char)letter) || strchr("wWsSbB", letter))
        buf_printf(translation->out, "\\%c", letter);
    else
        return refuse(translation, "escape sequence is not supported");
    return 0;
}

// "[...]": POSIX takes a backslash in it as itself, and ']' and '-' by their place.
static int take_brackets(struct translation *translation)
{
    const char *at = translation->at + 1;
    struct buf *out = translation->out;
    bool bracket = false, dash = false, any = false;
    struct buf rest;
    buf_init(&rest, COMPILED_BYTES_MAX);
    bool negated = *at == '^';
    at += negated;
    int rc = 0;
    for (bool first = true; !rc && *at && (*at != ']' || first); first = false) {
        any = true;
        if (at[0] == '[' && at[1] == ':') {
            const char *end = strstr(at, ":]");
            if (!end) {
                rc = refuse(translation, "missing closing ]");
                break;
            }
            buf_put(&rest, at, (size_t)(end + 2 - at));
            at = end + 2;
        } else if (*at == '\\') {
            const char *class = class_of(at[1]);
            if (class)
                buf_put_str(&rest, class);
            else if (at[1] == ']')
                bracket = true;
            else if (at[1] == '-')
                dash = true;
            else if (ispunct((unsigned char)at[1]))
                buf_put_u8(&rest, (uint8_t)at[1]);
            else
                rc = refuse(translation, "escape sequence is not supported");
            at += at[1] ? 2 : 1;
        } else if (*at == ']') {
            bracket = true;
            at++;
        } else if (*at == '-' && (first || at[1] == ']')) {
            dash = true;
            at++;
        } else {
            buf_put_u8(&rest, (uint8_t)*at++);
        }
    }
    if (!rc && (*at != ']' || !any))
        rc = refuse(translation, "missing closing ]");
    // A '^' that is not at the front of what was written must not come there now; alone, it is
    // itself.
    bool caret = !negated && !bracket && rest.len && rest.data[0] == '^';
    if (!rc && caret && rest.len == 1 && !dash)
        buf_put_str(out, "\\^");
    else if (!rc && caret)
        rc = refuse(translation, "'^' must not come first in a class");
    else if (!rc)
        buf_printf(out, "[%s%s%s%s]", negated ? "^" : "", bracket ? "]" : "", buf_cstr(&rest),
                   dash ? "-" : "");
    buf_fini(&rest);
    translation->at = at + 1;
    return rc;
}

// "{2}", "{2,}" or "{2,5}"; anything else in braces is text, as in Go.
static int take_braces(struct translation *translation)
{
    const char *at = translation->at + 1;
    size_t low = strspn(at, "0123456789"), high = 0;
    const char *end = at + low;
    if (low && *end == ',') {
        high = strspn(end + 1, "0123456789");
        end += 1 + high;
    }
    if (!low || *end != '}') {
        buf_put_str(translation->out, "\\{");
        translation->at++;
        take_item(translation);
        return 0;
    }
    char number[16];
    uint64_t times = 0;
    const char *most = high ? end - high : at;
    if (!str_format(number, sizeof number, "%.*s", (int)(high ? high : low), most) ||
        !str_to_u64(number, PATTERN_REPEATS_MAX, &times))
        return refuse(translation, "invalid repeat count");
    buf_put(translation->out, translation->at, (size_t)(end + 1 - translation->at));
    translation->at = end + 1;
    return repeat(translation, times);
}

static int take_one(struct translation *translation)
{
    char letter = *translation->at;
    switch (letter) {
    case '(':
        return open_group(translation);
    case ')':
        return close_group(translation);
    case '\\':
        take_item(translation);
        return take_escape(translation);
    case '[':
        take_item(translation);
        return take_brackets(translation);
    case '{':
        return take_braces(translation);
    case '*':
    case '+':
    case '?':
        translation->at++;
        buf_put_u8(translation->out, (uint8_t)letter);
        return repeat(translation, letter == '+' ? 2 : 1);
    default:
        translation->at++;
        buf_put_u8(translation->out, (uint8_t)letter);
        take_item(translation);
        translation->bare = letter == '|';
        return 0;
    }
}

static int translate(struct translation *translation)
{
    int rc = 0;
    translation->weights[0] = 1;
    translation->bare = true;
    while (!rc && *translation->at)
        rc = take_one(translation);
    if (!rc && translation->depth)
        rc = refuse(translation, "missing closing )");
    return rc;
}

int pattern_init(struct pattern *pattern, const char *text, struct err *err)
{
    if (strlen(text) > PATTERN_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "error parsing regexp: longer than %d characters",
                       PATTERN_BYTES_MAX);
    struct buf out;
    struct translation translation = {.at = text, .whole = text, .out = &out, .err = err};
    buf_init(&out, COMPILED_BYTES_MAX);
    int rc = translate(&translation);
    if (!rc && !buf_ok(&out))
        rc = refuse(&translation, "too long");
    if (!rc) {
        int code = regcomp(&pattern->compiled, buf_cstr(&out), REG_EXTENDED | REG_NOSUB);
        char why[128];
        if (code) {
            regerror(code, NULL, why, sizeof why);
            rc = refuse(&translation, why);
        }
    }
    buf_fini(&out);
    return rc;
}

void pattern_fini(struct pattern *pattern)
{
    regfree(&pattern->compiled);
}

bool pattern_found(const struct pattern *pattern, const char *text)
{
    return regexec(&pattern->compiled, text, 0, NULL, 0) == 0;
}
