// Probing: one member after another is asked for a sign of life, first directly, then through
// others and by TCP (gossip.md section 8, "Probe round"); and what others ask of this node.
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/swim_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- a round -----------------------------------------------------------------------------------

static bool is_up(const struct swim_peer *peer)
{
    return peer->pub.state == GOSSIP_IS_ALIVE || peer->pub.state == GOSSIP_IS_SUSPECT;
}

static void shuffle(struct swim *swim)
{
    for (size_t i = swim->peers_count; i > 1; i--) {
        size_t j = (size_t)rand_below(&swim->rand, i);
        struct swim_peer *other = swim->peers[j];
        swim->peers[j] = swim->peers[i - 1];
        swim->peers[i - 1] = other;
    }
}

// The next one to probe, or NULL when there is none but this node.
static struct swim_peer *next_target(struct swim *swim, struct mono now)
{
    size_t looked = 0;
    while (looked <= swim->peers_count) {
        if (swim->probe_next >= swim->peers_count) {
            swim_forget_dead(swim, now);
            shuffle(swim);
            swim->probe_next = 0;
            looked++;
            continue;
        }
        struct swim_peer *peer = swim->peers[swim->probe_next++];
        if (peer != swim->self && is_up(peer))
            return peer;
        looked++;
    }
    return NULL;
}

static void end_round(struct swim *swim)
{
    timers_cancel(&swim->timers, &swim->direct_timer.timer);
    timers_cancel(&swim->timers, &swim->round_timer.timer);
    swim->probe = (struct swim_probe){0};
}

static void round_answered(struct swim *swim)
{
    end_round(swim);
    swim_health_add(swim, -1);
}

void swim_probe_begin(struct swim *swim, struct mono now)
{
    swim_arm(swim, &swim->probe_timer, mono_add(now, SWIM_PROBE_INTERVAL_NS));
    if (swim->probe.active || swim->leaving)
        return; // a round of a node in bad health may take longer
    struct swim_peer *peer = next_target(swim, now);
    if (!peer)
        return;
    swim->probe = (struct swim_probe){.active = true, .seq = ++swim->seq, .target = peer};
    swim->counters->probes++;
    swim_arm(swim, &swim->direct_timer, mono_add(now, SWIM_PROBE_TIMEOUT_NS));
    swim_arm(swim, &swim->round_timer, mono_add(now, SWIM_PROBE_INTERVAL_NS * (swim->health + 1)));
    struct gossip_message ping = swim_make_ping(swim, swim->probe.seq, peer->name);
    if (peer->pub.state == GOSSIP_IS_ALIVE) {
        swim_send(swim, &peer->pub.site, &ping);
        return;
    }
    // It is told what it is suspected of, so that it can refute at once.
    const char *me = swim->config.name;
    struct gossip_message suspect = {
        .type = GOSSIP_SUSPECT,
        .verdict = {.incarnation = peer->pub.incarnation,
                    .node = {(const uint8_t *)peer->name, strlen(peer->name)},
                    .from = {(const uint8_t *)me, strlen(me)}}};
    parcel_begin(&swim->parcel);
    bool added = parcel_add(&swim->parcel, &ping) && parcel_add(&swim->parcel, &suspect);
    CHECK(added);
    swim->config.out->packet(swim->config.out_owner, &peer->pub.site, &swim->parcel,
                             peer->pub.versions[1] >= SWIM_VERSION_CRC);
}

static bool may_probe_for_us(const struct swim *swim, const struct swim_peer *peer, void *ctx)
{
    (void)ctx;
    return peer != swim->self && peer != swim->probe.target && peer->pub.state == GOSSIP_IS_ALIVE;
}

static void ping_by_stream(struct swim *swim)
{
    const struct swim_peer *target = swim->probe.target;
    struct gossip_message ping = swim_make_ping(swim, swim->probe.seq, target->name);
    struct buf plain;
    buf_init(&plain, PACKET_BYTES_MAX);
    gossip_encode(&ping, &plain);
    CHECK(buf_ok(&plain));
    swim->probe.ticket = swim_stream_start(swim, SWIM_TICKET_PING, &target->pub.site, &plain);
    buf_fini(&plain);
}

void swim_probe_direct_over(struct swim *swim)
{
    struct swim_peer *helpers[SWIM_INDIRECT_CHECKS];
    const struct swim_peer *target = swim->probe.target;
    const struct swim_member *me = &swim->self->pub;
    size_t count = swim_pick(swim, SWIM_INDIRECT_CHECKS, may_probe_for_us, NULL, helpers);
    swim->probe.indirect = true;
    for (size_t i = 0; i < count; i++) {
        bool nack = helpers[i]->pub.versions[1] >= SWIM_VERSION_NACK;
        struct gossip_message indirect = {
            .type = GOSSIP_INDIRECT,
            .indirect = {.seq = swim->probe.seq,
                         .target = site_ip(&target->pub.site),
                         .port = target->pub.site.port,
                         .node = {(const uint8_t *)target->name, strlen(target->name)},
                         .nack = nack,
                         .source_addr = site_ip(&me->site),
                         .source_port = me->site.port,
                         .source_node = {(const uint8_t *)me->name, strlen(me->name)}}};
        swim->probe.nacks_wanted += nack;
        swim_send(swim, &helpers[i]->pub.site, &indirect);
    }
    if (target->pub.versions[1] >= SWIM_VERSION_STREAM_PING)
        ping_by_stream(swim);
}

