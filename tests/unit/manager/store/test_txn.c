// Transactions: versions, errors, limits, pipelining.
#include <check.h>
#include <string.h>

#include "proto/wire/raft.pb-c.h"
#include "proto/base/check.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;

static void setup(void)
{
    fake_log_init(&log_, 100);
    arena_init(&arena, SIZE_MAX);
}

static void teardown(void)
{
    fake_log_fini(&log_);
    arena_fini(&arena);
}

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        struct err why_ = ERR_INIT;                                                                \
        struct err *err = &why_;                                                                   \
        ck_assert_msg((call) == 0, "%s", why_.message);                                            \
    } while (0)

#define ASSERT_FAILS(wanted, text, call)                                                           \
    do {                                                                                           \
        struct err why_ = ERR_INIT;                                                                \
        struct err *err = &why_;                                                                   \
        ck_assert_int_eq((call), -(wanted));                                                       \
        ck_assert_str_eq(why_.message, text);                                                      \
    } while (0)

START_TEST(version_is_the_commit_index_at_the_begin_and_times_are_set)
{
    struct txn *txn = fake_begin(&log_, 50);
    Swarm__Service *a = fake_service(&arena, "a");
    Swarm__Task *b = fake_task(&arena, "b", "a", 1);
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, a, err));
    ASSERT_OK(txn_create(txn, OBJECT_TASK, b, err));
    ck_assert_uint_eq(a->meta->version->index, 100); // shown to the caller
    fake_write(&log_, txn);                          // its entry has index 101
    ck_assert_uint_eq(store_applied(log_.store), 101);

    txn = fake_begin(&log_, 60);
    a = txn_edit(txn, OBJECT_SERVICE, "a");
    ck_assert_uint_eq(a->meta->version->index, 100);
    ASSERT_OK(txn_update(txn, OBJECT_SERVICE, a, err));
    fake_write(&log_, txn);

    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(object_version(view_get(view, OBJECT_SERVICE, "a")), 101);
    ck_assert_uint_eq(object_version(view_get(view, OBJECT_TASK, "b")), 100);
    a = object_unpack(view_get(view, OBJECT_SERVICE, "a"), &arena);
    ck_assert_int_eq(a->meta->created_at->seconds, 50);
    ck_assert_int_eq(a->meta->updated_at->seconds, 60);
    store_unpin(view);
}
END_TEST

START_TEST(update_with_another_version_is_out_of_sequence)
{
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "a"), err));
    fake_write(&log_, txn);

    txn = fake_begin(&log_, 1);
    Swarm__Service *mine = txn_edit(txn, OBJECT_SERVICE, "a");
    Swarm__Service *old = fake_copy(&arena, mine);
    ASSERT_OK(txn_update(txn, OBJECT_SERVICE, mine, err));
    // Within the transaction too: SwarmKit compares with what the transaction itself wrote.
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_SEQUENCE, txn_update(txn, OBJECT_SERVICE, old, err));
    mine->pending_delete = true;
    ASSERT_OK(txn_update(txn, OBJECT_SERVICE, mine, err));
    fake_write(&log_, txn);

    txn = fake_begin(&log_, 1);
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_SEQUENCE, txn_update(txn, OBJECT_SERVICE, old, err));
    old->meta = NULL;
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_SEQUENCE, txn_update(txn, OBJECT_SERVICE, old, err));
    txn_abandon(txn);
}
END_TEST

START_TEST(pipelined_transactions_get_versions_as_if_serial)
{
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "a"), err));
    ASSERT_OK(txn_commit(txn, NULL, err)); // entry 101 in flight
    txn = fake_begin(&log_, 1);
    ck_assert_uint_eq(txn_version(txn), 101);
    Swarm__Service *a = txn_edit(txn, OBJECT_SERVICE, "a");
    ck_assert_ptr_nonnull(a);
    Swarm__Service *stale = fake_copy(&arena, a);
    ASSERT_OK(txn_update(txn, OBJECT_SERVICE, a, err));
    ASSERT_OK(txn_commit(txn, NULL, err)); // entry 102 in flight
    fake_commit(&log_);
    // A client that read what entry 101 made cannot overwrite entry 102 unseen.
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(object_version(view_get(view, OBJECT_SERVICE, "a")), 100);
    store_unpin(view);
    txn = fake_begin(&log_, 1);
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_SEQUENCE, txn_update(txn, OBJECT_SERVICE, stale, err));
    txn_abandon(txn);
}
END_TEST

