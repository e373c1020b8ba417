// NetworkDB's timers: gossip, reaping, and finding back to nodes that were lost (gossip.md section
// 10.6).
#include <string.h>

#include "agent/gossip/netdb_impl.h"
#include "proto/base/check.h"

// ---- finding others -----------------------------------------------------------------------------

void netdb_bootstrap(struct netdb *db, struct mono now, const struct site *sites, size_t count)
{
    db->bootstrap_count = 0;
    for (size_t i = 0; i < count && db->bootstrap_count < GOSSIP_BOOTSTRAP_MAX; i++)
        if (!site_equal(&sites[i], &db->config.site))
            db->bootstrap[db->bootstrap_count++] = sites[i];
    netdb_start(db, now);
}

void netdb_start(struct netdb *db, struct mono now)
{
    db->rejoin_at = now;
    db->rejoin_until = mono_add(now, NETDB_REJOIN_FOR_NS);
}

static struct netdb_node *active_at(const struct netdb *db, const struct site *site)
{
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        if (node != db->self && node->state == NETDB_ACTIVE && site_equal(&node->site, site))
            return node;
    }
    return NULL;
}

static bool is_alone(const struct netdb *db)
{
    MAP_EACH (entry, &db->nodes) {
        const struct netdb_node *node = entry->value;
        if (node != db->self && node->state == NETDB_ACTIVE)
            return false;
    }
    return true;
}

// Heals what falls apart when all managers start anew at once: the others know each other, and
// nobody knows the managers.
static void rejoin(struct netdb *db, struct mono now)
{
    bool lost = db->bootstrap_count > 0;
    for (size_t i = 0; i < db->bootstrap_count; i++)
        lost &= !active_at(db, &db->bootstrap[i]);
    if (lost && !db->leaving)
        for (size_t i = 0; i < db->bootstrap_count; i++)
            db->config.out->join(db->config.out_owner, now, &db->bootstrap[i]);
    if (lost && mono_before(now, db->rejoin_until)) {
        db->rejoin_at = mono_add(now, NETDB_RECONNECT_NS);
        return;
    }
    db->rejoin_at = mono_add(now, lost && is_alone(db) ? NETDB_ALONE_NS : NETDB_REJOIN_NS);
    db->rejoin_until = mono_add(db->rejoin_at, NETDB_REJOIN_FOR_NS);
}

static void reconnect(struct netdb *db, struct mono now)
{
    size_t failed = 0;
    bool any = false;
    struct netdb_node *chosen = NULL;
    db->reconnect_at = mono_add(now, NETDB_RECONNECT_NS);
    if (db->leaving || db->reconnects >= NETDB_RECONNECTS_MAX)
        return;
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        any |= node->state == NETDB_FAILED;
        if (node->state == NETDB_FAILED && !node->trying && rand_below(&db->rand, ++failed) == 0)
            chosen = node;
    }
    if (!any)
        db->reconnect_at = MONO_NEVER; // until one fails
    if (!chosen || !db->config.out->join(db->config.out_owner, now, &chosen->site))
        return;
    chosen->trying = true;
    db->reconnects++;
}

void netdb_joined(struct netdb *db, const struct site *site, bool good)
{
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        if (node->trying && site_equal(&node->site, site)) {
            node->trying = false;
            db->reconnects--;
        }
    }
    if (good && !db->leaving)
        netdb_say_node(db, NETWORKDB__NODE_EVENT__TYPE__JOIN);
}

// ---- after having been apart --------------------------------------------------------------------

void netdb_accused(struct netdb *db, struct mono now)
{
    if (db->announce_at.ns != MONO_NEVER.ns)
        return;
    // Word that this node lives goes ahead: attachments of the dead are not believed.
    struct mono soon = mono_add(now, 2 * NETDB_SETTLE_NS);
    struct mono next = mono_add(db->announced, NETDB_ANNOUNCE_NS);
    db->announce_at = mono_before(soon, next) ? next : soon;
}

static void announce(struct netdb *db, struct mono now)
{
    db->announce_at = MONO_NEVER;
    db->announced = now;
    netdb_restamp(db);
    MAP_EACH (entry, &db->self->attachments) {
        const struct netdb_attachment *attachment = entry->value;
        if (!attachment->leaving)
            netdb_say_network(db, entry->key, NETWORKDB__NETWORK_EVENT__TYPE__JOIN,
                              attachment->ltime);
    }
    db->repeat_at = mono_add(now, NETDB_SETTLE_NS);
}

