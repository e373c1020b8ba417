#include "cmd/skep/service_spec.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/parse.h"
#include "proto/base/codec.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define CONTAINER "TaskTemplate.ContainerSpec."

// Options that are one value of the specification.
static const struct {
    const char *flag, *path;
    const char *choices; // with blanks around each; NULL: any
} rows[] = {
    {"hostname", CONTAINER "Hostname", NULL},
    {"user", CONTAINER "User", NULL},
    {"workdir", CONTAINER "Dir", NULL},
    {"stop-signal", CONTAINER "StopSignal", NULL},
    {"isolation", CONTAINER "Isolation", NULL},
    {"init", CONTAINER "Init", NULL},
    {"read-only", CONTAINER "ReadOnly", NULL},
    {"tty", CONTAINER "TTY", NULL},
    {"oom-score-adj", CONTAINER "OomScoreAdj", NULL},
    {"stop-grace-period", CONTAINER "StopGracePeriod", NULL},
    {"limit-cpu", "TaskTemplate.Resources.Limits.NanoCPUs", NULL},
    {"limit-memory", "TaskTemplate.Resources.Limits.MemoryBytes", NULL},
    {"limit-pids", "TaskTemplate.Resources.Limits.Pids", NULL},
    {"reserve-cpu", "TaskTemplate.Resources.Reservations.NanoCPUs", NULL},
    {"reserve-memory", "TaskTemplate.Resources.Reservations.MemoryBytes", NULL},
    {"restart-condition", "TaskTemplate.RestartPolicy.Condition", " none on-failure any "},
    {"restart-delay", "TaskTemplate.RestartPolicy.Delay", NULL},
    {"restart-max-attempts", "TaskTemplate.RestartPolicy.MaxAttempts", NULL},
    {"restart-window", "TaskTemplate.RestartPolicy.Window", NULL},
    {"replicas-max-per-node", "TaskTemplate.Placement.MaxReplicas", NULL},
    {"log-driver", "TaskTemplate.LogDriver.Name", NULL},
    {"endpoint-mode", "EndpointSpec.Mode", " vip dnsrr "},
    {"update-parallelism", "UpdateConfig.Parallelism", NULL},
    {"update-delay", "UpdateConfig.Delay", NULL},
    {"update-failure-action", "UpdateConfig.FailureAction", " pause continue rollback "},
    {"update-monitor", "UpdateConfig.Monitor", NULL},
    {"update-max-failure-ratio", "UpdateConfig.MaxFailureRatio", NULL},
    {"update-order", "UpdateConfig.Order", " start-first stop-first "},
    {"rollback-parallelism", "RollbackConfig.Parallelism", NULL},
    {"rollback-delay", "RollbackConfig.Delay", NULL},
    {"rollback-failure-action", "RollbackConfig.FailureAction", " pause continue "},
    {"rollback-monitor", "RollbackConfig.Monitor", NULL},
    {"rollback-max-failure-ratio", "RollbackConfig.MaxFailureRatio", NULL},
    {"rollback-order", "RollbackConfig.Order", " start-first stop-first "},
    {"health-interval", CONTAINER "Healthcheck.Interval", NULL},
    {"health-timeout", CONTAINER "Healthcheck.Timeout", NULL},
    {"health-start-period", CONTAINER "Healthcheck.StartPeriod", NULL},
    {"health-start-interval", CONTAINER "Healthcheck.StartInterval", NULL},
    {"health-retries", CONTAINER "Healthcheck.Retries", NULL},
};

static enum flag_kind kind_of(const struct args *args, const char *name)
{
    const struct flag *flag = args->flags;
    while (strcmp(flag->name, name) != 0)
        flag++;
    return flag->kind;
}

static int put_row(struct cli *cli, json_t *spec, size_t i)
{
    const struct args *args = &cli->args;
    const char *flag = rows[i].flag, *path = rows[i].path, *text = args_text(args, flag);
    if (rows[i].choices && !strstr(rows[i].choices, textf(cli, " %s ", text)))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "invalid argument \"%s\" for \"--%s\" flag: it is one of%.*s", text, flag,
                       (int)strlen(rows[i].choices) - 1, rows[i].choices);
    switch (kind_of(args, flag)) {
    case FLAG_BOOL:
        set_true(spec, path, args_on(args, flag));
        return 0;
    case FLAG_FLOAT:
        set_real(spec, path, args_float(args, flag, 0));
        return 0;
    case FLAG_TEXT:
        set_text(spec, path, text);
        return 0;
    default:
        set_number(spec, path, args_number(args, flag, 0));
        return 0;
    }
}

