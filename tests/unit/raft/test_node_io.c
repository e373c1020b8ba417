// Members at work over real disks and a transport in memory: proposals, restarts, membership,
// snapshots, loss of the leader, rotation of keys.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"
#include "raft/disk/logdb_io.h"
#include "raft/node_io.h"
#include "tests/support/support.h"

#define NODES_MAX 4
#define WAIT_MS   20000

static struct loop loop;
static const char *folder;

// One member: its store is a map from key to value, its entries are "key=value".
struct member_under_test {
    struct transport transport; // first: found again from the callbacks
    int number;                 // raft id - 100
    bool cut;                   // its messages go nowhere
    struct raft_node *node;
    struct map store;
    int applied_foreign;
    bool stopped;
    bool closed;
    uint64_t removed_peer; // the last one its transport was told to let go
    struct raft_node_role role;
    size_t members;
};
static struct member_under_test nodes[NODES_MAX];

// ---- the store under test -----------------------------------------------------------------------

static void store_clear(struct member_under_test *m)
{
    MAP_EACH (entry, &m->store)
        free(entry->value);
    map_clear(&m->store);
}

static void store_set(struct member_under_test *m, const char *key, const char *value)
{
    free(map_put_str(&m->store, key, str_dup(value)));
    char row[64];
    int length = snprintf(row, sizeof row, "s%s", key);
    raft_node_put(m->node, row, (size_t)length, value, strlen(value));
}

static void store_apply(struct member_under_test *m, const void *data, size_t size)
{
    char *text = str_ndup(data, size);
    char *equals = strchr(text, '=');
    ck_assert_ptr_nonnull(equals);
    *equals = '\0';
    store_set(m, text, equals + 1);
    free(text);
}

static int on_apply(void *ctx, uint64_t index, const void *data, size_t size, struct err *err)
{
    (void)index;
    (void)err;
    struct member_under_test *m = ctx;
    m->applied_foreign++;
    store_apply(m, data, size);
    return 0;
}

static void on_role(void *ctx, const struct raft_node_role *role)
{
    ((struct member_under_test *)ctx)->role = *role;
}

static void on_members(void *ctx, const struct members *members)
{
    ((struct member_under_test *)ctx)->members = members->count;
}

static int on_save(void *ctx, struct buf *out, struct err *err)
{
    (void)err;
    struct member_under_test *m = ctx;
    MAP_EACH (entry, &m->store)
        buf_printf(out, "%s=%s\n", (const char *)entry->key, (const char *)entry->value);
    return 0;
}

static int on_load(void *ctx, uint64_t index, const void *store, size_t size, struct err *err)
{
    (void)index;
    (void)err;
    struct member_under_test *m = ctx;
    store_clear(m);
    char *text = str_ndup(store, size);
    const char *rest = text;
    struct str_part line;
    while (str_split(&rest, '\n', &line))
        if (line.len)
            store_apply(m, line.at, line.len);
    free(text);
    return 0;
}

static int on_row(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
                  struct err *err)
{
    (void)err;
    struct member_under_test *m = ctx;
    ck_assert_int_eq(*(const char *)key, 's');
    map_put(&m->store, (const char *)key + 1, key_size - 1, str_ndup(value, value_size));
    return 0;
}

static int on_rows_done(void *ctx, uint64_t applied, struct err *err)
{
    (void)ctx;
    (void)applied;
    (void)err;
    return 0;
}

static void on_stopped(void *ctx, const struct err *why)
{
    (void)why;
    ((struct member_under_test *)ctx)->stopped = true;
}

// ---- the transport under test -------------------------------------------------------------------

// A message on its way: delivered by a later turn of the loop.
struct letter {
    struct loop_timer timer;
    struct raft_message message;
    struct raft_snapshot snapshot;
    struct raft_blob *data;
    struct list link;
};
static struct list letters;

static void free_letter(struct letter *letter)
{
    for (size_t i = 0; i < letter->message.entries_count; i++)
        raft_blob_unref(letter->message.entries[i].data);
    free((void *)letter->message.entries);
    raft_blob_unref(letter->data);
    list_remove(&letter->link);
    loop_timer_stop(&letter->timer);
    free(letter);
}

