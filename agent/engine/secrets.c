// /secrets and /configs: one shape, two nouns.
#include "agent/engine/engine.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

static const struct filter_row filters[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},
    {"name", FILTER_TEXTS, "name_prefixes", NULL},
    {"names", FILTER_TEXTS, "names", NULL},
    {"label", FILTER_LABELS, "labels", NULL},
};

// Stock engines know no "names" here.
static const struct filter_row config_filters[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},
    {"name", FILTER_TEXTS, "name_prefixes", NULL},
    {"label", FILTER_LABELS, "labels", NULL},
};

const struct noun noun_secret = {
    .word = "secret",
    .get = CONTROL("GetSecret"),
    .id_field = "secret_id",
    .list = CONTROL("ListSecrets"),
    .remove = CONTROL("RemoveSecret"),
    .fields = &secret_fields,
    .filters = filters,
    .filters_count = COUNT_OF(filters),
};

const struct noun noun_config = {
    .word = "config",
    .get = CONTROL("GetConfig"),
    .id_field = "config_id",
    .list = CONTROL("ListConfigs"),
    .remove = CONTROL("RemoveConfig"),
    .fields = &config_fields,
    .filters = config_filters,
    .filters_count = COUNT_OF(config_filters),
};

static void list_secrets(struct request *request)
{
    noun_list(request, &noun_secret);
}
static void list_configs(struct request *request)
{
    noun_list(request, &noun_config);
}
static void inspect_secret(struct request *request)
{
    noun_inspect(request, &noun_secret);
}
static void inspect_config(struct request *request)
{
    noun_inspect(request, &noun_config);
}
static void remove_secret(struct request *request)
{
    noun_remove(request, &noun_secret, 204, false);
}
static void remove_config(struct request *request)
{
    noun_remove(request, &noun_config, 204, false);
}

// ---- creating ----------------------------------------------------------------------------------

static void send_id(struct request *request, const char *id)
{
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "ID", id);
    json_out_end(out);
    request_send(request, 201);
}

// The body as a spec of the table's type, or NULL after answering. As request_read.
static void *read_spec(struct request *request, const struct fields *fields, const char *what,
                       uint64_t *index)
{
    void *spec = wire_new(fields->type, request_arena(request));
    CHECK(spec);
    return request_read(request, fields, spec, what, index) ? spec : NULL;
}

static void create_secret(struct request *request)
{
    Swarm__SecretSpec *spec = read_spec(request, &secret_spec_fields, NULL, NULL);
    if (!spec)
        return;
    Swarm__CreateSecretRequest *message = request_message(request, CONTROL("CreateSecret"));
    message->spec = spec;
    request_call_create(request, CONTROL("CreateSecret"), message, send_id);
}

static void create_config(struct request *request)
{
    Swarm__ConfigSpec *spec = read_spec(request, &config_spec_fields, NULL, NULL);
    if (!spec)
        return;
    Swarm__CreateConfigRequest *message = request_message(request, CONTROL("CreateConfig"));
    message->spec = spec;
    request_call_create(request, CONTROL("CreateConfig"), message, send_id);
}

// ---- updating ----------------------------------------------------------------------------------

static void updated(struct request *request, const void *response)
{
    (void)response;
    request_empty(request, 200);
}

static void secret_found(struct request *request, const void *object)
{
    Swarm__UpdateSecretRequest *update = request_kept(request);
    update->secret_id = str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    request_call(request, CONTROL("UpdateSecret"), update, updated, NULL);
}

static void update_secret(struct request *request)
{
    uint64_t index;
    Swarm__SecretSpec *spec = read_spec(request, &secret_spec_fields, "secret", &index);
    if (!spec)
        return;
    Swarm__UpdateSecretRequest *message = request_message(request, CONTROL("UpdateSecret"));
    message->spec = spec;
    message->secret_version = wire_new(&swarm__version__descriptor, request_arena(request));
    message->secret_version->index = index;
    request_keep(request, message);
    noun_find(request, &noun_secret, request_param(request, "id"), secret_found);
}

static void config_found(struct request *request, const void *object)
{
    Swarm__UpdateConfigRequest *update = request_kept(request);
    update->config_id = str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    request_call(request, CONTROL("UpdateConfig"), update, updated, NULL);
}

static void update_config(struct request *request)
{
    uint64_t index;
    Swarm__ConfigSpec *spec = read_spec(request, &config_spec_fields, "config", &index);
    if (!spec)
        return;
    Swarm__UpdateConfigRequest *message = request_message(request, CONTROL("UpdateConfig"));
    message->spec = spec;
    message->config_version = wire_new(&swarm__version__descriptor, request_arena(request));
    message->config_version->index = index;
    request_keep(request, message);
    noun_find(request, &noun_config, request_param(request, "id"), config_found);
}

static const struct endpoint rows[] = {
    {"GET", "/secrets", list_secrets},
    {"POST", "/secrets/create", create_secret},
    {"GET", "/secrets/{id}", inspect_secret},
    {"DELETE", "/secrets/{id}", remove_secret},
    {"POST", "/secrets/{id}/update", update_secret},
    {"GET", "/configs", list_configs},
    {"POST", "/configs/create", create_config},
    {"GET", "/configs/{id}", inspect_config},
    {"DELETE", "/configs/{id}", remove_config},
    {"POST", "/configs/{id}/update", update_config},
};
SWARM_ENDPOINTS(secret_endpoints, rows);
