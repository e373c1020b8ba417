// The networks of this node alone: the default bridge, those that users make, and the containers on
// them. Networks and who is on them are recorded below the data root, one file each, and made again
// at the start; containers that run keep theirs.
//
// Everything runs on the loop's thread. Making a network or a container's interface takes some
// milliseconds of netlink there; the packet filter follows in worker jobs.
#ifndef AGENT_NET_LOCALS_IO_H
#define AGENT_NET_LOCALS_IO_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/dns/feed_io.h"
#include "agent/net/local.h"
#include "agent/net/ports_io.h"
#include "agent/net/told.h"
#include "proto/base/err.h"
#include "proto/base/json.h"
#include "proto/base/loop_io.h"

struct locals;

struct locals_config {
    struct loop *loop;
    const char *dir;                       // of the records; made 0700
    const char *netns_dir;                 // for the pins of containers' namespaces; made
    struct dns_feed *feed;                 // borrowed; NULL: names are not told to anyone
    struct ports *ports;                   // borrowed until it is closed
    const struct local_defaults *defaults; // borrowed likewise; NULL: none
};

int locals_open(const struct locals_config *config, struct locals **out, struct err *err);

// The kernel keeps what it has. `closed` runs once, later.
void locals_close(struct locals *locals, void (*closed)(void *owner), void *owner);

// Who hears of what happens; NULL: nobody.
void locals_listen(struct locals *locals, net_told *told, void *owner);

// By name, id or unique beginning of an id; NULL when there is none.
const struct local *locals_find(const struct locals *locals, const char *name);

// Writes all as Docker network objects, host and none among them, into the open array; or one, with
// the containers on it: false, and nothing written, when there is none.
void locals_write(const struct locals *locals, struct json_out *out);
bool locals_write_one(const struct locals *locals, const char *name, struct json_out *out);

// The body of POST /networks/create; the id goes to `id`. Errors of local_of_body, ALREADY_EXISTS
// for a name in use, what the kernel says.
int locals_create(struct locals *locals, const json_t *body, char id[LOCAL_ID_BYTES],
                  struct err *err);
// PERMISSION_DENIED for one that has containers or is built in, NOT_FOUND.
int locals_remove(struct locals *locals, const char *name, struct err *err);

struct locals_wish {
    const char *container; // its id
    const char *name;      // its name
    const char *network;
    struct ipnet ip;         // none: any
    struct ipnet ip6;        // likewise, on networks with IPv6
    const uint8_t *mac;      // NULL: made of the address
    struct ports_row *ports; // to publish; `address` is filled in, `published` may be 0
    size_t ports_count;
    const json_t *names;      // as local_endpoint has it; may be NULL
    const char *const *taken; // names of interfaces there that are others'
    size_t taken_count;
};

// Puts a container on a network: with its first its namespace is made, whose path goes to `path`.
// One that is on it already (a restart of ours) is taken over. On an error nothing is left.
int locals_attach(struct locals *locals, const struct locals_wish *wish,
                  char path[LAYOUT_PLACE_BYTES], struct err *err);

// Takes it from one network, or (NULL) from all and its namespace away: it has ended. Harmless when
// there is nothing to take.
void locals_detach(struct locals *locals, const char *container, const char *network);

// The container's namespace, made if need be: for those that are on no local network, or not only.
int locals_space(struct locals *locals, const char *container, char path[LAYOUT_PLACE_BYTES],
                 struct err *err);

// Others have interfaces in the container's namespace, too. They see to its names as long as it is
// shared, and with `led` to its way out. Not shared: all is done here again.
void locals_share(struct locals *locals, const char *container, bool shared, bool led);

// What a container has on local networks, for those who share its namespace: the names of its
// interfaces and the ids of networks whose names it may ask for, valid until the next change.
// Returns how many.
size_t locals_eths(const struct locals *locals, const char *container, const char **out,
                   size_t most);
size_t locals_named(const struct locals *locals, const char *container, const char **out,
                    size_t most);
// The network that its way out is through, of two the one whose name comes first; NULL: none.
const struct local *locals_leader(const struct locals *locals, const char *container);

// Whether the container's names are answered at 127.0.0.11: it is on a network that a user made.
bool locals_answers(const struct locals *locals, const char *container);

// Whether the packet filter is still to be brought to what was said.
bool locals_busy(const struct locals *locals);

#endif
