// A service as `service inspect --pretty` shows it.
#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/service.h"
#include "cmd/skep/text.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

#define CONTAINER "Spec.TaskTemplate.ContainerSpec."

static const char *duration(struct cli *cli, json_int_t ns)
{
    char text[DURATION_TEXT_BYTES];
    return textf(cli, "%s", duration_format(ns, text));
}

static void say_words(struct cli *cli, const char *title, json_t *words)
{
    size_t i;
    json_t *word;
    if (json_array_size(words) == 0)
        return;
    say(cli, "%s", title);
    json_array_foreach(words, i, word) say(cli, "%s ", str_or(json_string_value(word), ""));
    say(cli, "\n");
}

// "[a b]".
static void say_list(struct cli *cli, const char *title, json_t *words)
{
    size_t i;
    json_t *word;
    if (json_array_size(words) == 0)
        return;
    say(cli, "%s[", title);
    json_array_foreach(words, i, word)
        say(cli, "%s%s", i ? " " : "", str_or(json_string_value(word), ""));
    say(cli, "]\n");
}

static void say_pairs(struct cli *cli, const char *title, json_t *pairs)
{
    const char *key;
    json_t *value;
    if (json_object_size(pairs) == 0)
        return;
    say(cli, "%s\n", title);
    json_object_foreach(pairs, key, value)
        say(cli, " %s=%s\n", key, str_or(json_string_value(value), ""));
}

static void say_update(struct cli *cli, const char *title, const char *order, json_t *update)
{
    if (!update)
        return;
    say(cli, "%s:\n Parallelism:\t%lld\n", title, (long long)number_at(update, "Parallelism"));
    if (number_at(update, "Delay"))
        say(cli, " Delay:\t\t%s\n", duration(cli, number_at(update, "Delay")));
    say(cli, " On failure:\t%s\n", text_at(update, "FailureAction"));
    if (number_at(update, "Monitor"))
        say(cli, " Monitoring Period: %s\n", duration(cli, number_at(update, "Monitor")));
    say(cli, " Max failure ratio: %g\n %s order:%s%s\n",
        json_number_value(at(update, "MaxFailureRatio")), order,
        str_equal(order, "Update") ? "      " : "    ", text_at(update, "Order"));
}

static void say_resources(struct cli *cli, const char *title, json_t *resources)
{
    json_int_t cpus = number_at(resources, "NanoCPUs");
    json_int_t memory = number_at(resources, "MemoryBytes");
    if (!cpus && !memory)
        return;
    say(cli, " %s:\n", title);
    if (cpus)
        say(cli, "  CPU:\t\t%g\n", (double)cpus / 1e9);
    if (memory)
        say(cli, "  Memory:\t%s\n", text_size_binary((double)memory, &cli->arena));
}

static void say_mode(struct cli *cli, json_t *service)
{
    static const struct {
        const char *path, *title;
    } modes[] = {{"Spec.Mode.Replicated", "Replicated"},
                 {"Spec.Mode.Global", "Global"},
                 {"Spec.Mode.ReplicatedJob", "ReplicatedJob"},
                 {"Spec.Mode.GlobalJob", "GlobalJob"},
                 {0}};
    for (size_t i = 0; modes[i].path; i++)
        if (at(service, modes[i].path))
            say(cli, "Service Mode:\t%s\n", modes[i].title);
    if (at(service, "Spec.Mode.Replicated"))
        say(cli, " Replicas:\t%lld\n",
            (long long)number_at(service, "Spec.Mode.Replicated.Replicas"));
    if (at(service, "Spec.Mode.ReplicatedJob"))
        say(cli, " Max Concurrent:\t%lld\n Total Completions:\t%lld\n",
            (long long)number_at(service, "Spec.Mode.ReplicatedJob.MaxConcurrent"),
            (long long)number_at(service, "Spec.Mode.ReplicatedJob.TotalCompletions"));
}

