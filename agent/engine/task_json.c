// Task templates and tasks.
#include "agent/engine/objects.h"
#include "agent/crate/config.h"
#include "agent/engine/parts.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/wire.h"

// ---- names -------------------------------------------------------------------------------------

static const struct field_name task_states[] = {
    {SWARM__TASK_STATE__NEW, "new"},
    {SWARM__TASK_STATE__PENDING, "pending"},
    {SWARM__TASK_STATE__ASSIGNED, "assigned"},
    {SWARM__TASK_STATE__ACCEPTED, "accepted"},
    {SWARM__TASK_STATE__PREPARING, "preparing"},
    {SWARM__TASK_STATE__READY, "ready"},
    {SWARM__TASK_STATE__STARTING, "starting"},
    {SWARM__TASK_STATE__RUNNING, "running"},
    {SWARM__TASK_STATE__COMPLETE, "complete"},
    {SWARM__TASK_STATE__SHUTDOWN, "shutdown"},
    {SWARM__TASK_STATE__FAILED, "failed"},
    {SWARM__TASK_STATE__REJECTED, "rejected"},
    {SWARM__TASK_STATE__REMOVE, "remove"},
    {SWARM__TASK_STATE__ORPHANED, "orphaned"},
};
FIELD_NAMES(task_state_names, "Invalid desired-state filter: '%s'", 0, task_states);

static const struct field_name mount_types[] = {
    {SWARM__MOUNT__TYPE__BIND, "bind"},       {SWARM__MOUNT__TYPE__VOLUME, "volume"},
    {SWARM__MOUNT__TYPE__TMPFS, "tmpfs"},     {SWARM__MOUNT__TYPE__NPIPE, "npipe"},
    {SWARM__MOUNT__TYPE__CLUSTER, "cluster"},
};
static FIELD_NAMES(mount_type_names, "invalid MountType: \"%s\"", SWARM__MOUNT__TYPE__BIND,
                   mount_types);

static const struct field_name propagations[] = {
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RPRIVATE, "rprivate"},
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__PRIVATE, "private"},
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RSHARED, "rshared"},
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__SHARED, "shared"},
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RSLAVE, "rslave"},
    {SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__SLAVE, "slave"},
};
static FIELD_NAMES(propagation_names, "invalid MountPropagation: \"%s\"", 0, propagations);

// The default is not written: an empty text stands for it.
static const struct field_name consistencies[] = {
    {SWARM__MOUNT__CONSISTENCY__CONSISTENT, "consistent"},
    {SWARM__MOUNT__CONSISTENCY__CACHED, "cached"},
    {SWARM__MOUNT__CONSISTENCY__DELEGATED, "delegated"},
};
static FIELD_NAMES(consistency_names, "invalid Consistency: \"%s\"", 0, consistencies);

static const struct field_name conditions[] = {
    {SWARM__RESTART_POLICY__RESTART_CONDITION__NONE, "none"},
    {SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE, "on-failure"},
    {SWARM__RESTART_POLICY__RESTART_CONDITION__ANY, "any"},
};
static FIELD_NAMES(condition_names, "invalid RestartCondition: \"%s\"",
                   SWARM__RESTART_POLICY__RESTART_CONDITION__ANY, conditions);

static const struct field_name isolations[] = {
    {SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_DEFAULT, "default"},
    {SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_PROCESS, "process"},
    {SWARM__CONTAINER_SPEC__ISOLATION__ISOLATION_HYPERV, "hyperv"},
};
static FIELD_NAMES(isolation_names, "invalid Isolation: \"%s\"", 0, isolations);

static const struct field_name seccomp_modes[] = {
    {SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__DEFAULT, "default"},
    {SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__UNCONFINED, "unconfined"},
    {SWARM__PRIVILEGES__SECCOMP_OPTS__SECCOMP_MODE__CUSTOM, "custom"},
};
static FIELD_NAMES(seccomp_names, "invalid seccomp mode: \"%s\"", 0, seccomp_modes);

