#include "raft/node_io.h"

#include "raft/node_private_io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "raft/net/convert.h"

#define MEMBERS_ARENA_BYTES ((size_t)1 << 20)
#define CHANGE_BYTES_MAX    8192

// How long a closing leader waits for another to take over.
#define CLOSE_TRANSFER_MS 2000

static struct raft_node *node_of(void *ctx)
{
    struct raft_node *node = ctx;
    MAGIC_CHECK(node, RAFT_NODE_MAGIC);
    return node;
}

int node_step(struct raft_node *node, const struct raft_event *event, struct err *err)
{
    if (node->failed || !node->core)
        return err_set(err, ERR_UNKNOWN, RAFT_NODE_ERR_STOPPED);
    loop_later_ask(&node->turn);
    return raft_step(node->core, event, loop_now(node->loop), err);
}

void node_fail(struct raft_node *node, const struct err *why)
{
    if (node->failed)
        return;
    node->failed = true;
    loop_timer_stop(&node->wake);
    loop_timer_stop(&node->rows_timer);
    loop_timer_stop(&node->settle_timer);
    loop_timer_stop(&node->commit.retry);
    node_fail_waiting(node, RAFT_NODE_ERR_STOPPED);
    if (!node->closing)
        node->ops.stopped(node->ops.ctx, why);
}

// ---- the turn -----------------------------------------------------------------------------------

static void update_role(struct raft_node *node, const struct raft_update *update)
{
    struct raft_node_role role = {
        .role = update->role, .leader = update->leader, .term = update->term};
    // Entries of earlier terms are applied once our own first entry is.
    role.acting = role.role == RAFT_LEADER && raft_leader_settled(node->core) &&
                  raft_term_at(node->core, raft_applied(node->core)) == role.term;
    struct raft_node_role before = node->role;
    if (before.role == role.role && before.leader == role.leader && before.term == role.term &&
        (before.acting == role.acting || (before.acting && role.role == RAFT_LEADER)))
        return;
    node->role = role;
    if (before.role == RAFT_LEADER && (role.role != RAFT_LEADER || role.term != before.term))
        node_fail_waiting(node, RAFT_NODE_ERR_LOST);
    log_info("raft role", "role=%s term=%" PRIu64 " leader=%" PRIx64 " acting=%d applied=%" PRIu64,
             raft_role_name(role.role), role.term, role.leader, role.acting,
             raft_applied(node->core));
    node->ops.role(node->ops.ctx, &node->role);
}

static void send_messages(struct raft_node *node, const struct raft_update *update)
{
    for (size_t i = 0; i < update->messages_count; i++) {
        const struct raft_message *message = &update->messages[i];
        struct raft_blob *data = NULL;
        if (message->snapshot) {
            if (message->snapshot->handle != node->outgoing.handle) {
                struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_SENT,
                                           .u.snapshot_sent = {.id = message->to}};
                node_step(node, &event, NULL);
                continue;
            }
            data = node->outgoing.data;
        }
        node->transport->send(node->transport, message, data);
    }
}

static void start_write(struct raft_node *node, const struct raft_write *write)
{
    struct err err = ERR_INIT;
    if (write->snapshot && node_install_snapshot(node, write->snapshot, &err)) {
        err_wrap(&err, "install snapshot %" PRIu64, write->snapshot->index);
        node_fail(node, &err);
        return;
    }
    // The core has one write in flight at most, but a commit of rows alone may be under way.
    CHECK(!node->held);
    if (node->commit.running || node->commit.stalled) {
        node->held = true;
        node->held_write = *write;
    } else {
        node_commit_start(node, write);
    }
}

void node_part_if_removed(struct raft_node *node)
{
    // As leader it stays until the others know (raft/core/farewell.c).
    if (!node->removed || raft_role(node->core) == RAFT_LEADER)
        return;
    struct err err = ERR_INIT;
    err_set(&err, ERR_NOT_FOUND, MEMBERS_ERR_REMOVED);
    node_fail(node, &err);
}

