// Clients: they write and read at random members and note what they were told and when.
//
// The log gives every write its place, so the history is linearizable exactly when no finished
// operation lies before what any client had already seen when it began.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/sim.h"

static uint64_t new_op(struct sim *sim, bool is_read)
{
    sim->ops = raft_grow(sim->ops, sim->ops_count, &sim->ops_cap, sizeof *sim->ops);
    sim->ops[sim->ops_count++] = (struct sim_op){.is_read = is_read, .floor = sim->floor};
    return sim->ops_count;
}

static struct sim_op *op_of(struct sim *sim, uint64_t op)
{
    CHECK(op >= 1);
    CHECK(op <= sim->ops_count);
    return &sim->ops[op - 1];
}

static void finish(struct sim *sim, struct sim_op *op, uint64_t index)
{
    op->state = SIM_OP_DONE;
    if (index < op->floor)
        sim_fail(sim, "a %s saw %d although %d had been seen before it began",
                 op->is_read ? "read" : "write", (int)index, (int)op->floor);
    if (index > sim->floor)
        sim->floor = index;
}

// ---- writing ------------------------------------------------------------------------------------

static void propose(struct sim *sim, struct sim_node *node, size_t count)
{
    struct raft_blob *data[32];
    CHECK(count <= COUNT_OF(data));
    uint64_t first = sim->ops_count + 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t op = new_op(sim, false);
        uint8_t bytes[200] = {0};
        for (int k = 0; k < 8; k++)
            bytes[k] = (uint8_t)(op >> (8 * k));
        data[i] = raft_blob_new(bytes, 8 + rand_below(&sim->rand, 60));
    }
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE};
    event.u.propose.data = data;
    event.u.propose.count = count;
    uint64_t before = raft_last_index(node->raft);
    int result = node_step(sim, node, &event);
    for (size_t i = 0; i < count; i++) {
        raft_blob_unref(data[i]);
        if (result < 0) {
            op_of(sim, first + i)->state = SIM_OP_LOST;
            continue;
        }
        if (raft_role(node->raft) != RAFT_LEADER)
            continue; // forwarded: nobody here will know
        node->writes =
            raft_grow(node->writes, node->writes_count, &node->writes_cap, sizeof *node->writes);
        node->writes[node->writes_count++] =
            (struct sim_waiter){first + i, before + 1 + i, raft_term(node->raft)};
    }
}

uint64_t client_write(struct sim *sim, struct sim_node *node)
{
    propose(sim, node, 1);
    return sim->ops_count;
}

void client_applied(struct sim *sim, struct sim_node *node, const struct raft_entry *entry)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->writes_count; i++) {
        struct sim_waiter *waiter = &node->writes[i];
        struct sim_op *op = op_of(sim, waiter->op);
        if (waiter->index > entry->index) {
            node->writes[kept++] = *waiter;
        } else if (waiter->index == entry->index && waiter->term == entry->term) {
            sim->acked++;
            finish(sim, op, entry->index);
        } else {
            op->state = SIM_OP_LOST; // another entry took its place
        }
    }
    node->writes_count = kept;
    if (entry->type != RAFT_ENTRY_NORMAL || !entry->data)
        return;
    uint64_t id = 0;
    for (int k = 0; k < 8; k++)
        id |= (uint64_t)entry->data->bytes[k] << (8 * k);
    struct sim_op *op = op_of(sim, id);
    if (op->applied != 0 && op->applied != entry->index)
        sim_fail(sim, "write %d was applied twice, at %d and %d", (int)id, (int)op->applied,
                 (int)entry->index);
    op->applied = entry->index;
}

// ---- reading ------------------------------------------------------------------------------------

static void begin_read(struct sim *sim, struct sim_node *node)
{
    uint64_t op = new_op(sim, true);
    struct raft_event event = {.type = RAFT_EVENT_READ, .u.read = op};
    if (node_step(sim, node, &event) < 0)
        op_of(sim, op)->state = SIM_OP_LOST;
}

void client_read_answer(struct sim *sim, struct sim_node *node, const struct raft_read *read)
{
    struct sim_op *op = op_of(sim, read->read);
    if (op->state != SIM_OP_OPEN)
        sim_fail(sim, "read %d was answered twice", (int)read->read);
    if (!read->ok) {
        op->state = SIM_OP_LOST;
        return;
    }
    node->reads = raft_grow(node->reads, node->reads_count, &node->reads_cap, sizeof *node->reads);
    node->reads[node->reads_count++] = (struct sim_waiter){read->read, read->index, 0};
    client_reads_ready(sim, node);
}

void client_reads_ready(struct sim *sim, struct sim_node *node)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->reads_count; i++) {
        if (node->reads[i].index > node->store.applied) {
            node->reads[kept++] = node->reads[i];
            continue;
        }
        sim->read++;
        finish(sim, op_of(sim, node->reads[i].op), node->store.applied);
    }
    node->reads_count = kept;
}

// ---- acting -------------------------------------------------------------------------------------

void client_act(struct sim *sim)
{
    struct sim_node *node = NULL;
    uint64_t leader = sim_leader(sim);
    if (leader && sim_percent(sim, 70))
        node = &sim->nodes[leader];
    // A client may well believe in a leader that is none any more.
    for (int tries = 0; !node && tries < 10; tries++) {
        struct sim_node *any = &sim->nodes[1 + rand_below(&sim->rand, SIM_IDS_MAX)];
        if (any->alive && (raft_role(any->raft) == RAFT_LEADER || tries > 6))
            node = any;
    }
    if (!node || node_is_paused(sim, node))
        return;
    if (sim_percent(sim, 40))
        begin_read(sim, node);
    else
        propose(sim, node, sim_percent(sim, 80) ? 1 : 1 + rand_below(&sim->rand, 20));
}

void client_forget(struct sim *sim, struct sim_node *node)
{
    // Nobody knows what became of them: the entries may well be applied later.
    for (size_t i = 0; i < node->writes_count; i++)
        op_of(sim, node->writes[i].op)->state = SIM_OP_LOST;
    for (size_t i = 0; i < node->reads_count; i++)
        op_of(sim, node->reads[i].op)->state = SIM_OP_LOST;
    node->writes_count = 0;
    node->reads_count = 0;
}
