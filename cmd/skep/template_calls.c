// The functions templates may call, and how values are printed.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/template_impl.h"
#include "cmd/skep/template_types.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define PAD_MAX 1000

// ---- printing -----------------------------------------------------------------------------------

// Go's %v of a float64: the shortest text that reads back, with an exponent from 1e21.
static void put_real(double value, struct buf *out)
{
    char text[64];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    if (strchr(text, 'e') && fabs(value) < 1e21 && fabs(value) >= 1e-4)
        snprintf(text, sizeof text, "%.0f", value);
    buf_put_str(out, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The object's keys in order, in an array to be freed. `shown` leaves the '@' keys out.
static const char **keys_of(const json_t *object, bool shown, size_t *count)
{
    const char **keys = mem_alloc_array(json_object_size(object) + 1, sizeof *keys), *key;
    json_t *value;
    *count = 0;
    json_object_foreach((json_t *)object, key, value) if (!shown || *key != '@') keys[(*count)++] =
        key;
    return keys;
}

static void print_typed(const json_t *value, const char *type, struct buf *out);
static void print_map(const json_t *value, const char *element, struct buf *out);

// A struct: its fields in their order. What Go prints of a pointer in it is an address, which says
// nothing; here it is what is there.
static void print_struct(const json_t *value, const char *type, struct buf *out)
{
    char name[GO_TYPE_BYTES], inner[GO_TYPE_BYTES];
    size_t embedded = go_embedded(type);
    if (str_equal(type, "swarm.Version")) { // which prints itself
        print_typed(json_object_get(value, "Index"), "uint64", out);
        return;
    }
    buf_put_str(out, embedded ? "{{" : "{");
    for (size_t i = 0; go_field_at(type, i, name, inner); i++) {
        if (i)
            buf_put_u8(out, ' ');
        print_typed(json_object_get(value, name), inner, out);
        if (i + 1 == embedded)
            buf_put_u8(out, '}');
    }
    buf_put_u8(out, '}');
}

static void print_typed(const json_t *value, const char *type, struct buf *out)
{
    char element[GO_TYPE_BYTES];
    if (!value || (json_is_null(value) && *type != '*')) {
        json_t *zero = go_zero(type);
        if (json_is_null(zero))
            buf_put_str(out, "<nil>");
        else
            print_typed(zero, type, out);
        json_decref(zero);
    } else if (go_print(type, value, out)) {
        return;
    } else if (go_struct_whole(type) && json_is_object(value)) {
        print_struct(value, type, out);
    } else if (go_element(type, element) && json_is_array(value)) {
        buf_put_u8(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                buf_put_u8(out, ' ');
            print_typed(json_array_get(value, i), element, out);
        }
        buf_put_u8(out, ']');
    } else if (go_element(type, element) && json_is_object(value)) {
        print_map(value, element, out);
    } else {
        run_print(value, out);
    }
}

static void print_map(const json_t *value, const char *element, struct buf *out)
{
    size_t count;
    const char **keys = keys_of(value, true, &count);
    qsort(keys, count, sizeof *keys, by_name);
    buf_put_str(out, "map[");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s%s:", i ? " " : "", keys[i]);
        print_typed(json_object_get(value, keys[i]), element, out);
    }
    buf_put_u8(out, ']');
    free(keys);
}

static void print_object(const json_t *value, struct buf *out)
{
    const char *text = json_string_value(json_object_get(value, "@text"));
    if (text) {
        buf_put_str(out, text);
        return;
    }
    const char *type = json_string_value(json_object_get(value, "@type"));
    if (type && go_struct_whole(type)) {
        print_struct(value, type, out);
        return;
    }
    print_map(value, "*plain", out);
}

// JSON nests at most JSON_DEPTH_MAX deep, which bounds the recursion here and below.
void run_print(const json_t *value, struct buf *out)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        print_object(value, out);
        break;
    case JSON_ARRAY:
        buf_put_u8(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                buf_put_u8(out, ' ');
            run_print(json_array_get(value, i), out);
        }
        buf_put_u8(out, ']');
        break;
    case JSON_STRING:
        buf_put(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        buf_printf(out, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        put_real(json_real_value(value), out);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_put_str(out, json_is_true(value) ? "true" : "false");
        break;
    case JSON_NULL:
        buf_put_str(out, "<nil>");
        break;
    }
}

// A list's rows have "<", ">" and "&" escaped, as docker's lists have and its objects have not.
static void put_escaped(const json_t *value, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, TEMPLATE_TEXT_BYTES_MAX);
    template_put_json(value, &plain);
    for (size_t i = 0; i < plain.len; i++) {
        if (memchr("<>&", plain.data[i], 3))
            buf_printf(out, "\\u%04x", plain.data[i]);
        else
            buf_put_u8(out, plain.data[i]);
    }
    buf_fini(&plain);
}

