// What a decoded message has to satisfy before other code sees it. Servers and clients run it once
// on every message from a peer (not on raft entries and snapshots: what the leader accepted has to
// be applied); nobody behind them checks these things again.
//
// Promised for every message that passed, to any depth:
//   - times are in their form: nanoseconds below one second, both parts of a duration of one sign;
//   - the rows of the table in validate.c hold: texts, lists and numbers within their bounds, the
//     fields whose absence a reader cannot stand present (a peer in a WeightedPeer, a message in a
//     StreamRaftMessageRequest, the target of a StoreAction ...);
//   - the entries of a raft MsgApp follow one another: indexes without gaps from index + 1, terms
//     that never fall and stay between logTerm and the message's term.
// Not promised, because the Control API answers with the texts clients know: whether specs make
// sense. Enum values may be unknown.
#ifndef PROTO_WIRE_VALIDATE_H
#define PROTO_WIRE_VALIDATE_H

#include "proto/base/err.h"

// Bounds, in bytes of text or elements of lists.
#define VALIDATE_ID_MAX        128    // ids of objects, nodes, sessions, containers
#define VALIDATE_NAME_MAX      255    // host names, gossip node and table names, DNS names
#define VALIDATE_ADDRESS_MAX   280    // host:port
#define VALIDATE_IP_MAX        64     // an address, with prefix length
#define VALIDATE_TOKEN_MAX     256    // join tokens
#define VALIDATE_CSR_MAX       16384  // bytes of PEM
#define VALIDATE_STATUS_MAX    65536  // texts of a task status
#define VALIDATE_TABLE_KEY_MAX 1024   // of a gossiped row
#define VALIDATE_TABLE_ROW_MAX 65536  // bytes of a gossiped row
#define VALIDATE_LIST_MAX      1024   // managers, plugins, aliases, pools
#define VALIDATE_PORTS_MAX     65536  // of one service
#define VALIDATE_KEYS_MAX      64     // bootstrap keys
#define VALIDATE_REPORTS_MAX   100000 // task statuses in one call
#define VALIDATE_ENTRIES_MAX   65536  // raft entries in one message

// INVALID_ARGUMENT, naming the field ("PortConfig.target_port: 70000; at most 65535"), when the
// message breaks a rule.
int validate_message(const void *message, struct err *err);

#endif
