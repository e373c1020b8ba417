// What a compose file's project becomes in the API: networks, secrets, configurations, services.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/compose_env.h"
#include "cmd/skep/compose_impl.h"
#include "cmd/skep/flags.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/restart.h"
#include "cmd/skep/text.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

int compose_refuse(struct converting *c, const char *what)
{
    return err_set(c->err, ERR_INVALID_ARGUMENT, "%s: %s", c->where, what);
}

bool compose_is_external(const json_t *object)
{
    const json_t *external = json_object_get(object, "external");
    return json_is_true(external) || json_is_object(external);
}

const char *compose_name(struct converting *c, const char *section, const char *key)
{
    const json_t *object = json_object_get(json_object_get(c->project, section), key);
    const char *name = text_at(object, "name");
    if (*name)
        return name;
    if (compose_is_external(object))
        return str_or(text_at(object, "external.name"), key);
    return arena_printf(c->arena, "%s_%s", c->stack, key);
}

json_t *compose_labels(struct converting *c, const json_t *labels)
{
    json_t *made = json_object(), *value;
    const char *key;
    json_object_foreach((json_t *)labels, key, value)
        json_object_set_new(made, key, json_string(str_or(json_string_value(value), "")));
    json_object_set_new(made, NAMESPACE, json_string(c->stack));
    return made;
}

// ---- small conversions --------------------------------------------------------------------------

void compose_copy(const json_t *from, const char *path, json_t *to, const char *as)
{
    json_t *value = at(from, path);
    if (value)
        set_at(to, as, json_incref(value));
}

int compose_number(struct converting *c, enum flag_kind kind, const json_t *from, const char *path,
                   json_t *to, const char *as)
{
    const char *text = text_at(from, path);
    int64_t number;
    struct err why = ERR_INIT;
    if (!*text)
        return 0;
    if (flag_number(kind, text, &number, &why) < 0)
        return compose_refuse(c, arena_printf(c->arena, "%s: %s", path, why.message));
    set_number(to, as, number);
    return 0;
}

static void copy_whole(const json_t *from, const char *path, json_t *to, const char *as)
{
    if (at(from, path))
        set_number(to, as, number_at(from, path));
}

// ---- the sections -------------------------------------------------------------------------------

static int convert_networks(struct converting *c, json_t *out)
{
    json_t *networks = json_object_get(c->project, "networks"), *network, *range;
    const char *key;
    size_t i;
    // The default network is there when a service is on no other.
    json_t *services = json_object_get(c->project, "services"), *service;
    bool wants_default = false;
    json_object_foreach(services, key, service)
    {
        json_t *on = json_object_get(service, "networks");
        wants_default =
            wants_default || json_object_size(on) == 0 || json_object_get(on, "default");
    }
    json_t *all = json_object();
    json_object_update(all, networks);
    if (wants_default && !json_object_get(all, "default"))
        json_object_set_new(all, "default", json_object());
    json_object_foreach(all, key, network)
    {
        const char *name = str_equal(key, "default") && !json_object_get(networks, "default")
                               ? arena_printf(c->arena, "%s_default", c->stack)
                               : compose_name(c, "networks", key);
        if (compose_is_external(network)) {
            json_array_append_new(array_at(out, "ExternalNetworks"), json_string(name));
            continue;
        }
        json_t *made = json_object();
        set_text(made, "Name", name);
        set_true(made, "CheckDuplicate", true);
        set_text(made, "Driver", str_or(text_at(network, "driver"), "overlay"));
        compose_copy(network, "driver_opts", made, "Options");
        compose_copy(network, "internal", made, "Internal");
        compose_copy(network, "attachable", made, "Attachable");
        compose_copy(network, "enable_ipv6", made, "EnableIPv6");
        set_at(made, "Labels", compose_labels(c, at(network, "labels")));
        if (at(network, "ipam"))
            set_text(made, "IPAM.Driver", str_or(text_at(network, "ipam.driver"), "default"));
        compose_copy(network, "ipam.options", made, "IPAM.Options");
        json_array_foreach(at(network, "ipam.config"), i, range)
        {
            json_t *config = json_object();
            compose_copy(range, "subnet", config, "Subnet");
            compose_copy(range, "gateway", config, "Gateway");
            compose_copy(range, "ip_range", config, "IPRange");
            compose_copy(range, "aux_addresses", config, "AuxiliaryAddresses");
            json_array_append_new(array_at(made, "IPAM.Config"), config);
        }
        json_array_append_new(array_at(out, "Networks"), made);
    }
    json_decref(all);
    return 0;
}

