// Does something inside a network namespace, which may be the caller's own, on the calling thread.
#ifndef AGENT_NET_INSIDE_IO_H
#define AGENT_NET_INSIDE_IO_H

#include "proto/base/err.h"

// As netns_in; -1 stays where the thread is. For worker jobs.
int inside_netns(int netns_fd, int (*fn)(void *ctx, struct err *err), void *ctx, struct err *err);

// Writes one of the namespace's settings, such as "net/ipv4/ip_forward", while inside.
int inside_sysctl(const char *name, const char *value, struct err *err);

#endif
