#include "agent/image/instruction.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

#define WORD_BYTES_MAX (64u << 10)
#define PORTS_MAX      65535
#define DEPTH_MAX      16 // of variables within variables

struct line {
    json_t *config;
    const char *rest;  // after the instruction's name
    const char *quote; // the whole line, for errors
    bool *cmd_set;
};

static int broken(const struct line *line, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "the change \"%.100s\" is not valid: %s", line->quote,
                   why);
}

// ---- members of the configuration --------------------------------------------------------------

static json_t *member(json_t *config, const char *name, json_t *(*make)(void))
{
    json_t *value = json_object_get(config, name);
    bool list = make == json_array;
    if (list ? json_is_array(value) : json_is_object(value))
        return value;
    json_object_set_new(config, name, make());
    return json_object_get(config, name);
}

// A variable of the image's environment; NULL when it has none.
static const char *env_of(const json_t *config, const char *name, size_t length)
{
    const json_t *env = json_object_get(config, "Env");
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *entry = str_or(json_string_value(json_array_get(env, i)), "");
        if (strncmp(entry, name, length) == 0 && entry[length] == '=')
            return entry + length + 1;
    }
    return NULL;
}

static void env_set(json_t *config, const char *key, const char *value)
{
    json_t *env = member(config, "Env", json_array);
    char *text = str_printf("%s=%s", key, value);
    size_t i = 0, length = strlen(key);
    for (; i < json_array_size(env); i++) {
        const char *entry = str_or(json_string_value(json_array_get(env, i)), "");
        if (strncmp(entry, key, length) == 0 && entry[length] == '=')
            break;
    }
    if (i < json_array_size(env))
        json_array_set_new(env, i, json_string(text));
    else
        json_array_append_new(env, json_string(text));
    free(text);
}

static void label_set(json_t *config, const char *key, const char *value)
{
    json_object_set_new(member(config, "Labels", json_object), key, json_string(value));
}

// ---- words -------------------------------------------------------------------------------------

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

// Appends what a variable stands for; *at is behind the '$' and moves behind the variable.
static int put_variable(const struct line *line, const char **at, struct buf *out, unsigned depth,
                        struct err *err);

// Appends text with its variables replaced, up to `end`.
static int put_expanded(const struct line *line, const char *at, const char *end, struct buf *out,
                        unsigned depth, struct err *err)
{
    int rc = 0;
    while (at < end && !rc)
        if (*at == '\\' && at + 1 < end && at[1] == '$') {
            buf_put(out, at + 1, 1);
            at += 2;
        } else if (*at == '$') {
            at++;
            rc = put_variable(line, &at, out, depth + 1, err);
        } else {
            buf_put(out, at++, 1);
        }
    return rc;
}

static int put_variable(const struct line *line, const char **at, struct buf *out, unsigned depth,
                        struct err *err)
{
    const char *name = *at;
    size_t length = 0;
    bool braces = *name == '{';
    name += braces;
    while (is_name(name[length]))
        length++;
    if (!braces) {
        if (!length)
            buf_put_str(out, "$");
        *at = name + length;
    }
    const char *value = length ? env_of(line->config, name, length) : NULL;
    if (!braces) {
        buf_put_str(out, str_or(value, ""));
        return 0;
    }
    const char *end = strchr(name, '}'), *after = name + length;
    if (!length || !end || depth > DEPTH_MAX)
        return broken(line, "a variable has no end", err);
    *at = end + 1;
    if (*after == '}') {
        buf_put_str(out, str_or(value, ""));
        return 0;
    }
    if (*after != ':' || (after[1] != '-' && after[1] != '+'))
        return broken(line, "variables are ${X}, ${X:-y} and ${X:+y}", err);
    bool fallback = after[1] == '-';
    if (fallback == str_empty(value))
        return put_expanded(line, after + 2, end, out, depth, err);
    if (fallback)
        buf_put_str(out, value);
    return 0;
}