// A volume is made where a task mounts it; here is only seen whether it can be.
static int check_volumes(struct converting *c)
{
    static const char *const own[] = {"driver", "driver_opts", "labels"};
    json_t *volume;
    const char *key;
    json_object_foreach(json_object_get(c->project, "volumes"), key, volume)
    {
        c->where = arena_printf(c->arena, "volumes.%s", key);
        for (size_t i = 0; i < COUNT_OF(own); i++)
            if (compose_is_external(volume) && at(volume, own[i]))
                return compose_refuse(
                    c, arena_printf(c->arena, "either external or %s, not both", own[i]));
    }
    return 0;
}

static int convert_data(struct converting *c, const char *section, const char *as,
                        const char *external_as, json_t *out)
{
    json_t *object;
    const char *key;
    json_object_foreach(json_object_get(c->project, section), key, object)
    {
        const char *name = compose_name(c, section, key), *file = text_at(object, "file");
        c->where = arena_printf(c->arena, "%s.%s", section, key);
        if (compose_is_external(object)) {
            json_array_append_new(array_at(out, external_as), json_string(name));
            continue;
        }
        json_t *made = json_object();
        json_array_append_new(array_at(out, as), made);
        set_text(made, "Name", name);
        set_at(made, "Labels", compose_labels(c, at(object, "labels")));
        if (*text_at(object, "driver")) {
            set_text(made, "Driver.Name", text_at(object, "driver"));
            compose_copy(object, "driver_opts", made, "Driver.Options");
        }
        if (*text_at(object, "template_driver"))
            set_text(made, "Templating.Name", text_at(object, "template_driver"));
        if (!*file && !*text_at(object, "driver"))
            return compose_refuse(c, "a file, or external: true, is needed");
        if (*file && *text_at(object, "driver"))
            return compose_refuse(c, "either a file or a driver, not both");
        if (!*file)
            continue;
        size_t size = 0;
        struct err why = ERR_INIT;
        const char *data = c->files->read(c->files->owner, file, &size, &why);
        if (!data)
            return compose_refuse(c, why.message);
        struct buf text;
        buf_init(&text, (size_t)256 << 20);
        base64_encode(BASE64_STD, data, size, &text);
        set_text(made, "Data", str_or(buf_cstr(&text), ""));
        buf_wipe(&text);
    }
    return 0;
}

// ---- services -----------------------------------------------------------------------------------

static int put_environment(struct converting *c, const json_t *service, json_t *spec)
{
    struct err why = ERR_INIT;
    json_t *list = compose_environment(service, c->files, c->arena, &why);
    if (!list)
        return compose_refuse(c, why.message);
    if (json_array_size(list))
        set_at(spec, CONTAINER "Env", json_incref(list));
    json_decref(list);
    return 0;
}

static int put_ports(struct converting *c, const json_t *service, json_t *spec)
{
    size_t i;
    json_t *port;
    json_array_foreach(at(service, "ports"), i, port)
    {
        json_int_t target = number_at(port, "target"), published = number_at(port, "published");
        if (target < 1 || target > 65535 || published < 0 || published > 65535)
            return compose_refuse(c, "ports: a port is a number from 1 to 65535");
        json_t *made = json_pack("{s:s, s:I}", "Protocol", str_or(text_at(port, "protocol"), "tcp"),
                                 "TargetPort", target);
        if (published)
            set_number(made, "PublishedPort", published);
        set_text(made, "PublishMode", str_or(text_at(port, "mode"), "ingress"));
        json_array_append_new(array_at(spec, "EndpointSpec.Ports"), made);
    }
    return 0;
}

