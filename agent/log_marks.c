#include "agent/log_marks.h"

#include <string.h>

#include "agent/pattern.h"
#include "agent/task/template.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define SHORT_ID_LENGTH 12
#define DIGEST_PREFIX   "sha256:"

struct marking {
    const struct log_marks_container *container;
    struct arena *arena;
    struct oci_pair *marks;
    size_t count;
    struct err *err;
};

const char **log_marks_option(struct log_marks_options *options, const char *key)
{
    const struct {
        const char *key;
        const char **value;
    } rows[] = {
        {"labels", &options->labels}, {"labels-regex", &options->labels_regex},
        {"env", &options->env},       {"env-regex", &options->env_regex},
        {"tag", &options->tag},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (str_equal(rows[i].key, key))
            return rows[i].value;
    return NULL;
}

// A later one of the same name wins, as in dockerd's map.
static void mark(struct marking *marking, const char *key, const char *value)
{
    size_t at = 0;
    while (at < marking->count && !str_equal(marking->marks[at].key, key))
        at++;
    if (at == LOG_MARKS_MAX)
        return;
    key = arena_strdup(marking->arena, key);
    value = arena_strdup(marking->arena, value);
    if (!key || !value)
        return; // told by the arena
    marking->marks[at] = (struct oci_pair){key, value};
    marking->count += at == marking->count;
}

// "K=V" as a pair; one without a value is no variable.
static bool variable(struct marking *marking, size_t index, struct oci_pair *out)
{
    const char *text = marking->container->env.items[index];
    const char *equals = strchr(text, '=');
    if (!equals)
        return false;
    const char *key = arena_strndup(marking->arena, text, (size_t)(equals - text));
    *out = (struct oci_pair){key, equals + 1};
    return key != NULL;
}

static bool label(struct marking *marking, size_t index, struct oci_pair *out)
{
    *out = marking->container->labels[index];
    return true;
}

// Where marks come from: labels or variables, by names or by an expression.
struct origin {
    const char *names, *expression;
    size_t count;
    bool (*get)(struct marking *marking, size_t index, struct oci_pair *out);
};

static bool named(const char *names, const char *key)
{
    struct str_part name;
    while (!str_empty(names) && str_split(&names, ',', &name))
        if (str_part_is(name, key))
            return true;
    return false;
}

static int mark_origin(struct marking *marking, const struct origin *origin)
{
    struct pattern pattern;
    bool by_pattern = !str_empty(origin->expression);
    if (by_pattern) {
        int rc = pattern_init(&pattern, origin->expression, marking->err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < origin->count; i++) {
        struct oci_pair pair;
        if (origin->get(marking, i, &pair) &&
            (named(origin->names, pair.key) || (by_pattern && pattern_found(&pattern, pair.key))))
            mark(marking, pair.key, str_or(pair.value, ""));
    }
    if (by_pattern)
        pattern_fini(&pattern);
    return 0;
}

// ---- the tag -----------------------------------------------------------------------------------

static const char *shortened(struct marking *marking, const char *id)
{
    return str_or(arena_printf(marking->arena, "%.*s", SHORT_ID_LENGTH, str_or(id, "")), "");
}

static const char *tag_field(void *owner, struct str_part path)
{
    struct marking *marking = owner;
    const struct log_marks_container *container = marking->container;
    const struct {
        const char *path;
        const char *value;
    } fields[] = {
        {".ID", shortened(marking, container->id)},
        {".FullID", container->id},
        {".ContainerID", container->id},
        {".Name", container->name},
        {".ContainerName", arena_printf(marking->arena, "/%s", str_or(container->name, ""))},
        {".ImageID", shortened(marking, container->image_id)},
        {".ImageFullID", container->image_id},
        {".ContainerImageID", container->image_id},
        {".ImageName", container->image},
        {".ContainerImageName", container->image},
        {".Command", container->command},
        {".DaemonName", "docker"},
    };
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (str_part_is(path, fields[i].path))
            return str_or(fields[i].value, "");
    return NULL;
}

static int mark_tag(struct marking *marking, const char *tag)
{
    struct buf out;
    buf_init(&out, LOG_MARKS_TAG_BYTES);
    int rc = template_expand_names(tag_field, marking, tag, strlen(tag), &out, marking->err);
    if (rc)
        err_wrap(marking->err, "log-tag");
    else if (out.len)
        mark(marking, "tag", str_or(buf_cstr(&out), ""));
    buf_fini(&out);
    return rc;
}

// ---- all of it ---------------------------------------------------------------------------------

int log_marks_make(const struct log_marks_options *options,
                   const struct log_marks_container *container, struct arena *arena,
                   struct oci_pair **out, size_t *count, struct err *err)
{
    struct marking marking = {.container = container, .arena = arena, .err = err};
    const struct origin origins[] = {
        {options->labels, options->labels_regex, container->labels_count, label},
        {options->env, options->env_regex, container->env.count, variable},
    };
    *out = NULL;
    *count = 0;
    marking.marks = arena_alloc_array(arena, LOG_MARKS_MAX, sizeof *marking.marks);
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(origins) && marking.marks && !rc; i++)
        rc = mark_origin(&marking, &origins[i]);
    if (!rc && marking.marks && !str_empty(options->tag))
        rc = mark_tag(&marking, options->tag);
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "marks of a log are too large");
    if (rc)
        return rc;
    *out = marking.marks;
    *count = marking.count;
    return 0;
}

int log_marks_check(const struct log_marks_options *options, struct err *err)
{
    static const struct log_marks_container none;
    struct oci_pair *marks;
    size_t count;
    struct arena arena;
    arena_init(&arena, 16 * LOG_MARKS_TAG_BYTES);
    int rc = log_marks_make(options, &none, &arena, &marks, &count, err);
    arena_fini(&arena);
    return rc;
}