static const char *ago(struct cli *cli, const char *moment)
{
    const char *since = text_since(moment, cli_now(), &cli->arena);
    return *since ? textf(cli, "%s ago", since) : "";
}

static void say_status(struct cli *cli, json_t *service)
{
    json_t *status = at(service, "UpdateStatus");
    if (!*text_at(status, "State"))
        return;
    say(cli, "UpdateStatus:\n State:\t\t%s\n", text_at(status, "State"));
    if (*text_at(status, "StartedAt"))
        say(cli, " Started:\t%s\n", ago(cli, text_at(status, "StartedAt")));
    if (*text_at(status, "CompletedAt"))
        say(cli, " Completed:\t%s\n", ago(cli, text_at(status, "CompletedAt")));
    say(cli, " Message:\t%s\n", text_at(status, "Message"));
}

static void say_log_driver(struct cli *cli, json_t *driver)
{
    const char *key;
    json_t *value;
    if (!driver)
        return;
    say(cli, "Log Driver:\n");
    if (*text_at(driver, "Name"))
        say(cli, " Name:\t\t%s\n", text_at(driver, "Name"));
    if (json_object_size(at(driver, "Options")))
        say(cli, " LogOpts:\n");
    json_object_foreach(at(driver, "Options"), key, value)
        say(cli, "  %s:       %s\n", key, str_or(json_string_value(value), ""));
    say(cli, "\n");
}

static void say_rights(struct cli *cli, json_t *service)
{
    json_t *add = at(service, CONTAINER "CapabilityAdd"),
           *drop = at(service, CONTAINER "CapabilityDrop"), *value;
    const char *key;
    if (json_array_size(add) || json_array_size(drop))
        say(cli, "Capabilities:\n");
    say_list(cli, " Add: ", add);
    say_list(cli, " Drop: ", drop);
    if (json_object_size(at(service, CONTAINER "Sysctls")))
        say(cli, "SysCtls:\n");
    json_object_foreach(at(service, CONTAINER "Sysctls"), key, value)
        say(cli, " %s: %s\n", key, str_or(json_string_value(value), ""));
}

static void say_container(struct cli *cli, json_t *service)
{
    size_t i;
    json_t *item;
    say(cli, "ContainerSpec:\n Image:\t\t%s\n", text_at(service, CONTAINER "Image"));
    say_words(cli, " Command:\t", at(service, CONTAINER "Command"));
    say_words(cli, " Args:\t\t", at(service, CONTAINER "Args"));
    say_words(cli, " Env:\t\t", at(service, CONTAINER "Env"));
    if (*text_at(service, CONTAINER "Dir"))
        say(cli, " Dir:\t\t%s\n", text_at(service, CONTAINER "Dir"));
    if (*text_at(service, CONTAINER "User"))
        say(cli, " User: %s\n", text_at(service, CONTAINER "User"));
    if (at(service, CONTAINER "Init"))
        say(cli, " Init:\t\t%s\n", true_at(service, CONTAINER "Init") ? "true" : "false");
    say_rights(cli, service);
    if (json_array_size(at(service, CONTAINER "Mounts")))
        say(cli, "Mounts:\n");
    json_array_foreach(at(service, CONTAINER "Mounts"), i, item)
        say(cli, " Target:\t%s\n  Source:\t%s\n  ReadOnly:\t%s\n  Type:\t\t%s\n",
            text_at(item, "Target"), text_at(item, "Source"),
            true_at(item, "ReadOnly") ? "true" : "false", text_at(item, "Type"));
    if (json_array_size(at(service, CONTAINER "Configs")))
        say(cli, "Configs:\n");
    json_array_foreach(at(service, CONTAINER "Configs"), i, item)
        say(cli, " Target:\t%s\n  Source:\t%s\n", text_at(item, "File.Name"),
            text_at(item, "ConfigName"));
    if (json_array_size(at(service, CONTAINER "Secrets")))
        say(cli, "Secrets:\n");
    json_array_foreach(at(service, CONTAINER "Secrets"), i, item)
        say(cli, " Target:\t%s\n  Source:\t%s\n", text_at(item, "File.Name"),
            text_at(item, "SecretName"));
}

