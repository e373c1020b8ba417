// What the node process tells the resolver process: the names there are, the sandboxes that may ask
// for them, and the sockets to do it with. Pure: texts of messages, packed and read.
//
// One message is one change, in the order in which the changes have to be made. Texts that DNS
// cannot say (longer than FEED_TEXT_BYTES_MAX) travel as "", which means "no such name".
#ifndef AGENT_DNS_FEED_H
#define AGENT_DNS_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/dns/names.h"
#include "agent/dns/resolver.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/channel_frame.h"
#include "proto/base/err.h"

// Types 32 to 47 of a channel are the feed's.
enum feed_type {
    FEED_NETWORK_PUT = 32,
    FEED_NETWORK_REMOVE = 33,
    FEED_RECORD_PUT = 34,
    FEED_RECORD_REMOVE = 35,
    FEED_SANDBOX_PUT = 36,
    FEED_SANDBOX_REMOVE = 37,
    FEED_SOCKETS = 38, // with descriptors
};

#define FEED_ID_BYTES_MAX      128u // of a network, an endpoint, a sandbox
#define FEED_TEXT_BYTES_MAX    255u // of a name
#define FEED_MESSAGE_BYTES_MAX (48u * 1024u)
#define FEED_ARENA_BYTES       (256u * 1024u) // what reading the largest message takes at most

// A name server that unknown names are forwarded to.
struct feed_server {
    struct names_ip ip;
    uint16_t port; // not 0
    bool inside;   // asked from inside the sandbox; else from the host's own namespace
};

// A sandbox and its settings. Texts and lists are borrowed.
struct feed_sandbox {
    const char *id;
    const char *const *networks; // IDs, in the order of search
    size_t networks_count;       // at most NAMES_SANDBOX_NETWORKS_MAX
    const char *const *search;   // its search domains; those that are no names are left out
    size_t search_count;         // at most RESOLVER_SEARCH_MAX
    struct feed_server servers[RESOLVER_UPSTREAMS_MAX]; // in the order of asking
    size_t servers_count;
    bool ndots_set; // as struct resolver_policy has it
};

// What the descriptors of a FEED_SOCKETS message are. Their families and types show on themselves.
enum feed_sockets {
    FEED_SOCKETS_ANSWER = 1, // bound inside the sandbox: one UDP, one listening TCP
    FEED_SOCKETS_ASK = 2,    // fresh, in the namespace that servers are asked from
};

struct feed_message {
    enum feed_type type;
    const char *network;         // NETWORK_*, RECORD_*: its ID
    const char *name;            // NETWORK_PUT
    bool internal;               // NETWORK_PUT
    struct names_record record;  // RECORD_PUT all of it, RECORD_REMOVE `endpoint` alone
    struct feed_sandbox sandbox; // SANDBOX_PUT all of it, SANDBOX_REMOVE and SOCKETS `id` alone;
                                 // SOCKETS with "" as ID are the host's
    enum feed_sockets sockets;   // SOCKETS
};

// The rows of a channel's rules for what the resolver takes; a table of rules holds them.
#define FEED_ROW(row_type, row_name, max)                                                          \
    {                                                                                              \
        .type = row_type, .name = row_name, .bytes_min = 1, .bytes_max = max                       \
    }
#define FEED_ROWS_FROM_NODE                                                                        \
    FEED_ROW(FEED_NETWORK_PUT, "network-put", 512),                                                \
        FEED_ROW(FEED_NETWORK_REMOVE, "network-remove", 256),                                      \
        FEED_ROW(FEED_RECORD_PUT, "record-put", FEED_MESSAGE_BYTES_MAX),                           \
        FEED_ROW(FEED_RECORD_REMOVE, "record-remove", 512),                                        \
        FEED_ROW(FEED_SANDBOX_PUT, "sandbox-put", FEED_MESSAGE_BYTES_MAX),                         \
        FEED_ROW(FEED_SANDBOX_REMOVE, "sandbox-remove", 256),                                      \
    {                                                                                              \
        .type = FEED_SOCKETS, .name = "sockets", .bytes_min = 1, .bytes_max = 256, .fds_min = 1,   \
        .fds_max = CHANNEL_FDS_MAX                                                                 \
    }

// Says whether a message can carry it. INVALID_ARGUMENT for IDs that are empty or too long, for
// addresses of odd sizes and servers without port; RESOURCE_EXHAUSTED past the limits. `what` says
// whose ID it is.
int feed_check_id(const char *what, const char *id, struct err *err);
int feed_check_record(const struct names_record *record, struct err *err);
int feed_check_sandbox(const struct feed_sandbox *sandbox, struct err *err);

// Appends the message's payload. What it holds has passed the checks above, and the buf has room
// for FEED_MESSAGE_BYTES_MAX more bytes.
void feed_pack(struct buf *out, const struct feed_message *message);

// Reads a payload that feed_pack made; everything in *out then lies in `arena`, whose limit is at
// least FEED_ARENA_BYTES. INVALID_ARGUMENT for anything that feed_pack does not make.
int feed_parse(uint16_t type, const void *payload, size_t size, struct arena *arena,
               struct feed_message *out, struct err *err);

#endif
