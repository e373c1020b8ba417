#include "cmd/skep/flags.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/flag_values.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

static const struct flag help_flag = {"help", 'h', FLAG_BOOL, NULL, "Show this help"};

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static int parse_float(const char *text, double *out, struct err *err)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (end == text || *end || !isfinite(*out))
        return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is no number", text);
    return 0;
}

int flag_number(enum flag_kind kind, const char *text, int64_t *out, struct err *err)
{
    double number;
    switch (kind) {
    case FLAG_INT:
        if (!str_to_i64(text, INT64_MIN, INT64_MAX, out))
            return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is no whole number", text);
        return 0;
    case FLAG_UINT:
        if (!str_to_i64(text, 0, INT64_MAX, out))
            return err_set(err, ERR_INVALID_ARGUMENT, "'%s' is no whole number from 0", text);
        return 0;
    case FLAG_DURATION:
        return duration_parse(text, out, err);
    case FLAG_BYTES:
        return text_parse_bytes(text, out, err);
    case FLAG_SWAP:
        *out = -1;
        return str_equal(text, "-1") ? 0 : text_parse_bytes(text, out, err);
    case FLAG_CPUS:
        return text_parse_cpus(text, out, err);
    case FLAG_FLOAT:
        *out = 0;
        return parse_float(text, &number, err);
    default:
        *out = 0;
        return 0;
    }
}

// The option most like the word; NULL when none is near.
static const char *nearest(const struct flag *flags, const char *word)
{
    const char *best = NULL;
    unsigned best_distance = strlen(word) > 4 ? 3 : 2;
    for (; flags->name; flags++) {
        unsigned distance = text_distance(flags->name, word);
        if (distance < best_distance) {
            best_distance = distance;
            best = flags->name;
        }
    }
    return text_distance(help_flag.name, word) < best_distance ? help_flag.name : best;
}

struct parsing {
    struct args *args;
    struct arena *arena;
    struct err *err;
    int argc;
    char *const *argv;
    int at;
};

static int put_item(struct parsing *p, struct flag_value *value, const char *text)
{
    if (value->count >= ARGS_MAX)
        return err_set(p->err, ERR_INVALID_ARGUMENT, "more than %d values", ARGS_MAX);
    // Room doubles, so that a thousand --env cost no million copies.
    if ((value->count & (value->count - 1)) == 0) {
        const char **more =
            arena_alloc_array(p->arena, value->count ? value->count * 2 : 1, sizeof *more);
        CHECK(more);
        if (value->count)
            memcpy(more, value->list, value->count * sizeof *more);
        value->list = more;
    }
    value->list[value->count++] = text;
    return 0;
}

// What a value of these kinds must look like, and the form in which it is taken.
static const struct {
    enum flag_kind kind;
    const char *(*take)(const char *text, struct arena *arena, struct err *err);
} shapes[] = {
    {FLAG_HOSTS, flag_extra_host},  {FLAG_DOMAINS, flag_domain}, {FLAG_SYSCTLS, flag_sysctl},
    {FLAG_RULES, flag_device_rule}, {FLAG_CIDRS, flag_cidr},
};

static int put_shaped(struct parsing *p, struct flag_value *value, enum flag_kind kind,
                      const char *text)
{
    size_t i = 0;
    while (shapes[i].kind != kind)
        CHECK(++i < COUNT_OF(shapes));
    const char *taken = shapes[i].take(text, p->arena, p->err);
    return taken ? put_item(p, value, taken) : -ERR_INVALID_ARGUMENT;
}

