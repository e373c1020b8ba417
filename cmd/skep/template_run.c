// Running a parsed template. Recursion is bounded by TEMPLATE_DEPTH_MAX of the parser, work by
// TEMPLATE_STEPS_MAX.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd/skep/template_impl.h"
#include "cmd/skep/template_types.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

json_t *run_keep(struct run *run, json_t *value)
{
    CHECK(value);
    json_array_append_new(run->made, value);
    return value;
}

static bool stepped_too_far(struct run *run)
{
    if (++run->steps <= TEMPLATE_STEPS_MAX)
        return false;
    err_set(run->err, ERR_RESOURCE_EXHAUSTED, "template: it does not come to an end");
    return true;
}

const json_t *run_plain(const json_t *value)
{
    const json_t *json = json_object_get(value, "@json");
    return json ? json : value;
}

bool run_true(const json_t *value)
{
    value = run_plain(value);
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return json_real_value(value) != 0;
    case JSON_TRUE:
        return true;
    default:
        return false;
    }
}

// ---- errors -------------------------------------------------------------------------------------

// Where Go says that something is: the line, and the bytes before it in that line.
static void put_place(const struct run *run, char *out, size_t size)
{
    const struct place *place = &run->place;
    const char *line = run->template->text;
    unsigned number = 1;
    for (const char *c = line; place->at && c < place->at; c++) {
        if (*c == '\n') {
            number++;
            line = c + 1;
        }
    }
    snprintf(out, size, ":%u:%zu: executing \"%s\" at <%.*s>", number,
             place->at ? (size_t)(place->at - line) : 0, run->name, (int)place->length,
             str_or(place->from, ""));
}

json_t *run_refuse(struct run *run, bool *failed, const char *format, ...)
{
    char what[256], where[512];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    put_place(run, where, sizeof where);
    err_set(run->err, ERR_INVALID_ARGUMENT, "template: %s: %s", where, what);
    *failed = true;
    return NULL;
}

// ---- values -------------------------------------------------------------------------------------

static bool is_row(const json_t *value)
{
    return json_object_get(value, "@labels") != NULL;
}

static json_t *no_field(struct run *run, const json_t *row, const char *name, bool *failed)
{
    struct buf names;
    buf_init(&names, 512);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)row, key, value) if (*key != '@') buf_printf(&names, " %s", key);
    err_set(run->err, ERR_INVALID_ARGUMENT, "template: there is no field .%s; there are:%s", name,
            buf_ok(&names) ? str_or(buf_cstr(&names), "") : " others");
    buf_fini(&names);
    *failed = true;
    return NULL;
}

// What Go calls a value of plain JSON.
static const char *plain_type(const json_t *value)
{
    if (json_is_string(value))
        return "string";
    if (json_is_boolean(value))
        return "bool";
    return json_is_array(value) ? "[]interface {}" : "float64";
}

// A field of what docker knows as no more than JSON, or as a map.
static json_t *plain_field(struct run *run, json_t *value, const char *name, char *type,
                           bool *failed)
{
    bool map = str_starts(type, "map[");
    if (json_is_object(value)) {
        json_t *found = json_object_get(value, name);
        if (!found && is_row(value))
            return no_field(run, value, name, failed);
        if (!found && value == run->data && !map)
            return run_refuse(run, failed, "map has no entry for key \"%s\"", name);
        if (!map || !go_element(type, type))
            *type = 0;
        return found;
    }
    if (!value || json_is_null(value)) {
        if (map || !value)
            return NULL;
        return run_refuse(run, failed, "nil pointer evaluating interface {}.%s", name);
    }
    return run_refuse(run, failed, "can't evaluate field %s in type %s", name,
                      *type && !strpbrk(type, "~?") ? type : plain_type(value));
}

// What is in lists and maps learns of its type, too; that of a struct when it is looked at.
static void set_types(json_t *value, const char *type)
{
    char element[GO_TYPE_BYTES];
    const char *key;
    json_t *item;
    size_t i;
    if (go_struct(type)) {
        template_set_type(value, type);
        return;
    }
    if (!go_element(type, element))
        return;
    json_array_foreach(value, i, item) set_types(item, element);
    json_object_foreach(value, key, item) set_types(item, element);
}

