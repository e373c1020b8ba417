#include "cmd/skep/compose_rules.h"

#include <string.h>

#include "cmd/skep/text.h"
#include "proto/base/check.h"

static const struct rule update_rules[] = {{"parallelism", NUMBER, NULL},
                                           {"delay", TEXT, NULL},
                                           {"failure_action", TEXT, NULL},
                                           {"monitor", TEXT, NULL},
                                           {"max_failure_ratio", NUMBER, NULL},
                                           {"order", TEXT, NULL},
                                           {0}};
static const struct rule discrete_rules[] = {{"kind", TEXT, NULL}, {"value", NUMBER, NULL}, {0}};
static const struct rule generic_rules[] = {{"discrete_resource_spec", OBJECT, discrete_rules},
                                            {0}};
static const struct rule limits_rules[] = {
    {"cpus", TEXT, NULL}, {"memory", TEXT, NULL}, {"pids", NUMBER, NULL}, {0}};
static const struct rule reservations_rules[] = {{"cpus", TEXT, NULL},
                                                 {"memory", TEXT, NULL},
                                                 {"generic_resources", OBJECTS, generic_rules},
                                                 {0}};
static const struct rule resources_rules[] = {
    {"limits", OBJECT, limits_rules}, {"reservations", OBJECT, reservations_rules}, {0}};
static const struct rule restart_rules[] = {{"condition", TEXT, NULL},
                                            {"delay", TEXT, NULL},
                                            {"max_attempts", NUMBER, NULL},
                                            {"window", TEXT, NULL},
                                            {0}};
static const struct rule preference_rules[] = {{"spread", TEXT, NULL}, {0}};
static const struct rule placement_rules[] = {{"constraints", LIST, NULL},
                                              {"preferences", OBJECTS, preference_rules},
                                              {"max_replicas_per_node", NUMBER, NULL},
                                              {0}};
static const struct rule deploy_rules[] = {{"mode", TEXT, NULL},
                                           {"endpoint_mode", TEXT, NULL},
                                           {"replicas", NUMBER, NULL},
                                           {"labels", PAIRS, NULL},
                                           {"update_config", OBJECT, update_rules},
                                           {"rollback_config", OBJECT, update_rules},
                                           {"resources", OBJECT, resources_rules},
                                           {"restart_policy", OBJECT, restart_rules},
                                           {"placement", OBJECT, placement_rules},
                                           {0}};
static const struct rule health_rules[] = {
    {"test", TEST, NULL},         {"interval", TEXT, NULL},
    {"timeout", TEXT, NULL},      {"retries", NUMBER, NULL},
    {"start_period", TEXT, NULL}, {"start_interval", TEXT, NULL},
    {"disable", TRUTH, NULL},     {0}};
static const struct rule logging_rules[] = {{"driver", TEXT, NULL}, {"options", PAIRS, NULL}, {0}};
static const struct rule port_rules[] = {{"mode", TEXT, NULL},
                                         {"target", NUMBER, NULL},
                                         {"published", NUMBER, NULL},
                                         {"protocol", TEXT, NULL},
                                         {0}};
static const struct rule bind_rules[] = {{"propagation", TEXT, NULL}, {0}};
static const struct rule nocopy_rules[] = {{"nocopy", TRUTH, NULL}, {"subpath", TEXT, NULL}, {0}};
static const struct rule tmpfs_rules[] = {{"size", TEXT, NULL}, {"mode", NUMBER, NULL}, {0}};
static const struct rule mount_rules[] = {{"type", TEXT, NULL},
                                          {"source", TEXT, NULL},
                                          {"target", TEXT, NULL},
                                          {"read_only", TRUTH, NULL},
                                          {"consistency", TEXT, NULL},
                                          {"bind", OBJECT, bind_rules},
                                          {"volume", OBJECT, nocopy_rules},
                                          {"tmpfs", OBJECT, tmpfs_rules},
                                          {0}};