// Exchanges states with some of those who came back: theirs and ours were dropped on both sides,
// and the periodic exchange is far away. Of many nodes a few do it when one comes back.
static void meet_returned(struct netdb *db, struct mono now)
{
    struct netdb_node *chosen[NETDB_FEW];
    size_t returned = 0, active = 0;
    db->returned_at = MONO_NEVER;
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        active += node->state == NETDB_ACTIVE;
        if (node->state != NETDB_ACTIVE || !mono_before(now, node->returned))
            continue;
        size_t place =
            returned < NETDB_FEW ? returned : (size_t)rand_below(&db->rand, returned + 1);
        if (place < NETDB_FEW)
            chosen[place] = node;
        returned++;
    }
    bool few_do = 2 * returned < active && rand_below(&db->rand, active) > NETDB_FEW;
    for (size_t i = 0; i < returned && i < NETDB_FEW && !few_do; i++)
        db->config.out->join(db->config.out_owner, now, &chosen[i]->site);
    // Who finds most others gone was away itself.
    if (2 * returned >= active)
        netdb_accused(db, now);
}

// ---- forgetting ---------------------------------------------------------------------------------

static void reap_attachments(struct netdb *db, struct mono now, struct netdb_node *node)
{
    for (size_t at = 0;;) {
        const struct map_entry *entry = map_next(&node->attachments, &at);
        if (!entry)
            return;
        const struct netdb_attachment *attachment = entry->value;
        if (attachment->leaving && !mono_before(now, attachment->reap_at))
            netdb_attachment_drop(db, node, entry->key);
    }
}

static void reap(struct netdb *db, struct mono now)
{
    db->reap_at = mono_add(now, NETDB_REAP_NS);
    netdb_rows_reap(db, now);
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        reap_attachments(db, now, node);
        if (node != db->self && node->state != NETDB_ACTIVE && !node->trying &&
            !mono_before(now, node->reap_at))
            netdb_node_forget(db, node);
    }
}

// ---- leaving ------------------------------------------------------------------------------------

void netdb_leave(struct netdb *db, struct mono now)
{
    if (db->leaving)
        return;
    db->leaving = true;
    db->left_by = mono_add(now, NETDB_LEAVE_NS);
    netdb_say_node(db, NETWORKDB__NODE_EVENT__TYPE__LEAVE);
}

bool netdb_has_left(const struct netdb *db, struct mono now)
{
    if (!db->leaving)
        return false;
    const char *me = db->config.name;
    return is_alone(db) || !broadcasts_has(&db->node_events, me, strlen(me)) ||
           !mono_before(now, db->left_by);
}

// ---- events -------------------------------------------------------------------------------------

static bool is_due(struct mono at, struct mono now)
{
    return !mono_before(now, at);
}

struct mono netdb_next_due(struct netdb *db, struct mono now)
{
    const struct mono all[] = {rounds_next(&db->gossip, db->gossips, now),
                               db->sync_at,
                               db->reap_at,
                               db->reconnect_at,
                               db->rejoin_at,
                               db->asks_at,
                               db->returned_at,
                               db->announce_at,
                               db->repeat_at,
                               timers_next_due(&db->sync_timers)};
    struct mono first = MONO_NEVER;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (mono_before(all[i], first))
            first = all[i];
    return first;
}

// Rows put right after joining a network can be heard before the word about the joining, and are
// then dropped by stock nodes: they go once more.
//
// True: some are still to go.
static bool repeat_new(struct netdb *db, struct mono now)
{
    bool more = false;
    MAP_EACH (entry, &db->networks) {
        struct netdb_network *network = entry->value;
        if (!is_due(network->repeat_at, now)) {
            more |= network->repeat_at.ns != MONO_NEVER.ns;
            continue;
        }
        network->repeat_at = MONO_NEVER;
        netdb_rows_repeat(db, now, network);
    }
    return more;
}

void netdb_tick(struct netdb *db, struct mono now)
{
    for (struct timer *due; (due = timers_pop_due(&db->sync_timers, now));)
        netdb_sync_end(db, now, CONTAINER_OF(due, struct netdb_sync, timer), false);
    if (rounds_begin(&db->gossip, now)) {
        bool repeats = repeat_new(db, now);
        netdb_early_tick(db, now);
        bool waits = netdb_gossip_tables(db);
        db->gossips = repeats || waits || db->early_count > 0;
    }
    if (is_due(db->sync_at, now)) {
        db->sync_at = mono_add(now, NETDB_SYNC_NS);
        netdb_sync_round(db, now);
    }
    if (is_due(db->reap_at, now))
        reap(db, now);
    if (is_due(db->reconnect_at, now))
        reconnect(db, now);
    if (is_due(db->rejoin_at, now))
        rejoin(db, now);
    if (is_due(db->asks_at, now))
        netdb_asks_run(db, now);
    if (is_due(db->returned_at, now))
        meet_returned(db, now);
    if (is_due(db->announce_at, now))
        announce(db, now);
    if (is_due(db->repeat_at, now)) {
        db->repeat_at = MONO_NEVER;
        netdb_rows_repeat(db, now, NULL);
    }
}
