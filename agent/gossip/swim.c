#include "agent/gossip/swim.h"

#include <stdlib.h>
#include <string.h>

#include "agent/gossip/swim_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- making ------------------------------------------------------------------------------------

static struct swim_peer *peer_new(struct swim *swim, struct span name)
{
    struct swim_peer *peer = mem_alloc(sizeof *peer + name.size + 1);
    memcpy(peer->name, name.at, name.size);
    peer->pub.name = peer->name;
    peer->timer.kind = SWIM_TIMER_SUSPECT;
    map_put(&swim->by_name, name.at, name.size, peer);
    if (swim->peers_count == swim->peers_cap) {
        swim->peers_cap = swim->peers_cap ? 2 * swim->peers_cap : 8;
        swim->peers = mem_realloc(swim->peers, swim->peers_cap * sizeof(struct swim_peer *));
    }
    // At a random place, so that a crowd that joins is not probed by all in one order.
    size_t place = (size_t)rand_below(&swim->rand, swim->peers_count + 1);
    swim->peers[swim->peers_count++] = swim->peers[place];
    swim->peers[place] = peer;
    return peer;
}

static void end_suspicion(struct swim *swim, struct swim_peer *peer)
{
    timers_cancel(&swim->timers, &peer->timer.timer);
    if (peer->suspicion) {
        suspicion_fini(peer->suspicion);
        MEM_FREE(peer->suspicion);
    }
}

static bool is_up(const struct swim_peer *peer)
{
    return peer->pub.state == GOSSIP_IS_ALIVE || peer->pub.state == GOSSIP_IS_SUSPECT;
}

static void set_state(struct swim *swim, struct mono now, struct swim_peer *peer,
                      enum gossip_state state)
{
    bool was_up = is_up(peer);
    if (peer->pub.state != state)
        peer->pub.changed = now;
    peer->pub.state = state;
    if (is_up(peer) && !was_up)
        swim->peers_alive++;
    if (!is_up(peer) && was_up)
        swim->peers_alive--;
}

struct gossip_node swim_describe(const struct swim_member *member)
{
    struct gossip_node node = {.name = {(const uint8_t *)member->name, strlen(member->name)},
                               .addr = site_ip(&member->site),
                               .meta = {(const uint8_t *)"", 0},
                               .incarnation = member->incarnation,
                               .port = member->site.port,
                               .state = member->state};
    memcpy(node.versions, member->versions, sizeof node.versions);
    return node;
}

static void queue(struct swim *swim, const char *name, const struct gossip_message *message)
{
    struct buf bytes;
    buf_init(&bytes, PACKET_BYTES_MAX);
    gossip_encode(message, &bytes);
    CHECK(buf_ok(&bytes)); // names are bounded
    broadcasts_put(&swim->queue, name, strlen(name), bytes.data, bytes.len);
    swim->counters->broadcasts_dropped += swim->queue.dropped;
    swim->queue.dropped = 0;
    buf_fini(&bytes);
}

static void queue_alive(struct swim *swim, const struct swim_peer *peer)
{
    struct gossip_message message = {.type = GOSSIP_ALIVE, .alive = swim_describe(&peer->pub)};
    queue(swim, peer->name, &message);
}

static void queue_verdict(struct swim *swim, enum gossip_type type,
                          const struct gossip_verdict *verdict, const char *name)
{
    struct gossip_message message = {.type = type, .verdict = *verdict};
    queue(swim, name, &message);
}

static int64_t within(struct swim *swim, int64_t period_ns)
{
    return (int64_t)rand_below(&swim->rand, (uint64_t)period_ns);
}