static int put_files(struct converting *c, const json_t *service, const char *section,
                     const char *kind, json_t *spec)
{
    size_t i;
    json_t *reference;
    json_array_foreach(at(service, section), i, reference)
    {
        const char *source = text_at(reference, "source");
        if (!json_object_get(json_object_get(c->project, section), source))
            return compose_refuse(c, arena_printf(c->arena, "undefined %s \"%s\"",
                                                  str_equal(kind, "Secret") ? "secret" : "config",
                                                  source));
        const char *target = str_or(text_at(reference, "target"), source);
        json_t *made = json_object();
        set_text(made, "File.Name", target);
        set_text(made, "File.UID", str_or(text_at(reference, "uid"), "0"));
        set_text(made, "File.GID", str_or(text_at(reference, "gid"), "0"));
        set_number(made, "File.Mode", at(reference, "mode") ? number_at(reference, "mode") : 0444);
        set_text(made, arena_printf(c->arena, "%sName", kind), compose_name(c, section, source));
        json_array_append_new(array_at(spec, arena_printf(c->arena, CONTAINER "%ss", kind)), made);
    }
    return 0;
}

// Names are known on networks that somebody made, not on those of the host.
static bool user_defined(const char *network)
{
    return !str_equal(network, "host") && !str_equal(network, "none") &&
           !str_equal(network, "bridge") && !str_equal(network, "default");
}

static int put_networks(struct converting *c, const char *name, const json_t *service, json_t *spec)
{
    json_t *networks = at(service, "networks"), *network, *alias;
    json_t *list = array_at(spec, "TaskTemplate.Networks");
    const char *key;
    size_t i;
    if (json_object_size(networks) == 0) {
        bool named = json_object_get(json_object_get(c->project, "networks"), "default") != NULL;
        json_array_append_new(list,
                              json_pack("{s:s, s:[s]}", "Target",
                                        named ? compose_name(c, "networks", "default")
                                              : arena_printf(c->arena, "%s_default", c->stack),
                                        "Aliases", name));
        return 0;
    }
    json_object_foreach(networks, key, network)
    {
        if (!json_object_get(json_object_get(c->project, "networks"), key) &&
            !str_equal(key, "default"))
            return compose_refuse(c, arena_printf(c->arena, "undefined network \"%s\"", key));
        json_t *made = json_object();
        json_array_append_new(list, made);
        set_text(made, "Target", compose_name(c, "networks", key));
        json_array_foreach(at(network, "aliases"), i, alias)
            json_array_append(array_at(made, "Aliases"), alias);
        if (user_defined(text_at(made, "Target")))
            json_array_append_new(array_at(made, "Aliases"), json_string(name));
        compose_copy(network, "driver_opts", made, "DriverOpts");
    }
    return 0;
}

static int put_health(struct converting *c, const json_t *service, json_t *spec)
{
    json_t *health = at(service, "healthcheck"), *test = at(health, "test"), *made;
    if (!health)
        return 0;
    made = object_at(spec, CONTAINER "Healthcheck");
    if (true_at(health, "disable")) {
        set_at(made, "Test", json_pack("[s]", "NONE"));
        return 0;
    }
    if (json_is_string(test))
        set_at(made, "Test", json_pack("[ss]", "CMD-SHELL", json_string_value(test)));
    else if (json_is_array(test))
        set_at(made, "Test", json_incref(test));
    copy_whole(health, "retries", made, "Retries");
    if (compose_number(c, FLAG_DURATION, health, "interval", made, "Interval") < 0 ||
        compose_number(c, FLAG_DURATION, health, "timeout", made, "Timeout") < 0 ||
        compose_number(c, FLAG_DURATION, health, "start_period", made, "StartPeriod") < 0 ||
        compose_number(c, FLAG_DURATION, health, "start_interval", made, "StartInterval") < 0)
        return -ERR_INVALID_ARGUMENT;
    return 0;
}

