// What the nets_*_io.c files share.
#ifndef AGENT_NET_NETS_PRIV_IO_H
#define AGENT_NET_NETS_PRIV_IO_H

#include "agent/dns/sockets_io.h"
#include "agent/gossip/gossip_io.h"
#include "agent/lb/nft_io.h"
#include "agent/net/gateway.h"
#include "agent/net/guard.h"
#include "agent/net/ipsec_io.h"
#include "agent/net/lost.h"
#include "agent/net/mesh_io.h"
#include "agent/net/nets_io.h"
#include "agent/net/plan.h"
#include "agent/net/tunnels.h"
#include "agent/net/rows.h"
#include "agent/net/sandbox.h"
#include "agent/net/tables_io.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define MANAGERS_MAX     64
#define NETS_MAGIC       0x6e657473u
#define NETS_ENDS_MAX    (ORDER_NETWORKS_MAX + 1) // and the gateway bridge's
#define NETS_ORDER_BYTES (4u << 20)
#define NETS_PATH_BYTES  LAYOUT_PLACE_BYTES
#define NETS_INGRESS_BOX "ingress_sbox" // the container id that the ingress sandbox goes by

// A network in use on this node, or known to the manager as one of this node's.
struct net {
    struct overlay overlay;
    char path[NETS_PATH_BYTES];
    struct tunnels *peers;
    struct rows *rows;      // what gossip says
    struct mono settle_due; // when what is not known yet counts as gone; 0: cannot be said
    bool peopled;           // an earlier life left rows of others' endpoints: they wait for gossip
    bool settled, seen;
    struct ipnet lb;      // this node's own address; none
    size_t boxes;         // sandboxes on it, those being removed included
    bool joined;          // to its gossip
    bool stale;           // its rows are to be walked again
    bool dirty;           // its namespace is to be compared
    bool again;           // it failed: with the next retry
    bool asked;           // something was asked for since it was clean: steps are no drift
    bool made;            // its namespace was brought to what it should be once
    struct arena made_of; // what `records` lies in
    struct net_record *records;
    size_t records_count;
    uint64_t digest;     // of what they say
    uint32_t *addresses; // of all records, sorted: to see which went
    size_t addresses_count;
    struct lost *lost; // services without a task any more
};

struct net_record {
    const char *key;  // the row's
    const char *node; // owner's gossip name; NULL: this node
    bool early;       // of a container that is about to start: a name here, and no backend
    struct records_endpoint endpoint;
};

enum box_state {
    BOX_WAITING, // for the node's own addresses, or to learn whether the kernel encrypts
    BOX_MAKING,
    BOX_MADE,
    BOX_REMOVING,
};

struct box {
    struct nets *nets;
    char id[OVERLAY_ID_BYTES * 2];
    char path[NETS_PATH_BYTES];
    struct arena arena;
    struct order *order;
    struct sandbox_end *ends; // of its networks, and the gateway bridge's last
    size_t ends_count;
    struct ipnet gateway; // its address on the gateway bridge; none
    enum box_state state;
    enum nets_serve serve;
    bool dirty, asked, again;
    bool adopted; // it was there before, and its balancer works
    bool read;    // what that held then is known
    struct loop_timer wait;
    unsigned waits; // how often it began again
    nets_made *tell_made;
    void *tell_owner;
    nets_done *tell_done;
    void *done_owner;
    struct err err;
    struct layout gone; // links that it had and the next job takes away
    // What its balancer holds; with the job while it runs.
    struct nft *nft;
    struct ruleset rules;
    bool rules_known;
    bool names; // its resolver's sockets are handed over
    uint32_t *cut;
    size_t cut_count;
};

// What an earlier life left and nobody has asked for yet.
struct stray {
    char path[NETS_PATH_BYTES];
    bool sandbox;
    struct ipnet gateway; // its address on the gateway bridge; none
    struct layout layout; // what was found
};

struct nets_job;
struct job_place;

