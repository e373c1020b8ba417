// Watchers hear every commit in order, what they asked for and no more than they can hold.
#include "manager/store/watch.h"

#include <check.h>
#include <string.h>

#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static int wakes;

static void setup(void)
{
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
    wakes = 0;
}

static void teardown(void)
{
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static void note_wake(struct watch *watch, void *ctx)
{
    ck_assert_uint_gt(watch_count(watch), 0);
    ck_assert_ptr_eq(ctx, &wakes);
    wakes++;
}

static void create_task(const char *id, const char *service)
{
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 1);
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, fake_task(&arena, id, service, 1), &err), 0);
    fake_write(&log_, txn);
}

static void expect(struct watch *watch, enum watch_action action, uint64_t version, const char *id)
{
    struct watch_event event;
    ck_assert(watch_next(watch, &event));
    ck_assert_int_eq(event.action, action);
    ck_assert_uint_eq(event.version, version);
    if (id)
        ck_assert_str_eq(object_id(event.now), id);
    else
        ck_assert_ptr_null(event.now);
    watch_event_fini(&event);
}

START_TEST(events_carry_both_objects_and_come_only_after_the_commit)
{
    struct err err = ERR_INIT;
    struct watch *watch;
    struct watch_options options = {.commits = true, .wake = note_wake, .ctx = &wakes};
    ck_assert_int_eq(watch_open(log_.store, &options, &watch, &err), 0);
    create_task("a", "s");
    expect(watch, WATCH_CREATE, 11, "a");
    expect(watch, WATCH_COMMIT, 11, NULL);
    ck_assert_int_eq(wakes, 1);

    struct txn *txn = fake_begin(&log_, 1);
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, "a");
    task->desired_state = SWARM__TASK_STATE__SHUTDOWN;
    ck_assert_int_eq(txn_update(txn, OBJECT_TASK, task, &err), 0);
    ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, "a", &err), 0);
    ck_assert_int_eq(txn_commit(txn, NULL, &err), 0);
    ck_assert_uint_eq(watch_count(watch), 0);
    fake_commit(&log_);
    struct watch_event event;
    ck_assert(watch_next(watch, &event));
    ck_assert_int_eq(event.action, WATCH_UPDATE);
    ck_assert_uint_eq(object_task(event.was)->desired_state, SWARM__TASK_STATE__RUNNING);
    ck_assert_uint_eq(object_task(event.now)->desired_state, SWARM__TASK_STATE__SHUTDOWN);
    watch_event_fini(&event);
    expect(watch, WATCH_REMOVE, 12, "a");
    expect(watch, WATCH_COMMIT, 12, NULL);
    ck_assert(!watch_next(watch, &event));
    watch_close(watch);
}
END_TEST

START_TEST(rules_are_ored_and_their_conditions_anded)
{
    struct by conditions[] = {by_service("s1"), by_slot("s1", 1)};
    struct watch_rule rules[] = {
        {.type = OBJECT_TASK,
         .actions = WATCH_CREATE,
         .conditions = conditions,
         .conditions_count = 2},
        {.type = OBJECT_SERVICE, .actions = WATCH_ANY},
        {.type = OBJECT_RESOURCE, .actions = WATCH_ANY, .kind = "k1"},
    };
    struct watch_options options = {.rules = rules, .rules_count = 3};
    struct err err = ERR_INIT;
    struct watch *watch;
    ck_assert_int_eq(watch_open(log_.store, &options, &watch, &err), 0);
    struct txn *txn = fake_begin(&log_, 1);
    const struct {
        enum object_type type;
        void *message;
    } rows[] = {
        {OBJECT_TASK, fake_task(&arena, "t1", "s1", 1)},
        {OBJECT_TASK, fake_task(&arena, "t2", "s1", 2)},
        {OBJECT_TASK, fake_task(&arena, "t3", "s2", 1)},
        {OBJECT_NODE, fake_node(&arena, "n")},
        {OBJECT_SERVICE, fake_service(&arena, "s1")},
        {OBJECT_EXTENSION, fake_extension(&arena, "k1")},
        {OBJECT_EXTENSION, fake_extension(&arena, "k2")},
        {OBJECT_RESOURCE, fake_resource(&arena, "r1", "k1")},
        {OBJECT_RESOURCE, fake_resource(&arena, "r2", "k2")},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_int_eq(txn_create(txn, rows[i].type, rows[i].message, &err), 0);
    ck_assert_int_eq(txn_delete(txn, OBJECT_TASK, "t1", &err), 0);
    fake_write(&log_, txn);
    expect(watch, WATCH_CREATE, 11, "t1");
    expect(watch, WATCH_CREATE, 11, "s1");
    expect(watch, WATCH_CREATE, 11, "r1");
    ck_assert_uint_eq(watch_count(watch), 0);
    watch_close(watch);
    options.rules_count = WATCH_RULES_MAX + 1;
    ck_assert_int_eq(watch_open(log_.store, &options, &watch, &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(slow_watcher_loses_its_queue_and_is_told_once)
{
    struct watch_options options = {.queue_max = 3, .wake = note_wake, .ctx = &wakes};
    struct err err = ERR_INIT;
    struct watch *watch;
    ck_assert_int_eq(watch_open(log_.store, &options, &watch, &err), 0);
    for (int i = 0; i < 6; i++)
        create_task(arena_printf(&arena, "t%d", i), "s");
    ck_assert_uint_eq(watch_count(watch), 1);
    expect(watch, WATCH_LOST, 14, NULL);
    create_task("after", "s");
    expect(watch, WATCH_CREATE, 17, "after");
    ck_assert_int_eq(wakes, 2);
    watch_close(watch);
}
END_TEST

START_TEST(watch_resumes_after_a_version)
{
    for (int i = 0; i < 5; i++)
        create_task(arena_printf(&arena, "t%d", i), "s"); // versions 11 to 15
    struct watch_options options = {.commits = true};
    struct err err = ERR_INIT;
    struct watch *watch;
    ck_assert_int_eq(watch_resume(log_.store, &options, 13, &watch, &err), 0);
    create_task("t5", "s");
    for (uint64_t version = 14; version <= 16; version++) {
        expect(watch, WATCH_CREATE, version, arena_printf(&arena, "t%d", (int)version - 11));
        expect(watch, WATCH_COMMIT, version, NULL);
    }
    ck_assert_uint_eq(watch_count(watch), 0);
    watch_close(watch);
    ck_assert_int_eq(watch_resume(log_.store, &options, 17, &watch, &err), -ERR_OUT_OF_RANGE);
    // The memory of the past is bounded.
    for (int i = 0; i < WATCH_HISTORY_EVENTS; i++)
        create_task(arena_printf(&arena, "u%d", i), "s");
    ck_assert_int_eq(watch_resume(log_.store, &options, 15, &watch, &err), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(watch_resume(log_.store, &options, 16, &watch, &err), 0);
    ck_assert_uint_eq(watch_count(watch), 2 * WATCH_HISTORY_EVENTS);
    watch_close(watch);
}
END_TEST

Suite *suite_watch(void);
Suite *suite_watch(void)
{
    Suite *suite = suite_create("watch");
    TCase *tcase = tcase_create("watch");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, events_carry_both_objects_and_come_only_after_the_commit);
    tcase_add_test(tcase, rules_are_ored_and_their_conditions_anded);
    tcase_add_test(tcase, slow_watcher_loses_its_queue_and_is_told_once);
    tcase_add_test(tcase, watch_resumes_after_a_version);
    suite_add_tcase(suite, tcase);
    return suite;
}
