// Heartbeats to one member of our own kind and its answers, on one call that stays open.
//
// A heartbeat is forty bytes ten times a second and peer. As a call of its own, and its answer as
// another, it costs two sets of headers each way and a dozen wake-ups; so our own members have a
// method for them, PEERS_BEATS_PATH: heartbeats one way, their answers the other way. Raft does not
// mind that these pass other messages. Stock members get calls as ever, and so does everybody while
// beats_send says no.
//
// Such a call ends after BEATS_CALL_MS, so that it neither keeps a connection with old credentials
// nor outlives what its caller may do.
#ifndef RAFT_NET_BEATS_IO_H
#define RAFT_NET_BEATS_IO_H

#include <stdbool.h>

#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"
#include "raft/core/types.h"

#define BEATS_CALL_MS 60000

struct beats {
    struct loop *loop;
    struct rpc_request *request; // NULL: no call is open
    struct mono opened;
    struct mono asked; // the first heartbeat without an answer; MONO_NEVER: all are answered

    // An answer came; lives until this returns. And: the call is over, for this reason (ERR_OK: the
    // member wanted no more). Neither runs inside a function below.
    void (*answered)(struct beats *beats, const struct raft_message *message);
    void (*ended)(struct beats *beats, const struct err *why);
};

void beats_init(struct beats *beats, struct loop *loop);

// Sends a heartbeat, in a new call if need be. False, and the call is closed: it cannot, or nothing
// was answered for `silent_ms`.
bool beats_send(struct beats *beats, struct rpc_client *client, const struct raft_message *message,
                int64_t silent_ms);

// Ends the call, if there is one, without a word.
void beats_close(struct beats *beats);

#endif
