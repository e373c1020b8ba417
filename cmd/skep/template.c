#include "cmd/skep/template.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/template_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct parser {
    const char *at; // in the text, or inside of an action
    struct arena *arena;
    struct template *template;
    struct err *err;
    unsigned depth;
    unsigned opened; // blocks around this place
    bool trims;      // the last action ended with "-}}"
    bool failed;     // *err is filled
};

static unsigned line_of(const struct parser *p)
{
    unsigned line = 1;
    for (const char *c = p->template->text; c < p->at; c++)
        line += *c == '\n';
    return line;
}

static void fail(struct parser *p, const char *what)
{
    if (!p->failed)
        err_set(p->err, ERR_INVALID_ARGUMENT, "template: :%u: %s%s%.24s%s", line_of(p), what,
                *p->at ? " at \"" : "", p->at, *p->at ? "\"" : "");
    p->failed = true;
}

static void *make(struct parser *p, size_t size)
{
    void *made = arena_alloc(p->arena, size);
    CHECK(made);
    return made;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static void skip_space(struct parser *p)
{
    while (is_space(*p->at))
        p->at++;
}

static const char *take_word(struct parser *p)
{
    const char *from = p->at;
    while (is_word(*p->at))
        p->at++;
    return arena_strndup(p->arena, from, (size_t)(p->at - from));
}

// True at "}}" and at " -}}".
static bool at_end(const struct parser *p)
{
    return (p->at[0] == '}' && p->at[1] == '}') ||
           (p->at[0] == '-' && p->at[1] == '}' && p->at[2] == '}');
}

// ---- operands -----------------------------------------------------------------------------------

static struct pipe *parse_pipe(struct parser *p);

static json_t *text_literal(struct parser *p)
{
    char quote = *p->at++;
    struct buf text;
    buf_init(&text, TEMPLATE_BYTES_MAX);
    while (*p->at && *p->at != quote) {
        char c = *p->at++;
        if (quote != '`' && c == '\n')
            fail(p, "a line break in a quoted text");
        if (quote != '`' && c == '\\') {
            static const char names[] = "nrtabfv\\\"'", bytes[] = "\n\r\t\a\b\f\v\\\"'";
            const char *name = *p->at ? strchr(names, *p->at) : NULL;
            if (!name) {
                fail(p, "an unknown escape");
                break;
            }
            c = bytes[name - names];
            p->at++;
        }
        buf_put_u8(&text, (uint8_t)c);
    }
    if (*p->at != quote)
        fail(p, "a text without its closing quote");
    else
        p->at++;
    json_t *made = NULL;
    if (quote == '\'') { // a character is its number
        made = json_integer(text.len ? text.data[0] : 0);
        if (text.len != 1)
            fail(p, "a character between single quotes is wanted");
    } else {
        made = json_stringn(text.len ? (char *)text.data : "", text.len);
    }
    if (!made)
        fail(p, "a text that is not UTF-8");
    buf_fini(&text);
    return made;
}

static json_t *number_literal(struct parser *p)
{
    char *end = NULL;
    long long whole = strtoll(p->at, &end, 0);
    if (*end == '.' || *end == 'e' || *end == 'E') {
        double real = strtod(p->at, &end);
        p->at = end;
        return json_real(real);
    }
    if (end == p->at)
        fail(p, "a number is wanted");
    p->at = end;
    return json_integer(whole);
}

static void parse_fields(struct parser *p, struct operand *operand)
{
    while (*p->at == '.' && is_word(p->at[1])) {
        p->at++;
        // Go's position of a chain is that of its second link.
        if (p->at - 1 != operand->place.from && operand->place.at == operand->place.from)
            operand->place.at = p->at - 1;
        const char *name = take_word(p);
        if (operand->fields_count == TEMPLATE_FIELDS_MAX) {
            fail(p, "too many fields in a row");
            return;
        }
        operand->fields[operand->fields_count++] = name;
    }
}

static void parse_word(struct parser *p, struct operand *operand)
{
    const char *word = take_word(p);
    operand->kind = OPERAND_LITERAL;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        operand->literal = json_boolean(*word == 't');
    } else if (strcmp(word, "nil") == 0) {
        operand->literal = json_null();
    } else {
        operand->kind = OPERAND_CALL;
        operand->name = word;
        if (!run_knows(word) && !p->failed) {
            err_set(p->err, ERR_INVALID_ARGUMENT, "template: :%u: function \"%s\" not defined",
                    line_of(p), word);
            p->failed = true;
        }
    }
}

