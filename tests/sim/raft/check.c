// The rules, checked after every step: election safety, log matching, leader completeness, state
// machine safety, durability of what was promised and committed, and life after the faults.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/sim.h"

struct sim_index *check_index(struct sim *sim, uint64_t index)
{
    if (index >= sim->indexes_cap) {
        size_t cap = sim->indexes_cap ? 2 * sim->indexes_cap : 1024;
        while (cap <= index)
            cap *= 2;
        sim->indexes = realloc(sim->indexes, cap * sizeof *sim->indexes);
        CHECK(sim->indexes);
        memset(sim->indexes + sim->indexes_cap, 0, (cap - sim->indexes_cap) * sizeof *sim->indexes);
        sim->indexes_cap = cap;
    }
    return &sim->indexes[index];
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

uint64_t check_hash(uint64_t hash, const struct raft_entry *entry)
{
    hash = mix(hash, entry->term);
    hash = mix(hash, entry->index);
    hash = mix(hash, entry->type);
    for (uint32_t i = 0; entry->data && i < entry->data->len; i++)
        hash = mix(hash, entry->data->bytes[i]);
    return hash | 1;
}

// ---- log matching -------------------------------------------------------------------------------

// The same index and term mean the same entry after the same predecessor, in every log ever.
static void check_entry(struct sim *sim, struct sim_node *node, const struct raft_entry *entry,
                        uint64_t before)
{
    struct sim_index *index = check_index(sim, entry->index);
    struct sim_fact fact = {entry->term, before, check_hash(0, entry)};
    for (size_t i = 0; i < index->facts_count; i++) {
        if (index->facts[i].term != entry->term)
            continue;
        if (index->facts[i].hash != fact.hash || index->facts[i].before != before)
            sim_fail(sim, "log matching: %d has another entry at %d of term %d", (int)node->id,
                     (int)entry->index, (int)entry->term);
        return;
    }
    index->facts =
        raft_grow(index->facts, index->facts_count, &index->facts_cap, sizeof *index->facts);
    index->facts[index->facts_count++] = fact;
}

// One change at a time: a leader begins none while an earlier one is not even committed.
static void check_change(struct sim *sim, struct sim_node *node, const struct raft_entry *entry)
{
    const struct log *log = &node->raft->log;
    if (entry->type == RAFT_ENTRY_NORMAL || raft_role(node->raft) != RAFT_LEADER ||
        entry->term != raft_term(node->raft))
        return;
    for (uint64_t i = entry->index - 1; check_index(sim, i)->committed_term == 0; i--) {
        const struct raft_entry *other = log_entry(log, i);
        if (other && other->type != RAFT_ENTRY_NORMAL)
            sim_fail(sim, "%d begins a membership change at %d before that at %d is committed",
                     (int)node->id, (int)entry->index, (int)i);
        if (!other)
            return;
    }
}

static void check_log(struct sim *sim, struct sim_node *node)
{
    const struct log *log = &node->raft->log;
    if (log->last + 1 >= node->terms_cap) {
        size_t cap = node->terms_cap ? node->terms_cap : 512;
        while (cap <= log->last + 1)
            cap *= 2;
        node->terms = realloc(node->terms, cap * sizeof *node->terms);
        CHECK(node->terms);
        memset(node->terms + node->terms_cap, 0, (cap - node->terms_cap) * sizeof *node->terms);
        node->terms_cap = cap;
    }
    // Equal ends mean equal logs, by the rule that is checked here.
    uint64_t from = log->last;
    while (from > log->start_index &&
           (from > node->seen_last || node->terms[from] != log_term(log, from)))
        from--;
    for (uint64_t i = from + 1; i <= log->last && !sim->failed; i++) {
        node->terms[i] = log_term(log, i);
        const struct raft_entry *entry = log_entry(log, i);
        uint64_t before = log_term(log, i - 1);
        if (!entry)
            continue;
        check_entry(sim, node, entry, before);
        check_change(sim, node, entry);
    }
    node->terms[log->start_index] = log->start_term;
    node->seen_last = log->last;
}

// ---- leaders ------------------------------------------------------------------------------------

static void check_complete(struct sim *sim, struct sim_node *node)
{
    uint64_t term = raft_term(node->raft);
    for (uint64_t i = raft_first_index(node->raft); i < sim->indexes_cap; i++) {
        struct sim_index *index = &sim->indexes[i];
        if (index->committed_term == 0)
            continue;
        if (index->committed_in < term && raft_term_at(node->raft, i) != index->committed_term)
            sim_fail(sim, "leader completeness: %d leads term %d without entry %d of term %d",
                     (int)node->id, (int)term, (int)i, (int)index->committed_term);
    }
}

static void check_leader(struct sim *sim, struct sim_node *node)
{
    uint64_t term = raft_term(node->raft);
    bool leads = raft_role(node->raft) == RAFT_LEADER;
    bool news = leads && (node->seen_role != RAFT_LEADER || node->seen_term != term);
    node->seen_role = raft_role(node->raft);
    if (term < node->seen_term)
        sim_fail(sim, "the term of %d falls from %d to %d", (int)node->id, (int)node->seen_term,
                 (int)term);
    node->seen_term = term;
    if (!news)
        return;
    uint64_t *known = &sim->leaders[term % COUNT_OF(sim->leaders)];
    if (*known != 0 && *known != node->id)
        sim_fail(sim, "election safety: %d and %d both lead term %d", (int)*known, (int)node->id,
                 (int)term);
    *known = node->id;
    check_complete(sim, node);
}

// ---- commits ------------------------------------------------------------------------------------

static bool holds(const struct sim *sim, uint64_t id, uint64_t index, uint64_t term)
{
    const struct sim_disk *disk = &sim->nodes[id].disk;
    return disk->start_index > index || disk_term(disk, index) == term;
}

static bool majority_holds(const struct sim *sim, const uint64_t *ids, uint32_t count,
                           uint64_t index, uint64_t term)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < count; i++)
        have += holds(sim, ids[i], index, term);
    return have > count / 2 || count == 0;
}

