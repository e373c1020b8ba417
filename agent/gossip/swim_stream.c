// SWIM's streams: exchange of full states with one node, pings by TCP, and the rider's messages
// (gossip.md section 7).
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/stream.h"
#include "agent/gossip/swim_impl.h"
#include "proto/base/arena.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// What one exchange may take once decoded: the list of nodes; their texts stay where they are.
#define MERGE_BYTES_MAX (64 << 20)

// From so many nodes on the periodic exchange slows down.
#define PUSH_PULL_NODES 32

// ---- tickets -----------------------------------------------------------------------------------

uint32_t swim_stream_start(struct swim *swim, enum swim_ticket_kind kind, const struct site *to,
                           const struct buf *plain)
{
    if (map_count(&swim->tickets) >= SWIM_TICKETS_MAX || !buf_ok(plain))
        return 0;
    struct swim_ticket *ticket = MEM_NEW(struct swim_ticket);
    do
        ticket->number = ++swim->ticket_last;
    while (ticket->number == 0 || map_get_u64(&swim->tickets, ticket->number));
    ticket->kind = kind;
    ticket->site = *to;
    map_put_u64(&swim->tickets, ticket->number, ticket);
    swim->config.out->stream(swim->config.out_owner, to, ticket->number, plain,
                             kind != SWIM_TICKET_USER);
    return ticket->number;
}

void swim_tickets_fini(struct swim *swim)
{
    MAP_EACH (entry, &swim->tickets)
        free(entry->value);
    map_fini(&swim->tickets);
}

uint32_t swim_send_stream(struct swim *swim, const struct swim_member *member, struct span user)
{
    struct buf plain;
    buf_init(&plain, STREAM_USER_BYTES_MAX);
    if (user.size > STREAM_USER_BYTES_MAX)
        return 0;
    stream_write_user(user, &plain);
    uint32_t ticket = swim_stream_start(swim, SWIM_TICKET_USER, &member->site, &plain);
    buf_fini(&plain);
    return ticket;
}

// ---- push/pull ---------------------------------------------------------------------------------

static void write_states(struct swim *swim, struct mono now, bool join, struct buf *out)
{
    struct buf user;
    buf_init(&user, STREAM_USER_BYTES_MAX);
    swim->config.rider->state(swim->config.rider_owner, now, join, &user);
    struct gossip_node *nodes = mem_alloc_array(swim->peers_count, sizeof *nodes);
    for (size_t i = 0; i < swim->peers_count; i++)
        nodes[i] = swim_describe(&swim->peers[i]->pub);
    struct push_pull states = {.join = join,
                               .nodes = nodes,
                               .nodes_count = swim->peers_count,
                               .user = {user.data, user.len}};
    push_pull_write(&states, out);
    free(nodes);
    buf_fini(&user);
}

void swim_push_pull(struct swim *swim, struct mono now, enum swim_ticket_kind kind,
                    const struct site *to)
{
    struct buf plain;
    buf_init(&plain, STREAM_FRAME_BYTES_MAX);
    write_states(swim, now, kind == SWIM_TICKET_JOIN, &plain);
    swim->counters->push_pulls++;
    if (!swim_stream_start(swim, kind, to, &plain))
        swim->counters->push_pulls_failed++;
    buf_fini(&plain);
}

bool swim_join(struct swim *swim, struct mono now, const struct site *site)
{
    if (map_count(&swim->tickets) >= SWIM_TICKETS_MAX)
        return false;
    swim_push_pull(swim, now, SWIM_TICKET_JOIN, site);
    return true;
}

static bool is_other_alive(const struct swim *swim, const struct swim_peer *peer, void *ctx)
{
    (void)ctx;
    return peer != swim->self && peer->pub.state == GOSSIP_IS_ALIVE;
}

void swim_push_pull_tick(struct swim *swim, struct mono now)
{
    int64_t factor = 1;
    if (swim->peers_count > PUSH_PULL_NODES)
        factor = (int64_t)ceil(log2((double)swim->peers_count) - log2(PUSH_PULL_NODES)) + 1;
    swim_arm(swim, &swim->push_pull_timer, mono_add(now, factor * SWIM_PUSH_PULL_NS));
    struct swim_peer *peer;
    if (!swim->leaving && swim_pick(swim, 1, is_other_alive, NULL, &peer) == 1)
        swim_push_pull(swim, now, SWIM_TICKET_PUSH_PULL, &peer->pub.site);
}

