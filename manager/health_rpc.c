#include "manager/health_rpc.h"

#include "proto/base/str.h"
#include "proto/wire/health.pb-c.h"
#include "proto/wire/names.h"

static void handle_check(struct rpc_call *call)
{
    const struct health_desk *desk = rpc_call_ctx(call);
    const Swarm__HealthCheckRequest *request =
        (const Swarm__HealthCheckRequest *)rpc_call_message(call);
    bool control = desk->local && str_equal(request->service, NAME_HEALTH_CONTROL);
    if (!str_empty(request->service) && !str_equal(request->service, NAME_HEALTH_RAFT) &&
        !control) {
        rpc_call_failf(call, ERR_NOT_FOUND, "unknown service");
        return;
    }
    Swarm__HealthCheckResponse response = SWARM__HEALTH_CHECK_RESPONSE__INIT;
    response.status = control && !desk->control
                          ? SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
                          : SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    rpc_call_reply(call, &response.base);
}

static const struct rpc_method methods[] = {
    {.path = "/docker.swarmkit.v1.Health/Check",
     .kind = RPC_UNARY,
     .roles = ROLE_MANAGER,
     .request = &swarm__health_check_request__descriptor,
     .handle = handle_check},
};

struct rpc_service health_service(struct health_desk *desk, struct loop *home)
{
    return (struct rpc_service){.methods = methods,
                                .methods_count = sizeof(methods) / sizeof(methods[0]),
                                .ctx = desk,
                                .home = home};
}