// A value of that type: what is in it keeps its type, and what does not print as JSON prints as Go
// does.
static json_t *typed(struct run *run, json_t *value, const char *type)
{
    struct buf text;
    set_types(value, type);
    buf_init(&text, 128);
    if (go_print(type, value, &text)) {
        json_t *shown = run_keep(run, json_object());
        json_object_set(shown, "@json", value);
        json_object_set_new(shown, "@text", json_string(buf_cstr(&text)));
        value = shown;
    }
    buf_fini(&text);
    return value;
}

// The field of a value; `type` is the value's and becomes the field's ("" is plain JSON).
static json_t *field(struct run *run, json_t *value, const char *name, char type[GO_TYPE_BYTES],
                     bool *failed)
{
    char inner[GO_TYPE_BYTES];
    if (!go_struct(type))
        return plain_field(run, value, name, type, failed);
    if (!go_field(type, name, inner)) {
        if (go_struct_partial(type) && json_is_object(value) && !json_object_get(value, name))
            return run_refuse(run, failed, "map has no entry for key \"%s\"", name);
        if (go_struct_partial(type))
            return plain_field(run, value, name, memset(type, 0, 1), failed);
        return run_refuse(run, failed, "can't evaluate field %s in type %s", name, type);
    }
    if (json_is_null(value))
        return run_refuse(run, failed, "nil pointer evaluating %s.%s", type, name);
    json_t *found = json_object_get(value, name);
    if (json_is_null(found) && *inner != '*')
        found = NULL; // a list or a map that is nil prints as an empty one
    str_copy(type, GO_TYPE_BYTES, inner);
    return typed(run, found ? found : run_keep(run, go_zero(type)), type);
}

static json_t *run_pipe(struct run *run, const struct pipe *pipe, json_t *dot, bool *failed);

static json_t *operand_value(struct run *run, const struct operand *operand, json_t *dot,
                             bool *failed)
{
    json_t *value = dot;
    switch (operand->kind) {
    case OPERAND_DOT:
        break;
    case OPERAND_VAR: {
        size_t at = run->vars_count;
        while (at > run->vars_from && strcmp(run->vars[at - 1].name, operand->name) != 0)
            at--;
        if (at <= run->vars_from)
            return run_refuse(run, failed, "undefined variable: $%s", operand->name);
        value = run->vars[at - 1].value;
        break;
    }
    case OPERAND_LITERAL:
        return operand->literal;
    case OPERAND_CALL:
        return run_call(run, operand->name, NULL, 0, failed);
    case OPERAND_PIPE:
        value = run_pipe(run, operand->pipe, dot, failed);
        break;
    }
    char type[GO_TYPE_BYTES];
    if (!str_copy(type, sizeof type,
                  str_or(json_string_value(json_object_get(value, "@type")), "")))
        *type = 0;
    for (size_t i = 0; i < operand->fields_count && !*failed; i++) {
        run->place = operand->place;
        value = field(run, value, operand->fields[i], type, failed);
    }
    return *failed ? NULL : value;
}

// `.Label "name"`: the one method rows have.
static json_t *call_method(struct run *run, const struct operand *method, json_t *dot,
                           const json_t *argument, bool *failed)
{
    json_t *value = dot;
    if (method->kind == OPERAND_VAR && run->vars_count && !*method->name)
        value = run->data;
    if (method->fields_count == 1 && strcmp(method->fields[0], "Label") == 0 && is_row(value)) {
        if (json_object_get(value, "@header")) // the column of a label has its name above it
            return (json_t *)argument;
        json_t *found =
            json_object_get(json_object_get(value, "@labels"), json_string_value(argument));
        return found ? found : run_keep(run, json_string(""));
    }
    err_set(run->err, ERR_INVALID_ARGUMENT, "template: .%s is no function",
            method->fields[method->fields_count - 1]);
    *failed = true;
    return NULL;
}

// `and` and `or` look no further than they have to: `and .A .A.B` is fine without an A.
static json_t *run_until(struct run *run, const struct stage *stage, json_t *dot, json_t **piped,
                         bool *failed)
{
    bool wanted = str_equal(stage->operands[0].name, "or");
    json_t *value = NULL;
    for (size_t i = 1; i < stage->count; i++) {
        value = operand_value(run, &stage->operands[i], dot, failed);
        if (*failed || run_true(value) == wanted)
            return value;
    }
    return piped ? *piped : value;
}

static bool looks_no_further(const struct operand *first)
{
    return first->kind == OPERAND_CALL &&
           (str_equal(first->name, "and") || str_equal(first->name, "or"));
}