struct nets {
    unsigned magic;
    struct loop *loop;
    char dir[NETS_PATH_BYTES];
    struct dns_feed *feed;
    struct ports *ports;
    struct relays *relays;
    int64_t wait_ms, audit_ms;
    struct map nets;   // network id -> struct net
    struct map boxes;  // container id -> struct box
    struct map kept;   // file name of a sandbox that waits to be asked for again
    struct map strays; // file name -> path (heap): namespaces that nobody asked for
    bool swept;
    // Sandboxes of an earlier life are being taken over: what they balance stays until all are
    // there, as one's services may be served by another. Not for longer than the timer runs.
    bool adopting;
    struct loop_timer adopt;
    // The host.
    struct gateway gateway;
    bool gateway_needed; // some sandbox is on it
    bool host_dirty, host_asked, host_again;
    // The swarm.
    struct gossip *gossip;
    char node_id[OVERLAY_ID_BYTES];
    struct ipnet tunnel; // where tunnels end here
    uint16_t port;
    bool in_swarm;
    bool session_seen;
    uint8_t *node; // what the manager last said of it, packed; NULL: nothing
    size_t node_bytes;
    struct wall began; // when the swarm did
    net_told *told;    // NULL: nobody
    void *told_owner;
    void (*ended)(void *owner);
    void *ended_owner;
    bool leaving;
    // The mesh, the guard of the data path port, IPsec: nets_mesh_io.c.
    struct mesh *mesh;
    uint8_t mesh_row[MESH_RECORD_BYTES]; // to publish on the ingress network
    bool mesh_row_set;
    struct tables *guard;
    bool guarded;
    enum { RULES_UNKNOWN, RULES_WANTED, RULES_GONE } gateway_rules;
    struct ipsec *ipsec;
    bool sealed; // some network is, or was, encrypted
    size_t mesh_parts;
    void (*mesh_closed)(struct nets *nets);
    // Work.
    struct nets_job *job; // under way
    struct loop_later kick;
    struct loop_timer retry, audit;
    struct loop_timer walk; // rows stop lingering, or a network is settled
    struct mono walk_due;
    struct nets_counts counts;
    struct nets_checkup *checkup; // under way; NULL
    struct nets_survey *survey;
    char *managers[MANAGERS_MAX]; // as the session says, "host:port"
    size_t managers_count;
    struct nets_tally *tally;
    size_t works; // of worker jobs beside `job`: the end waits for them
    void (*closed)(void *owner);
    void *closed_owner;
};

// ---- nets_io.c ----------------------------------------------------------------------------------
void nets_kick(struct nets *nets);
// Everything is compared with the kernel, soon.
void nets_audit(struct nets *nets);
// Starts the job that waited for something.
void nets_kick_job(struct nets *nets);
struct net *nets_net(struct nets *nets, const char *id);
// The network of that id, made if need be; its description is the given one from now on.
struct net *nets_net_use(struct nets *nets, const struct overlay *overlay);
// Forgets networks that no sandbox is on and that are none of this node's.
void nets_drop_unused(struct nets *nets);
// Says what a job came to.
void nets_job_done(struct nets *nets, struct nets_job *job); // nets_done_io.c
// The sandbox is brought to its end of life: told, forgotten, freed.
void nets_box_free(struct box *box); // nets_boxes_io.c, like the next two
void nets_box_tell(struct box *box, const struct err *err);
// Goes on with those that waited for the node's own addresses.
void nets_boxes_go_on(struct nets *nets);
// False as long as a sandbox of an earlier life waits to be asked for: ports and bridges that
// nobody knows may be its.
bool nets_is_strict(const struct nets *nets);
// What an earlier life left of it, if anything, may go.
void nets_keep_no_more(struct nets *nets, const char *container_id);

static inline bool nets_box_live(const struct box *box)
{
    return box->state == BOX_MAKING || box->state == BOX_MADE;
}

// What the others need of nets_io.c and nets_boxes_io.c.
void nets_path_of(const struct nets *nets, const char *name, char out[NETS_PATH_BYTES]);
void nets_net_touch(struct net *net);
struct box *nets_box(const struct nets *nets, const char *id); // NULL: none
void nets_box_end(struct box *box, const struct err *why);
void nets_net_free(struct nets *nets, struct net *net);
void nets_stray_forget(struct nets *nets, const char *name);
void nets_ports_known(struct nets *nets);
void nets_finish(struct nets *nets);

// ---- nets_want_io.c -----------------------------------------------------------------------------
// A job for all that is to be looked at; without places when there is nothing.
struct nets_job *nets_job_make(struct nets *nets);
// Whether the record is of a task that its service's virtual address leads to.
bool nets_is_balanced(const struct net *net, const struct net_record *record);

