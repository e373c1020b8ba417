#include "tests/unit/raft/rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

struct loop rig_loop;
const char *rig_folder;
struct rig_member rig_nodes[RIG_NODES_MAX];

// ---- the store under test -----------------------------------------------------------------------

static void store_clear(struct rig_member *m)
{
    MAP_EACH (entry, &m->store)
        free(entry->value);
    map_clear(&m->store);
}

static void store_set(struct rig_member *m, const char *key, const char *value)
{
    free(map_put_str(&m->store, key, str_dup(value)));
    char row[64];
    int length = snprintf(row, sizeof row, "s%s", key);
    raft_node_put(m->node, row, (size_t)length, value, strlen(value));
}

static void store_apply(struct rig_member *m, const void *data, size_t size)
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
    struct rig_member *m = ctx;
    m->applied_foreign++;
    store_apply(m, data, size);
    return 0;
}

static void on_role(void *ctx, const struct raft_node_role *role)
{
    ((struct rig_member *)ctx)->role = *role;
}

static void on_members(void *ctx, const struct members *members)
{
    ((struct rig_member *)ctx)->members = members->count;
}

static int on_save(void *ctx, struct buf *out, struct err *err)
{
    (void)err;
    struct rig_member *m = ctx;
    MAP_EACH (entry, &m->store)
        buf_printf(out, "%s=%s\n", (const char *)entry->key, (const char *)entry->value);
    return 0;
}

static int on_load(void *ctx, uint64_t index, const void *store, size_t size, struct err *err)
{
    (void)index;
    (void)err;
    struct rig_member *m = ctx;
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
    struct rig_member *m = ctx;
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
    ((struct rig_member *)ctx)->stopped = true;
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
    struct rig_member *from = &rig_nodes[letter->message.from - 100];
    struct rig_member *to = &rig_nodes[letter->message.to - 100];
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
    loop_timer_init(&letter->timer, &rig_loop, deliver);
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
    ((struct rig_member *)transport)->removed_peer = raft_id;
}

static bool transport_reachable(struct transport *transport, uint64_t raft_id)
{
    (void)transport;
    struct rig_member *m = &rig_nodes[raft_id - 100];
    return m->node && !m->cut;
}

// ---- helpers ------------------------------------------------------------------------------------

void rig_open(int number)
{
    struct rig_member *m = &rig_nodes[number];
    m->number = number;
    m->stopped = m->closed = false;
    m->role = (struct raft_node_role){0};
    m->transport = (struct transport){.send = transport_send,
                                      .set_peer = transport_set_peer,
                                      .remove_peer = transport_remove_peer,
                                      .reachable = transport_reachable};
    map_init(&m->store);
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%d", rig_folder, number);
    struct raft_node_config config = {
        .loop = &rig_loop,
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

void rig_start(int number)
{
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_start(rig_nodes[number].node, &err) == 0, "%s", err.message);
}

static void on_closed(void *ctx)
{
    struct rig_member *m = ctx;
    m->closed = true;
    m->node = NULL;
}

static bool is_closed(void *ctx)
{
    return ((struct rig_member *)ctx)->closed;
}

void rig_close(int number)
{
    struct rig_member *m = &rig_nodes[number];
    if (!m->node)
        return;
    raft_node_close(m->node, on_closed, m);
    ck_assert(loop_run_until(&rig_loop, is_closed, m, RIG_WAIT_MS));
    store_clear(m);
    map_fini(&m->store);
}

bool rig_is_acting(void *ctx)
{
    return ((struct rig_member *)ctx)->role.acting;
}

void rig_found(void)
{
    rig_open(0);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_found(rig_nodes[0].node, 100, "node-0", "10.0.0.100:2377", &err) == 0,
                  "%s", err.message);
    rig_start(0);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[0], RIG_WAIT_MS));
}

static void on_write_done(struct raft_proposal *proposal, const struct err *err)
{
    struct rig_write *w = CONTAINER_OF(proposal, struct rig_write, proposal);
    w->done = true;
    w->ok = err == NULL;
    if (!err && w->text[0])
        store_apply(w->m, w->text, strlen(w->text));
}

