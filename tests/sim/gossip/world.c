#include "tests/sim/gossip/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define SETTLE_LOOK_NS (100 * NS_PER_MS)

enum event_type { PACKET, REQUEST, ANSWER, FAILED };

struct event {
    struct timer timer;
    enum event_type type;
    unsigned from, to;
    unsigned life; // of the receiver of an answer
    uint32_t ticket;
    bool answered;
    size_t count; // parts of a packet
    size_t *sizes;
    struct buf bytes;
};

static struct event *event_new(enum event_type type, unsigned from, unsigned to)
{
    struct event *event = MEM_NEW(struct event);
    event->type = type;
    event->from = from;
    event->to = to;
    buf_init(&event->bytes, SIZE_MAX);
    return event;
}

static void event_free(struct event *event)
{
    buf_fini(&event->bytes);
    free(event->sizes);
    free(event);
}

// Events and ticks share the timers: a tick's timer lies inside of the array of nodes.
static bool is_tick(const struct world *world, const struct timer *timer)
{
    const char *at = (const char *)timer;
    return at >= (const char *)world->nodes && at < (const char *)(world->nodes + world->count);
}

static void schedule(struct world *world, struct event *event, int64_t delay_ns)
{
    world->in_flight++;
    timers_set(&world->timers, &event->timer, mono_add(world->now, delay_ns));
}

static int64_t delay(struct world *world)
{
    return rand_between(&world->rand, NS_PER_MS / 10, world->latency_ns);
}

static struct site site_at(unsigned number)
{
    struct site site = {.ip_size = 4, .port = GOSSIP_PORT};
    site.ip[0] = 10;
    site.ip[2] = (uint8_t)(number >> 8);
    site.ip[3] = (uint8_t)number;
    return site;
}

static unsigned number_at(const struct site *site)
{
    return (unsigned)site->ip[2] << 8 | site->ip[3];
}

static void arm(struct world_node *node)
{
    if (node->core && !node->frozen)
        timers_set(&node->world->timers, &node->tick,
                   gossiper_next_due(node->core, node->world->now));
    else
        timers_cancel(&node->world->timers, &node->tick);
}

// ---- what cores send ----------------------------------------------------------------------------

static void on_packet(void *owner, const struct site *to, const struct parcel *parcel, bool crc)
{
    struct world_node *node = owner;
    struct world *world = node->world;
    struct span parts[PACKET_PARTS_MAX];
    (void)crc;
    CHECK(parcel->bytes.len <= PACKET_BUDGET_BYTES - PACKET_WRAP_BYTES);
    world->packets++;
    world->bytes += parcel->bytes.len + PACKET_WRAP_BYTES;
    if (rand_below(&world->rand, 100) < world->loss_percent)
        return;
    struct event *event = event_new(PACKET, node->number, number_at(to));
    event->count = parcel_spans(parcel, parts);
    event->sizes = mem_alloc_array(event->count, sizeof *event->sizes);
    for (size_t i = 0; i < event->count; i++) {
        event->sizes[i] = parts[i].size;
        buf_put(&event->bytes, parts[i].at, parts[i].size);
    }
    schedule(world, event, delay(world));
}

static void on_stream(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                      bool answered)
{
    struct world_node *node = owner;
    struct event *event = event_new(REQUEST, node->number, number_at(to));
    event->ticket = ticket;
    event->answered = answered;
    event->life = node->life;
    buf_put(&event->bytes, plain->data, plain->len);
    node->world->streams++;
    node->world->stream_bytes += plain->len;
    schedule(node->world, event, 2 * delay(node->world));
}

static void on_rows(void *owner, const char *network_id)
{
    (void)owner;
    (void)network_id;
}

static void on_node(void *owner, const char *node, const struct site *site,
                    enum netdb_node_state state)
{
    (void)owner;
    (void)node;
    (void)site;
    (void)state;
}

static const struct gossiper_out out = {.net = {.packet = on_packet, .stream = on_stream},
                                        .rows_changed = on_rows,
                                        .node_changed = on_node};

// ---- what arrives -------------------------------------------------------------------------------

