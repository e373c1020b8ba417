// An image made of a container (docker commit): its configuration with what the client changes, its
// layers and one more.
#include <string.h>

#include "agent/crate/config.h"
#include "agent/engine/containers.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand_files.h"
#include "agent/engine/rows.h"
#include "agent/image/instruction.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct committing {
    struct errand_files files; // first; the layer on its way
    struct crate_commit commit;
    json_t *config;
    char reference[REFERENCE_TEXT_BYTES];
    struct arena arena; // author and comment
};

static void committing_fini(struct errand_files *files)
{
    struct committing *committing = (struct committing *)files;
    json_decref(committing->config);
    arena_fini(&committing->arena);
}

static void commit_done(void *owner, const struct err *err)
{
    struct committing *committing = owner;
    struct request *request = committing->files.errand.request;
    if (!errand_back(&committing->files.errand))
        return;
    if (err) {
        errand_fail(request, err);
        return;
    }
    const struct backend_local *local = errand_local(request);
    const struct image *image =
        local ? library_by_id(images_library(local->images), committing->commit.image_id) : NULL;
    if (image && *committing->reference)
        image_tell(request, "tag", image, committing->reference);
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "Id", committing->commit.image_id);
    json_out_end(out);
    request_send(request, 201);
}

// The body is a whole Config in dockerd's eyes, whose members win.
static void take_body(json_t *config, const json_t *body)
{
    static const char *const names[] = {"User",       "ExposedPorts", "Env",        "Entrypoint",
                                        "Cmd",        "Volumes",      "WorkingDir", "Labels",
                                        "StopSignal", "Healthcheck",  "OnBuild"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_t *value = json_object_get(body, names[i]);
        bool given = json_is_string(value)   ? !str_empty(json_string_value(value))
                     : json_is_array(value)  ? json_array_size(value) > 0
                     : json_is_object(value) ? json_object_size(value) > 0
                                             : false;
        if (given)
            json_object_set_new(config, names[i], json_deep_copy(value));
    }
}

static int take_changes(struct request *request, json_t *config, struct err *err)
{
    bool cmd_set = false;
    const char *text;
    int rc = 0;
    for (size_t i = 0; !rc && (text = request_query_at(request, "changes", i)); i++)
        rc = instruction_apply(config, text, &cmd_set, err);
    return rc;
}

static int take_name(struct request *request, struct committing *committing, struct err *err)
{
    const char *repo = str_or(request_query(request, "repo"), "");
    const char *tag = str_or(request_query(request, "tag"), "");
    struct reference reference;
    if (!*repo)
        return 0;
    if (!str_format(committing->reference, sizeof committing->reference, *tag ? "%s:%s" : "%s",
                    repo, tag))
        return err_set(err, ERR_INVALID_ARGUMENT, "the image's name is too long");
    return reference_parse(committing->reference, &reference, err);
}

static void commit(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    const json_t *body = local && request_body_bytes(request) ? request_json(request) : NULL;
    const char *container = str_or(request_query(request, "container"), "");
    struct err err = ERR_INIT;
    if (!local || (request_body_bytes(request) && !body))
        return;
    json_t *looked_at = config_read(json_is_null(body) ? NULL : body, &err);
    if (!looked_at) {
        request_fail(request, 400, "%s", err.message);
        return;
    }
    json_decref(looked_at);
    struct crate *crate = crates_find(local->crates, container, &err);
    if (!crate) {
        request_fail_err(request, &err);
        return;
    }
    struct committing *committing = errand_new(request, sizeof *committing);
    struct crate_commit *to = &committing->commit;
    committing->files.fini = committing_fini;
    committing->config = crate_image_config(crate);
    arena_init(&committing->arena, 1u << 20);
    if (errand_files_init(&committing->files, local->tmp_dir, &err) ||
        take_name(request, committing, &err)) {
        request_fail_err(request, &err);
        return;
    }
    take_body(committing->config, body);
    if (take_changes(request, committing->config, &err)) {
        request_fail_err(request, &err);
        return;
    }
    to->layer_path = committing->files.path;
    to->reference = committing->reference;
    to->author = arena_strdup(&committing->arena, str_or(request_query(request, "author"), ""));
    to->comment = arena_strdup(&committing->arena, str_or(request_query(request, "comment"), ""));
    to->pause = !request_query(request, "pause") || request_flag(request, "pause");
    to->config = committing->config;
    if (arena_overflowed(&committing->arena)) {
        request_fail(request, 400, "the comment is too long");
        return;
    }
    errand_await(&committing->files.errand);
    crate_commit(crate, to, commit_done, committing);
}

static const struct endpoint rows[] = {
    {"POST", "/commit", commit},
};
ENDPOINTS(commit_endpoints, rows);