static void put_object(const json_t *value, struct buf *out)
{
    size_t count;
    const char **keys = keys_of(value, true, &count);
    bool is_row = json_object_get(value, "@labels") != NULL;
    if (is_row)
        qsort(keys, count, sizeof *keys, by_name);
    buf_put_u8(out, '{');
    for (size_t i = 0; i < count; i++) {
        struct json_out name;
        if (i)
            buf_put_u8(out, ',');
        json_out_init(&name, out);
        json_out_str(&name, NULL, keys[i]);
        buf_put_u8(out, ':');
        if (is_row)
            put_escaped(json_object_get(value, keys[i]), out);
        else
            template_put_json(json_object_get(value, keys[i]), out);
    }
    buf_put_u8(out, '}');
    free(keys);
}

void template_put_json(const json_t *value, struct buf *out)
{
    if (json_is_object(value)) {
        put_object(value, out);
    } else if (json_is_array(value)) {
        buf_put_u8(out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                buf_put_u8(out, ',');
            template_put_json(json_array_get(value, i), out);
        }
        buf_put_u8(out, ']');
    } else if (value) {
        struct json_out json;
        json_out_init(&json, out);
        json_out_value(&json, NULL, value);
    } else {
        buf_put_str(out, "null");
    }
}

// ---- helpers of the functions -------------------------------------------------------------------

struct call {
    struct run *run;
    const char *name;
    json_t **args;
    size_t count;
    bool *failed;
};

static json_t *refuse(struct call *call, const char *why)
{
    return run_refuse(call->run, call->failed, "error calling %s: %s", call->name, why);
}

// A text made in `text`, which is given back.
static json_t *text_result(struct call *call, struct buf *text)
{
    json_t *made =
        buf_ok(text) ? json_stringn(text->len ? (char *)text->data : "", text->len) : NULL;
    buf_fini(text);
    return made ? run_keep(call->run, made) : refuse(call, "the text is too long or not UTF-8");
}

static const char *text_argument(struct call *call, size_t at)
{
    const char *text = json_string_value(call->args[at]);
    if (!text)
        refuse(call, "a text is wanted");
    return text;
}

// ---- the functions ------------------------------------------------------------------------------

static json_t *call_json(struct call *call)
{
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    template_put_json(call->args[0], &text);
    return text_result(call, &text);
}

static json_t *call_split(struct call *call)
{
    const char *text = text_argument(call, 0), *separator = text ? text_argument(call, 1) : NULL;
    if (!separator)
        return NULL;
    json_t *parts = run_keep(call->run, json_array());
    size_t length = strlen(separator);
    for (const char *hit; length && (hit = strstr(text, separator)); text = hit + length)
        json_array_append_new(parts, json_stringn(text, (size_t)(hit - text)));
    json_array_append_new(parts, json_string(text));
    return parts;
}

static json_t *call_join(struct call *call)
{
    const char *separator = text_argument(call, 1);
    if (!separator)
        return NULL;
    if (call->args[0] && !json_is_array(call->args[0]) && !json_is_null(call->args[0]))
        return refuse(call, "a list is wanted");
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    for (size_t i = 0; i < json_array_size(call->args[0]); i++) {
        if (i)
            buf_put_str(&text, separator);
        run_print(json_array_get(call->args[0], i), &text);
    }
    return text_result(call, &text);
}

enum letter_case { CASE_LOWER, CASE_UPPER, CASE_TITLE };

static json_t *change_case(struct call *call, enum letter_case wanted)
{
    const char *from = text_argument(call, 0);
    if (!from)
        return NULL;
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    bool begins = true;
    for (; *from; from++) {
        char c = *from;
        if (c >= 'A' && c <= 'Z' && wanted == CASE_LOWER)
            c = (char)(c + 32);
        else if (c >= 'a' && c <= 'z' && (wanted == CASE_UPPER || (wanted == CASE_TITLE && begins)))
            c = (char)(c - 32);
        // A word begins behind what is neither letter, digit nor underscore, as Go's strings.Title
        // has it.
        begins = (unsigned char)c < 0x80 && !isalnum((unsigned char)c) && c != '_';
        buf_put_u8(&text, (uint8_t)c);
    }
    return text_result(call, &text);
}

static json_t *call_lower(struct call *call)
{
    return change_case(call, CASE_LOWER);
}

static json_t *call_upper(struct call *call)
{
    return change_case(call, CASE_UPPER);
}

static json_t *call_title(struct call *call)
{
    return change_case(call, CASE_TITLE);
}

static json_t *call_pad(struct call *call)
{
    const char *from = text_argument(call, 0);
    if (!from)
        return NULL;
    json_int_t before = json_integer_value(call->args[1]),
               after = json_integer_value(call->args[2]);
    if (before < 0 || before > PAD_MAX || after < 0 || after > PAD_MAX)
        return refuse(call, "the padding is too wide");
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    if (*from)
        buf_printf(&text, "%*s%s%*s", (int)before, "", from, (int)after, "");
    return text_result(call, &text);
}

