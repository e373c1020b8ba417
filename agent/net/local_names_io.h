// Names on local networks: tells the resolver who is on the networks that users made, and opens its
// sockets in containers' namespaces. The default network has no names, as on stock engines.
#ifndef AGENT_NET_LOCAL_NAMES_IO_H
#define AGENT_NET_LOCAL_NAMES_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/dns/feed_io.h"
#include "agent/net/local.h"
#include "proto/base/err.h"

// Whether containers on the network find each other by name.
bool local_names_are(const struct local *local);

// Tells of the network and all its endpoints. What is so already costs nothing.
void local_names_network(struct dns_feed *feed, const struct local *local);
void local_names_network_gone(struct dns_feed *feed, const struct local *local);
void local_names_endpoint_gone(struct dns_feed *feed, const struct local *local,
                               const struct local_endpoint *endpoint);

// Has the resolver answer inside of the container, whose namespace is at `path`, for these networks
// that it is on; `host_resolv` names the host's servers. With none it ends.
int local_names_serve(struct dns_feed *feed, const char *container, const char *path,
                      struct local *const *locals, size_t count, const char *host_resolv,
                      struct err *err);

#endif
