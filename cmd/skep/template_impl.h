// What template.c (parsing), template_run.c (running) and template_calls.c (functions) know of each
// other. Nobody else includes it.
#ifndef CMD_SKEP_TEMPLATE_IMPL_H
#define CMD_SKEP_TEMPLATE_IMPL_H

#include <stdbool.h>

#include "cmd/skep/template.h"

#define TEMPLATE_OPERANDS_MAX 16
#define TEMPLATE_COMMANDS_MAX 16
#define TEMPLATE_FIELDS_MAX   16
#define TEMPLATE_VARS_MAX     32

enum operand_kind {
    OPERAND_DOT,     // . and .A.B
    OPERAND_VAR,     // $x and $x.A
    OPERAND_LITERAL, // "text", 1, true, nil
    OPERAND_CALL,    // a function's name
    OPERAND_PIPE,    // ( ... ) and ( ... ).A
};

struct operand {
    enum operand_kind kind;
    const char *name; // OPERAND_VAR ("" is $), OPERAND_CALL
    json_t *literal;  // owned by the template
    struct pipe *pipe;
    const char *fields[TEMPLATE_FIELDS_MAX];
    size_t fields_count;
};

struct stage { // one command of a pipeline
    struct operand operands[TEMPLATE_OPERANDS_MAX];
    size_t count;
};

struct pipe {
    const char *vars[2]; // $k, $v := ...
    size_t vars_count;
    bool assigns; // "=" instead of ":="
    struct stage *stages[TEMPLATE_COMMANDS_MAX];
    size_t count;
};

enum node_kind { NODE_TEXT, NODE_PUT, NODE_IF, NODE_RANGE, NODE_WITH, NODE_BREAK, NODE_CONTINUE };

struct node {
    enum node_kind kind;
    const char *text;
    size_t length;
    struct pipe *pipe;
    struct node *body, *other;
    struct node *next;
};

struct template
{
    struct node *nodes;
    json_t *literals; // array that owns the operands' literals
};

// A run. Values made on the way are kept until its end.
struct run {
    struct buf *out;
    struct err *err;
    json_t *data;
    json_t *made; // array
    struct {
        const char *name;
        json_t *value;
    } vars[TEMPLATE_VARS_MAX];
    size_t vars_count;
    unsigned steps;
    enum node_kind jump; // NODE_BREAK or NODE_CONTINUE under way, else NODE_TEXT
};

// Takes over a value made on the way and returns it.
json_t *run_keep(struct run *run, json_t *value);

// The function's result, borrowed; *failed is set on an error. NULL stands for "no value".
json_t *run_call(struct run *run, const char *name, json_t **args, size_t count, bool *failed);
bool run_knows(const char *name);

// As Go prints a value with %v.
void run_print(const json_t *value, struct buf *out);
bool run_true(const json_t *value);

#endif
