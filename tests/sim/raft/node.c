// The shell around one core: turns, the disk, the state machine, crashes.
#include <stdlib.h>
#include <string.h>

#include "raft/core/confchange.h"
#include "tests/sim/raft/sim.h"

// ---- clocks -------------------------------------------------------------------------------------

static struct mono local_time(const struct sim *sim, const struct sim_node *node)
{
    return (struct mono){node->clock_offset_ns + sim->now_ns / 1000000 * node->clock_ppm +
                         sim->now_ns % 1000000 * node->clock_ppm / 1000000};
}

static int64_t until(const struct sim *sim, const struct sim_node *node, struct mono at)
{
    int64_t local_ns = mono_since(at, local_time(sim, node));
    return local_ns <= 0 ? 0 : local_ns / node->clock_ppm * 1000000 + NS_PER_US;
}

bool node_is_paused(const struct sim *sim, const struct sim_node *node)
{
    return node->paused_until_ns > sim->now_ns;
}

// ---- life ---------------------------------------------------------------------------------------

void node_start(struct sim *sim, struct sim_node *node)
{
    struct raft_config config = sim->limits;
    config.id = node->id;
    config.seed = rand_u64(&sim->rand);
    if (node->stock)
        config.quick = config.patient;
    struct err err = ERR_INIT;
    if (disk_reread(&node->disk, &err) < 0) {
        sim_fail(sim, "%d cannot read its disk: %s", (int)node->id, err.message);
        return;
    }
    struct raft_boot boot = {.applied = node->store.applied, .conf = node->store.conf};
    struct raft_run *runs = malloc((node->disk.count + 1) * sizeof *runs);
    CHECK(runs);
    disk_boot(&node->disk, &boot, runs);
    uint64_t ours[SIM_IDS_MAX];
    boot.ours = ours;
    bool remembers = !node->stock && sim_percent(sim, 50);
    for (uint64_t id = 1; remembers && id <= SIM_IDS_MAX; id++)
        if (sim->nodes[id].exists && !sim->nodes[id].stock)
            ours[boot.ours_count++] = id;
    struct mono now = local_time(sim, node);
    if (raft_new(&config, &boot, now, &node->raft, &err) < 0) {
        sim_fail(sim, "%d cannot start: %s", (int)node->id, err.message);
        free(runs);
        return;
    }
    free(runs);
    node->life++;
    node->alive = true;
    node->turn_due = false;
    node->paused_until_ns = 0;
    node->seen_role = RAFT_FOLLOWER;
    node->seen_term = node->disk.hard.term;
    sim_trace(sim, "%d starts: term %d, log (%d, %d], applied %d", (int)node->id,
              (int)node->disk.hard.term, (int)node->disk.start_index, (int)disk_last(&node->disk),
              (int)node->store.applied);
    struct raft_event tick = {.type = RAFT_EVENT_TICK};
    node_step(sim, node, &tick);
}

// A founding member: its log begins with the entries that added each of them.
static void found(struct sim *sim, struct sim_node *node, const struct raft_conf *conf)
{
    struct raft_batch batch = {0};
    size_t cap = 0;
    for (uint32_t i = 0; i < conf->voters_count; i++) {
        struct raft_conf_change change = {.changes_count = 1};
        change.changes[0] = (struct raft_change){RAFT_CHANGE_ADD, conf->voters[i]};
        struct raft_entry entry = {.term = 1, .index = i + 1, .type = RAFT_ENTRY_CONF_CHANGE};
        member_encode(&change, &entry.data);
        batch_add(&batch, &cap, &entry);
        raft_blob_unref(entry.data);
        node->store.hash = check_hash(node->store.hash, &entry);
        check_index(sim, entry.index)->committed_term = 1;
        check_index(sim, entry.index)->committed_in = 1;
    }
    node->store.conf = *conf;
    node->store.applied = batch.count;
    struct raft_write write = {
        .hard = {.term = 1, .commit = batch.count},
        .entries = batch.entries,
        .entries_count = batch.count,
    };
    disk_submit(&node->disk, &write);
    disk_sync(&node->disk);
    batch_fini(&batch);
}

void node_create(struct sim *sim, uint64_t id, const struct raft_conf *conf)
{
    struct sim_node *node = &sim->nodes[id];
    CHECK(!node->exists);
    node->exists = true;
    node->id = id;
    node->stock = sim->with_stock && sim_percent(sim, 40);
    node->clock_offset_ns = sim_between(sim, 1, 1000) * NS_PER_S;
    node->clock_ppm = sim_between(sim, 920000, 1080000);
    node->disk_ns = sim_between(sim, 1, 5) * NS_PER_MS;
    node->apply_ns = sim_between(sim, 1, 5) * NS_PER_MS;
    disk_init(&node->disk, &sim->rand, sim->with_seal);
    if (conf)
        found(sim, node, conf);
    node_start(sim, node);
}

static void restore_store(struct sim *sim, struct sim_node *node, uint64_t handle,
                          const struct raft_conf *conf)
{
    node->store = sim->snapshots[handle - 1].store;
    node->store.conf = *conf;
    check_restored(sim, node);
}

