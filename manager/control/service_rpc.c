#include "manager/control/service_rpc.h"

#include <string.h>

#include "manager/control/answer_rpc.h"
#include "manager/control/service_check.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/raw.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// ---- reading ------------------------------------------------------------------------------------

static const ProtobufCMessage *with_defaults(struct rpc_call *call, const struct object *object)
{
    struct arena *arena = rpc_call_arena(call);
    Swarm__Service *service = object_unpack(object, arena);
    CHECK(service);
    service->spec = defaults_fill_service(service->spec, arena);
    CHECK(service->spec);
    return &service->base;
}

void handle_get_service(struct rpc_call *call)
{
    const Swarm__GetServiceRequest *request =
        (const Swarm__GetServiceRequest *)rpc_call_message(call);
    answer_get(call, OBJECT_SERVICE, request->service_id,
               request->insert_defaults ? with_defaults : NULL);
}

static bool runtime_wanted(const Swarm__ServiceSpec *spec,
                           const Swarm__ListServicesRequest__Filters *filters)
{
    char runtime[256];
    if (!filters || filters->n_runtimes == 0)
        return true;
    return name_of_runtime(spec->task, runtime, sizeof runtime) &&
           in_texts(runtime, (char *const *)filters->runtimes, filters->n_runtimes);
}

void handle_list_services(struct rpc_call *call)
{
    const Swarm__ListServicesRequest *request =
        (const Swarm__ListServicesRequest *)rpc_call_message(call);
    const Swarm__ListServicesRequest__Filters *f = request->filters;
    struct common_filters filters = COMMON_FILTERS(f);
    bool all = !f || (f->n_names + f->n_name_prefixes + f->n_id_prefixes + f->n_labels +
                      f->n_runtimes) == 0;
    struct answer_list list;
    answer_list_begin(&list, call);
    if (all && answer_list_same(&list, OBJECT_SERVICE))
        return;
    VIEW_EACH (object, list.view, OBJECT_SERVICE, common_by(&filters)) {
        if (!all) {
            struct arena arena;
            arena_init(&arena, OBJECT_ARENA_BYTES);
            const Swarm__Service *service = object_unpack(object, &arena);
            bool wanted = service &&
                          common_match(&filters, service->id, service->spec->annotations) &&
                          runtime_wanted(service->spec, f);
            arena_fini(&arena);
            if (!wanted)
                continue;
        }
        answer_list_add(&list, object);
    }
    answer_list_end(&list);
}

// What a status needs of a service, read from its bytes: a list asks for thousands, and decoding
// each of them would cost ten times as much.
struct wish {
    uint32_t mode;   // the field of the specification that is set; 0: none
    uint64_t number; // replicas, or most tasks of a job at once
    uint64_t iteration;
};

enum {
    SERVICE_SPEC = 3,
    SERVICE_JOB_STATUS = 12,
    JOB_STATUS_ITERATION = 1,
    VERSION_INDEX = 1,
    MODE_NUMBER = 1, // of a replicated service and of a replicated job alike
};

static struct wish wish_of(const struct object *object)
{
    struct wish wish = {0};
    struct raw field;
    size_t size = 0;
    const uint8_t *bytes = object_bytes(object, &size);
    struct cursor spec = raw_inside(bytes, size, SERVICE_SPEC);
    while (raw_next(&spec, &field)) {
        switch (field.number) {
        case SWARM__SERVICE_SPEC__MODE_REPLICATED:
        case SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB:
        case SWARM__SERVICE_SPEC__MODE_GLOBAL:
        case SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB:
            wish.mode = field.number;
            wish.number = raw_uint(field.bytes, field.size, MODE_NUMBER);
            break;
        default:
            break;
        }
    }
    struct cursor job = raw_inside(bytes, size, SERVICE_JOB_STATUS);
    struct cursor version = raw_inside(job.at, cursor_left(&job), JOB_STATUS_ITERATION);
    wish.iteration = raw_uint(version.at, cursor_left(&version), VERSION_INDEX);
    return wish;
}

