// Inside of the transport, shared by peers_io (queues, heartbeats, life) and peers_health_io.
// Nobody else includes this.
#ifndef RAFT_NET_PEERS_PRIVATE_IO_H
#define RAFT_NET_PEERS_PRIVATE_IO_H

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "raft/net/beats_io.h"
#include "raft/net/peers_io.h"

#define PEERS_MAGIC 0x70656572u

struct peer_link {
    struct peers *peers;
    struct list link; // in peers->leaving once removed
    uint64_t raft_id;
    char *node_id;
    char *addr;
    struct rpc_client *client;
    bool active;   // the last send succeeded
    bool ours;     // keeps the order of calls
    bool process;  // lacks StreamRaftMessage
    bool reported; // since the last success: one report of a failure is enough
    struct list queue;
    size_t queue_count, queue_bytes;
    struct list flight; // letters under way, oldest first
    size_t flight_count;
    struct loop_timer linger;
    struct beats beats;       // our heartbeats to it
    bool calls_alone;         // it is ours but does not know such calls
    struct rpc_call *answers; // where its own heartbeats come from; NULL: nowhere
};

struct peers {
    unsigned magic;
    struct transport transport;
    struct transport_reports reports;
    struct loop *loop;
    struct tls_config *tls;
    void (*ours)(void *ctx, uint64_t raft_id);
    void *ctx;
    struct map links; // raft id -> struct peer_link
    struct list leaving;
    size_t checks; // health checks under way
    size_t closing_clients;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// A client to the address; its end is counted, and peers_finish_closing runs then.
struct rpc_client *peers_client_new(struct peers *peers, const char *addr_text, struct err *err);
void peers_close_client(struct peers *peers, struct rpc_client *client); // NULL: nothing

// Frees `peers` when it is closing and nothing is under way any more.
void peers_finish_closing(struct peers *peers);

#endif