START_TEST(store_errors_have_swarmkits_texts)
{
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "web"), err));
    ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, "t", "web", 1), err));
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "db"), err));
    Swarm__Service *same = fake_service(&arena, "other");
    same->spec->annotations->name = "WEB";
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NAME, txn_create(txn, OBJECT_SERVICE, same, err));
    same = txn_edit(txn, OBJECT_SERVICE, "db");
    same->spec->annotations->name = "Web";
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NAME, txn_update(txn, OBJECT_SERVICE, same, err));
    // A name may change its case, and node names may repeat.
    same = txn_edit(txn, OBJECT_SERVICE, "web");
    same->spec->annotations->name = "Web";
    ASSERT_OK(txn_update(txn, OBJECT_SERVICE, same, err));
    ASSERT_OK(txn_create(txn, OBJECT_NODE, fake_node(&arena, "n1"), err));
    ASSERT_OK(txn_create(txn, OBJECT_NODE, fake_node(&arena, "n2"), err));
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_EXIST,
                 txn_create(txn, OBJECT_TASK, fake_task(&arena, "t", "", 1), err));
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NOEXIST,
                 txn_update(txn, OBJECT_TASK, fake_task(&arena, "u", "", 1), err));
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NOEXIST, txn_delete(txn, OBJECT_TASK, "u", err));
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NOKIND,
                 txn_create(txn, OBJECT_RESOURCE, fake_resource(&arena, "r", "k"), err));
    ASSERT_OK(txn_create(txn, OBJECT_EXTENSION, fake_extension(&arena, "k"), err));
    ASSERT_OK(txn_create(txn, OBJECT_RESOURCE, fake_resource(&arena, "r", "k"), err));
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_NAME,
                 txn_create(txn, OBJECT_EXTENSION, fake_extension(&arena, "service"), err));
    struct err why = ERR_INIT;
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, fake_task(&arena, "", "", 1), &why),
                     -ERR_INVALID_ARGUMENT);
    fake_write(&log_, txn);
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(view_count(view, OBJECT_SERVICE), 2);
    store_unpin(view);
}
END_TEST

START_TEST(transaction_sees_its_own_writes_and_readers_do_not)
{
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, "t", "s", 3), err));
    ck_assert_ptr_nonnull(view_get(txn_view(txn), OBJECT_TASK, "t"));
    struct view view = store_pin(log_.store);
    ck_assert_ptr_null(view_get(view, OBJECT_TASK, "t"));
    store_unpin(view);
    ASSERT_OK(txn_delete(txn, OBJECT_TASK, "t", err));
    ck_assert_ptr_null(view_get(txn_view(txn), OBJECT_TASK, "t"));
    txn_abandon(txn);
    ck_assert(store_settled(log_.store));
}
END_TEST

START_TEST(changes_become_one_raft_request)
{
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "s"), err));
    ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, "t", "s", 1), err));
    ASSERT_OK(txn_delete(txn, OBJECT_SERVICE, "s", err));
    ASSERT_OK(txn_commit(txn, NULL, err));
    Swarm__InternalRaftRequest *request =
        swarm__internal_raft_request__unpack(NULL, log_.entries[0].size, log_.entries[0].bytes);
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_eq(request->n_action, 3);
    ck_assert_int_eq(request->action[0]->action, SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE);
    ck_assert_str_eq(request->action[0]->service->id, "s");
    ck_assert_str_eq(request->action[1]->task->service_id, "s");
    ck_assert_int_eq(request->action[2]->action, SWARM__STORE_ACTION_KIND__STORE_ACTION_REMOVE);
    // The whole object goes along, as SwarmKit sends it.
    ck_assert_str_eq(request->action[2]->service->spec->annotations->name, "s");
    swarm__internal_raft_request__free_unpacked(request, NULL);
    // Another manager that applies it comes to the same state.
    fake_commit_all(&log_);
    struct store *other = store_new();
    struct err err = ERR_INIT;
    ck_assert_int_eq(store_apply(other, log_.entries[0].bytes, log_.entries[0].size, 101, &err), 0);
    struct view view = store_pin(other);
    ck_assert_uint_eq(view_count(view, OBJECT_TASK), 1);
    ck_assert_uint_eq(view_count(view, OBJECT_SERVICE), 0);
    store_unpin(view);
    store_free(other);
}
END_TEST

START_TEST(transaction_is_bounded_in_actions_and_bytes)
{
    struct txn *txn = fake_begin(&log_, 1);
    for (int i = 0; i < STORE_ACTIONS_MAX; i++) {
        ck_assert(!txn_full(txn, 1));
        ASSERT_OK(txn_create(txn, OBJECT_TASK,
                             fake_task(&arena, arena_printf(&arena, "t%d", i), "s", 1), err));
    }
    ck_assert(txn_full(txn, 0));
    struct err why = ERR_INIT;
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, fake_task(&arena, "one-more", "s", 1), &why),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, "t1", &why), -ERR_RESOURCE_EXHAUSTED);
    ASSERT_OK(txn_turn(&txn, 1, err));
    ck_assert_uint_eq(txn_count(txn), 0);
    ck_assert_ptr_nonnull(view_get(txn_view(txn), OBJECT_TASK, "t1"));

    char *big = arena_alloc(&arena, 500001);
    memset(big, 'x', 500000);
    for (int i = 0; i < 3; i++) {
        Swarm__Secret *secret = fake_secret(&arena, arena_printf(&arena, "s%d", i));
        secret->spec->data.data = (uint8_t *)big;
        secret->spec->data.len = 500000;
        ASSERT_OK(txn_create(txn, OBJECT_SECRET, secret, err));
    }
    ck_assert(txn_full(txn, 0));
    ck_assert(!txn_has_room(txn, view_get(txn_view(txn), OBJECT_SECRET, "s1")));
    Swarm__Secret *secret = fake_secret(&arena, "s4");
    secret->spec->data.data = (uint8_t *)big;
    secret->spec->data.len = 500000;
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_LARGE, txn_create(txn, OBJECT_SECRET, secret, err));
    ck_assert_ptr_null(view_get(txn_view(txn), OBJECT_SECRET, "s4"));
    ASSERT_OK(txn_renew(&txn, err));
    ck_assert(txn_has_room(txn, view_get(txn_view(txn), OBJECT_SECRET, "s1")));
    ASSERT_OK(txn_create(txn, OBJECT_SECRET, secret, err));
    fake_write(&log_, txn);
}
END_TEST

