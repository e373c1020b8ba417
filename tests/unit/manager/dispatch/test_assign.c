// The set of one agent: what is sent, when, and what is taken back.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "manager/dispatch/assign.h"
#include "proto/base/str.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static struct assign *assign;
static const Swarm__AssignmentsMessage *message;

static void set_up(void)
{
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
    assign = assign_new("n1");
}

static void tear_down(void)
{
    assign_free(assign);
    arena_fini(&arena);
    fake_log_fini(&log_);
}

static void put(enum object_type type, void *object)
{
    struct txn *txn = fake_begin(&log_, 100);
    ck_assert_int_eq(txn_create(txn, type, object, NULL), 0);
    fake_write(&log_, txn);
}

static Swarm__Task *make_task(const char *id, int state)
{
    Swarm__Task *task = fake_task(&arena, id, "s1", 1);
    task->node_id = "n1";
    task->status->state = (Swarm__TaskState)state;
    return task;
}

static void use_secret(Swarm__Task *task, const char *id)
{
    Swarm__SecretReference *reference = wire_new(&swarm__secret_reference__descriptor, &arena);
    reference->secret_id = id;
    FAKE_ADD(&arena, task->spec->container, secrets, reference);
}

// Changes the stored task and shows the new one to the set.
static void see(const char *id, void (*edit)(Swarm__Task *task))
{
    struct txn *txn = fake_begin(&log_, 200);
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, id);
    edit(task);
    ck_assert_int_eq(txn_update(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&log_, txn);
    struct view view = store_pin(log_.store);
    assign_task(assign, view, view_get(view, OBJECT_TASK, id));
    store_unpin(view);
}

static void load(void)
{
    struct view view = store_pin(log_.store);
    assign_load(assign, view);
    store_unpin(view);
}

static void take(void)
{
    struct buf out;
    struct err err = ERR_INIT;
    buf_init(&out, ASSIGN_BYTES_MAX);
    assign_pack(assign, &out);
    ck_assert_uint_eq(assign_pending(assign), 0);
    message = wire_unpack(&swarm__assignments_message__descriptor, out.data, out.len,
                          &WIRE_LIMITS_PEER, &arena, &err);
    ck_assert_msg(message != NULL, "%s", err.message);
    buf_fini(&out);
}

static const char *item_id(const Swarm__Assignment *item, int kind)
{
    if ((int)item->item_case != kind)
        return "";
    switch (item->item_case) {
    case SWARM__ASSIGNMENT__ITEM_TASK:
        return item->task->id;
    case SWARM__ASSIGNMENT__ITEM_SECRET:
        return item->secret->id;
    case SWARM__ASSIGNMENT__ITEM_CONFIG:
        return item->config->id;
    case SWARM__ASSIGNMENT__ITEM_VOLUME:
        return item->volume->id;
    default:
        return "";
    }
}

// The change for the item in the last message, or NULL.
static const Swarm__AssignmentChange *find(int kind, const char *id)
{
    for (size_t i = 0; i < message->n_changes; i++)
        if (str_equal(item_id(message->changes[i]->assignment, kind), id))
            return message->changes[i];
    return NULL;
}

#define TASK   SWARM__ASSIGNMENT__ITEM_TASK
#define SECRET SWARM__ASSIGNMENT__ITEM_SECRET
#define CONFIG SWARM__ASSIGNMENT__ITEM_CONFIG
#define VOLUME SWARM__ASSIGNMENT__ITEM_VOLUME

static bool is_update(int kind, const char *id)
{
    const Swarm__AssignmentChange *change = find(kind, id);
    return change && change->action == SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__UPDATE;
}

static bool is_remove(int kind, const char *id)
{
    const Swarm__AssignmentChange *change = find(kind, id);
    return change && change->action == SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE;
}

static void edit_running(Swarm__Task *task)
{
    task->status->state = SWARM__TASK_STATE__RUNNING;
}

static void edit_failed(Swarm__Task *task)
{
    task->status->state = SWARM__TASK_STATE__FAILED;
}

static void edit_shutdown(Swarm__Task *task)
{
    task->desired_state = SWARM__TASK_STATE__SHUTDOWN;
}

static void edit_message(Swarm__Task *task)
{
    task->status->message = "still assigned";
}

static void edit_assigned(Swarm__Task *task)
{
    task->status->state = SWARM__TASK_STATE__ASSIGNED;
}

START_TEST(the_first_message_is_complete_and_holds_tasks_from_assigned_on)
{
    put(OBJECT_TASK, make_task("pending", SWARM__TASK_STATE__PENDING));
    put(OBJECT_TASK, make_task("assigned", SWARM__TASK_STATE__ASSIGNED));
    put(OBJECT_TASK, make_task("failed", SWARM__TASK_STATE__FAILED));
    Swarm__Task *other = make_task("other", SWARM__TASK_STATE__RUNNING);
    other->node_id = "n2";
    put(OBJECT_TASK, other);
    load();
    take();
    ck_assert_int_eq(message->type, SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE);
    ck_assert_str_eq(message->applies_to, "");
    ck_assert_str_eq(message->results_in, "1");
    ck_assert_uint_eq(message->n_changes, 2);
    ck_assert(is_update(TASK, "assigned"));
    ck_assert(is_update(TASK, "failed"));
    ck_assert_str_eq(find(TASK, "assigned")->assignment->task->spec->container->image, "image:1");
}
END_TEST