static int put_update(struct converting *c, const json_t *update, json_t *spec, const char *as)
{
    if (!update)
        return 0;
    json_t *made = object_at(spec, as);
    set_number(made, "Parallelism",
               at(update, "parallelism") ? number_at(update, "parallelism") : 1);
    compose_copy(update, "failure_action", made, "FailureAction");
    compose_copy(update, "order", made, "Order");
    compose_copy(update, "max_failure_ratio", made, "MaxFailureRatio");
    if (compose_number(c, FLAG_DURATION, update, "delay", made, "Delay") < 0)
        return -ERR_INVALID_ARGUMENT;
    return compose_number(c, FLAG_DURATION, update, "monitor", made, "Monitor");
}

static int put_resources(struct converting *c, const json_t *resources, json_t *spec)
{
    json_t *made = object_at(spec, "TaskTemplate.Resources"), *generic;
    size_t i;
    copy_whole(resources, "limits.pids", made, "Limits.Pids");
    json_array_foreach(at(resources, "reservations.generic_resources"), i, generic)
        json_array_append_new(array_at(made, "Reservations.GenericResources"),
                              json_pack("{s:{s:s, s:I}}", "DiscreteResourceSpec", "Kind",
                                        text_at(generic, "discrete_resource_spec.kind"), "Value",
                                        number_at(generic, "discrete_resource_spec.value")));
    if (compose_number(c, FLAG_CPUS, resources, "limits.cpus", made, "Limits.NanoCPUs") < 0 ||
        compose_number(c, FLAG_BYTES, resources, "limits.memory", made, "Limits.MemoryBytes") < 0 ||
        compose_number(c, FLAG_CPUS, resources, "reservations.cpus", made,
                       "Reservations.NanoCPUs") < 0 ||
        compose_number(c, FLAG_BYTES, resources, "reservations.memory", made,
                       "Reservations.MemoryBytes") < 0)
        return -ERR_INVALID_ARGUMENT;
    return 0;
}

// `restart:` counts where `deploy: restart_policy:` is missing.
static int put_restart(struct converting *c, const json_t *service, json_t *spec)
{
    const char *text = text_at(service, "restart");
    struct restart restart;
    struct err why = ERR_INIT;
    if (!*text || at(service, "deploy.restart_policy"))
        return 0;
    if (restart_parse(text, &restart, c->arena, &why) < 0)
        return compose_refuse(c, why.message);
    bool fails_only = str_equal(restart.name, "on-failure");
    if (!str_equal(restart.name, "no"))
        set_text(spec, "TaskTemplate.RestartPolicy.Condition", fails_only ? "on-failure" : "any");
    if (fails_only)
        set_number(spec, "TaskTemplate.RestartPolicy.MaxAttempts", restart.retries);
    return 0;
}

