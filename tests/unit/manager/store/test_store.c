// The store applies, publishes, pins and gives back.
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/store/snapshot.h"
#include "manager/store/watch.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "proto/wire/raft.pb-c.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;

static void setup(void)
{
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
}

static void teardown(void)
{
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static void create(enum object_type type, void *message)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_msg(txn_create(txn, type, message, &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
}

// An entry as a stock leader sends it: packed by protobuf-c from the generated messages.
static uint8_t *entry_of(Swarm__StoreAction **actions, size_t count, size_t *size)
{
    Swarm__InternalRaftRequest request = SWARM__INTERNAL_RAFT_REQUEST__INIT;
    request.id = 77;
    request.n_action = count;
    request.action = actions;
    *size = swarm__internal_raft_request__get_packed_size(&request);
    uint8_t *bytes = arena_alloc(&arena, *size);
    swarm__internal_raft_request__pack(&request, bytes);
    return bytes;
}

static Swarm__StoreAction *action_of(Swarm__StoreActionKind kind, void *message)
{
    Swarm__StoreAction *action = ARENA_NEW(&arena, Swarm__StoreAction);
    swarm__store_action__init(action);
    action->action = kind;
    const ProtobufCMessageDescriptor *type = ((ProtobufCMessage *)message)->descriptor;
    if (type == &swarm__task__descriptor) {
        action->target_case = SWARM__STORE_ACTION__TARGET_TASK;
        action->task = message;
    } else {
        ck_assert_ptr_eq(type, &swarm__service__descriptor);
        action->target_case = SWARM__STORE_ACTION__TARGET_SERVICE;
        action->service = message;
    }
    return action;
}

START_TEST(foreign_entry_is_applied_in_order)
{
    Swarm__Service *service = fake_service(&arena, "s1");
    Swarm__Service *changed = fake_service(&arena, "s1");
    changed->pending_delete = true;
    Swarm__StoreAction *actions[] = {
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, service),
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_UPDATE, changed),
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_task(&arena, "t1", "s1", 1)),
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_REMOVE, fake_task(&arena, "t1", "", 0)),
    };
    size_t size;
    uint8_t *entry = entry_of(actions, 4, &size);
    struct err err = ERR_INIT;
    ck_assert_msg(store_apply(log_.store, entry, size, 11, &err) == 0, "%s", err.message);
    ck_assert_uint_eq(store_applied(log_.store), 11);
    struct view view = store_pin(log_.store);
    Swarm__Service *found = object_unpack(view_get(view, OBJECT_SERVICE, "s1"), &arena);
    ck_assert(found->pending_delete);
    ck_assert_uint_eq(view_count(view, OBJECT_TASK), 0);
    store_unpin(view);
}
END_TEST

START_TEST(entry_with_an_unknown_target_is_discarded_whole)
{
    Swarm__StoreAction *actions[] = {
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_service(&arena, "s1")),
    };
    size_t size;
    uint8_t *known = entry_of(actions, 1, &size);
    // One more action whose target is field 25, as a newer manager might send.
    uint8_t *entry = arena_alloc(&arena, size + 16);
    memcpy(entry, known, size);
    static const uint8_t unknown[] = {0x12, 0x05, 0x08, 0x01, 0xca, 0x01, 0x00};
    memcpy(entry + size, unknown, sizeof(unknown));
    struct err err = ERR_INIT;
    ck_assert_int_ne(store_apply(log_.store, entry, size + sizeof(unknown), 11, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "unrecognized action type"));
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(view_count(view, OBJECT_SERVICE), 0);
    store_unpin(view);
    ck_assert_uint_eq(store_applied(log_.store), 11); // the log goes on
}
END_TEST

