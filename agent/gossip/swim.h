// Who is in the gossip cluster and alive: memberlist's SWIM (gossip.md sections 5, 7 to 9), as a
// core without clock and sockets. Packets, streams and the time go in; what comes out are packets
// and streams to send, and a rider's calls.
//
// The rider is who travels along: NetworkDB, whose messages are piggy-backed on packets, and whose
// state is exchanged together with the list of members.
#ifndef AGENT_GOSSIP_SWIM_H
#define AGENT_GOSSIP_SWIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/counters.h"
#include "agent/gossip/parcel.h"
#include "agent/gossip/site.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"

#define SWIM_PROBE_INTERVAL_NS  NS_PER_S
#define SWIM_PROBE_TIMEOUT_NS   (500 * NS_PER_MS)
#define SWIM_INDIRECT_CHECKS    3
#define SWIM_GOSSIP_INTERVAL_NS (200 * NS_PER_MS)
#define SWIM_GOSSIP_NODES       3
#define SWIM_PUSH_PULL_NS       (30 * NS_PER_S)
#define SWIM_GOSSIP_TO_DEAD_NS  (30 * NS_PER_S) // also how long the dead are remembered
#define SWIM_HEALTH_MAX         8
#define SWIM_LEAVE_NS           NS_PER_S
#define SWIM_STREAM_NS          (10 * NS_PER_S) // for a whole exchange on a stream

#define SWIM_MEMBERS_MAX   16384
#define SWIM_BROADCAST_MAX 32768
#define SWIM_TICKETS_MAX   512  // streams under way
#define SWIM_RELAYS_MAX    1024 // indirect pings under way for others

struct swim;

struct swim_member {
    const char *name; // printable ASCII without blanks
    struct site site;
    uint32_t incarnation;
    enum gossip_state state;
    struct mono changed; // when it came into its state
    uint8_t versions[6];
    uint8_t by_stream; // probes in a row that TCP alone answered
};

// What the core asks of its surroundings. Called inside calls of this header, and must not call
// back.
struct swim_out {
    // Sends a packet; with a checksum if `crc`. What is borrowed dies after the call.
    void (*packet)(void *owner, const struct site *to, const struct parcel *parcel, bool crc);
    // Connects, sends the message, and takes one for answer if `answered`. The outcome comes back
    // by swim_answer or swim_failed, exactly once, after this call returned and within
    // SWIM_STREAM_NS.
    void (*stream)(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                   bool answered);
};

// NetworkDB's part. These may call the sending functions below.
struct swim_rider {
    void (*fill)(void *owner, struct parcel *parcel); // piggy-backs what there is room for
    bool (*waits)(void *owner);                       // whether there is something to piggy-back
    void (*packet)(void *owner, struct mono now, struct span user);
    void (*stream)(void *owner, struct mono now, struct span user);
    void (*state)(void *owner, struct mono now, bool join, struct buf *out); // appends
    void (*merge)(void *owner, struct mono now, struct span state, bool join);
    void (*up)(void *owner, struct mono now, const struct swim_member *member);
    void (*down)(void *owner, struct mono now, const struct swim_member *member);
    // This node was said to be dead, and refuted it.
    void (*accused)(void *owner, struct mono now);
    // What became of swim_join and swim_send_stream.
    void (*joined)(void *owner, struct mono now, const struct site *site, bool good);
    void (*sent)(void *owner, struct mono now, uint32_t ticket, bool good);
};

struct swim_config {
    const char *name; // new at every start (gossip.md section 9)
    struct site site; // as others reach it
    uint64_t seed;
    const struct swim_out *out;
    void *out_owner;
    const struct swim_rider *rider;
    void *rider_owner;
    struct gossip_counters *counters; // counted into; outlives the core
};

// A cluster of one, which does nothing before its first tick.
struct swim *swim_new(const struct swim_config *config, struct mono now);
void swim_free(struct swim *swim);

// ---- events ------------------------------------------------------------------------------------

// When swim_tick wants to be called. Asked after every event: rounds of gossip without anything to
// send are left out, and begin again here, at the time they would have had.
struct mono swim_next_due(struct swim *swim, struct mono now);
void swim_tick(struct swim *swim, struct mono now);

// One message of a packet that came from `from`.
void swim_packet(struct swim *swim, struct mono now, const struct site *from,
                 const struct gossip_message *message);

// What a peer sent on a connection. Appends the answer to `reply`, or nothing when there is none.
// On an error the peer is told by an error message.
int swim_request(struct swim *swim, struct mono now, struct span plain, struct buf *reply,
                 struct err *err);

// The stream was sent, and, if one was asked for, here is its answer.
void swim_answer(struct swim *swim, struct mono now, uint32_t ticket, struct span plain);
void swim_failed(struct swim *swim, struct mono now, uint32_t ticket);

// ---- wishes ------------------------------------------------------------------------------------

// Exchanges full states with the node there, as one who joins. The rider hears of the outcome.
// False when too many streams are under way.
bool swim_join(struct swim *swim, struct mono now, const struct site *site);

// Sends a user message to a live member: best effort by packet; or by stream, with a ticket that
// `sent` knows (0: too many are under way).
void swim_send_packet(struct swim *swim, const struct swim_member *member, struct span user);
uint32_t swim_send_stream(struct swim *swim, const struct swim_member *member, struct span user);

// Tells the others that this node leaves.
void swim_leave(struct swim *swim, struct mono now);

// Whether those were told, or SWIM_LEAVE_NS are over.
bool swim_has_left(const struct swim *swim, struct mono now);

// ---- what is there -----------------------------------------------------------------------------

// By name; NULL when unknown. Valid until the next event.
const struct swim_member *swim_find(const struct swim *swim, const char *name);

// Walks all members, dead ones included: start with *position 0; NULL at the end.
const struct swim_member *swim_next(const struct swim *swim, size_t *position);

size_t swim_count(const struct swim *swim);       // known, dead ones included
size_t swim_count_alive(const struct swim *swim); // alive or suspect, this node included
unsigned swim_health(const struct swim *swim);    // 0 is best

// Sets the gauges of `counters` that are this core's.
void swim_gauge(const struct swim *swim);

#endif
