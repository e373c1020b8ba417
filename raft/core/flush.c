// What comes out of the core: messages, the next write, entries to apply, and what must wait for
// what.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft/core/core.h"

// ---- batches of entries with own references -----------------------------------------------------

void batch_add(struct raft_batch *batch, size_t *cap, const struct raft_entry *entry)
{
    batch->entries = raft_grow(batch->entries, batch->count, cap, sizeof *batch->entries);
    batch->entries[batch->count++] = *entry;
    raft_blob_ref(entry->data);
    batch->bytes += raft_entry_bytes(entry);
}

void batch_fini(struct raft_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        raft_blob_unref(batch->entries[i].data);
    free(batch->entries);
    *batch = (struct raft_batch){0};
}

// ---- messages -----------------------------------------------------------------------------------

struct raft_message raft_message_init(const struct raft *raft, enum raft_message_type type,
                                      uint64_t to)
{
    return (struct raft_message){
        .type = type,
        .to = to,
        .from = raft->config.id,
        .term = raft->hard.term,
    };
}

struct raft_message *raft_send(struct raft *raft, enum raft_message_type type, uint64_t to)
{
    CHECK(to != raft->config.id);
    struct raft_outbox *out = &raft->out;
    out->items = raft_grow(out->items, out->count, &out->cap, sizeof *out->items);
    struct raft_message *message = &out->items[out->count++];
    *message = raft_message_init(raft, type, to);
    return message;
}

static void outbox_clear(struct raft_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++) {
        struct raft_message *message = &outbox->items[i];
        for (size_t k = 0; k < message->entries_count; k++)
            raft_blob_unref(message->entries[k].data);
        free((void *)message->entries);
        free((void *)message->snapshot);
    }
    outbox->count = 0;
}

// ---- waiting for the disk -----------------------------------------------------------------------

static bool is_dirty(const struct raft *raft)
{
    return raft->hard.term != raft->hard_emitted.term ||
           raft->hard.vote != raft->hard_emitted.vote || raft->log.emitted < raft->log.last ||
           raft->has_snapshot_pending;
}

uint64_t raft_fence(const struct raft *raft)
{
    if (is_dirty(raft))
        return raft->write_next;
    return raft->write_in_flight ? raft->write_next - 1 : 0;
}

void raft_send_durable(struct raft *raft, const struct raft_message *message)
{
    uint64_t fence = raft_fence(raft);
    bool vote = message->type == RAFT_MSG_VOTE || message->type == RAFT_MSG_VOTE_RESP;
    if (vote && PLANTED(VOTE_BEFORE_SYNC))
        fence = 0;
    // One acknowledgement for everything that one write makes durable. Not for two: under steady
    // load it would wait for the next write, and the next, for ever.
    if (message->type == RAFT_MSG_APP_RESP && raft->held_count > 0) {
        struct raft_held *last = &raft->held[raft->held_count - 1];
        if (last->message.type == RAFT_MSG_APP_RESP && last->message.to == message->to &&
            last->message.index <= message->index && last->write == fence) {
            last->message = *message;
            return;
        }
    }
    raft->held = raft_grow(raft->held, raft->held_count, &raft->held_cap, sizeof *raft->held);
    raft->held[raft->held_count++] = (struct raft_held){.message = *message, .write = fence};
}

void raft_forget_held(struct raft *raft)
{
    raft->held_count = 0;
}

void raft_forget_held_answers(struct raft *raft)
{
    size_t kept = 0;
    for (size_t i = 0; i < raft->held_count; i++)
        if (raft->held[i].message.type != RAFT_MSG_APP_RESP)
            raft->held[kept++] = raft->held[i];
    raft->held_count = kept;
}

static bool may_leave(const struct raft *raft, const struct raft_held *held)
{
    if (held->write > raft->write_durable)
        return false;
    // A write may have been too small for all that waited, so the index counts as well.
    return held->message.type != RAFT_MSG_APP_RESP || held->message.index <= raft->log.durable;
}