static struct {
    int runs;
    int failures;
    struct txn_done done;
} seen[3];

static void note_done(struct txn_done *done, const struct err *err)
{
    unsigned at = (unsigned)(CONTAINER_OF(done, __typeof__(seen[0]), done) - seen);
    seen[at].runs++;
    if (err) {
        seen[at].failures++;
        ck_assert_str_eq(err->message, STORE_ERR_LOST);
    }
}

START_TEST(done_runs_once_committed_or_lost)
{
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < 3; i++) {
        seen[i].done.run = note_done;
        struct txn *txn = fake_begin(&log_, 1);
        const char *id = arena_printf(&arena, "t%d", i);
        ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, id, "s", 1), err));
        ASSERT_OK(txn_commit(txn, &seen[i].done, err));
        ck_assert_int_eq(seen[i].runs, 0);
    }
    fake_commit(&log_);
    ck_assert_int_eq(seen[0].runs, 1);
    ck_assert_int_eq(seen[1].runs, 0);
    fake_lose(&log_);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(seen[i].runs, 1);
        ck_assert_int_eq(seen[i].failures, i > 0);
    }
    // What was lost is gone from the view of the next transaction.
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_ptr_nonnull(view_get(txn_view(txn), OBJECT_TASK, "t0"));
    ck_assert_ptr_null(view_get(txn_view(txn), OBJECT_TASK, "t1"));
    txn_abandon(txn);
}
END_TEST

START_TEST(foreign_entry_fails_what_is_in_flight)
{
    memset(seen, 0, sizeof(seen));
    seen[0].done.run = note_done;
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, "mine", "s", 1), err));
    ASSERT_OK(txn_commit(txn, &seen[0].done, err));
    ASSERT_OK(store_apply(log_.store, "", 0, 101, err));
    ck_assert_int_eq(seen[0].failures, 1);
    ck_assert(store_settled(log_.store));
    fake_lose(&log_); // the log says so later: harmless
    ck_assert_int_eq(seen[0].runs, 1);
}
END_TEST

START_TEST(empty_and_refused_transactions_never_call_done)
{
    memset(seen, 0, sizeof(seen));
    seen[0].done.run = note_done;
    struct err why = ERR_INIT;
    ck_assert_int_eq(txn_commit(fake_begin(&log_, 1), &seen[0].done, &why), TXN_EMPTY);
    struct txn *txn = fake_begin(&log_, 1);
    ASSERT_OK(txn_create(txn, OBJECT_TASK, fake_task(&arena, "t", "s", 1), err));
    log_.refuse = true;
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_LOST, txn_commit(txn, &seen[0].done, err));
    ck_assert_int_eq(seen[0].runs, 0);
    log_.refuse = false;
    store_set_proposer(log_.store, NULL);
    ASSERT_FAILS(ERR_UNKNOWN, STORE_ERR_LOST,
                 txn_begin(log_.store, (struct wall){.ns = 0}, &txn, err));
}
END_TEST

Suite *suite_txn(void);
Suite *suite_txn(void)
{
    Suite *suite = suite_create("txn");
    TCase *tcase = tcase_create("txn");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, version_is_the_commit_index_at_the_begin_and_times_are_set);
    tcase_add_test(tcase, update_with_another_version_is_out_of_sequence);
    tcase_add_test(tcase, pipelined_transactions_get_versions_as_if_serial);
    tcase_add_test(tcase, store_errors_have_swarmkits_texts);
    tcase_add_test(tcase, transaction_sees_its_own_writes_and_readers_do_not);
    tcase_add_test(tcase, changes_become_one_raft_request);
    tcase_add_test(tcase, transaction_is_bounded_in_actions_and_bytes);
    tcase_add_test(tcase, done_runs_once_committed_or_lost);
    tcase_add_test(tcase, foreign_entry_fails_what_is_in_flight);
    tcase_add_test(tcase, empty_and_refused_transactions_never_call_done);
    suite_add_tcase(suite, tcase);
    return suite;
}
