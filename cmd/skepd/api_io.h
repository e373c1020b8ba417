// The Engine API of this daemon: one engine behind every socket that -H names.
#ifndef CMD_SKEPD_API_IO_H
#define CMD_SKEPD_API_IO_H

#include "agent/engine/backend.h"
#include "cmd/skepd/config.h"
#include "cmd/skepd/sockets_io.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"

struct api;
struct bus;

// Serves the bound sockets (borrowed: they stay bound when the API closes). `backend` outlives it.
// On TCP with the certificates that the configuration names, and then only with clients whose own
// was signed by its authority.
int api_open(struct loop *loop, const struct sockets *sockets, const struct config *config,
             const struct backend *backend, void *backend_ctx, struct api **out, struct err *err);

// Where events of this node are published.
struct bus *api_bus(struct api *api);

// The manager's local socket, while this node is a manager; NULL when it is not.
void api_set_manager(struct api *api, struct rpc_client *client);

// A manager that starts takes part now, or has had its time: as engine_started.
void api_manager_started(struct api *api);

// Takes no new connections, lets calls end for a moment, and frees; `closed` runs then.
void api_close(struct api *api, void (*closed)(void *ctx), void *ctx);

#endif
