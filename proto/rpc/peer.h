// Who calls: the identity of the connection's other end, and of the node a manager forwards for
// (swarmkit.md section 7).
//
// An identity comes from the verified certificate of the TLS session, or from forwarded_* metadata
// when, and only when, the connection itself is a manager's. One hop is all there is: a forwarded
// call is never forwarded again (CVE-2026-115539: around a change of leader a second hop made a
// worker's call look like the manager's that passed it on).
#ifndef PROTO_RPC_PEER_H
#define PROTO_RPC_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/net/addr.h"
#include "proto/rpc/metadata.h"

// Room for "[address]:65535": a peer's address is never a name.
#define PEER_ADDR_BYTES 64

// The other end of a connection.
struct peer {
    bool local;                 // a unix socket: who may open it is the file system's business
    bool authenticated;         // showed a certificate that verified
    struct identity identity;   // when authenticated
    char addr[PEER_ADDR_BYTES]; // "ip:port"
};

// Roles as a set, for rows of method tables.
#define ROLE_WORKER  1u
#define ROLE_MANAGER 2u
#define ROLE_ANYONE  0u // no certificate needed, none looked at

// Who a call is from. Texts are borrowed from the peer and the call's metadata.
struct caller {
    const char *node_id;      // "" when unknown (ROLE_ANYONE without certificate, local)
    const char *org;          // the cluster's id, or ""
    const char *addr;         // where the node itself calls from
    unsigned roles;           // ROLE_...
    const char *forwarded_by; // node id of the manager in between, NULL for a direct call
    bool local;
};

// What a server holds calls against.
struct authority {
    const char *cluster_id; // the O that every certificate must have
    // Whether a node was removed: asked for the direct peer only. NULL: nobody was.
    bool (*removed)(void *ctx, const char *node_id);
    void *ctx;
};

// Finds out who calls and whether it has one of `roles`. PERMISSION_DENIED, in SwarmKit's words,
// when it has not. A local peer is allowed everything. With ROLE_ANYONE never fails: the caller is
// then filled as far as it is certain, and forwarded metadata that would be refused counts as none.
int caller_resolve(const struct peer *peer, const struct metadata *metadata, unsigned roles,
                   const struct authority *authority, struct caller *caller, struct err *err);

// The metadata a follower sends to the leader with the call: the caller's, without what was
// forwarded or is reserved, and the forwarded_* keys, remote_addr and redirect of this peer.
// RESOURCE_EXHAUSTED when the call was forwarded already. A local peer's call is sent without the
// forwarded_* keys, under this manager's own certificate.
int caller_forward(const struct peer *peer, const struct metadata *in, struct metadata *out,
                   struct err *err);

#endif