static void deliver(struct loop_timer *timer)
{
    struct letter *letter = CONTAINER_OF(timer, struct letter, timer);
    struct member_under_test *from = &nodes[letter->message.from - 100];
    struct member_under_test *to = &nodes[letter->message.to - 100];
    bool ok = to->node && !to->cut && !from->cut && !to->stopped;
    if (ok)
        raft_node_receive(to->node, &letter->message, letter->data, NULL);
    if (from->node) {
        struct transport_reports reports = raft_node_reports(from->node);
        if (letter->message.type == RAFT_MSG_SNAP)
            reports.snapshot_sent(reports.ctx, letter->message.to, ok);
        if (!ok)
            reports.unreachable(reports.ctx, letter->message.to);
    }
    free_letter(letter);
}

static void transport_send(struct transport *transport, const struct raft_message *message,
                           struct raft_blob *snapshot)
{
    (void)transport;
    struct letter *letter = MEM_NEW(struct letter);
    letter->message = *message;
    struct raft_entry *entries =
        mem_dup(message->entries, message->entries_count * sizeof *entries);
    for (size_t i = 0; i < message->entries_count; i++)
        raft_blob_ref(entries[i].data);
    letter->message.entries = entries;
    if (message->snapshot) {
        letter->snapshot = *message->snapshot;
        letter->message.snapshot = &letter->snapshot;
    }
    letter->data = raft_blob_ref(snapshot);
    list_push_back(&letters, &letter->link);
    loop_timer_init(&letter->timer, &loop, deliver);
    loop_timer_start(&letter->timer, 1);
}

static void transport_set_peer(struct transport *transport, uint64_t raft_id, const char *node_id,
                               const char *addr)
{
    (void)transport;
    (void)raft_id;
    (void)node_id;
    (void)addr;
}

static void transport_remove_peer(struct transport *transport, uint64_t raft_id)
{
    ((struct member_under_test *)transport)->removed_peer = raft_id;
}

static bool transport_reachable(struct transport *transport, uint64_t raft_id)
{
    (void)transport;
    struct member_under_test *m = &nodes[raft_id - 100];
    return m->node && !m->cut;
}

// ---- helpers ------------------------------------------------------------------------------------

static void open_node(int number)
{
    struct member_under_test *m = &nodes[number];
    m->number = number;
    m->stopped = m->closed = false;
    m->role = (struct raft_node_role){0};
    m->transport = (struct transport){.send = transport_send,
                                      .set_peer = transport_set_peer,
                                      .remove_peer = transport_remove_peer,
                                      .reachable = transport_reachable};
    map_init(&m->store);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%d", folder, number);
    struct raft_node_config config = {
        .loop = &loop,
        .dir = dir,
        .key = {{7}},
        .transport = &m->transport,
        .ops = {.apply = on_apply,
                .role = on_role,
                .members = on_members,
                .save = on_save,
                .load = on_load,
                .row = on_row,
                .rows_done = on_rows_done,
                .stopped = on_stopped,
                .ctx = m},
        .seed = (uint64_t)number + 1,
        .compact_entries = 50,
        .keep_entries = 10,
        .patient = {.heartbeat_ms = 40, .election_ms = 400},
        .quick = {.heartbeat_ms = 20, .election_ms = 200},
    };
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_open(&config, &m->node, &err) == 0, "%s", err.message);
}

static void start_node(int number)
{
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_start(nodes[number].node, &err) == 0, "%s", err.message);
}

static void on_closed(void *ctx)
{
    struct member_under_test *m = ctx;
    m->closed = true;
    m->node = NULL;
}

static bool is_closed(void *ctx)
{
    return ((struct member_under_test *)ctx)->closed;
}

static void close_node(int number)
{
    struct member_under_test *m = &nodes[number];
    if (!m->node)
        return;
    raft_node_close(m->node, on_closed, m);
    ck_assert(loop_run_until(&loop, is_closed, m, WAIT_MS));
    store_clear(m);
    map_fini(&m->store);
}

static bool is_acting(void *ctx)
{
    return ((struct member_under_test *)ctx)->role.acting;
}