struct swim *swim_new(const struct swim_config *config, struct mono now)
{
    static const uint8_t versions[6] = SWIM_VERSIONS;
    CHECK(config->name[0] && strlen(config->name) <= GOSSIP_NAME_BYTES);
    CHECK(config->site.ip_size > 0 && config->site.port > 0);
    struct swim *swim = MEM_NEW(struct swim);
    swim->config = *config;
    swim->counters = config->counters;
    rand_init(&swim->rand, config->seed);
    timers_init(&swim->timers);
    map_init(&swim->by_name);
    map_init(&swim->relays);
    map_init(&swim->tickets);
    broadcasts_init(&swim->queue, SWIM_BROADCAST_MAX);
    parcel_init(&swim->parcel);
    swim->incarnation = 1;
    swim->self = peer_new(swim, (struct span){(const uint8_t *)config->name, strlen(config->name)});
    swim->config.name = swim->self->name;
    swim->self->pub.site = config->site;
    swim->self->pub.incarnation = swim->incarnation;
    swim->self->pub.state = GOSSIP_IS_DEAD;
    memcpy(swim->self->pub.versions, versions, sizeof versions);
    set_state(swim, now, swim->self, GOSSIP_IS_ALIVE);
    queue_alive(swim, swim->self);
    swim->probe_timer.kind = SWIM_TIMER_PROBE;
    swim->direct_timer.kind = SWIM_TIMER_DIRECT;
    swim->round_timer.kind = SWIM_TIMER_ROUND;
    swim->push_pull_timer.kind = SWIM_TIMER_PUSH_PULL;
    swim_arm(swim, &swim->probe_timer, mono_add(now, within(swim, SWIM_PROBE_INTERVAL_NS)));
    rounds_init(&swim->gossip, SWIM_GOSSIP_INTERVAL_NS,
                mono_add(now, within(swim, SWIM_GOSSIP_INTERVAL_NS)));
    swim_arm(swim, &swim->push_pull_timer, mono_add(now, within(swim, SWIM_PUSH_PULL_NS)));
    return swim;
}

void swim_free(struct swim *swim)
{
    if (!swim)
        return;
    timers_fini(&swim->timers);
    for (size_t i = 0; i < swim->peers_count; i++) {
        if (swim->peers[i]->suspicion)
            suspicion_fini(swim->peers[i]->suspicion);
        free(swim->peers[i]->suspicion);
        free(swim->peers[i]);
    }
    free(swim->peers);
    MAP_EACH (entry, &swim->relays)
        free(entry->value);
    map_fini(&swim->relays);
    swim_tickets_fini(swim);
    map_fini(&swim->by_name);
    broadcasts_fini(&swim->queue);
    parcel_fini(&swim->parcel);
    free(swim);
}

// ---- members -----------------------------------------------------------------------------------

// Names come into logs and files, so they are held to what every known implementation uses.
static bool good_name(struct span name)
{
    if (name.size == 0 || name.size > GOSSIP_NAME_BYTES)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.at[i] <= ' ' || name.at[i] > '~')
            return false;
    return true;
}

struct swim_peer *swim_peer_find(const struct swim *swim, struct span name)
{
    return name.size ? map_get(&swim->by_name, name.at, name.size) : NULL;
}

const struct swim_member *swim_find(const struct swim *swim, const char *name)
{
    const struct swim_peer *peer = map_get_str(&swim->by_name, name);
    return peer ? &peer->pub : NULL;
}

const struct swim_member *swim_next(const struct swim *swim, size_t *position)
{
    return *position < swim->peers_count ? &swim->peers[(*position)++]->pub : NULL;
}

size_t swim_count(const struct swim *swim)
{
    return swim->peers_count;
}

size_t swim_count_alive(const struct swim *swim)
{
    return swim->peers_alive;
}

unsigned swim_health(const struct swim *swim)
{
    return swim->health;
}

void swim_health_add(struct swim *swim, int delta)
{
    int health = (int)swim->health + delta;
    swim->health = health < 0                  ? 0
                   : health >= SWIM_HEALTH_MAX ? SWIM_HEALTH_MAX - 1
                                               : (unsigned)health;
}

size_t swim_pick(struct swim *swim, size_t count, swim_fits_fn *fits, void *ctx,
                 struct swim_peer **out)
{
    size_t found = 0;
    for (size_t tries = 3 * swim->peers_count; tries > 0 && found < count; tries--) {
        struct swim_peer *peer = swim->peers[rand_below(&swim->rand, swim->peers_count)];
        bool fresh = fits(swim, peer, ctx);
        for (size_t i = 0; i < found && fresh; i++)
            fresh = out[i] != peer;
        if (fresh)
            out[found++] = peer;
    }
    return found;
}

void swim_forget_dead(struct swim *swim, struct mono now)
{
    size_t kept = 0;
    for (size_t i = 0; i < swim->peers_count; i++) {
        struct swim_peer *peer = swim->peers[i];
        bool stays = is_up(peer) || peer == swim->self || peer == swim->probe.target ||
                     mono_since(now, peer->pub.changed) <= SWIM_GOSSIP_TO_DEAD_NS;
        if (stays) {
            swim->peers[kept++] = peer;
            continue;
        }
        end_suspicion(swim, peer);
        map_remove_str(&swim->by_name, peer->name);
        free(peer);
    }
    swim->peers_count = kept;
}

// ---- what is said of nodes ----------------------------------------------------------------------