static int put_value(struct parsing *p, const struct flag *flag, const char *text)
{
    struct flag_value *value = &p->args->values[flag - p->args->flags];
    value->set = true;
    value->text = text;
    int64_t number;
    switch (flag->kind) {
    case FLAG_BOOL:
    case FLAG_TRUE:
        if (!parse_bool(text, &value->on))
            return err_set(p->err, ERR_INVALID_ARGUMENT, "'%s' is neither true nor false", text);
        if (flag->kind == FLAG_TRUE && !value->on)
            return err_set(p->err, ERR_UNIMPLEMENTED, "%s is not supported", text);
        return 0;
    case FLAG_TEXT:
        return 0;
    case FLAG_LIST:
        return put_item(p, value, text);
    case FLAG_LABELS:
        if (str_trim((struct str_part){text, strcspn(text, "=")}).len == 0)
            return err_set(p->err, ERR_INVALID_ARGUMENT, "invalid label '%s': empty name", text);
        return put_item(p, value, text);
    case FLAG_FILTERS:
        if (*text && !strchr(text, '='))
            return err_set(p->err, ERR_INVALID_ARGUMENT,
                           "bad format of filter (expected name=value)");
        return *text ? put_item(p, value, text) : 0;
    case FLAG_IPS:
        if (!flag_is_ip(text, p->arena))
            return err_set(p->err, ERR_INVALID_ARGUMENT,
                           "IP address is not correctly formatted: %s", text);
        return put_item(p, value, text);
    case FLAG_SWARM:
        if (!str_equal(text, "swarm") && !str_equal(text, "all"))
            return err_set(p->err, ERR_INVALID_ARGUMENT, "the swarm is the only orchestrator");
        return 0;
    case FLAG_HOSTS:
    case FLAG_DOMAINS:
    case FLAG_SYSCTLS:
    case FLAG_RULES:
        return put_shaped(p, value, flag->kind, text);
    case FLAG_COMMAS:
    case FLAG_CIDRS: {
        struct str_part part;
        for (const char *rest = text; str_split(&rest, ',', &part);) {
            const char *item = arena_strndup(p->arena, part.at, part.len);
            if ((flag->kind == FLAG_CIDRS ? put_shaped(p, value, FLAG_CIDRS, item)
                                          : put_item(p, value, item)) < 0)
                return -ERR_INVALID_ARGUMENT;
        }
        return 0;
    }
    default:
        return flag_number(flag->kind, text, &number, p->err);
    }
}

static int take_value(struct parsing *p, const struct flag *flag, const char *shown,
                      const char *text)
{
    if (put_value(p, flag, text) == 0)
        return 0;
    struct err why = *p->err;
    return err_set(p->err, ERR_INVALID_ARGUMENT, "invalid argument \"%s\" for \"%s\" flag: %s",
                   text, shown, why.message);
}

static bool is_switch(const struct flag *flag)
{
    return flag->kind == FLAG_BOOL || flag->kind == FLAG_TRUE;
}

// "-p, --publish", as messages name an option.
static const char *full_name(struct parsing *p, const struct flag *flag)
{
    return flag->letter ? arena_printf(p->arena, "-%c, --%s", flag->letter, flag->name)
                        : arena_printf(p->arena, "--%s", flag->name);
}

static int parse_long(struct parsing *p, const char *word)
{
    const char *equals = strchr(word, '=');
    const char *name =
        arena_strndup(p->arena, word, equals ? (size_t)(equals - word) : strlen(word));
    const struct flag *flag = p->args->flags;
    while (flag->name && strcmp(flag->name, name) != 0)
        flag++;
    if (!flag->name) {
        if (strcmp(name, help_flag.name) == 0) {
            p->args->help = true;
            return 0;
        }
        p->args->unknown = name;
        const char *near = nearest(p->args->flags, name);
        return near ? err_set(p->err, ERR_INVALID_ARGUMENT,
                              "unknown flag: --%s\nDid you mean --%s?", name, near)
                    : err_set(p->err, ERR_INVALID_ARGUMENT, "unknown flag: --%s", name);
    }
    if (equals)
        return take_value(p, flag, full_name(p, flag), equals + 1);
    if (is_switch(flag))
        return take_value(p, flag, full_name(p, flag), "true");
    if (p->at >= p->argc)
        return err_set(p->err, ERR_INVALID_ARGUMENT, "flag needs an argument: --%s", name);
    return take_value(p, flag, full_name(p, flag), p->argv[p->at++]);
}