static void found(void)
{
    open_node(0);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_found(nodes[0].node, 100, "node-0", "10.0.0.100:2377", &err) == 0, "%s",
                  err.message);
    start_node(0);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[0], WAIT_MS));
}

struct write_under_test {
    struct raft_proposal proposal;
    struct member_under_test *m;
    char text[64];
    bool done;
    bool ok;
};

static void on_write_done(struct raft_proposal *proposal, const struct err *err)
{
    struct write_under_test *w = CONTAINER_OF(proposal, struct write_under_test, proposal);
    w->done = true;
    w->ok = err == NULL;
    if (!err && w->text[0])
        store_apply(w->m, w->text, strlen(w->text));
}

static bool write_done(void *ctx)
{
    return ((struct write_under_test *)ctx)->done;
}

static int write_start(int number, struct write_under_test *w, const char *text)
{
    *w = (struct write_under_test){.m = &nodes[number], .proposal.done = on_write_done};
    str_copy(w->text, sizeof w->text, text);
    struct raft_blob *body = raft_blob_new(text, strlen(text));
    int result = raft_node_propose(nodes[number].node, &w->proposal, body, NULL);
    raft_blob_unref(body);
    return result;
}

static void write_one(int number, const char *text)
{
    struct write_under_test w;
    ck_assert_int_eq(write_start(number, &w, text), 0);
    ck_assert(loop_run_until(&loop, write_done, &w, WAIT_MS));
    ck_assert(w.ok);
}

static void write_many(int number, int first, int count)
{
    struct write_under_test *writes = mem_alloc_array((size_t)count, sizeof *writes);
    for (int i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, "k%d=v%d", first + i, first + i);
        ck_assert_int_eq(write_start(number, &writes[i], text), 0);
    }
    ck_assert(loop_run_until(&loop, write_done, &writes[count - 1], WAIT_MS));
    for (int i = 0; i < count; i++)
        ck_assert(writes[i].done && writes[i].ok); // in order, so all before the last are done
    free(writes);
}

static void change_members(int leader, enum raft_change_type type, int number)
{
    struct write_under_test w = {.m = &nodes[leader], .proposal.done = on_write_done};
    char node_id[16], addr[32];
    snprintf(node_id, sizeof node_id, "node-%d", number);
    snprintf(addr, sizeof addr, "10.0.0.%d:2377", 100 + number);
    bool remove = type == RAFT_CHANGE_REMOVE;
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_propose_change(nodes[leader].node, &w.proposal, type,
                                           (uint64_t)(100 + number), remove ? NULL : node_id,
                                           remove ? NULL : addr, &err) == 0,
                  "%s", err.message);
    ck_assert(loop_run_until(&loop, write_done, &w, WAIT_MS));
    ck_assert(w.ok);
}

static void join(int leader, int number)
{
    change_members(leader, RAFT_CHANGE_ADD, number);
    open_node(number);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__ClusterSnapshot *list = members_save(raft_node_members(nodes[leader].node), &arena);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_join(nodes[number].node, (uint64_t)(100 + number), list, &err) == 0,
                  "%s", err.message);
    arena_fini(&arena);
    start_node(number);
}

struct wanted {
    int number;
    const char *key, *value;
};

static bool has_value(void *ctx)
{
    struct wanted *wanted = ctx;
    return str_equal(map_get_str(&nodes[wanted->number].store, wanted->key), wanted->value) &&
           map_has_str(&nodes[wanted->number].store, wanted->key);
}

static void expect_value(int number, const char *key, const char *value)
{
    struct wanted wanted = {number, key, value};
    ck_assert_msg(loop_run_until(&loop, has_value, &wanted, WAIT_MS), "node %d has no %s", number,
                  key);
}

static void setup(void)
{
    loop_init(&loop);
    list_init(&letters);
    folder = support_tmpdir();
}

static void teardown(void)
{
    for (int i = 0; i < NODES_MAX; i++)
        nodes[i].cut = false;
    for (int i = 0; i < NODES_MAX; i++)
        close_node(i);
    while (!list_empty(&letters))
        free_letter(LIST_ENTRY(letters.next, struct letter, link));
    loop_fini(&loop);
    support_tmpdir_remove(folder);
    memset(nodes, 0, sizeof nodes);
}

