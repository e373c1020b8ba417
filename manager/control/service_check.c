#include "manager/control/service_check.h"

#include <string.h>

#include "manager/alloc/alloc.h"
#include "manager/sched/constraint.h"
#include "manager/control/reference.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

#define CHECK_ARENA_BYTES ((size_t)1 << 20)

// ---- the task -----------------------------------------------------------------------------------

static int check_resources(const Swarm__Resources *resources, struct err *err)
{
    if (!resources)
        return 0;
    if (resources->nano_cpus != 0 && resources->nano_cpus < NANO_CPUS_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid cpu value %g: Must be at least %g",
                       (double)resources->nano_cpus / 1e9, (double)NANO_CPUS_MIN / 1e9);
    if (resources->memory_bytes != 0 && resources->memory_bytes < MEMORY_BYTES_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid memory value %lld: Must be at least 4MiB",
                       (long long)resources->memory_bytes);
    return 0;
}

static int check_restart(const Swarm__RestartPolicy *policy, struct err *err)
{
    if (policy && duration_to_ns(policy->delay, 0) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "TaskSpec: restart-delay cannot be negative");
    if (policy && duration_to_ns(policy->window, 0) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "TaskSpec: restart-window cannot be negative");
    return 0;
}

static int check_placement(const Swarm__Placement *placement, struct err *err)
{
    if (!placement)
        return 0;
    struct arena arena;
    arena_init(&arena, CHECK_ARENA_BYTES);
    struct constraints constraints;
    int result = constraints_parse((const char *const *)placement->constraints,
                                   placement->n_constraints, &arena, &constraints, err);
    arena_fini(&arena);
    return result;
}

static int check_mounts(const Swarm__ContainerSpec *container, struct err *err)
{
    for (size_t i = 0; i < container->n_mounts; i++)
        for (size_t k = 0; k < i; k++)
            if (str_equal(container->mounts[i]->target, container->mounts[k]->target))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "ContainerSpec: duplicate mount point: %s",
                               container->mounts[i]->target);
    return 0;
}

static int check_health(const Swarm__HealthConfig *health, struct err *err)
{
    if (!health)
        return 0;
    const struct {
        const Google__Duration *value;
        const char *name;
    } durations[] = {
        {health->interval, "Interval"},
        {health->timeout, "Timeout"},
        {health->start_period, "StartPeriod"},
        {health->start_interval, "StartInterval"},
    };
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        int64_t ns = duration_to_ns(durations[i].value, 0);
        if (ns != 0 && ns < HEALTH_DURATION_NS_MIN)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "ContainerSpec: %s in HealthConfig cannot be less than 1ms",
                           durations[i].name);
    }
    if (health->retries < 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ContainerSpec: Retries in HealthConfig cannot be negative");
    return 0;
}

static int check_secrets(const Swarm__ContainerSpec *container, struct err *err)
{
    for (size_t i = 0; i < container->n_secrets; i++) {
        const Swarm__SecretReference *one = container->secrets[i];
        if (str_empty(one->secret_id) || str_empty(one->secret_name) || !one->file)
            return err_set(err, ERR_INVALID_ARGUMENT, "malformed secret reference");
        if (str_empty(one->file->name))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "malformed file secret reference, no target file name provided");
        for (size_t k = 0; k < i; k++)
            if (str_equal(container->secrets[k]->file->name, one->file->name))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "secret references '%s' and '%s' have a conflicting target: '%s'",
                               container->secrets[k]->secret_name, one->secret_name,
                               one->file->name);
    }
    return 0;
}