static int put_deploy(struct converting *c, const json_t *deploy, json_t *spec)
{
    const char *mode = str_or(text_at(deploy, "mode"), "replicated");
    json_int_t replicas = at(deploy, "replicas") ? number_at(deploy, "replicas") : 1;
    if (str_equal(mode, "replicated"))
        set_number(spec, "Mode.Replicated.Replicas", replicas);
    else if (str_equal(mode, "global"))
        object_at(spec, "Mode.Global");
    else if (str_equal(mode, "global-job"))
        object_at(spec, "Mode.GlobalJob");
    else if (str_equal(mode, "replicated-job"))
        set_at(spec, "Mode.ReplicatedJob",
               json_pack("{s:I, s:I}", "MaxConcurrent", replicas, "TotalCompletions", replicas));
    else
        return compose_refuse(c, arena_printf(c->arena, "deploy.mode: unknown mode: %s", mode));
    if (str_starts(mode, "global") && at(deploy, "replicas"))
        return compose_refuse(c, "deploy.replicas: only replicated services have replicas");
    compose_copy(deploy, "endpoint_mode", spec, "EndpointSpec.Mode");
    if (put_update(c, at(deploy, "update_config"), spec, "UpdateConfig") < 0 ||
        put_update(c, at(deploy, "rollback_config"), spec, "RollbackConfig") < 0 ||
        put_resources(c, at(deploy, "resources"), spec) < 0)
        return -ERR_INVALID_ARGUMENT;
    compose_copy(deploy, "placement.constraints", spec, "TaskTemplate.Placement.Constraints");
    copy_whole(deploy, "placement.max_replicas_per_node", spec,
               "TaskTemplate.Placement.MaxReplicas");
    size_t i;
    json_t *preference;
    json_array_foreach(at(deploy, "placement.preferences"), i, preference) json_array_append_new(
        array_at(spec, "TaskTemplate.Placement.Preferences"),
        json_pack("{s:{s:s}}", "Spread", "SpreadDescriptor", text_at(preference, "spread")));
    const json_t *restart = at(deploy, "restart_policy");
    compose_copy(restart, "condition", spec, "TaskTemplate.RestartPolicy.Condition");
    copy_whole(restart, "max_attempts", spec, "TaskTemplate.RestartPolicy.MaxAttempts");
    if (compose_number(c, FLAG_DURATION, restart, "delay", spec,
                       "TaskTemplate.RestartPolicy.Delay") < 0)
        return -ERR_INVALID_ARGUMENT;
    return compose_number(c, FLAG_DURATION, restart, "window", spec,
                          "TaskTemplate.RestartPolicy.Window");
}

static void put_hosts(struct converting *c, const json_t *service, json_t *spec)
{
    json_t *item;
    size_t i;
    json_array_foreach(at(service, "extra_hosts"), i, item)
        json_array_append_new(array_at(spec, CONTAINER "Hosts"),
                              json_string(parse_host(json_string_value(item), c->arena, NULL)));
}

static int put_limits(struct converting *c, const json_t *service, json_t *spec)
{
    const char *key;
    json_t *limit;
    json_object_foreach(at(service, "ulimits"), key, limit)
    {
        const char *text =
            json_is_object(limit)
                ? arena_printf(c->arena, "%s=%lld:%lld", key, (long long)number_at(limit, "soft"),
                               (long long)number_at(limit, "hard"))
                : arena_printf(c->arena, "%s=%lld", key, (long long)json_integer_value(limit));
        struct err why = ERR_INIT;
        json_t *made = parse_ulimit(text, &why);
        if (!made)
            return compose_refuse(c, why.message);
        json_array_append_new(array_at(spec, CONTAINER "Ulimits"), made);
    }
    return 0;
}

