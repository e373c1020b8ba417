// Which nodes bring answers back: what Skep nodes tell each other on the ingress network, so that
// the client's address is left in a packet only when the other side is ready for it. Pure.
//
// Stock tables do not say who is a Skep node. So each publishes one small row in a table of ours
// (gossip.md 11; stock nodes carry it and look at nothing): its ingress address, a number drawn
// at start, and a digest of the nodes it brings answers back to. An entry node that finds its own
// digest in the row of another knows that it is among these, and remembers it while that row's
// number stays the same. Until then it replaces the address, which always works. Order is thus kept
// without a message to anyone: the task's side first, the entry's side second.
#ifndef AGENT_NET_MESH_NODES_H
#define AGENT_NET_MESH_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

// The private table on the ingress network. A row's key is the node's id.
#define MESH_NODES_TABLE     "skep_mesh"
#define MESH_RECORD_BYTES    17 // version, address, life, digest
#define MESH_RECORD_VERSION  1
#define MESH_NODES_COUNT_MAX 16384

// Answers are still brought back to a node this long after its row is gone: the row may only have
// been lost here, and the node does not know.
#define MESH_NODES_GRACE_MS 600000

struct mesh_record {
    uint32_t address; // on the ingress network, host byte order
    uint32_t life;    // drawn when the node started
    uint64_t digest;  // of the nodes it brings answers back to
};

void mesh_record_pack(const struct mesh_record *record, uint8_t out[MESH_RECORD_BYTES]);

// INVALID_ARGUMENT for what is no record of a version we know. A newer version has to begin the
// same way and may be longer.
int mesh_record_parse(const void *bytes, size_t size, struct mesh_record *out, struct err *err);

struct mesh_nodes;

// `address` 0 while the node has none on the ingress network.
struct mesh_nodes *mesh_nodes_new(uint32_t life);
void mesh_nodes_free(struct mesh_nodes *nodes);

void mesh_nodes_own(struct mesh_nodes *nodes, uint32_t address);

// Level-triggered: begin, one call for each row of others, end. Rows that do not parse and rows
// past the limit are passed over. True from end when what the functions below say has changed.
void mesh_nodes_begin(struct mesh_nodes *nodes);
void mesh_nodes_row(struct mesh_nodes *nodes, const struct mesh_record *record);
bool mesh_nodes_end(struct mesh_nodes *nodes, struct mono now);

// Forgets nodes whose grace is over; true when there were some. *due is the next time.
bool mesh_nodes_expire(struct mesh_nodes *nodes, struct mono now, struct mono *due);

// The nodes this one has to bring answers back to, itself among them: sorted, valid until the next
// call that changes. For mesh_task_table.
const uint32_t *mesh_nodes_addresses(const struct mesh_nodes *nodes, size_t *count);

// Once all local tasks bring answers back to these nodes: what to publish. False when there is
// nothing to say (no address).
bool mesh_nodes_record(const struct mesh_nodes *nodes, struct mesh_record *out);

// Whether the tasks of the node with this ingress address see the client's address when it comes in
// here. Always so for the node itself.
bool mesh_nodes_keeps(const struct mesh_nodes *nodes, uint32_t address);

#endif