static void parse_operand(struct parser *p, struct operand *operand)
{
    char c = *p->at;
    operand->place.from = operand->place.at = p->at;
    if (c == '.') {
        operand->kind = OPERAND_DOT;
        if (is_word(p->at[1]))
            parse_fields(p, operand);
        else
            p->at++;
    } else if (c == '$') {
        p->at++;
        operand->kind = OPERAND_VAR;
        operand->name = take_word(p);
        parse_fields(p, operand);
    } else if (c == '"' || c == '`' || c == '\'') {
        operand->kind = OPERAND_LITERAL;
        operand->literal = text_literal(p);
    } else if ((c >= '0' && c <= '9') || c == '-' || c == '+') {
        operand->kind = OPERAND_LITERAL;
        operand->literal = number_literal(p);
    } else if (c == '(') {
        p->at++;
        operand->kind = OPERAND_PIPE;
        operand->pipe = parse_pipe(p);
        skip_space(p);
        if (*p->at != ')')
            fail(p, "a closing parenthesis is missing");
        else
            p->at++;
        parse_fields(p, operand);
    } else if (is_word(c)) {
        parse_word(p, operand);
    } else {
        fail(p, "unexpected characters");
    }
    if (operand->literal)
        json_array_append_new(p->template->literals, operand->literal);
    operand->place.length = (size_t)(p->at - operand->place.from);
}

// ---- pipelines ----------------------------------------------------------------------------------

static void parse_stage(struct parser *p, struct pipe *pipe)
{
    struct stage *stage = make(p, sizeof *stage);
    skip_space(p);
    stage->place.from = stage->place.at = p->at;
    while (!p->failed && *p->at && !at_end(p) && *p->at != '|' && *p->at != ')') {
        if (stage->count == TEMPLATE_OPERANDS_MAX) {
            fail(p, "too many arguments");
            return;
        }
        struct operand *operand = &stage->operands[stage->count++];
        parse_operand(p, operand);
        stage->place.length = (size_t)(p->at - stage->place.from);
        if (!p->failed && *p->at && !is_space(*p->at) && !at_end(p) && *p->at != '|' &&
            *p->at != ')')
            fail(p, "unexpected characters");
        skip_space(p);
    }
    if (stage->count == 0)
        fail(p, "missing value for command");
    if (stage->count > 1 && stage->operands[0].kind != OPERAND_CALL &&
        !(stage->operands[0].fields_count > 0 && stage->count == 2))
        fail(p, "can't give argument to non-function");
    if (pipe->count == TEMPLATE_COMMANDS_MAX)
        fail(p, "too many commands in a pipeline");
    else
        pipe->stages[pipe->count++] = stage;
}

// "$x :=", "$x =", "$k, $v :="; leaves p->at alone when there is none.
static void parse_variables(struct parser *p, struct pipe *pipe)
{
    const char *start = p->at;
    while (*p->at == '$' && pipe->vars_count < 2) {
        p->at++;
        pipe->vars[pipe->vars_count++] = take_word(p);
        skip_space(p);
        if (*p->at != ',')
            break;
        p->at++;
        skip_space(p);
    }
    if (pipe->vars_count && p->at[0] == ':' && p->at[1] == '=') {
        p->at += 2;
    } else if (pipe->vars_count && p->at[0] == '=' && p->at[1] != '=') {
        p->at += 1;
        pipe->assigns = true;
    } else {
        pipe->vars_count = 0;
        p->at = start;
    }
}

static struct pipe *parse_pipe(struct parser *p)
{
    struct pipe *pipe = make(p, sizeof *pipe);
    if (++p->depth > TEMPLATE_DEPTH_MAX) {
        fail(p, "too deep");
        return pipe;
    }
    skip_space(p);
    parse_variables(p, pipe);
    parse_stage(p, pipe);
    while (!p->failed && *p->at == '|') {
        p->at++;
        parse_stage(p, pipe);
        const struct operand *first = &pipe->stages[pipe->count - 1]->operands[0];
        if (!p->failed && first->kind == OPERAND_LITERAL)
            fail(p, "non executable command in pipeline");
    }
    p->depth--;
    return pipe;
}

