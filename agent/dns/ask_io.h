// Questions to name servers: each over a socket of its own from a pool (sockets_io.h), one server
// after the other, until one answers or the time is over.
//
// A question goes out under a random ID and from a random port, over a connected socket: what does
// not come from that server, to that port, under that ID, about that question, is not the answer.
// Of a pool that many share, each has a share at most, and waits in turn for more.
#ifndef AGENT_DNS_ASK_IO_H
#define AGENT_DNS_ASK_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/dns/dns_msg.h"
#include "agent/dns/feed.h"
#include "proto/base/list.h"
#include "proto/base/loop_io.h"

// For all servers together, shared out evenly among those still to be asked: shorter than the 5 s
// that C libraries wait before they ask again, so that they hear of a failure.
#define ASK_MS 4500
// Wrong answers to one socket before its server is given up: somebody tries to guess.
#define ASK_FORGED_MAX 32

// ---- pools --------------------------------------------------------------------------------------

// Sockets by family and type.
enum ask_kind { ASK_UDP4, ASK_UDP6, ASK_TCP4, ASK_TCP6, ASK_KINDS };

// The sockets of one namespace.
struct ask_pool;

// An empty pool. Who has a door to it may hold a `share`-th of its sockets at most, but one always.
struct ask_pool *ask_pool_open(struct loop *loop, size_t share);

// Adds a socket, which is the pool's from here on. INVALID_ARGUMENT (and it is closed) when it is
// no internet socket.
int ask_pool_add(struct ask_pool *pool, int fd, struct err *err);

// Closes the sockets; no question is open any more. The memory goes back when the loop has closed
// the handles. NULL is harmless.
void ask_pool_close(struct ask_pool *pool);

// What waits for one kind of socket, and how many of them are in use through this door.
struct ask_line {
    struct list link; // in the pool, while somebody waits
    struct list asks;
    size_t held;
};

// One asker's way to a pool.
struct ask_door {
    struct ask_pool *pool;
    struct ask_line lines[ASK_KINDS];
};

void ask_door_init(struct ask_door *door, struct ask_pool *pool);

// ---- questions ----------------------------------------------------------------------------------

struct ask;

struct ask_spec {
    struct ask_door *outside; // for servers asked from the host; outlives the question
    struct ask_door *inside;  // for those asked from inside the sandbox
    const struct feed_server *servers;
    size_t servers_count; // at most RESOLVER_UPSTREAMS_MAX
    const struct dns_msg *query;
    const uint8_t *bytes; // the question as it came, of which only the ID is changed
    size_t size;
    bool tcp; // it came over TCP, so it is asked over TCP first
};

// Asks. What `spec` borrows is copied, but for the doors. `done` comes later and exactly once,
// unless it is cancelled; `reply` (still under the ID it was asked with) is NULL when no server
// gave one, and is valid during the callback.
//
// A reply over UDP that was cut although the asker could take more is asked for over TCP. A server
// that cannot be reached over TCP is asked over UDP.
struct ask *ask_start(struct loop *loop, const struct ask_spec *spec,
                      void (*done)(void *owner, const uint8_t *reply, size_t size), void *owner);

void ask_cancel(struct ask *ask);

#endif
