#include "cmd/skep/format.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/table.h"
#include "cmd/skep/template.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define OUTPUT_BYTES_MAX ((size_t)512 << 20)

static bool has_flag(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->args.flags_count; i++)
        if (strcmp(cli->args.flags[i].name, name) == 0)
            return true;
    return false;
}

static bool flag_on(const struct cli *cli, const char *name)
{
    return has_flag(cli, name) && args_on(&cli->args, name);
}

static const char *format_of(const struct cli *cli)
{
    return has_flag(cli, "format") ? args_text(&cli->args, "format") : NULL;
}

const char *format_unescape(const char *format, struct arena *arena)
{
    char *copy = arena_strdup(arena, format), *to = copy;
    CHECK(copy);
    for (const char *from = copy; *from; from++) {
        bool escapes = from[0] == '\\' && (from[1] == 't' || from[1] == 'n');
        *to++ = escapes ? (from[1] == 't' ? '\t' : '\n') : *from;
        from += escapes;
    }
    *to = 0;
    return copy;
}

// ---- rows ---------------------------------------------------------------------------------------

json_t *row_new(struct cli *cli, json_t *labels)
{
    json_t *row = keep(cli, json_object());
    json_object_set(row, "@labels", json_is_object(labels) ? labels : keep(cli, json_object()));
    return row;
}

void row_set(json_t *row, const char *key, const char *value)
{
    json_object_set_new(row, key, json_string(value ? value : ""));
}

void rows_put(json_t *rows, json_t *row)
{
    rows_put_by(rows, row, "Name");
}

void rows_put_by(json_t *rows, json_t *row, const char *key)
{
    const char *name = str_or(json_string_value(json_object_get(row, key)), "");
    size_t from = 0, to = json_array_size(rows);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        json_t *there = json_object_get(json_array_get(rows, middle), key);
        if (strverscmp(str_or(json_string_value(there), ""), name) > 0)
            to = middle;
        else
            from = middle + 1;
    }
    json_array_insert(rows, from, row);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *labels_text(struct cli *cli, const json_t *labels)
{
    size_t count = 0;
    const char **pairs = mem_alloc_array(json_object_size(labels) + 1, sizeof *pairs), *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value) pairs[count++] =
        textf(cli, "%s=%s", key, str_or(json_string_value(value), ""));
    qsort(pairs, count, sizeof *pairs, by_text);
    struct buf text;
    buf_init(&text, OUTPUT_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%s%s", i ? "," : "", pairs[i]);
    const char *copy = textf(cli, "%s", buf_cstr(&text));
    buf_fini(&text);
    free(pairs);
    return copy;
}

// A terminal shows no control characters of a server's.
static void make_printable(struct cli *cli, json_t *row)
{
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value)
    {
        const char *text = json_string_value(value);
        const char *clean = text && *key != '@' ? text_printable(text, &cli->arena) : text;
        if (clean != text)
            json_string_set(value, clean);
    }
}

static json_t *header_row(struct cli *cli, const struct listing *listing)
{
    json_t *header = row_new(cli, NULL);
    json_object_set_new(header, "@header", json_true());
    for (const struct column *column = listing->columns; column->key; column++)
        row_set(header, column->key, column->header);
    return header;
}

static int run_rows(struct cli *cli, const struct listing *listing, const char *format, bool table,
                    json_t *rows, struct buf *out)
{
    struct template *template = template_parse(format, &cli->arena, &cli->error);
    if (!template)
        return -(int)cli->error.code;
    int result = 0;
    if (table) {
        result = template_run(template, header_row(cli, listing), out, &cli->error);
        buf_put_u8(out, '\n');
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (result < 0)
            break;
        if (cli->terminal.out)
            make_printable(cli, row);
        result = template_run(template, row, out, &cli->error);
        buf_put_u8(out, '\n');
    }
    template_free(template);
    return result;
}

int show_list(struct cli *cli, const struct listing *listing, json_t *rows)
{
    const char *format = format_of(cli), *own = NULL;
    if (listing->config_key)
        own = json_string_value(json_object_get(cli->config, listing->config_key));
    if (flag_on(cli, "quiet") && listing->quiet && (!format || str_equal(format, "table")))
        format = listing->quiet;
    if (str_empty(format))
        format = str_or(own, listing->table);
    if (str_equal(format, "table"))
        format = listing->table;
    if (str_equal(format, "json"))
        format = "{{json .}}";
    bool table = str_starts(format, "table ");
    format = format_unescape(table ? format + 6 : format, &cli->arena);
    struct buf lines, out;
    buf_init(&lines, OUTPUT_BYTES_MAX);
    buf_init(&out, OUTPUT_BYTES_MAX);
    int status = 0;
    if (run_rows(cli, listing, format, table, rows, &lines) < 0) {
        status = failed(cli);
    } else if (table) {
        size_t width = cli->terminal.out && !flag_on(cli, "no-trunc") ? cli->terminal.columns : 0;
        table_align(str_or(buf_cstr(&lines), ""), width, &cli->arena, &out);
        say_bytes(cli, out.data, out.len);
    } else {
        say_bytes(cli, lines.data, lines.len);
    }
    buf_fini(&lines);
    buf_fini(&out);
    return status;
}

void format_table(struct cli *cli, struct buf *lines)
{
    struct buf out;
    buf_init(&out, OUTPUT_BYTES_MAX);
    table_align(str_or(buf_cstr(lines), ""), cli->terminal.columns, &cli->arena, &out);
    say_bytes(cli, out.data, out.len);
    buf_fini(&out);
}

