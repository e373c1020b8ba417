// Services: specs, modes, update settings, endpoints.
#include "agent/engine/objects.h"
#include "agent/engine/parts.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/wire.h"

static const struct field_name update_states[] = {
    {SWARM__UPDATE_STATUS__UPDATE_STATE__UPDATING, "updating"},
    {SWARM__UPDATE_STATUS__UPDATE_STATE__PAUSED, "paused"},
    {SWARM__UPDATE_STATUS__UPDATE_STATE__COMPLETED, "completed"},
    {SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_STARTED, "rollback_started"},
    {SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_PAUSED, "rollback_paused"},
    {SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_COMPLETED, "rollback_completed"},
};
FIELD_NAMES(update_state_names, "invalid UpdateState: \"%s\"", 0, update_states);

static const struct field_name failure_actions[] = {
    {SWARM__UPDATE_CONFIG__FAILURE_ACTION__PAUSE, "pause"},
    {SWARM__UPDATE_CONFIG__FAILURE_ACTION__CONTINUE, "continue"},
    {SWARM__UPDATE_CONFIG__FAILURE_ACTION__ROLLBACK, "rollback"},
};
static FIELD_NAMES(failure_action_names, "unrecognized update failure action %s", 0,
                   failure_actions);

static const struct field_name orders[] = {
    {SWARM__UPDATE_CONFIG__UPDATE_ORDER__STOP_FIRST, "stop-first"},
    {SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST, "start-first"},
};
static FIELD_NAMES(order_names, "unrecognized update order %s", 0, orders);

static const struct field_name resolutions[] = {
    {SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__VIP, "vip"},
    {SWARM__ENDPOINT_SPEC__RESOLUTION_MODE__DNSRR, "dnsrr"},
};
static FIELD_NAMES(resolution_names, "invalid resolution mode: \"%s\"", 0, resolutions);

static const struct field update_rows[] = {
    {"Parallelism", "parallelism", FIELD_INT, FIELD_ALWAYS, NULL},
    {"Delay", "delay", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"FailureAction", "failure_action", FIELD_ENUM, 0, &failure_action_names},
    {"Monitor", "monitor", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"MaxFailureRatio", "max_failure_ratio", FIELD_FLOAT, FIELD_ALWAYS, NULL},
    {"Order", "order", FIELD_ENUM, 0, &order_names},
};
static FIELDS(update_fields, "UpdateConfig", swarm__update_config__descriptor, update_rows);

static const struct field endpoint_spec_rows[] = {
    {"Mode", "mode", FIELD_ENUM, 0, &resolution_names},
    {"Ports", "ports", FIELD_OBJECTS, 0, &port_fields},
};
static FIELDS(endpoint_spec_fields, "EndpointSpec", swarm__endpoint_spec__descriptor,
              endpoint_spec_rows);

// ---- the mode ----------------------------------------------------------------------------------

