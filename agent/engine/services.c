// /services
#include <string.h>

#include "agent/crate/names.h"
#include "agent/crate/config.h"
#include "agent/engine/engine.h"
#include "agent/engine/list.h"
#include "agent/engine/networks.h"
#include "agent/engine/noun.h"
#include "agent/engine/objects.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/wire.h"

static const struct filter_row service_filters[] = {
    {"id", FILTER_TEXTS, "id_prefixes", NULL},   {"name", FILTER_TEXTS, "name_prefixes", NULL},
    {"label", FILTER_LABELS, "labels", NULL},    {"mode", FILTER_KNOWN, NULL, NULL},
    {"runtime", FILTER_TEXTS, "runtimes", NULL},
};

static const char *mode_of(const void *object);

const struct noun noun_service = {
    .word = "service",
    .get = CONTROL("GetService"),
    .id_field = "service_id",
    .list = CONTROL("ListServices"),
    .remove = CONTROL("RemoveService"),
    .fields = &service_fields,
    .filters = service_filters,
    .filters_count = COUNT_OF(service_filters),
    .tag = mode_of,
};

// ---- listing -----------------------------------------------------------------------------------

// Where the JSON is all that is left of a service, its mode is kept beside it.
static const char *mode_of(const void *object)
{
    const Swarm__Service *service = object;
    switch (service->spec->mode_case) {
    case SWARM__SERVICE_SPEC__MODE_GLOBAL:
        return "global";
    case SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB:
        return "replicated-job";
    case SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB:
        return "global-job";
    default:
        return "replicated";
    }
}

struct listing {
    struct filters filters;
    bool with_status;
    struct service_status {
        uint64_t running, desired, completed;
    } * statuses; // of the objects of the list, in order; NULL: not asked
    size_t statuses_count;
};

static bool has_mode(void *owner, const struct shelf_item *item)
{
    const struct listing *listing = owner;
    return filters_match(&listing->filters, "mode", shelf_item_tag(item), false);
}

static void write_status(void *owner, size_t index, struct json_out *out)
{
    const struct listing *listing = owner;
    if (index >= listing->statuses_count)
        return;
    const struct service_status *status = &listing->statuses[index];
    json_out_object(out, "ServiceStatus");
    json_out_uint(out, "RunningTasks", status->running);
    json_out_uint(out, "DesiredTasks", status->desired);
    json_out_uint(out, "CompletedTasks", status->completed);
    json_out_end(out);
}

static const struct list_look look = {has_mode, NULL};
static const struct list_look look_with_status = {has_mode, write_status};

static void with_statuses(struct request *request, const void *response)
{
    const Swarm__ListServiceStatusesResponse *got = response;
    struct listing *listing = request_kept(request);
    // The answers come in the order of the question.
    for (size_t i = 0; i < got->n_statuses && i < listing->statuses_count; i++)
        listing->statuses[i] = (struct service_status){got->statuses[i]->running_tasks,
                                                       got->statuses[i]->desired_tasks,
                                                       got->statuses[i]->completed_tasks};
    if (listing->statuses_count > got->n_statuses)
        listing->statuses_count = got->n_statuses;
    list_send(request, &look_with_status, listing);
}

static void listed(struct request *request, struct shelf *shelf)
{
    struct listing *listing = request_kept(request);
    size_t count = shelf_count(shelf);
    if (!listing->with_status || count == 0) {
        list_send(request, &look, listing);
        return;
    }
    struct arena *arena = request_arena(request);
    Swarm__ListServiceStatusesRequest *message =
        request_message(request, CONTROL("ListServiceStatuses"));
    const char **ids = arena_alloc_array(arena, count, sizeof *ids);
    listing->statuses = arena_alloc_array(arena, count, sizeof *listing->statuses);
    listing->statuses_count = count;
    if (!ids || !listing->statuses) {
        request_fail(request, 500, "more services than one answer holds with their status");
        return;
    }
    for (size_t i = 0; i < count; i++)
        ids[i] = shelf_item_id(shelf_at(shelf, i));
    message->services = ids;
    message->n_services = count;
    request_call(request, CONTROL("ListServiceStatuses"), message, with_statuses, NULL);
}

static void list(struct request *request)
{
    struct listing *listing = ARENA_NEW(request_arena(request), struct listing);
    CHECK(listing);
    if (!request_strict_flag(request, "status", &listing->with_status))
        return;
    request_keep(request, listing);
    noun_list_then(request, &noun_service, &listing->filters, listed);
}

// ---- one service -------------------------------------------------------------------------------

static void show_with_defaults(struct request *request, const void *response)
{
    const Swarm__GetServiceResponse *got = response;
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    fields_write(&service_fields, got->service, out);
    json_out_end(out);
    request_send(request, 200);
}