// ---- inspect ------------------------------------------------------------------------------------

static void put_line(struct buf *out, const char *indent, size_t depth)
{
    buf_put_u8(out, '\n');
    for (size_t i = 0; i < depth; i++)
        buf_put_str(out, indent);
}

void format_indent(const char *json, size_t size, const char *indent, struct buf *out)
{
    size_t depth = 0;
    bool in_text = false, opened = false;
    for (size_t i = 0; i < size; i++) {
        char c = json[i];
        if (in_text) {
            buf_put_u8(out, (uint8_t)c);
            if (c == '\\' && i + 1 < size)
                buf_put_u8(out, (uint8_t)json[++i]);
            else if (c == '"')
                in_text = false;
            continue;
        }
        if (strchr(" \t\r\n", c))
            continue;
        bool closes = c == '}' || c == ']';
        if (opened && !closes)
            put_line(out, indent, depth);
        if (closes && depth > 0) {
            depth--;
            if (!opened)
                put_line(out, indent, depth);
        }
        opened = c == '{' || c == '[';
        depth += opened;
        in_text = c == '"';
        buf_put_u8(out, (uint8_t)c);
        if (c == ',')
            put_line(out, indent, depth);
        else if (c == ':')
            buf_put_u8(out, ' ');
    }
}

static int put_formatted(struct cli *cli, const char *format, json_t *values, struct buf *out)
{
    struct template *template =
        template_parse(format_unescape(format, &cli->arena), &cli->arena, &cli->error);
    if (!template) {
        err_wrap(&cli->error, "template parsing error");
        return -(int)cli->error.code;
    }
    int result = 0;
    size_t i;
    json_t *value;
    struct buf one;
    buf_init(&one, OUTPUT_BYTES_MAX);
    json_array_foreach(values, i, value)
    {
        one.len = 0;
        if (template_run(template, value, &one, &cli->error) < 0) {
            result = -(int)cli->error.code;
            continue; // the others are shown
        }
        buf_put(out, one.data, one.len);
        buf_put_u8(out, '\n');
    }
    buf_fini(&one);
    if (out->len == 0 && result) // as docker's, which has a line even then
        buf_put_u8(out, '\n');
    if (result)
        err_wrap(&cli->error, "template parsing error");
    template_free(template);
    return result;
}

// Indented, or (indent NULL) as it came.
static void put_array(json_t *texts, const char *indent, struct buf *out)
{
    struct buf joined;
    buf_init(&joined, OUTPUT_BYTES_MAX);
    buf_put_u8(&joined, '[');
    size_t i;
    json_t *text;
    json_array_foreach(texts, i, text)
    {
        if (i)
            buf_put_u8(&joined, ',');
        struct str_part part = {json_string_value(text), json_string_length(text)};
        part = str_trim(part);
        buf_put(&joined, part.at, part.len);
    }
    buf_put_u8(&joined, ']');
    if (indent)
        format_indent((char *)joined.data, joined.len, indent, out);
    else
        buf_put(out, joined.data, joined.len);
    buf_put_u8(out, '\n');
    buf_fini(&joined);
}

int show_objects(struct cli *cli, json_t *values, json_t *texts)
{
    const char *format = format_of(cli);
    bool json = str_equal(format, "json");
    struct buf out;
    buf_init(&out, OUTPUT_BYTES_MAX);
    int result = 0;
    // Of what was inspected "json" is all of it in one line, of anything else what it is by itself.
    if (texts && (json || str_empty(format)))
        put_array(texts, json ? NULL : "    ", &out);
    else
        result = put_formatted(cli, json ? "{{json .}}" : format, values, &out);
    say_bytes(cli, out.data, out.len);
    buf_fini(&out);
    return result < 0 ? failed(cli) : 0;
}

int show_by_format(struct cli *cli, json_t *value)
{
    if (str_empty(format_of(cli)))
        return -1;
    json_t *values = keep(cli, json_array());
    json_array_append(values, value);
    return show_objects(cli, values, NULL);
}

bool wants_pretty(struct cli *cli)
{
    return args_on(&cli->args, "pretty") || str_equal(format_of(cli), "pretty");
}

int show_inspected(struct cli *cli, const char *prefix, const char *suffix, const char *type)
{
    json_t *values = keep(cli, json_array()), *texts = keep(cli, json_array());
    struct buf errors;
    buf_init(&errors, 1 << 20);
    for (int i = 0; i < cli->args.argc; i++) {
        json_t *value = api_get(cli, "%s%s%s", prefix, escape(cli, cli->args.argv[i]), suffix);
        if (!value) {
            buf_printf(&errors, "%s\n", cli->error.message);
            continue;
        }
        size_t size;
        const char *text = api_text(cli, &size);
        template_set_type(value, type);
        json_array_append(values, value);
        json_array_append_new(texts, json_stringn(text, size));
    }
    int status =
        format_of(cli) && json_array_size(values) == 0 ? 1 : show_objects(cli, values, texts);
    if (errors.len) {
        // Where docker separates the empty first line of a template's output, so do we.
        if (format_of(cli) && json_array_size(values) == 0)
            say(cli, "\n");
        warn_bytes(cli, errors.data, errors.len);
        status = 1;
    }
    buf_fini(&errors);
    return status;
}