void node_crash(struct sim *sim, struct sim_node *node)
{
    CHECK(node->alive);
    struct raft_conf conf = {0};
    if (node->disk.in_flight && node->disk.in_flight->snapshot)
        conf = node->disk.in_flight->snapshot->conf;
    bool sound;
    uint64_t handle = disk_crash(&node->disk, &sim->rand, &sound);
    if (!sound)
        sim_fail(sim, "the disk of %d took a torn record for a whole one", (int)node->id);
    if (handle != 0)
        restore_store(sim, node, handle, &conf);
    raft_free(node->raft);
    node->raft = NULL;
    node->alive = false;
    node->life++;
    node->applying_count = 0;
    client_forget(sim, node);
    sim_trace(sim, "%d crashes", (int)node->id);
}

void node_fini(struct sim_node *node)
{
    raft_free(node->raft);
    disk_fini(&node->disk);
    free(node->applying);
    free(node->writes);
    free(node->reads);
    free(node->terms);
}

// ---- turns --------------------------------------------------------------------------------------

int node_step(struct sim *sim, struct sim_node *node, const struct raft_event *event)
{
    struct err err = ERR_INIT;
    int result = raft_step(node->raft, event, local_time(sim, node), &err);
    if (result < 0)
        sim_trace(sim, "%d: event %d: %s", (int)node->id, (int)event->type, err.message);
    check_node(sim, node);
    if (!node->turn_due) {
        node->turn_due = true;
        sim_schedule(sim, sim_between(sim, 0, 400) * NS_PER_US, SIM_TURN, node->id);
    }
    return result;
}

static void start_applying(struct sim *sim, struct sim_node *node, const struct raft_update *update)
{
    if (update->apply_count == 0)
        return;
    node->applying = raft_grow(node->applying, node->applying_count, &node->applying_cap,
                               sizeof *node->applying);
    node->applying[node->applying_count++] = (struct sim_batch){update->apply, update->apply_count};
    if (node->applying_count == 1)
        sim_schedule(sim, sim_between(sim, 0, node->apply_ns), SIM_APPLIED, node->id);
}

static void turn(struct sim *sim, struct sim_node *node)
{
    struct raft_update update;
    node->turn_due = false;
    raft_flush(node->raft, &update);
    check_node(sim, node);
    if (update.role_changed)
        sim_trace(sim, "%d is %s in term %d, leader %d", (int)node->id, raft_role_name(update.role),
                  (int)update.term, (int)update.leader);
    if (update.write.number != 0) {
        node->write = update.write;
        disk_submit(&node->disk, &node->write);
        sim_schedule(sim, sim_between(sim, 0, node->disk_ns), SIM_SYNCED, node->id)->number =
            update.write.number;
    }
    for (size_t i = 0; i < update.messages_count; i++)
        net_send(sim, node, &update.messages[i]);
    start_applying(sim, node, &update);
    for (size_t i = 0; i < update.loads_count; i++)
        sim_schedule(sim, sim_between(sim, 0, 3) * NS_PER_MS, SIM_LOADED, node->id)->load =
            update.loads[i];
    for (size_t i = 0; i < update.reads_count; i++)
        client_read_answer(sim, node, &update.reads[i]);
    for (size_t i = 0; i < update.snapshots_wanted_count; i++)
        sim_schedule(sim, sim_between(sim, 0, 50) * NS_PER_MS, SIM_SNAPSHOT_READY, node->id)
            ->number = update.snapshots_wanted[i].id;
    if (update.wake_at.ns != MONO_NEVER.ns) {
        int64_t delay_ns = until(sim, node, update.wake_at) + sim_between(sim, 0, 2) * NS_PER_MS;
        sim_schedule(sim, delay_ns, SIM_TIMER, node->id)->number = ++node->timer_token;
    }
}

// ---- the disk and the state machine -------------------------------------------------------------

static void synced(struct sim *sim, struct sim_node *node, uint64_t number)
{
    if (node->write.snapshot)
        restore_store(sim, node, node->write.snapshot->handle, &node->write.snapshot->conf);
    disk_sync(&node->disk);
    struct raft_event event = {.type = RAFT_EVENT_PERSISTED, .u.write = number};
    node_step(sim, node, &event);
}

static void apply_change(struct sim *sim, struct sim_node *node, const struct raft_entry *entry)
{
    struct raft_conf_change change;
    if (!member_decode(entry, &change))
        return;
    struct raft_conf conf;
    if (confchange_apply(&node->store.conf, &change, &conf, NULL) < 0)
        return;
    node->store.conf = conf;
    for (uint32_t i = 0; i < change.changes_count; i++)
        if (change.changes[i].type == RAFT_CHANGE_REMOVE)
            node->store.removed |= UINT32_C(1) << change.changes[i].id;
    sim_trace(sim, "%d applies a membership change at %d: %d voters", (int)node->id,
              (int)entry->index, (int)conf.voters_count);
}

