#include "cmd/skepd/config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/image/mirrors.h"
#include "cmd/skepd/defaults.h"
#include "cmd/skepd/options.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define DEFAULT_HOST "unix:///run/skep/skep.sock"

// ---- life ---------------------------------------------------------------------------------------

static void *member(const struct config *config, const struct option *option)
{
    return (char *)(uintptr_t)config + option->offset;
}

static bool is_list(enum option_kind kind)
{
    return kind != OPTION_BOOL && kind != OPTION_NUMBER && kind != OPTION_TEXT;
}

void config_init(struct config *config)
{
    *config = (struct config){
        .downloads_max = 3, .stop_seconds = 15, .live_restore = true, .userland_proxy = true};
    for (size_t i = 0; i < options_count; i++)
        if (options[i].use == OPTION_USED && options[i].kind == OPTION_TEXT) {
            char **text = member(config, &options[i]);
            free(*text); // two names of one member
            *text = str_dup("");
        }
    const struct {
        char **text;
        const char *value;
    } defaults[] = {
        {&config->config_file, "/etc/skep/daemon.json"},
        {&config->data_root, "/var/lib/skep"},
        {&config->exec_root, "/run/skep"},
        {&config->log_level, "info"},
        {&config->log_format, "text"},
    };
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        free(*defaults[i].text);
        *defaults[i].text = str_dup(defaults[i].value);
    }
}

static void list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct config_list){0};
}

void config_fini(struct config *config)
{
    for (size_t i = 0; i < options_count; i++) {
        if (options[i].use != OPTION_USED)
            continue;
        if (options[i].kind == OPTION_TEXT)
            MEM_FREE(*(char **)member(config, &options[i]));
        else if (is_list(options[i].kind))
            list_clear(member(config, &options[i]));
    }
}

// ---- one value ----------------------------------------------------------------------------------

// As Go's strconv.ParseBool, which dockerd's flags go through.
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

static int bad_value(const struct option *option, const char *value, const char *wanted,
                     struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "invalid value \"%.64s\" for %s: %s", value,
                   option_name(option), wanted);
}

static int append(struct config_list *list, const struct option *option, const char *value,
                  struct err *err)
{
    if (list->count == CONFIG_LIST_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d values for %s", CONFIG_LIST_MAX,
                       option_name(option));
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof(char *));
    list->items[list->count++] = str_dup(value);
    return 0;
}

// Takes one value as text into its member, or says what becomes of it.
static int take(struct config *config, const struct option *option, const char *value,
                struct buf *warnings, struct err *err)
{
    bool flag = false;
    uint64_t number = 0;
    if (strlen(value) >= CONFIG_VALUE_BYTES)
        return bad_value(option, value, "too long", err);
    if (option->kind == OPTION_BOOL) {
        if (!parse_bool(value, &flag))
            return bad_value(option, value, "must be true or false", err);
        value = flag ? "true" : "false";
    }
    if (option->kind == OPTION_NUMBER && !str_to_u64(value, INT32_MAX, &number))
        return bad_value(option, value, "must be a number", err);
    if (option->use == OPTION_MEANINGLESS) {
        buf_printf(warnings, "%s has no effect: %s\n", option_name(option), option->why);
        return 0;
    }
    if (option->use == OPTION_REFUSED) {
        if (strcmp(value, option->harmless) == 0)
            return 0;
        return err_set(err, ERR_INVALID_ARGUMENT, "%s is not supported: %s", option_name(option),
                       option->why);
    }
    void *at = member(config, option);
    if (option->kind == OPTION_BOOL)
        *(bool *)at = flag;
    if (at == &config->tls)
        config->tls_refused = !flag;
    if (option->kind == OPTION_BOOL)
        return 0;
    if (option->kind == OPTION_NUMBER)
        *(int64_t *)at = (int64_t)number;
    else if (option->kind == OPTION_TEXT) {
        free(*(char **)at);
        *(char **)at = str_dup(value);
    } else {
        return append(at, option, value, err);
    }
    return 0;
}

