#include "agent/task/template.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

// One argument of an action: a text, or the labels of the service.
struct value {
    const char *text;
    size_t size;
    bool is_labels;
};

enum {
    OF_SPECS = 1 << 0,
    OF_PAYLOADS = 1 << 1,
    OF_NAMES = 1 << 2,
};

// The state of one expansion.
struct expansion {
    unsigned kind;                          // which functions there are
    const struct template_context *context; // NULL: the fields are those of `field`
    const char *(*field)(void *owner, struct str_part path);
    void *owner;
    char task_name[NAME_TASK_BYTES];
    char slot[32];
    struct arena arena; // unquoted literals and path copies
    struct err *err;
};

static int fail(struct expansion *expansion, const char *what, struct str_part part)
{
    return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: %s: %.*s", what,
                   (int)(part.len < 64 ? part.len : 64), part.at);
}

// ---- fields ------------------------------------------------------------------------------------

static const char *task_slot(struct expansion *expansion)
{
    const Swarm__Task *task = expansion->context->task;
    if (!task->slot)
        return task->node_id; // of global services
    snprintf(expansion->slot, sizeof expansion->slot, "%llu", (unsigned long long)task->slot);
    return expansion->slot;
}

static const char *task_name(struct expansion *expansion)
{
    name_of_task(expansion->context->task, expansion->task_name, sizeof expansion->task_name);
    return expansion->task_name;
}

static const char *service_id(struct expansion *expansion)
{
    return expansion->context->task->service_id;
}
static const char *service_name(struct expansion *expansion)
{
    return expansion->context->task->service_annotations->name;
}
static const char *node_id(struct expansion *expansion)
{
    return expansion->context->node->id;
}
static const char *node_hostname(struct expansion *expansion)
{
    return expansion->context->node->hostname;
}
static const char *node_os(struct expansion *expansion)
{
    return expansion->context->node->os;
}
static const char *node_architecture(struct expansion *expansion)
{
    return expansion->context->node->architecture;
}
static const char *task_id(struct expansion *expansion)
{
    return expansion->context->task->id;
}

static const struct field {
    const char *path;
    const char *(*get)(struct expansion *expansion);
} fields[] = {
    {".Service.ID", service_id},    {".Service.Name", service_name},
    {".Node.ID", node_id},          {".Node.Hostname", node_hostname},
    {".Node.Platform.OS", node_os}, {".Node.Platform.Architecture", node_architecture},
    {".Task.ID", task_id},          {".Task.Name", task_name},
    {".Task.Slot", task_slot},
};
static const char labels_path[] = ".Service.Labels";

// A missing label is empty, as in Go.
static struct value label_of(struct expansion *expansion, const char *key, size_t size)
{
    const Swarm__Annotations *service = expansion->context->task->service_annotations;
    for (size_t i = 0; i < service->n_labels; i++)
        if (strlen(service->labels[i]->key) == size &&
            memcmp(service->labels[i]->key, key, size) == 0)
            return (struct value){.text = service->labels[i]->value,
                                  .size = strlen(service->labels[i]->value)};
    return (struct value){.text = ""};
}

static int get_field(struct expansion *expansion, struct str_part path, struct value *out)
{
    const size_t labels_size = sizeof labels_path - 1;
    if (!expansion->context) {
        const char *text = expansion->field(expansion->owner, path);
        if (!text)
            return fail(expansion, "no such field", path);
        *out = (struct value){.text = text, .size = strlen(text)};
        return 0;
    }
    if (str_part_is(path, labels_path)) {
        *out = (struct value){.is_labels = true};
        return 0;
    }
    if (path.len > labels_size + 1 && memcmp(path.at, labels_path, labels_size) == 0 &&
        path.at[labels_size] == '.') {
        *out = label_of(expansion, path.at + labels_size + 1, path.len - labels_size - 1);
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (str_part_is(path, fields[i].path)) {
            const char *text = str_or(fields[i].get(expansion), "");
            *out = (struct value){.text = text, .size = strlen(text)};
            return 0;
        }
    }
    return fail(expansion, "no such field", path);
}

// ---- functions ---------------------------------------------------------------------------------

static int call_index(struct expansion *expansion, const struct value *args, size_t count,
                      struct buf *out)
{
    if (count != 2 || !args[0].is_labels || args[1].is_labels)
        return err_set(expansion->err, ERR_INVALID_ARGUMENT,
                       "template: index takes .Service.Labels and a key");
    struct value value = label_of(expansion, args[1].text, args[1].size);
    buf_put(out, value.text, value.size);
    return 0;
}