// Whether two nodes of these versions understand each other: our current one in their range. A node
// that announces others is passed over alone, where stock nodes refuse to merge at all: nobody's
// claims about a third node should keep us from the rest.
static bool speaks_with_us(const uint8_t versions[6])
{
    static const uint8_t ours[6] = SWIM_VERSIONS;
    return versions[0] >= 1 && versions[0] <= ours[2] && versions[1] >= ours[2] &&
           versions[3] <= ours[5] && versions[4] >= ours[5];
}

// Says with a higher incarnation that this node lives.
static void refute(struct swim *swim, uint32_t accused)
{
    // Past the last incarnation nothing can be refuted any more; the agent's next start helps.
    if (swim->incarnation < UINT32_MAX)
        swim->incarnation++;
    if (accused >= swim->incarnation)
        swim->incarnation = accused < UINT32_MAX ? accused + 1 : UINT32_MAX;
    swim->self->pub.incarnation = swim->incarnation;
    swim_health_add(swim, 1);
    swim->counters->refutations++;
    queue_alive(swim, swim->self);
}

static void hear_alive_self(struct swim *swim, const struct gossip_node *node)
{
    struct swim_peer *self = swim->self;
    if (swim->leaving || node->incarnation < self->pub.incarnation)
        return;
    bool same = node->incarnation == self->pub.incarnation && node->meta.size == 0 &&
                memcmp(node->versions, self->pub.versions, sizeof node->versions) == 0;
    if (!same)
        refute(swim, node->incarnation);
}

static struct swim_peer *make_room(struct swim *swim, struct mono now, struct span name)
{
    if (swim->peers_count >= SWIM_MEMBERS_MAX)
        swim_forget_dead(swim, now);
    if (swim->peers_count >= SWIM_MEMBERS_MAX) {
        swim->counters->drop_full++;
        return NULL;
    }
    struct swim_peer *peer = peer_new(swim, name);
    peer->pub.state = GOSSIP_IS_DEAD;
    return peer;
}

void swim_hear_alive(struct swim *swim, struct mono now, const struct gossip_node *node)
{
    struct site site;
    if (!good_name(node->name) || !site_of(node->addr, node->port, &site)) {
        swim->counters->drop_broken++;
        return;
    }
    if (!speaks_with_us(node->versions)) {
        swim->counters->drop_version++;
        return;
    }
    struct swim_peer *peer = swim_peer_find(swim, node->name);
    bool moved = peer && !site_equal(&peer->pub.site, &site);
    if (moved && peer->pub.state != GOSSIP_HAS_LEFT) {
        swim->counters->drop_conflict++;
        return;
    }
    if (peer && peer == swim->self) {
        hear_alive_self(swim, node);
        return;
    }
    if (peer && node->incarnation <= peer->pub.incarnation && !moved)
        return;
    if (!peer && (node->incarnation == 0 || !(peer = make_room(swim, now, node->name))))
        return;
    end_suspicion(swim, peer);
    bool was_up = is_up(peer);
    peer->pub.site = site;
    peer->pub.incarnation = node->incarnation;
    memcpy(peer->pub.versions, node->versions, sizeof peer->pub.versions);
    set_state(swim, now, peer, GOSSIP_IS_ALIVE);
    queue_alive(swim, peer);
    if (!was_up)
        swim->config.rider->up(swim->config.rider_owner, now, &peer->pub);
}

static void begin_suspicion(struct swim *swim, struct mono now, struct swim_peer *peer,
                            const struct gossip_verdict *verdict)
{
    CHECK(!peer->suspicion);
    peer->pub.incarnation = verdict->incarnation;
    set_state(swim, now, peer, GOSSIP_IS_SUSPECT);
    peer->suspicion = MEM_NEW(struct suspicion);
    suspicion_init(peer->suspicion, now, verdict->from, swim->peers_count);
    swim_arm(swim, &peer->timer, suspicion_deadline(peer->suspicion));
    swim->counters->suspicions++;
}

void swim_hear_suspect(struct swim *swim, struct mono now, const struct gossip_verdict *verdict)
{
    struct swim_peer *peer = swim_peer_find(swim, verdict->node);
    if (!good_name(verdict->from)) {
        swim->counters->drop_broken++;
        return;
    }
    if (!peer || verdict->incarnation < peer->pub.incarnation)
        return;
    if (peer == swim->self) {
        if (!swim->leaving)
            refute(swim, verdict->incarnation);
        return;
    }
    if (peer->suspicion) {
        if (!suspicion_confirm(peer->suspicion, verdict->from))
            return;
        swim_arm(swim, &peer->timer, suspicion_deadline(peer->suspicion));
        queue_verdict(swim, GOSSIP_SUSPECT, verdict, peer->name);
        return;
    }
    if (peer->pub.state != GOSSIP_IS_ALIVE)
        return;
    begin_suspicion(swim, now, peer, verdict);
    queue_verdict(swim, GOSSIP_SUSPECT, verdict, peer->name);
}