// ---- the command line ---------------------------------------------------------------------------

// Where a walk over the command line stands.
struct walk {
    const char *const *args;
    size_t left;
    const char *letters; // the rest of a group such as -Dv; NULL outside of one
};

// The value of an option that takes one, from the next argument.
static int next_value(struct walk *walk, const char *name, const char **value, struct err *err)
{
    if (walk->left == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "flag needs an argument: %s", name);
    *value = *walk->args++;
    walk->left--;
    return 0;
}

static int walk_letter(struct walk *walk, const struct option **option, const char **value,
                       struct err *err)
{
    char name[] = {'-', *walk->letters++, 0};
    *option = option_by_letter(name[1]);
    if (!*option)
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown shorthand flag: '%c'", name[1]);
    const char *rest = walk->letters;
    if ((*option)->kind == OPTION_BOOL && *rest != '=') {
        *value = "true";
        walk->letters = *rest ? rest : NULL;
        return 1;
    }
    walk->letters = NULL;
    *value = *rest == '=' ? rest + 1 : rest;
    if (*rest)
        return 1;
    int result = next_value(walk, name, value, err);
    return result ? result : 1;
}

// The next option and its value: 1, 0 at the end, or an error.
static int walk_next(struct walk *walk, const struct option **option, const char **value,
                     struct err *err)
{
    if (walk->letters)
        return walk_letter(walk, option, value, err);
    if (walk->left == 0)
        return 0;
    const char *arg = *walk->args++;
    walk->left--;
    if (arg[0] != '-' || arg[1] == 0 || strcmp(arg, "--") == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "skepd accepts no arguments, only flags: %.64s",
                       arg);
    if (arg[1] != '-') {
        walk->letters = arg + 1;
        return walk_letter(walk, option, value, err);
    }
    size_t length = strcspn(arg + 2, "=");
    *option = option_by_flag(arg + 2, length);
    if (!*option)
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown flag: %.64s", arg);
    if (arg[2 + length] == '=')
        *value = arg + 2 + length + 1;
    else if ((*option)->kind == OPTION_BOOL)
        *value = "true";
    else if (next_value(walk, arg, value, err))
        return -ERR_INVALID_ARGUMENT;
    return 1;
}

int config_parse_args(struct config *config, size_t count, const char *const *args,
                      struct buf *warnings, struct err *err)
{
    struct walk walk = {.args = args, .left = count};
    const struct option *option = NULL;
    const char *value = NULL;
    int result;
    while ((result = walk_next(&walk, &option, &value, err)) > 0) {
        result = take(config, option, value, warnings, err);
        if (result)
            return result;
    }
    return result;
}

// Whether the command line gives this option (or another name of the same member).
static bool given(size_t count, const char *const *args, const struct option *wanted)
{
    struct walk walk = {.args = args, .left = count};
    const struct option *option = NULL;
    const char *value = NULL;
    while (walk_next(&walk, &option, &value, NULL) > 0)
        if (option == wanted || (option->use == OPTION_USED && wanted->use == OPTION_USED &&
                                 option->offset == wanted->offset))
            return true;
    return false;
}

// ---- the file -----------------------------------------------------------------------------------