static const struct rule file_rules[] = {{"source", TEXT, NULL}, {"target", TEXT, NULL},
                                         {"uid", TEXT, NULL},    {"gid", TEXT, NULL},
                                         {"mode", NUMBER, NULL}, {0}};
static const struct rule joined_rules[] = {{"aliases", LIST, NULL},
                                           {"driver_opts", PAIRS, NULL},
                                           {"ipv4_address", IGNORED, NULL},
                                           {"ipv6_address", IGNORED, NULL},
                                           {0}};
static const struct rule ulimit_rules[] = {{"soft", NUMBER, NULL}, {"hard", NUMBER, NULL}, {0}};
static const struct rule credential_rules[] = {
    {"config", REFUSED, NULL}, {"file", TEXT, NULL}, {"registry", TEXT, NULL}, {0}};
static const struct rule service_rules[] = {
    {"image", TEXT, NULL},
    {"command", COMMAND, NULL},
    {"entrypoint", COMMAND, NULL},
    {"environment", PAIRS, NULL},
    {"env_file", LIST, NULL},
    {"labels", PAIRS, NULL},
    {"deploy", OBJECT, deploy_rules},
    {"ports", PORTS, port_rules},
    {"networks", JOINED, joined_rules},
    {"volumes", MOUNTS, mount_rules},
    {"secrets", FILES, file_rules},
    {"configs", FILES, file_rules},
    {"healthcheck", OBJECT, health_rules},
    {"logging", OBJECT, logging_rules},
    {"hostname", TEXT, NULL},
    {"user", TEXT, NULL},
    {"working_dir", TEXT, NULL},
    {"stop_signal", TEXT, NULL},
    {"stop_grace_period", TEXT, NULL},
    {"stdin_open", TRUTH, NULL},
    {"tty", TRUTH, NULL},
    {"read_only", TRUTH, NULL},
    {"init", TRUTH, NULL},
    {"extra_hosts", HOSTS, NULL},
    {"dns", LIST, NULL},
    {"dns_search", LIST, NULL},
    {"dns_opt", LIST, NULL},
    {"sysctls", PAIRS, NULL},
    {"ulimits", LIMITS, ulimit_rules},
    {"cap_add", LIST, NULL},
    {"cap_drop", LIST, NULL},
    {"group_add", LIST, NULL},
    {"oom_score_adj", NUMBER, NULL},
    {"isolation", TEXT, NULL},
    {"credential_spec", OBJECT, credential_rules},
    {"tmpfs", LIST, NULL},
    {"depends_on", ANY, NULL}, // a swarm starts everything and restarts what came too early
    {"build", IGNORED, NULL},
    {"cgroup_parent", IGNORED, NULL},
    {"cgroupns_mode", IGNORED, NULL},
    {"container_name", IGNORED, NULL},
    {"devices", IGNORED, NULL},
    {"domainname", IGNORED, NULL},
    {"expose", IGNORED, NULL},
    {"external_links", IGNORED, NULL},
    {"ipc", IGNORED, NULL},
    {"links", IGNORED, NULL},
    {"mac_address", IGNORED, NULL},
    {"network_mode", IGNORED, NULL},
    {"pid", IGNORED, NULL},
    {"platform", IGNORED, NULL},
    {"privileged", IGNORED, NULL},
    {"restart", TEXT, NULL},
    {"security_opt", IGNORED, NULL},
    {"shm_size", IGNORED, NULL},
    {"userns_mode", IGNORED, NULL},
    {"cpu_quota", REFUSED, NULL},
    {"cpu_shares", REFUSED, NULL},
    {"cpuset", REFUSED, NULL},
    {"extends", REFUSED, NULL},
    {"mem_limit", REFUSED, NULL},
    {"memswap_limit", REFUSED, NULL},
    {"volume_driver", REFUSED, NULL},
    {"volumes_from", REFUSED, NULL},
    {0}};
