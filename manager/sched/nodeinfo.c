#include "manager/sched/nodeinfo.h"

#include <stdlib.h>
#include <string.h>

#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct sched_node *nodeinfo_new(const char *id)
{
    size_t bytes = strlen(id) + 1;
    struct sched_node *node = mem_alloc(sizeof(*node) + bytes);
    memcpy(node->id, id, bytes);
    list_init(&node->tasks);
    return node;
}

void nodeinfo_unset(struct sched_node *node)
{
    node->exists = false;
    node->ready = false;
    generic_fini(&node->generic_free);
    MEM_FREE(node->block);
    MEM_FREE(node->plugins);
    node->traits = (struct node_traits){.id = NULL};
}

void nodeinfo_free(struct sched_node *node)
{
    CHECK(list_empty(&node->tasks));
    nodeinfo_unset(node);
    free(node->ports);
    free(node->failures);
    free(node);
}

// ---- what the node says of itself --------------------------------------------------------------

static size_t traits_text_bytes(const struct node_traits *traits)
{
    size_t bytes = strlen(traits->id) + strlen(traits->hostname) + strlen(traits->addr) +
                   strlen(traits->os) + strlen(traits->arch) + 5;
    for (size_t i = 0; i < traits->labels_count; i++)
        bytes += strlen(traits->labels[i].key) + strlen(traits->labels[i].value) + 2;
    for (size_t i = 0; i < traits->engine_labels_count; i++)
        bytes += strlen(traits->engine_labels[i].key) + strlen(traits->engine_labels[i].value) + 2;
    return bytes;
}

static const char *keep_text(char **at, const char *text)
{
    char *kept = *at;
    *at = stpcpy(kept, text) + 1;
    return kept;
}

// Copies the traits into one block of the node's own.
static void keep_traits(struct sched_node *node, const struct node_traits *from)
{
    size_t labels = from->labels_count + from->engine_labels_count;
    free(node->block);
    node->block = mem_alloc(labels * sizeof(struct trait) + traits_text_bytes(from));
    struct trait *traits = (struct trait *)node->block;
    char *at = (char *)(traits + labels);
    for (size_t i = 0; i < labels; i++) {
        const struct trait *trait = i < from->labels_count
                                        ? &from->labels[i]
                                        : &from->engine_labels[i - from->labels_count];
        traits[i].key = keep_text(&at, trait->key);
        traits[i].value = keep_text(&at, trait->value);
    }
    node->traits = *from; // role is a constant text
    node->traits.id = keep_text(&at, from->id);
    node->traits.hostname = keep_text(&at, from->hostname);
    node->traits.addr = keep_text(&at, from->addr);
    node->traits.os = keep_text(&at, from->os);
    node->traits.arch = keep_text(&at, from->arch);
    node->traits.labels = traits;
    node->traits.engine_labels = traits + from->labels_count;
}

static void keep_plugins(struct sched_node *node, const Swarm__EngineDescription *engine)
{
    MEM_FREE(node->plugins);
    node->has_engine = engine != NULL;
    if (!engine)
        return;
    struct buf text;
    buf_init(&text, OBJECT_BYTES_MAX * 2);
    for (size_t i = 0; i < engine->n_plugins; i++)
        buf_printf(&text, "%s:%s\n", str_or(engine->plugins[i]->type, ""),
                   str_or(engine->plugins[i]->name, ""));
    node->plugins = str_dup(buf_cstr(&text));
    buf_fini(&text);
}

void nodeinfo_set(struct sched_node *node, const Swarm__Node *message)
{
    const Swarm__NodeDescription *description = message->description;
    const Swarm__Resources *resources = description ? description->resources : NULL;
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    struct node_traits traits = node_traits_of(message, &arena);
    keep_traits(node, &traits);
    arena_fini(&arena);
    keep_plugins(node, description ? description->engine : NULL);
    node->exists = true;
    node->ready =
        message->status && message->status->state == SWARM__NODE_STATUS__STATE__READY &&
        (!message->spec || message->spec->availability == SWARM__NODE_SPEC__AVAILABILITY__ACTIVE ||
         PLANTED(PASSIVE));
    node->nano_cpus_free = resources ? resources->nano_cpus : 0;
    node->memory_free = resources ? resources->memory_bytes : 0;
    generic_fini(&node->generic_free);
    if (resources)
        generic_init_of(&node->generic_free, resources->generic, resources->n_generic);
    LIST_EACH (it, &node->tasks) {
        const struct sched_task *task = LIST_ENTRY(it, struct sched_task, here);
        node->nano_cpus_free -= task->demand->nano_cpus;
        node->memory_free -= task->demand->memory_bytes;
        if (task->taken)
            generic_take(&node->generic_free, task->taken);
    }
}

