// The names that a node's containers can ask for: per network from records of endpoints, seen by a
// sandbox through the networks it is attached to.
//
// A record (what gossip or an assignment says of one endpoint) yields these names on its network:
//   its name and aliases (task aliases, container ID, hostname)  -> its addresses
//   the service and the service's aliases                        -> the virtual address, or its
//                                                                   addresses when there is none
//   tasks.<service>, tasks.<service alias>                       -> its addresses
// While a record drains, its names still exist but have no address; the virtual address stays.
// Names that do not fit into DNS (a label of more than 63 bytes) are left out: nobody can ask.
//
// Pure; one owner. Answers are shuffled with a seeded generator.
#ifndef AGENT_DNS_NAMES_H
#define AGENT_DNS_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/dns/dns_msg.h"

#define NAMES_NETWORKS_MAX         4096u   // in the table
#define NAMES_SANDBOXES_MAX        16384u  // in the table
#define NAMES_SANDBOX_NETWORKS_MAX 128u    // of one sandbox
#define NAMES_RECORDS_MAX          131072u // of one network
#define NAMES_ALIASES_MAX          64u     // of each kind in one record
#define NAMES_IPS_MAX              2u      // addresses of one record: IPv4 and IPv6

struct names;
struct names_sandbox;

struct names_ip {
    uint8_t size; // 4 or 16; 0 = no address
    uint8_t bytes[16];
};

// One endpoint on one network. Everything is copied.
struct names_record {
    const char *endpoint;       // its ID
    const char *name;           // container name; NULL or "" = none
    const char *service;        // service name; NULL or "" = none
    const char *const *aliases; // of the endpoint alone
    size_t aliases_count;
    const char *const *service_aliases; // of the service on this network; unused without service
    size_t service_aliases_count;
    struct names_ip vips[NAMES_IPS_MAX]; // all of size 0: none (DNSRR)
    struct names_ip ips[NAMES_IPS_MAX];
    bool draining;
};

struct names *names_new(uint64_t seed);
void names_free(struct names *names);

// Adds a network, or gives it another name or kind. `internal` networks lead nowhere else.
// RESOURCE_EXHAUSTED past NAMES_NETWORKS_MAX.
int names_network_put(struct names *names, const char *id, const char *name, bool internal,
                      struct err *err);

// Removes the network, its records, and it from sandboxes. False when there is none.
bool names_network_remove(struct names *names, const char *id);

// Adds the record, or replaces the one of the same endpoint on that network. On an error nothing
// has changed: NOT_FOUND (network), RESOURCE_EXHAUSTED (limits), INVALID_ARGUMENT (address size, no
// endpoint ID).
int names_record_put(struct names *names, const char *network, const struct names_record *record,
                     struct err *err);
bool names_record_remove(struct names *names, const char *network, const char *endpoint);
size_t names_record_count(const struct names *names, const char *network);

// Says which networks a sandbox sees, in the order of search; adds the sandbox if it is new. On an
// error nothing has changed: NOT_FOUND (network), RESOURCE_EXHAUSTED.
int names_sandbox_put(struct names *names, const char *id, const char *const *networks,
                      size_t networks_count, struct err *err);
bool names_sandbox_remove(struct names *names, const char *id);

// The sandbox, valid until it is removed; NULL when there is none.
const struct names_sandbox *names_sandbox_get(const struct names *names, const char *id);

// True when one of its networks is not internal.
bool names_sandbox_external(const struct names_sandbox *sandbox);

struct names_answer {
    const struct names_ip *ips; // the first `count` of a fresh shuffle; valid until the next call
    size_t count;
};

// Looks a name up as the sandbox sees it: as it stands on each network, then with its end taken for
// a network's name, longest name first. The first network that has addresses answers. True when the
// name exists, be it without an address of that size (4 or 16). At most `max` addresses are given.
bool names_lookup(struct names *names, const struct names_sandbox *sandbox,
                  const struct dns_name *name, uint8_t ip_size, size_t max,
                  struct names_answer *out);

// <name>.<network> of the endpoint that has the address on one of the sandbox's networks. False for
// virtual addresses, for endpoints without name, and while they drain.
bool names_reverse(const struct names_sandbox *sandbox, const struct names_ip *ip,
                   struct dns_name *out);

#endif
