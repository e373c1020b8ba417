// The agent's side of `docker service logs`: subscriptions of the leader's log broker, each
// answered with a PublishLogs call that carries the lines of this node's tasks.
//
// A client that reads slowly slows the reading of the logs down: nothing is dropped, nothing piles
// up. Tasks that start later join a subscription that follows.
#ifndef AGENT_PUBLISHER_RPC_H
#define AGENT_PUBLISHER_RPC_H

#include "agent/worker.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/logbroker.pb-c.h"

// Most subscriptions that are answered at once; further ones are refused with that reason.
#define PUBLISHER_SUBSCRIPTIONS_MAX 256
// How often a subscription that follows looks for new tasks.
#define PUBLISHER_LOOK_MS 500

struct publisher;

// All three are borrowed; the node id too.
struct publisher *publisher_new(struct loop *loop, struct worker *worker, struct executor *executor,
                                const char *node_id);
void publisher_free(struct publisher *publisher); // ends what is under way

// What the broker says, and the connection to answer on.
void publisher_take(struct publisher *publisher, struct rpc_client *client,
                    const Swarm__SubscriptionMessage *message);

// The session is down: the calls go with it.
void publisher_stop(struct publisher *publisher);

// The executor's side of the task is about to be closed: its streams are, first.
void publisher_forget(struct publisher *publisher, const char *task_id);

#endif
