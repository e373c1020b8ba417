#include "tests/support/fake_objects.h"

#include <string.h>

#include "proto/base/check.h"

static void *fake_new(struct arena *arena, size_t size, void (*init)(void *))
{
    void *message = arena_alloc(arena, size);
    CHECK(message);
    init(message);
    return message;
}

static void init_annotations(void *message)
{
    swarm__annotations__init(message);
}

Swarm__Annotations *fake_annotations(struct arena *arena, const char *name)
{
    Swarm__Annotations *annotations = fake_new(arena, sizeof(*annotations), init_annotations);
    annotations->name = arena_strdup(arena, name);
    return annotations;
}

#define MAKER(lower, type)                                                                         \
    static void init_##lower(void *message)                                                        \
    {                                                                                              \
        swarm__##lower##__init(message);                                                           \
    }                                                                                              \
    static type *new_##lower(struct arena *arena)                                                  \
    {                                                                                              \
        return fake_new(arena, sizeof(type), init_##lower);                                        \
    }

MAKER(node, Swarm__Node)
MAKER(node_spec, Swarm__NodeSpec)
MAKER(node_status, Swarm__NodeStatus)
MAKER(node_description, Swarm__NodeDescription)
MAKER(service, Swarm__Service)
MAKER(service_spec, Swarm__ServiceSpec)
MAKER(replicated_service, Swarm__ReplicatedService)
MAKER(task, Swarm__Task)
MAKER(task_spec, Swarm__TaskSpec)
MAKER(task_status, Swarm__TaskStatus)
MAKER(container_spec, Swarm__ContainerSpec)
MAKER(network, Swarm__Network)
MAKER(network_spec, Swarm__NetworkSpec)
MAKER(secret, Swarm__Secret)
MAKER(secret_spec, Swarm__SecretSpec)
MAKER(cluster, Swarm__Cluster)
MAKER(cluster_spec, Swarm__ClusterSpec)
MAKER(extension, Swarm__Extension)
MAKER(resource, Swarm__Resource)

Swarm__Node *fake_node(struct arena *arena, const char *id)
{
    Swarm__Node *node = new_node(arena);
    node->id = arena_strdup(arena, id);
    node->spec = new_node_spec(arena);
    node->spec->annotations = fake_annotations(arena, "");
    node->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    node->description = new_node_description(arena);
    node->description->hostname = arena_printf(arena, "host-%s", id);
    node->status = new_node_status(arena);
    node->status->state = SWARM__NODE_STATUS__STATE__READY;
    return node;
}

Swarm__TaskSpec *fake_task_spec(struct arena *arena)
{
    Swarm__TaskSpec *spec = new_task_spec(arena);
    spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    spec->container = new_container_spec(arena);
    spec->container->image = "image:1";
    return spec;
}

Swarm__Service *fake_service(struct arena *arena, const char *id)
{
    Swarm__Service *service = new_service(arena);
    service->id = arena_strdup(arena, id);
    service->spec = new_service_spec(arena);
    service->spec->annotations = fake_annotations(arena, id);
    service->spec->task = fake_task_spec(arena);
    service->spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED;
    service->spec->replicated = new_replicated_service(arena);
    service->spec->replicated->replicas = 1;
    return service;
}

Swarm__Task *fake_task(struct arena *arena, const char *id, const char *service_id, uint64_t slot)
{
    Swarm__Task *task = new_task(arena);
    task->id = arena_strdup(arena, id);
    task->service_id = arena_strdup(arena, service_id);
    task->slot = slot;
    task->spec = fake_task_spec(arena);
    task->annotations = fake_annotations(arena, "");
    task->status = new_task_status(arena);
    task->desired_state = SWARM__TASK_STATE__RUNNING;
    return task;
}

Swarm__Network *fake_network(struct arena *arena, const char *id)
{
    Swarm__Network *network = new_network(arena);
    network->id = arena_strdup(arena, id);
    network->spec = new_network_spec(arena);
    network->spec->annotations = fake_annotations(arena, id);
    return network;
}

Swarm__Secret *fake_secret(struct arena *arena, const char *id)
{
    Swarm__Secret *secret = new_secret(arena);
    secret->id = arena_strdup(arena, id);
    secret->spec = new_secret_spec(arena);
    secret->spec->annotations = fake_annotations(arena, id);
    return secret;
}

Swarm__Cluster *fake_cluster(struct arena *arena, const char *id)
{
    Swarm__Cluster *cluster = new_cluster(arena);
    cluster->id = arena_strdup(arena, id);
    cluster->spec = new_cluster_spec(arena);
    cluster->spec->annotations = fake_annotations(arena, "default");
    return cluster;
}

Swarm__Extension *fake_extension(struct arena *arena, const char *id)
{
    Swarm__Extension *extension = new_extension(arena);
    extension->id = arena_strdup(arena, id);
    extension->annotations = fake_annotations(arena, id);
    return extension;
}

Swarm__Resource *fake_resource(struct arena *arena, const char *id, const char *kind)
{
    Swarm__Resource *resource = new_resource(arena);
    resource->id = arena_strdup(arena, id);
    resource->annotations = fake_annotations(arena, id);
    resource->kind = arena_strdup(arena, kind);
    return resource;
}

void fake_add(struct arena *arena, void ***list, size_t *count, void *item)
{
    void **longer = arena_alloc_array(arena, *count + 1, sizeof(*longer));
    CHECK(longer);
    if (*count)
        memcpy(longer, *list, *count * sizeof(*longer));
    longer[(*count)++] = item;
    *list = longer;
}

static void *copy_alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void copy_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

void *fake_copy(struct arena *arena, const void *message)
{
    const ProtobufCMessage *base = message;
    size_t size = protobuf_c_message_get_packed_size(base);
    uint8_t *bytes = arena_alloc(arena, size + 1);
    CHECK(bytes);
    protobuf_c_message_pack(base, bytes);
    ProtobufCAllocator allocator = {copy_alloc, copy_free, arena};
    void *copy = protobuf_c_message_unpack(base->descriptor, &allocator, size, bytes);
    CHECK(copy);
    return copy;
}