static void apply_entry(struct sim *sim, struct sim_node *node, const struct raft_entry *entry)
{
    if (entry->index <= node->store.applied)
        return; // a snapshot was faster
    if (entry->index != node->store.applied + 1) {
        sim_fail(sim, "%d gets entry %d to apply after %d", (int)node->id, (int)entry->index,
                 (int)node->store.applied);
        return;
    }
    node->store.applied = entry->index;
    node->store.hash = check_hash(node->store.hash, entry);
    if (entry->type != RAFT_ENTRY_NORMAL)
        apply_change(sim, node, entry);
    check_applied(sim, node, entry);
    client_applied(sim, node, entry);
}

static void compact(struct sim *sim, struct sim_node *node)
{
    uint64_t applied = node->store.applied;
    if (applied < node->disk.start_index + sim->compact_every + sim->compact_keep)
        return;
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED,
                               .u.index = applied - sim->compact_keep};
    sim_trace(sim, "%d compacts up to %d", (int)node->id, (int)event.u.index);
    disk_compact(&node->disk, event.u.index);
    node_step(sim, node, &event);
}

static void applied(struct sim *sim, struct sim_node *node)
{
    struct sim_batch batch = node->applying[0];
    for (size_t i = 0; i < batch.count && !sim->failed; i++)
        apply_entry(sim, node, &batch.entries[i]);
    if (sim->failed)
        return;
    const struct raft_entry *last = &batch.entries[batch.count - 1];
    struct raft_conf_change change = {0};
    bool membership = last->type != RAFT_ENTRY_NORMAL;
    bool good = membership && member_decode(last, &change);
    struct raft_event conf = {.type = RAFT_EVENT_CONF_APPLIED,
                              .u.conf_applied = {last->index, good ? &change : NULL}};
    struct raft_event done = {.type = RAFT_EVENT_APPLIED, .u.index = last->index};
    // The contract leaves the order of the two open.
    bool conf_first = sim_percent(sim, 50);
    if (membership && conf_first)
        node_step(sim, node, &conf);
    node_step(sim, node, &done);
    if (membership && !conf_first)
        node_step(sim, node, &conf);
    node->applying_count--;
    memmove(node->applying, node->applying + 1, node->applying_count * sizeof node->applying[0]);
    if (node->applying_count > 0)
        sim_schedule(sim, sim_between(sim, 0, node->apply_ns), SIM_APPLIED, node->id);
    client_reads_ready(sim, node);
    compact(sim, node);
}

static void loaded(struct sim *sim, struct sim_node *node, const struct raft_load *load)
{
    struct raft_event event = {.type = RAFT_EVENT_LOADED};
    event.u.loaded.load = load->number;
    event.u.loaded.count = disk_load(&node->disk, load, &event.u.loaded.entries);
    if (node_step(sim, node, &event) < 0)
        sim_fail(sim, "%d finds its own log contradictory", (int)node->id);
}

static void snapshot_ready(struct sim *sim, struct sim_node *node, uint64_t peer)
{
    sim->snapshots = raft_grow(sim->snapshots, sim->snapshots_count, &sim->snapshots_cap,
                               sizeof *sim->snapshots);
    sim->snapshots[sim->snapshots_count++] =
        (struct sim_snapshot){.index = node->store.applied, .store = node->store};
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_MADE};
    event.u.snapshot_made.id = peer;
    event.u.snapshot_made.ok = node->store.applied > 0 && !sim_percent(sim, 10);
    event.u.snapshot_made.index = node->store.applied;
    event.u.snapshot_made.handle = sim->snapshots_count;
    node_step(sim, node, &event);
}

// ---- events -------------------------------------------------------------------------------------

static void report(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
    struct raft_event step = {.type = RAFT_EVENT_UNREACHABLE, .u.id = event->number};
    if (event->type == SIM_SNAPSHOT_SENT) {
        step.type = RAFT_EVENT_SNAPSHOT_SENT;
        step.u.snapshot_sent.id = event->number;
        step.u.snapshot_sent.ok = event->ok;
    }
    node_step(sim, node, &step);
}

static void handle(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
    struct raft_event tick = {.type = RAFT_EVENT_TICK};
    switch (event->type) {
    case SIM_TIMER:
        if (event->number == node->timer_token)
            node_step(sim, node, &tick);
        break;
    case SIM_TURN:
        turn(sim, node);
        break;
    case SIM_SYNCED:
        synced(sim, node, event->number);
        break;
    case SIM_APPLIED:
        applied(sim, node);
        break;
    case SIM_LOADED:
        loaded(sim, node, &event->load);
        break;
    case SIM_SNAPSHOT_READY:
        snapshot_ready(sim, node, event->number);
        break;
    default:
        report(sim, node, event);
        break;
    }
}

void node_event(struct sim *sim, const struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    if (event->life != node->life)
        return;
    if (event->type == SIM_RESTART) {
        if (!node->alive && !node->stopped)
            node_start(sim, node);
        return;
    }
    if (!node->alive)
        return;
    if (node_is_paused(sim, node)) {
        struct sim_event *later =
            sim_schedule(sim, node->paused_until_ns - sim->now_ns, event->type, event->node);
        later->number = event->number;
        later->ok = event->ok;
        later->load = event->load;
        return;
    }
    handle(sim, node, event);
}
