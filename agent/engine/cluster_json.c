// Nodes, the cluster, secrets, configs, and networks as tasks show them.
#include "agent/engine/objects.h"
#include "agent/engine/parts.h"
#include "proto/wire/objects.pb-c.h"

// ---- nodes -------------------------------------------------------------------------------------

static const struct field_name roles[] = {
    {SWARM__NODE_ROLE__WORKER, "worker"},
    {SWARM__NODE_ROLE__MANAGER, "manager"},
};
FIELD_NAMES(node_role_names, "invalid Role: \"%s\"", SWARM__NODE_ROLE__WORKER, roles);

static const struct field_name availabilities[] = {
    {SWARM__NODE_SPEC__AVAILABILITY__ACTIVE, "active"},
    {SWARM__NODE_SPEC__AVAILABILITY__PAUSE, "pause"},
    {SWARM__NODE_SPEC__AVAILABILITY__DRAIN, "drain"},
};
FIELD_NAMES(node_availability_names, "invalid Availability: \"%s\"", 0, availabilities);

static const struct field_name memberships[] = {
    {SWARM__NODE_SPEC__MEMBERSHIP__PENDING, "pending"},
    {SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED, "accepted"},
};
FIELD_NAMES(node_membership_names, "Invalid membership filter: '%s'", 0, memberships);

static const struct field_name node_states[] = {
    {SWARM__NODE_STATUS__STATE__UNKNOWN, "unknown"},
    {SWARM__NODE_STATUS__STATE__DOWN, "down"},
    {SWARM__NODE_STATUS__STATE__READY, "ready"},
    {SWARM__NODE_STATUS__STATE__DISCONNECTED, "disconnected"},
};
FIELD_NAMES(node_state_names, "invalid State: \"%s\"", 0, node_states);

static const struct field_name reachabilities[] = {
    {SWARM__RAFT_MEMBER_STATUS__REACHABILITY__UNKNOWN, "unknown"},
    {SWARM__RAFT_MEMBER_STATUS__REACHABILITY__UNREACHABLE, "unreachable"},
    {SWARM__RAFT_MEMBER_STATUS__REACHABILITY__REACHABLE, "reachable"},
};
FIELD_NAMES(reachability_names, "invalid Reachability: \"%s\"", 0, reachabilities);

static const struct field node_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"Role", "desired_role", FIELD_ENUM, 0, &node_role_names},
    {"Availability", "availability", FIELD_ENUM, 0, &node_availability_names},
};
FIELDS(node_spec_fields, "NodeSpec", swarm__node_spec__descriptor, node_spec_rows);

static const struct field plugin_rows[] = {
    {"Type", "type", FIELD_STRING, 0, NULL},
    {"Name", "name", FIELD_STRING, 0, NULL},
};
static FIELDS(plugin_fields, "PluginDescription", swarm__plugin_description__descriptor,
              plugin_rows);

static const struct field engine_rows[] = {
    {"EngineVersion", "engine_version", FIELD_STRING, 0, NULL},
    {"Labels", "labels", FIELD_MAP, 0, NULL},
    {"Plugins", "plugins", FIELD_OBJECTS, 0, &plugin_fields},
};
static FIELDS(engine_fields, "EngineDescription", swarm__engine_description__descriptor,
              engine_rows);

static const struct field description_rows[] = {
    {"Hostname", "hostname", FIELD_STRING, 0, NULL},
    {"Platform", "platform", FIELD_OBJECT, FIELD_ALWAYS, &platform_fields},
    {"Resources", "resources", FIELD_OBJECT, FIELD_ALWAYS, &resources_fields},
    {"Engine", "engine", FIELD_OBJECT, FIELD_ALWAYS, &engine_fields},
    {"TLSInfo", "tls_info", FIELD_OBJECT, FIELD_ALWAYS, &tls_info_fields},
};
static FIELDS(description_fields, "NodeDescription", swarm__node_description__descriptor,
              description_rows);

static const struct field node_status_rows[] = {
    {"State", "state", FIELD_ENUM, 0, &node_state_names},
    {"Message", "message", FIELD_STRING, 0, NULL},
    {"Addr", "addr", FIELD_STRING, 0, NULL},
};
static FIELDS(node_status_fields, "NodeStatus", swarm__node_status__descriptor, node_status_rows);

