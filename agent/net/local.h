// One network of this node alone (drivers bridge, macvlan, ipvlan): what a request asks for,
// checked; its addresses; and its record, which is the Docker network object. Pure.
#ifndef AGENT_NET_LOCAL_H
#define AGENT_NET_LOCAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/ipnet.h"
#include "agent/net/layout.h"
#include "agent/net/nftable.h"
#include "agent/net/ports.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

#define LOCAL_TABLE         "skep_local" // families ip and ip6
#define LOCAL_ID_BYTES      65
#define LOCAL_NAME_BYTES    256
#define LOCAL_NETWORKS_MAX  256
#define LOCAL_ENDPOINTS_MAX 4096     // of one network
#define LOCAL_DEFAULT       "bridge" // the name of the network that containers get unasked
#define LOCAL_DEFAULT_LINK  "skep0"  // its bridge; not docker0, which a stock daemon may have

// LOCAL_CONFIG is no network but what others are made from (docker network create --config-only).
enum local_driver { LOCAL_BRIDGE, LOCAL_MACVLAN, LOCAL_IPVLAN, LOCAL_CONFIG };

#define LOCAL_POOLS_MAX 8 // of one network
#define LOCAL_AUX_MAX   64

// Further subnets of a network: IPv6, and for macvlan and ipvlan more of IPv4.
struct local_pool {
    struct ipnet subnet;  // base
    struct ipnet gateway; // with the subnet's prefix
    struct ipnet range;   // none: the subnet
};

struct local_endpoint {
    char container[LOCAL_ID_BYTES];
    char name[LOCAL_NAME_BYTES]; // of the container
    char id[LOCAL_ID_BYTES];
    char eth[LAYOUT_NAME_BYTES]; // inside the container
    struct ipnet ip;             // with the subnet's prefix
    struct ipnet ip6;            // likewise; none
    uint8_t mac[MAC_BYTES];
    struct ports_row *ports; // published for it by this network
    size_t ports_count;
    json_t *names; // {"Aliases": [], "Servers": [], "Search": [], "Ndots": bool}; may be NULL
};

struct local {
    char id[LOCAL_ID_BYTES];
    char name[LOCAL_NAME_BYTES];
    enum local_driver driver;
    char link[LAYOUT_NAME_BYTES]; // bridge: its own; else the parent
    struct ipnet subnet;          // base
    struct ipnet gateway;         // with the subnet's prefix
    struct ipnet range;           // addresses are chosen from it; none: the subnet
    struct local_pool more[LOCAL_POOLS_MAX - 1];
    size_t more_count;
    bool six;                        // IPv6 too
    struct ipnet aux[LOCAL_AUX_MAX]; // addresses that are others'
    size_t aux_count;
    bool internal;   // no way out, no way in
    bool icc;        // containers reach each other
    bool masquerade; // with the host's address outside
    uint32_t mode;   // macvlan, ipvlan: of netlink_io.h
    uint32_t mtu;    // 0: the kernel's choice
    struct wall created;
    char from[LOCAL_NAME_BYTES]; // the network that it took its configuration from; ""
    json_t *asked;               // the request's IPAM, Options and Labels, as they came
    struct local_endpoint *endpoints;
    size_t endpoints_count;
};

// Where subnets of local networks are taken from: all of that size inside of the base, in order.
struct local_source {
    struct ipnet base;
    uint8_t prefix;
};

// What the operator says of local networks; all zero: nothing.
struct local_defaults {
    const struct local_source *sources; // none: Docker's
    size_t sources_count;
    struct ipnet bridge; // the default bridge's address and its subnet's prefix; none: any
    uint32_t mtu;        // of the default bridge; 0: 1500
};

// Makes a network of the body of POST /networks/create; its subnet is none when it is to be chosen.
// INVALID_ARGUMENT, UNIMPLEMENTED (naming it) for what it cannot be. NULL then.
struct local *local_of_body(const json_t *body, const char *id, struct wall now, struct err *err);
void local_free(struct local *local);

// Chooses the first subnet of the sources (none: Docker's) that touches none of these;
// RESOURCE_EXHAUSTED when all do. With a subnet that was asked for it looks whether that is free:
// FAILED_PRECONDITION. Fills in the gateway.
int local_choose(struct local *local, const struct local_defaults *defaults,
                 const struct ipnet *taken, size_t taken_count, struct err *err);

// Adds an endpoint with the address asked for (none: the first free one) and a MAC made of it
// unless `mac` is given. ALREADY_EXISTS for an address in use or a container that has one here,
// INVALID_ARGUMENT for one outside, RESOURCE_EXHAUSTED. Valid until the next change.
struct local_endpoint *local_attach(struct local *local, const char *container, const char *name,
                                    const struct ipnet *ip, const uint8_t *mac, struct err *err);
// Gives it an IPv6 address, too (none: the first free one); nothing on a network without.
// INVALID_ARGUMENT, ALREADY_EXISTS, RESOURCE_EXHAUSTED as above, and it stays without.
int local_attach6(struct local *local, struct local_endpoint *endpoint, const struct ipnet *ip,
                  struct err *err);
// The gateway of the subnet that holds the address; none for an address of none.
struct ipnet local_gateway(const struct local *local, const struct ipnet *ip);
struct local_endpoint *local_find(const struct local *local, const char *container);
void local_detach(struct local *local, const char *container);

const char *local_driver_name(enum local_driver driver);

// The id of "host" or "none", which are no networks of ours and the same everywhere.
void local_fixed_id(const char *name, char out[LOCAL_ID_BYTES]);

// The Docker network object, into an open array or as the only value. Endpoints only with `inside`.
void local_write(const struct local *local, bool inside, struct json_out *out);

// Its record on disk: the same with what else has to be known. NULL for what is no record.
void local_record(const struct local *local, struct json_out *out);
struct local *local_of_record(const json_t *record, struct err *err);

// What the packet filter should hold for all bridges together: their ways out, and no way from one
// to another but by published ports.
struct nftable *local_table(struct local *const *locals, size_t count);
// The same for IPv6.
struct nftable *local_table6(struct local *const *locals, size_t count);

#endif
