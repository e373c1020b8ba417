#include "manager/store/tables.h"

#include "proto/base/check.h"
#include "proto/base/str.h"

#define NESTED(ptr, member) ((ptr) ? (ptr)->member : NULL)

// ---- where the annotations are -----------------------------------------------------------------

// Objects with a spec carry their annotations there, the others directly.
#define ANNOTATIONS_IN_SPEC(function, type)                                                        \
    static const Swarm__Annotations *function(const void *message)                                 \
    {                                                                                              \
        const type *object = message;                                                              \
        return NESTED(object->spec, annotations);                                                  \
    }
#define ANNOTATIONS_DIRECT(function, type)                                                         \
    static const Swarm__Annotations *function(const void *message)                                 \
    {                                                                                              \
        return ((const type *)message)->annotations;                                               \
    }

ANNOTATIONS_IN_SPEC(node_annotations, Swarm__Node)
ANNOTATIONS_IN_SPEC(service_annotations, Swarm__Service)
ANNOTATIONS_DIRECT(task_annotations, Swarm__Task)
ANNOTATIONS_IN_SPEC(network_annotations, Swarm__Network)
ANNOTATIONS_IN_SPEC(cluster_annotations, Swarm__Cluster)
ANNOTATIONS_IN_SPEC(secret_annotations, Swarm__Secret)
ANNOTATIONS_IN_SPEC(config_annotations, Swarm__Config)
ANNOTATIONS_DIRECT(extension_annotations, Swarm__Extension)
ANNOTATIONS_DIRECT(resource_annotations, Swarm__Resource)
ANNOTATIONS_IN_SPEC(volume_annotations, Swarm__Volume)

// ---- what they are found by --------------------------------------------------------------------

static void index_node(const void *message, struct keys *keys)
{
    const Swarm__Node *node = message;
    keys_number(keys, INDEX_ROLE, (uint32_t)node->role);
    keys_number(keys, INDEX_MEMBERSHIP, node->spec ? (uint32_t)node->spec->membership : 0);
}

// What a task spec refers to: networks, secrets and configs, by id.
static void index_references(const Swarm__TaskSpec *spec, struct keys *keys)
{
    if (!spec)
        return;
    for (size_t i = 0; i < spec->n_networks; i++)
        keys_text(keys, INDEX_NETWORK, spec->networks[i]->target);
    for (size_t i = 0; i < spec->n_resource_references; i++) {
        const Swarm__ResourceReference *reference = spec->resource_references[i];
        if (reference->resource_type == SWARM__RESOURCE_TYPE__SECRET)
            keys_text(keys, INDEX_SECRET, reference->resource_id);
        else if (reference->resource_type == SWARM__RESOURCE_TYPE__CONFIG)
            keys_text(keys, INDEX_CONFIG, reference->resource_id);
    }
    if (spec->runtime_case != SWARM__TASK_SPEC__RUNTIME_CONTAINER)
        return;
    const Swarm__ContainerSpec *container = spec->container;
    for (size_t i = 0; i < container->n_secrets; i++)
        keys_text(keys, INDEX_SECRET, container->secrets[i]->secret_id);
    for (size_t i = 0; i < container->n_configs; i++)
        keys_text(keys, INDEX_CONFIG, container->configs[i]->config_id);
}

static void index_service(const void *message, struct keys *keys)
{
    const Swarm__Service *service = message;
    if (!service->spec)
        return;
    index_references(service->spec->task, keys);
    for (size_t i = 0; i < service->spec->n_networks; i++)
        keys_text(keys, INDEX_NETWORK, service->spec->networks[i]->target);
}

static void index_task(const void *message, struct keys *keys)
{
    const Swarm__Task *task = message;
    keys_slot(keys, task->service_id, task->slot);
    keys_text(keys, INDEX_NODE, task->node_id);
    keys_number(keys, INDEX_DESIRED_STATE, (uint32_t)task->desired_state);
    keys_number(keys, INDEX_STATE, task->status ? (uint32_t)task->status->state : 0);
    index_references(task->spec, keys);
    for (size_t i = 0; i < task->n_networks; i++)
        keys_text(keys, INDEX_NETWORK, NESTED(task->networks[i]->network, id));
    for (size_t i = 0; i < task->n_volumes; i++)
        keys_text(keys, INDEX_VOLUME, task->volumes[i]->id);
}

static void index_resource(const void *message, struct keys *keys)
{
    keys_text(keys, INDEX_KIND, ((const Swarm__Resource *)message)->kind);
}

static void index_volume(const void *message, struct keys *keys)
{
    const Swarm__Volume *volume = message;
    keys_text(keys, INDEX_GROUP, NESTED(volume->spec, group));
}

// ---- the rows ----------------------------------------------------------------------------------

#define ROW(number, table_name, type, lower, action, snapshot, unique, indexer)                    \
    [number] = {                                                                                   \
        .name = table_name,                                                                        \
        .descriptor = &swarm__##lower##__descriptor,                                               \
        .action_field = action,                                                                    \
        .snapshot_field = snapshot,                                                                \
        .id_at = offsetof(type, id),                                                               \
        .meta_at = offsetof(type, meta),                                                           \
        .unique_name = unique,                                                                     \
        .annotations = lower##_annotations,                                                        \
        .index = indexer,                                                                          \
    }

const struct table tables[OBJECT_TYPES] = {
    ROW(OBJECT_NODE, "node", Swarm__Node, node, 2, 1, false, index_node),
    ROW(OBJECT_SERVICE, "service", Swarm__Service, service, 3, 2, true, index_service),
    ROW(OBJECT_TASK, "task", Swarm__Task, task, 4, 4, false, index_task),
    ROW(OBJECT_NETWORK, "network", Swarm__Network, network, 5, 3, true, NULL),
    ROW(OBJECT_CLUSTER, "cluster", Swarm__Cluster, cluster, 6, 5, true, NULL),
    ROW(OBJECT_SECRET, "secret", Swarm__Secret, secret, 7, 6, true, NULL),
    ROW(OBJECT_CONFIG, "config", Swarm__Config, config, 10, 9, true, NULL),
    ROW(OBJECT_EXTENSION, "extension", Swarm__Extension, extension, 9, 8, true, NULL),
    ROW(OBJECT_RESOURCE, "resource", Swarm__Resource, resource, 8, 7, true, index_resource),
    ROW(OBJECT_VOLUME, "volume", Swarm__Volume, volume, 11, 10, true, index_volume),
};
static_assert(COUNT_OF(tables) == OBJECT_TYPES, "one row per object type");

bool table_of_action_field(uint32_t field, enum object_type *type)
{
    for (unsigned i = 0; i < OBJECT_TYPES; i++)
        if (tables[i].action_field == field) {
            *type = (enum object_type)i;
            return true;
        }
    return false;
}

bool table_of_snapshot_field(uint32_t field, enum object_type *type)
{
    for (unsigned i = 0; i < OBJECT_TYPES; i++)
        if (tables[i].snapshot_field == field) {
            *type = (enum object_type)i;
            return true;
        }
    return false;
}

const char *object_type_name(enum object_type type)
{
    CHECK(type < OBJECT_TYPES);
    return tables[type].name;
}

bool object_type_of_name(const char *name, enum object_type *type)
{
    for (unsigned i = 0; i < OBJECT_TYPES; i++)
        if (str_equal(tables[i].name, name)) {
            *type = (enum object_type)i;
            return true;
        }
    return false;
}
