#include "agent/gossip/gossiper.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct gossiper {
    struct gossiper_config config;
    struct gossip_counters counters;
    struct swim *swim;
    struct netdb *db;
    bool leaving;
};

// ---- what SWIM tells NetworkDB ------------------------------------------------------------------

static void rider_fill(void *owner, struct parcel *parcel)
{
    struct gossiper *gossiper = owner;
    netdb_fill(gossiper->db, parcel);
}

static bool rider_waits(void *owner)
{
    const struct gossiper *gossiper = owner;
    return netdb_waits(gossiper->db);
}

static void rider_packet(void *owner, struct mono now, struct span user)
{
    struct gossiper *gossiper = owner;
    netdb_packet(gossiper->db, now, user);
}

static void rider_stream(void *owner, struct mono now, struct span user)
{
    struct gossiper *gossiper = owner;
    netdb_stream(gossiper->db, now, user);
}

static void rider_state(void *owner, struct mono now, bool join, struct buf *out)
{
    struct gossiper *gossiper = owner;
    (void)now;
    netdb_state(gossiper->db, join, out);
}

static void rider_merge(void *owner, struct mono now, struct span state, bool join)
{
    struct gossiper *gossiper = owner;
    (void)join;
    netdb_merge(gossiper->db, now, state);
}

static void rider_up(void *owner, struct mono now, const struct swim_member *member)
{
    struct gossiper *gossiper = owner;
    netdb_up(gossiper->db, now, member->name, &member->site);
}

static void rider_down(void *owner, struct mono now, const struct swim_member *member)
{
    struct gossiper *gossiper = owner;
    netdb_down(gossiper->db, now, member->name, member->state == GOSSIP_HAS_LEFT);
}

static void rider_accused(void *owner, struct mono now)
{
    struct gossiper *gossiper = owner;
    netdb_accused(gossiper->db, now);
}

static void rider_joined(void *owner, struct mono now, const struct site *site, bool good)
{
    struct gossiper *gossiper = owner;
    (void)now;
    netdb_joined(gossiper->db, site, good);
}

static void rider_sent(void *owner, struct mono now, uint32_t ticket, bool good)
{
    struct gossiper *gossiper = owner;
    netdb_sent(gossiper->db, now, ticket, good);
}

static const struct swim_rider rider = {
    .fill = rider_fill,
    .waits = rider_waits,
    .packet = rider_packet,
    .stream = rider_stream,
    .state = rider_state,
    .merge = rider_merge,
    .up = rider_up,
    .down = rider_down,
    .accused = rider_accused,
    .joined = rider_joined,
    .sent = rider_sent,
};

// ---- what NetworkDB asks of SWIM ----------------------------------------------------------------

static bool is_up(const struct swim_member *member)
{
    return member && (member->state == GOSSIP_IS_ALIVE || member->state == GOSSIP_IS_SUSPECT);
}

static void db_packet(void *owner, const char *node, struct span user)
{
    struct gossiper *gossiper = owner;
    const struct swim_member *member = swim_find(gossiper->swim, node);
    if (is_up(member))
        swim_send_packet(gossiper->swim, member, user);
}

static uint32_t db_stream(void *owner, const char *node, struct span user)
{
    struct gossiper *gossiper = owner;
    const struct swim_member *member = swim_find(gossiper->swim, node);
    return is_up(member) ? swim_send_stream(gossiper->swim, member, user) : 0;
}

static bool db_join(void *owner, struct mono now, const struct site *site)
{
    struct gossiper *gossiper = owner;
    return swim_join(gossiper->swim, now, site);
}

static bool db_alive(void *owner, const char *node)
{
    struct gossiper *gossiper = owner;
    return is_up(swim_find(gossiper->swim, node));
}

static void db_rows_changed(void *owner, const char *network_id)
{
    struct gossiper *gossiper = owner;
    gossiper->config.out->rows_changed(gossiper->config.out_owner, network_id);
}

static void db_node_changed(void *owner, const char *node, const struct site *site,
                            enum netdb_node_state state)
{
    struct gossiper *gossiper = owner;
    gossiper->config.out->node_changed(gossiper->config.out_owner, node, site, state);
}

static const struct netdb_out db_out = {
    .packet = db_packet,
    .stream = db_stream,
    .join = db_join,
    .alive = db_alive,
    .rows_changed = db_rows_changed,
    .node_changed = db_node_changed,
};

// ---- the whole ----------------------------------------------------------------------------------

struct gossiper *gossiper_new(const struct gossiper_config *config, struct mono now)
{
    struct gossiper *gossiper = MEM_NEW(struct gossiper);
    gossiper->config = *config;
    struct netdb_config db = {.name = config->name,
                              .site = config->site,
                              .seed = config->seed,
                              .out = &db_out,
                              .out_owner = gossiper,
                              .counters = &gossiper->counters};
    struct swim_config swim = {.name = config->name,
                               .site = config->site,
                               .seed = ~config->seed,
                               .out = &config->out->net,
                               .out_owner = config->out_owner,
                               .rider = &rider,
                               .rider_owner = gossiper,
                               .counters = &gossiper->counters};
    gossiper->db = netdb_new(&db, now);
    gossiper->swim = swim_new(&swim, now);
    return gossiper;
}

void gossiper_free(struct gossiper *gossiper)
{
    if (!gossiper)
        return;
    netdb_free(gossiper->db);
    swim_free(gossiper->swim);
    free(gossiper);
}

void gossiper_start(struct gossiper *gossiper, struct mono now)
{
    netdb_start(gossiper->db, now);
}

struct mono gossiper_next_due(struct gossiper *gossiper, struct mono now)
{
    struct mono swim = swim_next_due(gossiper->swim, now);
    struct mono db = netdb_next_due(gossiper->db, now);
    return mono_before(swim, db) ? swim : db;
}

void gossiper_tick(struct gossiper *gossiper, struct mono now)
{
    swim_tick(gossiper->swim, now);
    netdb_tick(gossiper->db, now);
    // Once SWIM says that this node left, nobody listens to its rider any more.
    if (gossiper->leaving && netdb_has_left(gossiper->db, now))
        swim_leave(gossiper->swim, now);
}

void gossiper_packet(struct gossiper *gossiper, struct mono now, const struct site *from,
                     const struct gossip_message *message)
{
    swim_packet(gossiper->swim, now, from, message);
}

int gossiper_request(struct gossiper *gossiper, struct mono now, struct span plain,
                     struct buf *reply, struct err *err)
{
    return swim_request(gossiper->swim, now, plain, reply, err);
}

void gossiper_answer(struct gossiper *gossiper, struct mono now, uint32_t ticket, struct span plain)
{
    swim_answer(gossiper->swim, now, ticket, plain);
}

void gossiper_failed(struct gossiper *gossiper, struct mono now, uint32_t ticket)
{
    swim_failed(gossiper->swim, now, ticket);
}

void gossiper_leave(struct gossiper *gossiper, struct mono now)
{
    gossiper->leaving = true;
    netdb_leave(gossiper->db, now);
}

bool gossiper_has_left(const struct gossiper *gossiper, struct mono now)
{
    return swim_has_left(gossiper->swim, now);
}

struct netdb *gossiper_netdb(struct gossiper *gossiper)
{
    return gossiper->db;
}

struct swim *gossiper_swim(struct gossiper *gossiper)
{
    return gossiper->swim;
}

struct gossip_counters *gossiper_counters(struct gossiper *gossiper)
{
    return &gossiper->counters;
}

void gossiper_gauge(struct gossiper *gossiper)
{
    swim_gauge(gossiper->swim);
    netdb_gauge(gossiper->db);
}
