// The dispatcher's core: agents' sessions, heartbeats, assignments and reports (swarmkit.md
// section 9). Plain functions of (store, call, time); streams are an interface, so that a test
// needs neither loop nor network.
//
// Work per change follows the change: store events are routed to the one agent they concern, and
// each agent's stream knows what it was sent.
#ifndef MANAGER_DISPATCH_DISPATCHER_H
#define MANAGER_DISPATCH_DISPATCHER_H

#include "manager/store/txn.h"
#include "proto/base/list.h"
#include "proto/base/metrics.h"
#include "proto/base/timer.h"
#include "proto/identity/rng.h"
#include "proto/wire/dispatcher.pb-c.h"

struct dispatcher;
struct agent;
struct assign;

// Both clocks at once.
struct moment {
    struct mono mono;
    struct wall wall;
};

// A manager as agents may dial it.
struct dispatch_manager {
    const char *node_id;
    const char *addr; // host:port; entries without one are left out
};

struct dispatcher_config {
    struct store *store;     // with a proposer
    const struct rng *rng;   // for session ids
    uint64_t seed;           // for jitter
    const char *node_id;     // of this manager: status.applied_by; copied
    struct histogram *delay; // counts how long tasks took until they ran; may be NULL
    // A watch has events, dispatcher_step is due. May be NULL.
    void (*wake)(void *ctx);
    void *ctx;
};

#define DISPATCH_ERR_STOPPED    "dispatcher is stopped"
#define DISPATCH_ERR_DISCONNECT "node must disconnect"
#define DISPATCH_ERR_REGISTERED "node not registered"
#define DISPATCH_ERR_SESSION    "session invalid"
#define DISPATCH_ERR_NODE       "node not found"
#define DISPATCH_ERR_FOREIGN    "cannot update a task not assigned this node"

// Messages of node status.
#define DISPATCH_UNKNOWN  "Node moved to \"unknown\" state due to leadership change in cluster"
#define DISPATCH_DOWN     "heartbeat failure"
#define DISPATCH_DOWN_NEW "heartbeat failure for node in \"unknown\" state"

// Most streams of one kind an agent may hold open; its oldest is ended by one more.
#define DISPATCH_STREAMS_MAX 2

// Most reports that wait for the store; further calls are refused until it takes some.
#define DISPATCH_REPORTS_MAX 200000

// One server stream of an agent. The shell embeds it, sets `ops`, and keeps it alive until `end`
// ran or dispatcher_close was called.
struct dispatch_stream {
    const struct dispatch_stream_ops *ops;
    // The core's own.
    struct list link;    // of its agent
    struct agent *agent; // NULL once ended
    bool stuck;          // it was not writable when there was something to send
    // Session:
    uint64_t ready_at; // version of the node from which on the first message may go
    uint64_t sent_node;
    uint64_t sent_shared;
    // Assignments, Tasks:
    struct timer timer; // when collected changes are to be sent
    struct mono sent;   // when the last message went
    struct assign *assign;
    bool legacy; // Tasks: full lists
};

struct dispatch_stream_ops {
    // False: nothing is sent until dispatcher_writable.
    bool (*writable)(struct dispatch_stream *stream);
    // A packed message. The bytes are the core's and valid during the call. On error the core ends
    // the stream.
    int (*send)(struct dispatch_stream *stream, const void *bytes, size_t size, struct err *err);
    // The core has forgotten the stream. Never runs inside of the call that opened it.
    void (*end)(struct dispatch_stream *stream, const struct err *err);
};

// Begins: every node that is not DOWN becomes UNKNOWN and has to register again.
struct dispatcher *dispatcher_new(const struct dispatcher_config *config, struct moment now);

// Ends all streams (see dispatch_stop) and frees it.
void dispatcher_free(struct dispatcher *dispatcher);

// Takes in what happened in the store, fires what is due, sends. Run it when `wake` said so and at
// dispatcher_due.
void dispatcher_step(struct dispatcher *dispatcher, struct moment now);
struct mono dispatcher_due(const struct dispatcher *dispatcher);

void dispatcher_set_managers(struct dispatcher *dispatcher, const struct dispatch_manager *managers,
                             size_t managers_count);

// ---- calls -------------------------------------------------------------------------------------
// `node_id` is the caller's proven identity. Errors are those of section 9: NOT_FOUND
// DISPATCH_ERR_REGISTERED, INVALID_ARGUMENT DISPATCH_ERR_SESSION for all but dispatcher_session.

// Session: registers (or keeps the session of the request, if that is the present one), and sends
// the first message once the node is READY in the store. `addr` is the node's source address,
// without port. UNAVAILABLE when it registers too often, UNKNOWN DISPATCH_ERR_NODE when there is no
// such node. On error the stream was not taken over.
int dispatcher_session(struct dispatcher *dispatcher, const char *node_id, const char *addr,
                       const Swarm__SessionRequest *request, struct dispatch_stream *stream,
                       struct moment now, struct err *err);

// Heartbeat: *period_ns is when to send the next one.
int dispatcher_heartbeat(struct dispatcher *dispatcher, const char *node_id, const char *session_id,
                         struct moment now, int64_t *period_ns, struct err *err);

// Assignments, or with `legacy` Tasks: the complete set at once, then changes.
int dispatcher_assignments(struct dispatcher *dispatcher, const char *node_id,
                           const char *session_id, bool legacy, struct dispatch_stream *stream,
                           struct moment now, struct err *err);

// UpdateTaskStatus. PERMISSION_DENIED DISPATCH_ERR_FOREIGN, and nothing of the call counts, when it
// names another node's task; INVALID_ARGUMENT for states that agents do not have; UNAVAILABLE when
// reports cannot be written and too many wait. Written within STATUS_BATCH_NS.
int dispatcher_report(struct dispatcher *dispatcher, const char *node_id,
                      const Swarm__UpdateTaskStatusRequest *request, struct moment now,
                      struct err *err);

// UpdateVolumeStatus.
int dispatcher_report_volumes(struct dispatcher *dispatcher, const char *node_id,
                              const Swarm__UpdateVolumeStatusRequest *request, struct moment now,
                              struct err *err);

// The stream's client is gone: the core forgets it, `end` does not run.
void dispatcher_close(struct dispatcher *dispatcher, struct dispatch_stream *stream);

// The stream has room again.
void dispatcher_writable(struct dispatcher *dispatcher, struct dispatch_stream *stream,
                         struct moment now);

struct dispatcher_stats {
    size_t agents;   // known: live, unknown and down
    size_t sessions; // live
    size_t streams;  // open, all kinds
    size_t reports;  // waiting to be written
    uint64_t sent;   // messages
    uint64_t sent_bytes;
};
void dispatcher_stats(const struct dispatcher *dispatcher, struct dispatcher_stats *stats);

#endif