static void end_action(struct parser *p)
{
    skip_space(p);
    p->trims = *p->at == '-';
    if (p->trims)
        p->at++;
    if (p->at[0] == '}' && p->at[1] == '}')
        p->at += 2;
    else
        fail(p, *p->at ? "unexpected characters" : "unclosed action");
}

// ---- blocks -------------------------------------------------------------------------------------

enum stop { STOP_TEXT_ENDS, STOP_END, STOP_ELSE, STOP_ELSE_IF, STOP_ELSE_WITH };

static enum stop parse_nodes(struct parser *p, struct node **first, unsigned loops);

static struct node *append(struct parser *p, struct node ***last, enum node_kind kind)
{
    struct node *node = make(p, sizeof *node);
    node->kind = kind;
    **last = node;
    *last = &node->next;
    return node;
}

// {{if}}, {{range}} and {{with}} up to their {{end}}.
static void parse_block(struct parser *p, struct node *node, unsigned loops)
{
    if (++p->depth > TEMPLATE_DEPTH_MAX) {
        fail(p, "too deep");
        return;
    }
    node->pipe = parse_pipe(p);
    end_action(p);
    unsigned inside = loops + (node->kind == NODE_RANGE);
    p->opened++;
    enum stop stop = p->failed ? STOP_TEXT_ENDS : parse_nodes(p, &node->body, inside);
    if (stop == STOP_ELSE) {
        end_action(p);
        stop = p->failed ? STOP_TEXT_ENDS : parse_nodes(p, &node->other, loops);
        if (stop != STOP_END)
            fail(p, "unexpected {{else}} or missing {{end}}");
    } else if (stop == STOP_ELSE_IF || stop == STOP_ELSE_WITH) {
        // {{else if}} and {{else with}} share the {{end}} of their parent.
        struct node *chained = make(p, sizeof *chained);
        chained->kind = stop == STOP_ELSE_IF ? NODE_IF : NODE_WITH;
        if (node->kind == NODE_RANGE || (node->kind == NODE_IF && stop == STOP_ELSE_WITH))
            fail(p, "unexpected words after {{else}}");
        node->other = chained;
        parse_block(p, chained, loops);
        p->opened--;
        p->depth--;
        return;
    } else if (stop == STOP_TEXT_ENDS) {
        fail(p, "unexpected end: {{end}} is missing");
    }
    if (!p->failed)
        end_action(p);
    p->opened--;
    p->depth--;
}

static bool takes(struct parser *p, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(p->at, word, length) != 0 || is_word(p->at[length]))
        return false;
    p->at += length;
    return true;
}

static bool parse_jump(struct parser *p, struct node ***last, unsigned loops)
{
    enum node_kind kind = takes(p, "break")      ? NODE_BREAK
                          : takes(p, "continue") ? NODE_CONTINUE
                                                 : NODE_TEXT;
    if (kind == NODE_TEXT)
        return false;
    if (loops == 0)
        fail(p, "break or continue outside of {{range}}");
    append(p, last, kind);
    end_action(p);
    return true;
}

// ---- templates with names -----------------------------------------------------------------------

const struct named *template_named(const struct template *template, const char *name)
{
    for (size_t i = 0; i < template->named_count; i++)
        if (strcmp(template->named[i].name, name) == 0)
            return &template->named[i];
    return NULL;
}

// What stands between {{define "name"}} and its {{end}}.
static void parse_definition(struct parser *p, const char *name)
{
    struct template *template = p->template;
    if (template_named(template, name))
        fail(p, "two definitions of one template");
    else if (template->named_count == TEMPLATE_NAMED_MAX)
        fail(p, "too many templates");
    end_action(p);
    if (p->failed)
        return;
    size_t at = template->named_count++;
    template->named[at].name = name;
    p->opened++;
    if (parse_nodes(p, &template->named[at].nodes, 0) != STOP_END)
        fail(p, "unexpected {{else}} or missing {{end}}");
    p->opened--;
    if (!p->failed)
        end_action(p);
}

static const char *parse_name(struct parser *p)
{
    skip_space(p);
    if (*p->at != '"' && *p->at != '`') {
        fail(p, "a template's name in quotes is wanted");
        return NULL;
    }
    json_t *literal = text_literal(p);
    json_array_append_new(p->template->literals, literal);
    skip_space(p);
    return p->failed ? NULL : json_string_value(literal);
}