static json_t *call_truncate(struct call *call)
{
    const char *from = text_argument(call, 0);
    if (!from)
        return NULL;
    json_int_t length = json_integer_value(call->args[1]);
    size_t size = strlen(from);
    if (length < 0)
        return refuse(call, "a length from 0 is wanted");
    if ((size_t)length >= size)
        return call->args[0];
    size_t at = 0; // whole characters only
    while (at < (size_t)length) {
        size_t step = str_utf8_step((const unsigned char *)from + at, size - at);
        if (at + (step ? step : 1) > (size_t)length)
            break;
        at += step ? step : 1;
    }
    return run_keep(call->run, json_stringn(from, at));
}

static json_t *call_index(struct call *call)
{
    json_t *value = call->args[0];
    for (size_t i = 1; i < call->count; i++) {
        json_t *key = call->args[i];
        if (!value || json_is_null(value))
            return NULL;
        if (json_is_object(value) && json_is_string(key)) {
            value = json_object_get(value, json_string_value(key));
            if (!value) // as an absent key of a map of texts
                return run_keep(call->run, json_string(""));
        } else if (json_is_array(value) && json_is_integer(key)) {
            json_int_t at = json_integer_value(key);
            if (at < 0 || (size_t)at >= json_array_size(value))
                return run_refuse(call->run, call->failed,
                                  "error calling index: index out of range: %lld", (long long)at);
            value = json_array_get(value, (size_t)at);
        } else {
            return refuse(call, "this value cannot be indexed so");
        }
    }
    return value;
}

static json_t *call_len(struct call *call)
{
    const json_t *value = call->args[0];
    size_t length = 0;
    if (json_is_object(value))
        length = json_object_size(value);
    else if (json_is_array(value))
        length = json_array_size(value);
    else if (json_is_string(value))
        length = json_string_length(value);
    else if (value && !json_is_null(value))
        return refuse(call, "this value has no length");
    return run_keep(call->run, json_integer((json_int_t)length));
}

static json_t *call_slice(struct call *call)
{
    json_t *value = call->args[0];
    size_t size = json_is_array(value) ? json_array_size(value) : json_string_length(value);
    json_int_t from = call->count > 1 ? json_integer_value(call->args[1]) : 0;
    json_int_t to = call->count > 2 ? json_integer_value(call->args[2]) : (json_int_t)size;
    if (!json_is_array(value) && !json_is_string(value))
        return refuse(call, "a list or a text is wanted");
    if (from < 0 || to < from || (size_t)to > size)
        return refuse(call, "index out of range");
    if (json_is_string(value)) {
        json_t *made = json_stringn(json_string_value(value) + from, (size_t)(to - from));
        return made ? run_keep(call->run, made) : refuse(call, "it would split a character");
    }
    json_t *part = run_keep(call->run, json_array());
    for (json_int_t i = from; i < to; i++)
        json_array_append(part, json_array_get(value, (size_t)i));
    return part;
}

// Go's Print puts blanks only between values that are both no text; Println between all.
static json_t *print_all(struct call *call, bool line)
{
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    for (size_t i = 0; i < call->count; i++) {
        bool texts = i && (json_is_string(call->args[i]) || json_is_string(call->args[i - 1]));
        if (i && (line || !texts))
            buf_put_u8(&text, ' ');
        run_print(call->args[i], &text);
    }
    if (line)
        buf_put_u8(&text, '\n');
    return text_result(call, &text);
}

static json_t *call_print(struct call *call)
{
    return print_all(call, false);
}

static json_t *call_println(struct call *call)
{
    return print_all(call, true);
}

static json_t *call_printf(struct call *call)
{
    struct buf text;
    if (!text_argument(call, 0))
        return NULL;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    if (!run_printf(call->args, call->count, &text)) {
        buf_fini(&text);
        return refuse(call, "a format that cannot be followed");
    }
    return text_result(call, &text);
}

// What Go's html, js and urlquery put instead of a character; false: it stays as it is.
static bool put_for_html(char c, struct buf *out)
{
    static const struct {
        char c;
        const char *instead;
    } rows[] = {
        {'"', "&#34;"}, {'\'', "&#39;"}, {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].c != c)
            continue;
        buf_put_str(out, rows[i].instead);
        return true;
    }
    return false;
}

static bool put_for_js(char c, struct buf *out)
{
    if (strchr("\\'\"", c))
        buf_printf(out, "\\%c", c);
    else if (strchr("<>&=\177", c) || (c > 0 && c < ' '))
        buf_printf(out, "\\u%04X", (unsigned char)c);
    else
        return false;
    return true;
}