START_TEST(entry_that_breaks_a_rule_is_discarded_whole)
{
    Swarm__Service *other = fake_service(&arena, "s2");
    other->spec->annotations->name = "S1"; // taken, in another case
    Swarm__StoreAction *rows[][2] = {
        {action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_service(&arena, "s1")),
         action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, other)},
        {action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_task(&arena, "t", "", 1)),
         action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_task(&arena, "t", "", 1))},
        {action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_service(&arena, "s1")),
         action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_UPDATE, fake_service(&arena, "s9"))},
        {action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_service(&arena, "s1")),
         action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_REMOVE, fake_task(&arena, "t", "", 1))},
        {action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, fake_service(&arena, "s1")),
         action_of(SWARM__STORE_ACTION_KIND__UNKNOWN, fake_service(&arena, "s2"))},
    };
    const char *texts[] = {STORE_ERR_NAME, STORE_ERR_EXIST, STORE_ERR_NOEXIST, STORE_ERR_NOEXIST,
                           "unrecognized action type"};
    for (unsigned i = 0; i < 5; i++) {
        size_t size;
        uint8_t *entry = entry_of(rows[i], 2, &size);
        struct err err = ERR_INIT;
        ck_assert_int_ne(store_apply(log_.store, entry, size, 11 + i, &err), 0);
        ck_assert_msg(strstr(err.message, texts[i]) != NULL, "%u: %s", i, err.message);
        struct view view = store_pin(log_.store);
        ck_assert_uint_eq(view_count(view, OBJECT_SERVICE), 0);
        ck_assert_uint_eq(view_count(view, OBJECT_TASK), 0);
        store_unpin(view);
    }
}
END_TEST

START_TEST(broken_and_empty_entries_leave_the_state_alone)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(store_apply(log_.store, "", 0, 11, &err), 0); // the leader's no-op
    ck_assert_int_ne(store_apply(log_.store, "\x12\x7f\x00", 3, 12, &err), 0);
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_int_ne(store_apply(log_.store, "\x12\x05\x08\x01\x22\x01\xff", 7, 13, &err), 0);
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(store_applied(log_.store), 13);
}
END_TEST

START_TEST(unknown_fields_survive_apply_and_rewrite)
{
    // A task with a field 99 that we do not know.
    Swarm__Task *task = fake_task(&arena, "t1", "s1", 1);
    ProtobufCMessageUnknownField field = {
        .tag = 99,
        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = 4,
        .data = (uint8_t *)"\x03new",
    };
    task->base.n_unknown_fields = 1;
    task->base.unknown_fields = &field;
    Swarm__StoreAction *actions[] = {
        action_of(SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE, task)};
    size_t size;
    uint8_t *entry = entry_of(actions, 1, &size);
    struct err err = ERR_INIT;
    ck_assert_int_eq(store_apply(log_.store, entry, size, 11, &err), 0);
    log_.base = 11;
    struct txn *txn = fake_begin(&log_, 5);
    Swarm__Task *edit = txn_edit(txn, OBJECT_TASK, "t1");
    edit->desired_state = SWARM__TASK_STATE__SHUTDOWN;
    ck_assert_msg(txn_update(txn, OBJECT_TASK, edit, &err) == 0, "%s", err.message);
    fake_write(&log_, txn);
    struct view view = store_pin(log_.store);
    Swarm__Task *found = object_unpack(view_get(view, OBJECT_TASK, "t1"), &arena);
    ck_assert_uint_eq(found->base.n_unknown_fields, 1);
    ck_assert_uint_eq(found->base.unknown_fields[0].tag, 99);
    ck_assert_mem_eq(found->base.unknown_fields[0].data, "\x03new", 4);
    ck_assert_int_eq(found->desired_state, SWARM__TASK_STATE__SHUTDOWN);
    store_unpin(view);
}
END_TEST

