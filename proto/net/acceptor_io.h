// Takes connections from a socket that listens already, and hands their descriptors out to those
// who read and write them themselves. (listener_io.h makes conns of them.)
#ifndef PROTO_NET_ACCEPTOR_IO_H
#define PROTO_NET_ACCEPTOR_IO_H

#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct acceptor;

// Takes the socket `fd`, also when it fails: INVALID_ARGUMENT where it does not listen, and then
// NULL. `take` gets each connection's descriptor, which is its owner's from then on: non-blocking,
// closed on exec. It runs later, and closes no acceptor. Without descriptors left for them, those
// who want to connect wait until some are free again.
struct acceptor *acceptor_open(struct loop *loop, int fd, void (*take)(void *owner, int fd),
                               void *owner, struct err *err);

// Closes the socket; `take` runs no more. NULL is harmless.
void acceptor_close(struct acceptor *acceptor);

#endif