static int call_join(struct expansion *expansion, const struct value *args, size_t count,
                     struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        if (args[i].is_labels)
            return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: join takes texts");
    if (!count)
        return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: join needs a separator");
    for (size_t i = 1; i < count; i++) {
        if (i > 1)
            buf_put(out, args[0].text, args[0].size);
        buf_put(out, args[i].text, args[i].size);
    }
    return 0;
}

// The target of a secret or config that is a file, NULL otherwise.
static const char *file_target(const struct executor_file *file, bool secret)
{
    if (secret)
        return file->secret && file->secret->target_case == SWARM__SECRET_REFERENCE__TARGET_FILE
                   ? file->secret->file->name
                   : NULL;
    return file->config && file->config->target_case == SWARM__CONFIG_REFERENCE__TARGET_FILE
               ? file->config->file->name
               : NULL;
}

static int call_file(struct expansion *expansion, bool secret, const struct value *args,
                     size_t count, struct buf *out)
{
    const struct template_context *context = expansion->context;
    const char *kind = secret ? "secret" : "config";
    if (count != 1 || args[0].is_labels)
        return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: %s takes one target", kind);
    for (size_t i = 0; i < context->files_count; i++) {
        const char *target = file_target(&context->files[i], secret);
        if (target && strlen(target) == args[0].size &&
            memcmp(target, args[0].text, args[0].size) == 0) {
            buf_put(out, context->files[i].data, context->files[i].size);
            return 0;
        }
    }
    return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: %s target %.*s not found", kind,
                   (int)(args[0].size < 64 ? args[0].size : 64), args[0].text);
}

static int call_secret(struct expansion *expansion, const struct value *args, size_t count,
                       struct buf *out)
{
    return call_file(expansion, true, args, count, out);
}

static int call_config(struct expansion *expansion, const struct value *args, size_t count,
                       struct buf *out)
{
    return call_file(expansion, false, args, count, out);
}

// A variable of the container's environment; one that is not set is empty.
static int call_env(struct expansion *expansion, const struct value *args, size_t count,
                    struct buf *out)
{
    const Swarm__ContainerSpec *spec = expansion->context->task->spec->container;
    if (count != 1 || args[0].is_labels)
        return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: env takes one name");
    for (size_t i = 0; spec && i < spec->n_env; i++) {
        const char *entry = spec->env[i];
        size_t size = args[0].size;
        if (strlen(entry) > size && memcmp(entry, args[0].text, size) == 0 && entry[size] == '=') {
            buf_put_str(out, entry + size + 1);
            break;
        }
    }
    return 0;
}

static int call_case(struct expansion *expansion, const struct value *args, size_t count,
                     struct buf *out, int (*to)(int letter))
{
    if (count != 1)
        return err_set(expansion->err, ERR_INVALID_ARGUMENT, "template: one text has one case");
    for (size_t i = 0; i < args[0].size; i++)
        buf_put_u8(out, (uint8_t)to((unsigned char)args[0].text[i]));
    return 0;
}

static int call_lower(struct expansion *expansion, const struct value *args, size_t count,
                      struct buf *out)
{
    return call_case(expansion, args, count, out, tolower);
}

static int call_upper(struct expansion *expansion, const struct value *args, size_t count,
                      struct buf *out)
{
    return call_case(expansion, args, count, out, toupper);
}

static const struct function {
    const char *name;
    unsigned kinds;
    int (*call)(struct expansion *expansion, const struct value *args, size_t count,
                struct buf *out);
} functions[] = {
    {"index", OF_SPECS | OF_PAYLOADS, call_index},
    {"join", OF_SPECS | OF_PAYLOADS | OF_NAMES, call_join},
    {"secret", OF_PAYLOADS, call_secret},
    {"config", OF_PAYLOADS, call_config},
    {"env", OF_PAYLOADS, call_env},
    {"lower", OF_NAMES, call_lower},
    {"upper", OF_NAMES, call_upper},
};

// ---- parsing -----------------------------------------------------------------------------------

static void skip_blanks(struct str_part *rest)
{
    while (rest->len && strchr(" \t\r\n", *rest->at) && *rest->at) {
        rest->at++;
        rest->len--;
    }
}

static struct str_part take(struct str_part *rest, size_t size)
{
    struct str_part part = {.at = rest->at, .len = size};
    rest->at += size;
    rest->len -= size;
    return part;
}