// What a leader calls committed must be on the disks of a quorum.
static void check_durable(struct sim *sim, struct sim_node *node, uint64_t index)
{
    const struct raft_conf *conf = raft_conf(node->raft);
    uint64_t term = raft_term_at(node->raft, index);
    if (term != raft_term(node->raft))
        sim_fail(sim, "%d commits %d of term %d by counting, in term %d", (int)node->id, (int)index,
                 (int)term, (int)raft_term(node->raft));
    if (!majority_holds(sim, conf->voters, conf->voters_count, index, term) ||
        !majority_holds(sim, conf->outgoing, conf->outgoing_count, index, term))
        sim_fail(sim, "%d commits %d of term %d, which no quorum has on disk", (int)node->id,
                 (int)index, (int)term);
}

static void check_commit(struct sim *sim, struct sim_node *node)
{
    uint64_t commit = raft_commit(node->raft);
    if (commit <= node->seen_commit)
        return;
    if (raft_role(node->raft) == RAFT_LEADER)
        check_durable(sim, node, commit);
    uint64_t from = node->seen_commit + 1;
    if (from < raft_first_index(node->raft))
        from = raft_first_index(node->raft);
    for (uint64_t i = from; i <= commit; i++) {
        struct sim_index *index = check_index(sim, i);
        uint64_t term = raft_term_at(node->raft, i);
        if (index->committed_term == 0) {
            index->committed_term = term;
            index->committed_in = raft_term(node->raft);
        } else if (index->committed_term != term) {
            sim_fail(sim, "%d commits %d with term %d, others with term %d", (int)node->id, (int)i,
                     (int)term, (int)index->committed_term);
        }
    }
    node->seen_commit = commit;
}

void check_node(struct sim *sim, struct sim_node *node)
{
    if (sim->failed)
        return;
    check_log(sim, node);
    check_leader(sim, node);
    check_commit(sim, node);
}

// ---- promises -----------------------------------------------------------------------------------

// A message that says "I have voted" or "I have it" must be true of the disk when it leaves.
void check_promise(struct sim *sim, struct sim_node *node, const struct raft_message *message)
{
    const struct sim_disk *disk = &node->disk;
    uint64_t vote = message->type == RAFT_MSG_VOTE ? node->id : message->to;
    switch (message->type) {
    case RAFT_MSG_VOTE:
    case RAFT_MSG_VOTE_RESP:
        if (!message->reject && (disk->hard.term != message->term || disk->hard.vote != vote))
            sim_fail(sim, "%d sends %s of term %d before its vote is on disk", (int)node->id,
                     raft_message_name(message->type), (int)message->term);
        break;
    case RAFT_MSG_APP_RESP:
        if (!message->reject && message->index > disk_last(disk))
            sim_fail(sim, "%d acknowledges %d, but its disk ends at %d", (int)node->id,
                     (int)message->index, (int)disk_last(disk));
        break;
    default:
        break;
    }
}

// ---- the state machine --------------------------------------------------------------------------

void check_applied(struct sim *sim, struct sim_node *node, const struct raft_entry *entry)
{
    struct sim_index *index = check_index(sim, entry->index);
    if (index->committed_term != entry->term)
        sim_fail(sim, "%d applies %d of term %d, which is not what was committed", (int)node->id,
                 (int)entry->index, (int)entry->term);
    if (disk_last(&node->disk) < entry->index)
        sim_fail(sim, "%d applies %d, but its disk ends at %d", (int)node->id, (int)entry->index,
                 (int)disk_last(&node->disk));
    check_restored(sim, node);
}

void check_restored(struct sim *sim, struct sim_node *node)
{
    struct sim_index *index = check_index(sim, node->store.applied);
    if (index->store_hash == 0)
        index->store_hash = node->store.hash;
    else if (index->store_hash != node->store.hash)
        sim_fail(sim, "state machine safety: %d differs after applying %d", (int)node->id,
                 (int)node->store.applied);
}

// ---- life ---------------------------------------------------------------------------------------

static bool caught_up(const struct sim *sim, const uint64_t *ids, uint32_t count, uint64_t applied)
{
    for (uint32_t i = 0; i < count; i++)
        if (!sim->nodes[ids[i]].alive || sim->nodes[ids[i]].store.applied < applied)
            return false;
    return true;
}

// After the faults: a settled leader, a simple configuration, a write made since then applied by
// every member.
bool check_converged(struct sim *sim)
{
    uint64_t leader = sim_leader(sim);
    if (!leader || !raft_leader_settled(sim->nodes[leader].raft))
        return false;
    struct sim_node *node = &sim->nodes[leader];
    const struct raft_conf *conf = raft_conf(node->raft);
    if (conf->outgoing_count > 0)
        return false;
    const struct sim_op *probe = sim->last_probe ? &sim->ops[sim->last_probe - 1] : NULL;
    bool stuck = probe && probe->state == SIM_OP_OPEN && sim->now_ns > sim->probe_again_ns;
    if (!probe || probe->state == SIM_OP_LOST || stuck) {
        sim->probe_again_ns = sim->now_ns + 5 * NS_PER_S; // its leader may have left the group
        sim->last_probe = client_write(sim, node);
        return false;
    }
    return probe->state == SIM_OP_DONE &&
           caught_up(sim, conf->voters, conf->voters_count, probe->applied) &&
           caught_up(sim, conf->learners, conf->learners_count, probe->applied);
}
