// The two rows that a node's gossip carries for each endpoint, packed and read. Pure; what is read
// comes from other nodes and is not trusted.
#ifndef AGENT_NET_RECORDS_H
#define AGENT_NET_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/overlay.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define RECORDS_NAMES_MAX 64
#define RECORDS_PORTS_MAX 1024
#define RECORDS_BYTES_MAX (64u << 10)

struct records_port {
    const char *name;
    uint8_t protocol; // 0 TCP, 1 UDP, 2 SCTP
    uint16_t target;
    uint16_t published;
};

// An endpoint of a task or container. Texts are borrowed, "" for none.
struct records_endpoint {
    const char *name;
    const char *service_name;
    const char *service_id;
    struct ipnet vip;                 // none in DNSRR mode and for plain containers
    struct ipnet ip;                  // alone, without its network's prefix
    const struct records_port *ports; // of the ingress network alone
    size_t ports_count;
    const char *const *aliases; // of the service
    size_t aliases_count;
    const char *const *task_aliases;
    size_t task_aliases_count;
    bool disabled; // it drains
};

void records_pack_endpoint(const struct records_endpoint *endpoint, struct buf *out);
void records_pack_peer(const struct overlay_peer *peer, struct buf *out);

// Everything lies in `arena`. INVALID_ARGUMENT for what stock nodes refuse too: no name, an address
// that is none; and for more names or ports than the limits.
int records_parse_endpoint(const void *bytes, size_t size, struct arena *arena,
                           struct records_endpoint *out, struct err *err);
// INVALID_ARGUMENT for addresses that are none or that no endpoint or node can have.
int records_parse_peer(const void *bytes, size_t size, struct overlay_peer *out, struct err *err);

#endif
