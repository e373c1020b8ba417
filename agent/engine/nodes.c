// /nodes
#include "agent/engine/engine.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

static const struct filter_row node_filters[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},
    {"name", FILTER_TEXTS, "name_prefixes", NULL},
    {"label", FILTER_LABELS, "labels", NULL},
    {"node.label", FILTER_LABELS, "node_labels", NULL},
    {"role", FILTER_ENUM, "roles", &node_role_names},
    {"membership", FILTER_ENUM, "memberships", &node_membership_names},
};

const struct noun noun_node = {
    .word = "node",
    .get = CONTROL("GetNode"),
    .id_field = "node_id",
    .list = CONTROL("ListNodes"),
    .remove = CONTROL("RemoveNode"),
    .fields = &node_fields,
    .filters = node_filters,
    .filters_count = COUNT_OF(node_filters),
};

static void list(struct request *request)
{
    noun_list(request, &noun_node);
}

static void inspect(struct request *request)
{
    noun_inspect(request, &noun_node);
}

static void remove_node(struct request *request)
{
    noun_remove(request, &noun_node, 200, request_flag(request, "force"));
}

static void updated(struct request *request, const void *response)
{
    (void)response;
    request_empty(request, 200);
}

static void update_found(struct request *request, const void *object)
{
    Swarm__UpdateNodeRequest *update = request_kept(request);
    update->node_id = str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    request_call(request, CONTROL("UpdateNode"), update, updated, NULL);
}

static void update(struct request *request)
{
    struct arena *arena = request_arena(request);
    uint64_t index;
    Swarm__UpdateNodeRequest *message = request_message(request, CONTROL("UpdateNode"));
    message->spec = wire_new(&swarm__node_spec__descriptor, arena);
    message->node_version = wire_new(&swarm__version__descriptor, arena);
    // A node that is asked about is a member; the API has no way to say otherwise.
    message->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    if (!request_read(request, &node_spec_fields, message->spec, "node", &index))
        return;
    message->node_version->index = index;
    request_keep(request, message);
    noun_find(request, &noun_node, request_param(request, "id"), update_found);
}

static const struct endpoint rows[] = {
    {"GET", "/nodes", list},
    {"GET", "/nodes/{id}", inspect},
    {"DELETE", "/nodes/{id}", remove_node},
    {"POST", "/nodes/{id}/update", update},
};
SWARM_ENDPOINTS(node_endpoints, rows);