// One flush. True when another should follow at once.
static bool flush_once(struct raft_node *node)
{
    struct raft_update update;
    raft_flush(node->core, &update);
    bool again = false;
    node->ours_changed |= update.ours_changed;
    update_role(node, &update);
    send_messages(node, &update);
    for (size_t i = 0; i < update.loads_count; i++)
        node_load_add(node, &update.loads[i]);
    if (update.write.number && !node->failed)
        start_write(node, &update.write);
    if (!node->failed)
        again |= node_apply(node, &update);
    if (!node->failed)
        node_answer_reads(node, &update);
    if (!node->failed)
        again |= node_make_snapshots(node, &update);
    node_part_if_removed(node);
    if (node->failed)
        return false;
    if (update.wake_at.ns != MONO_NEVER.ns)
        loop_timer_start_at(&node->wake, update.wake_at);
    else
        loop_timer_stop(&node->wake);
    return again;
}

static void close_if_quiet(struct raft_node *node);

static void on_turn(struct loop_later *later)
{
    struct raft_node *node = node_of(CONTAINER_OF(later, struct raft_node, turn));
    while (!node->failed && node->core && flush_once(node))
        ;
    if (!node->failed && node->core)
        node_commit_rows_if_due(node);
    if (node->closing)
        close_if_quiet(node);
}

static void on_wake(struct loop_timer *timer)
{
    struct raft_node *node = node_of(CONTAINER_OF(timer, struct raft_node, wake));
    struct raft_event event = {.type = RAFT_EVENT_TICK};
    node_step(node, &event, NULL);
}

static void on_rows_timer(struct loop_timer *timer)
{
    struct raft_node *node = node_of(CONTAINER_OF(timer, struct raft_node, rows_timer));
    node->rows_late = true;
    loop_later_ask(&node->turn);
}

static void on_settle_timer(struct loop_timer *timer)
{
    node_settle_disk(node_of(CONTAINER_OF(timer, struct raft_node, settle_timer)));
}

// ---- opening ------------------------------------------------------------------------------------

// One stored row: the node's own are kept here, the others are the owner's.
static int on_row(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
                  struct err *err)
{
    struct raft_node *node = node_of(ctx);
    if (((const uint8_t *)key)[0] >= NODE_ROW_OWN_MAX)
        return node->ops.row(node->ops.ctx, key, key_size, value, value_size, err);
    if (key_size == strlen(NODE_ROW_SELF) && memcmp(key, NODE_ROW_SELF, key_size) == 0) {
        struct cursor cursor = cursor_of(value, value_size);
        node->self = cursor_u64le(&cursor);
        return cursor_done(&cursor) && node->self
                   ? 0
                   : err_set(err, ERR_DATA_LOSS, "own raft id is damaged");
    }
    struct arena arena;
    arena_init(&arena, MEMBERS_ARENA_BYTES);
    Swarm__ClusterSnapshot *list = wire_unpack(&swarm__cluster_snapshot__descriptor, value,
                                               value_size, &WIRE_LIMITS_STATE, &arena, err);
    int result = list ? members_load(&node->members, list, err) : -(int)ERR_DATA_LOSS;
    arena_fini(&arena);
    return result;
}

static void free_node(struct raft_node *node)
{
    raft_free(node->core);
    logdb_close(node->db);
    rows_fini(&node->rows);
    rows_fini(&node->commit.rows);
    members_fini(&node->members);
    map_fini(&node->barriers);
    node_drop_snapshot(&node->incoming);
    node_drop_snapshot(&node->outgoing);
    loop_later_cancel(&node->turn);
    loop_timer_stop(&node->wake);
    loop_timer_stop(&node->rows_timer);
    loop_timer_stop(&node->settle_timer);
    loop_timer_stop(&node->commit.retry);
    loop_timer_stop(&node->closing_timer);
    explicit_bzero(&node->key, sizeof node->key);
    explicit_bzero(&node->rotation, sizeof node->rotation);
    MAGIC_CLEAR(node);
    free(node);
}

static void on_closing_timer(struct loop_timer *timer);