// Text, number or truth as the text a flag would have; false for anything else.
static bool scalar_text(const json_t *value, char *out, size_t size)
{
    if (json_is_string(value))
        return str_copy(out, size, json_string_value(value));
    if (json_is_boolean(value))
        return str_copy(out, size, json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return str_format(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return false;
}

// One member of an object or array as the text a flag would have.
static bool item_text(enum option_kind kind, const char *key, const json_t *value, char *out,
                      size_t size)
{
    char text[CONFIG_VALUE_BYTES];
    switch (kind) {
    case OPTION_MAP:
        return scalar_text(value, text, sizeof text) && str_format(out, size, "%s=%s", key, text);
    case OPTION_POOLS: {
        const char *base = json_string_value(json_object_get(value, "base"));
        const json_t *bits = json_object_get(value, "size");
        return base && json_is_integer(bits) &&
               str_format(out, size, "base=%s,size=%" JSON_INTEGER_FORMAT, base,
                          json_integer_value(bits));
    }
    case OPTION_ULIMITS: {
        const json_t *soft = json_object_get(value, "Soft");
        const json_t *hard = json_object_get(value, "Hard");
        return json_is_integer(soft) && json_is_integer(hard) &&
               str_format(out, size, "%s=%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT, key,
                          json_integer_value(soft), json_integer_value(hard));
    }
    case OPTION_RUNTIMES: {
        const char *path = json_string_value(json_object_get(value, "path"));
        return path && str_format(out, size, "%s=%s", key, path);
    }
    default:
        return json_is_string(value) && str_copy(out, size, json_string_value(value));
    }
}

// Of a runtime only its path is looked at: arguments and shims of containerd are not passed over.
static int check_runtime_item(const struct option *option, const char *name, const json_t *item,
                              struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)item, key, value)
    {
        bool empty = json_is_null(value) || (json_is_array(value) && !json_array_size(value)) ||
                     (json_is_string(value) && !json_string_length(value));
        if (option->kind == OPTION_RUNTIMES && !str_equal(key, "path") && !empty)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "%.64s of runtime %.64s is not supported: name a program that needs "
                           "none as its path",
                           key, name);
    }
    return 0;
}

static int wrong_form(const struct option *option, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" must be %s", option->key,
                   option_form(option->kind));
}

static int take_json(struct config *config, const struct option *option, json_t *value,
                     struct buf *warnings, struct err *err)
{
    char text[CONFIG_VALUE_BYTES];
    if (!is_list(option->kind)) {
        if (!scalar_text(value, text, sizeof text))
            return wrong_form(option, err);
        return take(config, option, text, warnings, err);
    }
    bool object = option->kind != OPTION_LIST && option->kind != OPTION_POOLS;
    if (object ? !json_is_object(value) : !json_is_array(value))
        return wrong_form(option, err);
    // What has no effect here has none whatever it holds: one line for all of it.
    if (option->use == OPTION_MEANINGLESS)
        return take(config, option, "", warnings, err);
    const char *key;
    json_t *item;
    size_t index;
    int result = 0;
    if (object) {
        json_object_foreach(value, key, item)
        {
            if ((result = check_runtime_item(option, key, item, err)))
                return result;
            if (!item_text(option->kind, key, item, text, sizeof text))
                return wrong_form(option, err);
            if ((result = take(config, option, text, warnings, err)))
                return result;
        }
        return 0;
    }
    json_array_foreach(value, index, item)
    {
        if (!item_text(option->kind, NULL, item, text, sizeof text))
            return wrong_form(option, err);
        if ((result = take(config, option, text, warnings, err)))
            return result;
    }
    return 0;
}

static int take_object(struct config *config, json_t *root, size_t count, const char *const *args,
                       struct buf *warnings, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        const struct option *option = option_by_key(key);
        if (!option)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "the following directives don't match any configuration option: %.64s",
                           key);
        if (option->flag && given(count, args, option))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "the following directives are specified both as a flag and in the "
                           "configuration file: %s",
                           key);
        int result = take_json(config, option, value, warnings, err);
        if (result)
            return result;
    }
    return 0;
}

int config_parse_file(struct config *config, const void *text, size_t size, size_t count,
                      const char *const *args, struct buf *warnings, struct err *err)
{
    CHECK(size <= CONFIG_FILE_BYTES_MAX);
    if (str_trim((struct str_part){text, size}).len == 0)
        return 0; // an empty file says nothing, as with dockerd
    json_t *root = json_parse(text, size, err);
    if (!root)
        return -(int)err->code;
    int result = json_is_object(root) ? take_object(config, root, count, args, warnings, err)
                                      : err_set(err, ERR_INVALID_ARGUMENT, "it must be an object");
    json_decref(root);
    return result;
}

// ---- rules --------------------------------------------------------------------------------------