static void found_for_defaults(struct request *request, const void *object)
{
    Swarm__GetServiceRequest *message = request_message(request, CONTROL("GetService"));
    message->service_id = str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    message->insert_defaults = 1;
    request_call(request, CONTROL("GetService"), message, show_with_defaults, NULL);
}

static void inspect(struct request *request)
{
    bool defaults;
    if (!request_strict_flag(request, "insertDefaults", &defaults))
        return;
    if (!defaults)
        noun_inspect(request, &noun_service);
    else if (request_needs_manager(request))
        noun_find(request, &noun_service, request_param(request, "id"), found_for_defaults);
}

static void remove_service(struct request *request)
{
    noun_remove(request, &noun_service, 200, false);
}

// ---- creating and updating ---------------------------------------------------------------------

// A spec under way: the networks it names are looked up one after the other, then `go` sends it.
struct draft {
    Swarm__ServiceSpec *spec;
    size_t next_network; // of the task's, then of the legacy list
    void (*go)(struct request *request);
    Swarm__UpdateServiceRequest *update;
    bool keep_auth; // from the present or the previous spec
    bool auth_of_previous;
};

static Swarm__NetworkAttachmentConfig *network_at(const struct draft *draft, size_t index)
{
    Swarm__TaskSpec *task = draft->spec->task;
    if (index < task->n_networks)
        return task->networks[index];
    index -= task->n_networks;
    return index < draft->spec->n_networks ? draft->spec->networks[index] : NULL;
}

static void next_network(struct request *request);

static void network_found(struct request *request, const void *object)
{
    struct draft *draft = request_kept(request);
    network_at(draft, draft->next_network)->target =
        str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    draft->next_network++;
    next_network(request);
}

// A network of this node stands for the swarm's entry of that name when every node has it: host and
// bridge. Others are of no use to tasks elsewhere: NULL after answering.
static const char *swarm_name(struct request *request, const char *target)
{
    json_t *local = networks_local(request);
    const char *name = target;
    for (size_t i = 0; i < json_array_size(local); i++) {
        const json_t *it = json_array_get(local, i);
        const char *its = str_or(json_string_value(json_object_get(it, "Name")), "");
        if (str_equal(json_string_value(json_object_get(it, "Scope")), "swarm") ||
            (strcmp(its, target) != 0 &&
             !str_equal(json_string_value(json_object_get(it, "Id")), target)))
            continue;
        name = network_is_builtin(its) ? arena_strdup(request_arena(request), its) : NULL;
        if (!name)
            request_fail(request, 403,
                         "The network %s cannot be used with services. Only networks scoped to "
                         "the swarm can be used, such as those created with the overlay driver.",
                         its);
        break;
    }
    json_decref(local);
    return name;
}

static void next_network(struct request *request)
{
    struct draft *draft = request_kept(request);
    const Swarm__NetworkAttachmentConfig *network = network_at(draft, draft->next_network);
    if (!network) {
        draft->go(request);
        return;
    }
    const char *name = swarm_name(request, network->target);
    if (name)
        noun_find(request, &noun_network, name, network_found);
}

static void set_auth(struct request *request, Swarm__ServiceSpec *spec, const char *auth)
{
    if (spec->task->runtime_case != SWARM__TASK_SPEC__RUNTIME_CONTAINER || str_empty(auth))
        return;
    struct arena *arena = request_arena(request);
    Swarm__ContainerSpec *container = spec->task->container;
    container->pull_options = wire_new(&swarm__container_spec__pull_options__descriptor, arena);
    const char *copy = arena_strdup(arena, auth);
    if (container->pull_options && copy)
        container->pull_options->registry_auth = copy;
}

// What the table cannot say about a spec. False after answering.
static bool check_spec(struct request *request, const json_t *json, Swarm__ServiceSpec *spec)
{
    const json_t *template = fields_member(json, "TaskTemplate");
    const json_t *runtime = template ? fields_member(template, "Runtime") : NULL;
    const char *text = runtime ? str_or(json_string_value(runtime), "") : "";
    bool plugin = template && fields_member(template, "PluginSpec") != NULL;
    if (runtime && !json_is_string(runtime)) {
        request_fail(request, 400,
                     "json: cannot unmarshal %s into Go struct field TaskSpec.Runtime of type "
                     "swarm.RuntimeType",
                     config_go_kind(runtime));
        return false;
    }
    if (strcmp(text, "plugin") == 0 || plugin) {
        request_fail(request, 501, "services of plugins are not supported");
        return false;
    }
    if (*text && strcmp(text, "container") != 0) {
        request_fail(request, 400, "unsupported runtime");
        return false;
    }
    if (!template || !fields_member(template, "ContainerSpec")) {
        request_fail(request, 400, "mismatched Runtime and *Spec fields");
        return false;
    }
    if (!spec->task)
        spec->task = wire_new(&swarm__task_spec__descriptor, request_arena(request));
    if (!spec->task || !spec->annotations) {
        request_fail(request, 500, "the request is too large");
        return false;
    }
    if (spec->mode_case == SWARM__SERVICE_SPEC__MODE__NOT_SET) {
        spec->replicated = wire_new(&swarm__replicated_service__descriptor, request_arena(request));
        spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED;
        spec->replicated->replicas = 1;
    }
    // Since 1.44 only the template's networks count.
    if (request_minor(request) >= 44)
        spec->n_networks = 0;
    return true;
}

