#include "cmd/skep/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

// ---- scalars ------------------------------------------------------------------------------------

static json_t *number(const char *text)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits < '0' || *digits > '9')
        return NULL;
    char plain[64];
    size_t length = 0;
    for (const char *at = digits; *at; at++) {
        if (*at == '_')
            continue;
        if (length + 1 == sizeof plain)
            return NULL;
        plain[length++] = *at;
    }
    plain[length] = 0;
    int base = 10;
    const char *start = plain;
    if (plain[0] == '0' && plain[1]) {
        base = plain[1] == 'x' || plain[1] == 'X' ? 16 : plain[1] == 'b' || plain[1] == 'B' ? 2 : 8;
        start = plain + (base == 8 ? 1 : 2);
        if (base == 8 && (*start == 'o' || *start == 'O'))
            start++;
    }
    char *end = NULL;
    long long whole = strtoll(start, &end, base);
    if (end != start && !*end && whole != INT64_MAX)
        return json_integer(negative ? -whole : whole);
    if (strspn(plain, "0123456789.eE+-") != length || !strpbrk(plain, ".eE"))
        return NULL;
    double real = strtod(plain, &end);
    return *end || !isfinite(real) ? NULL : json_real(negative ? -real : real);
}

json_t *yaml_scalar(const char *text)
{
    static const char *const yes[] = {"y",  "Y",  "yes",  "Yes",  "YES", "on",
                                      "On", "ON", "true", "True", "TRUE"};
    static const char *const no[] = {"n",   "N",   "no",    "No",    "NO",   "off",
                                     "Off", "OFF", "false", "False", "FALSE"};
    static const char *const none[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        // A lone y or n stays a text, as go-yaml has it.
        if (text[0] && text[1] && strcmp(text, yes[i]) == 0)
            return json_true();
        if (text[0] && text[1] && strcmp(text, no[i]) == 0)
            return json_false();
    }
    for (size_t i = 0; i < COUNT_OF(none); i++)
        if (strcmp(text, none[i]) == 0)
            return json_null();
    json_t *value = number(text);
    return value ? value : json_string(text);
}

// ---- reading ------------------------------------------------------------------------------------

struct reader {
    yaml_document_t document;
    struct arena *arena;
    json_t *lines;
    struct err *err;
    unsigned nodes;
    bool failed;
};

static void refuse(struct reader *reader, const yaml_node_t *node, const char *what)
{
    if (!reader->failed)
        err_set(reader->err, ERR_INVALID_ARGUMENT, "line %zu: %s", node->start_mark.line + 1, what);
    reader->failed = true;
}

static json_t *read_node(struct reader *reader, int index, const char *path, unsigned depth);

static json_t *read_scalar(struct reader *reader, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t length = node->data.scalar.length;
    const char *tag = (const char *)node->tag;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && str_equal(tag, YAML_STR_TAG);
    json_t *value = NULL;
    if (strlen(text) != length)
        refuse(reader, node, "a NUL inside of a text");
    else if (!str_equal(tag, YAML_STR_TAG) && !str_equal(tag, YAML_INT_TAG) &&
             !str_equal(tag, YAML_BOOL_TAG) && !str_equal(tag, YAML_FLOAT_TAG) &&
             !str_equal(tag, YAML_NULL_TAG))
        refuse(reader, node, "tags of your own are not supported");
    else
        value = plain ? yaml_scalar(text) : json_stringn(text, length);
    return value;
}

static void merge_missing(json_t *object, json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach(from, key, value) if (!json_object_get(object, key))
        json_object_set(object, key, value);
}

