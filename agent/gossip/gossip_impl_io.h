// What the files of the gossip shell share: packets, timers and wishes (gossip_io.c), and
// connections (gossip_stream_io.c).
#ifndef AGENT_GOSSIP_GOSSIP_IMPL_IO_H
#define AGENT_GOSSIP_GOSSIP_IMPL_IO_H

#include <uv.h>

#include "agent/gossip/gossip_io.h"
#include "agent/gossip/gossiper.h"
#include "agent/gossip/keyring.h"
#include "agent/gossip/packet.h"
#include "proto/net/listener_io.h"

#define GOSSIP_STREAMS_MAX      256 // of peers, served at once
#define GOSSIP_STREAMS_PER_HOST 64
#define GOSSIP_UNREAD_BYTES_MAX (128 << 20) // of frames not yet whole, of all streams together
#define GOSSIP_NONCES           64          // drawn from the kernel at a time

struct gossip {
    unsigned magic;
    struct gossip_config config;
    struct site site;
    char name[13];
    struct gossiper *core;
    struct keyring *ring;
    bool started;

    uv_udp_t udp;
    struct packet_reader reader;
    struct buf sealed;
    uint8_t datagram[PACKET_BYTES_MAX];
    struct site from; // of the packet being read
    struct mono now;  // of the event being handled

    struct listener *listener;
    struct gate *gate;
    struct list streams; // gossip_stream.link
    size_t unread_bytes;

    struct loop_timer alarm;
    struct loop_later changes; // tells what changed
    struct map changed;        // networks whose rows did
    bool nodes_changed;

    uint8_t nonces[GOSSIP_NONCES][KEYRING_NONCE_BYTES];
    size_t nonces_left;
    struct mono warned; // last

    bool leaving;
    bool closing;
    bool udp_open;
    bool listener_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// Begins an event: the time all of it happens at. After it the alarm is set anew.
struct mono gossip_begin(struct gossip *gossip);
void gossip_end(struct gossip *gossip);

const uint8_t *gossip_nonce(struct gossip *gossip);

// Goes on with closing, if that is under way and nothing is left to wait for.
void gossip_closing(struct gossip *gossip);

// ---- gossip_stream_io.c -------------------------------------------------------------------------

int gossip_listen(struct gossip *gossip, const struct addr *bind, struct err *err);
void gossip_listen_end(struct gossip *gossip);

// swim_out's stream.
void gossip_stream_out(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                       bool answered);
void gossip_streams_close(struct gossip *gossip);

#endif
