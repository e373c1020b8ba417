#include "agent/task_files.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"

// Adds the data of one reference, expanded if it is a template.
static int add_file(const struct template_context *context, const char *kind, const char *name,
                    const ProtobufCBinaryData *data, const Swarm__Driver *templating,
                    struct executor_file *file, struct arena *arena, struct err *err)
{
    if (!data)
        return err_set(err, ERR_NOT_FOUND, "%s %s was not assigned to this node", kind, name);
    file->data = data->data;
    file->size = data->len;
    if (!templating || str_empty(templating->name))
        return 0;
    if (!str_equal(templating->name, NAME_TEMPLATING_GOLANG))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s %s: unrecognized template type \"%s\"", kind,
                       name, templating->name);
    struct buf out;
    buf_init(&out, TEMPLATE_PAYLOAD_BYTES);
    int result = template_expand(context, (const char *)data->data, data->len, true, &out, err);
    if (!result) {
        file->data = arena_memdup(arena, out.data, out.len);
        file->size = file->data ? out.len : 0;
    } else {
        err_wrap(err, "%s %s", kind, name);
    }
    buf_wipe(&out);
    return result;
}

// A secret that a driver made for one task alone comes under an id of its own (section 9.4).
static const Swarm__Secret *find_secret(const struct map *secrets, const char *id,
                                        const char *task_id)
{
    char *own = str_printf("%s.%s", id, task_id);
    const Swarm__Secret *secret = map_get_str(secrets, own);
    free(own);
    return secret ? secret : map_get_str(secrets, id);
}

int task_files_gather(const struct task_files *from, const Swarm__Task *task,
                      struct executor_order *order, struct arena *arena, struct err *err)
{
    const Swarm__ContainerSpec *spec =
        task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER ? task->spec->container
                                                                        : NULL;
    size_t count = spec ? spec->n_secrets + spec->n_configs : 0;
    struct executor_file *raw = arena_alloc_array(arena, count, sizeof *raw);
    struct executor_file *files = arena_alloc_array(arena, count, sizeof *files);
    if (!raw || !files)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many secrets and configs");
    struct template_context context = {
        .task = task, .node = from->node, .files = raw, .files_count = count};
    for (int expand = 0; expand < 2; expand++) {
        struct executor_file *to = expand ? files : raw;
        for (size_t i = 0; i < count; i++) {
            bool is_secret = i < spec->n_secrets;
            const Swarm__SecretReference *secret_ref = is_secret ? spec->secrets[i] : NULL;
            const Swarm__ConfigReference *config_ref =
                is_secret ? NULL : spec->configs[i - spec->n_secrets];
            const char *id = is_secret ? secret_ref->secret_id : config_ref->config_id;
            const char *name =
                str_or(is_secret ? secret_ref->secret_name : config_ref->config_name, id);
            const Swarm__Secret *secret =
                is_secret ? find_secret(from->secrets, id, task->id) : NULL;
            const Swarm__Config *config = is_secret ? NULL : map_get_str(from->configs, id);
            const ProtobufCBinaryData *data = secret   ? &secret->spec->data
                                              : config ? &config->spec->data
                                                       : NULL;
            const Swarm__Driver *templating = secret   ? secret->spec->templating
                                              : config ? config->spec->templating
                                                       : NULL;
            to[i] = (struct executor_file){.secret = secret_ref, .config = config_ref};
            int result = add_file(&context, is_secret ? "secret" : "config", name, data,
                                  expand ? templating : NULL, &to[i], arena, err);
            if (result)
                return result;
        }
    }
    order->files = files;
    order->files_count = count;
    return 0;
}