static void release_held(struct raft *raft)
{
    size_t kept = 0;
    for (size_t i = 0; i < raft->held_count; i++) {
        struct raft_held *held = &raft->held[i];
        if (may_leave(raft, held))
            *raft_send(raft, held->message.type, held->message.to) = held->message;
        else
            raft->held[kept++] = *held;
    }
    raft->held_count = kept;
}

// ---- writing ------------------------------------------------------------------------------------

// The next entries to store, at least one when any wait.
static void fill_write(struct raft *raft)
{
    struct raft_batch *batch = &raft->write_batch;
    size_t cap = 0;
    while (raft->log.emitted < raft->log.last) {
        const struct raft_entry *entry = log_entry(&raft->log, raft->log.emitted + 1);
        CHECK(entry);
        if (batch->count > 0 &&
            batch->bytes + raft_entry_bytes(entry) > raft->config.write_bytes_max)
            return;
        batch_add(batch, &cap, entry);
        raft->log.emitted++;
    }
}

static void emit_write(struct raft *raft, struct raft_write *write)
{
    if (raft->write_in_flight || !is_dirty(raft))
        return;
    raft->write_in_flight = true;
    if (raft->has_snapshot_pending) {
        raft->write_snapshot = raft->snapshot_pending;
        raft->write_has_snapshot = true;
        raft->has_snapshot_pending = false;
    }
    fill_write(raft);
    raft->write_last = raft->log.emitted;
    raft->hard_emitted = raft->hard;
    uint64_t commit = raft->log.commit;
    *write = (struct raft_write){
        .number = raft->write_next++,
        .hard = raft->hard,
        .snapshot = raft->write_has_snapshot ? &raft->write_snapshot : NULL,
        .entries = raft->write_batch.entries,
        .entries_count = raft->write_batch.count,
    };
    write->hard.commit = commit < raft->log.emitted ? commit : raft->log.emitted;
    if (PLANTED(FORGET_VOTE))
        write->hard.vote = 0;
}

void flush_persisted(struct raft *raft, uint64_t number)
{
    CHECK(raft->write_in_flight);
    CHECK(number == raft->write_next - 1);
    raft->write_in_flight = false;
    raft->write_durable = number;
    raft->write_has_snapshot = false;
    batch_fini(&raft->write_batch);
    if (raft->log.durable < raft->write_last)
        raft->log.durable = raft->write_last;
    election_own_vote_durable(raft);
    if (raft->role == RAFT_LEADER)
        leader_maybe_commit(raft);
}

// ---- applying -----------------------------------------------------------------------------------

uint64_t raft_ask_load(struct raft *raft, uint64_t first, uint64_t last, size_t bytes)
{
    CHECK(first <= last);
    raft->loads = raft_grow(raft->loads, raft->loads_count, &raft->loads_cap, sizeof *raft->loads);
    raft->loads[raft->loads_count++] = (struct raft_load){
        .number = raft->load_number,
        .first = first,
        .last = last,
        .bytes = bytes,
    };
    return raft->load_number++;
}

// The entry at `index` to be applied, from memory or from what was loaded; NULL when neither has
// it.
static const struct raft_entry *applicable(const struct raft *raft, uint64_t index)
{
    const struct raft_entry *entry = log_entry(&raft->log, index);
    const struct raft_batch *loaded = &raft->loaded;
    if (entry || loaded->count == 0 || index < loaded->entries[0].index ||
        index >= loaded->entries[0].index + loaded->count)
        return entry;
    return &loaded->entries[index - loaded->entries[0].index];
}

static struct raft_batch gather_apply(struct raft *raft, uint64_t limit)
{
    struct raft_batch batch = {0};
    size_t cap = 0;
    const struct raft_entry *entry;
    while (raft->log.handed < limit && raft->conf_wait == 0 &&
           (entry = applicable(raft, raft->log.handed + 1)) != NULL) {
        size_t waiting = raft->applying_bytes + batch.bytes;
        if (waiting > 0 && waiting + raft_entry_bytes(entry) > raft->config.apply_bytes_max)
            break;
        batch_add(&batch, &cap, entry);
        raft->log.handed++;
        if (entry->type != RAFT_ENTRY_NORMAL)
            raft->conf_wait = entry->index;
    }
    return batch;
}

