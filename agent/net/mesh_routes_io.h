// What the routing mesh needs of a namespace besides its tables: settings, and the way out for
// marked packets. Everything may be done again and changes nothing then. For worker jobs, inside
// the namespace.
#ifndef AGENT_NET_MESH_ROUTES_IO_H
#define AGENT_NET_MESH_ROUTES_IO_H

#include "proto/base/err.h"

// The host: 127.0.0.1:port leads across the gateway bridge too, and packets are forwarded.
int mesh_host_prepare(const char *gateway_if, struct err *err);

// The ingress sandbox forwards packets.
int mesh_sandbox_prepare(struct err *err);

// A task's sandbox: marks are taken over by sockets and answered with; clients may come in where no
// route leads to them; packets with the mesh's mark leave by the gateway that does not exist.
int mesh_task_prepare(const char *ingress_if, struct err *err);

#endif