static bool reaches(const struct world *world, unsigned from, unsigned to)
{
    return world->nodes[from].side == world->nodes[to].side;
}

static void deliver_packet(struct world *world, struct event *event)
{
    struct world_node *to = &world->nodes[event->to];
    const struct site from = site_at(event->from);
    const uint8_t *at = event->bytes.data;
    if (!to->core || !reaches(world, event->from, event->to))
        return;
    for (size_t i = 0; i < event->count && to->core; i++) {
        struct gossip_message message;
        struct cursor in = cursor_of(at, event->sizes[i]);
        int result = gossip_decode(&in, &message, NULL);
        CHECK(result == 0); // our own bytes
        gossiper_packet(to->core, world->now, &from, &message);
        at += event->sizes[i];
    }
    arm(to);
}

static void answer(struct world *world, struct event *request, bool good, struct buf *reply,
                   int64_t delay_ns)
{
    struct event *event = event_new(good ? ANSWER : FAILED, request->to, request->from);
    event->ticket = request->ticket;
    event->life = request->life;
    if (reply)
        buf_put(&event->bytes, reply->data, reply->len);
    schedule(world, event, delay_ns);
}

static void deliver_request(struct world *world, struct event *event)
{
    struct world_node *to = &world->nodes[event->to];
    struct buf reply;
    if (!reaches(world, event->from, event->to)) {
        answer(world, event, false, NULL, SWIM_STREAM_NS - NS_PER_S);
        return;
    }
    if (!to->core) {
        answer(world, event, false, NULL, delay(world)); // refused
        return;
    }
    buf_init(&reply, SIZE_MAX);
    struct span plain = {event->bytes.data, event->bytes.len};
    int result = gossiper_request(to->core, world->now, plain, &reply, NULL);
    world->stream_bytes += reply.len;
    bool good = result == 0 && (!event->answered || reply.len > 0);
    answer(world, event, good, &reply, delay(world));
    buf_fini(&reply);
    arm(to);
}

static void deliver_answer(struct world *world, struct event *event)
{
    struct world_node *to = &world->nodes[event->to];
    if (!to->core || to->life != event->life)
        return;
    if (event->type == ANSWER && reaches(world, event->from, event->to))
        gossiper_answer(to->core, world->now, event->ticket,
                        (struct span){event->bytes.data, event->bytes.len});
    else
        gossiper_failed(to->core, world->now, event->ticket);
    arm(to);
}

static void deliver(struct world *world, struct event *event)
{
    world->in_flight--;
    if (world->nodes[event->to].frozen) {
        // The kernel holds it: packets in the socket's buffer, connections in the queue.
        schedule(world, event, NS_PER_S);
        return;
    }
    switch (event->type) {
    case PACKET:
        deliver_packet(world, event);
        break;
    case REQUEST:
        deliver_request(world, event);
        break;
    case ANSWER:
    case FAILED:
        deliver_answer(world, event);
        break;
    }
    event_free(event);
}

// ---- nodes --------------------------------------------------------------------------------------

void world_init(struct world *world, uint64_t seed, unsigned nodes)
{
    CHECK(nodes <= WORLD_NODES_MAX);
    *world = (struct world){.now = {NS_PER_H}, .count = nodes, .latency_ns = 5 * NS_PER_MS};
    rand_init(&world->rand, seed);
    timers_init(&world->timers);
    world->nodes = mem_alloc_array(nodes, sizeof *world->nodes);
    for (unsigned i = 0; i < nodes; i++) {
        world->nodes[i].world = world;
        world->nodes[i].number = i;
    }
}

void world_fini(struct world *world)
{
    for (unsigned i = 0; i < world->count; i++) {
        timers_cancel(&world->timers, &world->nodes[i].tick);
        gossiper_free(world->nodes[i].core);
    }
    for (struct timer *timer; (timer = timers_pop_due(&world->timers, MONO_NEVER));)
        event_free(CONTAINER_OF(timer, struct event, timer));
    timers_fini(&world->timers);
    free(world->nodes);
}

static void network_name(unsigned network, char id[16])
{
    str_format(id, 16, "network%u", network);
}