static bool same_span(struct span a, struct span b)
{
    return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

void swim_hear_gone(struct swim *swim, struct mono now, const struct gossip_verdict *verdict)
{
    bool accused = swim_peer_find(swim, verdict->node) == swim->self && !swim->leaving &&
                   verdict->incarnation >= swim->incarnation;
    swim_hear_suspect(swim, now, verdict);
    if (accused)
        swim->config.rider->accused(swim->config.rider_owner, now);
}

void swim_hear_dead(struct swim *swim, struct mono now, const struct gossip_verdict *verdict)
{
    struct swim_peer *peer = swim_peer_find(swim, verdict->node);
    if (!good_name(verdict->from)) {
        swim->counters->drop_broken++;
        return;
    }
    if (!peer || verdict->incarnation < peer->pub.incarnation || !is_up(peer))
        return;
    if (peer == swim->self && !swim->leaving) {
        refute(swim, verdict->incarnation);
        swim->config.rider->accused(swim->config.rider_owner, now);
        return;
    }
    end_suspicion(swim, peer);
    bool left = same_span(verdict->from, verdict->node);
    peer->pub.incarnation = verdict->incarnation;
    set_state(swim, now, peer, left ? GOSSIP_HAS_LEFT : GOSSIP_IS_DEAD);
    queue_verdict(swim, GOSSIP_DEAD, verdict, peer->name);
    if (peer == swim->self)
        return;
    swim->counters->deaths += !left;
    swim->config.rider->down(swim->config.rider_owner, now, &peer->pub);
}

static void suspicion_over(struct swim *swim, struct mono now, struct swim_peer *peer)
{
    struct span me = {(const uint8_t *)swim->config.name, strlen(swim->config.name)};
    struct gossip_verdict verdict = {.incarnation = peer->pub.incarnation,
                                     .node = {(const uint8_t *)peer->name, strlen(peer->name)},
                                     .from = me};
    swim_hear_dead(swim, now, &verdict);
}

void swim_leave(struct swim *swim, struct mono now)
{
    if (swim->leaving)
        return;
    swim->leaving = true;
    swim->left_by = mono_add(now, SWIM_LEAVE_NS);
    struct span me = {(const uint8_t *)swim->config.name, strlen(swim->config.name)};
    struct gossip_verdict verdict = {.incarnation = swim->incarnation, .node = me, .from = me};
    swim_hear_dead(swim, now, &verdict);
}

bool swim_has_left(const struct swim *swim, struct mono now)
{
    if (!swim->leaving)
        return false;
    bool told = !broadcasts_has(&swim->queue, swim->config.name, strlen(swim->config.name));
    return told || swim->peers_alive == 0 || !mono_before(now, swim->left_by);
}

// ---- sending -----------------------------------------------------------------------------------

static size_t take_broadcast(void *ctx, const void *bytes, size_t size)
{
    struct parcel *parcel = ctx;
    bool taken = parcel_add_bytes(parcel, bytes, size);
    CHECK(taken);
    return parcel_room(parcel);
}

void swim_fill(struct swim *swim, struct parcel *parcel)
{
    broadcasts_take(&swim->queue, broadcast_limit(swim->peers_count), parcel_room(parcel),
                    take_broadcast, parcel);
    swim->config.rider->fill(swim->config.rider_owner, parcel);
}

void swim_send(struct swim *swim, const struct site *to, const struct gossip_message *message)
{
    parcel_begin(&swim->parcel);
    bool added = parcel_add(&swim->parcel, message);
    CHECK(added);
    swim_fill(swim, &swim->parcel);
    // Stock nodes look for the receiver's record by its address, find none, and leave the checksum
    // out; so does this.
    swim->config.out->packet(swim->config.out_owner, to, &swim->parcel, false);
}

static bool takes_crc(const struct swim_member *member)
{
    return member->versions[1] >= SWIM_VERSION_CRC;
}

void swim_send_packet(struct swim *swim, const struct swim_member *member, struct span user)
{
    struct gossip_message message = {.type = GOSSIP_USER, .user = user};
    parcel_begin(&swim->parcel);
    if (parcel_add(&swim->parcel, &message))
        swim->config.out->packet(swim->config.out_owner, &member->site, &swim->parcel,
                                 takes_crc(member));
}

struct gossip_message swim_make_ping(struct swim *swim, uint32_t seq, const char *name)
{
    const struct swim_member *me = &swim->self->pub;
    return (struct gossip_message){
        .type = GOSSIP_PING,
        .ping = {.seq = seq,
                 .node = {(const uint8_t *)name, strlen(name)},
                 .source_addr = site_ip(&me->site),
                 .source_port = me->site.port,
                 .source_node = {(const uint8_t *)me->name, strlen(me->name)}}};
}

// Nodes just found dead hear the gossip too: one that is not, refutes.
static bool hears_gossip(const struct swim *swim, const struct swim_peer *peer, void *ctx)
{
    const struct mono *now = ctx;
    if (peer == swim->self)
        return false;
    return is_up(peer) || (peer->pub.state == GOSSIP_IS_DEAD &&
                           mono_since(*now, peer->pub.changed) <= SWIM_GOSSIP_TO_DEAD_NS);
}

// Whether a round has something to send, and somebody to send it to.
static bool has_gossip(const struct swim *swim)
{
    return swim->peers_count > 1 &&
           (swim->queue.count > 0 || swim->config.rider->waits(swim->config.rider_owner));
}

static void gossip_round(struct swim *swim, struct mono now)
{
    struct swim_peer *to[SWIM_GOSSIP_NODES];
    size_t count = swim_pick(swim, SWIM_GOSSIP_NODES, hears_gossip, &now, to);
    for (size_t i = 0; i < count; i++) {
        parcel_begin(&swim->parcel);
        swim_fill(swim, &swim->parcel);
        if (swim->parcel.count == 0)
            return;
        swim->config.out->packet(swim->config.out_owner, &to[i]->pub.site, &swim->parcel,
                                 takes_crc(&to[i]->pub));
    }
}

// ---- events ------------------------------------------------------------------------------------

void swim_arm(struct swim *swim, struct swim_timer *timer, struct mono due)
{
    timers_set(&swim->timers, &timer->timer, due);
}

struct mono swim_next_due(struct swim *swim, struct mono now)
{
    struct mono due = timers_next_due(&swim->timers);
    struct mono gossip = rounds_next(&swim->gossip, has_gossip(swim), now);
    return mono_before(gossip, due) ? gossip : due;
}

void swim_tick(struct swim *swim, struct mono now)
{
    for (struct timer *due; (due = timers_pop_due(&swim->timers, now));) {
        struct swim_timer *timer = CONTAINER_OF(due, struct swim_timer, timer);
        switch (timer->kind) {
        case SWIM_TIMER_PROBE:
            swim_probe_begin(swim, now);
            break;
        case SWIM_TIMER_DIRECT:
            swim_probe_direct_over(swim);
            break;
        case SWIM_TIMER_ROUND:
            swim_probe_round_over(swim, now);
            break;
        case SWIM_TIMER_PUSH_PULL:
            swim_push_pull_tick(swim, now);
            break;
        case SWIM_TIMER_SUSPECT:
            suspicion_over(swim, now, CONTAINER_OF(timer, struct swim_peer, timer));
            break;
        case SWIM_TIMER_RELAY:
            swim_relay_over(swim, CONTAINER_OF(timer, struct swim_relay, timer));
            break;
        }
    }
    if (rounds_begin(&swim->gossip, now))
        gossip_round(swim, now);
}

void swim_packet(struct swim *swim, struct mono now, const struct site *from,
                 const struct gossip_message *message)
{
    switch (message->type) {
    case GOSSIP_PING:
    case GOSSIP_INDIRECT:
    case GOSSIP_ACK:
    case GOSSIP_NACK:
        swim_probe_packet(swim, now, from, message);
        break;
    case GOSSIP_ALIVE:
        swim_hear_alive(swim, now, &message->alive);
        break;
    case GOSSIP_SUSPECT:
        swim_hear_suspect(swim, now, &message->verdict);
        break;
    case GOSSIP_DEAD:
        swim_hear_dead(swim, now, &message->verdict);
        break;
    case GOSSIP_USER:
        swim->config.rider->packet(swim->config.rider_owner, now, message->user);
        break;
    default:
        swim->counters->drop_broken++;
    }
}

void swim_gauge(const struct swim *swim)
{
    swim->counters->members = swim->peers_count;
    swim->counters->members_alive = swim->peers_alive;
    swim->counters->members_suspect = 0;
    for (size_t i = 0; i < swim->peers_count; i++)
        swim->counters->members_suspect += swim->peers[i]->pub.state == GOSSIP_IS_SUSPECT;
    swim->counters->health = swim->health;
    swim->counters->broadcasts_queued = swim->queue.count;
}