START_TEST(an_empty_set_is_sent_too)
{
    load();
    take();
    ck_assert_uint_eq(message->n_changes, 0);
    ck_assert_str_eq(message->results_in, "1");
}
END_TEST

START_TEST(later_messages_follow_one_another)
{
    put(OBJECT_TASK, make_task("t", SWARM__TASK_STATE__RUNNING));
    load();
    take();
    see("t", edit_shutdown);
    take();
    ck_assert_int_eq(message->type, SWARM__ASSIGNMENTS_MESSAGE__TYPE__INCREMENTAL);
    ck_assert_str_eq(message->applies_to, "1");
    ck_assert_str_eq(message->results_in, "2");
    ck_assert_int_eq(find(TASK, "t")->assignment->task->desired_state, SWARM__TASK_STATE__SHUTDOWN);
    take();
    ck_assert_str_eq(message->applies_to, "2");
    ck_assert_str_eq(message->results_in, "3");
}
END_TEST

START_TEST(status_alone_is_not_sent_back_but_up_to_assigned)
{
    put(OBJECT_TASK, make_task("t", SWARM__TASK_STATE__PENDING));
    load();
    take();
    see("t", edit_assigned);
    ck_assert_uint_eq(assign_pending(assign), 1);
    see("t", edit_message);
    take();
    ck_assert_uint_eq(message->n_changes, 1); // the newest of both
    ck_assert_str_eq(find(TASK, "t")->assignment->task->status->message, "still assigned");
    see("t", edit_message);
    ck_assert_uint_eq(assign_pending(assign), 1);
    take();
    see("t", edit_running);
    ck_assert_uint_eq(assign_pending(assign), 0);
    see("t", edit_failed);
    ck_assert_uint_eq(assign_pending(assign), 0);
}
END_TEST

START_TEST(a_removed_task_is_removed_by_id_alone)
{
    put(OBJECT_TASK, make_task("t", SWARM__TASK_STATE__FAILED));
    load();
    take();
    struct view view = store_pin(log_.store);
    const struct object *task = object_ref(view_get(view, OBJECT_TASK, "t"));
    store_unpin(view);
    assign_task_gone(assign, task);
    take();
    ck_assert(is_remove(TASK, "t"));
    ck_assert_uint_eq(find(TASK, "t")->assignment->task->slot, 0);
    assign_task_gone(assign, task); // unknown by now
    ck_assert_uint_eq(assign_pending(assign), 0);
    object_unref(task);
}
END_TEST

START_TEST(secrets_come_with_the_first_task_and_leave_with_the_last)
{
    Swarm__Secret *secret = fake_secret(&arena, "secret1");
    secret->spec->data = (ProtobufCBinaryData){.data = (uint8_t *)"hush", .len = 4};
    put(OBJECT_SECRET, secret);
    put(OBJECT_SECRET, fake_secret(&arena, "unused"));
    Swarm__Task *a = make_task("a", SWARM__TASK_STATE__ASSIGNED);
    Swarm__Task *b = make_task("b", SWARM__TASK_STATE__PENDING);
    use_secret(a, "secret1");
    use_secret(a, "secret1"); // twice in one task is once
    use_secret(b, "secret1");
    put(OBJECT_TASK, a);
    put(OBJECT_TASK, b);
    load();
    take();
    ck_assert_uint_eq(message->n_changes, 2);
    ck_assert(is_update(SECRET, "secret1"));
    ck_assert_mem_eq(find(SECRET, "secret1")->assignment->secret->spec->data.data, "hush", 4);
    see("b", edit_assigned);
    take();
    ck_assert_uint_eq(message->n_changes, 1); // the agent has the secret
    see("a", edit_failed);
    ck_assert_uint_eq(assign_pending(assign), 0);
    see("b", edit_failed);
    take();
    ck_assert_uint_eq(message->n_changes, 1);
    ck_assert(is_remove(SECRET, "secret1"));
    ck_assert_uint_eq(find(SECRET, "secret1")->assignment->secret->spec->data.len, 0);
}
END_TEST

START_TEST(secrets_are_not_sent_for_tasks_that_are_over)
{
    put(OBJECT_SECRET, fake_secret(&arena, "secret1"));
    Swarm__Task *task = make_task("a", SWARM__TASK_STATE__FAILED);
    use_secret(task, "secret1");
    put(OBJECT_TASK, task);
    load();
    take();
    ck_assert_uint_eq(message->n_changes, 1);
    ck_assert_ptr_null(find(SECRET, "secret1"));
}
END_TEST

