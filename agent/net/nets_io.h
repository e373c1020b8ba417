// The networks of this node: a sandbox per container on them, the overlays' namespaces, the gateway
// bridge, and, in a swarm, what gossip says and is told of all this.
//
// Callers say what should be; what is there is read back, compared and repaired, after each change
// and on a slow timer, in worker jobs. So a restart needs no memory: what an earlier life left is
// taken over without a packet lost when it is asked for again, and taken away when it is not.
// Everything runs on the loop's thread; no callback runs inside the call that causes it.
#ifndef AGENT_NET_NETS_IO_H
#define AGENT_NET_NETS_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/dns/feed_io.h"
#include "agent/net/order.h"
#include "agent/net/ports_io.h"
#include "agent/net/told.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/json.h"
#include "proto/base/loop_io.h"
#include "proto/net/addr.h"
#include "proto/wire/dispatcher.pb-c.h"

// How long a container waits for the node's own addresses on its networks, and how often everything
// is compared with the kernel.
#define NETS_WAIT_MS  30000
#define NETS_AUDIT_MS 30000
#define NETS_RETRY_MS 1000
// After a restart: how long what sandboxes balance stays as it is, while others are asked for.
#define NETS_ADOPT_MS    5000
#define NETS_SANDBOX_MAX 16384
// How long a service goes without new connections to a container before it is told to stop: time
// for the word to go round.
#define NETS_DRAIN_MS 2000

struct nets;

struct nets_config {
    struct loop *loop;
    const char *dir;       // for the pins of namespaces: "<exec-root>/netns"
    struct dns_feed *feed; // NULL: names are not told to anyone
    struct ports *ports;   // borrowed until nets_close; NULL: no ports of the host
    struct relays *relays; // outlive the nets; NULL: published ports answer on IPv4 alone
    int64_t wait_ms;       // 0: NETS_WAIT_MS
    int64_t audit_ms;      // 0: NETS_AUDIT_MS
    int64_t adopt_ms;      // 0: NETS_ADOPT_MS
};

struct nets_counts {
    uint64_t jobs;      // worker jobs run
    uint64_t steps;     // changes made to the kernel
    uint64_t repairs;   // of these, what nobody here had asked for: drift
    uint64_t failures;  // places that could not be brought to what they should be; tried again
    uint64_t flows_cut; // connections to endpoints that were gone
    uint64_t networks, sandboxes, peers, records; // there are now
};

// Makes the folder and looks for what an earlier life left. Blocks shortly: at start-up.
int nets_open(const struct nets_config *config, struct nets **out, struct err *err);

// What is in the kernel stays. Any swarm has ended before. `closed` runs once, later.
void nets_close(struct nets *nets, void (*closed)(void *owner), void *owner);

// Who hears of what happens to networks of the swarm here; NULL: nobody.
void nets_listen(struct nets *nets, net_told *told, void *owner);

bool nets_busy(const struct nets *nets);
struct nets_counts nets_counts(const struct nets *nets);
// Appends these and gossip's as Prometheus' text, and the kernel's counters of networks, containers
// and published ports as the call before this one found them.
void nets_figures(struct nets *nets, struct buf *out);

// ---- what an earlier life left ------------------------------------------------------------------

// This container is there: its sandbox is kept until it is made again or removed. After all of them
// nets_sweep: sandboxes of other containers are taken away. Without the sweep nothing is.
void nets_keep(struct nets *nets, const char *container_id);
void nets_sweep(struct nets *nets);

// ---- sandboxes ----------------------------------------------------------------------------------

// `path` is the pinned network namespace, valid until the sandbox is removed; NULL with err.
typedef void nets_made(void *owner, const char *path, const struct err *err);
typedef void nets_done(void *owner, const struct err *err);

// Makes the sandbox of order->id as ordered (copied), or takes over the one that is there; done
// again for one that is made it only answers. `made` runs exactly once, with an error when it was
// removed meanwhile (CANCELLED), the node's addresses did not come in time (DEADLINE_EXCEEDED), the
// network is encrypted and the kernel turned out not to do that (FAILED_PRECONDITION), or the
// kernel refused; nothing is left of it then. FAILED_PRECONDITION at once while not in a swarm, or
// when it is known that the kernel cannot encrypt, and ALREADY_EXISTS for a port of the host that
// is taken; `made` does not run then. `adopt`: its container runs already; nothing is waited for.
//
// A sandbox whose namespace is shared (order->share) may change: made again with another order it
// loses the networks that are no more in it and gets those that are new, without the others
// noticing. An error leaves it as it was, but for the one that `made` tells.
int nets_sandbox_make(struct nets *nets, const struct order *order, bool adopt, nets_made *made,
                      void *owner, struct err *err);

