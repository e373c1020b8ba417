#include "manager/control/control.h"
#include "manager/control/nouns_rpc.h"
#include "manager/control/service_rpc.h"
#include "proto/base/check.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/skep.pb-c.h"

// What this manager keeps but does not offer to change (CSI volumes, and the extension objects that
// only plugins use): said, and not left for the caller to find out.
static void handle_unsupported(struct rpc_call *call)
{
    rpc_call_failf(call, ERR_UNIMPLEMENTED,
                   "cluster volumes, extensions and resources are not supported");
}

#define ROW(name, type, handler)                                                                   \
    {                                                                                              \
        .path = "/docker.swarmkit.v1.Control/" name, .kind = RPC_UNARY, .roles = ROLE_MANAGER,     \
        .request = &swarm__##type##_request__descriptor, .handle = handler                         \
    }

static const struct rpc_method methods[] = {
    {.path = "/skep.NetworkKeys/RotateNetworkKeys",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &skep__rotate_network_keys_request__descriptor,
     .handle = handle_rotate_network_keys},
    ROW("GetNode", get_node, handle_get_node),
    ROW("ListNodes", list_nodes, handle_list_nodes),
    ROW("UpdateNode", update_node, handle_update_node),
    ROW("RemoveNode", remove_node, handle_remove_node),
    ROW("GetTask", get_task, handle_get_task),
    ROW("ListTasks", list_tasks, handle_list_tasks),
    ROW("RemoveTask", remove_task, handle_remove_task),
    ROW("GetService", get_service, handle_get_service),
    ROW("ListServices", list_services, handle_list_services),
    ROW("CreateService", create_service, handle_create_service),
    ROW("UpdateService", update_service, handle_update_service),
    ROW("RemoveService", remove_service, handle_remove_service),
    ROW("ListServiceStatuses", list_service_statuses, handle_list_service_statuses),
    ROW("GetNetwork", get_network, handle_get_network),
    ROW("ListNetworks", list_networks, handle_list_networks),
    ROW("CreateNetwork", create_network, handle_create_network),
    ROW("RemoveNetwork", remove_network, handle_remove_network),
    ROW("GetCluster", get_cluster, handle_get_cluster),
    ROW("ListClusters", list_clusters, handle_list_clusters),
    {.path = "/docker.swarmkit.v1.Control/UpdateCluster",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__update_cluster_request__descriptor,
     .handle = handle_update_cluster,
     .on_cancel = cancel_update_cluster},
    ROW("GetSecret", get_secret, handle_get_payload),
    ROW("UpdateSecret", update_secret, handle_update_payload),
    ROW("ListSecrets", list_secrets, handle_list_payloads),
    ROW("CreateSecret", create_secret, handle_create_payload),
    ROW("RemoveSecret", remove_secret, handle_remove_payload),
    ROW("GetConfig", get_config, handle_get_payload),
    ROW("UpdateConfig", update_config, handle_update_payload),
    ROW("ListConfigs", list_configs, handle_list_payloads),
    ROW("CreateConfig", create_config, handle_create_payload),
    ROW("RemoveConfig", remove_config, handle_remove_payload),
    ROW("GetExtension", get_extension, handle_unsupported),
    ROW("CreateExtension", create_extension, handle_unsupported),
    ROW("RemoveExtension", remove_extension, handle_unsupported),
    ROW("GetResource", get_resource, handle_unsupported),
    ROW("UpdateResource", update_resource, handle_unsupported),
    ROW("ListResources", list_resources, handle_unsupported),
    ROW("CreateResource", create_resource, handle_unsupported),
    ROW("RemoveResource", remove_resource, handle_unsupported),
    ROW("CreateVolume", create_volume, handle_unsupported),
    ROW("GetVolume", get_volume, handle_unsupported),
    ROW("UpdateVolume", update_volume, handle_unsupported),
    ROW("ListVolumes", list_volumes, handle_unsupported),
    ROW("RemoveVolume", remove_volume, handle_unsupported),
};

struct rpc_service control_service(struct control_desk *desk, struct loop *home)
{
    return (struct rpc_service){
        .methods = methods, .methods_count = COUNT_OF(methods), .ctx = desk, .home = home};
}