// An update's settings start from the defaults, because 0 tasks at once means all.
static void settle_update(struct cli *cli, json_t *spec, const char *prefix, const char *part)
{
    static const char *const names[] = {"parallelism",       "delay", "failure-action", "monitor",
                                        "max-failure-ratio", "order"};
    bool any = false;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        any = any || args_set(&cli->args, textf(cli, "%s-%s", prefix, names[i]));
    if (!any || at(spec, part))
        return;
    json_t *made = json_pack("{s:i, s:s, s:I, s:s}", "Parallelism", 1, "FailureAction", "pause",
                             "Monitor", (json_int_t)(5 * NS_PER_S), "Order", "stop-first");
    set_at(spec, part, made);
}

static int health_options(struct cli *cli, json_t *spec)
{
    const char *path = CONTAINER "Healthcheck";
    const char *command = args_text(&cli->args, "health-cmd");
    if (args_on(&cli->args, "no-healthcheck")) {
        if (command || at(spec, CONTAINER "Healthcheck.Interval"))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "--no-healthcheck conflicts with --health-* options");
        set_at(spec, path, json_pack("{s:[s]}", "Test", "NONE"));
        return 0;
    }
    if (command) {
        json_t *test = *command ? json_pack("[ss]", "CMD-SHELL", command) : json_array();
        set_at(spec, CONTAINER "Healthcheck.Test", test);
    } else if (str_equal(
                   json_string_value(json_array_get(at(spec, CONTAINER "Healthcheck.Test"), 0)),
                   "NONE") &&
               args_set(&cli->args, "health-interval")) {
        unset(spec, CONTAINER "Healthcheck.Test");
    }
    return 0;
}

static int mode_options(struct cli *cli, json_t *spec)
{
    const struct args *args = &cli->args;
    json_t *mode = object_at(spec, "Mode");
    bool replicas = args_set(args, "replicas"), concurrent = args_set(args, "max-concurrent");
    if (at(mode, "Replicated") && replicas)
        set_number(mode, "Replicated.Replicas", args_number(args, "replicas", 0));
    else if (at(mode, "ReplicatedJob") && replicas)
        set_number(mode, "ReplicatedJob.TotalCompletions", args_number(args, "replicas", 0));
    else if (replicas)
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "replicas can only be used with replicated or replicated-job mode");
    if (concurrent && !at(mode, "ReplicatedJob"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "max-concurrent can only be used with replicated-job mode");
    if (concurrent)
        set_number(mode, "ReplicatedJob.MaxConcurrent", args_number(args, "max-concurrent", 0));
    if (args_set(args, "replicas-max-per-node") && !at(mode, "Replicated") &&
        !at(mode, "ReplicatedJob"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "replicas-max-per-node can only be used with replicated or replicated-job "
                       "mode");
    return 0;
}

// The configuration with the credentials is referred to by its id, and is none of the files.
static int credential_config(struct cli *cli, json_t *spec)
{
    const char *path = CONTAINER "Privileges.CredentialSpec.Config";
    json_t *reference = json_pack("{s:s, s:{}}", "ConfigName", text_at(spec, path), "Runtime");
    json_t *own = keep(cli, json_pack("[O]", reference));
    json_array_append_new(array_at(spec, CONTAINER "Configs"), reference);
    if (service_resolve_files(cli, own, "Config") < 0)
        return -(int)cli->error.code;
    set_text(spec, path, text_at(reference, "ConfigID"));
    return 0;
}

static int credential_spec(struct cli *cli, json_t *spec)
{
    const char *given = args_text(&cli->args, "credential-spec");
    if (!given)
        return 0;
    static const struct {
        const char *scheme, *key;
    } kinds[] = {{"file://", "File"}, {"registry://", "Registry"}, {"config://", "Config"}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!str_starts(given, kinds[i].scheme))
            continue;
        set_at(spec, CONTAINER "Privileges.CredentialSpec",
               json_pack("{s:s}", kinds[i].key, given + strlen(kinds[i].scheme)));
        return str_equal(kinds[i].key, "Config") ? credential_config(cli, spec) : 0;
    }
    return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                   "invalid credential spec: value must be prefixed with \"config://\", "
                   "\"file://\", or \"registry://\"");
}