enum nets_serve {
    NETS_SERVE_NOT,   // it has an address, and no name
    NETS_SERVE_SELF,  // its names answer on this node; nobody's connections are led to it yet
    NETS_SERVE_READY, // its names answer and its services' connections reach it
    NETS_SERVE_DRAIN, // no new connections; open ones go on
};

// Harmless for a container without sandbox.
void nets_sandbox_serve(struct nets *nets, const char *container_id, enum nets_serve serve);
bool nets_sandbox_is_served(const struct nets *nets, const char *container_id);

// Whether the resolver was told the names of all that was said until now.
bool nets_names_told(const struct nets *nets);

// Takes the sandbox away, at once from others' sight. One that is not there is no error. `done`
// (may be NULL) runs once.
void nets_sandbox_remove(struct nets *nets, const char *container_id, nets_done *done, void *owner);

// The host's ports that lead to it, in the order's order, with those that were chosen; valid until
// the next call. NULL and *count 0 for none.
const struct ports_row *nets_sandbox_ports(const struct nets *nets, const char *container_id,
                                           size_t *count);

// Gives its ports of the host back: the container ended, and may lie there for long. Harmless for
// one without.
void nets_sandbox_unpublish(struct nets *nets, const char *container_id);

// Names of its interfaces, valid until the sandbox changes; returns how many.
size_t nets_sandbox_eths(const struct nets *nets, const char *container_id, const char **out,
                         size_t most);

// Path of the container's namespace; NULL for one without a made sandbox.
const char *nets_sandbox_path(const struct nets *nets, const char *container_id);

// Looks at the ways to the other nodes (at most some seconds) and at what is in the kernel, which
// is repaired on that occasion. `done` runs once, later, with a JSON array of the rows of checkup.h
// (valid during the call), or an error.
typedef void nets_checked(void *owner, const char *rows, const struct err *err);
void nets_checkup(struct nets *nets, nets_checked *done, void *owner);

// The same by all nodes of ours that are in the swarm, each from its side, within 6 s.
void nets_survey(struct nets *nets, nets_checked *done, void *owner);

// ---- the swarm ----------------------------------------------------------------------------------

struct nets_swarm {
    const char *node_id;
    struct addr bind;      // of gossip
    struct addr advertise; // how others reach it
    struct addr data_path; // where tunnels end here; kind ADDR_NAME: as `advertise`
};

// Starts gossip: the errors of gossip_open.
int nets_swarm_begin(struct nets *nets, const struct nets_swarm *swarm, struct err *err);

// What the manager says of this node: its addresses on networks, the managers, the keys.
void nets_session(struct nets *nets, const Swarm__SessionMessage *message);

// Ends gossip; with `leave` others are told and the swarm's networks are taken away (its containers
// are gone), else it is a restart. `ended` runs once, later.
void nets_swarm_end(struct nets *nets, bool leave, void (*ended)(void *owner), void *owner);

// ---- for people: nets_show_io.c -----------------------------------------------------------------

// The networks that the manager last said this node takes part in; each is valid for its call.
void nets_networks(const struct nets *nets, void (*visit)(void *owner, const Swarm__Network *it),
                   void *owner);

// Writes the members "Containers", "Peers" and, with `verbose`, "Services" of a Docker network
// object. False, and nothing written, when this node takes no part in the network.
bool nets_write_use(const struct nets *nets, const char *network_id, bool verbose,
                    struct json_out *out);

// What a container's sandbox has; valid for the call. NULL network: the gateway bridge.
struct nets_end {
    const char *network_id, *network_name;
    const char *endpoint_id;
    const struct ipnet *ip;
    const struct ipnet *gateway; // none: no way out by this one
    const uint8_t *mac;
};

// Walks the ends of a sandbox that is made; none for a container without one.
void nets_sandbox_ends(const struct nets *nets, const char *container_id,
                       void (*visit)(void *owner, const struct nets_end *end), void *owner);

// The gateway bridge under the name that users know: whether there is one (some sandbox needs it),
// and whether a name or the beginning of an id means it. Its containers only with `inside`.
#define NETS_GATEWAY "docker_gwbridge"
bool nets_has_gateway(const struct nets *nets);
bool nets_is_gateway(const struct nets *nets, const char *name);
void nets_write_gateway(const struct nets *nets, bool inside, struct json_out *out);

#endif
