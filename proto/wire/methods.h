// Every gRPC method of a swarm, and ours beside them (skep.proto): what it takes and gives, who may
// call it, and who answers. Servers and clients route, decode, authorise and forward by this table
// and by nothing else (swarmkit.md, sections 7 and 20 to 23).
#ifndef PROTO_WIRE_METHODS_H
#define PROTO_WIRE_METHODS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/wire/wire.h"

// Longest path in the table, terminator not counted: a bound for whoever reads one from a peer.
#define METHOD_PATH_MAX 64

// Which side sends more than one message. Nothing in a swarm streams both ways.
enum method_kind {
    METHOD_UNARY,
    METHOD_SERVER_STREAM, // one request, many responses
    METHOD_CLIENT_STREAM, // many requests, one response
};

// Who may call it over TCP, by the OU of the verified certificate.
enum method_callers {
    METHOD_OPEN,     // anyone, without a certificate too: root, first certificate
    METHOD_NODES,    // OU swarm-worker or swarm-manager
    METHOD_MANAGERS, // OU swarm-manager
};

// What a manager that is not the leader does with a call that came in over TCP.
enum method_follower {
    METHOD_ANSWERED,  // answers it itself (writes then fail: it is not the leader)
    METHOD_FORWARDED, // proxies it to the leader, with the forwarded_* metadata
};

// What the manager's local socket, where only its own engine and agent call, does with it.
enum method_local {
    METHOD_LOCAL_FORWARD, // answers when it leads, forwards to the leader otherwise
    METHOD_LOCAL_LOCAL,   // always answers itself
    METHOD_LOCAL_ABSENT,  // not offered: UNIMPLEMENTED
};

struct method {
    const char *path;    // "/docker.swarmkit.v1.CA/GetUnlockKey", as in :path
    const char *service; // "docker.swarmkit.v1.CA"
    const char *name;    // "GetUnlockKey"
    const wire_type *request;
    const wire_type *response;
    enum method_kind kind;
    enum method_follower follower;
    enum method_callers callers;
    enum method_local local;
};

// All of them, ordered by path.
extern const struct method method_table[];
extern const size_t method_table_count;

// The method of that path, or NULL for none.
const struct method *method_find(const char *path);

// True when the service ("docker.swarmkit.v1.CA") has any method: tells "unknown service" from
// "unknown method" (swarmkit.md 1.2).
bool method_service_known(const char *service);

// True when a certificate with the given OU may call it ("" or NULL: no certificate).
bool method_allows(const struct method *method, const char *ou);

#endif
