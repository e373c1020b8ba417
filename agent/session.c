#include "agent/session.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void session_init(struct session *session, uint64_t seed, struct mono now)
{
    *session = (struct session){.state = SESSION_WAITING, .due = now};
    rand_init(&session->rand, seed);
}

struct session_asks session_step(struct session *session, struct mono now)
{
    struct session_asks asks = {.wake = session->due};
    bool due = !mono_before(now, session->due);
    switch (session->state) {
    case SESSION_WAITING:
        if (due) {
            session->state = SESSION_OPENING;
            session->due = mono_add(now, SESSION_FIRST_MESSAGE_NS);
            asks.open = true;
            asks.wake = session->due;
        }
        return asks;
    case SESSION_OPENING:
        asks.give_up = due;
        return asks;
    case SESSION_UP:
        if (session->beating) {
            asks.wake = MONO_NEVER; // its end says when the next one is due
        } else if (due) {
            session->beating = true;
            asks.heartbeat = true;
            asks.wake = MONO_NEVER;
        }
        return asks;
    }
    UNREACHABLE("session state");
}

int session_message(struct session *session, const Swarm__SessionMessage *message, struct mono now,
                    bool *registered, struct err *err)
{
    CHECK(session->state != SESSION_WAITING);
    *registered = false;
    if (str_empty(message->session_id) || strlen(message->session_id) >= sizeof session->id)
        return err_set(err, ERR_INVALID_ARGUMENT, "the dispatcher gave no usable session id");
    str_copy(session->id, sizeof session->id, message->session_id);
    if (session->state == SESSION_OPENING) {
        *registered = true;
        session->state = SESSION_UP;
        session->beating = false;
        session->due = now; // the first heartbeat follows registration at once
        session->backoff_ns = 0;
        session->applied[0] = '\0';
    }
    return 0;
}

void session_beat(struct session *session, int64_t period_ns, struct mono now)
{
    CHECK(session->beating);
    session->beating = false;
    session->due =
        mono_add(now, period_ns < SESSION_PERIOD_NS_MIN ? SESSION_PERIOD_NS_MIN : period_ns);
}

int session_assignments(struct session *session, const Swarm__AssignmentsMessage *message,
                        struct err *err)
{
    bool complete = message->type == SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE;
    // The first message must be complete: an increment to nothing would lose what came before it.
    if (!complete && (!*session->applied || !str_equal(message->applies_to, session->applied)))
        return err_set(err, ERR_ABORTED, "assignments apply to \"%s\", not to \"%s\"",
                       message->applies_to, session->applied);
    if (!str_copy(session->applied, sizeof session->applied, message->results_in))
        return err_set(err, ERR_INVALID_ARGUMENT, "assignments have too long a sequence text");
    return 0;
}

void session_reopened(struct session *session)
{
    session->applied[0] = '\0';
}

void session_ended(struct session *session, bool on_purpose, struct mono now)
{
    session->state = SESSION_WAITING;
    session->beating = false;
    session->applied[0] = '\0';
    if (on_purpose) {
        session->backoff_ns = 0;
        session->due = now;
        return;
    }
    session->backoff_ns = SESSION_BACKOFF_NS + 2 * session->backoff_ns;
    if (session->backoff_ns > SESSION_BACKOFF_NS_MAX)
        session->backoff_ns = SESSION_BACKOFF_NS_MAX;
    int64_t pause = (int64_t)rand_below(&session->rand, (uint64_t)session->backoff_ns);
    session->due = mono_add(now, pause);
}