static const char *network_name(struct cli *cli, const char *id)
{
    return str_or(text_at(api_get(cli, "/networks/%s", escape(cli, id)), "Name"), id);
}

static void say_network(struct cli *cli, json_t *service)
{
    size_t i;
    json_t *port, *network;
    if (json_array_size(at(service, "Spec.TaskTemplate.Networks")))
        say(cli, "Networks:");
    json_array_foreach(at(service, "Spec.TaskTemplate.Networks"), i, network)
        say(cli, " %s", network_name(cli, text_at(network, "Target")));
    if (json_array_size(at(service, "Spec.TaskTemplate.Networks")))
        say(cli, " \n");
    say(cli, "Endpoint Mode:\t%s\n", text_at(service, "Spec.EndpointSpec.Mode"));
    if (json_array_size(at(service, "Endpoint.Ports")))
        say(cli, "Ports:\n");
    size_t last = json_array_size(at(service, "Endpoint.Ports")) - 1;
    json_array_foreach(at(service, "Endpoint.Ports"), i, port) say(
        cli, " PublishedPort = %lld\n  Protocol = %s\n  TargetPort = %lld\n  PublishMode = %s%s\n",
        (long long)number_at(port, "PublishedPort"), text_at(port, "Protocol"),
        (long long)number_at(port, "TargetPort"), text_at(port, "PublishMode"),
        i == last ? " " : ""); // as docker does
}

static void say_health(struct cli *cli, json_t *health)
{
    size_t i;
    json_t *word;
    if (!health)
        return;
    say(cli, " Healthcheck:\n  Interval = %s\n  Retries = %lld\n",
        duration(cli, number_at(health, "Interval")), (long long)number_at(health, "Retries"));
    say(cli, "  StartPeriod =\t%s\n  Timeout =\t%s\n",
        duration(cli, number_at(health, "StartPeriod")),
        duration(cli, number_at(health, "Timeout")));
    if (json_array_size(at(health, "Test")))
        say(cli, "  Tests:\n");
    size_t last = json_array_size(at(health, "Test")) - 1;
    json_array_foreach(at(health, "Test"), i, word)
        say(cli, "\t Test = %s%s\n", str_or(json_string_value(word), ""), i == last ? " " : "");
}

void service_say(struct cli *cli, json_t *service)
{
    say(cli, "\nID:\t\t%s\nName:\t\t%s\n", text_at(service, "ID"), text_at(service, "Spec.Name"));
    say_pairs(cli, "Labels:", at(service, "Spec.Labels"));
    say_mode(cli, service);
    say_status(cli, service);
    say(cli, "Placement:\n");
    say_list(cli, " Constraints:\t", at(service, "Spec.TaskTemplate.Placement.Constraints"));
    if (number_at(service, "Spec.TaskTemplate.Placement.MaxReplicas"))
        say(cli, " Max Replicas Per Node:\t%lld\n",
            (long long)number_at(service, "Spec.TaskTemplate.Placement.MaxReplicas"));
    say_update(cli, "UpdateConfig", "Update", at(service, "Spec.UpdateConfig"));
    say_update(cli, "RollbackConfig", "Rollback", at(service, "Spec.RollbackConfig"));
    say_container(cli, service);
    say_log_driver(cli, at(service, "Spec.TaskTemplate.LogDriver"));
    say(cli, "Resources:\n");
    say_resources(cli, "Reservations", at(service, "Spec.TaskTemplate.Resources.Reservations"));
    say_resources(cli, "Limits", at(service, "Spec.TaskTemplate.Resources.Limits"));
    say_network(cli, service);
    say_health(cli, at(service, CONTAINER "Healthcheck"));
    say(cli, "\n");
}