static json_t *run_stage(struct run *run, const struct stage *stage, json_t *dot, json_t **piped,
                         bool *failed)
{
    json_t *args[TEMPLATE_OPERANDS_MAX + 1];
    size_t count = 0;
    const struct operand *first = &stage->operands[0];
    if (stepped_too_far(run)) {
        *failed = true;
        return NULL;
    }
    if (looks_no_further(first) && (stage->count > 1 || piped))
        return run_until(run, stage, dot, piped, failed);
    for (size_t i = 1; i < stage->count && !*failed; i++)
        args[count++] = operand_value(run, &stage->operands[i], dot, failed);
    if (*failed)
        return NULL;
    if (piped)
        args[count++] = *piped;
    run->place = stage->place;
    if (first->kind == OPERAND_CALL)
        return run_call(run, first->name, args, count, failed);
    if (count == 0)
        return operand_value(run, first, dot, failed);
    if (first->fields_count > 0 && first->kind != OPERAND_PIPE)
        return call_method(run, first, dot, args[0], failed);
    err_set(run->err, ERR_INVALID_ARGUMENT, "template: can't give argument to non-function");
    *failed = true;
    return NULL;
}

static void set_variable(struct run *run, const char *name, bool assigns, json_t *value,
                         bool *failed)
{
    if (assigns) {
        for (size_t at = run->vars_count; at > run->vars_from; at--) {
            if (strcmp(run->vars[at - 1].name, name) == 0) {
                run->vars[at - 1].value = value;
                return;
            }
        }
        run_refuse(run, failed, "undefined variable: $%s", name);
    } else if (run->vars_count == TEMPLATE_VARS_MAX) {
        err_set(run->err, ERR_INVALID_ARGUMENT, "template: more than %d variables",
                TEMPLATE_VARS_MAX);
        *failed = true;
    } else {
        run->vars[run->vars_count].name = name;
        run->vars[run->vars_count++].value = value;
    }
}

// The pipeline's value, without setting its variables.
static json_t *pipe_value(struct run *run, const struct pipe *pipe, json_t *dot, bool *failed)
{
    json_t *value = NULL;
    for (size_t i = 0; i < pipe->count && !*failed; i++)
        value = run_stage(run, pipe->stages[i], dot, i ? &value : NULL, failed);
    return *failed ? NULL : value;
}

static json_t *run_pipe(struct run *run, const struct pipe *pipe, json_t *dot, bool *failed)
{
    json_t *value = pipe_value(run, pipe, dot, failed);
    if (!*failed && pipe->vars_count)
        set_variable(run, pipe->vars[pipe->vars_count - 1], pipe->assigns, value, failed);
    return value;
}

// ---- nodes --------------------------------------------------------------------------------------

static bool run_nodes(struct run *run, const struct node *node, json_t *dot);

static bool run_item(struct run *run, const struct node *node, json_t *key, json_t *item)
{
    size_t vars = run->vars_count;
    bool failed = false;
    const struct pipe *pipe = node->pipe;
    if (pipe->vars_count == 2)
        set_variable(run, pipe->vars[0], pipe->assigns, key, &failed);
    if (pipe->vars_count > 0 && !failed)
        set_variable(run, pipe->vars[pipe->vars_count - 1], pipe->assigns, item, &failed);
    bool fine = !failed && !stepped_too_far(run) && run_nodes(run, node->body, item);
    run->vars_count = vars;
    return fine;
}

// Objects are walked by sorted key, as Go walks maps.
static json_t *sorted_keys(struct run *run, json_t *object)
{
    json_t *keys = run_keep(run, json_array());
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (*key == '@')
            continue;
        size_t at = json_array_size(keys);
        while (at > 0 && strcmp(json_string_value(json_array_get(keys, at - 1)), key) > 0)
            at--;
        json_array_insert_new(keys, at, json_string(key));
    }
    return keys;
}

