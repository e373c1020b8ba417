// Packets: lost, repeated, delayed, overtaking each other, cut off in one direction or both.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/sim.h"

void packet_free(struct raft_message *packet)
{
    if (!packet)
        return;
    for (size_t i = 0; i < packet->entries_count; i++)
        raft_blob_unref(packet->entries[i].data);
    free((void *)packet->entries);
    free((void *)packet->snapshot);
    free(packet);
}

static struct raft_message *packet_copy(const struct raft_message *message)
{
    struct raft_message *packet = malloc(sizeof *packet);
    CHECK(packet);
    *packet = *message;
    if (message->entries_count > 0) {
        struct raft_entry *entries = malloc(message->entries_count * sizeof *entries);
        CHECK(entries);
        for (size_t i = 0; i < message->entries_count; i++) {
            entries[i] = message->entries[i];
            raft_blob_ref(entries[i].data);
        }
        packet->entries = entries;
    } else {
        packet->entries = NULL;
    }
    if (message->snapshot) {
        struct raft_snapshot *snapshot = malloc(sizeof *snapshot);
        CHECK(snapshot);
        *snapshot = *message->snapshot;
        packet->snapshot = snapshot;
    }
    return packet;
}

static void post(struct sim *sim, struct raft_message *packet)
{
    int64_t delay_ns = sim_between(sim, 50 * NS_PER_US, sim->delay_ns);
    // Now and then one is much later than the others.
    if (!sim->quiet_phase && sim_percent(sim, 2))
        delay_ns += sim_between(sim, 0, 3 * NS_PER_S);
    struct sim_event *event = sim_schedule(sim, delay_ns, SIM_PACKET, 0);
    event->packet = packet;
}

// A stock member knows nothing of marks: its heartbeats have no context, its answers echo.
static void speak_stock(struct sim_node *from, struct raft_message *packet)
{
    if (packet->type == RAFT_MSG_HEARTBEAT)
        packet->context_len = 0;
    if (packet->type == RAFT_MSG_HEARTBEAT_RESP) {
        packet->context_len = from->echo_len[packet->to];
        memcpy(packet->context, from->echo[packet->to], sizeof packet->context);
    }
}

static void report(struct sim *sim, const struct raft_message *message, bool arrived)
{
    if (message->type == RAFT_MSG_SNAP) {
        struct sim_event *event = sim_schedule(sim, sim_between(sim, 1, 200) * NS_PER_MS,
                                               SIM_SNAPSHOT_SENT, message->from);
        event->number = message->to;
        event->ok = arrived;
    } else if (!arrived && sim_percent(sim, 50)) {
        struct sim_event *event =
            sim_schedule(sim, sim_between(sim, 1, 200) * NS_PER_MS, SIM_UNREACHABLE, message->from);
        event->number = message->to;
    }
}

void net_send(struct sim *sim, struct sim_node *from, const struct raft_message *message)
{
    struct sim_node *to = &sim->nodes[message->to];
    if (to->stock && message->type == RAFT_MSG_PRE_VOTE)
        sim_fail(sim, "%d asks stock member %d for a pre-vote", (int)from->id, (int)to->id);
    check_promise(sim, from, message);
    bool lost = sim->cut[from->id][to->id] || sim_percent(sim, sim->lose_percent);
    report(sim, message, !lost && to->alive);
    if (lost)
        return;
    struct raft_message *packet = packet_copy(message);
    if (from->stock)
        speak_stock(from, packet);
    // A forwarded proposal must not arrive twice; nothing in Raft would notice.
    if (packet->type != RAFT_MSG_PROP && sim_percent(sim, sim->repeat_percent))
        post(sim, packet_copy(packet));
    // A snapshot takes its time; sometimes it arrives when nobody needs it any more.
    if (packet->type == RAFT_MSG_SNAP && !sim->quiet_phase && sim_percent(sim, 30))
        sim_schedule(sim, sim_between(sim, 0, 2) * NS_PER_S, SIM_PACKET, 0)->packet =
            packet_copy(packet);
    post(sim, packet);
}

void net_deliver(struct sim *sim, struct sim_event *event)
{
    struct raft_message *packet = event->packet;
    struct sim_node *to = &sim->nodes[packet->to];
    struct sim_node *from = &sim->nodes[packet->from];
    if (!to->alive || sim->cut[packet->from][packet->to]) {
        packet_free(packet);
        return;
    }
    if (node_is_paused(sim, to)) {
        struct sim_event *later =
            sim_schedule(sim, to->paused_until_ns - sim->now_ns, SIM_PACKET, 0);
        later->packet = packet;
        return;
    }
    if (to->store.removed >> packet->from & 1) {
        // SwarmKit tells a removed member so, and it shuts down for good.
        if (sim_percent(sim, 30) && from->alive) {
            sim_trace(sim, "%d learns that it was removed", (int)from->id);
            from->stopped = true;
            node_crash(sim, from);
        }
        packet_free(packet);
        return;
    }
    if (to->stock && packet->type == RAFT_MSG_HEARTBEAT) {
        to->echo_len[packet->from] = packet->context_len;
        memcpy(to->echo[packet->from], packet->context, sizeof packet->context);
        packet->context_len = 0;
    }
    struct raft_event step = {.type = RAFT_EVENT_MESSAGE, .u.message = packet};
    int result = node_step(sim, to, &step);
    if (result == -(int)ERR_DATA_LOSS || result == -(int)ERR_INVALID_ARGUMENT)
        sim_fail(sim, "%d refuses %s from %d", (int)to->id, raft_message_name(packet->type),
                 (int)packet->from);
    packet_free(packet);
}