// ---- tests --------------------------------------------------------------------------------------

START_TEST(a_founded_cluster_commits_and_a_restart_has_it_all)
{
    found();
    ck_assert_uint_eq(nodes[0].members, 1);
    write_many(0, 0, 20);
    write_one(0, "k0=again");
    close_node(0);
    open_node(0);
    ck_assert(raft_node_is_member(nodes[0].node));
    start_node(0);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[0], WAIT_MS));
    expect_value(0, "k0", "again");
    expect_value(0, "k19", "v19");
    write_one(0, "k20=v20");
}
END_TEST

START_TEST(a_turn_of_proposals_is_one_commit)
{
    found();
    struct logdb_figures before, after;
    raft_node_disk_figures(nodes[0].node, &before);
    write_many(0, 0, 500);
    raft_node_disk_figures(nodes[0].node, &after);
    ck_assert_uint_le(after.commits - before.commits, 5);
}
END_TEST

START_TEST(the_log_is_cut_and_a_restart_replays_only_its_tail)
{
    found();
    for (int i = 0; i < 10; i++)
        write_many(0, 20 * i, 20);
    close_node(0);
    open_node(0);
    nodes[0].applied_foreign = 0;
    start_node(0);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[0], WAIT_MS));
    ck_assert_uint_gt(raft_first_index(raft_node_core(nodes[0].node)), 50);
    expect_value(0, "k0", "v0");
    expect_value(0, "k199", "v199");
    ck_assert_int_lt(nodes[0].applied_foreign, 100);
}
END_TEST

START_TEST(members_join_follow_and_catch_up_by_snapshot)
{
    found();
    write_many(0, 0, 10);
    join(0, 1);
    expect_value(1, "k9", "v9");
    write_one(0, "a=1");
    expect_value(1, "a", "1");
    // Far behind: the log has been cut past what the third one has.
    for (int i = 0; i < 10; i++)
        write_many(0, 20 * i, 20);
    join(0, 2);
    expect_value(2, "k199", "v199");
    expect_value(2, "a", "1");
    ck_assert_uint_eq(nodes[2].members, 3);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[0], WAIT_MS));
    write_one(0, "b=2");
    expect_value(2, "b", "2");
    // What came by snapshot survives a restart.
    close_node(2);
    open_node(2);
    start_node(2);
    expect_value(2, "k0", "v0");
    expect_value(2, "b", "2");
}
END_TEST

// Goal: who learns of a removal only by snapshot lets go of the removed one all the same.
START_TEST(a_snapshot_that_lacks_a_member_drops_its_connection)
{
    found();
    for (int i = 1; i < 4; i++)
        join(0, i);
    write_one(0, "a=1");
    expect_value(3, "a", "1");
    nodes[3].cut = true;
    change_members(0, RAFT_CHANGE_REMOVE, 1);
    for (int i = 0; i < 10; i++)
        write_many(0, 20 * i, 20);
    ck_assert_uint_eq(nodes[3].removed_peer, 0);
    nodes[3].cut = false;
    expect_value(3, "k199", "v199");
    ck_assert_uint_eq(nodes[3].removed_peer, 101);
    ck_assert_uint_eq(nodes[3].members, 3);
}
END_TEST

static bool other_acts(void *ctx)
{
    (void)ctx;
    return nodes[1].role.acting || nodes[2].role.acting;
}

static bool steps_down(void *ctx)
{
    return ((struct member_under_test *)ctx)->role.role != RAFT_LEADER;
}

START_TEST(another_leads_when_the_leader_is_cut_off_and_its_lost_proposals_fail)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    expect_value(1, "a", "1");
    expect_value(2, "a", "1");
    nodes[0].cut = true;
    struct write_under_test lost;
    ck_assert_int_eq(write_start(0, &lost, "lost=1"), 0);
    ck_assert(loop_run_until(&loop, other_acts, NULL, WAIT_MS));
    int leader = nodes[1].role.acting ? 1 : 2;
    write_one(leader, "b=2");
    ck_assert(loop_run_until(&loop, steps_down, &nodes[0], WAIT_MS));
    ck_assert(lost.done);
    ck_assert(!lost.ok);
    nodes[0].cut = false;
    expect_value(0, "b", "2");
    ck_assert(!map_has_str(&nodes[0].store, "lost"));
    ck_assert_int_lt(write_start(0, &lost, "c=3"), 0);
}
END_TEST

