// The agent's side of Dispatcher and LogBroker: one connection to one manager at a time, with the
// session, assignments and subscriptions streams, heartbeats and status reports on it. Any error on
// one of them tears all down; the next manager is tried after a pause (session.h).
#ifndef AGENT_SESSION_RPC_H
#define AGENT_SESSION_RPC_H

#include <stdbool.h>

#include "agent/session.h"
#include "proto/base/loop_io.h"
#include "proto/net/tls.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/remotes.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/logbroker.pb-c.h"

struct agent_session;

// Messages live until the callback returns. None of these runs inside a call to a function below.
// Any of them may be NULL.
struct agent_session_events {
    void (*up)(void *owner); // registered: report everything
    void (*down)(void *owner, const struct err *err);
    void (*message)(void *owner, const Swarm__SessionMessage *message);
    void (*assignments)(void *owner, const Swarm__AssignmentsMessage *message);
    void (*subscription)(void *owner, const Swarm__SubscriptionMessage *message);
    void (*reported)(void *owner, const struct err *err); // NULL: the manager has it
    // A whole connection attempt failed while the session was opening: what a joining node gives up
    // on when it is an x509 error.
    void (*failed)(void *owner, const struct err *err);
};

struct agent_session_config {
    struct loop *loop;
    struct remotes *remotes; // the caller's; kept up to date from session messages
    struct tls_config *tls;  // with the node's certificate; a reference is taken
    // The node as it is now; borrowed until the callback is called again.
    const Swarm__NodeDescription *(*describe)(void *owner);
    struct agent_session_events events;
    void *owner;
};

struct agent_session *agent_session_new(const struct agent_session_config *config);

// Ends the session without further events. Connections take a moment to close: `closed` (may be
// NULL) runs when the last has, never before this returns, and the session is gone then.
void agent_session_close(struct agent_session *session, void (*closed)(void *ctx), void *ctx);

// Opens the session anew at once: the description changed, or (tls not NULL) the certificate did.
void agent_session_renew(struct agent_session *session, struct tls_config *tls);

// Sends one status; `reported` follows. False when there is no session or a report is under way.
bool agent_session_report(struct agent_session *session, const char *task_id,
                          const Swarm__TaskStatus *status);

// The connection of the present session, for calls of one's own (PublishLogs, ResourceAllocator),
// and the session's id. NULL while there is none.
struct rpc_client *agent_session_client(struct agent_session *session);
const char *agent_session_id(const struct agent_session *session);

#endif
