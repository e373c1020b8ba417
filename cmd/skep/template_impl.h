// What template.c (parsing), template_run.c (running), template_calls.c (functions) and
// template_printf.c know of each other. Nobody else includes it.
#ifndef CMD_SKEP_TEMPLATE_IMPL_H
#define CMD_SKEP_TEMPLATE_IMPL_H

#include <stdbool.h>

#include "cmd/skep/template.h"

#define TEMPLATE_OPERANDS_MAX   16
#define TEMPLATE_COMMANDS_MAX   16
#define TEMPLATE_FIELDS_MAX     16
#define TEMPLATE_VARS_MAX       128
#define TEMPLATE_NAMED_MAX      32          // {{define}} and {{block}}
#define TEMPLATE_TEXT_BYTES_MAX (64u << 20) // of one that a function makes
#define TEMPLATE_CALLS_MAX      64          // of templates by templates, nested

enum operand_kind {
    OPERAND_DOT,     // . and .A.B
    OPERAND_VAR,     // $x and $x.A
    OPERAND_LITERAL, // "text", 1, true, nil
    OPERAND_CALL,    // a function's name
    OPERAND_PIPE,    // ( ... ) and ( ... ).A
};

// A part of the template's text, for messages.
struct place {
    const char *from;
    size_t length;
    const char *at; // what Go gives as its position
};

struct operand {
    enum operand_kind kind;
    struct place place;
    const char *name; // OPERAND_VAR ("" is $), OPERAND_CALL
    json_t *literal;  // owned by the template
    struct pipe *pipe;
    const char *fields[TEMPLATE_FIELDS_MAX];
    size_t fields_count;
};

struct stage { // one command of a pipeline
    struct operand operands[TEMPLATE_OPERANDS_MAX];
    size_t count;
    struct place place;
};

struct pipe {
    const char *vars[2]; // $k, $v := ...
    size_t vars_count;
    bool assigns; // "=" instead of ":="
    struct stage *stages[TEMPLATE_COMMANDS_MAX];
    size_t count;
};

enum node_kind {
    NODE_TEXT,
    NODE_PUT,
    NODE_IF,
    NODE_RANGE,
    NODE_WITH,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_TEMPLATE, // {{template "name" pipeline}}
};

struct node {
    enum node_kind kind;
    const char *text; // NODE_TEXT, and the name of NODE_TEMPLATE
    size_t length;
    struct place place; // NODE_TEMPLATE
    struct pipe *pipe;  // NULL: NODE_TEMPLATE without data
    struct node *body, *other;
    struct node *next;
};

struct named { // by {{define}} or {{block}}
    const char *name;
    struct node *nodes;
};

struct template
{
    const char *text;
    struct node *nodes;
    struct named named[TEMPLATE_NAMED_MAX];
    size_t named_count;
    json_t *literals; // array that owns the operands' literals
};

// The template of that name, or NULL.
const struct named *template_named(const struct template *template, const char *name);

// A run. Values made on the way are kept until its end.
struct run {
    const struct template *template;
    const char *name;   // of the template that runs; "" is the whole
    struct place place; // what is looked at, for messages
    struct buf *out;
    struct err *err;
    json_t *data;
    json_t *made; // array
    struct {
        const char *name;
        json_t *value;
    } vars[TEMPLATE_VARS_MAX];
    size_t vars_count, vars_from; // what lies below vars_from is another template's
    unsigned steps, calls;
    enum node_kind jump; // NODE_BREAK or NODE_CONTINUE under way, else NODE_TEXT
};

// Takes over a value made on the way and returns it.
json_t *run_keep(struct run *run, json_t *value);

// Sets the error, with where it came from as Go says it. Returns NULL, and *failed is set.
json_t *run_refuse(struct run *run, bool *failed, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The function's result, borrowed; *failed is set on an error. NULL stands for "no value".
json_t *run_call(struct run *run, const char *name, json_t **args, size_t count, bool *failed);
bool run_knows(const char *name);

// The JSON of a value that prints other than its JSON, and of any other one itself.
const json_t *run_plain(const json_t *value);

// As Go prints a value with %v.
void run_print(const json_t *value, struct buf *out);
bool run_true(const json_t *value);

// Go's Sprintf: args[0] is the format. Appends to `out`; false for what cannot be followed.
bool run_printf(json_t **args, size_t count, struct buf *out);

#endif
