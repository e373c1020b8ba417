// What the files of a crate's networks share: crate_net_io.c, crate_share_io.c and
// crate_connect_io.c.
#ifndef AGENT_CRATE_CRATE_NET_PRIV_IO_H
#define AGENT_CRATE_CRATE_NET_PRIV_IO_H

#include "agent/attachments_io.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/net/ipnet.h"
#include "agent/net/ports.h"

#define CRATE_PORTS_MAX 4096

// crate_net_io.c: the networks it is to be on, the one its mode names first.
size_t crate_net_names(const struct crate *crate, const char *out[CRATE_NETWORKS_MAX]);
// Whether it is one of this node alone.
bool crate_net_is_local(const struct crate *crate, const char *network);
// Whether it is on one of the swarm, or about to be.
bool crate_net_is_shared(const struct crate *crate);
// What its configuration publishes; `rows` has room for CRATE_PORTS_MAX. INVALID_ARGUMENT.
int crate_net_ports(const struct crate *crate, struct ports_row *rows, size_t *count,
                    struct err *err);
// Whether a network of this node alone publishes its ports.
bool crate_net_publishes(const struct crate *crate);
// The addresses that were asked for. INVALID_ARGUMENT.
int crate_net_addresses(const struct crate *crate, const json_t *asked, struct ipnet *ip,
                        struct ipnet *ip6, uint8_t mac[MAC_BYTES], bool *has_mac, struct err *err);
// Joins one network of this node alone; the namespace's path goes into `path`.
int crate_net_join_one(struct crate *crate, const char *network, struct ports_row *rows,
                       size_t count, char path[LAYOUT_PLACE_BYTES], struct err *err);
// Joins all of those.
int crate_net_join_locals(struct crate *crate, struct err *err);
// crate_share_io.c: what it asks of one network of the swarm; in the arena.
int crate_net_wish(const struct crate *crate, const char *network, struct arena *arena,
                   struct attachment_wish *out, struct err *err);
// Lays the frame for its networks of the swarm: its namespace, names and ports.
int crate_net_share(const struct crate *crate, struct err *err);
// Notes the addresses that those networks gave.
void crate_net_note(struct crate *crate);

#endif
