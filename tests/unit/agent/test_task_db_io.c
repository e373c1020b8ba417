// What was written is there after the database was closed, and only that.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/task_db_io.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "tests/support/support.h"

static char *dir;
static struct task_db *db;
static char seen[256];

static void set_up(void)
{
    dir = str_dup(support_tmpdir());
    ck_assert_int_eq(task_db_open(dir, &db, NULL), 0);
}

static void tear_down(void)
{
    task_db_close(db);
    support_tmpdir_remove(dir);
    free(dir);
}

static void put(struct task_batch *batch, const char *id, Swarm__TaskState state)
{
    Swarm__Task *task = wire_new(&swarm__task__descriptor, NULL);
    Swarm__TaskStatus *status = wire_new(&swarm__task_status__descriptor, NULL);
    Swarm__Task named = *task;
    Swarm__TaskStatus stated = *status;
    named.id = id;
    stated.state = state;
    named.status = &stated; // must not be kept inside the task
    task_batch_put(batch, id, &named, &stated);
    wire_free(task);
    wire_free(status);
}

static int write_and_free(struct task_batch *batch)
{
    int result = task_db_write(db, batch, NULL);
    task_batch_free(batch);
    return result;
}

static void found(void *owner, const Swarm__Task *task, const Swarm__TaskStatus *status)
{
    (void)owner;
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    size_t used = strlen(seen);
    str_format(seen + used, sizeof seen - used, "%s:%d ", task->id, (int)status->state);
}

static void expect(const char *wanted)
{
    seen[0] = '\0';
    ck_assert_int_eq(task_db_load(db, found, NULL, NULL), 0);
    ck_assert_str_eq(seen, wanted);
}

START_TEST(tasks_are_there_after_reopening)
{
    expect("");
    struct task_batch *batch = task_batch_new();
    put(batch, "b", SWARM__TASK_STATE__RUNNING);
    put(batch, "a", SWARM__TASK_STATE__READY);
    ck_assert_uint_eq(task_batch_count(batch), 2);
    ck_assert_int_eq(write_and_free(batch), 0);
    task_db_close(db);
    ck_assert_int_eq(task_db_open(dir, &db, NULL), 0);
    expect("a:384 b:512 ");
}
END_TEST

START_TEST(later_changes_replace_and_remove)
{
    struct task_batch *batch = task_batch_new();
    put(batch, "a", SWARM__TASK_STATE__READY);
    put(batch, "b", SWARM__TASK_STATE__READY);
    put(batch, "a", SWARM__TASK_STATE__RUNNING); // also within one batch
    ck_assert_int_eq(write_and_free(batch), 0);
    expect("a:512 b:384 ");
    batch = task_batch_new();
    task_batch_put(batch, "b", NULL, NULL);
    task_batch_put(batch, "unknown", NULL, NULL);
    ck_assert_int_eq(write_and_free(batch), 0);
    expect("a:512 ");
    ck_assert_int_eq(write_and_free(task_batch_new()), 0);
}
END_TEST

START_TEST(unusable_ids_are_left_out)
{
    char longer[TASK_DB_ID_CHARS_MAX + 2];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct task_batch *batch = task_batch_new();
    put(batch, "", SWARM__TASK_STATE__READY);
    put(batch, longer, SWARM__TASK_STATE__READY);
    put(batch, "a", SWARM__TASK_STATE__READY);
    ck_assert_uint_eq(task_batch_count(batch), 1);
    ck_assert_int_eq(write_and_free(batch), 0);
    expect("a:384 ");
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_an_error)
{
    struct task_db *none = NULL;
    struct err err = ERR_INIT;
    ck_assert_int_ne(task_db_open("/proc/no/such", &none, &err), 0);
    ck_assert_ptr_null(none);
    ck_assert_int_ne(err.code, ERR_OK);
}
END_TEST

Suite *suite_task_db_io(void);
Suite *suite_task_db_io(void)
{
    Suite *suite = suite_create("task_db_io");
    TCase *tcase = tcase_create("task_db_io");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, tasks_are_there_after_reopening);
    tcase_add_test(tcase, later_changes_replace_and_remove);
    tcase_add_test(tcase, unusable_ids_are_left_out);
    tcase_add_test(tcase, a_folder_that_cannot_be_made_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