static const struct field manager_status_rows[] = {
    {"Leader", "leader", FIELD_BOOL, 0, NULL},
    {"Reachability", "reachability", FIELD_ENUM, 0, &reachability_names},
    {"Addr", "addr", FIELD_STRING, 0, NULL},
};
static FIELDS(manager_status_fields, "ManagerStatus", swarm__manager_status__descriptor,
              manager_status_rows);

static const struct field node_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &node_spec_fields},
    {"Description", "description", FIELD_OBJECT, FIELD_ALWAYS, &description_fields},
    {"Status", "status", FIELD_OBJECT, FIELD_ALWAYS, &node_status_fields},
    {"ManagerStatus", "manager_status", FIELD_OBJECT, 0, &manager_status_fields},
};
FIELDS(node_fields, "Node", swarm__node__descriptor, node_rows);

// ---- the cluster -------------------------------------------------------------------------------

static const struct field orchestration_rows[] = {
    {"TaskHistoryRetentionLimit", "task_history_retention_limit", FIELD_INT, 0, NULL},
};
static FIELDS(orchestration_fields, "OrchestrationConfig", swarm__orchestration_config__descriptor,
              orchestration_rows);

static const struct field raft_rows[] = {
    {"SnapshotInterval", "snapshot_interval", FIELD_INT, 0, NULL},
    {"KeepOldSnapshots", "keep_old_snapshots", FIELD_INT, FIELD_ALWAYS, NULL},
    {"LogEntriesForSlowFollowers", "log_entries_for_slow_followers", FIELD_INT, 0, NULL},
    {"ElectionTick", "election_tick", FIELD_INT, FIELD_ALWAYS, NULL},
    {"HeartbeatTick", "heartbeat_tick", FIELD_INT, FIELD_ALWAYS, NULL},
};
static FIELDS(raft_fields, "RaftConfig", swarm__raft_config__descriptor, raft_rows);

static const struct field dispatcher_rows[] = {
    {"HeartbeatPeriod", "heartbeat_period", FIELD_DURATION, FIELD_NONZERO, NULL},
};
static FIELDS(dispatcher_fields, "DispatcherConfig", swarm__dispatcher_config__descriptor,
              dispatcher_rows);

static const struct field_name ca_protocols[] = {
    {SWARM__EXTERNAL_CA__CAPROTOCOL__CFSSL, "cfssl"},
};
static FIELD_NAMES(ca_protocol_names, "invalid protocol: \"%s\"", 0, ca_protocols);

static const struct field external_ca_rows[] = {
    {"Protocol", "protocol", FIELD_ENUM, FIELD_ALWAYS, &ca_protocol_names},
    {"URL", "url", FIELD_STRING, FIELD_ALWAYS, NULL},
    {"Options", "options", FIELD_MAP, 0, NULL},
    {"CACert", "ca_cert", FIELD_TEXT, FIELD_ALWAYS, NULL},
};
static FIELDS(external_ca_fields, "ExternalCA", swarm__external_ca__descriptor, external_ca_rows);

// The signing key goes in and never comes out.
static const struct field ca_rows[] = {
    {"NodeCertExpiry", "node_cert_expiry", FIELD_DURATION, FIELD_NONZERO, NULL},
    {"ExternalCAs", "external_cas", FIELD_OBJECTS, 0, &external_ca_fields},
    {"SigningCACert", "signing_ca_cert", FIELD_TEXT, 0, NULL},
    {"SigningCAKey", "signing_ca_key", FIELD_TEXT, FIELD_READ_ONLY, NULL},
    {"ForceRotate", "force_rotate", FIELD_INT, 0, NULL},
};
static FIELDS(ca_fields, "CAConfig", swarm__caconfig__descriptor, ca_rows);

static const struct field task_defaults_rows[] = {
    {"LogDriver", "log_driver", FIELD_OBJECT, 0, &driver_fields},
};
static FIELDS(task_defaults_fields, "TaskDefaults", swarm__task_defaults__descriptor,
              task_defaults_rows);

static const struct field encryption_rows[] = {
    {"AutoLockManagers", "auto_lock_managers", FIELD_BOOL, FIELD_ALWAYS, NULL},
};
static FIELDS(encryption_fields, "EncryptionConfig", swarm__encryption_config__descriptor,
              encryption_rows);