void swim_probe_round_over(struct swim *swim, struct mono now)
{
    struct swim_probe probe = swim->probe;
    CHECK(probe.active);
    end_round(swim);
    swim->counters->probes_failed++;
    // Helpers that do not even say "no answer" are a hint that it is this node that hears badly.
    if (probe.nacks_wanted > 0)
        swim_health_add(
            swim, probe.nacks < probe.nacks_wanted ? (int)(probe.nacks_wanted - probe.nacks) : 0);
    else
        swim_health_add(swim, 1);
    const char *me = swim->config.name;
    struct gossip_verdict verdict = {
        .incarnation = probe.target->pub.incarnation,
        .node = {(const uint8_t *)probe.target->name, strlen(probe.target->name)},
        .from = {(const uint8_t *)me, strlen(me)}};
    swim_hear_suspect(swim, now, &verdict);
}

void swim_probe_stream_done(struct swim *swim, uint32_t ticket, bool good)
{
    if (!good || !swim->probe.active || swim->probe.ticket != ticket)
        return;
    swim->counters->probes_by_stream++;
    swim->probe.target->pub.by_stream += swim->probe.target->pub.by_stream < UINT8_MAX;
    round_answered(swim);
}

// ---- for others ---------------------------------------------------------------------------------

static void hear_ping(struct swim *swim, const struct site *from, const struct gossip_ping *ping)
{
    const char *me = swim->config.name;
    if (ping->node.size > 0 &&
        (ping->node.size != strlen(me) || memcmp(ping->node.at, me, ping->node.size) != 0)) {
        swim->counters->drop_misdirected++; // most often for this address's former life
        return;
    }
    struct site to = *from;
    if (ping->source_addr.size > 0 && ping->source_port > 0 &&
        !site_of(ping->source_addr, ping->source_port, &to)) {
        swim->counters->drop_broken++;
        return;
    }
    struct gossip_message ack = {.type = GOSSIP_ACK, .ack = {.seq = ping->seq}};
    swim_send(swim, &to, &ack);
}

static void relay_free(struct swim *swim, struct swim_relay *relay)
{
    timers_cancel(&swim->timers, &relay->timer.timer);
    map_remove_u64(&swim->relays, relay->own_seq);
    free(relay);
}

static void hear_indirect(struct swim *swim, struct mono now, const struct site *from,
                          const struct gossip_indirect *indirect)
{
    struct site target, requester = *from;
    bool good = site_of(indirect->target, indirect->port, &target) && indirect->node.size > 0;
    if (good && indirect->source_addr.size > 0 && indirect->source_port > 0)
        good = site_of(indirect->source_addr, indirect->source_port, &requester);
    if (!good) {
        swim->counters->drop_broken++;
        return;
    }
    if (map_count(&swim->relays) >= SWIM_RELAYS_MAX) {
        swim->counters->drop_full++;
        return;
    }
    struct swim_relay *relay = MEM_NEW(struct swim_relay);
    relay->timer.kind = SWIM_TIMER_RELAY;
    relay->own_seq = ++swim->seq;
    relay->seq = indirect->seq;
    relay->requester = requester;
    relay->nack = indirect->nack;
    void *old = map_put_u64(&swim->relays, relay->own_seq, relay);
    CHECK(!old); // the number comes back after four billion pings
    swim_arm(swim, &relay->timer, mono_add(now, SWIM_PROBE_TIMEOUT_NS));
    char name[GOSSIP_NAME_BYTES + 1] = {0};
    memcpy(name, indirect->node.at,
           indirect->node.size < GOSSIP_NAME_BYTES ? indirect->node.size : GOSSIP_NAME_BYTES);
    struct gossip_message ping = swim_make_ping(swim, relay->own_seq, name);
    swim_send(swim, &target, &ping);
}

void swim_relay_over(struct swim *swim, struct swim_relay *relay)
{
    struct gossip_message nack = {.type = GOSSIP_NACK, .ack = {.seq = relay->seq}};
    if (relay->nack)
        swim_send(swim, &relay->requester, &nack);
    relay_free(swim, relay);
}

static void hear_ack(struct swim *swim, uint32_t seq)
{
    if (swim->probe.active && swim->probe.seq == seq) {
        swim->probe.target->pub.by_stream = 0;
        round_answered(swim);
        return;
    }
    struct swim_relay *relay = map_get_u64(&swim->relays, seq);
    if (!relay)
        return; // late, or nobody asked
    struct gossip_message ack = {.type = GOSSIP_ACK, .ack = {.seq = relay->seq}};
    swim_send(swim, &relay->requester, &ack);
    relay_free(swim, relay);
}

void swim_probe_packet(struct swim *swim, struct mono now, const struct site *from,
                       const struct gossip_message *message)
{
    switch (message->type) {
    case GOSSIP_PING:
        hear_ping(swim, from, &message->ping);
        break;
    case GOSSIP_INDIRECT:
        hear_indirect(swim, now, from, &message->indirect);
        break;
    case GOSSIP_ACK:
        hear_ack(swim, message->ack.seq);
        break;
    case GOSSIP_NACK:
        if (swim->probe.active && swim->probe.seq == message->ack.seq)
            swim->probe.nacks++;
        break;
    default:
        UNREACHABLE("not a message of probing");
    }
}