START_TEST(resource_references_count_like_those_of_the_container)
{
    Swarm__Config *config = wire_new(&swarm__config__descriptor, &arena);
    config->id = "config1";
    config->spec->annotations->name = "config1";
    put(OBJECT_CONFIG, config);
    Swarm__Task *task = make_task("a", SWARM__TASK_STATE__ASSIGNED);
    Swarm__ResourceReference *reference = wire_new(&swarm__resource_reference__descriptor, &arena);
    reference->resource_id = "config1";
    reference->resource_type = SWARM__RESOURCE_TYPE__CONFIG;
    FAKE_ADD(&arena, task->spec, resource_references, reference);
    use_secret(task, "missing"); // not in the store: nothing to send
    put(OBJECT_TASK, task);
    load();
    take();
    ck_assert_uint_eq(message->n_changes, 2);
    ck_assert(is_update(CONFIG, "config1"));
    see("a", edit_failed);
    take();
    ck_assert(is_remove(CONFIG, "config1"));
}
END_TEST

START_TEST(secrets_with_a_driver_are_not_sent_without_their_value)
{
    Swarm__Secret *secret = fake_secret(&arena, "secret1");
    secret->spec->driver = wire_new(&swarm__driver__descriptor, &arena);
    secret->spec->driver->name = "vault";
    put(OBJECT_SECRET, secret);
    Swarm__Task *task = make_task("a", SWARM__TASK_STATE__ASSIGNED);
    use_secret(task, "secret1");
    put(OBJECT_TASK, task);
    load();
    take();
    ck_assert_ptr_null(find(SECRET, "secret1"));
}
END_TEST

static void publish(Swarm__Volume *volume, int state)
{
    volume->publish_status[0]->state = (Swarm__VolumePublishStatus__State)state;
}

static void see_volume(int state)
{
    struct txn *txn = fake_begin(&log_, 300);
    Swarm__Volume *volume = txn_edit(txn, OBJECT_VOLUME, "v1");
    publish(volume, state);
    ck_assert_int_eq(txn_update(txn, OBJECT_VOLUME, volume, NULL), 0);
    fake_write(&log_, txn);
    struct view view = store_pin(log_.store);
    assign_volume(assign, view_get(view, OBJECT_VOLUME, "v1"));
    store_unpin(view);
}

START_TEST(volumes_come_when_published_and_leave_when_to_be_unpublished)
{
    Swarm__Volume *volume = wire_new(&swarm__volume__descriptor, &arena);
    Swarm__VolumePublishStatus *status =
        wire_new(&swarm__volume_publish_status__descriptor, &arena);
    volume->id = "v1";
    volume->spec->annotations->name = "v1";
    volume->volume_info = wire_new(&swarm__volume_info__descriptor, &arena);
    volume->volume_info->volume_id = "plugin-id";
    status->node_id = "n1";
    FAKE_ADD(&arena, volume, publish_status, status);
    put(OBJECT_VOLUME, volume);
    load();
    take();
    ck_assert_uint_eq(message->n_changes, 0);
    see_volume(SWARM__VOLUME_PUBLISH_STATUS__STATE__PUBLISHED);
    take();
    ck_assert(is_update(VOLUME, "v1"));
    ck_assert_str_eq(find(VOLUME, "v1")->assignment->volume->volume_id, "plugin-id");
    see_volume(SWARM__VOLUME_PUBLISH_STATUS__STATE__PENDING_NODE_UNPUBLISH);
    take();
    ck_assert(is_remove(VOLUME, "v1"));
}
END_TEST

START_TEST(the_legacy_stream_gets_full_lists)
{
    struct buf out;
    put(OBJECT_TASK, make_task("a", SWARM__TASK_STATE__ASSIGNED));
    put(OBJECT_TASK, make_task("b", SWARM__TASK_STATE__RUNNING));
    load();
    buf_init(&out, ASSIGN_BYTES_MAX);
    assign_pack_tasks(assign, &out);
    const Swarm__TasksMessage *tasks = wire_unpack(&swarm__tasks_message__descriptor, out.data,
                                                   out.len, &WIRE_LIMITS_PEER, &arena, NULL);
    ck_assert_uint_eq(tasks->n_tasks, 2);
    ck_assert_uint_eq(assign_pending(assign), 0);
    buf_fini(&out);
}
END_TEST

Suite *suite_assign(void);
Suite *suite_assign(void)
{
    Suite *suite = suite_create("assign");
    TCase *tcase = tcase_create("assign");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_first_message_is_complete_and_holds_tasks_from_assigned_on);
    tcase_add_test(tcase, an_empty_set_is_sent_too);
    tcase_add_test(tcase, later_messages_follow_one_another);
    tcase_add_test(tcase, status_alone_is_not_sent_back_but_up_to_assigned);
    tcase_add_test(tcase, a_removed_task_is_removed_by_id_alone);
    tcase_add_test(tcase, secrets_come_with_the_first_task_and_leave_with_the_last);
    tcase_add_test(tcase, secrets_are_not_sent_for_tasks_that_are_over);
    tcase_add_test(tcase, resource_references_count_like_those_of_the_container);
    tcase_add_test(tcase, secrets_with_a_driver_are_not_sent_without_their_value);
    tcase_add_test(tcase, volumes_come_when_published_and_leave_when_to_be_unpublished);
    tcase_add_test(tcase, the_legacy_stream_gets_full_lists);
    suite_add_tcase(suite, tcase);
    return suite;
}
