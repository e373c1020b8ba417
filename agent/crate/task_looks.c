#include "agent/crate/task_looks.h"

#include <string.h>

#include "agent/oci/apparmor.h"
#include "agent/oci/bundle.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

static json_t *texts_json(const struct oci_strings *strings)
{
    json_t *list = json_array();
    for (size_t i = 0; i < strings->count; i++)
        json_array_append_new(list, json_string(strings->items[i]));
    return list;
}

static json_t *words_json(const char *const *words, size_t count)
{
    const struct oci_strings strings = {words, count};
    return texts_json(&strings);
}

static json_int_t duration(const Google__Duration *duration)
{
    return duration ? duration->seconds * 1000000000 + duration->nanos : 0;
}

static const Swarm__EndpointSpec *endpoint_of(const Swarm__Task *task)
{
    return task->endpoint ? task->endpoint->spec : NULL;
}

// "80/tcp"
static void port_key(const Swarm__PortConfig *port, char out[24])
{
    static const char *const names[] = {"tcp", "udp", "sctp"};
    (void)str_format(out, 24, "%u/%s", (unsigned)port->target_port,
                     names[port->protocol < COUNT_OF(names) ? port->protocol : 0]);
}

// What is checked, or that nothing is although the image would.
static void add_health(json_t *config, const struct containers_view *view)
{
    const Swarm__HealthConfig *health = view->spec->health;
    const Swarm__HealthConfig *own = view->task->spec->container->healthcheck;
    if (!health && own && own->n_test)
        json_object_set_new(config, "Healthcheck", json_pack("{s[s]}", "Test", "NONE"));
    if (!health)
        return;
    json_object_set_new(
        config, "Healthcheck",
        json_pack("{so sI sI sI sI si}", "Test",
                  words_json((const char *const *)health->test, health->n_test), "Interval",
                  duration(health->interval), "Timeout", duration(health->timeout), "StartPeriod",
                  duration(health->start_period), "StartInterval", duration(health->start_interval),
                  "Retries", (int)health->retries));
}

json_t *task_looks_config(const struct containers_view *view)
{
    const struct oci_container *container = &view->spec->container;
    const Swarm__ContainerSpec *spec = view->task->spec->container;
    json_t *config = json_object(), *labels = json_object(), *exposed = json_object();
    for (size_t i = 0; i < container->annotations_count; i++) {
        const struct oci_pair *note = &container->annotations[i];
        if (str_starts(note->key, CONTAINER_LABEL_PREFIX))
            json_object_set_new(labels, note->key + strlen(CONTAINER_LABEL_PREFIX),
                                json_string(note->value));
    }
    json_object_set_new(config, "Hostname", json_string(str_or(container->hostname, "")));
    json_object_set_new(config, "User", json_string(str_or(view->spec->user, "")));
    json_object_set_new(config, "Tty", json_boolean(container->tty));
    json_object_set_new(config, "OpenStdin", json_boolean(container->open_stdin));
    json_object_set_new(config, "Env", texts_json(&container->env));
    json_object_set_new(config, "Image", json_string(spec->image));
    // As it was asked for: the image's comes later, and where neither says it is "/" unsaid.
    json_object_set_new(config, "WorkingDir", json_string(str_or(spec->dir, "")));
    json_object_set_new(config, "Labels", labels);
    if (!str_empty(spec->stop_signal))
        json_object_set_new(config, "StopSignal", json_string(spec->stop_signal));
    add_health(config, view);
    const Swarm__EndpointSpec *endpoint = endpoint_of(view->task);
    for (size_t i = 0; endpoint && i < endpoint->n_ports; i++) {
        char key[24];
        port_key(endpoint->ports[i], key);
        if (endpoint->ports[i]->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__HOST)
            json_object_set_new(exposed, key, json_object());
    }
    json_object_set_new(config, "ExposedPorts", exposed);
    // A task's command is docker's entrypoint, its arguments docker's command.
    if (spec->n_command)
        json_object_set_new(config, "Entrypoint",
                            words_json((const char *const *)spec->command, spec->n_command));
    if (spec->n_args)
        json_object_set_new(config, "Cmd",
                            words_json((const char *const *)spec->args, spec->n_args));
    return config;
}

// ---- HostConfig --------------------------------------------------------------------------------

// Lists that nobody gave are null here.
static void add_words(json_t *host, const char *key, const char *const *words, size_t count)
{
    json_object_set_new(host, key, count ? words_json(words, count) : json_null());
}

static void add_dns(json_t *host, const Swarm__ContainerSpec__DNSConfig *dns)
{
    if (!dns)
        return;
    add_words(host, "Dns", (const char *const *)dns->nameservers, dns->n_nameservers);
    add_words(host, "DnsSearch", (const char *const *)dns->search, dns->n_search);
    add_words(host, "DnsOptions", (const char *const *)dns->options, dns->n_options);
}

