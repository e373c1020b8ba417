// The DNS server of the resolver process: answers on the sockets of sandboxes from the names it was
// told, and asks name servers for the rest.
//
// What a container can do to others by asking is bounded per sandbox: DNS_PENDING_MAX questions
// wait for name servers, of which a quarter of the host's sockets is the most that are on their way
// (ask_io.h), and DNS_CONNECTIONS_MAX connections are open. What is too much gets REFUSED at once.
// Nothing of a sandbox whose networks are all internal ever leaves.
#ifndef AGENT_DNS_DNS_IO_H
#define AGENT_DNS_DNS_IO_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/channel_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define DNS_PENDING_MAX     512   // questions of one sandbox to name servers
#define DNS_CONNECTIONS_MAX 64    // TCP connections of one sandbox
#define DNS_PIPELINE_MAX    32    // open questions of one connection
#define DNS_IDLE_MS         10000 // of a connection without a whole question

struct dns_server;

// What it has done, since it was opened.
struct dns_counters {
    uint64_t questions;
    uint64_t answered;  // from the names, errors of the asker included
    uint64_t forwarded; // given to name servers
    uint64_t failed;    // of those: no server answered
    uint64_t refused;   // too many at a time
    uint64_t dropped;   // no question, or the reply could not be sent
};

// An empty server. `seed` decides in which order addresses are given.
struct dns_server *dns_server_open(struct loop *loop, uint64_t seed);

// Closes every socket; the memory of the handles goes back when the loop has closed them. NULL is
// harmless.
void dns_server_close(struct dns_server *server);

// Takes a message of the feed (feed.h) with its descriptors: makes the change. An error says why
// nothing has changed; the server goes on.
int dns_server_take(struct dns_server *server, const struct channel_message *message,
                    struct err *err);

const struct dns_counters *dns_server_counters(const struct dns_server *server);
// Appends these as Prometheus' text.
void dns_server_figures(const struct dns_server *server, struct buf *out);

#endif