START_TEST(closing_a_leader_hands_over_at_once)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    expect_value(1, "a", "1");
    expect_value(2, "a", "1");
    close_node(0);
    ck_assert(loop_run_until(&loop, other_acts, NULL, WAIT_MS));
    write_one(nodes[1].role.acting ? 1 : 2, "b=2");
}
END_TEST

static bool is_stopped(void *ctx)
{
    return ((struct member_under_test *)ctx)->stopped;
}

START_TEST(a_removed_member_stops_and_quorum_is_guarded)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    expect_value(2, "a", "1");
    // With one of three away, removing one of the two left would lose the quorum.
    nodes[2].cut = true;
    struct err err = ERR_INIT;
    ck_assert_int_eq(raft_node_check_removal(nodes[0].node, 101, &err), -ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message, MEMBERS_ERR_QUORUM);
    ck_assert_int_eq(raft_node_check_removal(nodes[0].node, 102, &err), 0);
    nodes[2].cut = false;
    change_members(0, RAFT_CHANGE_REMOVE, 1);
    ck_assert(loop_run_until(&loop, is_stopped, &nodes[1], WAIT_MS));
    ck_assert(members_was_removed(raft_node_members(nodes[0].node), 101));
    write_one(0, "b=2");
    expect_value(2, "b", "2");
}
END_TEST

START_TEST(of_two_the_leader_that_removes_itself_leaves_one_that_works)
{
    found();
    join(0, 1);
    write_one(0, "a=1");
    expect_value(1, "a", "1");
    change_members(0, RAFT_CHANGE_REMOVE, 0);
    struct write_under_test late;
    ck_assert_int_lt(write_start(0, &late, "late=1"), 0);
    close_node(0); // at once: it still says farewell
    ck_assert(loop_run_until(&loop, other_acts, NULL, WAIT_MS));
    write_one(1, "b=2");
    ck_assert_uint_eq(nodes[1].members, 1);
}
END_TEST

START_TEST(a_removed_leader_stops_once_the_others_know)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    expect_value(2, "a", "1");
    change_members(0, RAFT_CHANGE_REMOVE, 0);
    ck_assert(loop_run_until(&loop, is_stopped, &nodes[0], WAIT_MS));
    ck_assert(loop_run_until(&loop, other_acts, NULL, WAIT_MS));
    int leader = nodes[1].role.acting ? 1 : 2;
    write_one(leader, "b=2");
    expect_value(3 - leader, "b", "2");
}
END_TEST

struct barrier_under_test {
    struct raft_barrier barrier;
    bool done, ok;
};

static void on_barrier(struct raft_barrier *barrier, const struct err *err)
{
    struct barrier_under_test *b = CONTAINER_OF(barrier, struct barrier_under_test, barrier);
    b->done = true;
    b->ok = err == NULL;
}

static bool barrier_done(void *ctx)
{
    return ((struct barrier_under_test *)ctx)->done;
}

START_TEST(a_read_is_answered_by_a_leader_that_still_is_one)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    struct barrier_under_test read = {.barrier.done = on_barrier};
    ck_assert_int_eq(raft_node_read(nodes[0].node, &read.barrier, NULL), 0);
    ck_assert(loop_run_until(&loop, barrier_done, &read, WAIT_MS));
    ck_assert(read.ok);
    expect_value(1, "a", "1");
    ck_assert_int_lt(raft_node_read(nodes[1].node, &read.barrier, NULL), 0);
    nodes[0].cut = true;
    read = (struct barrier_under_test){.barrier.done = on_barrier};
    ck_assert_int_eq(raft_node_read(nodes[0].node, &read.barrier, NULL), 0);
    ck_assert(loop_run_until(&loop, barrier_done, &read, WAIT_MS));
    ck_assert(!read.ok);
}
END_TEST

