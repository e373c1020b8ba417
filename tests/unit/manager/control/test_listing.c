// Lists by difference as the Control API gives them: whoever puts together what it holds and what
// it is sent has the list as it is, at every step.
#include <check.h>
#include <string.h>

#include "manager/store/txn.h"
#include "proto/base/check.h"
#include "proto/wire/listing.h"
#include "proto/wire/wire.h"
#include "tests/unit/manager/control/desk.h"

struct answer {
    bool done;
    uint8_t *bytes;
    size_t size;
};

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct answer *answer = ctx;
    (void)trailers;
    ck_assert_msg(status->err.code == ERR_OK, "%s", status->err.message);
    const uint8_t *bytes = rpc_request_bytes(request, &answer->size);
    answer->bytes = arena_memdup(&desk.arena, bytes, answer->size);
    answer->done = true;
}

static struct listing_reader list(const char *path, const void *request, struct listing_mark held)
{
    struct buf bytes;
    struct answer answer = {.done = false};
    struct listing_reader reader;
    buf_init(&bytes, 1 << 20);
    ck_assert_int_eq(wire_pack(request, &bytes, NULL), 0);
    listing_ask(&bytes, held);
    struct rpc_request_spec spec = {.path = path,
                                    .kind = RPC_UNARY,
                                    .wait_for_ready = true,
                                    .on_done = on_done,
                                    .ctx = &answer};
    rpc_client_call_bytes(desk.client, &spec, bytes.data, bytes.len);
    desk_wait(&answer.done);
    buf_fini(&bytes);
    listing_read(&reader, answer.bytes, answer.size);
    return reader;
}

static struct listing_reader list_services(struct listing_mark held)
{
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    return list(CONTROL("ListServices"), &request, held);
}

// "+" and id for what is sent, "=" and id for what is held.
static const char *items(struct listing_reader *reader)
{
    struct buf text;
    struct listing_item item;
    buf_init(&text, 1 << 16);
    while (listing_next(reader, &item)) {
        if (item.held) {
            buf_put_u8(&text, '=');
            buf_put(&text, item.bytes, item.size);
            continue;
        }
        const Swarm__Service *service = wire_unpack(&swarm__service__descriptor, item.bytes,
                                                    item.size, &WIRE_LIMITS_RPC, &desk.arena, NULL);
        ck_assert_ptr_nonnull(service);
        ck_assert_uint_gt(item.birth, 0);
        buf_printf(&text, "+%s", service->id);
    }
    ck_assert(cursor_ok(&reader->cursor));
    const char *copy = arena_strdup(&desk.arena, buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static void change(const char *id, bool remove)
{
    struct txn *txn = fake_begin(&desk.log, 200);
    if (remove) {
        ck_assert_int_eq(txn_delete(txn, OBJECT_SERVICE, id, NULL), 0);
    } else {
        Swarm__Service *service = txn_edit(txn, OBJECT_SERVICE, id);
        service->spec->task->force_update++;
        ck_assert_int_eq(txn_update(txn, OBJECT_SERVICE, service, NULL), 0);
    }
    fake_write(&desk.log, txn);
}

static const struct listing_mark nothing;

START_TEST(a_list_says_what_is_new_and_what_is_held)
{
    desk.control.mark = 77;
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "a"));
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "b"));
    struct listing_reader reader = list_services(nothing);
    struct listing_mark mark = reader.mark;
    ck_assert_uint_eq(mark.store, 77);
    ck_assert(!reader.same);
    ck_assert_str_eq(items(&reader), "+a+b");

    reader = list_services(mark);
    ck_assert(reader.same);
    ck_assert_str_eq(items(&reader), "");

    // Other types may change as they like.
    desk_put(OBJECT_NODE, fake_node(&desk.arena, "n"));
    reader = list_services(mark);
    ck_assert(reader.same);
    ck_assert_uint_gt(reader.mark.edit, mark.edit);

    change("b", false);
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "ab"));
    reader = list_services(mark);
    ck_assert_str_eq(items(&reader), "=a+ab+b");
    mark = reader.mark;
    change("a", true);
    reader = list_services(mark);
    ck_assert_str_eq(items(&reader), "=ab=b");

    // What another store gave is no news of this one.
    reader = list_services((struct listing_mark){.store = 76, .edit = mark.edit});
    ck_assert_str_eq(items(&reader), "+ab+b");
    change("ab", true);
    change("b", true);
    reader = list_services(mark);
    ck_assert(!reader.same);
    ck_assert_str_eq(items(&reader), "");
}
END_TEST

START_TEST(filters_count_before_what_is_held)
{
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "a"));
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "b"));
    struct listing_reader reader = list_services(nothing);
    struct listing_mark mark = reader.mark;
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    Swarm__ListServicesRequest__Filters filters = SWARM__LIST_SERVICES_REQUEST__FILTERS__INIT;
    const char *ids[] = {"b"};
    filters.id_prefixes = ids;
    filters.n_id_prefixes = 1;
    request.filters = &filters;
    reader = list(CONTROL("ListServices"), &request, mark);
    ck_assert(!reader.same);
    ck_assert_str_eq(items(&reader), "=b");
}
END_TEST