bool rig_write_done(void *ctx)
{
    return ((struct rig_write *)ctx)->done;
}

int rig_write_start(int number, struct rig_write *w, const char *text)
{
    *w = (struct rig_write){.m = &rig_nodes[number], .proposal.done = on_write_done};
    str_copy(w->text, sizeof w->text, text);
    struct raft_blob *body = raft_blob_new(text, strlen(text));
    int result = raft_node_propose(rig_nodes[number].node, &w->proposal, body, NULL);
    raft_blob_unref(body);
    return result;
}

void rig_write_one(int number, const char *text)
{
    struct rig_write w;
    ck_assert_int_eq(rig_write_start(number, &w, text), 0);
    ck_assert(loop_run_until(&rig_loop, rig_write_done, &w, RIG_WAIT_MS));
    ck_assert(w.ok);
}

void rig_write_many(int number, int first, int count)
{
    struct rig_write *writes = mem_alloc_array((size_t)count, sizeof *writes);
    for (int i = 0; i < count; i++) {
        char text[64];
        snprintf(text, sizeof text, "k%d=v%d", first + i, first + i);
        ck_assert_int_eq(rig_write_start(number, &writes[i], text), 0);
    }
    ck_assert(loop_run_until(&rig_loop, rig_write_done, &writes[count - 1], RIG_WAIT_MS));
    for (int i = 0; i < count; i++)
        ck_assert(writes[i].done && writes[i].ok); // in order, so all before the last are done
    free(writes);
}

void rig_change(int leader, enum raft_change_type type, int number)
{
    struct rig_write w = {.m = &rig_nodes[leader], .proposal.done = on_write_done};
    char node_id[16], addr[32];
    snprintf(node_id, sizeof node_id, "node-%d", number);
    snprintf(addr, sizeof addr, "10.0.0.%d:2377", 100 + number);
    bool remove = type == RAFT_CHANGE_REMOVE;
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_propose_change(rig_nodes[leader].node, &w.proposal, type,
                                           (uint64_t)(100 + number), remove ? NULL : node_id,
                                           remove ? NULL : addr, &err) == 0,
                  "%s", err.message);
    ck_assert(loop_run_until(&rig_loop, rig_write_done, &w, RIG_WAIT_MS));
    ck_assert(w.ok);
}

void rig_join(int leader, int number)
{
    rig_change(leader, RAFT_CHANGE_ADD, number);
    rig_open(number);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__ClusterSnapshot *list = members_save(raft_node_members(rig_nodes[leader].node), &arena);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_join(rig_nodes[number].node, (uint64_t)(100 + number), list, &err) == 0,
                  "%s", err.message);
    arena_fini(&arena);
    rig_start(number);
}

struct wanted {
    int number;
    const char *key, *value;
};

static bool has_value(void *ctx)
{
    struct wanted *wanted = ctx;
    return str_equal(map_get_str(&rig_nodes[wanted->number].store, wanted->key), wanted->value) &&
           map_has_str(&rig_nodes[wanted->number].store, wanted->key);
}

void rig_expect(int number, const char *key, const char *value)
{
    struct wanted wanted = {number, key, value};
    ck_assert_msg(loop_run_until(&rig_loop, has_value, &wanted, RIG_WAIT_MS), "node %d has no %s",
                  number, key);
}

void rig_setup(void)
{
    loop_init(&rig_loop);
    list_init(&letters);
    rig_folder = support_tmpdir();
}

void rig_teardown(void)
{
    for (int i = 0; i < RIG_NODES_MAX; i++)
        rig_nodes[i].cut = false;
    for (int i = 0; i < RIG_NODES_MAX; i++)
        rig_close(i);
    while (!list_empty(&letters))
        free_letter(LIST_ENTRY(letters.next, struct letter, link));
    loop_fini(&rig_loop);
    support_tmpdir_remove(rig_folder);
    memset(rig_nodes, 0, sizeof rig_nodes);
}