// {{define "name"}}, {{template "name" data}}, {{block "name" data}}: false when it is none of
// them.
static bool parse_named(struct parser *p, struct node ***last)
{
    const char *word = p->at;
    bool defines = takes(p, "define"), blocks = !defines && takes(p, "block");
    if (!defines && !blocks && !takes(p, "template"))
        return false;
    const char *name = parse_name(p);
    if (!name)
        return true;
    if (defines) {
        if (p->opened)
            fail(p, "{{define}} inside of a block");
        else
            parse_definition(p, name);
        return true;
    }
    struct node *node = append(p, last, NODE_TEMPLATE);
    node->text = name;
    node->place = (struct place){word, (size_t)(p->at - word), word + strcspn(word, "\"`")};
    if (blocks || !at_end(p))
        node->pipe = parse_pipe(p);
    if (blocks && !p->failed && p->opened >= TEMPLATE_DEPTH_MAX)
        fail(p, "too deep");
    if (p->failed)
        return true;
    if (blocks)
        parse_definition(p, name);
    else
        end_action(p);
    return true;
}

// The text up to the next action, with the white space gone that "-" markers eat.
static void parse_text(struct parser *p, struct node ***last)
{
    const char *from = p->at, *open = strstr(p->at, "{{");
    const char *end = open ? open : p->at + strlen(p->at);
    p->at = end;
    if (p->trims)
        while (from < end && is_space(*from))
            from++;
    p->trims = false;
    if (open && open[2] == '-' && is_space(open[3]))
        while (end > from && is_space(end[-1]))
            end--;
    if (end > from) {
        struct node *node = append(p, last, NODE_TEXT);
        node->text = from;
        node->length = (size_t)(end - from);
    }
}

static bool parse_comment(struct parser *p)
{
    if (p->at[0] != '/' || p->at[1] != '*')
        return false;
    const char *close = strstr(p->at, "*/");
    if (!close)
        fail(p, "unclosed comment");
    else
        p->at = close + 2;
    if (!p->failed)
        end_action(p);
    return true;
}

static enum stop parse_nodes(struct parser *p, struct node **first, unsigned loops)
{
    struct node **last = first;
    while (!p->failed) {
        parse_text(p, &last);
        if (!*p->at)
            return STOP_TEXT_ENDS;
        p->at += p->at[2] == '-' && is_space(p->at[3]) ? 3 : 2;
        skip_space(p);
        if (parse_comment(p) || parse_jump(p, &last, loops) || parse_named(p, &last))
            continue;
        if (takes(p, "end"))
            return STOP_END;
        if (takes(p, "else")) {
            skip_space(p);
            return takes(p, "if") ? STOP_ELSE_IF : takes(p, "with") ? STOP_ELSE_WITH : STOP_ELSE;
        }
        enum node_kind kind = takes(p, "if")      ? NODE_IF
                              : takes(p, "range") ? NODE_RANGE
                              : takes(p, "with")  ? NODE_WITH
                                                  : NODE_PUT;
        struct node *node = append(p, &last, kind);
        if (kind != NODE_PUT) {
            parse_block(p, node, loops);
            continue;
        }
        node->pipe = parse_pipe(p);
        end_action(p);
    }
    return STOP_TEXT_ENDS;
}

struct template *template_parse(const char *text, struct arena *arena, struct err *err)
{
    struct err own = ERR_INIT;
    if (strlen(text) > TEMPLATE_BYTES_MAX) {
        err_set(err, ERR_INVALID_ARGUMENT, "template: more than %d bytes", TEMPLATE_BYTES_MAX);
        return NULL;
    }
    struct template *template = ARENA_NEW(arena, struct template);
    CHECK(template);
    template->literals = json_array();
    template->text = arena_strdup(arena, text);
    CHECK(template->text);
    struct parser p = {
        .at = template->text, .arena = arena, .template = template, .err = err ? err : &own};
    enum stop stop = parse_nodes(&p, &template->nodes, 0);
    if (!p.failed && stop != STOP_TEXT_ENDS)
        fail(&p, stop == STOP_END ? "unexpected {{end}}" : "unexpected {{else}}");
    if (!p.failed)
        return template;
    template_free(template);
    return NULL;
}

void template_free(struct template *template)
{
    if (template)
        json_decref(template->literals);
}
