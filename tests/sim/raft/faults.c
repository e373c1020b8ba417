// What goes wrong, and who joins and leaves.
#include <string.h>

#include "tests/sim/raft/sim.h"

static struct sim_node *random_node(struct sim *sim, bool alive)
{
    for (int tries = 0; tries < 20; tries++) {
        struct sim_node *node = &sim->nodes[1 + rand_below(&sim->rand, SIM_IDS_MAX)];
        if (node->exists && !node->stopped && node->alive == alive)
            return node;
    }
    return NULL;
}

static void heal(struct sim *sim)
{
    memset(sim->cut, 0, sizeof sim->cut);
}

static void split(struct sim *sim)
{
    uint64_t side = rand_u64(&sim->rand);
    for (uint64_t a = 1; a <= SIM_IDS_MAX; a++)
        for (uint64_t b = 1; b <= SIM_IDS_MAX; b++)
            sim->cut[a][b] = (side >> a & 1) != (side >> b & 1);
    sim_trace(sim, "the network splits");
}

static void isolate(struct sim *sim, bool hear, bool speak)
{
    struct sim_node *node = random_node(sim, true);
    uint64_t leader = sim_leader(sim);
    if (leader && sim_percent(sim, 40))
        node = &sim->nodes[leader];
    if (!node)
        return;
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++) {
        sim->cut[id][node->id] = !hear;
        sim->cut[node->id][id] = !speak;
    }
    sim_trace(sim, "%d cannot %s%s", (int)node->id, hear ? "" : "hear ", speak ? "" : "speak");
}

static void cut_some(struct sim *sim)
{
    for (uint64_t a = 1; a <= SIM_IDS_MAX; a++)
        for (uint64_t b = 1; b <= SIM_IDS_MAX; b++)
            sim->cut[a][b] = sim_percent(sim, 20);
    sim_trace(sim, "some links break");
}

static void crash(struct sim *sim, struct sim_node *node)
{
    if (!node)
        return;
    node_crash(sim, node);
    sim_schedule(sim, sim_between(sim, 5, 1500) * NS_PER_MS, SIM_RESTART, node->id);
}

static void crash_many(struct sim *sim)
{
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++)
        if (sim->nodes[id].alive && sim_percent(sim, 60))
            crash(sim, &sim->nodes[id]);
}

static void transfer(struct sim *sim)
{
    uint64_t leader = sim_leader(sim);
    if (!leader)
        return;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER};
    if (sim_percent(sim, 70))
        event.u.id = 1 + rand_below(&sim->rand, SIM_IDS_MAX);
    sim_trace(sim, "%d is to hand over to %d", (int)leader, (int)event.u.id);
    node_step(sim, &sim->nodes[leader], &event);
}

static void pause_node(struct sim *sim)
{
    struct sim_node *node = random_node(sim, true);
    if (!node)
        return;
    node->paused_until_ns = sim->now_ns + sim_between(sim, 10, 2500) * NS_PER_MS;
    sim_trace(sim, "%d pauses", (int)node->id);
}

static void slow_down(struct sim *sim)
{
    struct sim_node *node = random_node(sim, true);
    if (!node)
        return;
    node->disk_ns = sim_between(sim, 1, sim_percent(sim, 50) ? 500 : 5) * NS_PER_MS;
    node->apply_ns = sim_between(sim, 1, sim_percent(sim, 30) ? 500 : 5) * NS_PER_MS;
    sim_trace(sim, "%d has a disk of %d ms", (int)node->id, (int)(node->disk_ns / NS_PER_MS));
}

static void campaign(struct sim *sim)
{
    struct sim_node *node = random_node(sim, true);
    struct raft_event event = {.type = RAFT_EVENT_CAMPAIGN};
    if (node)
        node_step(sim, node, &event);
}

void fault_happen(struct sim *sim)
{
    switch (rand_below(&sim->rand, 16)) {
    case 0:
        split(sim);
        break;
    case 1:
        isolate(sim, false, false);
        break;
    case 2:
        isolate(sim, true, false);
        break;
    case 3:
        isolate(sim, false, true);
        break;
    case 4:
        cut_some(sim);
        break;
    case 5:
    case 6:
        crash(sim, random_node(sim, true));
        break;
    case 7:
        crash(sim, sim_leader(sim) ? &sim->nodes[sim_leader(sim)] : NULL);
        break;
    case 8:
        if (sim_percent(sim, 30))
            crash_many(sim);
        break;
    case 9:
        transfer(sim);
        break;
    case 10:
        pause_node(sim);
        break;
    case 11:
        slow_down(sim);
        break;
    case 12:
        if (sim_percent(sim, 30))
            campaign(sim);
        break;
    default:
        heal(sim);
        break;
    }
}