// How many tasks a service wants, has running and has completed (in the present run of a job).
static void count_tasks(struct view view, const struct object *service,
                        Swarm__ListServiceStatusesResponse__ServiceStatus *status)
{
    struct wish wish = wish_of(service);
    bool global = wish.mode == SWARM__SERVICE_SPEC__MODE_GLOBAL ||
                  wish.mode == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB;
    if (!global)
        status->desired_tasks = wish.number;
    VIEW_EACH (object, view, OBJECT_TASK, by_service(object_id(service))) {
        const struct task_facts *facts = object_task(object);
        if (facts->state == SWARM__TASK_STATE__RUNNING)
            status->running_tasks++;
        else if (facts->state == SWARM__TASK_STATE__COMPLETE && facts->has_job_iteration &&
                 facts->job_iteration == wish.iteration)
            status->completed_tasks++;
        if (global && (facts->desired_state == SWARM__TASK_STATE__RUNNING ||
                       // Of a job: those that are still to complete.
                       (facts->desired_state == SWARM__TASK_STATE__COMPLETE &&
                        facts->state != SWARM__TASK_STATE__COMPLETE &&
                        facts->job_iteration == wish.iteration)))
            status->desired_tasks++;
    }
}

void handle_list_service_statuses(struct rpc_call *call)
{
    const Swarm__ListServiceStatusesRequest *request =
        (const Swarm__ListServiceStatusesRequest *)rpc_call_message(call);
    struct answer_list list;
    answer_list_begin(&list, call);
    for (size_t i = 0; i < request->n_services; i++) {
        Swarm__ListServiceStatusesResponse__ServiceStatus status =
            SWARM__LIST_SERVICE_STATUSES_RESPONSE__SERVICE_STATUS__INIT;
        status.service_id = request->services[i];
        const struct object *object = view_get(list.view, OBJECT_SERVICE, request->services[i]);
        if (object)
            count_tasks(list.view, object, &status);
        answer_list_add_message(&list, &status.base);
    }
    answer_list_end(&list);
}

// ---- writing ------------------------------------------------------------------------------------

static bool is_job(const Swarm__ServiceSpec *spec)
{
    return spec->mode_case == SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB ||
           spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB;
}

// A job's next run.
static void set_iteration(Swarm__Service *service, uint64_t iteration, struct arena *arena)
{
    service->job_status = wire_new(&swarm__job_status__descriptor, arena);
    CHECK(service->job_status);
    if (!service->job_status->job_iteration)
        service->job_status->job_iteration = wire_new(&swarm__version__descriptor, arena);
    service->job_status->job_iteration->index = iteration;
    service->job_status->last_execution = timestamp_new(wall_now(), arena);
}