static struct raft_node *new_node(const struct raft_node_config *config)
{
    struct raft_node *node = MEM_NEW(struct raft_node);
    MAGIC_SET(node, RAFT_NODE_MAGIC);
    node->loop = config->loop;
    node->transport = config->transport;
    node->ops = config->ops;
    node->key = config->key;
    node->core_config = raft_config_default(0, config->seed);
    node->core_config.forward_proposals = false; // calls are forwarded, not proposals
    if (config->patient.heartbeat_ms)
        node->core_config.patient = config->patient;
    if (config->quick.heartbeat_ms)
        node->core_config.quick = config->quick;
    node->compact_entries =
        config->compact_entries ? config->compact_entries : RAFT_NODE_COMPACT_ENTRIES;
    node->keep_entries = config->keep_entries ? config->keep_entries : RAFT_NODE_KEEP_ENTRIES;
    members_init(&node->members);
    rows_init(&node->rows);
    rows_init(&node->commit.rows);
    list_init(&node->proposals);
    list_init(&node->waiting);
    map_init(&node->barriers);
    loop_later_init(&node->turn, node->loop, on_turn);
    loop_timer_init(&node->wake, node->loop, on_wake);
    loop_timer_init(&node->rows_timer, node->loop, on_rows_timer);
    loop_timer_init(&node->settle_timer, node->loop, on_settle_timer);
    loop_timer_init(&node->commit.retry, node->loop, NULL);
    loop_timer_init(&node->closing_timer, node->loop, on_closing_timer);
    return node;
}

int raft_node_open(const struct raft_node_config *config, struct raft_node **out, struct err *err)
{
    struct raft_node *node = new_node(config);
    uint64_t applied = 0;
    int result = logdb_open(config->dir, &config->key, config->previous_key, &node->db, err);
    if (!result)
        result = logdb_boot(node->db, &node->boot, err);
    if (!result)
        result = logdb_state_each(node->db, on_row, node, &applied, err);
    if (!result && applied != node->boot.applied)
        result = err_set(err, ERR_DATA_LOSS, "state stands at another index than the log says");
    if (!result)
        result = node->ops.rows_done(node->ops.ctx, applied, err);
    if (!result && !node->self && node->boot.last_index > 0)
        result = err_set(err, ERR_DATA_LOSS, "log has entries but no own raft id");
    if (result) {
        free_node(node);
        return err_wrap(err, "raft");
    }
    if (config->previous_key) {
        // A rotation was under way when the program ended: it goes on.
        node->rotation.active = true;
        node->rotation.previous = *config->previous_key;
        node->rotation.done = config->rotated;
        node->rotation.ctx = config->rotated_ctx;
    }
    *out = node;
    return 0;
}

bool raft_node_is_member(const struct raft_node *node)
{
    return node->self != 0;
}

// ---- starting and closing -----------------------------------------------------------------------

int raft_node_start(struct raft_node *node, struct err *err)
{
    CHECK(!node->core);
    CHECK(node->self);
    node->core_config.id = node->self;
    int result = raft_new(&node->core_config, &node->boot, loop_now(node->loop), &node->core, err);
    if (result)
        return err_wrap(err, "raft");
    node_publish_members(node);
    loop_later_ask(&node->turn);
    return 0;
}

static void close_if_quiet(struct raft_node *node)
{
    if (node_jobs_running(node))
        return;
    // What waits is written, so that the next start has nothing to apply again.
    if (node->core && !node->failed && !node->commit.stalled && !rows_empty(&node->rows)) {
        node_commit_start(node, NULL);
        return;
    }
    bool handing_over = loop_timer_running(&node->closing_timer) && !node->failed && node->core &&
                        raft_role(node->core) == RAFT_LEADER;
    if (handing_over)
        return;
    node_fail_waiting(node, RAFT_NODE_ERR_STOPPED);
    // Reads the core has not answered are still waiting in the map.
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, RAFT_NODE_ERR_STOPPED);
    MAP_EACH (entry, &node->barriers) {
        struct raft_barrier *barrier = entry->value;
        barrier->done(barrier, &err);
    }
    void (*closed)(void *ctx) = node->closed;
    void *ctx = node->closed_ctx;
    free_node(node);
    if (closed)
        closed(ctx);
}

static void on_closing_timer(struct loop_timer *timer)
{
    struct raft_node *node = node_of(CONTAINER_OF(timer, struct raft_node, closing_timer));
    loop_later_ask(&node->turn);
}