// "address name name" in the specification, "name:address" here.
static void add_hosts(json_t *host, const Swarm__ContainerSpec *spec)
{
    json_t *list = json_array();
    for (size_t i = 0; i < spec->n_hosts; i++) {
        const char *at = spec->hosts[i];
        struct str_part word, address = {0};
        char text[512];
        while (str_split(&at, ' ', &word)) {
            if (word.len == 0)
                continue;
            if (address.len == 0) {
                address = word;
                continue;
            }
            (void)str_format(text, sizeof text, "%.*s:%.*s", (int)word.len, word.at,
                             (int)address.len, address.at);
            json_array_append_new(list, json_string(text));
        }
    }
    if (json_array_size(list) > 0)
        json_object_set(host, "ExtraHosts", list);
    json_decref(list);
}

static void add_ports(json_t *host, const Swarm__EndpointSpec *endpoint)
{
    json_t *bindings = json_object();
    for (size_t i = 0; endpoint && i < endpoint->n_ports; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        char key[24], published[12] = "";
        if (port->publish_mode != SWARM__PORT_CONFIG__PUBLISH_MODE__HOST)
            continue;
        port_key(port, key);
        if (port->published_port)
            (void)str_format(published, sizeof published, "%u", (unsigned)port->published_port);
        json_t *list = json_object_get(bindings, key);
        if (!list) {
            list = json_array();
            json_object_set_new(bindings, key, list);
        }
        json_array_append_new(list, json_pack("{ss ss}", "HostIp", "", "HostPort", published));
    }
    json_object_set_new(host, "PortBindings", bindings);
}

static void add_log(json_t *host, const Swarm__Driver *driver)
{
    json_t *options = json_object();
    for (size_t i = 0; driver && i < driver->n_options; i++)
        json_object_set_new(options, driver->options[i]->key,
                            json_string(driver->options[i]->value));
    json_object_set_new(
        host, "LogConfig",
        json_pack("{ss so}", "Type", driver ? str_or(driver->name, "") : "", "Config", options));
}

static void add_limits(json_t *host, const Swarm__ContainerSpec *spec)
{
    json_t *sysctls = json_object(), *ulimits = json_array();
    for (size_t i = 0; i < spec->n_sysctls; i++)
        json_object_set_new(sysctls, spec->sysctls[i]->key, json_string(spec->sysctls[i]->value));
    for (size_t i = 0; i < spec->n_ulimits; i++)
        json_array_append_new(ulimits, json_pack("{ss sI sI}", "Name", spec->ulimits[i]->name,
                                                 "Hard", (json_int_t)spec->ulimits[i]->hard, "Soft",
                                                 (json_int_t)spec->ulimits[i]->soft));
    json_object_set_new(host, "Sysctls", sysctls);
    json_object_set_new(host, "Ulimits", ulimits);
    json_object_set_new(host, "PidsLimit", json_integer(spec->pidslimit));
    json_object_set_new(host, "OomScoreAdj", json_integer(spec->oom_score_adj));
    if (spec->n_groups)
        json_object_set_new(host, "GroupAdd",
                            words_json((const char *const *)spec->groups, spec->n_groups));
}

static void add_label(json_t *list, const char *key, const char *value)
{
    if (!str_empty(value))
        json_array_append_new(list, json_sprintf("label=%s:%s", key, value));
}

// What docker would have been told as --security-opt.
static void add_security(json_t *host, const Swarm__Privileges *privileges)
{
    if (!privileges)
        return;
    json_t *list = json_array();
    const Swarm__Privileges__SELinuxContext *selinux = privileges->selinux_context;
    if (selinux && selinux->disable) {
        json_array_append_new(list, json_string("label=disable"));
    } else if (selinux) {
        add_label(list, "user", selinux->user);
        add_label(list, "role", selinux->role);
        add_label(list, "type", selinux->type);
        add_label(list, "level", selinux->level);
    }
    const Swarm__Privileges__SeccompOpts *seccomp = privileges->seccomp;
    if (seccomp && seccomp->mode == SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__UNCONFINED)
        json_array_append_new(list, json_string("seccomp=unconfined"));
    else if (seccomp && seccomp->mode == SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__CUSTOM)
        json_array_append_new(list, json_sprintf("seccomp=%.*s", (int)seccomp->profile.len,
                                                 (const char *)seccomp->profile.data));
    if (privileges->apparmor &&
        privileges->apparmor->mode == SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DISABLED)
        json_array_append_new(list, json_string("apparmor=" APPARMOR_UNCONFINED));
    if (privileges->no_new_privileges)
        json_array_append_new(list, json_string("no-new-privileges=true"));
    if (json_array_size(list) > 0)
        json_object_set(host, "SecurityOpt", list);
    json_decref(list);
}

static void add_volume(json_t *mount, const Swarm__Mount__VolumeOptions *options)
{
    if (!options)
        return;
    json_t *shown = json_object();
    if (options->nocopy)
        json_object_set_new(shown, "NoCopy", json_true());
    json_t *labels = json_object();
    for (size_t i = 0; i < options->n_labels; i++)
        json_object_set_new(labels, options->labels[i]->key,
                            json_string(options->labels[i]->value));
    if (options->n_labels)
        json_object_set(shown, "Labels", labels);
    json_decref(labels);
    if (options->driver_config && !str_empty(options->driver_config->name))
        json_object_set_new(shown, "DriverConfig",
                            json_pack("{ss}", "Name", options->driver_config->name));
    json_object_set_new(mount, "VolumeOptions", shown);
}

