#include "tests/unit/agent/net/objects.h"

#include <check.h>
#include <string.h>

#include "agent/net/ipnet.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

static void *fresh(const wire_type *type, struct arena *arena)
{
    void *message = wire_new(type, arena);
    ck_assert_ptr_nonnull(message);
    return message;
}

static void option_add(struct arena *arena, Swarm__Driver *driver, const char *key,
                       const char *value)
{
    void **options = arena_alloc_array(arena, driver->n_options + 1, sizeof *options);
    for (size_t i = 0; i < driver->n_options; i++)
        options[i] = driver->options[i];
    Swarm__Driver__OptionsEntry *entry = fresh(&swarm__driver__options_entry__descriptor, arena);
    entry->key = arena_strdup(arena, key);
    entry->value = arena_strdup(arena, value);
    options[driver->n_options++] = entry;
    driver->options = (void *)options;
}

Swarm__Network *objects_network(struct arena *arena, const char *id, const char *subnets,
                                const char *vnis, const char *option, const char *value)
{
    Swarm__Network *network = fresh(&swarm__network__descriptor, arena);
    network->id = arena_strdup(arena, id);
    network->spec = fresh(&swarm__network_spec__descriptor, arena);
    network->spec->annotations = fresh(&swarm__annotations__descriptor, arena);
    network->spec->annotations->name = arena_printf(arena, "net-%s", id);
    network->driver_state = fresh(&swarm__driver__descriptor, arena);
    network->driver_state->name = "overlay";
    option_add(arena, network->driver_state, NAME_OPTION_VNI_LIST, vnis);
    if (option)
        option_add(arena, network->driver_state, option, value);
    network->ipam = fresh(&swarm__ipamoptions__descriptor, arena);
    network->ipam->configs = arena_alloc_array(arena, 32, sizeof(void *));
    const char *rest = *subnets ? subnets : NULL;
    struct str_part part;
    while (str_split(&rest, ' ', &part)) {
        struct ipnet subnet;
        char text[IPNET_TEXT_BYTES];
        Swarm__IPAMConfig *config = fresh(&swarm__ipamconfig__descriptor, arena);
        config->subnet = arena_strndup(arena, part.at, part.len);
        if (ipnet_parse(config->subnet, &subnet)) {
            subnet = ipnet_base(&subnet);
            subnet.bytes[subnet.size - 1] = 1;
            config->gateway = arena_strdup(arena, ipnet_format_ip(&subnet, text));
        }
        network->ipam->configs[network->ipam->n_configs++] = config;
    }
    return network;
}

Swarm__Task *objects_task(struct arena *arena, Swarm__Network *network, const char *address)
{
    Swarm__Task *task = fresh(&swarm__task__descriptor, arena);
    task->id = "task1";
    task->service_id = "svc1";
    task->service_annotations = fresh(&swarm__annotations__descriptor, arena);
    task->service_annotations->name = "web";
    task->spec = fresh(&swarm__task_spec__descriptor, arena);
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = fresh(&swarm__container_spec__descriptor, arena);
    task->networks = arena_alloc_array(arena, 4, sizeof(void *));
    task->n_networks = 1;
    task->networks[0] = fresh(&swarm__network_attachment__descriptor, arena);
    task->networks[0]->network = network;
    const char **addresses = arena_alloc_array(arena, 1, sizeof *addresses);
    addresses[0] = address;
    task->networks[0]->addresses = addresses;
    task->networks[0]->n_addresses = 1;
    return task;
}
