// The node process's side of the resolver: keeps what the resolver process has to know, tells it
// each change as its channel has room, and all of it again to a new process, which goes on with the
// same sockets.
//
// The calls mirror names.h. Everything is copied and takes effect soon; there is no answer. Lives
// on one loop and is used on its thread alone.
#ifndef AGENT_DNS_FEED_IO_H
#define AGENT_DNS_FEED_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/dns/feed.h"
#include "agent/dns/sockets_io.h"
#include "proto/base/channel_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct dns_feed;

// Opens the sockets that the host's name servers are asked with, in the calling thread's namespace.
int dns_feed_open(struct loop *loop, struct dns_feed **out, struct err *err);

// Closes its copies of all sockets. The resolver process is not told. NULL is harmless.
void dns_feed_close(struct dns_feed *feed);

// A new resolver process takes messages on `channel`, which it has not got anything on yet but the
// messages of its start; it is told everything. The channel stays its owner's.
void dns_feed_attach(struct dns_feed *feed, struct channel *channel);

// The channel of before is going to be closed (or is not there any more); changes wait.
void dns_feed_detach(struct dns_feed *feed);

// Whether the resolver process was sent everything that was put until now.
bool dns_feed_settled(const struct dns_feed *feed);

// As their namesakes in names.h, with their errors. The IDs' limit is FEED_ID_BYTES_MAX, names of
// more than FEED_TEXT_BYTES_MAX are no names. What does not change anything costs nothing more.
int dns_feed_network_put(struct dns_feed *feed, const char *id, const char *name, bool internal,
                         struct err *err);
bool dns_feed_network_remove(struct dns_feed *feed, const char *id);
int dns_feed_record_put(struct dns_feed *feed, const char *network,
                        const struct names_record *record, struct err *err);
bool dns_feed_record_remove(struct dns_feed *feed, const char *network, const char *endpoint);

// Walks the endpoint IDs of a network's records, in no order that means anything: start with
// *position 0; NULL at the end. The one seen last may be removed during the walk, nothing added.
const char *dns_feed_record_next(const struct dns_feed *feed, const char *network,
                                 size_t *position);

// Adds a sandbox, or gives it other networks and settings. NOT_FOUND for an unknown network.
int dns_feed_sandbox_put(struct dns_feed *feed, const struct feed_sandbox *sandbox,
                         struct err *err);

// Hands over the sandbox's sockets, in place of those it had, which are closed. *sockets is taken
// (and empty afterwards) unless there is no such sandbox: NOT_FOUND.
int dns_feed_sandbox_sockets(struct dns_feed *feed, const char *id, struct dns_sockets *sockets,
                             struct err *err);

// False when there is none. Its sockets are closed, here and in the resolver process.
bool dns_feed_sandbox_remove(struct dns_feed *feed, const char *id);

#endif
