// The Engine API on a loop: HTTP requests in, calls to the manager's local socket out.
#ifndef AGENT_ENGINE_ENGINE_IO_H
#define AGENT_ENGINE_ENGINE_IO_H

#include "agent/engine/backend.h"
#include "proto/http/server_io.h"
#include "proto/rpc/client_io.h"

// How long one call to the Control API may take: stock's own limit for its clients.
#define ENGINE_CALL_MS 20000

// Most bytes of one JSON answer.
#define ENGINE_ANSWER_BYTES_MAX (256 * 1024 * 1024)

struct bus;
struct engine;

struct engine_options {
    const struct backend *backend; // borrowed
    void *backend_ctx;
};

struct engine *engine_new(struct loop *loop, const struct engine_options *options);

// The manager's local socket: set on promotion (borrowed until the next call), NULL on demotion.
// Calls under way on the old client end as that client ends them.
void engine_set_manager(struct engine *engine, struct rpc_client *client);

// The backend's `starting` is over: requests that waited for it go on. As with dockerd, whose API
// opens once its manager is there or 20 seconds are over; here the node's own requests do not wait.
void engine_started(struct engine *engine);

// The node's events, the cluster's among them: whoever makes something happen on this node
// publishes it here (bus.h). Lives as long as the engine.
struct bus *engine_bus(struct engine *engine);

// Serves a connection just accepted: give it to a listener's on_accept with the engine as owner.
void engine_take(struct engine *engine, struct conn *conn);

// As http_server_stop; the engine is freed then.
void engine_stop(struct engine *engine, int64_t grace_ms, void (*stopped)(void *owner),
                 void *owner);

#endif