static const struct field replicated_rows[] = {
    {"Replicas", "replicas", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(replicated_fields, "ReplicatedService", swarm__replicated_service__descriptor,
              replicated_rows);

static const struct field job_rows[] = {
    {"MaxConcurrent", "max_concurrent", FIELD_INT, FIELD_ALWAYS, NULL},
    {"TotalCompletions", "total_completions", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(job_fields, "ReplicatedJob", swarm__replicated_job__descriptor, job_rows);

static const struct fields global_fields = {"GlobalService", &swarm__global_service__descriptor,
                                            NULL, 0};
static const struct fields global_job_fields = {"GlobalJob", &swarm__global_job__descriptor, NULL,
                                                0};

static const struct field mode_rows[] = {
    {"Replicated", "replicated", FIELD_OBJECT, 0, &replicated_fields},
    {"Global", "global", FIELD_OBJECT, 0, &global_fields},
    {"ReplicatedJob", "replicated_job", FIELD_OBJECT, 0, &job_fields},
    {"GlobalJob", "global_job", FIELD_OBJECT, 0, &global_job_fields},
};
static FIELDS(mode_fields, "ServiceMode", swarm__service_spec__descriptor, mode_rows);

static void write_mode(const char *key, const void *message, struct json_out *out)
{
    json_out_object(out, key);
    fields_write(&mode_fields, message, out);
    json_out_end(out);
}

// Numbers that a client leaves out are 1, not 0: Go keeps pointers there.
static void default_counts(const json_t *value, Swarm__ServiceSpec *spec)
{
    const json_t *replicated = fields_member(value, "Replicated");
    const json_t *job = fields_member(value, "ReplicatedJob");
    if (replicated && !fields_member(replicated, "Replicas"))
        spec->replicated->replicas = 1;
    if (!job)
        return;
    bool has_concurrent = fields_member(job, "MaxConcurrent") != NULL;
    if (!has_concurrent)
        spec->replicated_job->max_concurrent = 1;
    if (!fields_member(job, "TotalCompletions"))
        spec->replicated_job->total_completions = spec->replicated_job->max_concurrent;
}

static int read_mode(const json_t *value, void *message, struct arena *arena, struct err *err)
{
    unsigned given = 0;
    for (size_t i = 0; json_is_object(value) && i < mode_fields.count; i++)
        given += fields_member(value, mode_rows[i].json) != NULL;
    if (given > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "must specify only one service mode");
    int rc = fields_read(&mode_fields, value, message, arena, err);
    if (rc == 0)
        default_counts(value, message);
    return rc;
}

static const struct field_hook mode_hook = {write_mode, read_mode};

// ---- specs and services ------------------------------------------------------------------------

static const struct field service_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"TaskTemplate", "task", FIELD_OBJECT, FIELD_ALWAYS, &task_template_fields},
    {"Mode", NULL, FIELD_HOOK, 0, &mode_hook},
    {"UpdateConfig", "update", FIELD_OBJECT, 0, &update_fields},
    {"RollbackConfig", "rollback", FIELD_OBJECT, 0, &update_fields},
    {"Networks", "networks", FIELD_OBJECTS, 0, &attach_fields},
    {"EndpointSpec", "endpoint", FIELD_OBJECT, 0, &endpoint_spec_fields},
};
FIELDS(service_spec_fields, "ServiceSpec", swarm__service_spec__descriptor, service_spec_rows);

static const struct field vip_rows[] = {
    {"NetworkID", "network_id", FIELD_STRING, 0, NULL},
    {"Addr", "addr", FIELD_STRING, 0, NULL},
};
static FIELDS(vip_fields, "EndpointVirtualIP", swarm__endpoint__virtual_ip__descriptor, vip_rows);

static const struct field endpoint_rows[] = {
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &endpoint_spec_fields},
    {"Ports", "ports", FIELD_OBJECTS, 0, &port_fields},
    {"VirtualIPs", "virtual_ips", FIELD_OBJECTS, 0, &vip_fields},
};
static FIELDS(endpoint_fields, "Endpoint", swarm__endpoint__descriptor, endpoint_rows);

// Before the endpoint is allocated its spec is shown empty all the same.
static void write_endpoint(const char *key, const void *message, struct json_out *out)
{
    const Swarm__Service *service = message;
    json_out_object(out, key);
    if (service->endpoint) {
        fields_write(&endpoint_fields, service->endpoint, out);
    } else {
        json_out_object(out, "Spec");
        json_out_end(out);
    }
    json_out_end(out);
}

static const struct field_hook endpoint_hook = {write_endpoint, NULL};

static const struct field update_status_rows[] = {
    {"State", "state", FIELD_ENUM, 0, &update_state_names},
    {"StartedAt", "started_at", FIELD_TIME, 0, NULL},
    {"CompletedAt", "completed_at", FIELD_TIME, 0, NULL},
    {"Message", "message", FIELD_STRING, 0, NULL},
};
static FIELDS(update_status_fields, "UpdateStatus", swarm__update_status__descriptor,
              update_status_rows);

static const struct field job_status_rows[] = {
    {"JobIteration", "job_iteration", FIELD_OBJECT, FIELD_ALWAYS, &version_fields},
    {"LastExecution", "last_execution", FIELD_TIME, 0, NULL},
};
static FIELDS(job_status_fields, "JobStatus", swarm__job_status__descriptor, job_status_rows);

static const struct field service_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &service_spec_fields},
    {"PreviousSpec", "previous_spec", FIELD_OBJECT, 0, &service_spec_fields},
    {"Endpoint", NULL, FIELD_HOOK, FIELD_WRITE_ONLY, &endpoint_hook},
    {"UpdateStatus", "update_status", FIELD_OBJECT, 0, &update_status_fields},
    {"JobStatus", "job_status", FIELD_OBJECT, 0, &job_status_fields},
};
FIELDS(service_fields, "Service", swarm__service__descriptor, service_rows);