static int check_configs(const Swarm__ContainerSpec *container, struct err *err)
{
    for (size_t i = 0; i < container->n_configs; i++) {
        const Swarm__ConfigReference *one = container->configs[i];
        if (str_empty(one->config_id) || str_empty(one->config_name))
            return err_set(err, ERR_INVALID_ARGUMENT, "malformed config reference");
        if (!one->file)
            continue; // a runtime target: a credential spec
        if (str_empty(one->file->name))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "malformed file config reference, no target file name provided");
        for (size_t k = 0; k < i; k++)
            if (container->configs[k]->file &&
                str_equal(container->configs[k]->file->name, one->file->name))
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "config references '%s' and '%s' have a conflicting target: '%s'",
                               container->configs[k]->config_name, one->config_name,
                               one->file->name);
    }
    return 0;
}

static int check_container(const Swarm__ContainerSpec *container, struct err *err)
{
    if (str_empty(container->image))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ContainerSpec: image reference must be provided");
    if (!reference_valid(container->image))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ContainerSpec: \"%.200s\" is not a valid repository/tag", container->image);
    int result = check_mounts(container, err);
    if (!result)
        result = check_health(container->healthcheck, err);
    if (!result)
        result = check_secrets(container, err);
    return result ? result : check_configs(container, err);
}

static int check_generic(const Swarm__GenericRuntimeSpec *generic, struct err *err)
{
    if (strlen(generic->kind) < 3)
        return err_set(err, ERR_INVALID_ARGUMENT, "Generic runtime: Invalid name \"%.100s\"",
                       generic->kind);
    if (str_equal_case(generic->kind, NAME_RUNTIME_CONTAINER) ||
        str_equal_case(generic->kind, NAME_RUNTIME_ATTACHMENT))
        return err_set(err, ERR_INVALID_ARGUMENT, "Generic runtime: %s is a reserved name",
                       generic->kind);
    if (!generic->payload || str_empty(generic->payload->type_url))
        return err_set(err, ERR_INVALID_ARGUMENT, "Generic runtime is missing payload type");
    if (generic->payload->value.len == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "Generic runtime has an empty payload");
    return 0;
}

static int check_task(const Swarm__TaskSpec *task, struct err *err)
{
    int result = 0;
    if (task->resources)
        result = check_resources(task->resources->limits, err);
    if (!result && task->resources)
        result = check_resources(task->resources->reservations, err);
    if (!result)
        result = check_restart(task->restart, err);
    if (!result)
        result = check_placement(task->placement, err);
    if (result)
        return result;
    switch (task->runtime_case) {
    case SWARM__TASK_SPEC__RUNTIME_CONTAINER:
        return check_container(task->container, err);
    case SWARM__TASK_SPEC__RUNTIME_GENERIC:
        return check_generic(task->generic, err);
    case SWARM__TASK_SPEC__RUNTIME_ATTACHMENT:
        return err_set(err, ERR_UNIMPLEMENTED,
                       "RuntimeUnimplemented: attachment runtime unimplemented");
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "TaskSpec: missing runtime");
    }
}

// ---- the service --------------------------------------------------------------------------------

static bool is_job(const Swarm__ServiceSpec *spec)
{
    return spec->mode_case == SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB ||
           spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB;
}

static int check_mode(const Swarm__ServiceSpec *spec, struct err *err)
{
    switch (spec->mode_case) {
    case SWARM__SERVICE_SPEC__MODE_REPLICATED:
        if (spec->replicated->replicas > INT64_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "Number of replicas must be non-negative");
        return 0;
    case SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB:
        if (spec->replicated_job->max_concurrent > INT64_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "Maximum concurrent jobs must not be negative");
        if (spec->replicated_job->total_completions > INT64_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "Total completed jobs must not be negative");
        return 0;
    case SWARM__SERVICE_SPEC__MODE_GLOBAL:
    case SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB:
        return 0;
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "Unrecognized service mode");
    }
}

static int check_update(const Swarm__UpdateConfig *update, struct err *err)
{
    if (!update)
        return 0;
    if (duration_to_ns(update->delay, 0) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "TaskSpec: update-delay cannot be negative");
    if (duration_to_ns(update->monitor, 0) < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "TaskSpec: update-monitor cannot be negative");
    if (!(update->max_failure_ratio >= 0 && update->max_failure_ratio <= 1))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1");
    return 0;
}