void handle_create_service(struct rpc_call *call)
{
    struct control_desk *desk = rpc_call_ctx(call);
    const Swarm__CreateServiceRequest *request =
        (const Swarm__CreateServiceRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (service_check_spec(request->spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    if (service_check_cluster(txn_view(txn), "", request->spec, &err)) {
        answer_err(call, txn, &err);
        return;
    }
    struct arena *arena = txn_arena(txn);
    Swarm__Service *service = wire_new(&swarm__service__descriptor, arena);
    CHECK(service);
    service->id = new_id(desk, arena);
    service->spec = request->spec;
    service->spec_version = wire_new(&swarm__version__descriptor, arena);
    if (is_job(request->spec))
        set_iteration(service, 0, arena);
    if (txn_create(txn, OBJECT_SERVICE, service, &err)) {
        if (str_equal(err.message, STORE_ERR_NAME))
            err_set(&err, ERR_ALREADY_EXISTS, "%s: service %s already exists", STORE_ERR_NAME,
                    request->spec->annotations->name);
        answer_err(call, txn, &err);
        return;
    }
    answer_commit(call, txn, OBJECT_SERVICE, service->id, NULL);
}

// Goes back to the spec before: both swap places (swarmkit 16.1).
static int swap_specs(Swarm__Service *service, struct arena *arena, struct err *err)
{
    if (!service->previous_spec)
        return err_set(err, ERR_FAILED_PRECONDITION, "service %s does not have a previous spec",
                       service->id);
    Swarm__ServiceSpec *spec = service->spec;
    Swarm__Version *version = service->spec_version;
    service->spec = service->previous_spec;
    service->spec_version = service->previous_spec_version;
    service->previous_spec = spec;
    service->previous_spec_version = version;
    service->update_status = wire_new(&swarm__update_status__descriptor, arena);
    CHECK(service->update_status);
    service->update_status->state = SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_STARTED;
    service->update_status->message = "manually requested rollback";
    service->update_status->started_at = timestamp_new(wall_now(), arena);
    return 0;
}

static void take_spec(Swarm__Service *service, const Swarm__UpdateServiceRequest *request,
                      struct arena *arena)
{
    service->previous_spec = service->spec;
    service->previous_spec_version = service->spec_version;
    service->spec = request->spec;
    service->spec_version = wire_copy(request->service_version, arena);
    service->update_status = NULL;
    if (is_job(service->spec)) {
        uint64_t before = service->job_status && service->job_status->job_iteration
                              ? service->job_status->job_iteration->index
                              : 0;
        set_iteration(service, before + 1, arena);
    }
}

void handle_update_service(struct rpc_call *call)
{
    const Swarm__UpdateServiceRequest *request =
        (const Swarm__UpdateServiceRequest *)rpc_call_message(call);
    struct err err = ERR_INIT;
    if (str_empty(request->service_id) || !request->service_version) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    if (service_check_spec(request->spec, &err)) {
        rpc_call_fail(call, &err);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    Swarm__Service *service = txn_edit(txn, OBJECT_SERVICE, request->service_id);
    if (!service) {
        answer_fail(call, txn, ERR_NOT_FOUND, "service %s not found", request->service_id);
        return;
    }
    struct arena *arena = txn_arena(txn);
    int result = service_check_change(service->spec, request->spec, &err);
    if (!result)
        result = service_check_cluster(txn_view(txn), service->id, request->spec, &err);
    service->meta->version->index = request->service_version->index;
    if (!result && request->rollback == SWARM__UPDATE_SERVICE_REQUEST__ROLLBACK__PREVIOUS)
        result = swap_specs(service, arena, &err);
    else if (!result)
        take_spec(service, request, arena);
    if (!result)
        result = txn_update(txn, OBJECT_SERVICE, service, &err);
    if (result)
        answer_err(call, txn, &err);
    else
        answer_commit(call, txn, OBJECT_SERVICE, request->service_id, NULL);
}

// The service's tasks that no agent knows go with it, as many as fit; the orchestrators see to the
// rest. A stock manager that takes over forgets what addresses the tasks of removed services have.
static void delete_unborn(struct txn *txn, const char *service_id)
{
    const char *ids[STORE_ACTIONS_MAX];
    size_t count = 0;
    struct err err = ERR_INIT;
    VIEW_EACH (task, txn_view(txn), OBJECT_TASK, by_service(service_id)) {
        if (count == COUNT_OF(ids))
            break;
        if (object_task(task)->state < SWARM__TASK_STATE__ASSIGNED)
            ids[count++] = arena_strdup(txn_arena(txn), object_id(task));
    }
    for (size_t i = 0; i < count && !txn_full(txn, 1); i++)
        if (txn_delete(txn, OBJECT_TASK, ids[i], &err))
            return;
}

void handle_remove_service(struct rpc_call *call)
{
    const Swarm__RemoveServiceRequest *request =
        (const Swarm__RemoveServiceRequest *)rpc_call_message(call);
    if (str_empty(request->service_id)) {
        rpc_call_failf(call, ERR_INVALID_ARGUMENT, CONTROL_ERR_ARGUMENT);
        return;
    }
    struct txn *txn = answer_begin(call);
    if (!txn)
        return;
    struct err err = ERR_INIT;
    if (txn_delete(txn, OBJECT_SERVICE, request->service_id, &err)) {
        answer_fail(call, txn, ERR_NOT_FOUND, "service %s not found", request->service_id);
        return;
    }
    delete_unborn(txn, request->service_id);
    answer_commit(call, txn, OBJECT_SERVICE, NULL, NULL);
}