// "text" with Go's common escapes, or `text` as it is.
static int take_literal(struct expansion *expansion, struct str_part *rest, struct value *out)
{
    static const char escapes[] = "\"\\ntr";
    static const char meanings[] = "\"\\\n\t\r";
    struct str_part whole = *rest;
    char quote = *take(rest, 1).at;
    char *text = arena_alloc(&expansion->arena, rest->len + 1);
    if (!text)
        return err_set(expansion->err, ERR_RESOURCE_EXHAUSTED, "template is too large");
    size_t size = 0;
    while (rest->len) {
        char c = *take(rest, 1).at;
        if (c == quote) {
            *out = (struct value){.text = text, .size = size};
            return 0;
        }
        if (c == '\\' && quote == '"') {
            const char *escape = rest->len && *rest->at ? strchr(escapes, *rest->at) : NULL;
            if (!escape)
                return fail(expansion, "unknown escape", whole);
            take(rest, 1);
            c = meanings[escape - escapes];
        }
        text[size++] = c;
    }
    return fail(expansion, "unterminated text", whole);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static struct str_part take_word(struct str_part *rest)
{
    size_t size = 0;
    while (size < rest->len && is_word(rest->at[size]))
        size++;
    return take(rest, size);
}

static int take_value(struct expansion *expansion, struct str_part *rest, struct value *out)
{
    if (*rest->at == '"' || *rest->at == '`')
        return take_literal(expansion, rest, out);
    if (*rest->at == '.')
        return get_field(expansion, take_word(rest), out);
    return fail(expansion, "not supported", *rest);
}

static const struct function *find_function(const struct expansion *expansion, struct str_part name)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        if (str_part_is(name, functions[i].name) && (functions[i].kinds & expansion->kind))
            return &functions[i];
    return NULL;
}

static int run_function(struct expansion *expansion, struct str_part rest, struct buf *out)
{
    struct str_part whole = rest;
    const struct function *function = find_function(expansion, take_word(&rest));
    if (!function)
        return fail(expansion, "not supported", whole);
    struct value args[TEMPLATE_ARGS_MAX];
    size_t count = 0;
    for (skip_blanks(&rest); rest.len; skip_blanks(&rest)) {
        if (count == TEMPLATE_ARGS_MAX)
            return fail(expansion, "too many arguments", whole);
        int result = take_value(expansion, &rest, &args[count++]);
        if (result)
            return result;
    }
    return function->call(expansion, args, count, out);
}

// What stands between {{ and }}.
static int run_action(struct expansion *expansion, struct str_part action, struct buf *out)
{
    struct str_part rest = str_trim(action);
    if (rest.len >= 4 && memcmp(rest.at, "/*", 2) == 0 &&
        memcmp(rest.at + rest.len - 2, "*/", 2) == 0)
        return 0;
    if (!rest.len)
        return fail(expansion, "missing value", action);
    if (isalpha((unsigned char)*rest.at))
        return run_function(expansion, rest, out);
    struct value value;
    int result = take_value(expansion, &rest, &value);
    if (result)
        return result;
    skip_blanks(&rest);
    if (rest.len)
        return fail(expansion, "not supported", rest);
    if (value.is_labels)
        return fail(expansion, "labels cannot be written as a whole", action);
    buf_put(out, value.text, value.size);
    return 0;
}

// The end of the action that begins at `at`: the next }} that is in no literal. NULL when there is
// none.
static const char *action_end(const char *at, const char *end)
{
    char quote = 0;
    for (; at + 1 < end; at++) {
        if (quote) {
            if (*at == '\\' && quote == '"')
                at++;
            else if (*at == quote)
                quote = 0;
        } else if (*at == '"' || *at == '`') {
            quote = *at;
        } else if (at[0] == '}' && at[1] == '}') {
            return at;
        }
    }
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Text as it is, less what "-}}" before it and "{{-" behind it ask to trim.
static void put_text(struct buf *out, const char *at, const char *end, bool trim_left,
                     bool trim_right)
{
    while (trim_left && at < end && is_blank(*at))
        at++;
    while (trim_right && end > at && is_blank(end[-1]))
        end--;
    buf_put(out, at, (size_t)(end - at));
}

static int expand(struct expansion *expansion, const char *at, const char *end, struct buf *out)
{
    bool trim = false;
    for (;;) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2);
        if (!open) {
            put_text(out, at, end, trim, false);
            return 0;
        }
        const char *begin = open + 2;
        bool trim_before = end - begin >= 2 && begin[0] == '-' && is_blank(begin[1]);
        put_text(out, at, open, trim, trim_before);
        if (trim_before)
            begin++;
        const char *close = action_end(begin, end);
        if (!close)
            return fail(expansion, "unclosed action",
                        (struct str_part){.at = open, .len = (size_t)(end - open)});
        trim = close - begin >= 2 && close[-1] == '-' && is_blank(close[-2]);
        struct str_part action = {.at = begin, .len = (size_t)(close - begin) - (trim ? 1 : 0)};
        int result = run_action(expansion, action, out);
        if (result)
            return result;
        if (!buf_ok(out))
            return err_set(expansion->err, ERR_RESOURCE_EXHAUSTED,
                           "template expands to more than %zu bytes", out->limit);
        at = close + 2;
    }
}