static const struct rule external_rules[] = {{"name", TEXT, NULL}, {0}};
static const struct rule range_rules[] = {{"subnet", TEXT, NULL},
                                          {"gateway", TEXT, NULL},
                                          {"ip_range", TEXT, NULL},
                                          {"aux_addresses", PAIRS, NULL},
                                          {0}};
static const struct rule ipam_rules[] = {
    {"driver", TEXT, NULL}, {"config", OBJECTS, range_rules}, {"options", PAIRS, NULL}, {0}};
static const struct rule network_rules[] = {{"name", TEXT, NULL},
                                            {"driver", TEXT, NULL},
                                            {"driver_opts", PAIRS, NULL},
                                            {"ipam", OBJECT, ipam_rules},
                                            {"external", EXTERNAL, external_rules},
                                            {"internal", TRUTH, NULL},
                                            {"attachable", TRUTH, NULL},
                                            {"labels", PAIRS, NULL},
                                            {"enable_ipv6", TRUTH, NULL},
                                            {0}};
static const struct rule volume_rules[] = {{"name", TEXT, NULL},
                                           {"driver", TEXT, NULL},
                                           {"driver_opts", PAIRS, NULL},
                                           {"external", EXTERNAL, external_rules},
                                           {"labels", PAIRS, NULL},
                                           {"x-cluster-spec", REFUSED, NULL},
                                           {0}};
static const struct rule secret_rules[] = {{"name", TEXT, NULL},
                                           {"file", TEXT, NULL},
                                           {"external", EXTERNAL, external_rules},
                                           {"labels", PAIRS, NULL},
                                           {"driver", TEXT, NULL},
                                           {"driver_opts", PAIRS, NULL},
                                           {"template_driver", TEXT, NULL},
                                           {0}};
static const struct rule config_rules[] = {{"name", TEXT, NULL},
                                           {"file", TEXT, NULL},
                                           {"external", EXTERNAL, external_rules},
                                           {"labels", PAIRS, NULL},
                                           {"template_driver", TEXT, NULL},
                                           {0}};
const struct rule compose_rules[] = {
    {"version", TEXT, NULL},          {"name", IGNORED, NULL},
    {"services", MAP, service_rules}, {"networks", MAP, network_rules},
    {"volumes", MAP, volume_rules},   {"secrets", MAP, secret_rules},
    {"configs", MAP, config_rules},   {0}};

const struct rule *rule_for(const struct rule *rules, const char *key)
{
    while (rules->key && strcmp(rules->key, key) != 0)
        rules++;
    return rules->key ? rules : NULL;
}

const char *rule_nearest(const struct rule *rules, const char *key)
{
    const char *best = NULL;
    unsigned distance = 3;
    for (; rules->key; rules++) {
        if (text_distance(rules->key, key) < distance) {
            distance = text_distance(rules->key, key);
            best = rules->key;
        }
    }
    return best;
}

const char *rule_instead(const char *key)
{
    static const struct {
        const char *key, *instead;
    } hints[] = {
        {"cpu_quota", "set deploy.resources.limits.cpus"},
        {"cpu_shares", "set deploy.resources.limits.cpus"},
        {"cpuset", "set deploy.resources.limits.cpus"},
        {"mem_limit", "set deploy.resources.limits.memory"},
        {"memswap_limit", "set deploy.resources.limits.memory"},
        {"extends", "YAML's anchors, or a second --compose-file, do the same"},
        {"volume_driver", "set the driver of a volume below volumes:"},
        {"volumes_from", "name a volume below volumes: and use it in both services"},
        {"config", "credentials of this kind are for Windows containers"},
        {"x-cluster-spec", "Skep has no cluster (CSI) volumes"},
    };
    for (size_t i = 0; i < COUNT_OF(hints); i++)
        if (strcmp(hints[i].key, key) == 0)
            return hints[i].instead;
    return NULL;
}