static bool check_rollback(struct request *request)
{
    const char *rollback = str_or(request_query(request, "rollback"), "");
    if (str_empty(rollback) || str_equal(rollback, "previous") || str_equal(rollback, "none"))
        return true;
    request_fail(request, 500, "unrecognized rollback option %.100s", rollback);
    return false;
}

// As request_read; `index` is there for an update.
static struct draft *read_draft(struct request *request, void (*go)(struct request *request),
                                uint64_t *index)
{
    struct arena *arena = request_arena(request);
    struct draft *draft = ARENA_NEW(arena, struct draft);
    CHECK(draft);
    draft->go = go;
    draft->spec = wire_new(&swarm__service_spec__descriptor, arena);
    if (!request_read(request, &service_spec_fields, draft->spec, "service", index))
        return NULL;
    if ((index && !check_rollback(request)) ||
        !check_spec(request, request_json(request), draft->spec))
        return NULL;
    set_auth(request, draft->spec, request_header(request, "X-Registry-Auth"));
    request_keep(request, draft);
    return draft;
}

static void created(struct request *request, const char *id)
{
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_str(out, "ID", id);
    json_out_end(out);
    request_send(request, 201);
}

static void send_create(struct request *request)
{
    const struct draft *draft = request_kept(request);
    Swarm__CreateServiceRequest *message = request_message(request, CONTROL("CreateService"));
    message->spec = draft->spec;
    request_call_create(request, CONTROL("CreateService"), message, created);
}

static void create(struct request *request)
{
    const struct draft *draft = read_draft(request, send_create, NULL);
    if (!draft)
        return;
    if (str_empty(draft->spec->annotations->name)) {
        struct rand rand;
        char name[64];
        entropy_seed(&rand);
        crate_name_make(&rand, 0, name, sizeof name);
        draft->spec->annotations->name = arena_strdup(request_arena(request), name);
    }
    next_network(request);
}

static void updated(struct request *request, const void *response)
{
    (void)response;
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    json_out_null(out, "Warnings");
    json_out_end(out);
    request_send(request, 200);
}

static void send_update(struct request *request)
{
    const struct draft *draft = request_kept(request);
    request_call(request, CONTROL("UpdateService"), draft->update, updated, NULL);
}

// Without an X-Registry-Auth of its own an update keeps the one it had.
static void keep_auth(struct request *request, const Swarm__Service *service, struct draft *draft)
{
    const Swarm__ServiceSpec *from =
        draft->auth_of_previous ? service->previous_spec : service->spec;
    if (!from || from->task->runtime_case != SWARM__TASK_SPEC__RUNTIME_CONTAINER ||
        !from->task->container->pull_options)
        return;
    set_auth(request, draft->spec, from->task->container->pull_options->registry_auth);
}

static void update_found(struct request *request, const void *object)
{
    struct draft *draft = request_kept(request);
    draft->update->service_id = str_or(arena_strdup(request_arena(request), noun_id(object)), "");
    if (draft->keep_auth)
        keep_auth(request, object, draft);
    next_network(request);
}

static void update(struct request *request)
{
    struct arena *arena = request_arena(request);
    uint64_t index;
    struct draft *draft = read_draft(request, send_update, &index);
    if (!draft)
        return;
    draft->keep_auth = str_empty(request_header(request, "X-Registry-Auth"));
    draft->auth_of_previous =
        str_equal(request_query(request, "registryAuthFrom"), "previous-spec");
    draft->update = request_message(request, CONTROL("UpdateService"));
    draft->update->spec = draft->spec;
    draft->update->service_version = wire_new(&swarm__version__descriptor, arena);
    draft->update->service_version->index = index;
    if (str_equal(request_query(request, "rollback"), "previous"))
        draft->update->rollback = SWARM__UPDATE_SERVICE_REQUEST__ROLLBACK__PREVIOUS;
    noun_find(request, &noun_service, request_param(request, "id"), update_found);
}

static const struct endpoint rows[] = {
    {"GET", "/services", list},
    {"POST", "/services/create", create},
    {"GET", "/services/{id}", inspect},
    {"DELETE", "/services/{id}", remove_service},
    {"POST", "/services/{id}/update", update},
};
SWARM_ENDPOINTS(service_endpoints, rows);