static void emit_apply(struct raft *raft, struct raft_update *update)
{
    // Committed is a promise of the group; durable here means that a restart finds what it applied.
    uint64_t limit = raft->log.commit < raft->log.durable ? raft->log.commit : raft->log.durable;
    if (PLANTED(APPLY_UNDURABLE))
        limit = raft->log.commit;
    struct raft_batch batch = gather_apply(raft, limit);
    if (batch.count > 0) {
        raft->applying = raft_grow(raft->applying, raft->applying_count, &raft->applying_cap,
                                   sizeof *raft->applying);
        raft->applying[raft->applying_count++] = batch;
        raft->applying_bytes += batch.bytes;
        update->apply = batch.entries;
        update->apply_count = batch.count;
    }
    uint64_t next = raft->log.handed + 1;
    if (next > limit || raft->conf_wait != 0 || raft->apply_load != 0 || applicable(raft, next))
        return;
    batch_fini(&raft->loaded);
    uint64_t last = raft->log.memory_first - 1;
    raft->apply_load =
        raft_ask_load(raft, next, last < limit ? last : limit, raft->config.apply_bytes_max);
}

void flush_applied(struct raft *raft, uint64_t index)
{
    CHECK(index <= raft->log.handed);
    if (index > raft->log.applied)
        raft->log.applied = index;
    size_t done = 0;
    while (done < raft->applying_count) {
        struct raft_batch *batch = &raft->applying[done];
        if (batch->entries[batch->count - 1].index > index)
            break;
        raft->applying_bytes -= batch->bytes;
        batch_fini(batch);
        done++;
    }
    raft->applying_count -= done;
    memmove(raft->applying, raft->applying + done, raft->applying_count * sizeof *raft->applying);
}

// ---- loading ------------------------------------------------------------------------------------

static int check_loaded(const struct raft *raft, const struct raft_entry *entries, size_t count,
                        struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].index != entries[0].index + i ||
            log_term(&raft->log, entries[i].index) != entries[i].term)
            return err_set(err, ERR_DATA_LOSS,
                           "stored entry %" PRIu64 " has term %" PRIu64 ", expected %" PRIu64,
                           entries[i].index, entries[i].term,
                           log_term(&raft->log, entries[i].index));
    return 0;
}

static struct progress *peer_of_load(const struct raft *raft, uint64_t load)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].load == load)
            return &raft->peers[i];
    return NULL;
}

int flush_loaded(struct raft *raft, uint64_t load, const struct raft_entry *entries, size_t count,
                 struct err *err)
{
    CHECK(load > 0);
    struct progress *peer = peer_of_load(raft, load);
    bool apply = load == raft->apply_load;
    if (!apply && !peer)
        return 0; // nobody waits for it any more
    if (apply) {
        raft->apply_load = 0;
    } else {
        bool stale = peer->load_stale;
        peer->load = 0;
        peer->load_stale = false;
        if (stale)
            return 0;
    }
    // Compaction may have gone past some of them while they were read.
    while (count > 0 && entries[0].index <= raft->log.start_index) {
        entries++;
        count--;
    }
    int result = check_loaded(raft, entries, count, err);
    if (result < 0)
        return result;
    if (peer) {
        replicate_loaded(raft, peer, entries, count);
        return 0;
    }
    batch_fini(&raft->loaded);
    size_t cap = 0;
    for (size_t i = 0; i < count; i++)
        batch_add(&raft->loaded, &cap, &entries[i]);
    return 0;
}

// ---- the flush ----------------------------------------------------------------------------------

void raft_answer_read(struct raft *raft, uint64_t read, bool ok, uint64_t index)
{
    raft->answers =
        raft_grow(raft->answers, raft->answers_count, &raft->answers_cap, sizeof *raft->answers);
    raft->answers[raft->answers_count++] =
        (struct raft_read){.read = read, .ok = ok, .index = index};
}

