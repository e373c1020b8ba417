// A listening socket on one loop. To serve on several loops, open one listener per loop on the same
// descriptor (listener_open with options.fd; the descriptor is duplicated) and share one gate.
#ifndef PROTO_NET_LISTENER_IO_H
#define PROTO_NET_LISTENER_IO_H

#include "proto/net/admission.h"
#include "proto/net/conn_io.h"

// The admission of one or several listeners, shared between loops.
struct gate;
struct gate *gate_new(const struct admission_limits *limits); // NULL: the defaults
void gate_unref(
    struct gate *gate); // gives up the maker's reference; listeners and conns have theirs
unsigned gate_open(struct gate *gate); // connections inside, from any thread

struct listener;

struct listener_options {
    struct addr addr;       // where to listen, unless fd >= 0; a unix path left behind is replaced
    int fd;                 // a bound socket to listen on (stays the caller's), or -1
    unsigned mode;          // unix: permissions of the socket file; 0: 0660
    struct gate *gate;      // NULL: a gate of its own with the default limits
    struct tls_config *tls; // NULL: plain
    int64_t open_ms;        // as in conn_options
    int64_t idle_ms;

    // A connection is open (with TLS: its handshake is done). The callee gives it handler and owner
    // with conn_set_handler before it returns; that handler's on_open is not called. Before this a
    // connection costs its owner nothing: silent ones and failed handshakes are dealt with here.
    void (*on_accept)(struct listener *listener, struct conn *conn, void *owner);
    void *owner;
};

// Binds a socket to the address, for listener_open's `fd` on several loops, and returns it (the
// caller closes it, and removes a unix path in the end) or a negative code. `mode` as above; a unix
// path that a dead process left is replaced. Any thread.
int listener_bind(const struct addr *addr, unsigned mode, struct err *err);

// Starts listening. `err` names the address: ALREADY_EXISTS/UNAVAILABLE when it is taken.
struct listener *listener_open(struct loop *loop, const struct listener_options *options,
                               struct err *err);

// The address listened on, with the port the kernel chose for port 0.
const struct addr *listener_addr(const struct listener *listener);

// New handshakes use this config (NULL keeps the old one); those under way keep theirs. On the
// listener's loop.
void listener_set_tls(struct listener *listener, struct tls_config *tls);

// Stops accepting and frees the listener from its close callback; connections live on. `closed`
// (may be NULL) runs then.
void listener_close(struct listener *listener, void (*closed)(void *owner));

#endif
