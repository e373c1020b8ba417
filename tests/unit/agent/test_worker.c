// Assignments become operations of an executor, which is played by this test.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/worker.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define STATE(name) SWARM__TASK_STATE__##name
#define TASKS_MAX   2000

// ---- the executor ------------------------------------------------------------------------------

struct executor_task {
    char id[32];
    char last[16];  // the operation asked for last
    char files[64]; // data of its files, one after the other
    uint32_t port;  // the first of its endpoint, as published
    const struct executor *by;
    const struct executor_events *events;
    void *owner;
    bool closed;
};

static struct executor_task hands[TASKS_MAX];
static size_t hands_count;

static struct executor_task *fake_open(struct executor *executor,
                                       const struct executor_order *order,
                                       const struct executor_events *events, void *owner,
                                       struct err *err)
{
    if (order->task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER &&
        str_equal(order->task->spec->container->image, "unsupported")) {
        err_set(err, ERR_UNIMPLEMENTED, "not supported here");
        return NULL;
    }
    ck_assert_uint_lt(hands_count, TASKS_MAX);
    struct executor_task *task = &hands[hands_count++];
    *task = (struct executor_task){.by = executor, .events = events, .owner = owner};
    str_copy(task->id, sizeof task->id, order->task->id);
    const Swarm__Endpoint *endpoint = order->task->endpoint;
    if (endpoint && endpoint->n_ports)
        task->port = endpoint->ports[0]->published_port;
    for (size_t i = 0; i < order->files_count; i++)
        strncat(task->files, order->files[i].data, order->files[i].size);
    return task;
}