static json_t *read_mapping(struct reader *reader, const yaml_node_t *node, const char *path,
                            unsigned depth)
{
    json_t *object = json_object(), *merged = json_array();
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; pair < node->data.mapping.pairs.top && !reader->failed; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
        if (!key || key->type != YAML_SCALAR_NODE) {
            refuse(reader, node, "a key that is no text");
            break;
        }
        const char *name = (const char *)key->data.scalar.value;
        const char *below = arena_printf(reader->arena, "%s%s%s", path, *path ? "/" : "", name);
        if (!below) {
            refuse(reader, node, "the document is too large");
            break;
        }
        json_t *value = read_node(reader, pair->value, below, depth + 1);
        if (!value)
            break;
        if (strcmp(name, "<<") == 0) {
            json_array_append_new(merged, value);
            continue;
        }
        if (json_object_get(object, name)) {
            json_decref(value);
            refuse(reader, key,
                   arena_printf(reader->arena, "the key \"%.100s\" is there twice", name));
            break;
        }
        json_object_set_new(reader->lines, below,
                            json_integer((json_int_t)key->start_mark.line + 1));
        if (json_object_set_new(object, name, value) != 0)
            refuse(reader, key, "a key that is not UTF-8");
    }
    size_t i, j;
    json_t *from, *one;
    json_array_foreach(merged, i, from)
    {
        if (json_is_object(from))
            merge_missing(object, from);
        json_array_foreach(from, j, one) merge_missing(object, one);
    }
    json_decref(merged);
    if (!reader->failed)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *read_sequence(struct reader *reader, const yaml_node_t *node, const char *path,
                             unsigned depth)
{
    json_t *array = json_array();
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (size_t i = 0; item < node->data.sequence.items.top && !reader->failed; item++, i++) {
        const char *below = arena_printf(reader->arena, "%s/%zu", path, i);
        json_t *value = below ? read_node(reader, *item, below, depth + 1) : NULL;
        const yaml_node_t *child = yaml_document_get_node(&reader->document, *item);
        if (!value || !child) {
            refuse(reader, node, "the document is too large");
            json_decref(value);
            break;
        }
        json_object_set_new(reader->lines, below,
                            json_integer((json_int_t)child->start_mark.line + 1));
        json_array_append_new(array, value);
    }
    if (!reader->failed)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *read_node(struct reader *reader, int index, const char *path, unsigned depth)
{
    const yaml_node_t *node = yaml_document_get_node(&reader->document, index);
    CHECK(node);
    // An alias inside of its own anchor goes down for ever, and aliases of aliases grow without
    // end.
    if (depth > YAML_DEPTH_MAX || ++reader->nodes > YAML_NODES_MAX) {
        refuse(reader, node, depth > YAML_DEPTH_MAX ? "it nests too deep" : "it is too large");
        return NULL;
    }
    json_t *value = NULL;
    if (node->type == YAML_SCALAR_NODE)
        value = read_scalar(reader, node);
    else if (node->type == YAML_MAPPING_NODE)
        value = read_mapping(reader, node, path, depth);
    else if (node->type == YAML_SEQUENCE_NODE)
        value = read_sequence(reader, node, path, depth);
    if (!value)
        refuse(reader, node, "a text that is not UTF-8");
    return value;
}

json_t *yaml_read(const char *text, size_t size, struct arena *arena, json_t **lines,
                  struct err *err)
{
    struct err own = ERR_INIT;
    struct reader reader = {.arena = arena, .err = err ? err : &own};
    yaml_parser_t parser;
    json_t *value = NULL;
    *lines = NULL;
    if (size > YAML_BYTES_MAX) {
        err_set(err, ERR_INVALID_ARGUMENT, "more than %zu bytes of YAML", YAML_BYTES_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        err_set(err, ERR_INTERNAL, "no YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    reader.lines = json_object();
    if (!yaml_parser_load(&parser, &reader.document)) {
        err_set(err, ERR_INVALID_ARGUMENT, "line %zu: %s", parser.problem_mark.line + 1,
                parser.problem ? parser.problem : "this is no YAML");
        json_decref(reader.lines);
        yaml_parser_delete(&parser);
        return NULL;
    }
    yaml_node_t *root = yaml_document_get_root_node(&reader.document);
    value = root ? read_node(&reader, 1, "", 0) : json_null();
    yaml_document_delete(&reader.document);
    yaml_parser_delete(&parser);
    if (!value) {
        json_decref(reader.lines);
        return NULL;
    }
    *lines = reader.lines;
    return value;
}

int yaml_line(const json_t *lines, const char *path)
{
    char part[1024];
    if (!str_copy(part, sizeof part, path))
        return 0;
    for (;;) {
        json_int_t line = json_integer_value(json_object_get(lines, part));
        char *slash = strrchr(part, '/');
        if (line || !slash)
            return (int)line;
        *slash = 0;
    }
}

// ---- writing ------------------------------------------------------------------------------------

static void put_scalar(const json_t *value, struct buf *out)
{
    const char *text = json_string_value(value);
    bool plain = false;
    if (text) {
        json_t *read = yaml_scalar(text);
        plain = json_is_string(read) && !strpbrk(text, ":#{}[],&*!|>'\"%@`\\\n\t\r") &&
                *text != '-' && *text != '?' && *text != ' ' && *text != '<' && *text != '=' &&
                text[strlen(text) - 1] != ' ';
        json_decref(read);
    }
    if (plain) {
        buf_put_str(out, text);
        return;
    }
    struct json_out json;
    json_out_init(&json, out);
    json_out_value(&json, NULL, value);
}

static void put_block(const json_t *value, unsigned indent, struct buf *out);

// What follows "key:" or "-".
static void put_value(const json_t *value, unsigned indent, bool in_list, struct buf *out)
{
    if (json_object_size(value) || json_array_size(value)) {
        if (in_list && json_is_object(value)) {
            buf_put_u8(out, ' ');
        } else {
            buf_put_u8(out, '\n');
            buf_printf(out, "%*s", (int)indent, "");
        }
        put_block(value, indent, out);
        return;
    }
    buf_put_u8(out, ' ');
    if (json_is_object(value) || json_is_array(value))
        buf_put_str(out, json_is_object(value) ? "{}" : "[]");
    else
        put_scalar(value, out);
    buf_put_u8(out, '\n');
}

// The first line is indented already. The depth is that of JSON, which is bounded.
static void put_block(const json_t *value, unsigned indent, struct buf *out)
{
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;
    json_object_foreach((json_t *)value, key, item)
    {
        if (!first)
            buf_printf(out, "%*s", (int)indent, "");
        first = false;
        json_t *name = json_string(key);
        put_scalar(name, out);
        json_decref(name);
        buf_put_u8(out, ':');
        put_value(item, indent + 2, false, out);
    }
    json_array_foreach(value, i, item)
    {
        if (i)
            buf_printf(out, "%*s", (int)indent, "");
        buf_put_u8(out, '-');
        put_value(item, indent + 2, true, out);
    }
}

void yaml_write(const json_t *value, struct buf *out)
{
    if (json_object_size(value) || json_array_size(value)) {
        put_block(value, 0, out);
        return;
    }
    put_scalar(value, out);
    buf_put_u8(out, '\n');
}