static int check_paths(const struct config *config, struct err *err)
{
    const struct {
        const char *name, *path;
    } paths[] = {
        {"data-root", config->data_root},
        {"exec-root", config->exec_root},
        {"pidfile", config->pidfile},
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (paths[i].path[0] != '/')
            return err_set(err, ERR_INVALID_ARGUMENT, "%s must be an absolute path: \"%.64s\"",
                           paths[i].name, paths[i].path);
    return 0;
}

static int check_hosts(const struct config *config, struct err *err)
{
    for (size_t i = 0; i < config->hosts.count; i++) {
        const char *host = config->hosts.items[i];
        bool unix_path = str_starts(host, "unix:///");
        bool tcp = str_starts(host, "tcp://") && host[6];
        if (!unix_path && !tcp && !str_starts(host, "fd://"))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid bind address (%.128s)", host);
        // Whoever reaches the socket is root here; on the network that takes a certificate.
        if (tcp && !config->tls_verify && !config->tls_refused)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "%.128s without --tlsverify would let anybody on the network be root "
                           "(--tls=false says that this is meant)",
                           host);
    }
    return 0;
}

// Every item has "key=value" with neither empty (a value may be, where said).
static int check_pairs(const struct config_list *list, const char *what, bool empty_value,
                       struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *sign = strchr(list->items[i], '=');
        if (!sign || sign == list->items[i] || (!empty_value && !sign[1]))
            return err_set(err, ERR_INVALID_ARGUMENT, "bad %s: \"%.64s\" is not key=value", what,
                           list->items[i]);
    }
    return 0;
}

// Whether the runtime of this name is one of --add-runtime's before `end`.
static bool runtime_added(const struct config *config, size_t end, const char *name, size_t length)
{
    for (size_t i = 0; i < end; i++) {
        const char *item = config->runtimes.items[i];
        if (strncmp(item, name, length) == 0 && item[length] == '=')
            return true;
    }
    return false;
}

static int check_runtimes(const struct config *config, struct err *err)
{
    const struct config_list *list = &config->runtimes;
    const char *chosen = config->runtime;
    int result = check_pairs(list, "add-runtime", false, err);
    for (size_t i = 0; i < list->count && !result; i++) {
        size_t length = strcspn(list->items[i], "=");
        if (memchr(list->items[i], '/', length))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid runtime name: %.*s", (int)length,
                           list->items[i]);
        if (runtime_added(config, i, list->items[i], length))
            return err_set(err, ERR_INVALID_ARGUMENT, "runtime '%.*s' was already defined",
                           (int)length, list->items[i]);
    }
    if (result || str_empty(chosen) || strchr(chosen, '/') || str_equal(chosen, "crun") ||
        str_equal(chosen, "runc") || runtime_added(config, list->count, chosen, strlen(chosen)))
        return result;
    return err_set(err, ERR_INVALID_ARGUMENT, "specified default runtime '%.64s' does not exist",
                   chosen);
}

static int check_exec_opts(const struct config_list *list, struct err *err)
{
    for (size_t i = 0; i < list->count; i++)
        if (!str_equal(list->items[i], "native.cgroupdriver=cgroupfs"))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "exec-opt \"%.64s\": only native.cgroupdriver=cgroupfs", list->items[i]);
    return 0;
}

static int check_defaults(const struct config *config, struct err *err)
{
    struct defaults defaults;
    int result = defaults_make(config, &defaults, err);
    if (!result)
        defaults_fini(&defaults);
    return result;
}

