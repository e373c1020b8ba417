// SwarmKit's Raft and RaftMembership services (swarmkit 18.3, 18.4): messages from other members,
// addresses, joining and leaving.
//
// The services run on the control loop. RaftMembership is the leader's; forwarding to it is the
// manager's business and has happened before a call comes here.
#ifndef RAFT_RAFT_RPC_H
#define RAFT_RAFT_RPC_H

#include "proto/base/loop_io.h"
#include "proto/rpc/server_io.h"
#include "raft/net/peers_io.h"
#include "raft/node_io.h"

struct raft_rpc;

// Seed for new members' raft ids (from the kernel in programs). `node` and `peers` outlive it.
struct raft_rpc *raft_rpc_new(struct loop *loop, struct raft_node *node, struct peers *peers,
                              uint64_t seed);

// Ends the calls that stay open and takes no more of them: a server that is told to close would
// wait for them.
void raft_rpc_stop(struct raft_rpc *rpc);

// Calls still under way are answered with RAFT_NODE_ERR_STOPPED; nothing comes in afterwards.
void raft_rpc_free(struct raft_rpc *rpc);

// The two services, for rpc_server_config; valid as long as `rpc`. The manager may wrap the rows of
// the second to forward them.
struct rpc_service raft_rpc_messages(struct raft_rpc *rpc);
struct rpc_service raft_rpc_membership(struct raft_rpc *rpc);

#endif
