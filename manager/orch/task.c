#include "manager/orch/task.h"

#include "manager/sched/constraint.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

static bool is_job(const Swarm__Service *service)
{
    return service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB ||
           service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB;
}

Swarm__TaskState task_goal(const Swarm__Service *service)
{
    return is_job(service) ? SWARM__TASK_STATE__COMPLETE : SWARM__TASK_STATE__RUNNING;
}

// A deep copy in `arena`; NULL stays NULL.
static void *copy(const void *message, struct arena *arena)
{
    if (!message)
        return NULL;
    void *result = wire_copy(message, arena);
    CHECK(result); // the arena was sized for it
    return result;
}

// Whether the allocator has something to give to the service's tasks: addresses, published ports.
static bool needs_allocation(const Swarm__ServiceSpec *spec)
{
    return spec->task->n_networks || spec->n_networks ||
           (spec->endpoint && spec->endpoint->n_ports);
}

// A task that needs nothing of the allocator is where it would bring it: a write less for each.
static void set_first_state(Swarm__TaskStatus *status, const Swarm__ServiceSpec *spec)
{
    bool is_new = needs_allocation(spec);
    status->state = is_new ? SWARM__TASK_STATE__NEW : SWARM__TASK_STATE__PENDING;
    status->message = is_new ? "created" : NAME_STATUS_PENDING;
}

Swarm__Task *task_new(struct id id, const Swarm__Service *service, const Swarm__Cluster *cluster,
                      uint64_t slot, const char *node_id, struct wall now, struct arena *arena)
{
    Swarm__Task *task = wire_new(&swarm__task__descriptor, arena);
    CHECK(task);
    task->id = arena_strdup(arena, id.text);
    task->service_id = arena_strdup(arena, service->id);
    task->slot = slot;
    task->node_id = arena_strdup(arena, node_id);
    task->spec = service->spec->task;
    task->spec_version = service->spec_version;
    task->service_annotations = service->spec->annotations;
    task->desired_state = task_goal(service);
    set_first_state(task->status, service->spec);
    task->status->timestamp = timestamp_new(now, arena);
    task->endpoint = wire_new(&swarm__endpoint__descriptor, arena);
    task->endpoint->spec = service->spec->endpoint;
    if (service->spec->task->log_driver)
        task->log_driver = service->spec->task->log_driver;
    else if (cluster && cluster->spec->task_defaults)
        task->log_driver = cluster->spec->task_defaults->log_driver;
    if (is_job(service) && service->job_status)
        task->job_iteration = service->job_status->job_iteration;
    return task;
}

bool task_node_matches(const Swarm__Service *service, const Swarm__Node *node, struct arena *arena)
{
    const Swarm__Placement *placement = service->spec->task->placement;
    if (!placement || placement->n_constraints == 0)
        return true;
    struct constraints constraints;
    if (constraints_parse((const char *const *)placement->constraints, placement->n_constraints,
                          arena, &constraints, NULL))
        return false; // a constraint that does not parse is met by nobody
    struct node_traits traits = node_traits_of(node, arena);
    return constraints_match(&constraints, &traits);
}

bool task_is_dirty(const Swarm__Service *service, const Swarm__Task *task, const Swarm__Node *node,
                   struct arena *arena)
{
    // Absent versions never agree: an old service without one is compared by content.
    if (service->spec_version && task->spec_version &&
        service->spec_version->index == task->spec_version->index)
        return false;
    const Swarm__EndpointSpec *endpoint = task->endpoint ? task->endpoint->spec : NULL;
    if (task->endpoint && !wire_equal(service->spec->endpoint, endpoint))
        return true;
    Swarm__TaskSpec *wanted = copy(service->spec->task, arena);
    if (node && !wire_equal(wanted->placement, task->spec->placement) &&
        task_node_matches(service, node, arena))
        wanted->placement = task->spec->placement;
    bool has_image = task->status->state >= SWARM__TASK_STATE__READY &&
                     task->status->state <= SWARM__TASK_STATE__RUNNING;
    if (has_image && wanted->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER &&
        task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER)
        wanted->container->pull_options = task->spec->container->pull_options;
    return !wire_equal(wanted, task->spec);
}