static void do_put(struct world_node *node, unsigned network, unsigned row)
{
    char id[16], key[32], value[32];
    network_name(network, id);
    // Names are of the endpoint, and the endpoint outlives its node's restart.
    str_format(key, sizeof key, "node%u-row%u", node->number, row);
    str_format(value, sizeof value, "value%u", node->version[network][row]);
    struct span bytes = {(const uint8_t *)value, strlen(value)};
    int result =
        netdb_row_put(gossiper_netdb(node->core), node->world->now, id, "table", key, bytes, NULL);
    CHECK(result == 0);
    arm(node);
}

static void do_join(struct world_node *node, unsigned network)
{
    char id[16];
    network_name(network, id);
    int result = netdb_network_join(gossiper_netdb(node->core), node->world->now, id, NULL);
    CHECK(result == 0);
    for (unsigned row = 0; row < WORLD_ROWS_PER_NET; row++)
        if (node->rows[network] & 1u << row)
            do_put(node, network, row);
    arm(node);
}

void world_start(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];
    struct site managers[WORLD_BOOTSTRAP];
    CHECK(!node->core);
    node->life++;
    node->up = true;
    node->leaving = false;
    str_format(node->name, sizeof node->name, "%04x%08x", number, node->life);
    struct gossiper_config config = {.name = node->name,
                                     .site = site_at(number),
                                     .seed = rand_u64(&world->rand),
                                     .out = &out,
                                     .out_owner = node};
    node->core = gossiper_new(&config, world->now);
    for (unsigned i = 0; i < WORLD_BOOTSTRAP; i++)
        managers[i] = site_at(i);
    netdb_bootstrap(gossiper_netdb(node->core), world->now, managers,
                    world->count < WORLD_BOOTSTRAP ? world->count : WORLD_BOOTSTRAP);
    gossiper_start(node->core, world->now);
    for (unsigned network = 0; network < WORLD_NETWORKS; network++)
        if (node->networks & 1u << network)
            do_join(node, network);
    arm(node);
}

void world_freeze(struct world *world, unsigned number, bool frozen)
{
    world->nodes[number].frozen = frozen;
    arm(&world->nodes[number]);
}

void world_crash(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];
    gossiper_free(node->core);
    node->core = NULL;
    node->up = false;
    arm(node);
}

void world_leave(struct world *world, unsigned number)
{
    struct world_node *node = &world->nodes[number];
    node->leaving = true;
    node->up = false;
    gossiper_leave(node->core, world->now);
    arm(node);
}

void world_join(struct world *world, unsigned number, unsigned network)
{
    struct world_node *node = &world->nodes[number];
    if (node->networks & 1u << network)
        return;
    node->networks |= 1u << network;
    if (node->up)
        do_join(node, network);
}

void world_quit(struct world *world, unsigned number, unsigned network)
{
    struct world_node *node = &world->nodes[number];
    char id[16];
    network_name(network, id);
    node->networks &= ~(1u << network);
    node->rows[network] = 0;
    if (node->up)
        netdb_network_leave(gossiper_netdb(node->core), world->now, id);
    arm(node);
}

void world_put(struct world *world, unsigned number, unsigned network, unsigned row)
{
    struct world_node *node = &world->nodes[number];
    if (!(node->networks & 1u << network))
        return;
    node->rows[network] |= 1u << row;
    node->version[network][row]++;
    if (node->up)
        do_put(node, network, row);
}

void world_remove(struct world *world, unsigned number, unsigned network, unsigned row)
{
    struct world_node *node = &world->nodes[number];
    char id[16], key[32];
    network_name(network, id);
    str_format(key, sizeof key, "node%u-row%u", number, row);
    node->rows[network] &= ~(1u << row);
    if (node->up)
        netdb_row_remove(gossiper_netdb(node->core), world->now, id, "table", key);
    arm(node);
}

// ---- time ---------------------------------------------------------------------------------------

static void tick(struct world *world, struct world_node *node)
{
    gossiper_tick(node->core, world->now);
    if (node->leaving && gossiper_has_left(node->core, world->now))
        world_crash(world, node->number);
    arm(node);
}

