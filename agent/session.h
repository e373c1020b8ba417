// When an agent opens, keeps and gives up its session with a dispatcher (swarmkit.md sections 9.1
// to 9.4). Pure: session_rpc.h holds the streams.
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/rand.h"
#include "proto/wire/dispatcher.pb-c.h"

#define SESSION_FIRST_MESSAGE_NS (5 * NS_PER_S) // how long a dispatcher may take to register us
#define SESSION_HEARTBEAT_MS     5000           // deadline of a heartbeat call
// The pause before the next attempt is random below a bound that goes from this one up: b = this +
// 2b.
#define SESSION_BACKOFF_NS     (100 * NS_PER_MS)
#define SESSION_BACKOFF_NS_MAX (8 * NS_PER_S)
// Shortest heartbeat period taken from a dispatcher, and longest id or sequence text.
#define SESSION_PERIOD_NS_MIN (100 * NS_PER_MS)
#define SESSION_TEXT_BYTES    128

enum session_state {
    SESSION_WAITING, // for the next attempt
    SESSION_OPENING, // for the first message
    SESSION_UP,
};

struct session {
    enum session_state state;
    char id[SESSION_TEXT_BYTES];      // the last one held, offered again
    char applied[SESSION_TEXT_BYTES]; // results_in of the last assignments; "" before the first
    bool beating;                     // a heartbeat is under way
    struct mono due; // WAITING: next attempt; OPENING: give up then; UP: next heartbeat
    int64_t backoff_ns;
    struct rand rand;
};

// What to do now.
struct session_asks {
    bool open;        // choose a manager and open the session stream
    bool heartbeat;   // send one
    bool give_up;     // no first message in time: tear down, then session_ended
    struct mono wake; // step again then
};

void session_init(struct session *session, uint64_t seed, struct mono now);
struct session_asks session_step(struct session *session, struct mono now);

// A session message came. INVALID_ARGUMENT for one without a usable id: tear down. *registered is
// set when it made the session come up.
int session_message(struct session *session, const Swarm__SessionMessage *message, struct mono now,
                    bool *registered, struct err *err);

// A heartbeat was answered; the next one is due after `period_ns`.
void session_beat(struct session *session, int64_t period_ns, struct mono now);

// An assignments message came: 0 to apply it; ABORTED when it does not follow the last one: reopen
// the stream (session_reopened) and drop the message.
int session_assignments(struct session *session, const Swarm__AssignmentsMessage *message,
                        struct err *err);
void session_reopened(struct session *session);

// Everything was torn down after an error, or on purpose (a new description or certificate), when
// the next attempt follows at once.
void session_ended(struct session *session, bool on_purpose, struct mono now);

#endif