START_TEST(the_last_one_left_founds_anew_with_what_it_had)
{
    found();
    join(0, 1);
    join(0, 2);
    write_one(0, "a=1");
    expect_value(1, "a", "1");
    close_node(0);
    close_node(2);
    close_node(1);
    open_node(1);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_force_new(nodes[1].node, "10.0.0.9:2377", &err) == 0, "%s",
                  err.message);
    start_node(1);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[1], WAIT_MS));
    expect_value(1, "a", "1");
    ck_assert_uint_eq(nodes[1].members, 1);
    write_one(1, "b=2");
    ck_assert(members_was_removed(raft_node_members(nodes[1].node), 100));
    ck_assert(members_was_removed(raft_node_members(nodes[1].node), 102));
    ck_assert_str_eq(raft_node_members(nodes[1].node)->list[0].addr, "10.0.0.9:2377");
}
END_TEST

// Goal: a write that was acknowledged just before everything ended, when no later write had carried
// its row to the disk yet, is still there.
START_TEST(founding_anew_keeps_what_was_acknowledged_last)
{
    found();
    join(0, 1);
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%d=%d", i, i);
        write_one(0, text);
    }
    close_node(1);
    close_node(0);
    open_node(0);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_force_new(nodes[0].node, NULL, &err) == 0, "%s", err.message);
    start_node(0);
    ck_assert(loop_run_until(&loop, is_acting, &nodes[0], WAIT_MS));
    expect_value(0, "k19", "19");
    ck_assert_uint_eq(nodes[0].members, 1);
    write_one(0, "b=2");
}
END_TEST

static bool rotated;
static void on_rotated(void *ctx)
{
    (void)ctx;
    rotated = true;
}
static bool is_rotated(void *ctx)
{
    (void)ctx;
    return rotated;
}

START_TEST(keys_rotate_while_writes_go_on)
{
    found();
    write_many(0, 0, 100);
    struct seal_key key = {{9}};
    ck_assert_int_eq(raft_node_rotate_key(nodes[0].node, &key, on_rotated, NULL, NULL), 0);
    ck_assert_int_lt(raft_node_rotate_key(nodes[0].node, &key, on_rotated, NULL, NULL), 0);
    write_many(0, 100, 20);
    ck_assert(loop_run_until(&loop, is_rotated, NULL, WAIT_MS));
    write_many(0, 120, 20);
    close_node(0);
    // Only the new key opens it now.
    struct logdb *db = NULL;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/0", folder);
    ck_assert_int_eq(logdb_open(dir, &key, NULL, &db, NULL), 0);
    struct raft_boot boot;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_boot(db, &boot, &err) == 0, "%s", err.message);
    logdb_close(db);
}
END_TEST

Suite *suite_node_io(void);
Suite *suite_node_io(void)
{
    Suite *suite = suite_create("node_io");
    TCase *tcase = tcase_create("node_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_founded_cluster_commits_and_a_restart_has_it_all);
    tcase_add_test(tcase, a_turn_of_proposals_is_one_commit);
    tcase_add_test(tcase, the_log_is_cut_and_a_restart_replays_only_its_tail);
    tcase_add_test(tcase, members_join_follow_and_catch_up_by_snapshot);
    tcase_add_test(tcase, a_snapshot_that_lacks_a_member_drops_its_connection);
    tcase_add_test(tcase, another_leads_when_the_leader_is_cut_off_and_its_lost_proposals_fail);
    tcase_add_test(tcase, closing_a_leader_hands_over_at_once);
    tcase_add_test(tcase, a_removed_member_stops_and_quorum_is_guarded);
    tcase_add_test(tcase, of_two_the_leader_that_removes_itself_leaves_one_that_works);
    tcase_add_test(tcase, a_removed_leader_stops_once_the_others_know);
    tcase_add_test(tcase, a_read_is_answered_by_a_leader_that_still_is_one);
    tcase_add_test(tcase, the_last_one_left_founds_anew_with_what_it_had);
    tcase_add_test(tcase, founding_anew_keeps_what_was_acknowledged_last);
    tcase_add_test(tcase, keys_rotate_while_writes_go_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
