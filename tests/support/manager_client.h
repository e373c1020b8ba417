// A client of a manager for test programs that are a node: its certificate, key and roots lie in a
// folder, laid out as dockerd's certificates folder.
#ifndef TESTS_SUPPORT_MANAGER_CLIENT_H
#define TESTS_SUPPORT_MANAGER_CLIENT_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"
#include "proto/wire/wire.h"

// What a node with that folder speaks TLS with; NULL when it cannot be read.
struct tls_config *manager_client_tls(const char *folder, struct err *err);

// A client of the manager at `addr` ("host:port"), as that node; NULL when one of the two is wrong.
struct rpc_client *manager_client_new(struct loop *loop, const char *addr, const char *folder,
                                      struct err *err);

// One unary call.
struct manager_call {
    const char *path;
    const wire_type *response;
    const ProtobufCMessage *request; // NULL: an empty one
    int64_t timeout_ms;
    bool impatient;      // fails with the first attempt to connect
    struct arena *arena; // for the reply; NULL: not wanted
    void *reply;         // out
};

// Makes the call and runs the loop until it has ended: 0, or its status.
int manager_client_call(struct loop *loop, struct rpc_client *client, struct manager_call *call,
                        struct err *err);

// Closes it and runs the loop until it is closed.
void manager_client_close(struct loop *loop, struct rpc_client *client);

#endif
