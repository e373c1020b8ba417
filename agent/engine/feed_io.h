// The cluster's changes onto the bus: one Watch stream to this node's manager, opened again when it
// breaks, from where it was.
#ifndef AGENT_ENGINE_FEED_IO_H
#define AGENT_ENGINE_FEED_IO_H

#include "agent/engine/bus.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"

// Until the next attempt.
#define FEED_RETRY_MS 500

struct feed;

struct feed *feed_new(struct loop *loop, struct bus *bus);

// Another manager to watch (borrowed until the next call), or NULL: none.
void feed_set_manager(struct feed *feed, struct rpc_client *client);

void feed_free(struct feed *feed);

#endif