// The next word of a line, its quotes taken away and its variables replaced. False at the end, or
// with an error.
static bool next_word(const struct line *line, const char **rest, struct buf *word, struct err *err)
{
    const char *at = *rest + strspn(*rest, " \t");
    char quote = 0;
    if (!*at)
        return false;
    buf_init(word, WORD_BYTES_MAX);
    while (*at && (quote || !isblank((unsigned char)*at))) {
        if (quote == '\'' ? *at == '\'' : quote ? *at == '"' : *at == '"' || *at == '\'') {
            quote = quote ? 0 : *at;
            at++;
        } else if (*at == '\\' && quote != '\'' && at[1]) {
            buf_put(word, at + 1, 1);
            at += 2;
        } else if (*at == '$' && quote != '\'') {
            at++;
            if (put_variable(line, &at, word, 0, err))
                break;
        } else {
            buf_put(word, at++, 1);
        }
    }
    *rest = at;
    if (quote && !err->code)
        broken(line, "a quote has no end", err);
    if (!err->code && !buf_ok(word))
        broken(line, "a word is too long", err);
    if (err->code)
        buf_fini(word);
    return !err->code;
}

static int each_word(const struct line *line,
                     int (*take)(const struct line *, const char *, struct err *), struct err *err)
{
    const char *rest = line->rest;
    struct buf word;
    size_t count = 0;
    if (!*rest)
        return broken(line, "it has no argument", err);
    while (next_word(line, &rest, &word, err)) {
        if (count++ >= INSTRUCTION_WORDS_MAX)
            broken(line, "it has too many words", err);
        else
            take(line, str_or(buf_cstr(&word), ""), err);
        buf_fini(&word);
        if (err->code)
            break;
    }
    return err->code ? -(int)err->code : 0;
}

// A JSON array of texts, or NULL when it is none.
static json_t *json_words(const char *text)
{
    json_t *list = text[0] == '[' ? json_parse(text, strlen(text), NULL) : NULL;
    bool all = json_is_array(list);
    for (size_t i = 0; all && i < json_array_size(list); i++)
        all = json_is_string(json_array_get(list, i));
    if (all)
        return list;
    json_decref(list);
    return NULL;
}

// ---- instructions ------------------------------------------------------------------------------

static json_t *command_of(const char *text)
{
    json_t *words = json_words(text);
    return words ? words : json_pack("[s,s,s]", "/bin/sh", "-c", text);
}

static int do_cmd(const struct line *line, struct err *err)
{
    json_t *words = command_of(line->rest);
    if (!words)
        return broken(line, "it is no UTF-8", err);
    json_object_set_new(line->config, "Cmd", words);
    *line->cmd_set = true;
    return 0;
}

static int do_entrypoint(const struct line *line, struct err *err)
{
    json_t *words = command_of(line->rest);
    if (!words)
        return broken(line, "it is no UTF-8", err);
    json_object_set_new(line->config, "Entrypoint", words);
    if (!*line->cmd_set)
        json_object_del(line->config, "Cmd");
    return 0;
}

// "K=V K2=V2", or the older "K all the rest".
static int pairs(const struct line *line, void (*set)(json_t *, const char *, const char *),
                 struct err *err)
{
    const char *rest = line->rest;
    struct buf word, value;
    size_t bare = strcspn(rest, "= \t");
    if (!*rest || rest[0] == '=')
        return broken(line, "it has no name", err);
    if (rest[bare] != '=') {
        const char *from = rest + bare + strspn(rest + bare, " \t");
        if (!*from)
            return broken(line, "it has no value", err);
        char *key = str_ndup(rest, bare);
        buf_init(&value, WORD_BYTES_MAX);
        int rc = put_expanded(line, from, from + strlen(from), &value, 0, err);
        if (!rc && !buf_ok(&value))
            rc = broken(line, "a value is too long", err);
        if (!rc)
            set(line->config, key, str_or(buf_cstr(&value), ""));
        buf_fini(&value);
        free(key);
        return rc;
    }
    size_t count = 0;
    while (next_word(line, &rest, &word, err)) {
        char *text = str_dup(str_or(buf_cstr(&word), ""));
        char *equal = strchr(text, '=');
        buf_fini(&word);
        if (count++ >= INSTRUCTION_WORDS_MAX)
            broken(line, "it has too many words", err);
        else if (!equal || equal == text)
            broken(line, "each word is NAME=VALUE", err);
        if (equal && !err->code) {
            *equal = '\0';
            set(line->config, text, equal + 1);
        }
        free(text);
        if (err->code)
            break;
    }
    return err->code ? -(int)err->code : 0;
}

static int do_env(const struct line *line, struct err *err)
{
    return pairs(line, env_set, err);
}