static int put_container(struct converting *c, const json_t *service, json_t *spec)
{
    static const struct {
        const char *key, *path;
    } same[] = {{"command", "Args"},
                {"entrypoint", "Command"},
                {"hostname", "Hostname"},
                {"user", "User"},
                {"working_dir", "Dir"},
                {"stop_signal", "StopSignal"},
                {"stdin_open", "OpenStdin"},
                {"tty", "TTY"},
                {"read_only", "ReadOnly"},
                {"init", "Init"},
                {"isolation", "Isolation"},
                {"dns", "DNSConfig.Nameservers"},
                {"dns_search", "DNSConfig.Search"},
                {"dns_opt", "DNSConfig.Options"},
                {"sysctls", "Sysctls"},
                {"group_add", "Groups"},
                {"oom_score_adj", "OomScoreAdj"}};
    struct err why = ERR_INIT;
    size_t i;
    json_t *item;
    const char *image = parse_image(text_at(service, "image"), c->arena, &why);
    if (!*text_at(service, "image"))
        return compose_refuse(c, "image: an image is needed");
    if (!image)
        return compose_refuse(c, arena_printf(c->arena, "image: %s", why.message));
    // The stack's own image text stays as it is, to tell later whether the file changed it.
    set_text(spec, CONTAINER "Image", image);
    set_at(spec, CONTAINER "Labels", compose_labels(c, at(service, "labels")));
    for (i = 0; i < COUNT_OF(same); i++)
        compose_copy(service, same[i].key, spec,
                     arena_printf(c->arena, CONTAINER "%s", same[i].path));
    json_array_foreach(at(service, "cap_add"), i, item)
        json_array_append_new(array_at(spec, CONTAINER "CapabilityAdd"),
                              json_string(parse_capability(json_string_value(item), c->arena)));
    json_array_foreach(at(service, "cap_drop"), i, item)
        json_array_append_new(array_at(spec, CONTAINER "CapabilityDrop"),
                              json_string(parse_capability(json_string_value(item), c->arena)));
    put_hosts(c, service, spec);
    const json_t *logging = at(service, "logging");
    if (logging)
        set_text(spec, "TaskTemplate.LogDriver.Name", text_at(logging, "driver"));
    compose_copy(logging, "options", spec, "TaskTemplate.LogDriver.Options");
    // Empty as it mostly is: without it a stack deployed by docker would start its tasks anew.
    object_at(spec, CONTAINER "Privileges");
    const json_t *credentials = at(service, "credential_spec");
    compose_copy(credentials, "file", spec, CONTAINER "Privileges.CredentialSpec.File");
    compose_copy(credentials, "registry", spec, CONTAINER "Privileges.CredentialSpec.Registry");
    if (compose_number(c, FLAG_DURATION, service, "stop_grace_period", spec,
                       CONTAINER "StopGracePeriod") < 0)
        return -ERR_INVALID_ARGUMENT;
    return put_limits(c, service, spec);
}

static json_t *convert_service(struct converting *c, const char *key, const json_t *service)
{
    json_t *spec = json_object();
    set_text(spec, "Name", arena_printf(c->arena, "%s_%s", c->stack, key));
    set_at(spec, "Labels", compose_labels(c, at(service, "deploy.labels")));
    json_object_set_new(at(spec, "Labels"), "com.docker.stack.image",
                        json_string(text_at(service, "image")));
    if (put_container(c, service, spec) < 0 || put_environment(c, service, spec) < 0 ||
        put_deploy(c, at(service, "deploy"), spec) < 0 || put_restart(c, service, spec) < 0 ||
        put_ports(c, service, spec) < 0 || compose_mounts(c, service, spec) < 0 ||
        put_health(c, service, spec) < 0 || put_files(c, service, "secrets", "Secret", spec) < 0 ||
        put_files(c, service, "configs", "Config", spec) < 0 ||
        put_networks(c, key, service, spec) < 0) {
        json_decref(spec);
        return NULL;
    }
    return spec;
}

json_t *compose_convert(const json_t *project, const char *stack, const struct compose_files *files,
                        struct arena *arena, struct err *err)
{
    struct err own = ERR_INIT;
    struct converting c = {project, stack, files, arena, err ? err : &own, ""};
    json_t *out = json_object(), *service;
    json_t *services = json_object_get(project, "services");
    const char *key;
    array_at(out, "Services");
    int result = check_volumes(&c);
    if (result == 0)
        result = convert_networks(&c, out);
    if (result == 0)
        result = convert_data(&c, "secrets", "Secrets", "ExternalSecrets", out);
    if (result == 0)
        result = convert_data(&c, "configs", "Configs", "ExternalConfigs", out);
    json_object_foreach(services, key, service)
    {
        if (result < 0)
            break;
        c.where = arena_printf(arena, "services.%s", key);
        json_t *spec = convert_service(&c, key, service);
        if (spec)
            json_array_append_new(at(out, "Services"), spec);
        else
            result = -ERR_INVALID_ARGUMENT;
    }
    if (result == 0 && json_object_size(services) == 0) {
        c.where = "services";
        result = compose_refuse(&c, "there is none");
    }
    if (result == 0)
        return out;
    json_decref(out);
    return NULL;
}