bool nodeinfo_has_plugin(const struct sched_node *node, const char *type, const char *name,
                         bool *type_listed)
{
    size_t type_len = strlen(type);
    size_t name_len = strlen(name);
    *type_listed = false;
    for (const char *line = node->plugins; line && *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, type, type_len) || line[type_len] != ':')
            continue;
        *type_listed = true;
        const char *rest = line + type_len + 1;
        if (strncmp(rest, name, name_len))
            continue;
        rest += name_len;
        if (*rest == '\n' || !strncmp(rest, ":latest\n", 8))
            return true;
    }
    return false;
}

// ---- who runs there ----------------------------------------------------------------------------

bool nodeinfo_port_used(const struct sched_node *node, struct host_port port)
{
    for (size_t i = 0; i < node->ports_count; i++)
        if (node->ports[i].number == port.number && node->ports[i].protocol == port.protocol)
            return true;
    return false;
}

// Counts an active task of the service on the node, or one less.
static void count_service(struct sched_service *service, struct sched_node *node, bool more)
{
    uint64_t key = (uintptr_t)node;
    uintptr_t count = (uintptr_t)map_get_u64(&service->nodes, key);
    count = more ? count + 1 : count - 1;
    if (count == 0)
        map_remove_u64(&service->nodes, key);
    else
        map_put_u64(&service->nodes, key, (void *)count);
}

unsigned nodeinfo_here(const struct sched_node *node, const struct sched_service *service)
{
    return service ? (unsigned)(uintptr_t)map_get_u64(&service->nodes, (uintptr_t)node) : 0;
}

void nodeinfo_add(struct sched_node *node, struct sched_task *task, struct generic_set *taken)
{
    CHECK(!task->node);
    const struct demand *demand = task->demand;
    task->node = node;
    list_push_back(&node->tasks, &task->here);
    node->nano_cpus_free -= demand->nano_cpus;
    node->memory_free -= demand->memory_bytes;
    if (taken) {
        generic_take(&node->generic_free, taken);
    } else if (demand->generic.count > 0) {
        taken = MEM_NEW(struct generic_set);
        for (size_t i = 0; i < demand->generic.count; i++) {
            const struct generic_item *item = &demand->generic.items[i];
            if (generic_has(&node->generic_free, item->kind, item->count))
                generic_claim(&node->generic_free, item->kind, item->count, taken);
        }
    }
    task->taken = taken;
    for (size_t i = 0; i < demand->ports_count; i++) {
        if (node->ports_count == node->ports_cap) {
            node->ports_cap = node->ports_cap ? 2 * node->ports_cap : 4;
            node->ports = mem_realloc(node->ports, node->ports_cap * sizeof(*node->ports));
        }
        node->ports[node->ports_count++] = demand->ports[i];
    }
    if (task->active) {
        node->active++;
        node->here++;
        if (demand->service)
            count_service(demand->service, node, true);
    }
}

void nodeinfo_remove(struct sched_task *task)
{
    struct sched_node *node = task->node;
    CHECK(node);
    const struct demand *demand = task->demand;
    task->node = NULL;
    list_remove(&task->here);
    node->nano_cpus_free += demand->nano_cpus;
    node->memory_free += demand->memory_bytes;
    if (task->taken) {
        generic_give(&node->generic_free, task->taken);
        generic_fini(task->taken);
        MEM_FREE(task->taken);
    }
    for (size_t i = 0; i < demand->ports_count; i++)
        for (size_t k = 0; k < node->ports_count; k++)
            if (node->ports[k].number == demand->ports[i].number &&
                node->ports[k].protocol == demand->ports[i].protocol) {
                node->ports[k] = node->ports[--node->ports_count];
                break;
            }
    if (task->active) {
        CHECK(node->active > 0);
        node->active--;
        if (demand->service)
            count_service(demand->service, node, false);
    }
}

// ---- what failed there -------------------------------------------------------------------------

void nodeinfo_failed(struct sched_node *node, const struct sched_service *service,
                     uint64_t spec_version, struct wall now)
{
    if (!node->failures)
        node->failures = mem_alloc_array(NODE_FAILURES_MAX, sizeof(*node->failures));
    if (node->failures_count == NODE_FAILURES_MAX) {
        node->failures_count--;
        memmove(&node->failures[0], &node->failures[1],
                node->failures_count * sizeof(*node->failures));
    }
    node->failures[node->failures_count++] = (struct sched_failure){
        .service = service ? service->serial : 0, .spec_version = spec_version, .at = now};
}

unsigned nodeinfo_failures(const struct sched_node *node, const struct sched_service *service,
                           uint64_t spec_version, struct wall now)
{
    unsigned count = 0;
    uint64_t serial = service ? service->serial : 0;
    for (size_t i = 0; i < node->failures_count; i++) {
        const struct sched_failure *failure = &node->failures[i];
        count += failure->service == serial && failure->spec_version == spec_version &&
                 wall_since(now, failure->at) < SCHED_FAILURE_WINDOW_NS;
    }
    return count;
}
