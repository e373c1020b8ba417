// The published ports that are to answer on IPv6, as the node process keeps them: their sockets,
// and what the relay process (relay.h) has been told. Everything runs on the loop's thread.
//
// There is nothing to relay as long as nobody publishes a port; `wanted` tells when there is, so
// that the process need not run before.
#ifndef AGENT_NET_RELAYS_IO_H
#define AGENT_NET_RELAYS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/relay.h"
#include "proto/base/channel_io.h"
#include "proto/base/loop_io.h"

// Who wants ports: each says its own.
enum relays_of { RELAYS_MESH, RELAYS_HOST, RELAYS_WHO };

struct relays;

struct relays *relays_open(struct loop *loop);

// Closes its copies of the sockets. NULL is harmless.
void relays_close(struct relays *relays);

// Runs once, later, when the first port is wanted; at once later when some are.
void relays_on_wanted(struct relays *relays, void (*wanted)(void *owner), void *owner);

// Whether ports can answer on IPv6: false for NULL, and on a machine without.
bool relays_able(const struct relays *relays);

// All ports that `who` wants, in place of those it wanted; SCTP is passed over. `fds` are their
// sockets, which stay the caller's: bound (hold_open6), or -1 (NULL: all) to have it done here. One
// whose number another program has on IPv6 is logged then, and tried again now and then. NULL
// relays: nothing happens.
void relays_want(struct relays *relays, enum relays_of who, const struct relay_port *ports,
                 const int *fds, size_t count);

// A new relay process takes messages on `channel`: it is told everything. The channel stays its
// owner's.
void relays_attach(struct relays *relays, struct channel *channel);
void relays_detach(struct relays *relays);

#endif