void world_run(struct world *world, int64_t duration_ns)
{
    struct mono until = mono_add(world->now, duration_ns);
    for (struct mono due; !mono_before(until, due = timers_next_due(&world->timers));) {
        if (mono_before(world->now, due))
            world->now = due;
        struct timer *timer = timers_pop_due(&world->timers, world->now);
        if (is_tick(world, timer))
            tick(world, CONTAINER_OF(timer, struct world_node, tick));
        else
            deliver(world, CONTAINER_OF(timer, struct event, timer));
    }
    world->now = until;
}

// ---- looking ------------------------------------------------------------------------------------

struct look {
    const struct world *world;
    unsigned members;
    unsigned wrong_members;
    unsigned rows;
    unsigned stale_rows;
    unsigned network;
};

static void look_at_member(void *ctx, const char *name, const struct site *site, bool self)
{
    struct look *look = ctx;
    const struct world_node *node = &look->world->nodes[number_at(site)];
    (void)self;
    look->members++;
    look->wrong_members += !node->up || strcmp(node->name, name) != 0;
}

static void look_at_row(void *ctx, const struct netdb_view *row)
{
    struct look *look = ctx;
    unsigned number = 0, which = 0;
    char value[32];
    int parsed = sscanf(row->key, "node%u-row%u", &number, &which);
    CHECK(parsed == 2);
    const struct world_node *node = &look->world->nodes[number];
    str_format(value, sizeof value, "value%u", node->version[look->network][which]);
    bool wanted = node->up && (node->rows[look->network] & 1u << which) &&
                  strcmp(row->node, node->name) == 0 && row->value.size == strlen(value) &&
                  memcmp(row->value.at, value, row->value.size) == 0;
    look->rows++;
    look->stale_rows += !wanted;
}

static bool node_converged(struct world *world, const struct world_node *node, unsigned up,
                           const unsigned *rows, char *why, size_t why_size)
{
    struct look look = {.world = world};
    netdb_nodes(gossiper_netdb(node->core), NULL, look_at_member, &look);
    if (look.members != up || look.wrong_members > 0) {
        str_format(why, why_size, "node %u has %u members, %u of them wrong, instead of %u",
                   node->number, look.members, look.wrong_members, up);
        return false;
    }
    for (unsigned network = 0; network < WORLD_NETWORKS; network++) {
        char id[16];
        network_name(network, id);
        look.rows = look.stale_rows = 0;
        look.network = network;
        netdb_rows(gossiper_netdb(node->core), id, NULL, look_at_row, &look);
        unsigned wanted = node->networks & 1u << network ? rows[network] : 0;
        if (look.rows == wanted && look.stale_rows == 0)
            continue;
        str_format(why, why_size, "node %u has %u rows on network %u, %u stale, instead of %u",
                   node->number, look.rows, network, look.stale_rows, wanted);
        return false;
    }
    return true;
}

bool world_converged(struct world *world, char *why, size_t why_size)
{
    unsigned up = 0, rows[WORLD_NETWORKS] = {0};
    for (unsigned i = 0; i < world->count; i++) {
        const struct world_node *node = &world->nodes[i];
        up += node->up;
        for (unsigned network = 0; network < WORLD_NETWORKS && node->up; network++)
            rows[network] += (unsigned)__builtin_popcount(node->rows[network]);
    }
    for (unsigned i = 0; i < world->count; i++)
        if (world->nodes[i].up && !node_converged(world, &world->nodes[i], up, rows, why, why_size))
            return false;
    return true;
}

int64_t world_settle(struct world *world, int64_t limit_ns, char *why, size_t why_size)
{
    struct mono began = world->now;
    while (!world_converged(world, why, why_size)) {
        if (mono_since(world->now, began) >= limit_ns)
            return -1;
        world_run(world, SETTLE_LOOK_NS);
    }
    return mono_since(world->now, began);
}

uint64_t world_sum(struct world *world, uint64_t (*get)(const struct gossip_counters *counters))
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < world->count; i++)
        if (world->nodes[i].core)
            sum += get(gossiper_counters(world->nodes[i].core));
    return sum;
}