static int do_label(const struct line *line, struct err *err)
{
    return pairs(line, label_set, err);
}

// "80", "80/udp", "8000-8002/tcp".
static int take_port(const struct line *line, const char *word, struct err *err)
{
    char *range = str_dup(word), *slash = strchr(range, '/'), key[32];
    const char *kind = slash ? slash + 1 : "tcp";
    if (slash)
        *slash = '\0';
    char *dash = strchr(range, '-');
    if (dash)
        *dash = '\0';
    uint64_t first = 0, last = 0;
    bool good = str_to_u64(range, PORTS_MAX, &first) && first > 0 &&
                str_to_u64(dash ? dash + 1 : range, PORTS_MAX, &last) && last >= first &&
                (str_equal_case(kind, "tcp") || str_equal_case(kind, "udp") ||
                 str_equal_case(kind, "sctp"));
    if (!good)
        broken(line, "a port is NUMBER[-NUMBER][/tcp|udp|sctp]", err);
    for (uint64_t port = first; good && port <= last; port++) {
        str_format(key, sizeof key, "%u/%s", (unsigned)port,
                   str_equal_case(kind, "udp")    ? "udp"
                   : str_equal_case(kind, "sctp") ? "sctp"
                                                  : "tcp");
        json_object_set_new(member(line->config, "ExposedPorts", json_object), key, json_object());
    }
    free(range);
    return err->code ? -(int)err->code : 0;
}

static int do_expose(const struct line *line, struct err *err)
{
    return each_word(line, take_port, err);
}

static int take_volume(const struct line *line, const char *word, struct err *err)
{
    if (!*word)
        return broken(line, "a volume has no path", err);
    json_object_set_new(member(line->config, "Volumes", json_object), word, json_object());
    return 0;
}

static int do_volume(const struct line *line, struct err *err)
{
    json_t *words = json_words(line->rest);
    if (!words)
        return each_word(line, take_volume, err);
    for (size_t i = 0; i < json_array_size(words) && !err->code; i++)
        take_volume(line, json_string_value(json_array_get(words, i)), err);
    json_decref(words);
    return err->code ? -(int)err->code : 0;
}

static int do_on_build(const struct line *line, struct err *err)
{
    static const char *const never[] = {"ONBUILD", "FROM", "MAINTAINER"};
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        size_t length = strlen(never[i]);
        char *word = str_ndup(line->rest, strcspn(line->rest, " \t"));
        bool is = strlen(word) == length && str_equal_case(word, never[i]);
        free(word);
        if (is || !*line->rest)
            return broken(line, "this cannot be triggered", err);
    }
    json_array_append_new(member(line->config, "OnBuild", json_array), json_string(line->rest));
    return 0;
}

// USER, STOPSIGNAL, WORKDIR: all of the line is one text.
static char *expanded(const struct line *line, struct err *err)
{
    struct buf text;
    buf_init(&text, WORD_BYTES_MAX);
    char *out = NULL;
    if (!*line->rest)
        broken(line, "it has no argument", err);
    else if (!put_expanded(line, line->rest, line->rest + strlen(line->rest), &text, 0, err))
        out = buf_ok(&text) ? str_dup(str_or(buf_cstr(&text), "")) : NULL;
    buf_fini(&text);
    if (!out && !err->code)
        broken(line, "it is too long", err);
    return out;
}

static int set_text(const struct line *line, const char *name, struct err *err)
{
    char *text = expanded(line, err);
    if (!text)
        return -(int)err->code;
    json_object_set_new(line->config, name, json_string(text));
    free(text);
    return 0;
}

static int do_user(const struct line *line, struct err *err)
{
    return set_text(line, "User", err);
}

static int do_stop_signal(const struct line *line, struct err *err)
{
    return set_text(line, "StopSignal", err);
}

static int do_workdir(const struct line *line, struct err *err)
{
    char *text = expanded(line, err);
    if (!text)
        return -(int)err->code;
    const char *before = str_or(json_string_value(json_object_get(line->config, "WorkingDir")), "");
    char *path = text[0] == '/' ? str_dup(text)
                                : str_printf("%s/%s", str_equal(before, "/") ? "" : before, text);
    json_object_set_new(line->config, "WorkingDir", json_string(path));
    free(path);
    free(text);
    return 0;
}

