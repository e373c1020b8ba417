#include "manager/sched/demand.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

const char *arch_normal(const char *arch)
{
    if (!strcmp(arch, "x86_64"))
        return "amd64";
    return !strcmp(arch, "aarch64") ? "arm64" : arch;
}

// One element longer; zeroed.
#define GROW(list, count)                                                                          \
    ((list) = mem_realloc((list), ((count) + 1) * sizeof(*(list))),                                \
     memset(&(list)[(count)], 0, sizeof(*(list))), &(list)[(count)++])

static void want_plugin(struct demand *demand, const char *type, const char *name)
{
    if (str_empty(name))
        return;
    for (size_t i = 0; i < demand->plugins_count; i++)
        if (!strcmp(demand->plugins[i].type, type) && !strcmp(demand->plugins[i].name, name))
            return;
    struct plugin_want *want = GROW(demand->plugins, demand->plugins_count);
    want->type = type;
    want->name = str_dup(name);
}

static void take_container(struct demand *demand, const Swarm__ContainerSpec *container)
{
    for (size_t i = 0; i < container->n_mounts; i++) {
        const Swarm__Mount *mount = container->mounts[i];
        if (mount->type == SWARM__MOUNT__TYPE__CLUSTER)
            demand->wants_volumes = true;
        if (mount->type != SWARM__MOUNT__TYPE__VOLUME || !mount->volume_options ||
            !mount->volume_options->driver_config)
            continue;
        const char *name = mount->volume_options->driver_config->name;
        if (!str_equal(name, "local"))
            want_plugin(demand, "Volume", name);
    }
}

static void take_resources(struct demand *demand, const Swarm__ResourceRequirements *resources)
{
    if (!resources || !resources->reservations)
        return;
    const Swarm__Resources *reserved = resources->reservations;
    demand->nano_cpus = reserved->nano_cpus;
    demand->memory_bytes = reserved->memory_bytes;
    generic_init_of(&demand->generic, reserved->generic, reserved->n_generic);
}

// Constraints are parsed into an arena; what stays is one block of heap.
static void take_constraints(struct demand *demand, const Swarm__Placement *placement)
{
    struct arena arena;
    arena_init(&arena, 16 * 1024 * 1024);
    struct constraints parsed;
    struct err err = ERR_INIT;
    if (constraints_parse(placement->constraints, placement->n_constraints, &arena, &parsed,
                          &err)) {
        demand->constraints_broken = true;
        parsed.count = 0;
    }
    size_t bytes = parsed.count * sizeof(struct constraint);
    for (size_t i = 0; i < parsed.count; i++)
        bytes += strlen(parsed.list[i].key) + strlen(parsed.list[i].value) + 2;
    if (parsed.count > 0) {
        demand->constraints.list = mem_alloc(bytes);
        demand->constraints.count = parsed.count;
        char *text = (char *)(demand->constraints.list + parsed.count);
        for (size_t i = 0; i < parsed.count; i++) {
            demand->constraints.list[i].differs = parsed.list[i].differs;
            demand->constraints.list[i].key = text;
            text = stpcpy(text, parsed.list[i].key) + 1;
            demand->constraints.list[i].value = text;
            text = stpcpy(text, parsed.list[i].value) + 1;
        }
    }
    arena_fini(&arena);
}

static void take_placement(struct demand *demand, const Swarm__Placement *placement)
{
    static const char node_labels[] = "node.labels.";
    static const char engine_labels[] = "engine.labels.";
    if (!placement)
        return;
    demand->max_replicas = placement->max_replicas;
    if (placement->n_constraints > 0)
        take_constraints(demand, placement);
    for (size_t i = 0; i < placement->n_platforms; i++) {
        struct platform_want *want = GROW(demand->platforms, demand->platforms_count);
        want->os = str_dup(str_or(placement->platforms[i]->os, ""));
        want->arch = str_dup(arch_normal(str_or(placement->platforms[i]->architecture, "")));
    }
    for (size_t i = 0; i < placement->n_preferences; i++) {
        const Swarm__PlacementPreference *preference = placement->preferences[i];
        if (preference->preference_case != SWARM__PLACEMENT_PREFERENCE__PREFERENCE_SPREAD)
            continue;
        const char *descriptor = str_or(preference->spread->spread_descriptor, "");
        bool engine = str_starts(descriptor, engine_labels);
        if (!engine && !str_starts(descriptor, node_labels))
            continue; // SwarmKit ignores what it does not know
        size_t skip = engine ? sizeof(engine_labels) - 1 : sizeof(node_labels) - 1;
        if (!descriptor[skip])
            continue;
        struct spread_want *want = GROW(demand->spreads, demand->spreads_count);
        want->engine = engine;
        want->label = str_dup(descriptor + skip);
    }
}

static void take_ports(struct demand *demand, const Swarm__Endpoint *endpoint)
{
    for (size_t i = 0; endpoint && i < endpoint->n_ports; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        if (port->publish_mode != SWARM__PORT_CONFIG__PUBLISH_MODE__HOST ||
            port->published_port == 0)
            continue;
        struct host_port *want = GROW(demand->ports, demand->ports_count);
        want->protocol = (uint16_t)port->protocol;
        want->number = (uint16_t)port->published_port;
    }
}

struct demand *demand_of(const Swarm__Task *task)
{
    struct demand *demand = MEM_NEW(struct demand);
    list_init(&demand->pending);
    list_init(&demand->waiting);
    const Swarm__TaskSpec *spec = task->spec;
    if (spec) {
        take_resources(demand, spec->resources);
        take_placement(demand, spec->placement);
        if (spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER)
            take_container(demand, spec->container);
        if (spec->log_driver && !str_equal(spec->log_driver->name, "none"))
            want_plugin(demand, "Log", spec->log_driver->name);
    }
    for (size_t i = 0; i < task->n_networks; i++) {
        const Swarm__Network *network = task->networks[i]->network;
        if (network && network->driver_state)
            want_plugin(demand, "Network", network->driver_state->name);
    }
    take_ports(demand, task->endpoint);
    return demand;
}

void demand_free(struct demand *demand)
{
    CHECK(list_empty(&demand->pending));
    CHECK(list_empty(&demand->waiting));
    free(demand->reason);
    generic_fini(&demand->generic);
    free(demand->constraints.list);
    for (size_t i = 0; i < demand->plugins_count; i++)
        free(demand->plugins[i].name);
    free(demand->plugins);
    for (size_t i = 0; i < demand->platforms_count; i++) {
        free(demand->platforms[i].os);
        free(demand->platforms[i].arch);
    }
    free(demand->platforms);
    free(demand->ports);
    for (size_t i = 0; i < demand->spreads_count; i++)
        free(demand->spreads[i].label);
    free(demand->spreads);
    free(demand);
}