int service_spec_options(struct cli *cli, json_t *spec)
{
    const struct args *args = &cli->args;
    settle_update(cli, spec, "update", "UpdateConfig");
    settle_update(cli, spec, "rollback", "RollbackConfig");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (args_set(args, rows[i].flag) && put_row(cli, spec, i) < 0)
            return -(int)cli->error.code;
    if (args_set(args, "entrypoint")) {
        json_t *words = json_array();
        set_at(spec, CONTAINER "Command", words);
        if (parse_words(args_text(args, "entrypoint"), words, &cli->arena, &cli->error) < 0)
            return err_wrap(&cli->error, "--entrypoint");
    }
    if (args_set(args, "log-opt") && !at(spec, "TaskTemplate.LogDriver.Name"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "--log-opt needs --log-driver");
    if (args_set(args, "log-opt"))
        set_at(spec, "TaskTemplate.LogDriver.Options", json_incref(pairs_object(cli, "log-opt")));
    if (health_options(cli, spec) < 0 || credential_spec(cli, spec) < 0)
        return -(int)cli->error.code;
    return mode_options(cli, spec);
}

// ---- names into ids -----------------------------------------------------------------------------

int service_resolve_network(struct cli *cli, json_t *network)
{
    json_t *found =
        api_get(cli, "/networks/%s?scope=swarm", escape(cli, text_at(network, "Target")));
    if (!found)
        return -(int)cli->error.code;
    set_text(network, "Target", text_at(found, "Id"));
    return 0;
}

int service_resolve_files(struct cli *cli, json_t *references, const char *kind)
{
    bool secret = str_equal(kind, "Secret");
    const char *name_key = secret ? "SecretName" : "ConfigName";
    const char *id_key = secret ? "SecretID" : "ConfigID";
    if (json_array_size(references) == 0)
        return 0;
    json_t *all = api_get(cli, secret ? "/secrets" : "/configs");
    if (!all)
        return -(int)cli->error.code;
    size_t i, j;
    json_t *reference, *object;
    json_array_foreach(references, i, reference)
    {
        const char *name = text_at(reference, name_key), *id = NULL;
        json_array_foreach(all, j, object) if (str_equal(text_at(object, "Spec.Name"), name)) id =
            text_at(object, "ID");
        if (*text_at(reference, id_key))
            continue;
        if (!id)
            return err_set(&cli->error, ERR_NOT_FOUND, "%s not found: %s",
                           secret ? "secret" : "config", name);
        set_text(reference, id_key, id);
    }
    return 0;
}

// ---- images -------------------------------------------------------------------------------------

// The swarm does not tell the kinds of ARM apart as images do: as docker, a service of one is bound
// to the system alone.
static const char *node_architecture(const char *image_architecture)
{
    return str_equal(image_architecture, "arm") ? "" : image_architecture;
}

const char *service_resolve_image(struct cli *cli, json_t *spec, const char *auth)
{
    const char *image = text_at(spec, CONTAINER "Image");
    if (!*image)
        return "";
    json_t *found = api_auth(cli, "GET", textf(cli, "/distribution/%s/json", image), NULL, auth);
    const char *digest = text_at(found, "Descriptor.digest");
    if (!*digest)
        return textf(
            cli,
            "image %s could not be accessed on a registry to record\nits digest. Each node will "
            "access %s independently,\npossibly leading to different nodes running different\n"
            "versions of the image.\n\n",
            image, image);
    if (!strchr(image, '@'))
        set_text(spec, CONTAINER "Image", textf(cli, "%s@%s", image, digest));
    json_t *platforms = json_array(), *platform;
    size_t i;
    json_array_foreach(at(found, "Platforms"), i, platform) json_array_append_new(
        platforms, json_pack("{s:s, s:s}", "Architecture",
                             node_architecture(text_at(platform, "architecture")), "OS",
                             text_at(platform, "os")));
    if (json_array_size(platforms))
        set_at(spec, "TaskTemplate.Placement.Platforms", platforms);
    else
        json_decref(platforms);
    return "";
}