START_TEST(tasks_are_listed_alike)
{
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s"));
    desk_put(OBJECT_TASK, fake_task(&desk.arena, "t1", "s", 1));
    Swarm__ListTasksRequest request = SWARM__LIST_TASKS_REQUEST__INIT;
    struct listing_item item;
    struct listing_reader reader = list(CONTROL("ListTasks"), &request, nothing);
    ck_assert(listing_next(&reader, &item) && !item.held);
    struct listing_mark mark = reader.mark;
    reader = list(CONTROL("ListTasks"), &request, mark);
    ck_assert(reader.same);
    desk_put(OBJECT_TASK, fake_task(&desk.arena, "t2", "s", 2));
    reader = list(CONTROL("ListTasks"), &request, mark);
    ck_assert(listing_next(&reader, &item) && item.held);
    ck_assert(listing_next(&reader, &item) && !item.held);
    ck_assert(!listing_next(&reader, &item));
    Swarm__ListTasksRequest__Filters filters = SWARM__LIST_TASKS_REQUEST__FILTERS__INIT;
    Swarm__TaskState state = SWARM__TASK_STATE__REMOVE;
    filters.desired_states = &state;
    filters.n_desired_states = 1;
    request.filters = &filters;
    reader = list(CONTROL("ListTasks"), &request, reader.mark);
    ck_assert(!reader.same);
    ck_assert(!listing_next(&reader, &item));
}
END_TEST

static void put_task(const char *id, const char *service_id, Swarm__TaskState state,
                     Swarm__TaskState desired, uint64_t iteration)
{
    Swarm__Task *task = fake_task(&desk.arena, id, service_id, 1);
    task->status->state = state;
    task->desired_state = desired;
    if (iteration) {
        task->job_iteration = wire_new(&swarm__version__descriptor, &desk.arena);
        task->job_iteration->index = iteration;
    }
    desk_put(OBJECT_TASK, task);
}

START_TEST(statuses_count_what_services_want_and_have)
{
    Swarm__Service *web = fake_service(&desk.arena, "web");
    web->spec->replicated->replicas = 7;
    desk_put(OBJECT_SERVICE, web);
    put_task("w1", "web", SWARM__TASK_STATE__RUNNING, SWARM__TASK_STATE__RUNNING, 0);
    put_task("w2", "web", SWARM__TASK_STATE__PENDING, SWARM__TASK_STATE__RUNNING, 0);

    Swarm__Service *all = fake_service(&desk.arena, "all");
    all->spec->mode_case = SWARM__SERVICE_SPEC__MODE_GLOBAL;
    all->spec->global = wire_new(&swarm__global_service__descriptor, &desk.arena);
    desk_put(OBJECT_SERVICE, all);
    put_task("a1", "all", SWARM__TASK_STATE__RUNNING, SWARM__TASK_STATE__RUNNING, 0);
    put_task("a2", "all", SWARM__TASK_STATE__FAILED, SWARM__TASK_STATE__SHUTDOWN, 0);

    Swarm__Service *job = fake_service(&desk.arena, "job");
    job->spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB;
    job->spec->replicated_job = wire_new(&swarm__replicated_job__descriptor, &desk.arena);
    job->spec->replicated_job->max_concurrent = 3;
    job->spec->replicated_job->total_completions = 9;
    job->job_status = wire_new(&swarm__job_status__descriptor, &desk.arena);
    job->job_status->job_iteration->index = 4;
    desk_put(OBJECT_SERVICE, job);
    put_task("j1", "job", SWARM__TASK_STATE__COMPLETE, SWARM__TASK_STATE__COMPLETE, 4);
    put_task("j2", "job", SWARM__TASK_STATE__COMPLETE, SWARM__TASK_STATE__COMPLETE, 3);

    static const struct {
        const char *id;
        uint64_t desired, running, completed;
    } wanted[] = {{"web", 7, 1, 0}, {"nobody", 0, 0, 0}, {"all", 1, 1, 0}, {"job", 3, 0, 1}};
    const char *ids[COUNT_OF(wanted)];
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        ids[i] = wanted[i].id;
    Swarm__ListServiceStatusesRequest request = SWARM__LIST_SERVICE_STATUSES_REQUEST__INIT;
    request.services = ids;
    request.n_services = COUNT_OF(wanted);
    const Swarm__ListServiceStatusesResponse *got =
        desk_call(CONTROL("ListServiceStatuses"), &request, NULL);
    ck_assert_uint_eq(got->n_statuses, COUNT_OF(wanted));
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        ck_assert_str_eq(got->statuses[i]->service_id, wanted[i].id);
        ck_assert_uint_eq(got->statuses[i]->desired_tasks, wanted[i].desired);
        ck_assert_uint_eq(got->statuses[i]->running_tasks, wanted[i].running);
        ck_assert_uint_eq(got->statuses[i]->completed_tasks, wanted[i].completed);
    }
}
END_TEST

START_TEST(who_does_not_ask_gets_everything)
{
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "a"));
    Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
    const Swarm__ListServicesResponse *response =
        desk_call(CONTROL("ListServices"), &request, NULL);
    ck_assert_uint_eq(response->n_services, 1);
    ck_assert_uint_eq(response->base.n_unknown_fields, 0);
}
END_TEST

Suite *suite_listing(void);
Suite *suite_listing(void)
{
    Suite *suite = suite_create("listing");
    TCase *tcase = tcase_create("listing");
    tcase_add_checked_fixture(tcase, desk_set_up, desk_tear_down);
    tcase_add_test(tcase, a_list_says_what_is_new_and_what_is_held);
    tcase_add_test(tcase, filters_count_before_what_is_held);
    tcase_add_test(tcase, tasks_are_listed_alike);
    tcase_add_test(tcase, statuses_count_what_services_want_and_have);
    tcase_add_test(tcase, who_does_not_ask_gets_everything);
    suite_add_tcase(suite, tcase);
    return suite;
}