static bool put_for_query(char c, struct buf *out)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        strchr("-_.~", c))
        return false;
    if (c == ' ')
        buf_put_u8(out, '+');
    else
        buf_printf(out, "%%%02X", (unsigned char)c);
    return true;
}

// All arguments as print has them, with characters taken for others.
static json_t *escape_all(struct call *call, bool (*put)(char c, struct buf *out))
{
    const char *plain = json_string_value(print_all(call, false));
    if (!plain)
        return NULL;
    struct buf text;
    buf_init(&text, TEMPLATE_TEXT_BYTES_MAX);
    for (; *plain; plain++)
        if (!put(*plain, &text))
            buf_put_u8(&text, (uint8_t)*plain);
    return text_result(call, &text);
}

static json_t *call_html(struct call *call)
{
    return escape_all(call, put_for_html);
}

static json_t *call_js(struct call *call)
{
    return escape_all(call, put_for_js);
}

static json_t *call_urlquery(struct call *call)
{
    return escape_all(call, put_for_query);
}

// Below, equal or above; *comparable is false for values of different kinds.
static int compare(const json_t *a, const json_t *b, bool *comparable)
{
    *comparable = true;
    if (json_is_number(a) && json_is_number(b)) {
        double x = json_number_value(a), y = json_number_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    bool a_none = !a || json_is_null(a), b_none = !b || json_is_null(b);
    if (a_none || b_none)
        return a_none && b_none ? 0 : 1;
    if (json_is_boolean(a) && json_is_boolean(b))
        return json_is_true(a) - json_is_true(b);
    *comparable = false;
    return 1;
}

static json_t *call_compare(struct call *call)
{
    bool comparable, result = false;
    if (call->count < 2)
        return refuse(call, "two values are wanted");
    for (size_t i = 1; i < call->count && !result; i++) {
        int order = compare(call->args[0], call->args[i], &comparable);
        if (!comparable)
            return refuse(call, "incompatible types for comparison");
        switch (call->name[0] * 256 + call->name[1]) {
        case 'e' * 256 + 'q':
            result = order == 0;
            continue; // eq takes any number of candidates
        case 'n' * 256 + 'e':
            result = order != 0;
            break;
        case 'l' * 256 + 't':
            result = order < 0;
            break;
        case 'l' * 256 + 'e':
            result = order <= 0;
            break;
        case 'g' * 256 + 't':
            result = order > 0;
            break;
        default:
            result = order >= 0;
            break;
        }
        break;
    }
    return run_keep(call->run, json_boolean(result));
}

static json_t *call_not(struct call *call)
{
    return run_keep(call->run, json_boolean(!run_true(call->args[0])));
}

#define ANY TEMPLATE_OPERANDS_MAX

static const struct {
    const char *name;
    size_t least, most;
    json_t *(*call)(
        struct call *call); // NULL: what runs the template does it, with what to look at
    bool prints;
} calls[] = {
    {"json", 1, 1, call_json},
    {"split", 2, 2, call_split},
    {"join", 2, 2, call_join},
    {"lower", 1, 1, call_lower},
    {"upper", 1, 1, call_upper},
    {"title", 1, 1, call_title},
    {"pad", 3, 3, call_pad},
    {"truncate", 2, 2, call_truncate},
    {"index", 1, ANY, call_index},
    {"len", 1, 1, call_len},
    {"slice", 1, 3, call_slice},
    {"print", 0, ANY, call_print, true},
    {"println", 0, ANY, call_println, true},
    {"printf", 1, ANY, call_printf, true},
    {"eq", 2, ANY, call_compare},
    {"ne", 2, 2, call_compare},
    {"lt", 2, 2, call_compare},
    {"le", 2, 2, call_compare},
    {"gt", 2, 2, call_compare},
    {"ge", 2, 2, call_compare},
    {"and", 1, ANY, NULL},
    {"or", 1, ANY, NULL},
    {"not", 1, 1, call_not},
    {"html", 0, ANY, call_html, true},
    {"js", 0, ANY, call_js, true},
    {"urlquery", 0, ANY, call_urlquery, true},
};

bool run_knows(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (strcmp(calls[i].name, name) == 0)
            return true;
    return false;
}

json_t *run_call(struct run *run, const char *name, json_t **args, size_t count, bool *failed)
{
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (strcmp(calls[i].name, name) != 0)
            continue;
        struct call call = {run, name, args, count, failed};
        // What prints other than its JSON does so for those that print.
        for (size_t arg = 0; !calls[i].prints && arg < count; arg++)
            args[arg] = (json_t *)run_plain(args[arg]);
        if (count < calls[i].least || count > calls[i].most)
            return refuse(&call, "wrong number of arguments");
        CHECK(calls[i].call);
        return calls[i].call(&call);
    }
    UNREACHABLE("the parser let an unknown function pass");
}