static void merge_node(struct swim *swim, struct mono now, const struct gossip_node *node)
{
    struct span me = {(const uint8_t *)swim->config.name, strlen(swim->config.name)};
    struct gossip_verdict verdict = {
        .incarnation = node->incarnation, .node = node->name, .from = me};
    switch (node->state) {
    case GOSSIP_IS_ALIVE:
        swim_hear_alive(swim, now, node);
        break;
    case GOSSIP_HAS_LEFT:
        verdict.from = node->name;
        swim_hear_dead(swim, now, &verdict);
        break;
    case GOSSIP_IS_DEAD: // taken as suspect, so that it has a chance to refute
        swim_hear_gone(swim, now, &verdict);
        break;
    case GOSSIP_IS_SUSPECT:
        swim_hear_suspect(swim, now, &verdict);
        break;
    }
}

static void merge(struct swim *swim, struct mono now, const struct push_pull *states)
{
    for (size_t i = 0; i < states->nodes_count; i++)
        merge_node(swim, now, &states->nodes[i]);
    if (states->user.size > 0)
        swim->config.rider->merge(swim->config.rider_owner, now, states->user, states->join);
}

static int exchange(struct swim *swim, struct mono now, struct span plain, struct buf *reply,
                    struct err *err)
{
    struct arena arena;
    struct push_pull states;
    arena_init(&arena, MERGE_BYTES_MAX);
    int result = push_pull_parse(plain.at, plain.size, &arena, &states, err);
    if (result == 0) {
        if (reply)
            write_states(swim, now, states.join, reply);
        merge(swim, now, &states);
    }
    arena_fini(&arena);
    return result;
}

// ---- a peer's stream ----------------------------------------------------------------------------

static int answer_ping(struct swim *swim, struct span plain, struct buf *reply, struct err *err)
{
    struct gossip_message message;
    struct cursor in = cursor_of(plain.at, plain.size);
    int result = gossip_decode(&in, &message, err);
    if (result)
        return result;
    const struct span *node = &message.ping.node;
    const char *me = swim->config.name;
    if (node->size > 0 && (node->size != strlen(me) || memcmp(node->at, me, node->size) != 0)) {
        swim->counters->drop_misdirected++;
        return 0;
    }
    struct gossip_message ack = {.type = GOSSIP_ACK, .ack = {.seq = message.ping.seq}};
    gossip_encode(&ack, reply);
    return 0;
}

int swim_request(struct swim *swim, struct mono now, struct span plain, struct buf *reply,
                 struct err *err)
{
    struct span user;
    int result;
    if (plain.size == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip stream is empty");
    switch (plain.at[0]) {
    case GOSSIP_PUSH_PULL:
        return exchange(swim, now, plain, reply, err);
    case GOSSIP_PING:
        return answer_ping(swim, plain, reply, err);
    case GOSSIP_USER:
        result = stream_parse_user(plain.at, plain.size, &user, err);
        if (result == 0)
            swim->config.rider->stream(swim->config.rider_owner, now, user);
        return result;
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "received invalid msgType (%u)", plain.at[0]);
    }
}

// ---- outcomes ----------------------------------------------------------------------------------

static struct swim_ticket *take_ticket(struct swim *swim, uint32_t number, struct swim_ticket *out)
{
    struct swim_ticket *ticket = map_remove_u64(&swim->tickets, number);
    CHECK(ticket); // every stream ends exactly once
    *out = *ticket;
    free(ticket);
    return out;
}

static void finish(struct swim *swim, struct mono now, const struct swim_ticket *ticket, bool good)
{
    const struct swim_config *config = &swim->config;
    switch (ticket->kind) {
    case SWIM_TICKET_PING:
        swim_probe_stream_done(swim, ticket->number, good);
        break;
    case SWIM_TICKET_JOIN:
        swim->counters->push_pulls_failed += !good;
        config->rider->joined(config->rider_owner, now, &ticket->site, good);
        break;
    case SWIM_TICKET_PUSH_PULL:
        swim->counters->push_pulls_failed += !good;
        break;
    case SWIM_TICKET_USER:
        config->rider->sent(config->rider_owner, now, ticket->number, good);
        break;
    }
}

static bool is_ack(const struct swim *swim, struct span plain)
{
    struct gossip_message message;
    struct cursor in = cursor_of(plain.at, plain.size);
    return gossip_decode(&in, &message, NULL) == 0 && message.type == GOSSIP_ACK &&
           message.ack.seq == swim->probe.seq;
}

void swim_answer(struct swim *swim, struct mono now, uint32_t number, struct span plain)
{
    struct swim_ticket ticket;
    take_ticket(swim, number, &ticket);
    bool good = true;
    if (ticket.kind == SWIM_TICKET_PING)
        good = is_ack(swim, plain);
    else if (ticket.kind != SWIM_TICKET_USER)
        good = exchange(swim, now, plain, NULL, NULL) == 0;
    finish(swim, now, &ticket, good);
}

void swim_failed(struct swim *swim, struct mono now, uint32_t number)
{
    struct swim_ticket ticket;
    take_ticket(swim, number, &ticket);
    finish(swim, now, &ticket, false);
}
