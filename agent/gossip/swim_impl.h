// What the files of the SWIM core share: members and their state (swim.c), probing (swim_probe.c),
// streams (swim_stream.c).
#ifndef AGENT_GOSSIP_SWIM_IMPL_H
#define AGENT_GOSSIP_SWIM_IMPL_H

#include "agent/gossip/broadcast.h"
#include "agent/gossip/rounds.h"
#include "agent/gossip/suspicion.h"
#include "agent/gossip/swim.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/timer.h"

// Protocol and delegate: minimum, maximum, current. Others refuse a node that announces any other
// delegate version.
#define SWIM_VERSIONS                                                                              \
    {                                                                                              \
        1, 5, 2, 0, 0, 0                                                                           \
    }
#define SWIM_VERSION_STREAM_PING 3 // from this protocol maximum on
#define SWIM_VERSION_NACK        4
#define SWIM_VERSION_CRC         5

enum swim_timer_kind {
    SWIM_TIMER_PROBE,  // a new round is due
    SWIM_TIMER_DIRECT, // the direct ping had its time
    SWIM_TIMER_ROUND,  // the round had its time
    SWIM_TIMER_PUSH_PULL,
    SWIM_TIMER_SUSPECT, // of a member
    SWIM_TIMER_RELAY,   // of an indirect ping for another node
};

struct swim_timer {
    struct timer timer;
    enum swim_timer_kind kind;
};

struct swim_peer {
    struct swim_member pub;
    struct suspicion *suspicion; // while suspect
    struct swim_timer timer;     // of the suspicion
    char name[];
};

// One probe round; its target is found by name, for it may be forgotten meanwhile.
struct swim_probe {
    bool active;
    bool indirect; // indirect pings are out
    uint32_t seq;
    struct swim_peer *target;
    unsigned nacks_wanted;
    unsigned nacks;
    uint32_t ticket; // of the ping by stream; 0: none
};

// An indirect ping that this node makes for another.
struct swim_relay {
    struct swim_timer timer;
    uint32_t own_seq;
    uint32_t seq; // the requester's
    struct site requester;
    bool nack;
};

enum swim_ticket_kind {
    SWIM_TICKET_PUSH_PULL,
    SWIM_TICKET_JOIN,
    SWIM_TICKET_PING,
    SWIM_TICKET_USER
};

struct swim_ticket {
    uint32_t number;
    enum swim_ticket_kind kind;
    struct site site;
};

struct swim {
    struct swim_config config;
    struct rand rand;
    struct timers timers;
    struct gossip_counters *counters;

    struct map by_name;       // swim_peer
    struct swim_peer **peers; // in the shuffled order of probing
    size_t peers_count;
    size_t peers_cap;
    size_t peers_alive; // alive or suspect
    size_t probe_next;
    struct swim_peer *self;
    uint32_t incarnation;
    uint32_t seq;
    unsigned health;
    bool leaving;
    struct mono left_by; // while leaving

    struct broadcasts queue; // by name
    struct parcel parcel;    // being gathered
    struct rounds gossip;

    struct swim_timer probe_timer;
    struct swim_timer direct_timer;
    struct swim_timer round_timer;
    struct swim_timer push_pull_timer;
    struct swim_probe probe;
    struct map relays; // by own sequence number
    struct map tickets;
    uint32_t ticket_last;
};

// ---- swim.c ------------------------------------------------------------------------------------

struct swim_peer *swim_peer_find(const struct swim *swim, struct span name);
void swim_arm(struct swim *swim, struct swim_timer *timer, struct mono due);

// Up to `count` random peers that `fits` accepts, none twice. Tries 3 for each known.
typedef bool swim_fits_fn(const struct swim *swim, const struct swim_peer *peer, void *ctx);
size_t swim_pick(struct swim *swim, size_t count, swim_fits_fn *fits, void *ctx,
                 struct swim_peer **out);

// What is said of a node, by whoever it is.
void swim_hear_alive(struct swim *swim, struct mono now, const struct gossip_node *node);
void swim_hear_suspect(struct swim *swim, struct mono now, const struct gossip_verdict *verdict);
// A node says in an exchange of states that another is dead: heard as a suspicion of our own.
void swim_hear_gone(struct swim *swim, struct mono now, const struct gossip_verdict *verdict);
void swim_hear_dead(struct swim *swim, struct mono now, const struct gossip_verdict *verdict);

// How well this node hears answers: higher is worse, 0 best.
void swim_health_add(struct swim *swim, int delta);

// Sends one message with what else there is room for.
void swim_send(struct swim *swim, const struct site *to, const struct gossip_message *message);

// Adds what waits for being sent along: this core's, then the rider's.
void swim_fill(struct swim *swim, struct parcel *parcel);

// Forgets those dead or left for SWIM_GOSSIP_TO_DEAD_NS.
void swim_forget_dead(struct swim *swim, struct mono now);

struct gossip_message swim_make_ping(struct swim *swim, uint32_t seq, const char *name);
struct gossip_node swim_describe(const struct swim_member *member);

// ---- swim_probe.c -------------------------------------------------------------------------------

void swim_probe_begin(struct swim *swim, struct mono now);
void swim_probe_direct_over(struct swim *swim);
void swim_probe_round_over(struct swim *swim, struct mono now);
void swim_probe_stream_done(struct swim *swim, uint32_t ticket, bool good);
void swim_probe_packet(struct swim *swim, struct mono now, const struct site *from,
                       const struct gossip_message *message);
void swim_relay_over(struct swim *swim, struct swim_relay *relay);

// ---- swim_stream.c ------------------------------------------------------------------------------

// Starts a stream; 0 when too many are under way.
uint32_t swim_stream_start(struct swim *swim, enum swim_ticket_kind kind, const struct site *to,
                           const struct buf *plain);
void swim_push_pull(struct swim *swim, struct mono now, enum swim_ticket_kind kind,
                    const struct site *to);
void swim_push_pull_tick(struct swim *swim, struct mono now);
void swim_tickets_fini(struct swim *swim);

#endif
