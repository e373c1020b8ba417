// What the allocator knows, shared by the files of the room. Internal to the room.
#ifndef MANAGER_ALLOC_STATE_H
#define MANAGER_ALLOC_STATE_H

#include "manager/alloc/alloc.h"
#include "manager/alloc/ipam.h"
#include "manager/alloc/ports.h"
#include "manager/alloc/vni.h"
#include "proto/base/list.h"

struct net;

struct subnet {
    struct ipam ipam;
    struct net *net;
    struct map shared; // offset -> how many hold it beside the first, as number
};

// One address held. Whoever has a holding has the address; there are no two, but for tasks that
// another leader gave one address: the address is free when the last of them gives it back.
struct holding {
    struct subnet *subnet;
    uint64_t offset;
};

struct holdings {
    struct holding *list;
    size_t count;
};

// A network. It outlives its object while addresses of it rest.
struct net {
    bool exists;
    bool allocated;
    bool local; // lives on each node by itself: no addresses of ours
    bool ingress;
    Swarm__Network *message; // embedded in attachments; NULL unless allocated
    char *name;
    struct subnet *subnets;
    size_t subnets_count;
    uint32_t *vnis;
    size_t vnis_count;
    size_t held; // holdings out, and tasks attached
    char id[];
};

struct svc {
    struct holdings vips;
    bool ready; // its endpoint is as its spec wants it
    char *err;  // why it is not; NULL while not tried
    char id[];
};

struct nod {
    bool exists;
    bool ready;
    struct map tasks;     // net pointer as number -> tasks on the node that use it
    struct holdings held; // one per attachment
    char id[];
};

// A task that holds addresses or uses networks.
struct tsk {
    struct holdings held;
    struct net **nets; // overlay networks it is attached to
    size_t nets_count;
    struct nod *node; // counted there
    bool ran;         // an agent may have started it
    bool doubled;     // not with an agent yet, and to get an address that it does not share
    char id[];
};

// Addresses of somebody who may still live.
struct resting {
    struct list link;
    struct holding holding;
    struct mono due;
    bool away; // until its node comes back
    bool own;  // the node's, not a task's: the node may have it back
    char node_id[];
};

// Ids to look at: `wanted` in the next run, `blocked` when something was given back or after
// ALLOC_RETRY_NS.
struct queue {
    struct map wanted;
    struct map blocked; // id -> the reason told last (heap)
};

struct alloc {
    struct map nets;
    struct map svcs;
    struct map nods;
    struct map tsks;
    struct queue net_queue;
    struct queue svc_queue;
    struct queue nod_queue;
    struct queue tsk_queue;
    struct vnis vnis;
    struct ports ports;
    struct net *ingress; // the routing mesh's network, once known
    struct list resting;
    uint64_t addresses;
    uint64_t resting_count;
    struct prefix *pools;
    size_t pools_count;
    unsigned subnet_bits;
    bool freed;        // something was given back since the last run
    bool served;       // a service is ready since then: tasks may wait for it
    uint64_t looks;    // at objects, so far
    struct mono wake;  // MONO_NEVER: nothing new
    struct mono retry; // when the blocked ones are looked at anyway
};

// One run's way of writing: begins transactions as needed.
struct writer {
    struct alloc *alloc;
    struct store *store;
    struct wall now;
    struct mono tick;
    struct txn *txn;
    size_t looks; // objects looked at in the present transaction
};

// ---- alloc.c -----------------------------------------------------------------------------------

void queue_want(struct queue *queue, const char *id);
void queue_forget(struct queue *queue, const char *id);

// Sets the id aside; true when the reason is news.
bool queue_block(struct queue *queue, const char *id, const char *reason);

struct net *net_find(const struct alloc *alloc, const char *id); // existing ones only
struct net *net_get(struct alloc *alloc, const char *id);
struct svc *svc_get(struct alloc *alloc, const char *id);
struct nod *nod_get(struct alloc *alloc, const char *id);
void nod_release(struct alloc *alloc, struct nod *nod);

// ---- hold.c ------------------------------------------------------------------------------------

// The subnet of the network (existing or resting) that has the address.
struct subnet *net_subnet(const struct net *net, const struct prefix *address);