static void emit_wants(struct raft *raft, struct raft_update *update)
{
    for (size_t i = 0; i < raft->peers_count; i++) {
        struct progress *peer = &raft->peers[i];
        if (!peer->snapshot_wanted || peer->snapshot_asked)
            continue;
        peer->snapshot_asked = true;
        raft->wants[update->snapshots_wanted_count++] = (struct raft_snapshot_want){
            .id = peer->id,
            .at_least = raft->log.start_index,
        };
    }
    update->snapshots_wanted = raft->wants;
}

// Hands an array over: what fills up next is the other one, whose last contents are forgotten.
#define HAND_OVER(raft, update, filling, handed, field)                                            \
    do {                                                                                           \
        (update)->field = (raft)->filling;                                                         \
        (update)->field##_count = (raft)->filling##_count;                                         \
        void *spare = (raft)->handed;                                                              \
        size_t spare_cap = (raft)->handed##_cap;                                                   \
        (raft)->handed = (raft)->filling;                                                          \
        (raft)->handed##_cap = (raft)->filling##_cap;                                              \
        (raft)->filling = spare;                                                                   \
        (raft)->filling##_cap = spare_cap;                                                         \
        (raft)->filling##_count = 0;                                                               \
    } while (0)

static void emit_facts(struct raft *raft, struct raft_update *update)
{
    update->role = raft->role;
    update->leader = raft->leader;
    update->term = raft->hard.term;
    update->role_changed = raft->role != raft->role_told || raft->leader != raft->leader_told ||
                           raft->hard.term != raft->term_told;
    raft->role_told = raft->role;
    raft->leader_told = raft->leader;
    raft->term_told = raft->hard.term;
    update->conf_changed = raft->conf_changed;
    update->ours_changed = raft->ours_changed;
    raft->conf_changed = false;
    raft->ours_changed = false;
    update->commit = raft->log.commit;
    if (raft->role == RAFT_LEADER)
        update->wake_at = leader_wake_at(raft);
    else
        update->wake_at = election_wake_at(raft);
    raft->wake_at = update->wake_at;
}

// How many bytes of bodies are worth keeping that are stored and applied here: they save reading
// them back for peers that have less.
static size_t cache_bytes(const struct raft *raft)
{
    size_t most = raft->config.cache_bytes_max;
    for (size_t i = 0; raft->role == RAFT_LEADER && i < raft->peers_count; i++)
        if (raft->peers[i].match < raft->log.applied)
            return most;
    return most < RAFT_CACHE_BYTES_QUIET ? most : RAFT_CACHE_BYTES_QUIET;
}

void raft_flush(struct raft *raft, struct raft_update *update)
{
    *update = (struct raft_update){0};
    outbox_clear(&raft->handed);
    if (raft->role == RAFT_LEADER) {
        leader_leave_joint(raft);
        read_flush(raft);
        replicate_flush(raft);
    }
    emit_write(raft, &update->write);
    release_held(raft);
    emit_apply(raft, update);
    emit_wants(raft, update);
    emit_facts(raft, update);
    HAND_OVER(raft, update, loads, loads_handed, loads);
    HAND_OVER(raft, update, answers, answers_handed, reads);
    struct raft_outbox full = raft->out;
    raft->out = raft->handed;
    raft->handed = full;
    update->messages = full.items;
    update->messages_count = full.count;
    log_trim(&raft->log, cache_bytes(raft));
}

void flush_fini(struct raft *raft)
{
    outbox_clear(&raft->out);
    outbox_clear(&raft->handed);
    free(raft->out.items);
    free(raft->handed.items);
    free(raft->held);
    free(raft->loads);
    free(raft->loads_handed);
    free(raft->answers);
    free(raft->answers_handed);
    batch_fini(&raft->write_batch);
    batch_fini(&raft->loaded);
    for (size_t i = 0; i < raft->applying_count; i++)
        batch_fini(&raft->applying[i]);
    free(raft->applying);
}