START_TEST(pinned_view_does_not_change_and_costs_only_what_changed)
{
    for (int i = 0; i < 200; i++)
        create(OBJECT_TASK, fake_task(&arena, arena_printf(&arena, "t%03d", i), "s1", 1));
    struct view pinned = store_pin(log_.store);
    for (int i = 0; i < 200; i++) {
        struct err err = ERR_INIT;
        struct txn *txn = fake_begin(&log_, 2);
        ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, arena_printf(&arena, "t%03d", i), &err), 0);
        fake_write(&log_, txn);
    }
    // What was made and dropped while the reader held its root does not pile up behind it.
    for (int i = 0; i < 1000; i++) {
        create(OBJECT_TASK, fake_task(&arena, "again", "s1", 1));
        struct err err = ERR_INIT;
        struct txn *txn = fake_begin(&log_, 2);
        ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, "again", &err), 0);
        fake_write(&log_, txn);
    }
    ck_assert_uint_eq(view_count(pinned, OBJECT_TASK), 200);
    unsigned seen = 0;
    VIEW_EACH (object, pinned, OBJECT_TASK, by_service("s1")) {
        ck_assert_uint_eq(object_task(object)->slot, 1);
        seen++;
    }
    ck_assert_uint_eq(seen, 200);
    struct store_stats stats;
    for (int tries = 0; tries < 60000; tries++) { // a grace period passes in another thread
        store_tidy(log_.store);
        store_stats(log_.store, &stats);
        if (stats.roots_live <= 2)
            break;
        ck_assert_int_eq(usleep(1000), 0);
    }
    ck_assert_uint_le(stats.roots_live, 2);
    ck_assert_uint_le(stats.dead_items, 200 + 200);
    store_unpin(pinned);
    store_tidy(log_.store);
    store_stats(log_.store, &stats);
    ck_assert_uint_eq(stats.roots_live, 1);
    ck_assert_uint_eq(stats.dead_items, 0);
    ck_assert_uint_eq(stats.object_bytes, 0);
    ck_assert_uint_eq(stats.tree_bytes, 0);
}
END_TEST

struct reader {
    pthread_t thread;
    struct store *store;
    atomic_bool stop;
    unsigned rounds;
};

// Every committed state holds each task's partner: a torn read would show one alone.
static void *read_pairs(void *ctx)
{
    struct reader *reader = ctx;
    store_reader_enter();
    while (!atomic_load(&reader->stop)) {
        struct view view = store_pin(reader->store);
        size_t count = 0;
        VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
            const char *id = object_id(object);
            char partner[64];
            str_format(partner, sizeof(partner), "%c%s", id[0] == 'a' ? 'b' : 'a', id + 1);
            if (!view_get(view, OBJECT_TASK, partner))
                abort();
            count++;
        }
        if (count != view_count(view, OBJECT_TASK))
            abort();
        store_unpin(view);
        reader->rounds++;
    }
    store_reader_leave();
    return NULL;
}

START_TEST(readers_on_other_threads_see_whole_commits)
{
    struct reader readers[2] = {{.store = log_.store}, {.store = log_.store}};
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, read_pairs, &readers[i]), 0);
    struct rand rand;
    rand_init(&rand, 7);
    for (unsigned i = 0; i < 1500; i++) {
        struct arena local;
        arena_init(&local, SIZE_MAX);
        struct err err = ERR_INIT;
        struct txn *txn = fake_begin(&log_, 1);
        unsigned number = (unsigned)rand_below(&rand, 300);
        for (char c = 'a'; c <= 'b'; c++) {
            const char *id = arena_printf(&local, "%c%u", c, number);
            int rc = view_get(txn_view(txn), OBJECT_TASK, id)
                         ? txn_delete(txn, OBJECT_TASK, id, &err)
                         : txn_create(txn, OBJECT_TASK, fake_task(&local, id, "s", 1), &err);
            ck_assert_int_eq(rc, 0);
        }
        fake_write(&log_, txn);
        arena_fini(&local);
    }
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&readers[i].stop, true);
        pthread_join(readers[i].thread, NULL);
        ck_assert_uint_gt(readers[i].rounds, 0);
    }
}
END_TEST

Suite *suite_store(void);
Suite *suite_store(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, foreign_entry_is_applied_in_order);
    tcase_add_test(tcase, entry_with_an_unknown_target_is_discarded_whole);
    tcase_add_test(tcase, entry_that_breaks_a_rule_is_discarded_whole);
    tcase_add_test(tcase, broken_and_empty_entries_leave_the_state_alone);
    tcase_add_test(tcase, unknown_fields_survive_apply_and_rewrite);
    tcase_add_test(tcase, pinned_view_does_not_change_and_costs_only_what_changed);
    tcase_add_test(tcase, readers_on_other_threads_see_whole_commits);
    suite_add_tcase(suite, tcase);
    return suite;
}
