// Health checks of members, and of managers that may become members.
#include "raft/net/peers_private_io.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/str.h"
#include "proto/wire/health.pb-c.h"

#define PATH_HEALTH "/docker.swarmkit.v1.Health/Check"

struct check {
    struct peers *peers;
    struct rpc_client *own; // made for this check
    peers_health_fn done;
    void *ctx;
    struct loop_post post; // when it fails before any call
    struct err err;
};

static void check_end(struct check *check, const struct err *err)
{
    struct peers *peers = check->peers;
    check->done(check->ctx, err);
    peers_close_client(peers, check->own);
    free(check);
    peers->checks--;
    peers_finish_closing(peers);
}

static void on_check_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                          const struct metadata *trailers)
{
    (void)trailers;
    struct check *check = ctx;
    struct err err = status->err;
    const Swarm__HealthCheckResponse *response =
        err.code == ERR_OK ? (const Swarm__HealthCheckResponse *)rpc_request_message(request)
                           : NULL;
    if (response && response->status != SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        err_set(&err, ERR_UNAVAILABLE, "member is not serving");
    check_end(check, err.code == ERR_OK ? NULL : &err);
}

static void on_check_impossible(struct loop_post *post)
{
    struct check *check = CONTAINER_OF(post, struct check, post);
    check_end(check, &check->err);
}

static void check_start(struct check *check, struct rpc_client *client)
{
    check->peers->checks++;
    if (!client) {
        loop_post(check->peers->loop, &check->post, on_check_impossible);
        return;
    }
    Swarm__HealthCheckRequest request = SWARM__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)"Raft";
    struct rpc_request_spec spec = {
        .path = PATH_HEALTH,
        .kind = RPC_UNARY,
        .response = &swarm__health_check_response__descriptor,
        .timeout_ms = PEERS_HEALTH_MS,
        .on_done = on_check_done,
        .ctx = check,
    };
    rpc_client_call(client, &spec, &request.base);
}

void peers_check_member(struct peers *peers, uint64_t raft_id, peers_health_fn done, void *ctx)
{
    struct check *check = MEM_NEW(struct check);
    *check = (struct check){.peers = peers, .done = done, .ctx = ctx};
    err_set(&check->err, ERR_NOT_FOUND, "no raft member %" PRIx64, raft_id);
    check_start(check, peers_client(peers, raft_id));
}

void peers_check_addr(struct peers *peers, const char *addr, peers_health_fn done, void *ctx)
{
    struct check *check = MEM_NEW(struct check);
    *check = (struct check){.peers = peers, .done = done, .ctx = ctx};
    check->own = peers_client_new(peers, addr, &check->err);
    check_start(check, check->own);
}