// ---- nets_swarm_io.c ----------------------------------------------------------------------------
// Walks the rows of networks that changed, and derives peers and records.
void nets_refresh(struct nets *nets);
// After a restart, until gossip had time to say what there is: nothing is taken away for want of a
// row.
bool nets_holds(const struct nets *nets, const struct net *net);
// Puts the rows that should be there and removes those that should not.
void nets_publish(struct nets *nets);
// The ingress sandbox was taken away: it may have to come again, with another address.
void nets_ingress_gone(struct nets *nets);
// "host:port" each; copied.
void nets_managers_set(struct nets *nets, const char *const *managers, size_t count);
// Tells the resolver about a network, or a sandbox.
void nets_feed_net(struct nets *nets, struct net *net);
void nets_feed_box(struct nets *nets, struct box *box);

// ---- nets_show_io.c -----------------------------------------------------------------------------
void nets_keep_node(struct nets *nets, const Swarm__Node *node); // NULL: there is none any more
void nets_tell(const struct nets *nets, const char *action, const struct overlay *overlay,
               const char *container);
void nets_tell_box(const struct box *box, const char *action); // of all its networks

// ---- nets_mesh_io.c -----------------------------------------------------------------------------
int nets_mesh_open(struct nets *nets, struct err *err);
void nets_mesh_close(struct nets *nets, void (*closed)(struct nets *nets));
// Brings all three to what the networks come to.
void nets_mesh_go_on(struct nets *nets);
void nets_mesh_keys(struct nets *nets, const Swarm__SessionMessage *message);
// FAILED_PRECONDITION with the reason why an encrypted network cannot be used here. *known is false
// while the kernel is being looked at; nets_boxes_go_on is called when that is over.
int nets_mesh_can_encrypt(struct nets *nets, const char *network, bool *known, struct err *err);
// While encrypted networks are not sealed as they should be no device of theirs may come to life,
// and none on the gateway bridge before its rules stand.
bool nets_mesh_unguarded(const struct nets *nets);

// ---- nets_checkup_io.c --------------------------------------------------------------------------
// A place was not what it should be, and nobody here had asked for a change.
void nets_checkup_drift(struct nets *nets, const struct job_place *place);
// The nets end: whoever waits is told.
void nets_checkup_end(struct nets *nets);

// ---- nets_survey_io.c ---------------------------------------------------------------------------
void nets_survey_open(struct nets *nets);
void nets_survey_close(struct nets *nets);
// Rows of that network changed: somebody may ask.
void nets_survey_rows(struct nets *nets, const char *network_id);
// ---- nets_tally_io.c ----------------------------------------------------------------------------
void nets_tally_open(struct nets *nets);
void nets_tally_close(struct nets *nets);

// ---- nets_job_io.c ------------------------------------------------------------------------------
enum job_kind { JOB_HOST, JOB_NET, JOB_BOX, JOB_STRAY };

struct job_place {
    enum job_kind kind;
    char key[OVERLAY_ID_BYTES * 2]; // network or container id, or file name
    char path[NETS_PATH_BYTES];     // "" the host
    bool remove;
    bool drift; // nobody asked for a change: steps are repairs
    struct layout wanted;
    struct plan_rules_copy {
        const char *links;
        bool rows;
    } take;
    bool forward;                // the namespace forwards packets
    char share[NETS_PATH_BYTES]; // "" or the namespace that it is
    struct layout gone;          // links to be taken away first
    struct buf text;             // nft's commands besides; empty: none
    // Of a sandbox.
    struct nft *nft;
    struct ruleset rules, rules_wanted;
    bool rules_known;
    bool keep_rules; // they stay as they are, and are read
    uint32_t *cut;
    size_t cut_count;
    bool open_names, ask_inside;
    struct dns_sockets sockets;
    // What came of it.
    struct err err;
    bool again; // good, but not whole
    size_t steps, flows_cut;
    size_t kinds[PLAN_COUNT]; // of steps
    size_t balancers;         // tables of the balancer that were not right
};

struct nets_job {
    struct loop_work work;
    struct nets *nets;
    struct job_place *places;
    size_t count, cap;
};

struct job_place *nets_job_place(struct nets_job *job, enum job_kind kind, const char *key,
                                 const char *path);
void nets_job_start(struct nets_job *job);
void nets_job_free(struct nets_job *job);

#endif