static bool run_range(struct run *run, const struct node *node, json_t *dot)
{
    bool failed = false;
    json_t *value = pipe_value(run, node->pipe, dot, &failed);
    if (failed)
        return false;
    if (value && !json_is_object(value) && !json_is_array(value) && !json_is_integer(value) &&
        !json_is_null(value)) {
        err_set(run->err, ERR_INVALID_ARGUMENT, "template: range can't iterate over this value");
        return false;
    }
    if (!run_true(value))
        return run_nodes(run, node->other, dot);
    json_t *keys = json_is_object(value) ? sorted_keys(run, value) : NULL;
    size_t count = keys                            ? json_array_size(keys)
                   : json_is_array(value)          ? json_array_size(value)
                   : json_integer_value(value) > 0 ? (size_t)json_integer_value(value)
                                                   : 0;
    for (size_t i = 0; i < count; i++) {
        json_t *key = keys ? json_array_get(keys, i) : run_keep(run, json_integer((json_int_t)i));
        json_t *item = keys                   ? json_object_get(value, json_string_value(key))
                       : json_is_array(value) ? json_array_get(value, i)
                                              : key;
        if (!run_item(run, node, key, item))
            return false;
        enum node_kind jump = run->jump;
        run->jump = NODE_TEXT;
        if (jump == NODE_BREAK)
            break;
    }
    return true;
}

static bool run_branch(struct run *run, const struct node *node, json_t *dot)
{
    bool failed = false;
    size_t vars = run->vars_count;
    json_t *value = run_pipe(run, node->pipe, dot, &failed);
    if (failed)
        return false;
    bool fine = run_true(value) ? run_nodes(run, node->body, node->kind == NODE_WITH ? value : dot)
                                : run_nodes(run, node->other, dot);
    run->vars_count = vars;
    return fine;
}

static bool run_put(struct run *run, const struct node *node, json_t *dot)
{
    bool failed = false;
    json_t *value = run_pipe(run, node->pipe, dot, &failed);
    if (failed)
        return false;
    if (node->pipe->vars_count)
        return true; // a declaration prints nothing
    if (value)
        run_print(value, run->out);
    else
        buf_put_str(run->out, "<no value>");
    return true;
}

// Another template, with what it is given as its data and its `$`.
static bool run_template(struct run *run, const struct node *node, json_t *dot)
{
    bool failed = false;
    json_t *value = node->pipe ? run_pipe(run, node->pipe, dot, &failed) : NULL;
    const struct named *named = template_named(run->template, node->text);
    run->place = node->place;
    if (!failed && !named)
        run_refuse(run, &failed, "template \"%.100s\" not defined", node->text);
    else if (!failed && run->calls == TEMPLATE_CALLS_MAX)
        run_refuse(run, &failed, "exceeded maximum template depth (%d)", TEMPLATE_CALLS_MAX);
    size_t count = run->vars_count, from = run->vars_from;
    const char *name = run->name;
    run->vars_from = count;
    if (!failed)
        set_variable(run, "", false, value, &failed);
    if (failed)
        return false;
    run->name = named->name;
    run->calls++;
    bool fine = run_nodes(run, named->nodes, value);
    run->calls--;
    run->name = name;
    run->vars_from = from;
    run->vars_count = count;
    return fine;
}

static bool run_nodes(struct run *run, const struct node *node, json_t *dot)
{
    bool fine = true;
    for (; fine && node && run->jump == NODE_TEXT; node = node->next) {
        switch (node->kind) {
        case NODE_TEXT:
            buf_put(run->out, node->text, node->length);
            break;
        case NODE_PUT:
            fine = run_put(run, node, dot);
            break;
        case NODE_IF:
        case NODE_WITH:
            fine = run_branch(run, node, dot);
            break;
        case NODE_RANGE:
            fine = run_range(run, node, dot);
            break;
        case NODE_BREAK:
        case NODE_CONTINUE:
            run->jump = node->kind;
            break;
        case NODE_TEMPLATE:
            fine = run_template(run, node, dot);
            break;
        }
        if (fine && !buf_ok(run->out)) {
            err_set(run->err, ERR_RESOURCE_EXHAUSTED, "template: more output than %zu bytes",
                    run->out->limit);
            fine = false;
        }
    }
    return fine;
}

void template_set_type(json_t *value, const char *type)
{
    if (type && json_is_object(value))
        json_object_set_new(value, "@type", json_string(type));
}

int template_run(const struct template *template, json_t *data, struct buf *out, struct err *err)
{
    struct err own = ERR_INIT;
    struct run run = {.template = template,
                      .name = "",
                      .out = out,
                      .err = err ? err : &own,
                      .data = data,
                      .jump = NODE_TEXT};
    run.made = json_array();
    run.vars[0].name = "";
    run.vars[0].value = data;
    run.vars_count = 1;
    bool fine = run_nodes(&run, template->nodes, data);
    json_decref(run.made);
    return fine ? 0 : -(int)run.err->code;
}
