// The transport of Raft messages over gRPC: one client, one bounded queue per member (swarmkit
// 18.4).
//
// To a stock member each message is one StreamRaftMessage call, and the next goes out when the
// reply to the one before came: its handlers run at the same time and would lose the order. A
// member of our own kind, which says so in its reply, keeps the order of calls; up to
// PEERS_PIPELINE of them are then under way at once, and heartbeats and their answers have a call
// that stays open (beats_io.h). A peer that lacks the call (UNIMPLEMENTED) gets ProcessRaftMessage.
#ifndef RAFT_NET_PEERS_IO_H
#define RAFT_NET_PEERS_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/loop_io.h"
#include "proto/net/tls.h"
#include "proto/rpc/client_io.h"
#include "raft/net/transport.h"

// Messages waiting for one member; one more is counted as a failed send (swarmkit 18.1).
#define PEERS_QUEUE_MAX 4096
// And their bytes, entries included.
#define PEERS_QUEUE_BYTES_MAX ((size_t)256 << 20)

#define PEERS_PIPELINE 32

// Stock servers take messages of 4 MiB; a snapshot that is larger goes in pieces.
#define PEERS_CHUNK_BYTES ((size_t)4 << 20)

// Deadline of one message, and of a snapshot per started chunk.
#define PEERS_SEND_MS  2000
#define PEERS_CHUNK_MS 10000

// How long the connection to a removed member stays, so that it hears of its removal.
#define PEERS_LINGER_MS 8000

// How long a health check may take (swarmkit 18.3).
#define PEERS_HEALTH_MS 5000

// The longest pause between two attempts to connect. Short: a member that starts again hears
// nothing of its leader before, and there are few of them.
#define PEERS_BACKOFF_MS 250

// The header by which our own servers are known.
#define PEERS_OURS_HEADER "skep-raft"

// Heartbeats to our own members and their answers, each a StreamRaftMessageRequest (beats_io.h).
#define PEERS_BEATS_PATH "/skep.v1.Raft/Beats"

struct peers;

struct peers_config {
    struct loop *loop;
    struct tls_config *tls;                    // own reference taken; NULL: plain, for tests
    void (*ours)(void *ctx, uint64_t raft_id); // a member was recognised as our own kind
    void *ctx;
};

struct peers *peers_new(const struct peers_config *config);

// Must be called before anything is sent.
void peers_set_reports(struct peers *peers, const struct transport_reports *reports);
struct transport *peers_transport(struct peers *peers);

// New credentials. Each member is sent to over its old connection until a new one stands: no
// message waits for a handshake, and a member that cannot be reached anew is still reached.
void peers_set_tls(struct peers *peers, struct tls_config *tls);

// Closes every connection and frees; `closed` (may be NULL) runs then.
void peers_close(struct peers *peers, void (*closed)(void *ctx), void *ctx);

// The member's client, for calls that are forwarded to the leader; NULL for unknown members.
struct rpc_client *peers_client(struct peers *peers, uint64_t raft_id);

// The member's heartbeats come from this call, and that is where its answers go: until it is
// dropped, which does nothing when there is another by now.
void peers_set_answers(struct peers *peers, uint64_t raft_id, struct rpc_call *call);
void peers_drop_answers(struct peers *peers, uint64_t raft_id, const struct rpc_call *call);

// Asks a member's, or with `addr` any manager's, Health service whether "Raft" is SERVING. `done`
// runs exactly once, err NULL when it is. UNAVAILABLE or the status it answered otherwise.
typedef void (*peers_health_fn)(void *ctx, const struct err *err);
void peers_check_member(struct peers *peers, uint64_t raft_id, peers_health_fn done, void *ctx);
void peers_check_addr(struct peers *peers, const char *addr, peers_health_fn done, void *ctx);

#endif
