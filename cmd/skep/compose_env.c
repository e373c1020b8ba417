#include "cmd/skep/compose_env.h"

#include "cmd/skep/common.h"
#include "cmd/skep/parse.h"
#include "proto/base/str.h"

static void set_variable(const struct compose_files *files, json_t *env, const char *name,
                         json_t *value)
{
    json_t *ours = json_object_get(files->variables, name);
    json_object_set(env, name, json_is_string(value) || !ours ? value : ours);
}

static int read_file(const struct compose_files *files, const char *path, json_t *env,
                     struct arena *arena, struct err *err)
{
    const char *text = files->read(files->owner, path, NULL, err);
    json_t *lines = json_array(), *line;
    size_t i;
    int result = text ? parse_env_file(text, NULL, lines, arena, err) : -(int)err->code;
    json_array_foreach(lines, i, line)
    {
        const char *rest, *name = split_once(json_string_value(line), '=', &rest, arena);
        json_t *value = rest ? json_string(rest) : json_null();
        if (rest || json_object_get(files->variables, name))
            set_variable(files, env, name, value);
        json_decref(value);
    }
    json_decref(lines);
    return result;
}

json_t *compose_environment(const json_t *service, const struct compose_files *files,
                            struct arena *arena, struct err *err)
{
    json_t *env = json_object(), *list = json_array(), *item;
    const char *key;
    size_t i;
    int result = 0;
    json_array_foreach(at(service, "env_file"), i, item)
    {
        if (result == 0 && read_file(files, json_string_value(item), env, arena, err) < 0)
            result = err_wrap(err, "env_file");
    }
    json_object_foreach(at(service, "environment"), key, item) set_variable(files, env, key, item);
    json_object_foreach(env, key, item)
    {
        const char *text = json_string_value(item);
        json_array_append_new(list,
                              json_string(text ? arena_printf(arena, "%s=%s", key, text) : key));
    }
    json_decref(env);
    if (result == 0)
        return list;
    json_decref(list);
    return NULL;
}
