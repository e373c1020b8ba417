// Snapshots are SwarmKit's StoreSnapshot, in pieces of any size.
#include "manager/store/snapshot.h"

#include <check.h>
#include <string.h>

#include "manager/store/watch.h"
#include "proto/wire/snapshot.pb-c.h"
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

static void fill(void)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(txn_create(txn, OBJECT_TASK,
                                    fake_task(&arena, arena_printf(&arena, "t%02d", i), "s", 1),
                                    &err),
                         0);
    ck_assert_int_eq(txn_create(txn, OBJECT_SERVICE, fake_service(&arena, "s"), &err), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_NODE, fake_node(&arena, "n"), &err), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_CLUSTER, fake_cluster(&arena, "c"), &err), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_SECRET, fake_secret(&arena, "x"), &err), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_EXTENSION, fake_extension(&arena, "k"), &err), 0);
    ck_assert_int_eq(txn_create(txn, OBJECT_RESOURCE, fake_resource(&arena, "r", "k"), &err), 0);
    fake_write(&log_, txn);
}

// The snapshot, written in pieces of `piece` bytes.
static uint8_t *write_all(size_t piece, size_t *size)
{
    struct view view = store_pin(log_.store);
    *size = snapshot_size(view);
    uint8_t *bytes = arena_alloc(&arena, *size + piece);
    struct snapshot_writer writer;
    snapshot_writer_init(&writer, view);
    size_t at = 0;
    for (size_t now; (now = snapshot_write(&writer, bytes + at, piece)) > 0;)
        at += now;
    ck_assert_uint_eq(at, *size);
    store_unpin(view);
    return bytes;
}

START_TEST(snapshot_reads_as_swarmkits_message)
{
    fill();
    size_t size;
    uint8_t *bytes = write_all(7, &size);
    Swarm__StoreSnapshot *snapshot = swarm__store_snapshot__unpack(NULL, size, bytes);
    ck_assert_ptr_nonnull(snapshot);
    ck_assert_uint_eq(snapshot->n_tasks, 50);
    ck_assert_str_eq(snapshot->tasks[49]->id, "t49");
    ck_assert_uint_eq(snapshot->n_services, 1);
    ck_assert_uint_eq(snapshot->n_nodes, 1);
    ck_assert_uint_eq(snapshot->n_clusters, 1);
    ck_assert_uint_eq(snapshot->n_secrets, 1);
    ck_assert_uint_eq(snapshot->n_extensions, 1);
    ck_assert_uint_eq(snapshot->n_resources, 1);
    ck_assert_uint_eq(snapshot->n_volumes, 0);
    swarm__store_snapshot__free_unpacked(snapshot, NULL);
}
END_TEST

START_TEST(restore_takes_pieces_of_any_size_and_shows_the_difference)
{
    fill();
    size_t size;
    uint8_t *bytes = write_all(4096, &size);
    const size_t pieces[] = {1, 3, 100, size};
    for (unsigned i = 0; i < 4; i++) {
        struct store *other = store_new();
        struct err err = ERR_INIT;
        struct watch *watch;
        struct restore *restore = restore_begin(other);
        for (size_t at = 0; at < size; at += pieces[i]) {
            size_t now = size - at < pieces[i] ? size - at : pieces[i];
            ck_assert_msg(restore_feed(restore, bytes + at, now, &err) == 0, "%s", err.message);
        }
        ck_assert_int_eq(watch_open(other, &(struct watch_options){.queue_max = 0}, &watch, &err),
                         0);
        ck_assert_msg(restore_finish(restore, 500, &err) == 0, "%s", err.message);
        ck_assert_uint_eq(store_applied(other), 500);
        ck_assert_uint_eq(watch_count(watch), 56);
        struct view view = store_pin(other);
        ck_assert_uint_eq(view_count(view, OBJECT_TASK), 50);
        ck_assert_ptr_nonnull(view_get(view, OBJECT_RESOURCE, "r"));
        store_unpin(view);
        // The same state again is no news; an empty one removes everything.
        watch_close(watch);
        ck_assert_int_eq(watch_open(other, &(struct watch_options){.queue_max = 0}, &watch, &err),
                         0);
        restore = restore_begin(other);
        ck_assert_int_eq(restore_feed(restore, bytes, size, &err), 0);
        ck_assert_int_eq(restore_finish(restore, 501, &err), 0);
        ck_assert_uint_eq(watch_count(watch), 0);
        ck_assert_int_eq(restore_finish(restore_begin(other), 502, &err), 0);
        ck_assert_uint_eq(watch_count(watch), 56);
        struct watch *resumed;
        ck_assert_int_eq(
            watch_resume(other, &(struct watch_options){.queue_max = 0}, 501, &resumed, &err),
            -ERR_OUT_OF_RANGE);
        watch_close(watch);
        store_free(other);
    }
}
END_TEST

START_TEST(restore_skips_unknown_fields_and_refuses_broken_bytes)
{
    static const uint8_t unknown[] = {0xaa, 0x06, 0x03, 'n',  'e', 'w', // field 101
                                      0x0a, 0x03, 0x0a, 0x01, 'n'};     // node "n"
    struct err err = ERR_INIT;
    struct restore *restore = restore_begin(log_.store);
    for (size_t i = 0; i < sizeof(unknown); i++)
        ck_assert_int_eq(restore_feed(restore, unknown + i, 1, &err), 0);
    ck_assert_int_eq(restore_finish(restore, 11, &err), 0);

    static const struct {
        const char *bytes;
        size_t size;
    } broken[] = {
        {"\x0a\x03\x0a\x01n\x0a\x03\x0a\x01n", 10}, // twice
        {"\x08\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20},
        {"\x0a\x01\xff", 3},             // no node
        {"\x0a\x00", 2},                 // no id
        {"\x0a\xff\xff\xff\xff\x0f", 6}, // far too long
    };
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        restore = restore_begin(log_.store);
        ck_assert_int_eq(restore_feed(restore, broken[i].bytes, broken[i].size, &err),
                         -ERR_INVALID_ARGUMENT);
        restore_cancel(restore);
    }
    restore = restore_begin(log_.store);
    ck_assert_int_eq(restore_feed(restore, "\x0a\x03\x0a", 3, &err), 0);
    ck_assert_int_eq(restore_finish(restore, 12, &err), -ERR_INVALID_ARGUMENT);
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(view_count(view, OBJECT_NODE), 1); // still the state before
    store_unpin(view);
}
END_TEST

Suite *suite_snapshot(void);
Suite *suite_snapshot(void)
{
    Suite *suite = suite_create("snapshot");
    TCase *tcase = tcase_create("snapshot");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, snapshot_reads_as_swarmkits_message);
    tcase_add_test(tcase, restore_takes_pieces_of_any_size_and_shows_the_difference);
    tcase_add_test(tcase, restore_skips_unknown_fields_and_refuses_broken_bytes);
    suite_add_tcase(suite, tcase);
    return suite;
}