#define FAKE(name)                                                                                 \
    static void fake_##name(struct executor_task *task)                                            \
    {                                                                                              \
        str_copy(task->last, sizeof task->last, #name);                                            \
    }
FAKE(find)
FAKE(prepare)
FAKE(abort)
FAKE(start)
FAKE(remove)

static void fake_stop(struct executor_task *task, int64_t grace_ns)
{
    ck_assert_int_eq(grace_ns, 10 * NS_PER_S);
    str_copy(task->last, sizeof task->last, "stop");
}

static void fake_close(struct executor_task *task)
{
    task->closed = true;
}

static const struct executor_class fake_class = {
    .open = fake_open,
    .find = fake_find,
    .prepare = fake_prepare,
    .abort = fake_abort,
    .start = fake_start,
    .stop = fake_stop,
    .remove = fake_remove,
    .close = fake_close,
};
static struct executor executor = {.class = &fake_class}, attacher = {.class = &fake_class};

// The open hands of a task.
static struct executor_task *of(const char *id)
{
    for (size_t i = hands_count; i-- > 0;)
        if (!hands[i].closed && str_equal(hands[i].id, id))
            return &hands[i];
    ck_abort_msg("task %s is in nobody's hands", id);
}

// ---- the worker --------------------------------------------------------------------------------

static struct worker *worker;
static struct reporter reporter;
static struct arena arena;
static struct mono now;
static int64_t clock_jump_ns; // of the wall clock

static struct mono get_now(void *owner)
{
    (void)owner;
    return now;
}
static struct wall get_wall(void *owner)
{
    (void)owner;
    return (struct wall){now.ns + clock_jump_ns};
}
static void wake(void *owner)
{
    (void)owner;
}

static void run(void)
{
    for (int i = 0; i < 100; i++)
        if (mono_before(now, worker_run(worker)))
            return;
    ck_abort_msg("the worker does not come to rest");
}

static void set_up(void)
{
    struct worker_config config = {
        .executor = &executor,
        .attacher = &attacher,
        .reporter = &reporter,
        .node = {.id = "n", .hostname = "h", .os = "linux", .architecture = "x86_64"},
        .now = get_now,
        .wall = get_wall,
        .wake = wake,
    };
    hands_count = 0;
    clock_jump_ns = 0;
    now = (struct mono){NS_PER_H};
    reporter_init(&reporter);
    arena_init(&arena, 16 << 20);
    worker = worker_new(&config);
}

static void tear_down(void)
{
    worker_free(worker);
    reporter_fini(&reporter);
    arena_fini(&arena);
}

static Swarm__Task *make_task(const char *id, Swarm__TaskState desired)
{
    Swarm__Task *task = wire_new(&swarm__task__descriptor, &arena);
    task->id = id;
    task->desired_state = desired;
    task->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    task->spec->container = wire_new(&swarm__container_spec__descriptor, &arena);
    task->spec->container->image = "image";
    return task;
}

static Swarm__AssignmentChange *change_of(Swarm__Assignment__ItemCase kind, void *item, bool remove)
{
    Swarm__AssignmentChange *change = wire_new(&swarm__assignment_change__descriptor, &arena);
    change->assignment = wire_new(&swarm__assignment__descriptor, &arena);
    change->assignment->item_case = kind;
    change->assignment->task = item; // a union
    change->action = remove ? SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__REMOVE
                            : SWARM__ASSIGNMENT_CHANGE__ASSIGNMENT_ACTION__UPDATE;
    return change;
}

static Swarm__AssignmentChange *task_change(const char *id, Swarm__TaskState desired)
{
    return change_of(SWARM__ASSIGNMENT__ITEM_TASK, make_task(id, desired), false);
}

static int assign(bool complete, size_t count, Swarm__AssignmentChange **changes)
{
    Swarm__AssignmentsMessage message;
    swarm__assignments_message__init(&message);
    message.type = complete ? SWARM__ASSIGNMENTS_MESSAGE__TYPE__COMPLETE
                            : SWARM__ASSIGNMENTS_MESSAGE__TYPE__INCREMENTAL;
    message.changes = changes;
    message.n_changes = count;
    int result = worker_assign(worker, &message, NULL);
    run();
    return result;
}
#define ASSIGN(complete, ...)                                                                      \
    assign((complete),                                                                             \
           sizeof((Swarm__AssignmentChange *[]){__VA_ARGS__}) / sizeof(Swarm__AssignmentChange *), \
           (Swarm__AssignmentChange *[]){__VA_ARGS__})

static void came_up(const char *id)
{
    struct executor_task *task = of(id);
    static const struct executor_container box = {.id = "box", .pid = 9};
    ck_assert_str_eq(task->last, "prepare");
    task->events->prepared(task->owner, NULL);
    run();
    ck_assert_str_eq(task->last, "start");
    task->events->started(task->owner, &box, NULL, 0, NULL);
    run();
}

static void reported(const char *id, Swarm__TaskState state)
{
    const char *got;
    const struct task_status *status = reporter_next(&reporter, &got);
    ck_assert_ptr_nonnull(status);
    ck_assert_str_eq(got, id);
    ck_assert_int_eq(status->state, state);
    reporter_answered(&reporter, true);
}

START_TEST(an_assigned_task_runs_and_is_reported)
{
    ck_assert_int_eq(ASSIGN(true, task_change("a", STATE(RUNNING))), 0);
    reported("a", STATE(PREPARING));
    came_up("a");
    reported("a", STATE(RUNNING));
    struct executor_exit exit = {.code = 2};
    of("a")->events->exited(of("a")->owner, &exit);
    run();
    reported("a", STATE(FAILED));
}
END_TEST

START_TEST(a_complete_message_takes_away_what_it_does_not_list)
{
    ASSIGN(true, task_change("a", STATE(RUNNING)), task_change("b", STATE(RUNNING)));
    came_up("a");
    came_up("b");
    ASSIGN(true, task_change("b", STATE(RUNNING)));
    struct executor_task *task = of("a");
    ck_assert_str_eq(task->last, "stop");
    ck_assert_str_eq(of("b")->last, "start");
    task->events->stopped(task->owner, NULL);
    run();
    ck_assert_str_eq(task->last, "remove");
    task->events->removed(task->owner, NULL);
    run();
    ck_assert(task->closed);
    ck_assert_uint_eq(worker_count(worker), 1);
    ck_assert_ptr_null(worker_task(worker, "a"));
}
END_TEST

START_TEST(an_incremental_message_changes_only_what_it_names)
{
    ASSIGN(true, task_change("a", STATE(RUNNING)), task_change("b", STATE(READY)));
    came_up("a");
    of("b")->events->prepared(of("b")->owner, NULL);
    run();
    ck_assert_str_eq(of("b")->last, "prepare"); // READY waits
    ASSIGN(false, task_change("b", STATE(RUNNING)));
    ck_assert_str_eq(of("b")->last, "start");
    ck_assert_str_eq(of("a")->last, "start");
    ASSIGN(false, change_of(SWARM__ASSIGNMENT__ITEM_TASK, make_task("a", 0), true));
    ck_assert_str_eq(of("a")->last, "stop");
}
END_TEST

START_TEST(secrets_come_before_their_tasks_whatever_the_order)
{
    Swarm__AssignmentChange *task = task_change("a", STATE(RUNNING));
    Swarm__ContainerSpec *spec = task->assignment->task->spec->container;
    Swarm__SecretReference *reference = wire_new(&swarm__secret_reference__descriptor, &arena);
    Swarm__Secret *secret = wire_new(&swarm__secret__descriptor, &arena);
    spec->secrets = &reference;
    spec->n_secrets = 1;
    reference->secret_id = secret->id = "s1";
    secret->spec->data.data = (uint8_t *)"shh {{.Node.ID}}";
    secret->spec->data.len = 16;
    secret->spec->templating = wire_new(&swarm__driver__descriptor, &arena);
    secret->spec->templating->name = "golang";
    ASSIGN(true, task, change_of(SWARM__ASSIGNMENT__ITEM_SECRET, secret, false));
    ck_assert_str_eq(of("a")->files, "shh n");
}
END_TEST

START_TEST(a_task_without_its_secret_is_rejected)
{
    Swarm__AssignmentChange *task = task_change("a", STATE(RUNNING));
    Swarm__ContainerSpec *spec = task->assignment->task->spec->container;
    Swarm__SecretReference *reference = wire_new(&swarm__secret_reference__descriptor, &arena);
    spec->secrets = &reference;
    spec->n_secrets = 1;
    reference->secret_id = "s1";
    ASSIGN(true, task);
    const char *id;
    const struct task_status *status = reporter_next(&reporter, &id);
    ck_assert_int_eq(status->state, STATE(REJECTED));
    ck_assert_str_eq(status->err, "secret s1 was not assigned to this node");
}
END_TEST

START_TEST(what_the_executor_cannot_run_is_rejected_and_goes_quietly)
{
    Swarm__AssignmentChange *task = task_change("a", STATE(RUNNING));
    task->assignment->task->spec->container->image = "unsupported";
    ASSIGN(true, task);
    const char *id;
    ck_assert_str_eq(reporter_next(&reporter, &id)->err, "not supported here");
    reporter_answered(&reporter, true);
    ASSIGN(false, change_of(SWARM__ASSIGNMENT__ITEM_TASK, make_task("a", 0), true));
    ck_assert_uint_eq(worker_count(worker), 0);
}
END_TEST

START_TEST(attachments_have_an_executor_of_their_own)
{
    Swarm__AssignmentChange *change = task_change("a", STATE(RUNNING));
    Swarm__TaskSpec *spec = change->assignment->task->spec;
    spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_ATTACHMENT;
    spec->attachment = wire_new(&swarm__network_attachment_spec__descriptor, &arena);
    ASSIGN(true, change, task_change("b", STATE(RUNNING)));
    came_up("a");
    reported("a", STATE(RUNNING));
    ck_assert_ptr_eq(of("a")->by, &attacher);
    ck_assert_ptr_eq(of("b")->by, &executor);
    // Nobody reads its logs.
    ck_assert_ptr_null(worker_find(worker, "a"));
    ck_assert_ptr_eq(worker_find(worker, "b"), of("b"));
}
END_TEST

START_TEST(malformed_assignments_are_left_out_and_the_rest_applies)
{
    Swarm__AssignmentChange *empty = wire_new(&swarm__assignment_change__descriptor, &arena);
    ck_assert_int_eq(
        ASSIGN(true, empty, task_change("", STATE(RUNNING)), task_change("a", STATE(RUNNING))),
        -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(worker_count(worker), 1);
}
END_TEST

// ---- hard times --------------------------------------------------------------------------------

START_TEST(two_thousand_at_once_are_all_taken_in_hand)
{
    static Swarm__AssignmentChange *changes[TASKS_MAX];
    char id[16];
    for (int i = 0; i < TASKS_MAX; i++) {
        str_format(id, sizeof id, "t%d", i);
        changes[i] = task_change(arena_strdup(&arena, id), STATE(RUNNING));
    }
    ck_assert_int_eq(assign(true, TASKS_MAX, changes), 0);
    ck_assert_uint_eq(worker_count(worker), TASKS_MAX);
    ck_assert_uint_eq(hands_count, TASKS_MAX);
    for (int i = 0; i < TASKS_MAX; i++) {
        ck_assert_str_eq(hands[i].last, "prepare");
        hands[i].events->prepared(hands[i].owner, NULL);
    }
    run();
    for (int i = 0; i < TASKS_MAX; i++)
        ck_assert_str_eq(hands[i].last, "start");
}
END_TEST

// Goal: nothing is stopped because nobody is there to ask.
START_TEST(an_hour_without_managers_changes_nothing)
{
    ASSIGN(true, task_change("a", STATE(RUNNING)), task_change("b", STATE(READY)));
    came_up("a");
    of("b")->events->prepared(of("b")->owner, NULL);
    for (struct mono end = mono_add(now, NS_PER_H); mono_before(now, end);) {
        run();
        struct mono next = worker_run(worker);
        now = mono_before(next, end) ? next : end;
    }
    run();
    ck_assert_str_eq(of("a")->last, "start");
    ck_assert_str_eq(of("b")->last, "prepare");
    ck_assert_uint_eq(hands_count, 2);
}
END_TEST

START_TEST(a_clock_that_jumps_only_shows_in_the_stamps)
{
    static const int64_t jumps[] = {-NS_PER_H * 24, NS_PER_H * 24 * 365};
    for (size_t i = 0; i < COUNT_OF(jumps); i++) {
        const char *id = i ? "b" : "a";
        clock_jump_ns = 0;
        ASSIGN(false, task_change(id, STATE(RUNNING)));
        reported(id, STATE(PREPARING));
        clock_jump_ns = jumps[i];
        came_up(id);
        const char *got;
        const struct task_status *status = reporter_next(&reporter, &got);
        ck_assert_int_eq(status->state, STATE(RUNNING));
        ck_assert_int_eq(status->at.ns, now.ns + jumps[i]);
        reporter_answered(&reporter, true);
        run();
        ck_assert_str_eq(of(id)->last, "start");
    }
}
END_TEST

// ---- restarts ----------------------------------------------------------------------------------

static void restore(const char *id, Swarm__TaskState state)
{
    Swarm__TaskStatus *status = wire_new(&swarm__task_status__descriptor, &arena);
    status->state = state;
    worker_restore(worker, make_task(id, STATE(RUNNING)), status);
    run();
}

START_TEST(running_tasks_are_found_again_before_any_manager_is_there)
{
    static const struct executor_container box = {.id = "box", .pid = 9};
    restore("a", STATE(RUNNING));
    restore("b", STATE(PREPARING));
    ck_assert_uint_eq(hands_count, 1); // b waits for what it needs
    ck_assert_str_eq(of("a")->last, "find");
    of("a")->events->found(of("a")->owner, EXECUTOR_RUNNING, &box, NULL);
    run();
    reported("a", STATE(RUNNING));
    ASSIGN(true, task_change("a", STATE(RUNNING)), task_change("b", STATE(RUNNING)));
    ck_assert_str_eq(of("a")->last, "find"); // nothing happened to it
    ck_assert_str_eq(of("b")->last, "find");
    of("b")->events->found(of("b")->owner, EXECUTOR_ABSENT, NULL, NULL);
    run();
    ck_assert_str_eq(of("b")->last, "prepare");
}
END_TEST

// Goal: a port of the host that was chosen is asked for again, one that is given is not touched.
START_TEST(a_port_that_was_chosen_stays)
{
    for (uint32_t given = 0; given < 20; given += 10) {
        const char *id = given ? "given" : "chosen";
        Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, &arena);
        port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
        port->target_port = 80;
        port->published_port = given;
        Swarm__PortConfig *bound = wire_new(&swarm__port_config__descriptor, &arena);
        *bound = *port;
        bound->published_port = 32768;
        Swarm__Task *task = make_task(id, STATE(RUNNING));
        task->endpoint = wire_new(&swarm__endpoint__descriptor, &arena);
        task->endpoint->ports = &port;
        task->endpoint->n_ports = 1;
        Swarm__TaskStatus *status = wire_new(&swarm__task_status__descriptor, &arena);
        status->state = STATE(RUNNING);
        status->port_status = wire_new(&swarm__port_status__descriptor, &arena);
        status->port_status->ports = &bound;
        status->port_status->n_ports = 1;
        worker_restore(worker, task, status);
        run();
        ck_assert_uint_eq(of(id)->port, given ? given : 32768);
    }
}
END_TEST

static char saved[256];

static void put(void *owner, const char *id, const Swarm__Task *task,
                const Swarm__TaskStatus *status)
{
    (void)owner;
    size_t used = strlen(saved);
    ck_assert_int_eq(task != NULL, status != NULL);
    str_format(saved + used, sizeof saved - used, "%s:%d ", id, status ? (int)status->state : -1);
}

START_TEST(only_what_changed_is_saved)
{
    ASSIGN(true, task_change("a", STATE(RUNNING)), task_change("b", STATE(RUNNING)));
    saved[0] = '\0';
    worker_save(worker, put, NULL);
    ck_assert_str_eq(saved, "a:320 b:320 ");
    saved[0] = '\0';
    worker_save(worker, put, NULL);
    ck_assert_str_eq(saved, "");
    came_up("a");
    ASSIGN(false, change_of(SWARM__ASSIGNMENT__ITEM_TASK, make_task("b", 0), true));
    struct err cancelled = {.code = ERR_CANCELLED};
    ck_assert_str_eq(of("b")->last, "abort");
    of("b")->events->prepared(of("b")->owner, &cancelled);
    run();
    of("b")->events->removed(of("b")->owner, NULL);
    run();
    worker_save(worker, put, NULL);
    ck_assert_str_eq(saved, "b:-1 a:512 ");
}
END_TEST

Suite *suite_worker(void);
Suite *suite_worker(void)
{
    Suite *suite = suite_create("worker");
    TCase *tcase = tcase_create("worker");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_assigned_task_runs_and_is_reported);
    tcase_add_test(tcase, a_complete_message_takes_away_what_it_does_not_list);
    tcase_add_test(tcase, an_incremental_message_changes_only_what_it_names);
    tcase_add_test(tcase, secrets_come_before_their_tasks_whatever_the_order);
    tcase_add_test(tcase, a_task_without_its_secret_is_rejected);
    tcase_add_test(tcase, what_the_executor_cannot_run_is_rejected_and_goes_quietly);
    tcase_add_test(tcase, attachments_have_an_executor_of_their_own);
    tcase_add_test(tcase, malformed_assignments_are_left_out_and_the_rest_applies);
    tcase_add_test(tcase, two_thousand_at_once_are_all_taken_in_hand);
    tcase_add_test(tcase, an_hour_without_managers_changes_nothing);
    tcase_add_test(tcase, a_clock_that_jumps_only_shows_in_the_stamps);
    tcase_add_test(tcase, running_tasks_are_found_again_before_any_manager_is_there);
    tcase_add_test(tcase, a_port_that_was_chosen_stays);
    tcase_add_test(tcase, only_what_changed_is_saved);
    suite_add_tcase(suite, tcase);
    return suite;
}
