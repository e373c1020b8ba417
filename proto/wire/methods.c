#include "proto/wire/methods.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/health.pb-c.h"
#include "proto/wire/logbroker.pb-c.h"
#include "proto/wire/names.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/resource.pb-c.h"
#include "proto/wire/skep.pb-c.h"
#include "proto/wire/watch.pb-c.h"

#define PACKAGE "docker.swarmkit.v1."

#define ROW(service_, name_, kind_, request_, response_, follower_, callers_, local_)              \
    {                                                                                              \
        .path = "/" PACKAGE #service_ "/" #name_, .service = PACKAGE #service_, .name = #name_,    \
        .request = &request_##__descriptor, .response = &response_##__descriptor, .kind = kind_,   \
        .follower = follower_, .callers = callers_, .local = local_                                \
    }

// Ordered by path, for the binary search; a test checks the order, and tests/wire the content.
// clang-format off
const struct method method_table[] = {
    // CA
    ROW(CA, GetRootCACertificate, METHOD_UNARY,
        swarm__get_root_cacertificate_request, swarm__get_root_cacertificate_response,
        METHOD_FORWARDED, METHOD_OPEN, METHOD_LOCAL_FORWARD),
    ROW(CA, GetUnlockKey, METHOD_UNARY,
        swarm__get_unlock_key_request, swarm__get_unlock_key_response,
        METHOD_FORWARDED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    // Control
    ROW(Control, CreateConfig, METHOD_UNARY,
        swarm__create_config_request, swarm__create_config_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateExtension, METHOD_UNARY,
        swarm__create_extension_request, swarm__create_extension_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateNetwork, METHOD_UNARY,
        swarm__create_network_request, swarm__create_network_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateResource, METHOD_UNARY,
        swarm__create_resource_request, swarm__create_resource_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateSecret, METHOD_UNARY,
        swarm__create_secret_request, swarm__create_secret_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateService, METHOD_UNARY,
        swarm__create_service_request, swarm__create_service_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, CreateVolume, METHOD_UNARY,
        swarm__create_volume_request, swarm__create_volume_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetCluster, METHOD_UNARY,
        swarm__get_cluster_request, swarm__get_cluster_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetConfig, METHOD_UNARY,
        swarm__get_config_request, swarm__get_config_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetExtension, METHOD_UNARY,
        swarm__get_extension_request, swarm__get_extension_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetNetwork, METHOD_UNARY,
        swarm__get_network_request, swarm__get_network_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetNode, METHOD_UNARY,
        swarm__get_node_request, swarm__get_node_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetResource, METHOD_UNARY,
        swarm__get_resource_request, swarm__get_resource_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetSecret, METHOD_UNARY,
        swarm__get_secret_request, swarm__get_secret_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetService, METHOD_UNARY,
        swarm__get_service_request, swarm__get_service_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetTask, METHOD_UNARY,
        swarm__get_task_request, swarm__get_task_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, GetVolume, METHOD_UNARY,
        swarm__get_volume_request, swarm__get_volume_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListClusters, METHOD_UNARY,
        swarm__list_clusters_request, swarm__list_clusters_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListConfigs, METHOD_UNARY,
        swarm__list_configs_request, swarm__list_configs_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListNetworks, METHOD_UNARY,
        swarm__list_networks_request, swarm__list_networks_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListNodes, METHOD_UNARY,
        swarm__list_nodes_request, swarm__list_nodes_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListResources, METHOD_UNARY,
        swarm__list_resources_request, swarm__list_resources_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListSecrets, METHOD_UNARY,
        swarm__list_secrets_request, swarm__list_secrets_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListServiceStatuses, METHOD_UNARY,
        swarm__list_service_statuses_request, swarm__list_service_statuses_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListServices, METHOD_UNARY,
        swarm__list_services_request, swarm__list_services_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListTasks, METHOD_UNARY,
        swarm__list_tasks_request, swarm__list_tasks_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, ListVolumes, METHOD_UNARY,
        swarm__list_volumes_request, swarm__list_volumes_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveConfig, METHOD_UNARY,
        swarm__remove_config_request, swarm__remove_config_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveExtension, METHOD_UNARY,
        swarm__remove_extension_request, swarm__remove_extension_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveNetwork, METHOD_UNARY,
        swarm__remove_network_request, swarm__remove_network_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveNode, METHOD_UNARY,
        swarm__remove_node_request, swarm__remove_node_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveResource, METHOD_UNARY,
        swarm__remove_resource_request, swarm__remove_resource_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveSecret, METHOD_UNARY,
        swarm__remove_secret_request, swarm__remove_secret_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveService, METHOD_UNARY,
        swarm__remove_service_request, swarm__remove_service_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveTask, METHOD_UNARY,
        swarm__remove_task_request, swarm__remove_task_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, RemoveVolume, METHOD_UNARY,
        swarm__remove_volume_request, swarm__remove_volume_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateCluster, METHOD_UNARY,
        swarm__update_cluster_request, swarm__update_cluster_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateConfig, METHOD_UNARY,
        swarm__update_config_request, swarm__update_config_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateNode, METHOD_UNARY,
        swarm__update_node_request, swarm__update_node_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateResource, METHOD_UNARY,
        swarm__update_resource_request, swarm__update_resource_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateSecret, METHOD_UNARY,
        swarm__update_secret_request, swarm__update_secret_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateService, METHOD_UNARY,
        swarm__update_service_request, swarm__update_service_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    ROW(Control, UpdateVolume, METHOD_UNARY,
        swarm__update_volume_request, swarm__update_volume_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    // Dispatcher
    ROW(Dispatcher, Assignments, METHOD_SERVER_STREAM,
        swarm__assignments_request, swarm__assignments_message,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(Dispatcher, Heartbeat, METHOD_UNARY,
        swarm__heartbeat_request, swarm__heartbeat_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(Dispatcher, Session, METHOD_SERVER_STREAM,
        swarm__session_request, swarm__session_message,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(Dispatcher, Tasks, METHOD_SERVER_STREAM,
        swarm__tasks_request, swarm__tasks_message,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(Dispatcher, UpdateTaskStatus, METHOD_UNARY,
        swarm__update_task_status_request, swarm__update_task_status_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(Dispatcher, UpdateVolumeStatus, METHOD_UNARY,
        swarm__update_volume_status_request, swarm__update_volume_status_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    // Health
    ROW(Health, Check, METHOD_UNARY,
        swarm__health_check_request, swarm__health_check_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_LOCAL),
    // LogBroker
    ROW(LogBroker, ListenSubscriptions, METHOD_SERVER_STREAM,
        swarm__listen_subscriptions_request, swarm__subscription_message,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(LogBroker, PublishLogs, METHOD_CLIENT_STREAM,
        swarm__publish_logs_message, swarm__publish_logs_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    // Logs
    ROW(Logs, SubscribeLogs, METHOD_SERVER_STREAM,
        swarm__subscribe_logs_request, swarm__subscribe_logs_message,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_FORWARD),
    // NodeCA
    ROW(NodeCA, IssueNodeCertificate, METHOD_UNARY,
        swarm__issue_node_certificate_request, swarm__issue_node_certificate_response,
        METHOD_FORWARDED, METHOD_OPEN, METHOD_LOCAL_FORWARD),
    ROW(NodeCA, NodeCertificateStatus, METHOD_UNARY,
        swarm__node_certificate_status_request, swarm__node_certificate_status_response,
        METHOD_FORWARDED, METHOD_OPEN, METHOD_LOCAL_FORWARD),
    // Raft
    ROW(Raft, ProcessRaftMessage, METHOD_UNARY,
        swarm__process_raft_message_request, swarm__process_raft_message_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_ABSENT),
    ROW(Raft, ResolveAddress, METHOD_UNARY,
        swarm__resolve_address_request, swarm__resolve_address_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_ABSENT),
    ROW(Raft, StreamRaftMessage, METHOD_CLIENT_STREAM,
        swarm__stream_raft_message_request, swarm__stream_raft_message_response,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_ABSENT),
    // RaftMembership
    ROW(RaftMembership, Join, METHOD_UNARY,
        swarm__join_request, swarm__join_response,
        METHOD_FORWARDED, METHOD_MANAGERS, METHOD_LOCAL_ABSENT),
    ROW(RaftMembership, Leave, METHOD_UNARY,
        swarm__leave_request, swarm__leave_response,
        METHOD_FORWARDED, METHOD_MANAGERS, METHOD_LOCAL_ABSENT),
    // ResourceAllocator
    ROW(ResourceAllocator, AttachNetwork, METHOD_UNARY,
        swarm__attach_network_request, swarm__attach_network_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    ROW(ResourceAllocator, DetachNetwork, METHOD_UNARY,
        swarm__detach_network_request, swarm__detach_network_response,
        METHOD_FORWARDED, METHOD_NODES, METHOD_LOCAL_FORWARD),
    // Watch
    ROW(Watch, Watch, METHOD_SERVER_STREAM,
        swarm__watch_request, swarm__watch_message,
        METHOD_ANSWERED, METHOD_MANAGERS, METHOD_LOCAL_LOCAL),
    // Our own (skep.proto)
    {.path = "/skep.NetworkKeys/RotateNetworkKeys", .service = "skep.NetworkKeys",
     .name = "RotateNetworkKeys",
     .request = &skep__rotate_network_keys_request__descriptor,
     .response = &skep__rotate_network_keys_response__descriptor, .kind = METHOD_UNARY,
     .follower = METHOD_ANSWERED, .callers = METHOD_MANAGERS, .local = METHOD_LOCAL_FORWARD},
};
// clang-format on

const size_t method_table_count = COUNT_OF(method_table);

static int compare_path(const void *path, const void *method)
{
    return strcmp(path, ((const struct method *)method)->path);
}

const struct method *method_find(const char *path)
{
    return bsearch(path, method_table, method_table_count, sizeof method_table[0], compare_path);
}

bool method_service_known(const char *service)
{
    for (size_t i = 0; i < method_table_count; i++)
        if (str_equal(method_table[i].service, service))
            return true;
    return false;
}

bool method_allows(const struct method *method, const char *ou)
{
    switch (method->callers) {
    case METHOD_OPEN:
        return true;
    case METHOD_NODES:
        return str_equal(ou, NAME_OU_WORKER) || str_equal(ou, NAME_OU_MANAGER);
    case METHOD_MANAGERS:
        return str_equal(ou, NAME_OU_MANAGER);
    }
    UNREACHABLE("callers outside the enumeration");
}