static bool is_ingress(const Swarm__PortConfig *port)
{
    return port->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS;
}

static int check_endpoint(const Swarm__EndpointSpec *endpoint, struct err *err)
{
    if (!endpoint)
        return 0;
    bool dnsrr = endpoint->mode == SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__DNSRR;
    for (size_t i = 0; i < endpoint->n_ports; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        if (dnsrr && is_ingress(port))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "EndpointSpec: port published with ingress mode can't be used with "
                           "dnsrr mode");
        for (size_t k = 0; port->published_port && k < i; k++)
            if (endpoint->ports[k]->published_port == port->published_port &&
                endpoint->ports[k]->protocol == port->protocol)
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "EndpointSpec: duplicate published ports provided");
    }
    return 0;
}

int service_check_spec(const Swarm__ServiceSpec *spec, struct err *err)
{
    if (!spec)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid argument");
    int result = name_check_dns(spec->annotations->name, err);
    if (!result)
        result = check_task(spec->task, err);
    if (!result && is_job(spec) && spec->update)
        result = err_set(err, ERR_INVALID_ARGUMENT, "job may not have an update config");
    if (!result)
        result = check_mode(spec, err);
    if (!result)
        result = check_update(spec->update, err);
    if (!result)
        result = check_update(spec->rollback, err);
    return result ? result : check_endpoint(spec->endpoint, err);
}

int service_check_change(const Swarm__ServiceSpec *before, const Swarm__ServiceSpec *next,
                         struct err *err)
{
    if (before->mode_case != next->mode_case)
        return err_set(err, ERR_UNIMPLEMENTED, "service mode change is not allowed");
    if (!str_equal(before->annotations->name, next->annotations->name))
        return err_set(err, ERR_UNIMPLEMENTED, "renaming services is not supported");
    // Old services name their networks outside of the task; they may keep them, not change them.
    bool same = before->n_networks == next->n_networks;
    for (size_t i = 0; same && i < before->n_networks; i++)
        same = str_equal(before->networks[i]->target, next->networks[i]->target);
    if ((before->n_networks || next->n_networks) && !same && next->n_networks)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "networks must be migrated to TaskSpec before being changed");
    return 0;
}

bool service_publishes_ingress(const Swarm__ServiceSpec *spec)
{
    for (size_t i = 0; spec->endpoint && i < spec->endpoint->n_ports; i++)
        if (is_ingress(spec->endpoint->ports[i]))
            return true;
    return false;
}

// ---- beside the cluster -------------------------------------------------------------------------

// Two published ports meet when protocol and number agree, unless both are ports of hosts: the
// scheduler keeps those apart.
static const char *conflict(const Swarm__PortConfig *ours, const Swarm__PortConfig *theirs)
{
    if (!ours->published_port || ours->published_port != theirs->published_port ||
        ours->protocol != theirs->protocol || (!is_ingress(ours) && !is_ingress(theirs)))
        return NULL;
    return is_ingress(theirs) ? "as an ingress port" : "as a host-published port";
}

static int check_against(const Swarm__EndpointSpec *ours, const Swarm__Service *other,
                         struct err *err)
{
    // Ports wanted by the spec, and those that were allocated for it.
    const struct {
        Swarm__PortConfig *const *list;
        size_t count;
    } theirs[] = {
        {other->spec->endpoint ? other->spec->endpoint->ports : NULL,
         other->spec->endpoint ? other->spec->endpoint->n_ports : 0},
        {other->endpoint ? other->endpoint->ports : NULL,
         other->endpoint ? other->endpoint->n_ports : 0},
    };
    for (size_t i = 0; i < ours->n_ports; i++)
        for (size_t k = 0; k < COUNT_OF(theirs); k++)
            for (size_t m = 0; m < theirs[k].count; m++) {
                const char *how = conflict(ours->ports[i], theirs[k].list[m]);
                if (how)
                    return err_set(err, ERR_INVALID_ARGUMENT,
                                   "port '%u' is already in use by service '%s' (%s) %s",
                                   ours->ports[i]->published_port, other->spec->annotations->name,
                                   other->id, how);
            }
    return 0;
}

