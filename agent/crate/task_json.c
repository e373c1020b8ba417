#include "agent/crate/task_json.h"

#include <string.h>

#include "agent/net/ipnet.h"
#include "agent/net/sandbox.h"
#include "proto/base/str.h"

static json_t *texts(const char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

// "address name name" of a hosts file is "name:address" here.
static void add_hosts(json_t *host, const Swarm__ContainerSpec *spec)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->n_hosts; i++) {
        const char *rest = spec->hosts[i];
        struct str_part address, name;
        if (!str_split(&rest, ' ', &address))
            continue;
        while (rest && str_split(&rest, ' ', &name))
            if (name.len > 0)
                json_array_append_new(list, json_sprintf("%.*s:%.*s", (int)name.len, name.at,
                                                         (int)address.len, address.at));
    }
    if (json_array_size(list) > 0)
        json_object_set(host, "ExtraHosts", list);
    json_decref(list);
}

static void add_limits(json_t *host, const Swarm__ContainerSpec *spec)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->n_ulimits; i++) {
        const Swarm__ContainerSpec__Ulimit *limit = spec->ulimits[i];
        json_array_append_new(list,
                              json_pack("{ss sI sI}", "Name", limit->name, "Hard",
                                        (json_int_t)limit->hard, "Soft", (json_int_t)limit->soft));
    }
    json_object_set_new(host, "Ulimits", list);
    if (spec->oom_score_adj)
        json_object_set_new(host, "OomScoreAdj", json_integer(spec->oom_score_adj));
    if (spec->n_sysctls == 0)
        return;
    json_t *sysctls = json_object();
    for (size_t i = 0; i < spec->n_sysctls; i++)
        json_object_set_new(sysctls, spec->sysctls[i]->key, json_string(spec->sysctls[i]->value));
    json_object_set_new(host, "Sysctls", sysctls);
}

static void add_log(json_t *host, const Swarm__Driver *driver)
{
    if (!driver || str_empty(driver->name))
        return;
    json_t *options = json_object();
    for (size_t i = 0; i < driver->n_options; i++)
        json_object_set_new(options, driver->options[i]->key,
                            json_string(driver->options[i]->value));
    json_object_set_new(host, "LogConfig",
                        json_pack("{ss so}", "Type", driver->name, "Config", options));
}

void task_json_host(json_t *host, const Swarm__Task *task)
{
    const Swarm__ContainerSpec *spec = task->spec->container;
    const Swarm__ContainerSpec__DNSConfig *dns = spec->dns_config;
    if (dns) {
        json_object_set_new(host, "Dns", texts(dns->nameservers, dns->n_nameservers));
        json_object_set_new(host, "DnsSearch", texts(dns->search, dns->n_search));
        json_object_set_new(host, "DnsOptions", texts(dns->options, dns->n_options));
    }
    if (spec->n_groups)
        json_object_set_new(host, "GroupAdd", texts(spec->groups, spec->n_groups));
    if (spec->pidslimit > 0)
        json_object_set_new(host, "PidsLimit", json_integer(spec->pidslimit));
    add_hosts(host, spec);
    add_limits(host, spec);
    add_log(host, task->log_driver ? task->log_driver : task->spec->log_driver);
}

// ---- networks ----------------------------------------------------------------------------------

static json_t *network_json(const Swarm__NetworkAttachment *attachment, const char *container_id)
{
    struct ipnet ip;
    char address[IPNET_TEXT_BYTES], mac_text[MAC_TEXT_BYTES], endpoint[SANDBOX_ENDPOINT_BYTES];
    uint8_t mac[MAC_BYTES];
    json_t *aliases = texts(attachment->aliases, attachment->n_aliases);
    if (attachment->n_addresses == 0 || !ipnet_parse(attachment->addresses[0], &ip)) {
        json_decref(aliases);
        return NULL;
    }
    mac_of_ip(&ip, mac);
    sandbox_endpoint_id(container_id, attachment->network->id, "", endpoint);
    json_array_append_new(aliases, json_sprintf("%.12s", container_id));
    ipnet_format_ip(&ip, address);
    return json_pack("{s{ss} so ss ss ss ss si}", "IPAMConfig", "IPv4Address", address, "Aliases",
                     aliases, "NetworkID", attachment->network->id, "EndpointID", endpoint,
                     "MacAddress", mac_format(mac, mac_text), "IPAddress", address, "IPPrefixLen",
                     (int)ip.prefix);
}

json_t *task_json_networks(const Swarm__Task *task, const char *container_id)
{
    json_t *networks = json_object();
    for (size_t i = 0; i < task->n_networks; i++) {
        const Swarm__Network *network = task->networks[i]->network;
        if (!network || !network->spec || !network->spec->annotations)
            continue;
        json_t *one = network_json(task->networks[i], container_id);
        if (one)
            json_object_set_new(networks, network->spec->annotations->name, one);
    }
    return networks;
}