static void add_mounts(json_t *host, const Swarm__ContainerSpec *spec)
{
    static const char *const types[] = {"bind", "volume", "tmpfs"};
    json_t *list = json_array();
    for (size_t i = 0; i < spec->n_mounts; i++) {
        const Swarm__Mount *it = spec->mounts[i];
        json_t *mount = json_object();
        if (it->type < COUNT_OF(types))
            json_object_set_new(mount, "Type", json_string(types[it->type]));
        if (!str_empty(it->source))
            json_object_set_new(mount, "Source", json_string(it->source));
        json_object_set_new(mount, "Target", json_string(it->target));
        if (it->readonly)
            json_object_set_new(mount, "ReadOnly", json_true());
        add_volume(mount, it->volume_options);
        if (it->tmpfs_options)
            json_object_set_new(mount, "TmpfsOptions",
                                json_pack("{sI sI}", "SizeBytes",
                                          (json_int_t)it->tmpfs_options->size_bytes, "Mode",
                                          (json_int_t)it->tmpfs_options->mode));
        json_array_append_new(list, mount);
    }
    if (json_array_size(list) > 0)
        json_object_set(host, "Mounts", list);
    json_decref(list);
}

json_t *task_looks_host(const struct containers_view *view)
{
    const struct oci_container *container = &view->spec->container;
    const Swarm__ContainerSpec *spec = view->task->spec->container;
    json_t *host = json_object();
    json_object_set_new(host, "NanoCpus", json_integer(container->limits.nano_cpus));
    json_object_set_new(host, "Memory", json_integer(container->limits.memory_bytes));
    json_object_set_new(host, "ReadonlyRootfs", json_boolean(container->readonly_rootfs));
    add_words(host, "CapAdd", container->cap_add.items, container->cap_add.count);
    add_words(host, "CapDrop", container->cap_drop.items, container->cap_drop.count);
    json_object_set_new(host, "Init", json_boolean(container->init));
    json_object_set_new(host, "Isolation", json_string("default"));
    json_object_set_new(host, "NetworkMode",
                        json_string(container->net.mode == OCI_NS_HOST ? "host" : "default"));
    add_dns(host, spec->dns_config);
    add_hosts(host, spec);
    add_ports(host, endpoint_of(view->task));
    add_log(host, view->task->log_driver ? view->task->log_driver : view->task->spec->log_driver);
    add_limits(host, spec);
    add_security(host, spec->privileges);
    add_mounts(host, spec);
    return host;
}

// ---- mounts and networks -----------------------------------------------------------------------

json_t *task_looks_points(const struct containers_view *view)
{
    json_t *points = json_array();
    const struct container_spec *spec = view->spec;
    for (size_t i = 0; i < spec->container.mounts_count; i++) {
        const struct oci_mount *mount = &spec->container.mounts[i];
        const char *type = mount->kind == OCI_MOUNT_TMPFS ? "tmpfs" : "bind", *name = "";
        for (size_t j = 0; j < spec->volumes_count; j++)
            if (spec->volumes[j].mount == i) {
                type = "volume";
                name = str_or(spec->volumes[j].name, "");
            }
        json_array_append_new(
            points, json_pack("{ss ss ss ss ss ss sb ss}", "Type", type, "Name", name, "Source",
                              str_or(mount->source, ""), "Destination", mount->target, "Driver",
                              str_equal(type, "volume") ? "local" : "", "Mode",
                              str_equal(type, "volume") ? "z" : "", "RW", !mount->readonly,
                              "Propagation", str_equal(type, "bind") ? "rprivate" : ""));
    }
    return points;
}

json_t *task_looks_endpoints(const struct containers_view *view)
{
    json_t *endpoints = json_object();
    const char *hostname = view->spec->container.hostname;
    for (size_t i = 0; i < view->task->n_networks; i++) {
        const Swarm__NetworkAttachment *it = view->task->networks[i];
        char address[64] = "";
        if (!it->network || !it->network->spec)
            continue;
        if (it->n_addresses)
            (void)str_format(address, sizeof address, "%.*s", (int)strcspn(it->addresses[0], "/"),
                             it->addresses[0]);
        json_t *aliases = json_array();
        // A hostname that is not just the container's id is a name to find it by.
        if (!str_empty(hostname) && !str_starts(view->id, hostname))
            json_array_append_new(aliases, json_string(hostname));
        json_object_set_new(endpoints, it->network->spec->annotations->name,
                            json_pack("{s{ss} so ss}", "IPAMConfig", "IPv4Address", address,
                                      "Aliases", aliases, "NetworkID", it->network->id));
    }
    return endpoints;
}