static const struct field_name apparmor_modes[] = {
    {SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DEFAULT, "default"},
    {SWARM__PRIVILEGES__APP_ARMOR_OPTS__APP_ARMOR_MODE__DISABLED, "disabled"},
};
static FIELD_NAMES(apparmor_names, "unrecognized Privileges.AppArmor.Mode \"%s\"", 0,
                   apparmor_modes);

// ---- the container -----------------------------------------------------------------------------

static const struct field credential_rows[] = {
    {"Config", "config", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"File", "file", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Registry", "registry", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(credential_fields, "CredentialSpec", swarm__privileges__credential_spec__descriptor,
              credential_rows);

// The message holds one of them, the last that was read: that it was the only one is seen here.
static int check_credential(const json_t *value, void *message, struct arena *arena,
                            struct err *err)
{
    static const char *const sources[][2] = {
        {"Config", "config"}, {"File", "file"}, {"Registry", "registry"}};
    const char *first = NULL;
    (void)message;
    (void)arena;
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        const char *text = json_string_value(fields_member(value, sources[i][0]));
        if (str_empty(text))
            continue;
        if (first)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "invalid CredentialSpec: cannot specify both \"%s\" and \"%s\" "
                           "credential specs",
                           first, sources[i][1]);
        first = sources[i][1];
    }
    return first ? 0
                 : err_set(err, ERR_INVALID_ARGUMENT,
                           "invalid CredentialSpec: must either provide \"file\", \"registry\", or "
                           "\"config\" for credential spec");
}

static const struct field_hook credential_hook = {NULL, check_credential};