static int parse_letters(struct parsing *p, const char *letters)
{
    const char *group = letters;
    while (*letters) {
        char letter = *letters++;
        const struct flag *flag = p->args->flags;
        while (flag->name && flag->letter != letter)
            flag++;
        if (!flag->name) {
            if (letter == 'h') {
                p->args->help = true;
                return 0;
            }
            return err_set(p->err, ERR_INVALID_ARGUMENT, "unknown shorthand flag: '%c' in -%s",
                           letter, group);
        }
        if (is_switch(flag) && *letters != '=') {
            if (take_value(p, flag, full_name(p, flag), "true") < 0)
                return -ERR_INVALID_ARGUMENT;
            continue;
        }
        // The rest of the word is the value, or the next word.
        if (*letters)
            return take_value(p, flag, full_name(p, flag), letters + (*letters == '='));
        if (p->at >= p->argc)
            return err_set(p->err, ERR_INVALID_ARGUMENT, "flag needs an argument: '%c' in -%s",
                           letter, group);
        return take_value(p, flag, full_name(p, flag), p->argv[p->at++]);
    }
    return 0;
}

int args_parse(struct args *args, const struct flag *flags, bool stops, int argc,
               char *const argv[], struct arena *arena, struct err *err)
{
    struct err own = ERR_INIT;
    *args = (struct args){.flags = flags};
    while (flags[args->flags_count].name)
        args->flags_count++;
    args->values = arena_alloc_array(arena, args->flags_count + 1, sizeof *args->values);
    args->argv = arena_alloc_array(arena, (size_t)argc + 1, sizeof *args->argv);
    CHECK(args->values && args->argv);
    struct parsing p = {args, arena, err ? err : &own, argc, argv, 0};
    while (p.at < argc) {
        const char *word = argv[p.at++];
        int result = 0;
        if (strcmp(word, "--") == 0) {
            while (p.at < argc)
                args->argv[args->argc++] = argv[p.at++];
        } else if (word[0] == '-' && word[1] == '-') {
            result = parse_long(&p, word + 2);
        } else if (word[0] == '-' && word[1]) {
            result = parse_letters(&p, word + 1);
        } else {
            args->argv[args->argc++] = word;
            while (stops && p.at < argc)
                args->argv[args->argc++] = argv[p.at++];
        }
        if (result < 0)
            return result;
    }
    return 0;
}

// ---- what was found -----------------------------------------------------------------------------

static size_t index_of(const struct args *args, const char *name)
{
    for (size_t i = 0; i < args->flags_count; i++)
        if (strcmp(args->flags[i].name, name) == 0)
            return i;
    UNREACHABLE("a command asks for an option that its table lacks");
}

bool args_set(const struct args *args, const char *name)
{
    return args->values[index_of(args, name)].set;
}

bool args_on(const struct args *args, const char *name)
{
    return args->values[index_of(args, name)].on;
}

const char *args_text(const struct args *args, const char *name)
{
    return args->values[index_of(args, name)].text;
}

size_t args_list(const struct args *args, const char *name, const char *const **list)
{
    const struct flag_value *value = &args->values[index_of(args, name)];
    *list = value->list;
    return value->count;
}

int64_t args_number(const struct args *args, const char *name, int64_t fallback)
{
    size_t at = index_of(args, name);
    int64_t number = fallback;
    if (args->values[at].set) {
        int result = flag_number(args->flags[at].kind, args->values[at].text, &number, NULL);
        CHECK(result == 0);
    }
    return number;
}

double args_float(const struct args *args, const char *name, double fallback)
{
    size_t at = index_of(args, name);
    double number = fallback;
    if (args->values[at].set) {
        int result = parse_float(args->values[at].text, &number, NULL);
        CHECK(result == 0);
    }
    return number;
}