void fault_end(struct sim *sim)
{
    sim_trace(sim, "the faults end");
    heal(sim);
    sim->quiet_phase = true;
    sim->lose_percent = 0;
    sim->delay_ns = NS_PER_MS;
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++) {
        struct sim_node *node = &sim->nodes[id];
        node->disk_ns = NS_PER_MS;
        node->apply_ns = NS_PER_MS;
        if (node->exists && !node->alive && !node->stopped)
            node_start(sim, node);
    }
}

// ---- membership ---------------------------------------------------------------------------------

// One byte v2, one transition, then type and id of each change. Empty data of a v2 entry means:
// leave the joint configuration.
void member_encode(const struct raft_conf_change *change, struct raft_blob **out)
{
    uint8_t bytes[2 + 2 * RAFT_MEMBERS_MAX] = {change->v2, change->transition};
    size_t len = 2;
    for (uint32_t i = 0; i < change->changes_count; i++) {
        bytes[len++] = (uint8_t)change->changes[i].type;
        bytes[len++] = (uint8_t)change->changes[i].id;
    }
    *out = raft_blob_new(bytes, len);
}

bool member_decode(const struct raft_entry *entry, struct raft_conf_change *change)
{
    memset(change, 0, sizeof *change);
    if (!entry->data) {
        change->v2 = true;
        return entry->type == RAFT_ENTRY_CONF_CHANGE_V2;
    }
    const uint8_t *bytes = entry->data->bytes;
    CHECK(entry->data->len >= 2);
    change->v2 = bytes[0];
    change->transition = bytes[1];
    for (size_t at = 2; at + 1 < entry->data->len; at += 2)
        change->changes[change->changes_count++] =
            (struct raft_change){(enum raft_change_type)bytes[at], bytes[at + 1]};
    return true;
}

static uint64_t fresh_id(const struct sim *sim)
{
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++)
        if (!sim->nodes[id].exists)
            return id;
    return 0;
}

static void add_change(struct raft_conf_change *change, enum raft_change_type type, uint64_t id)
{
    if (id != 0)
        change->changes[change->changes_count++] = (struct raft_change){type, id};
}

static void choose_change(struct sim *sim, const struct raft_conf *conf,
                          struct raft_conf_change *change)
{
    uint64_t victim = conf->voters[rand_below(&sim->rand, conf->voters_count)];
    // Of two, none is removed: if the removed one crashes before the other has learned of it, the
    // other waits for its vote for ever. That lies in changing one member at a time on apply, as
    // etcd does.
    bool removable = conf->voters_count > 2;
    uint64_t fresh = conf->voters_count < 9 ? fresh_id(sim) : 0;
    if (sim->with_joint && sim_percent(sim, 50)) {
        change->v2 = true;
        change->transition = (uint8_t)rand_below(&sim->rand, 3);
        add_change(change, RAFT_CHANGE_ADD, fresh);
        if (removable)
            add_change(change, RAFT_CHANGE_REMOVE, victim);
        if (sim_percent(sim, 30) && conf->learners_count > 0)
            add_change(change, RAFT_CHANGE_ADD, conf->learners[0]);
        return;
    }
    if (sim_percent(sim, 10))
        add_change(change, RAFT_CHANGE_UPDATE, victim);
    else if (conf->learners_count > 0 && sim_percent(sim, 30))
        add_change(change, RAFT_CHANGE_ADD, conf->learners[0]);
    else if (sim->with_joint && sim_percent(sim, 20))
        add_change(change, RAFT_CHANGE_ADD_LEARNER, fresh);
    else if (sim_percent(sim, 50))
        add_change(change, RAFT_CHANGE_ADD, fresh);
    else if (removable)
        add_change(change, RAFT_CHANGE_REMOVE, victim);
}

void member_change(struct sim *sim)
{
    uint64_t leader = sim_leader(sim);
    if (!leader)
        return;
    struct sim_node *node = &sim->nodes[leader];
    const struct raft_conf *conf = raft_conf(node->raft);
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE_CONF};
    if (conf->outgoing_count > 0) {
        event.u.propose_conf.v2 = true;
        if (!conf->auto_leave)
            node_step(sim, node, &event);
        return;
    }
    struct raft_conf_change change = {0};
    if (!sim->quiet_phase)
        choose_change(sim, conf, &change);
    if (change.changes_count == 0)
        return;
    struct raft_blob *data;
    member_encode(&change, &data);
    event.u.propose_conf.v2 = change.v2;
    event.u.propose_conf.data = data;
    int result = node_step(sim, node, &event);
    raft_blob_unref(data);
    if (result < 0)
        return;
    for (uint32_t i = 0; i < change.changes_count; i++) {
        uint64_t id = change.changes[i].id;
        if (!sim->nodes[id].exists)
            node_create(sim, id, NULL);
    }
}