static int check_ports(struct view view, const char *id, const Swarm__ServiceSpec *spec,
                       struct err *err)
{
    bool any = false;
    for (size_t i = 0; spec->endpoint && i < spec->endpoint->n_ports; i++)
        any |= spec->endpoint->ports[i]->published_port != 0;
    int result = 0;
    if (!any)
        return 0;
    VIEW_EACH (object, view, OBJECT_SERVICE, BY_ALL) {
        if (str_equal(object_id(object), id))
            continue;
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Service *other = object_unpack(object, &arena);
        result = other ? check_against(spec->endpoint, other, err) : 0;
        arena_fini(&arena);
        if (result)
            break;
    }
    return result;
}

// Names of references whose object is missing, or has another name, joined for the message.
struct missing {
    char names[512];
    size_t count;
};

static void check_one(struct view view, enum object_type type, const char *id, const char *name,
                      struct missing *missing)
{
    const struct object *object = view_get(view, type, id);
    if (object && str_equal(object_name(object), name))
        return;
    size_t used = strlen(missing->names);
    str_format(missing->names + used, sizeof missing->names - used, "%s%s",
               missing->count ? ", " : "", name);
    missing->count++;
}

static int report_missing(const struct missing *missing, const char *what, struct err *err)
{
    if (missing->count == 0)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "%s%s not found: %s", what,
                   missing->count > 1 ? "s" : "", missing->names);
}

static int check_references(struct view view, const Swarm__ServiceSpec *spec, struct err *err)
{
    if (spec->task->runtime_case != SWARM__TASK_SPEC__RUNTIME_CONTAINER)
        return 0;
    const Swarm__ContainerSpec *container = spec->task->container;
    struct missing secrets = {0}, configs = {0};
    for (size_t i = 0; i < container->n_secrets; i++)
        check_one(view, OBJECT_SECRET, container->secrets[i]->secret_id,
                  container->secrets[i]->secret_name, &secrets);
    for (size_t i = 0; i < container->n_configs; i++)
        check_one(view, OBJECT_CONFIG, container->configs[i]->config_id,
                  container->configs[i]->config_name, &configs);
    int result = report_missing(&secrets, "secret", err);
    return result ? result : report_missing(&configs, "config", err);
}

static const struct object *find_ingress(struct view view)
{
    VIEW_EACH (object, view, OBJECT_NETWORK, BY_ALL) {
        struct arena arena;
        arena_init(&arena, OBJECT_ARENA_BYTES);
        const Swarm__Network *network = object_unpack(object, &arena);
        bool found = network && alloc_is_ingress(network->spec);
        arena_fini(&arena);
        if (found)
            return object;
    }
    return NULL;
}

static int check_networks(struct view view, const Swarm__ServiceSpec *spec, struct err *err)
{
    bool publishes = service_publishes_ingress(spec);
    if (!publishes && spec->task->n_networks == 0)
        return 0; // most; looking for the ingress network decodes networks
    const struct object *ingress = find_ingress(view);
    if (!ingress && publishes)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "service needs ingress network, but no ingress network is present");
    for (size_t i = 0; ingress && i < spec->task->n_networks; i++)
        if (str_equal(spec->task->networks[i]->target, object_id(ingress)))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "Service cannot be explicitly attached to the ingress network \"%s\"",
                           object_name(ingress));
    return 0;
}

int service_check_cluster(struct view view, const char *id, const Swarm__ServiceSpec *spec,
                          struct err *err)
{
    int result = check_networks(view, spec, err);
    if (!result)
        result = check_ports(view, id, spec, err);
    return result ? result : check_references(view, spec, err);
}