int config_settle(struct config *config, struct err *err)
{
    enum log_level level;
    if (config->pidfile[0] == 0) {
        free(config->pidfile);
        config->pidfile = str_printf("%s/skepd.pid", config->exec_root);
    }
    if (config->hosts.count == 0) {
        config->hosts.items = mem_alloc(sizeof(char *));
        config->hosts.items[config->hosts.count++] = str_dup(DEFAULT_HOST);
    }
    if (!log_level_parse(config->log_level, &level))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid logging level: %.64s",
                       config->log_level);
    if (!str_equal(config->log_format, "text") && !str_equal(config->log_format, "json"))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid log format: %.64s", config->log_format);
    if (config->downloads_max < 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "max-concurrent-downloads is at least 1");
    if (config->tls_verify && config->tls_refused)
        return err_set(err, ERR_INVALID_ARGUMENT, "tlsverify and tls=false exclude each other");
    if (config->tls_verify)
        config->tls = true;
    if (config->tls && (str_empty(config->tls_cert) || str_empty(config->tls_key)))
        return err_set(err, ERR_INVALID_ARGUMENT, "tls needs tlscert and tlskey");
    if (config->tls_verify && str_empty(config->tls_ca))
        return err_set(err, ERR_INVALID_ARGUMENT, "tlsverify needs tlscacert");
    int result = check_paths(config, err);
    if (!result)
        result = check_hosts(config, err);
    if (!result)
        result = check_pairs(&config->labels, "label", true, err);
    if (!result)
        result = check_pairs(&config->generic_resources, "node-generic-resource", false, err);
    if (!result)
        result = check_runtimes(config, err);
    if (!result)
        result = check_exec_opts(&config->exec_opts, err);
    const struct mirrors mirrors = {.urls = (const char *const *)config->registry_mirrors.items,
                                    .urls_count = config->registry_mirrors.count};
    if (!result)
        result = mirrors_check(&mirrors, err);
    return result ? result : check_defaults(config, err);
}

// ---- reloading ----------------------------------------------------------------------------------

static bool same_list(const struct config_list *a, const struct config_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool same_value(const struct option *option, const void *a, const void *b)
{
    if (option->kind == OPTION_BOOL)
        return *(const bool *)a == *(const bool *)b;
    if (option->kind == OPTION_NUMBER)
        return *(const int64_t *)a == *(const int64_t *)b;
    if (option->kind == OPTION_TEXT)
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    return same_list(a, b);
}

// Swaps, so that `b` gives back what `a` had.
static void swap_value(const struct option *option, void *a, void *b)
{
    char keep[sizeof(struct config_list)];
    size_t size = option->kind == OPTION_BOOL     ? sizeof(bool)
                  : option->kind == OPTION_NUMBER ? sizeof(int64_t)
                  : option->kind == OPTION_TEXT   ? sizeof(char *)
                                                  : sizeof(struct config_list);
    memcpy(keep, a, size);
    memcpy(a, b, size);
    memcpy(b, keep, size);
}

bool config_reload(struct config *config, struct config *fresh, struct buf *warnings)
{
    bool changed = false;
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        if (option->use != OPTION_USED ||
            same_value(option, member(config, option), member(fresh, option)))
            continue;
        if (option->reloads) {
            swap_value(option, member(config, option), member(fresh, option));
            changed = true;
        } else if (option->why) {
            buf_printf(warnings, "%s changes only with a restart\n", option_name(option));
        }
    }
    return changed;
}

// ---- help ---------------------------------------------------------------------------------------

char *config_help(void)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    buf_put_str(&text, "Usage: skepd [OPTIONS]\n\n"
                       "A node of a container cluster that speaks Docker Swarm's protocols.\n\n"
                       "Options:\n");
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options[i];
        if (option->use != OPTION_USED || !option->flag || !option->why)
            continue;
        char letter[] = {option->letter ? '-' : ' ', option->letter ? option->letter : ' ',
                         option->letter ? ',' : ' ', 0};
        buf_printf(&text, "  %s --%-30s %s%s%s\n", letter, option->flag, option->why,
                   is_list(option->kind) ? " (may be repeated)" : "",
                   option->reloads ? " (reloads)" : "");
    }
    buf_put_str(&text,
                "\nThe keys of /etc/skep/daemon.json are dockerd's. What reloads follows the "
                "file on SIGHUP.\n");
    CHECK(buf_ok(&text));
    buf_put_u8(&text, 0);
    return (char *)buf_steal(&text, NULL);
}