static const struct field cluster_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"Orchestration", "orchestration", FIELD_OBJECT, FIELD_ALWAYS, &orchestration_fields},
    {"Raft", "raft", FIELD_OBJECT, FIELD_ALWAYS, &raft_fields},
    {"Dispatcher", "dispatcher", FIELD_OBJECT, FIELD_ALWAYS, &dispatcher_fields},
    {"CAConfig", "ca_config", FIELD_OBJECT, FIELD_ALWAYS, &ca_fields},
    {"TaskDefaults", "task_defaults", FIELD_OBJECT, FIELD_ALWAYS, &task_defaults_fields},
    {"EncryptionConfig", "encryption_config", FIELD_OBJECT, FIELD_ALWAYS, &encryption_fields},
};
FIELDS(cluster_spec_fields, "Spec", swarm__cluster_spec__descriptor, cluster_spec_rows);

static const struct field cluster_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &cluster_spec_fields},
};
FIELDS(cluster_fields, "ClusterInfo", swarm__cluster__descriptor, cluster_rows);

// ---- secrets and configs -----------------------------------------------------------------------

static const struct field secret_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"Data", "data", FIELD_BYTES, FIELD_READ_ONLY, NULL},
    {"Driver", "driver", FIELD_OBJECT, 0, &driver_fields},
    {"Templating", "templating", FIELD_OBJECT, 0, &driver_fields},
};
FIELDS(secret_spec_fields, "SecretSpec", swarm__secret_spec__descriptor, secret_spec_rows);

static const struct field secret_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &secret_spec_fields},
};
FIELDS(secret_fields, "Secret", swarm__secret__descriptor, secret_rows);

static const struct field config_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"Data", "data", FIELD_BYTES, 0, NULL},
    {"Templating", "templating", FIELD_OBJECT, 0, &driver_fields},
};
FIELDS(config_spec_fields, "ConfigSpec", swarm__config_spec__descriptor, config_spec_rows);

static const struct field config_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &config_spec_fields},
};
FIELDS(config_fields, "Config", swarm__config__descriptor, config_rows);

// ---- networks inside tasks ---------------------------------------------------------------------

static const struct field ipam_config_rows[] = {
    {"Subnet", "subnet", FIELD_STRING, 0, NULL},
    {"Range", "range", FIELD_STRING, 0, NULL},
    {"Gateway", "gateway", FIELD_STRING, 0, NULL},
};
static FIELDS(ipam_config_fields, "IPAMConfig", swarm__ipamconfig__descriptor, ipam_config_rows);

static const struct field ipam_rows[] = {
    {"Driver", "driver", FIELD_OBJECT, FIELD_ALWAYS, &driver_fields},
    {"Configs", "configs", FIELD_OBJECTS, 0, &ipam_config_fields},
};
static FIELDS(ipam_fields, "IPAMOptions", swarm__ipamoptions__descriptor, ipam_rows);

static const struct field network_spec_rows[] = {
    {NULL, "annotations", FIELD_INLINE, 0, &annotations_fields},
    {"DriverConfiguration", "driver_config", FIELD_OBJECT, FIELD_ALWAYS, &driver_fields},
    {"IPv6Enabled", "ipv6_enabled", FIELD_BOOL, 0, NULL},
    {"Internal", "internal", FIELD_BOOL, 0, NULL},
    {"Attachable", "attachable", FIELD_BOOL, 0, NULL},
    {"Ingress", "ingress", FIELD_BOOL, 0, NULL},
    {"IPAMOptions", "ipam", FIELD_OBJECT, 0, &ipam_fields},
    {"Scope", "swarm", FIELD_CONST, 0, NULL},
};
static FIELDS(network_spec_fields, "NetworkSpec", swarm__network_spec__descriptor,
              network_spec_rows);

static const struct field network_rows[] = {
    {"ID", "id", FIELD_STRING, FIELD_ALWAYS, NULL},
    {NULL, "meta", FIELD_INLINE, 0, &meta_fields},
    {"Spec", "spec", FIELD_OBJECT, FIELD_ALWAYS, &network_spec_fields},
    {"DriverState", "driver_state", FIELD_OBJECT, FIELD_ALWAYS, &driver_fields},
    {"IPAMOptions", "ipam", FIELD_OBJECT, 0, &ipam_fields},
};
FIELDS(attached_network_fields, "Network", swarm__network__descriptor, network_rows);
