// Control calls about services. Internal to the room.
#ifndef MANAGER_CONTROL_SERVICE_RPC_H
#define MANAGER_CONTROL_SERVICE_RPC_H

#include "proto/rpc/server_io.h"

void handle_get_service(struct rpc_call *call);
void handle_list_services(struct rpc_call *call);
void handle_list_service_statuses(struct rpc_call *call);
void handle_create_service(struct rpc_call *call);
void handle_update_service(struct rpc_call *call);
void handle_remove_service(struct rpc_call *call);

#endif
