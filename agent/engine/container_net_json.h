// A container's networks and ports as the API shows them.
#ifndef AGENT_ENGINE_CONTAINER_NET_JSON_H
#define AGENT_ENGINE_CONTAINER_NET_JSON_H

#include <stdint.h>

#include "agent/crate/crates_io.h"
#include "proto/base/json.h"

// "tcp", "udp" or "sctp"; 0 for anything else.
uint8_t container_protocol(const char *name);

// "Networks", "Ports" of a list, and the whole of "NetworkSettings". `minor` is the request's
// version; 0: a list, which shows less.
void container_write_networks(const struct crate *crate, unsigned minor, struct json_out *out);
void container_write_port_list(const struct crate *crate, struct json_out *out);
void container_write_network_settings(const struct crate *crate, unsigned minor,
                                      struct json_out *out);

#endif