void raft_node_close(struct raft_node *node, void (*closed)(void *ctx), void *ctx)
{
    CHECK(!node->closing);
    node->closing = true;
    node->closed = closed;
    node->closed_ctx = ctx;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER};
    // One that was removed is already about to hand over.
    if (node->core && !node->failed && raft_role(node->core) == RAFT_LEADER &&
        (node->removed || node_step(node, &event, NULL) == 0))
        loop_timer_start(&node->closing_timer, CLOSE_TRANSFER_MS);
    loop_later_ask(&node->turn);
}

// ---- messages -----------------------------------------------------------------------------------

// A message that contradicts what is committed here means that one of both is damaged.
static int receive(struct raft_node *node, const struct raft_event *event, struct err *err)
{
    struct err why = ERR_INIT;
    int result = node_step(node, event, &why);
    if (result == -ERR_DATA_LOSS)
        node_fail(node, &why);
    return result ? err_copy(err, &why) : 0;
}

int raft_node_receive(struct raft_node *node, const struct raft_message *message,
                      struct raft_blob *snapshot, struct err *err)
{
    if (message->to != node->self || !node->core)
        return 0; // for somebody who had our address before
    if (message->type == RAFT_MSG_PROP)
        return 0; // calls are forwarded, not proposals (swarmkit 18.4)
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .u.message = message};
    if (message->type != RAFT_MSG_SNAP)
        return receive(node, &event, err);
    if (node->incoming.handle)
        return err_set(err, ERR_ABORTED, "another snapshot is being installed");
    // The core names the snapshot by our handle.
    struct raft_snapshot named = *message->snapshot;
    named.handle = ++node->next_handle;
    struct raft_message copy = *message;
    copy.snapshot = &named;
    event.u.message = &copy;
    int result = receive(node, &event, err);
    if (result)
        return result == -ERR_ABORTED ? 0 : result;
    node->incoming = (struct node_snapshot){
        .handle = named.handle, .index = named.index, .data = raft_blob_ref(snapshot)};
    return 0;
}

static void on_unreachable(void *ctx, uint64_t raft_id)
{
    struct raft_event event = {.type = RAFT_EVENT_UNREACHABLE, .u.id = raft_id};
    node_step(node_of(ctx), &event, NULL);
}

static void on_snapshot_sent(void *ctx, uint64_t raft_id, bool ok)
{
    struct raft_node *node = node_of(ctx);
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_SENT,
                               .u.snapshot_sent = {.id = raft_id, .ok = ok}};
    node_step(node, &event, NULL);
    if (node->outgoing_users > 0 && --node->outgoing_users == 0)
        node_drop_snapshot(&node->outgoing);
}

static void on_removed(void *ctx)
{
    struct raft_node *node = node_of(ctx);
    struct err err = ERR_INIT;
    err_set(&err, ERR_NOT_FOUND, MEMBERS_ERR_REMOVED);
    node_fail(node, &err);
}

static void on_answered(void *ctx, const struct raft_message *message)
{
    raft_node_receive(node_of(ctx), message, NULL, NULL);
}

struct transport_reports raft_node_reports(struct raft_node *node)
{
    return (struct transport_reports){.unreachable = on_unreachable,
                                      .snapshot_sent = on_snapshot_sent,
                                      .answered = on_answered,
                                      .removed = on_removed,
                                      .ctx = node};
}

// ---- proposals and reads ------------------------------------------------------------------------

// Notes where the proposal stands in the log.
static void expect(struct raft_node *node, struct raft_proposal *proposal)
{
    proposal->index = raft_last_index(node->core);
    proposal->term = raft_term(node->core);
    list_push_back(&node->proposals, &proposal->link);
}

// Clients know one text for "not the leader (any more)".
static int propose(struct raft_node *node, struct raft_proposal *proposal,
                   const struct raft_event *event, struct err *err)
{
    int result = node_step(node, event, err);
    if (result == -ERR_UNAVAILABLE)
        return err_set(err, ERR_UNKNOWN, RAFT_NODE_ERR_LOST);
    if (!result)
        expect(node, proposal);
    return result;
}

