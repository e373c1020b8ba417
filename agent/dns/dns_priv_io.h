// What the parts of the DNS server share: a sandbox, its two front sides (UDP and TCP), and the
// questions that wait for name servers. Only for agent/dns/dns_*_io.c.
#ifndef AGENT_DNS_DNS_PRIV_IO_H
#define AGENT_DNS_DNS_PRIV_IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/dns/ask_io.h"
#include "agent/dns/dns_io.h"
#include "agent/dns/feed.h"
#include "agent/dns/names.h"
#include "agent/dns/resolver.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

struct dns_udp;
struct dns_tcp;
struct dns_conn;

// Where a question came from.
struct dns_origin {
    struct dns_conn *conn;   // over TCP; NULL over UDP
    struct sockaddr_in peer; // over UDP
};

// A question that waits for name servers.
struct dns_pending {
    unsigned magic;
    struct list link;      // in its sandbox
    struct list conn_link; // in its connection, if any
    struct dns_sandbox *sandbox;
    struct dns_origin origin;
    struct dns_msg query;
    struct ask *ask;
};

struct dns_sandbox {
    unsigned magic;
    struct dns_server *server;
    char *id;
    const struct names_sandbox *names;
    struct resolver_policy policy;
    struct dns_name *search;
    struct feed_server servers[RESOLVER_UPSTREAMS_MAX];
    struct ask_pool *pool; // inside the sandbox; NULL until it has sockets
    struct ask_door outside, inside;
    struct list pendings;
    size_t pendings_count;
    struct dns_udp *udp; // NULL until it has sockets
    struct dns_tcp *tcp;
};

// How many UDP messages are taken and answered with one system call.
#define DNS_BATCH 32

struct dns_server {
    unsigned magic;
    struct loop *loop;
    struct names *names;
    struct map sandboxes;  // ID -> struct dns_sandbox
    struct ask_pool *pool; // the host's
    struct dns_counters counters;
    struct buf reply;              // one at a time
    struct buf replies[DNS_BATCH]; // of a batch over UDP
    uint8_t questions[DNS_BATCH][DNS_QUERY_BYTES];
};

// Takes one question; a reply that can be given at once is in `reply` afterwards, else that is
// empty and the reply comes later (dns_udp_reply, dns_conn_reply), or never.
void dns_question(struct dns_sandbox *sandbox, const uint8_t *bytes, size_t size,
                  const struct dns_origin *origin, struct buf *reply);

// Nobody waits for it any more.
void dns_pending_drop(struct dns_pending *pending);

// ---- UDP ----------------------------------------------------------------------------------------

// Serves the socket, which is taken. NULL, with *err, when it is no UDP socket.
struct dns_udp *dns_udp_open(struct dns_sandbox *sandbox, int fd, struct err *err);
void dns_udp_close(struct dns_udp *udp);
void dns_udp_reply(struct dns_udp *udp, const struct sockaddr_in *peer, const struct buf *reply);

// ---- TCP ----------------------------------------------------------------------------------------

struct dns_tcp *dns_tcp_open(struct dns_sandbox *sandbox, int fd, struct err *err);
void dns_tcp_close(struct dns_tcp *tcp);

// The reply to a question that waited, which is in the connection's list no more.
void dns_conn_reply(struct dns_conn *conn, const struct buf *reply);

// A question of the connection waits, or does no more.
void dns_conn_pending(struct dns_conn *conn, struct dns_pending *pending);

#endif
