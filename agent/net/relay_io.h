// The relay process's part: serves the sockets it is given and passes on what comes, to 127.0.0.1
// or to the container itself. Everything runs on the loop's thread.
//
// Bounds: RELAY_CONNS_MAX connections, the next one is closed at once; one that the task's side
// does not take within RELAY_DIAL_MS is reset. A connection holds memory only for what one side has
// sent and the other has not taken, at most RELAY_CHUNK_BYTES each way; nothing more is read then.
// Of UDP, RELAY_FLOWS_MAX clients are remembered, the one longest silent is forgotten for a new
// one, and each after RELAY_SILENT_MS.
#ifndef AGENT_NET_RELAY_IO_H
#define AGENT_NET_RELAY_IO_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/channel_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define RELAY_CONNS_MAX   8192
#define RELAY_DIAL_MS     10000
#define RELAY_CHUNK_BYTES (64u << 10)
#define RELAY_FLOWS_MAX   2048
#define RELAY_SILENT_MS   90000

struct relay;

// What it has done, since it was opened, and what there is now.
struct relay_counts {
    uint64_t conns, conns_refused, conns_failed; // refused: too many; failed: no task took it
    uint64_t flows, flows_forgotten;             // clients by UDP; forgotten for others
    uint64_t conns_now, flows_now, ports_now;
};

struct relay *relay_open(struct loop *loop);

// Closes every socket; the memory of the handles goes back when the loop has closed them. NULL is
// harmless.
void relay_close(struct relay *relay);

// Takes a message of relay.h, with its socket. An error says why nothing has changed.
int relay_take(struct relay *relay, const struct channel_message *message, struct err *err);

struct relay_counts relay_counts(const struct relay *relay);
// Appends these as Prometheus' text.
void relay_figures(const struct relay *relay, struct buf *out);

#endif