int raft_node_propose(struct raft_node *node, struct raft_proposal *proposal,
                      struct raft_blob *body, struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE,
                               .u.propose = {.data = &body, .count = 1}};
    return propose(node, proposal, &event, err);
}

int raft_node_propose_change(struct raft_node *node, struct raft_proposal *proposal,
                             enum raft_change_type type, uint64_t raft_id, const char *node_id,
                             const char *addr, struct err *err)
{
    Swarm__RaftMemberStatus status = SWARM__RAFT_MEMBER_STATUS__INIT;
    Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
    row.raft_id = raft_id;
    row.node_id = (char *)str_or(node_id, "");
    row.addr = (char *)str_or(addr, "");
    row.status = &status;
    Swarm__RaftMember *context = type == RAFT_CHANGE_REMOVE ? NULL : &row;
    struct raft_conf_change change = {.changes_count = 1,
                                      .changes = {{.type = type, .id = raft_id}}};
    int result = members_check(&node->members, &change, context, err);
    if (result)
        return result;
    struct buf body;
    buf_init(&body, CHANGE_BYTES_MAX);
    convert_change_out(type, raft_id, context, &body);
    struct raft_blob *blob = raft_blob_new(body.data, body.len);
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE_CONF, .u.propose_conf = {.data = blob}};
    result = propose(node, proposal, &event, err);
    raft_blob_unref(blob);
    buf_fini(&body);
    return result;
}

int raft_node_read(struct raft_node *node, struct raft_barrier *barrier, struct err *err)
{
    uint64_t number = ++node->next_barrier;
    struct raft_event event = {.type = RAFT_EVENT_READ, .u.read = number};
    int result = node_step(node, &event, err);
    if (result == -ERR_UNAVAILABLE)
        return err_set(err, ERR_UNKNOWN, RAFT_NODE_ERR_LOST);
    if (!result)
        map_put_u64(&node->barriers, number, barrier);
    return result;
}

int raft_node_transfer(struct raft_node *node, uint64_t to, struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .u.id = to};
    return node_step(node, &event, err);
}

static bool is_reachable(void *ctx, uint64_t raft_id)
{
    return raft_node_reachable(ctx, raft_id);
}

int raft_node_check_removal(const struct raft_node *node, uint64_t victim, struct err *err)
{
    return members_check_removal(&node->members, victim, is_reachable, (void *)node, err);
}

// ---- rows, keys, figures ------------------------------------------------------------------------

void raft_node_put(struct raft_node *node, const void *key, size_t key_size, const void *value,
                   size_t value_size)
{
    CHECK(key_size > 0);
    CHECK(((const uint8_t *)key)[0] >= NODE_ROW_OWN_MAX);
    rows_put(&node->rows, key, key_size, value, value_size);
}

int raft_node_rotate_key(struct raft_node *node, const struct seal_key *key,
                         void (*rotated)(void *ctx), void *ctx, struct err *err)
{
    if (node->rotation.wanted || node->rotation.active)
        return err_set(err, ERR_FAILED_PRECONDITION, "a data key rotation is under way");
    node->rotation.wanted = true;
    node->rotation.key = *key;
    node->rotation.done = rotated;
    node->rotation.ctx = ctx;
    loop_later_ask(&node->turn);
    return 0;
}

uint64_t raft_node_id(const struct raft_node *node)
{
    return node->self;
}

const struct members *raft_node_members(const struct raft_node *node)
{
    return &node->members;
}

struct raft_node_role raft_node_role(const struct raft_node *node)
{
    return node->role;
}

uint64_t raft_node_commit_index(const struct raft_node *node)
{
    return node->core ? raft_commit(node->core) : node->boot.hard.commit;
}

uint64_t raft_node_applied(const struct raft_node *node)
{
    return node->core ? raft_applied(node->core) : node->boot.applied;
}

const struct raft *raft_node_core(const struct raft_node *node)
{
    return node->core;
}

bool raft_node_reachable(const struct raft_node *node, uint64_t raft_id)
{
    return raft_id == node->self || node->transport->reachable(node->transport, raft_id);
}

void raft_node_disk_figures(const struct raft_node *node, struct logdb_figures *out)
{
    logdb_figures(node->db, out);
}
