// Running a parsed template. Recursion is bounded by TEMPLATE_DEPTH_MAX of the parser, work by
// TEMPLATE_STEPS_MAX.
#include <string.h>

#include "cmd/skep/template_impl.h"
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

bool run_true(const json_t *value)
{
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

static json_t *field(struct run *run, json_t *value, const char *name, bool *failed)
{
    if (json_is_object(value)) {
        json_t *found = json_object_get(value, name);
        if (!found && is_row(value))
            return no_field(run, value, name, failed);
        if (!found && value == run->data) {
            err_set(run->err, ERR_INVALID_ARGUMENT,
                    "template: :1:2: executing \"\" at <.%s>: map has no entry for key \"%s\"",
                    name, name);
            *failed = true;
        }
        return found;
    }
    if (!value || json_is_null(value))
        err_set(run->err, ERR_INVALID_ARGUMENT,
                "template: there is nothing that could have a "
                "field .%s",
                name);
    else
        err_set(run->err, ERR_INVALID_ARGUMENT, "template: can't evaluate field %s in a %s", name,
                json_is_array(value) ? "list" : "plain value");
    *failed = true;
    return NULL;
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
        while (at > 0 && strcmp(run->vars[at - 1].name, operand->name) != 0)
            at--;
        if (at == 0) {
            err_set(run->err, ERR_INVALID_ARGUMENT, "template: undefined variable \"$%s\"",
                    operand->name);
            *failed = true;
            return NULL;
        }
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
    for (size_t i = 0; i < operand->fields_count && !*failed; i++)
        value = field(run, value, operand->fields[i], failed);
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
    for (size_t i = 1; i < stage->count && !*failed; i++)
        args[count++] = operand_value(run, &stage->operands[i], dot, failed);
    if (*failed)
        return NULL;
    if (piped)
        args[count++] = *piped;
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
        for (size_t at = run->vars_count; at > 0; at--) {
            if (strcmp(run->vars[at - 1].name, name) == 0) {
                run->vars[at - 1].value = value;
                return;
            }
        }
        err_set(run->err, ERR_INVALID_ARGUMENT, "template: undefined variable \"$%s\"", name);
        *failed = true;
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
        }
        if (fine && !buf_ok(run->out)) {
            err_set(run->err, ERR_RESOURCE_EXHAUSTED, "template: more output than %zu bytes",
                    run->out->limit);
            fine = false;
        }
    }
    return fine;
}

int template_run(const struct template *template, json_t *data, struct buf *out, struct err *err)
{
    struct err own = ERR_INIT;
    struct run run = {.out = out, .err = err ? err : &own, .data = data, .jump = NODE_TEXT};
    run.made = json_array();
    run.vars[0].name = "";
    run.vars[0].value = data;
    run.vars_count = 1;
    bool fine = run_nodes(&run, template->nodes, data);
    json_decref(run.made);
    return fine ? 0 : -(int)run.err->code;
}
