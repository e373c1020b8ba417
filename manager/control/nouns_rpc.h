// Control calls about networks, nodes, tasks, the cluster, secrets and configs. Internal to the
// room.
#ifndef MANAGER_CONTROL_NOUNS_RPC_H
#define MANAGER_CONTROL_NOUNS_RPC_H

#include "proto/rpc/server_io.h"

void handle_get_network(struct rpc_call *call);
void handle_list_networks(struct rpc_call *call);
void handle_create_network(struct rpc_call *call);
void handle_remove_network(struct rpc_call *call);

void handle_get_node(struct rpc_call *call);
void handle_list_nodes(struct rpc_call *call);
void handle_update_node(struct rpc_call *call);
void handle_remove_node(struct rpc_call *call);

void handle_get_task(struct rpc_call *call);
void handle_list_tasks(struct rpc_call *call);
void handle_remove_task(struct rpc_call *call);

void handle_get_cluster(struct rpc_call *call);
void handle_list_clusters(struct rpc_call *call);
void handle_update_cluster(struct rpc_call *call);
void cancel_update_cluster(struct rpc_call *call);
void handle_rotate_network_keys(struct rpc_call *call);

// Secrets and configs alike.
void handle_get_payload(struct rpc_call *call);
void handle_list_payloads(struct rpc_call *call);
void handle_create_payload(struct rpc_call *call);
void handle_update_payload(struct rpc_call *call);
void handle_remove_payload(struct rpc_call *call);

#endif