static const struct field selinux_rows[] = {
    {"Disable", "disable", FIELD_BOOL, FIELD_ALWAYS, NULL},
    {"User", "user", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Role", "role", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Type", "type", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Level", "level", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(selinux_fields, "SELinuxContext", swarm__privileges__selinux_context__descriptor,
              selinux_rows);

static const struct field seccomp_rows[] = {
    {"Mode", "mode", FIELD_ENUM, 0, &seccomp_names},
    {"Profile", "profile", FIELD_BYTES, 0, NULL},
};
static FIELDS(seccomp_fields, "SeccompOpts", swarm__privileges__seccomp_opts__descriptor,
              seccomp_rows);

static const struct field apparmor_rows[] = {
    {"Mode", "mode", FIELD_ENUM, 0, &apparmor_names},
};
static FIELDS(apparmor_fields, "AppArmorOpts", swarm__privileges__app_armor_opts__descriptor,
              apparmor_rows);

static const struct field privileges_rows[] = {
    {"CredentialSpec", "credential_spec", FIELD_OBJECT, FIELD_NULL, &credential_fields},
    {"CredentialSpec", NULL, FIELD_HOOK, FIELD_READ_ONLY, &credential_hook},
    {"SELinuxContext", "selinux_context", FIELD_OBJECT, FIELD_NULL, &selinux_fields},
    {"Seccomp", "seccomp", FIELD_OBJECT, 0, &seccomp_fields},
    {"AppArmor", "apparmor", FIELD_OBJECT, 0, &apparmor_fields},
    {"NoNewPrivileges", "no_new_privileges", FIELD_BOOL, 0, NULL},
};
static FIELDS(privileges_fields, "Privileges", swarm__privileges__descriptor, privileges_rows);

static const struct field bind_rows[] = {
    {"Propagation", "propagation", FIELD_ENUM, 0, &propagation_names},
    {"NonRecursive", "nonrecursive", FIELD_BOOL, 0, NULL},
    {"CreateMountpoint", "createmountpoint", FIELD_BOOL, 0, NULL},
    {"ReadOnlyNonRecursive", "readonlynonrecursive", FIELD_BOOL, 0, NULL},
    {"ReadOnlyForceRecursive", "readonlyforcerecursive", FIELD_BOOL, 0, NULL},
};
static FIELDS(bind_fields, "BindOptions", swarm__mount__bind_options__descriptor, bind_rows);

static const struct field volume_rows[] = {
    {"NoCopy", "nocopy", FIELD_BOOL, 0, NULL},
    {"Labels", "labels", FIELD_MAP, 0, NULL},
    {"Subpath", "subpath", FIELD_STRING, 0, NULL},
    {"DriverConfig", "driver_config", FIELD_OBJECT, 0, &driver_fields},
};
static FIELDS(volume_fields, "VolumeOptions", swarm__mount__volume_options__descriptor,
              volume_rows);

static const struct field tmpfs_rows[] = {
    {"SizeBytes", "size_bytes", FIELD_INT, 0, NULL},
    {"Mode", "mode", FIELD_INT, 0, NULL},
};
static FIELDS(tmpfs_fields, "TmpfsOptions", swarm__mount__tmpfs_options__descriptor, tmpfs_rows);

static const struct field mount_rows[] = {
    {"Type", "type", FIELD_ENUM, 0, &mount_type_names},
    {"Source", "source", FIELD_STRING, 0, NULL},
    {"Target", "target", FIELD_STRING, 0, NULL},
    {"ReadOnly", "readonly", FIELD_BOOL, 0, NULL},
    {"Consistency", "consistency", FIELD_ENUM, 0, &consistency_names},
    {"BindOptions", "bind_options", FIELD_OBJECT, 0, &bind_fields},
    {"VolumeOptions", "volume_options", FIELD_OBJECT, 0, &volume_fields},
    {"TmpfsOptions", "tmpfs_options", FIELD_OBJECT, 0, &tmpfs_fields},
};
static FIELDS(mount_fields, "Mount", swarm__mount__descriptor, mount_rows);

static const struct field health_rows[] = {
    {"Test", "test", FIELD_STRINGS, 0, NULL},
    {"Interval", "interval", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"Timeout", "timeout", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"StartPeriod", "start_period", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"StartInterval", "start_interval", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"Retries", "retries", FIELD_INT, 0, NULL},
};
static FIELDS(health_fields, "HealthConfig", swarm__health_config__descriptor, health_rows);

static const struct field dns_rows[] = {
    {"Nameservers", "nameservers", FIELD_STRINGS, 0, NULL},
    {"Search", "search", FIELD_STRINGS, 0, NULL},
    {"Options", "options", FIELD_STRINGS, 0, NULL},
};
static FIELDS(dns_fields, "DNSConfig", swarm__container_spec__dnsconfig__descriptor, dns_rows);

static const struct field file_rows[] = {
    {"Name", "name", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"UID", "uid", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"GID", "gid", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Mode", "mode", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(file_fields, "SecretReferenceFileTarget", swarm__file_target__descriptor, file_rows);

static const struct field secret_reference_rows[] = {
    {"File", "file", FIELD_OBJECT, 0, &file_fields},
    {"SecretID", "secret_id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"SecretName", "secret_name", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(secret_reference_fields, "SecretReference", swarm__secret_reference__descriptor,
              secret_reference_rows);

static const struct fields runtime_fields = {"ConfigReferenceRuntimeTarget",
                                             &swarm__runtime_target__descriptor, NULL, 0};

static const struct field config_reference_rows[] = {
    {"File", "file", FIELD_OBJECT, 0, &file_fields},
    {"Runtime", "runtime", FIELD_OBJECT, 0, &runtime_fields},
    {"ConfigID", "config_id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"ConfigName", "config_name", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(config_reference_fields, "ConfigReference", swarm__config_reference__descriptor,
              config_reference_rows);

static const struct field ulimit_rows[] = {
    {"Name", "name", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Hard", "hard", FIELD_INT, FIELD_ALWAYS, NULL},
    {"Soft", "soft", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(ulimit_fields, "Ulimit", swarm__container_spec__ulimit__descriptor, ulimit_rows);

static const struct field container_rows[] = {
    {"Image", "image", FIELD_STRING, 0, NULL},
    {"Labels", "labels", FIELD_MAP, 0, NULL},
    {"Command", "command", FIELD_STRINGS, 0, NULL},
    {"Args", "args", FIELD_STRINGS, 0, NULL},
    {"Hostname", "hostname", FIELD_STRING, 0, NULL},
    {"Env", "env", FIELD_STRINGS, 0, NULL},
    {"Dir", "dir", FIELD_STRING, 0, NULL},
    {"User", "user", FIELD_STRING, 0, NULL},
    {"Groups", "groups", FIELD_STRINGS, 0, NULL},
    {"Privileges", "privileges", FIELD_OBJECT, 0, &privileges_fields},
    {"Init", "init", FIELD_WRAPPED, 0, NULL},
    {"StopSignal", "stop_signal", FIELD_STRING, 0, NULL},
    {"TTY", "tty", FIELD_BOOL, 0, NULL},
    {"OpenStdin", "open_stdin", FIELD_BOOL, 0, NULL},
    {"ReadOnly", "read_only", FIELD_BOOL, 0, NULL},
    {"Mounts", "mounts", FIELD_OBJECTS, 0, &mount_fields},
    {"StopGracePeriod", "stop_grace_period", FIELD_DURATION, 0, NULL},
    {"Healthcheck", "healthcheck", FIELD_OBJECT, 0, &health_fields},
    {"Hosts", "hosts", FIELD_STRINGS, 0, NULL},
    {"DNSConfig", "dns_config", FIELD_OBJECT, 0, &dns_fields},
    {"Secrets", "secrets", FIELD_OBJECTS, 0, &secret_reference_fields},
    {"Configs", "configs", FIELD_OBJECTS, 0, &config_reference_fields},
    {"Isolation", "isolation", FIELD_ENUM, 0, &isolation_names},
    {"Sysctls", "sysctls", FIELD_MAP, 0, NULL},
    {"CapabilityAdd", "capability_add", FIELD_STRINGS, 0, NULL},
    {"CapabilityDrop", "capability_drop", FIELD_STRINGS, 0, NULL},
    {"Ulimits", "ulimits", FIELD_OBJECTS, 0, &ulimit_fields},
    {"OomScoreAdj", "oom_score_adj", FIELD_INT, 0, NULL},
};
static FIELDS(container_fields, "ContainerSpec", swarm__container_spec__descriptor, container_rows);

static const struct field attachment_spec_rows[] = {
    {"ContainerID", "container_id", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(attachment_spec_fields, "NetworkAttachmentSpec",
              swarm__network_attachment_spec__descriptor, attachment_spec_rows);

// ---- resources, restarts, placement ------------------------------------------------------------

static const struct field named_resource_rows[] = {
    {"Kind", "kind", FIELD_STRING, 0, NULL},
    {"Value", "value", FIELD_STRING, 0, NULL},
};
static FIELDS(named_resource_fields, "NamedGenericResource",
              swarm__named_generic_resource__descriptor, named_resource_rows);

static const struct field discrete_resource_rows[] = {
    {"Kind", "kind", FIELD_STRING, 0, NULL},
    {"Value", "value", FIELD_INT, 0, NULL},
};
static FIELDS(discrete_resource_fields, "DiscreteGenericResource",
              swarm__discrete_generic_resource__descriptor, discrete_resource_rows);

static const struct field generic_resource_rows[] = {
    {"NamedResourceSpec", "named_resource_spec", FIELD_OBJECT, 0, &named_resource_fields},
    {"DiscreteResourceSpec", "discrete_resource_spec", FIELD_OBJECT, 0, &discrete_resource_fields},
};
FIELDS(generic_resource_fields, "GenericResource", swarm__generic_resource__descriptor,
       generic_resource_rows);

static const struct field resources_rows[] = {
    {"NanoCPUs", "nano_cpus", FIELD_INT, 0, NULL},
    {"MemoryBytes", "memory_bytes", FIELD_INT, 0, NULL},
    {"GenericResources", "generic", FIELD_OBJECTS, 0, &generic_resource_fields},
};
FIELDS(resources_fields, "Resources", swarm__resources__descriptor, resources_rows);

// Docker shows the limit of processes among the resources; on the wire it is the container's.
static void write_resources(const char *key, const void *message, struct json_out *out)
{
    const Swarm__TaskSpec *spec = message;
    if (!spec->resources)
        return;
    json_out_object(out, key);
    int64_t pids =
        spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER ? spec->container->pidslimit : 0;
    if (spec->resources->limits || pids) {
        json_out_object(out, "Limits");
        if (spec->resources->limits)
            fields_write(&resources_fields, spec->resources->limits, out);
        if (pids)
            json_out_int(out, "Pids", pids);
        json_out_end(out);
    }
    if (spec->resources->reservations) {
        json_out_object(out, "Reservations");
        fields_write(&resources_fields, spec->resources->reservations, out);
        json_out_end(out);
    }
    json_out_end(out);
}

static const struct field requirements_rows[] = {
    {"Limits", "limits", FIELD_OBJECT, 0, &resources_fields},
    {"Reservations", "reservations", FIELD_OBJECT, 0, &resources_fields},
};
static FIELDS(requirements_fields, "ResourceRequirements", swarm__resource_requirements__descriptor,
              requirements_rows);

static int read_resources(const json_t *value, void *message, struct arena *arena, struct err *err)
{
    Swarm__TaskSpec *spec = message;
    spec->resources = wire_new(&swarm__resource_requirements__descriptor, arena);
    if (!spec->resources)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the request is too large");
    int rc = fields_read(&requirements_fields, value, spec->resources, arena, err);
    const json_t *limits = rc == 0 ? fields_member(value, "Limits") : NULL;
    const json_t *pids = limits ? fields_member(limits, "Pids") : NULL;
    if (pids && !json_is_integer(pids))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "json: cannot unmarshal %s into Go struct field Limit.Pids of type int64",
                       config_go_kind(pids));
    // ContainerSpec stands before Resources in the table, so it is read already.
    if (pids && spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER)
        spec->container->pidslimit = json_integer_value(pids);
    return rc;
}

static const struct field_hook resources_hook = {write_resources, read_resources};

static const struct field restart_rows[] = {
    {"Condition", "condition", FIELD_ENUM, 0, &condition_names},
    {"Delay", "delay", FIELD_DURATION, 0, NULL},
    {"MaxAttempts", "max_attempts", FIELD_INT, FIELD_ALWAYS, NULL},
    {"Window", "window", FIELD_DURATION, 0, NULL},
};
static FIELDS(restart_fields, "RestartPolicy", swarm__restart_policy__descriptor, restart_rows);

static const struct field spread_rows[] = {
    {"SpreadDescriptor", "spread_descriptor", FIELD_STRING, FIELD_ALWAYS, NULL},
};
static FIELDS(spread_fields, "SpreadOver", swarm__spread_over__descriptor, spread_rows);

static const struct field preference_rows[] = {
    {"Spread", "spread", FIELD_OBJECT, 0, &spread_fields},
};
static FIELDS(preference_fields, "PlacementPreference", swarm__placement_preference__descriptor,
              preference_rows);

static const struct field placement_rows[] = {
    {"Constraints", "constraints", FIELD_STRINGS, 0, NULL},
    {"Preferences", "preferences", FIELD_OBJECTS, 0, &preference_fields},
    {"MaxReplicas", "max_replicas", FIELD_INT, 0, NULL},
    {"Platforms", "platforms", FIELD_OBJECTS, 0, &platform_fields},
};
static FIELDS(placement_fields, "Placement", swarm__placement__descriptor, placement_rows);

static const struct field attach_rows[] = {
    {"Target", "target", FIELD_STRING, 0, NULL},
    {"Aliases", "aliases", FIELD_STRINGS, 0, NULL},
    {"DriverOpts", "driver_attachment_opts", FIELD_MAP, 0, NULL},
};
FIELDS(attach_fields, "NetworkAttachmentConfig", swarm__network_attachment_config__descriptor,
       attach_rows);

// ---- the template ------------------------------------------------------------------------------

#define TASK_SPEC_ROWS                                                                             \
    {"ContainerSpec", "container", FIELD_OBJECT, 0, &container_fields},                            \
        {"NetworkAttachmentSpec", "attachment", FIELD_OBJECT, 0, &attachment_spec_fields},         \
        {"Resources", NULL, FIELD_HOOK, 0, &resources_hook},                                       \
        {"RestartPolicy", "restart", FIELD_OBJECT, 0, &restart_fields},                            \
        {"Placement", "placement", FIELD_OBJECT, 0, &placement_fields},                            \
        {"Networks", "networks", FIELD_OBJECTS, 0, &attach_fields},                                \
        {"LogDriver", "log_driver", FIELD_OBJECT, 0, &driver_fields},                              \
    {                                                                                              \
        "ForceUpdate", "force_update", FIELD_INT, FIELD_ALWAYS, NULL                               \
    }

static const struct field task_spec_rows[] = {TASK_SPEC_ROWS};
FIELDS(task_spec_fields, "TaskSpec", swarm__task_spec__descriptor, task_spec_rows);

static const struct field template_rows[] = {
    TASK_SPEC_ROWS,
    {"Runtime", "container", FIELD_CONST, 0, NULL},
};
FIELDS(task_template_fields, "TaskSpec", swarm__task_spec__descriptor, template_rows);

// ---- tasks -------------------------------------------------------------------------------------

static const struct field container_status_rows[] = {
    {"ContainerID", "container_id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"PID", "pid", FIELD_INT, FIELD_ALWAYS, NULL},
    {"ExitCode", "exit_code", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(container_status_fields, "ContainerStatus", swarm__container_status__descriptor,
              container_status_rows);

static const struct field port_status_rows[] = {
    {"Ports", "ports", FIELD_OBJECTS, 0, &port_fields},
};
static FIELDS(port_status_fields, "PortStatus", swarm__port_status__descriptor, port_status_rows);

static const struct field status_rows[] = {
    {"Timestamp", "timestamp", FIELD_TIME, FIELD_ALWAYS, NULL},
    {"State", "state", FIELD_ENUM, 0, &task_state_names},
    {"Message", "message", FIELD_STRING, 0, NULL},
    {"Err", "err", FIELD_STRING, 0, NULL},
    {"ContainerStatus", "container", FIELD_OBJECT, 0, &container_status_fields},
    {"PortStatus", "port_status", FIELD_OBJECT, FIELD_ALWAYS, &port_status_fields},
};
static FIELDS(status_fields, "TaskStatus", swarm__task_status__descriptor, status_rows);

static const struct field attachment_rows[] = {
    {"Network", "network", FIELD_OBJECT, FIELD_ALWAYS, &attached_network_fields},
    {"Addresses", "addresses", FIELD_STRINGS, 0, NULL},
};
FIELDS(attachment_fields, "NetworkAttachment", swarm__network_attachment__descriptor,
       attachment_rows);

static const struct field volume_attachment_rows[] = {
    {"ID", "id", FIELD_STRING, 0, NULL},
    {"Source", "source", FIELD_STRING, 0, NULL},
    {"Target", "target", FIELD_STRING, 0, NULL},
};
static FIELDS(volume_attachment_fields, "VolumeAttachment", swarm__volume_attachment__descriptor,
              volume_attachment_rows);

static const struct field task_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &task_spec_fields},
    {"ServiceID", "service_id", FIELD_STRING, 0, NULL},
    {"Slot", "slot", FIELD_INT, 0, NULL},
    {"NodeID", "node_id", FIELD_STRING, 0, NULL},
    {"Status", "status", FIELD_OBJECT, FIELD_ALWAYS, &status_fields},
    {"DesiredState", "desired_state", FIELD_ENUM, 0, &task_state_names},
    {"NetworksAttachments", "networks", FIELD_OBJECTS, 0, &attachment_fields},
    {"GenericResources", "assigned_generic_resources", FIELD_OBJECTS, 0, &generic_resource_fields},
    {"JobIteration", "job_iteration", FIELD_OBJECT, 0, &version_fields},
    {"Volumes", "volumes", FIELD_OBJECTS, 0, &volume_attachment_fields},
};
FIELDS(task_fields, "Task", swarm__task__descriptor, task_rows);