// One "--name=value" off the front; false when there is none.
static bool take_flag(const struct line *line, const char **rest, json_t *check, struct err *err)
{
    static const struct {
        const char *flag, *name;
    } rows[] = {{"--interval=", "Interval"},
                {"--timeout=", "Timeout"},
                {"--start-period=", "StartPeriod"},
                {"--retries=", "Retries"}};
    if (!str_starts(*rest, "--"))
        return false;
    char *word = str_ndup(*rest, strcspn(*rest, " \t"));
    size_t i = 0;
    while (i < COUNT_OF(rows) && !str_starts(word, rows[i].flag))
        i++;
    int64_t value = 0;
    if (i == COUNT_OF(rows))
        broken(line, "its options are interval, timeout, start-period and retries", err);
    else if (i == 3 ? !str_to_i64(word + strlen(rows[i].flag), 1, 1 << 20, &value)
                    : duration_parse(word + strlen(rows[i].flag), &value, NULL) || value < 0)
        broken(line, "an option's value", err);
    else
        json_object_set_new(check, rows[i].name, json_integer(value));
    *rest += strlen(word);
    *rest += strspn(*rest, " \t");
    free(word);
    return !err->code;
}

static int do_healthcheck(const struct line *line, struct err *err)
{
    const char *rest = line->rest;
    json_t *check = json_object(), *test = NULL;
    while (take_flag(line, &rest, check, err))
        ;
    size_t length = strcspn(rest, " \t");
    char *word = str_ndup(rest, length);
    rest += length + strspn(rest + length, " \t");
    json_t *words = json_words(rest);
    if (!err->code && str_equal_case(word, "NONE") && !*rest) {
        test = json_pack("[s]", "NONE");
    } else if (!err->code && str_equal_case(word, "CMD") && json_array_size(words)) {
        test = json_pack("[s]", "CMD");
        json_array_extend(test, words);
    } else if (!err->code && str_equal_case(word, "CMD") && *rest && !words) {
        test = json_pack("[s,s]", "CMD-SHELL", rest);
    }
    if (test) {
        json_object_set_new(check, "Test", test);
        json_object_set(line->config, "Healthcheck", check);
    } else if (!err->code) {
        broken(line, "a health check is NONE or CMD and a command", err);
    }
    json_decref(words);
    json_decref(check);
    free(word);
    return err->code ? -(int)err->code : 0;
}

static int apply_line(json_t *config, const char *text, bool *cmd_set, struct err *err)
{
    static const struct {
        const char *name;
        int (*run)(const struct line *line, struct err *err);
    } rows[] = {
        {"CMD", do_cmd},          {"ENTRYPOINT", do_entrypoint},
        {"ENV", do_env},          {"EXPOSE", do_expose},
        {"LABEL", do_label},      {"HEALTHCHECK", do_healthcheck},
        {"ONBUILD", do_on_build}, {"STOPSIGNAL", do_stop_signal},
        {"USER", do_user},        {"VOLUME", do_volume},
        {"WORKDIR", do_workdir},
    };
    char name[16];
    size_t length = strcspn(text, " \t");
    str_format(name, sizeof name, "%.*s", (int)(length < 15 ? length : 15), text);
    struct line line = {.config = config,
                        .rest = text + length + strspn(text + length, " \t"),
                        .quote = text,
                        .cmd_set = cmd_set};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (length < sizeof name && str_equal_case(name, rows[i].name))
            return rows[i].run(&line, err);
    for (char *at = name; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return err_set(err, ERR_INVALID_ARGUMENT, "%s is not a valid change command", name);
}

int instruction_apply(json_t *config, const char *text, bool *cmd_set, struct err *err)
{
    struct err own = ERR_INIT;
    struct str_part part;
    CHECK(json_is_object(config));
    if (strlen(text) > INSTRUCTION_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "a change is too long");
    if (!str_utf8_valid(text, strlen(text)))
        return err_set(err, ERR_INVALID_ARGUMENT, "a change is not UTF-8");
    int rc = 0;
    while (!rc && str_split(&text, '\n', &part)) {
        part = str_trim(part);
        if (!part.len || part.at[0] == '#')
            continue;
        char *line = str_ndup(part.at, part.len);
        rc = apply_line(config, line, cmd_set, &own);
        free(line);
    }
    return rc ? err_copy(err, &own) : 0;
}