// Takes the next address of the network, or the one asked for; *text (in `arena`) is its CIDR.
// RESOURCE_EXHAUSTED, FAILED_PRECONDITION or INVALID_ARGUMENT, naming the network.
int hold_take(struct alloc *alloc, struct net *net, const char *wanted, struct arena *arena,
              struct holding *out, const char **text, struct err *err);

// Takes what is stored. False when somebody has it, or it belongs nowhere.
bool hold_claim(struct alloc *alloc, struct net *net, const char *text, struct holding *out);

// Takes what is stored beside whoever has it. False when nobody has, or it belongs nowhere.
bool hold_share(struct alloc *alloc, struct net *net, const char *text, struct holding *out);
bool hold_is_shared(struct holding holding);
void hold_release(struct alloc *alloc, struct holding holding);

// Lets it rest until then.
void hold_rest(struct alloc *alloc, struct holding holding, const char *node_id, bool away,
               struct mono due);

// Gives back what has rested enough; when a node came back, its addresses rest a little longer.
// The same for an address of the node itself; and takes it back for that node. False when none of
// that network rests.
void rest_own(struct alloc *alloc, struct holding holding, const char *node_id, struct mono due);
bool rest_take_back(struct alloc *alloc, const char *node_id, const struct net *net,
                    struct holding *out);
void rest_expire(struct alloc *alloc, struct mono tick);
void rest_node_back(struct alloc *alloc, const char *node_id, struct mono tick);
struct mono rest_due(const struct alloc *alloc);

void holdings_add(struct holdings *holdings, struct holding holding);
void holdings_release(struct alloc *alloc, struct holdings *holdings);

// CIDR of a holding, in `arena`.
const char *holding_text(struct holding holding, struct arena *arena);

// The *_allocate functions look at one id and write what is missing: 0, ALLOC_BLOCKED when
// something cannot be had now (the reason is set aside in the queue), negative when the transaction
// fails.
#define ALLOC_BLOCKED 1

// ---- pools.c -----------------------------------------------------------------------------------

// The pools as the cluster object has them.
void pools_set(struct alloc *alloc, const struct object *cluster);

// The network that has part of this one, with its subnet; NULL when none.
const struct subnet *pools_overlap(const struct alloc *alloc, const struct prefix *network);

// A subnet nobody asked for by name. The routing mesh's own comes from the far end: people and
// guides type the near one.
bool pools_choose(const struct alloc *alloc, bool from_end, struct prefix *out);

// FAILED_PRECONDITION, with both subnets and the name of the network that was met.
int pools_overlap_error(const struct prefix *wanted, const struct prefix *met, const char *name,
                        struct err *err);

// ---- network.c, service.c, node.c, task.c ------------------------------------------------------

// Takes over the stored object; what it says is allocated is claimed when it is news.
void net_set(struct alloc *alloc, const struct object *object);
void net_unset(struct alloc *alloc, const char *id);
void net_release(struct alloc *alloc, struct net *net);
int net_allocate(struct writer *writer, const char *id, struct err *err);

void svc_claim(struct alloc *alloc, const struct object *object);
void svc_unset(struct alloc *alloc, const char *id);
int svc_allocate(struct writer *writer, const char *id, struct err *err);

void nod_claim(struct alloc *alloc, const struct object *object);
void nod_set(struct alloc *alloc, const struct object *object, struct mono tick);
// Counts a task's use of a network on the node, or one less.
void nod_count(struct alloc *alloc, struct nod *nod, struct net *net, bool more);
void nod_unset(struct alloc *alloc, const char *id, struct mono tick);
int nod_allocate(struct writer *writer, const char *id, struct err *err);

void tsk_set(struct alloc *alloc, const struct object *object, struct mono tick);
// At load: a task given up with its node, as if just now.
void tsk_orphan(struct alloc *alloc, const struct object *object, struct mono tick);
void tsk_unset(struct alloc *alloc, const struct object *object, struct mono tick);
void tsk_free(struct alloc *alloc, struct tsk *tsk); // what it holds was given back
int tsk_allocate(struct writer *writer, const char *id, struct err *err);

// True when the endpoint publishes through the routing mesh.
bool endpoint_needs_ingress(const Swarm__EndpointSpec *spec);

// UNAVAILABLE, saying why the network is not there yet.
int net_unready(const struct alloc *alloc, const struct net *net, struct err *err);

// An attachment to the network, its object copied by reference, in `arena`.
Swarm__NetworkAttachment *attachment_new(const struct net *net, struct arena *arena);

#endif
