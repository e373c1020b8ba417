#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "manager/sched/nodeinfo.h"
#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static bool pass_ready(const struct demand *demand, const struct sched_node *node)
{
    (void)demand;
    return node->ready;
}

static bool pass_resource(const struct demand *demand, const struct sched_node *node)
{
    if (demand->nano_cpus > 0 && demand->nano_cpus > node->nano_cpus_free && !PLANTED(OVERCOMMIT))
        return false;
    if (demand->memory_bytes > 0 && demand->memory_bytes > node->memory_free)
        return false;
    for (size_t i = 0; i < demand->generic.count; i++)
        if (!generic_has(&node->generic_free, demand->generic.items[i].kind,
                         demand->generic.items[i].count))
            return false;
    return true;
}

static bool pass_plugin(const struct demand *demand, const struct sched_node *node)
{
    if (!node->has_engine)
        return true;
    for (size_t i = 0; i < demand->plugins_count; i++) {
        const struct plugin_want *want = &demand->plugins[i];
        bool type_listed;
        if (nodeinfo_has_plugin(node, want->type, want->name, &type_listed))
            continue;
        // Engines from before log drivers were reported list none: give them the benefit.
        if (type_listed || strcmp(want->type, "Log") != 0)
            return false;
    }
    return true;
}

static bool pass_constraint(const struct demand *demand, const struct sched_node *node)
{
    return !demand->constraints_broken && constraints_match(&demand->constraints, &node->traits);
}

static bool pass_platform(const struct demand *demand, const struct sched_node *node)
{
    if (demand->platforms_count == 0)
        return true;
    const char *arch = arch_normal(node->traits.arch);
    for (size_t i = 0; i < demand->platforms_count; i++) {
        const struct platform_want *want = &demand->platforms[i];
        if ((!*want->os || !strcmp(want->os, node->traits.os)) &&
            (!*want->arch || !strcmp(want->arch, arch)))
            return true;
    }
    return false;
}

static bool pass_host_port(const struct demand *demand, const struct sched_node *node)
{
    for (size_t i = 0; i < demand->ports_count; i++)
        if (nodeinfo_port_used(node, demand->ports[i]))
            return false;
    return true;
}

static bool pass_max_replicas(const struct demand *demand, const struct sched_node *node)
{
    return demand->max_replicas == 0 || PLANTED(LIMIT) || node->here < demand->max_replicas;
}

static bool pass_volumes(const struct demand *demand, const struct sched_node *node)
{
    (void)node;
    return !demand->wants_volumes;
}

static const struct {
    bool (*pass)(const struct demand *demand, const struct sched_node *node);
    const char *one;
    const char *many; // with the number of nodes
} filters[] = {
    [FILTER_READY] = {pass_ready, "1 node not available for new tasks",
                      "%zu nodes not available for new tasks"},
    [FILTER_RESOURCE] = {pass_resource, "insufficient resources on 1 node",
                         "insufficient resources on %zu nodes"},
    [FILTER_PLUGIN] = {pass_plugin, "missing plugin on 1 node", "missing plugin on %zu nodes"},
    [FILTER_CONSTRAINT] = {pass_constraint, "scheduling constraints not satisfied on 1 node",
                           "scheduling constraints not satisfied on %zu nodes"},
    [FILTER_PLATFORM] = {pass_platform, "unsupported platform on 1 node",
                         "unsupported platform on %zu nodes"},
    [FILTER_HOST_PORT] = {pass_host_port, "host-mode port already in use on 1 node",
                          "host-mode port already in use on %zu nodes"},
    [FILTER_MAX_REPLICAS] = {pass_max_replicas, "max replicas per node limit exceed",
                             "max replicas per node limit exceed"},
    [FILTER_VOLUMES] = {pass_volumes, "cannot fulfill requested CSI volume mounts on 1 node",
                        "cannot fulfill requested CSI volume mounts on %zu nodes"},
};
static_assert(COUNT_OF(filters) == SCHED_FILTERS, "one row per filter");

enum sched_filter filter_check(const struct demand *demand, const struct sched_node *node)
{
    for (unsigned i = 0; i < SCHED_FILTERS; i++)
        if (!filters[i].pass(demand, node))
            return (enum sched_filter)i;
    return SCHED_FILTERS;
}

void sched_explain(const size_t counts[SCHED_FILTERS], char *out, size_t size)
{
    bool told[SCHED_FILTERS] = {false};
    size_t len = 0;
    CHECK(size > 0);
    out[0] = '\0';
    for (;;) {
        unsigned most = SCHED_FILTERS; // of equals the earlier check comes first
        for (unsigned i = 0; i < SCHED_FILTERS; i++)
            if (!told[i] && counts[i] > 0 && (most == SCHED_FILTERS || counts[i] > counts[most]))
                most = i;
        if (most == SCHED_FILTERS)
            return;
        told[most] = true;
        char text[96];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        str_format(text, sizeof(text), counts[most] == 1 ? filters[most].one : filters[most].many,
                   counts[most]);
#pragma GCC diagnostic pop
        if (!str_format(out + len, size - len, "%s%s", len ? "; " : "", text))
            return;
        len += strlen(out + len);
    }
}
