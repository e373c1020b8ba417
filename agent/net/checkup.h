// What is wrong between this node and the others, from what was seen: verdicts, each with a cure.
// Pure: probes and counts in, rows out.
#ifndef AGENT_NET_CHECKUP_H
#define AGENT_NET_CHECKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/json.h"

#define CHECKUP_NODES_MAX 32   // looked at
#define CHECKUP_SIZES     7    // of packets sent whole
#define CHECKUP_SKEW_MS   2000 // of clocks, at most
#define CHECKUP_NAME      64

extern const uint16_t checkup_sizes[CHECKUP_SIZES]; // biggest first; 0: what the networks need

// What was heard.
enum heard {
    HEARD_NOT_ASKED,
    HEARD_NOTHING,
    HEARD_REFUSAL,
    HEARD_ANSWER,
};

// Another node, from here.
struct checkup_node {
    char name[CHECKUP_NAME];    // its address, as far as nothing better is known
    char address[CHECKUP_NAME]; // of the tunnel's other end
    bool manager;
    enum heard gossip_tcp, manager_tcp;
    bool gossip_udp_silent;     // its pings are answered by TCP alone
    enum heard echo;            // of the host
    uint16_t needed;            // bytes of a full packet of the largest network, outside; 0: none
    uint16_t passed;            // the biggest that came back whole; 0: none
    char network[CHECKUP_NAME]; // that needs it
    enum heard tunnel, tunnel_full, tunnel_tcp; // an endpoint there, in a plain network
    char plain[CHECKUP_NAME];                   // that network
    enum heard sealed;                          // and in an encrypted one
    char secret[CHECKUP_NAME];
    enum heard clock;
    int64_t ahead_ms;
    char source[CHECKUP_NAME]; // the address that tunnels are sent from
};

// What was not as the manager and gossip say, on one network or in one container.
struct checkup_drift {
    char place[CHECKUP_NAME];
    size_t links, addresses, routes, neighbours, forwarding, balancer, others;
};

struct checkup {
    char self[CHECKUP_NAME];   // this node
    char source[CHECKUP_NAME]; // the address it told others that its tunnels come from
    uint16_t port;             // of the data path
    const struct checkup_node *nodes;
    size_t nodes_count, nodes_left_out;
    const struct checkup_drift *drifts;
    size_t drifts_count;
    size_t networks, containers; // compared
    size_t repairs;              // since the start
    size_t names_asked, names_wrong;
    char name_wrong[CHECKUP_NAME];
    const char *blocked_by; // chains of other programs; "" for none
};

// Appends an object for each row to the open array: {"Node", "Peer", "Verdict" ("ok", "note",
// "bad"), "Check", "Found", "Cure"}.
void checkup_write(const struct checkup *checkup, struct json_out *out);

#endif
