#include "agent/description.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"

// What a stock scheduler looks for before it sends anything here.
static const struct description_pair own_plugins[] = {
    {"Log", "json-file"}, {"Log", "local"},       {"Network", "bridge"},
    {"Network", "host"},  {"Network", "ipvlan"},  {"Network", "macvlan"},
    {"Network", "null"},  {"Network", "overlay"}, {"Volume", "local"},
};

static int compare_pairs(const void *a, const void *b)
{
    const struct description_pair *one = a;
    const struct description_pair *other = b;
    int order = strcmp(one->key, other->key);
    return order ? order : strcmp(one->value, other->value);
}

static void sort_pairs(struct description_pair *pairs, size_t count)
{
    if (count)
        qsort(pairs, count, sizeof *pairs, compare_pairs);
}

static bool add_plugins(Swarm__EngineDescription *engine, const struct description_facts *facts,
                        struct arena *arena)
{
    size_t count = COUNT_OF(own_plugins) + facts->plugins_count;
    struct description_pair *all = arena_alloc_array(arena, count, sizeof *all);
    engine->plugins = arena_alloc_array(arena, count, sizeof *engine->plugins);
    if (!all || !engine->plugins)
        return false;
    memcpy(all, own_plugins, sizeof own_plugins);
    if (facts->plugins_count)
        memcpy(all + COUNT_OF(own_plugins), facts->plugins, facts->plugins_count * sizeof *all);
    sort_pairs(all, count);
    for (size_t i = 0; i < count; i++) {
        if (i && compare_pairs(&all[i - 1], &all[i]) == 0)
            continue;
        Swarm__PluginDescription *plugin = wire_new(&swarm__plugin_description__descriptor, arena);
        if (!plugin)
            return false;
        plugin->type = arena_strdup(arena, all[i].key);
        plugin->name = arena_strdup(arena, all[i].value);
        engine->plugins[engine->n_plugins++] = plugin;
    }
    return true;
}

static bool add_labels(Swarm__EngineDescription *engine, const struct description_facts *facts,
                       struct arena *arena)
{
    size_t count = facts->labels_count;
    struct description_pair *all = arena_alloc_array(arena, count, sizeof *all);
    engine->labels = arena_alloc_array(arena, count, sizeof *engine->labels);
    if (!all || !engine->labels)
        return false;
    if (count)
        memcpy(all, facts->labels, count * sizeof *all);
    sort_pairs(all, count);
    for (size_t i = 0; i < count; i++) {
        Swarm__EngineDescription__LabelsEntry *label =
            wire_new(&swarm__engine_description__labels_entry__descriptor, arena);
        if (!label)
            return false;
        label->key = arena_strdup(arena, all[i].key);
        label->value = arena_strdup(arena, all[i].value);
        engine->labels[engine->n_labels++] = label;
    }
    return true;
}

static bool add_generic(Swarm__Resources *resources, const struct description_facts *facts,
                        struct arena *arena)
{
    size_t count = facts->generic_count;
    struct description_pair *all = arena_alloc_array(arena, count, sizeof *all);
    resources->generic = arena_alloc_array(arena, count, sizeof *resources->generic);
    if (!all || !resources->generic)
        return false;
    if (count)
        memcpy(all, facts->generic, count * sizeof *all);
    sort_pairs(all, count);
    for (size_t i = 0; i < count; i++) {
        Swarm__GenericResource *resource = wire_new(&swarm__generic_resource__descriptor, arena);
        Swarm__NamedGenericResource *named =
            wire_new(&swarm__named_generic_resource__descriptor, arena);
        Swarm__DiscreteGenericResource *discrete =
            wire_new(&swarm__discrete_generic_resource__descriptor, arena);
        int64_t amount;
        if (!resource || !named || !discrete)
            return false;
        if (str_to_i64(all[i].value, 0, INT64_MAX, &amount)) {
            discrete->kind = arena_strdup(arena, all[i].key);
            discrete->value = amount;
            resource->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC;
            resource->discrete_resource_spec = discrete;
        } else {
            named->kind = arena_strdup(arena, all[i].key);
            named->value = arena_strdup(arena, all[i].value);
            resource->resource_case = SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC;
            resource->named_resource_spec = named;
        }
        resources->generic[resources->n_generic++] = resource;
    }
    return true;
}

static int add_tls_info(Swarm__NodeDescription *description, const struct credentials *credentials,
                        struct arena *arena, struct err *err)
{
    struct x509_issuer issuer;
    int result = x509_issuer(credentials->chain_pem, credentials->roots_pem, &issuer, err);
    Swarm__NodeTLSInfo *info = wire_new(&swarm__node_tlsinfo__descriptor, arena);
    if (!result && info) {
        info->trust_root.len = strlen(credentials->roots_pem);
        info->trust_root.data = arena_memdup(arena, credentials->roots_pem, info->trust_root.len);
        info->cert_issuer_subject.len = issuer.subject.len;
        info->cert_issuer_subject.data =
            arena_memdup(arena, issuer.subject.data, issuer.subject.len);
        info->cert_issuer_public_key.len = issuer.public_key.len;
        info->cert_issuer_public_key.data =
            arena_memdup(arena, issuer.public_key.data, issuer.public_key.len);
        description->tls_info = info;
    }
    x509_issuer_fini(&issuer);
    return result;
}

Swarm__NodeDescription *description_make(const struct description_facts *facts,
                                         const struct credentials *credentials, struct arena *arena,
                                         struct err *err)
{
    Swarm__NodeDescription *description = wire_new(&swarm__node_description__descriptor, arena);
    Swarm__Platform *platform = wire_new(&swarm__platform__descriptor, arena);
    Swarm__Resources *resources = wire_new(&swarm__resources__descriptor, arena);
    Swarm__EngineDescription *engine = wire_new(&swarm__engine_description__descriptor, arena);
    if (description && platform && resources && engine) {
        description->hostname = arena_strdup(arena, facts->hostname);
        platform->architecture = arena_strdup(arena, facts->architecture);
        platform->os = "linux";
        description->platform = platform;
        resources->nano_cpus = facts->nano_cpus;
        resources->memory_bytes = facts->memory_bytes;
        description->resources = resources;
        engine->engine_version = arena_strdup(arena, str_or(facts->engine_version, ""));
        description->engine = engine;
        if (add_generic(resources, facts, arena) && add_plugins(engine, facts, arena) &&
            add_labels(engine, facts, arena) && add_tls_info(description, credentials, arena, err))
            return NULL;
    }
    if (arena_overflowed(arena)) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, "the node's description is too large");
        return NULL;
    }
    return description;
}