static int expand_all(struct expansion *expansion, const char *text, size_t size, struct buf *out)
{
    arena_init(&expansion->arena, 4 * TEMPLATE_PAYLOAD_BYTES);
    int result = expand(expansion, text, text + size, out);
    if (!result && !buf_ok(out))
        result = err_set(expansion->err, ERR_RESOURCE_EXHAUSTED,
                         "template expands to more than %zu bytes", out->limit);
    arena_fini(&expansion->arena);
    return result;
}

int template_expand(const struct template_context *context, const char *text, size_t size,
                    bool payload, struct buf *out, struct err *err)
{
    struct expansion expansion = {
        .kind = payload ? OF_PAYLOADS : OF_SPECS, .context = context, .err = err};
    return expand_all(&expansion, text, size, out);
}

int template_expand_names(const char *(*field)(void *owner, struct str_part path), void *owner,
                          const char *text, size_t size, struct buf *out, struct err *err)
{
    struct expansion expansion = {.kind = OF_NAMES, .field = field, .owner = owner, .err = err};
    return expand_all(&expansion, text, size, out);
}

// ---- a task's spec -----------------------------------------------------------------------------

struct spec_expansion {
    const struct template_context *context;
    struct arena *arena;
    struct err *err;
};

// Replaces *text by its expansion; `skip` characters at its front stay as they are.
static int expand_field(const struct spec_expansion *spec, const char **text, size_t skip,
                        const char *what)
{
    if (str_empty(*text) || !strstr(*text, "{{"))
        return 0;
    struct buf out;
    buf_init(&out, TEMPLATE_VALUE_BYTES);
    buf_put(&out, *text, skip);
    const char *rest = *text + skip;
    int result = template_expand(spec->context, rest, strlen(rest), false, &out, spec->err);
    if (result) {
        err_wrap(spec->err, "expanding %s", what);
    } else {
        char *copy = arena_strndup(spec->arena, (const char *)out.data, out.len);
        if (copy)
            *text = copy;
    }
    buf_fini(&out);
    return result;
}

static int expand_env(const struct spec_expansion *spec, const char **entry)
{
    const char *equals = strchr(*entry, '=');
    return equals ? expand_field(spec, entry, (size_t)(equals - *entry) + 1, "env") : 0;
}

static int expand_mount(const struct spec_expansion *spec, Swarm__Mount *mount)
{
    int result = expand_field(spec, &mount->source, 0, "mount source");
    if (!result)
        result = expand_field(spec, &mount->target, 0, "mount target");
    Swarm__Mount__VolumeOptions *options = mount->volume_options;
    for (size_t i = 0; !result && options && i < options->n_labels; i++)
        result = expand_field(spec, &options->labels[i]->value, 0, "volume label");
    Swarm__Driver *driver = options ? options->driver_config : NULL;
    for (size_t i = 0; !result && driver && i < driver->n_options; i++)
        result = expand_field(spec, &driver->options[i]->value, 0, "volume driver option");
    return result;
}

Swarm__Task *template_expand_task(const struct template_context *context, struct arena *arena,
                                  struct err *err)
{
    struct spec_expansion spec = {.context = context, .arena = arena, .err = err};
    Swarm__Task *task = wire_copy(context->task, arena);
    Swarm__ContainerSpec *container =
        task && task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER
            ? task->spec->container
            : NULL;
    int result = 0;
    if (container)
        result = expand_field(&spec, &container->hostname, 0, "hostname");
    for (size_t i = 0; !result && container && i < container->n_env; i++)
        result = expand_env(&spec, &container->env[i]);
    for (size_t i = 0; !result && container && i < container->n_mounts; i++)
        result = expand_mount(&spec, container->mounts[i]);
    if (!result && arena_overflowed(arena))
        result = err_set(err, ERR_RESOURCE_EXHAUSTED, "the task's spec is too large");
    return result ? NULL : task;
}
