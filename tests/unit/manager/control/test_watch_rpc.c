// The Watch API: commits arrive whole and in order, without secrets, and slow or wrong watchers are
// told so.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/watch.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/unit/manager/control/desk.h"

struct seen {
    bool came, done;
    size_t count;
    const Swarm__WatchMessage *messages[16];
    struct err err;
    struct rpc_request *request;
};

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    struct seen *seen = ctx;
    (void)request;
    seen->came = true;
    if (seen->count < COUNT_OF(seen->messages))
        seen->messages[seen->count++] = wire_copy(message, &desk.arena);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct seen *seen = ctx;
    (void)request;
    (void)trailers;
    seen->done = true;
    seen->err = status->err;
}

static void watch_from(struct seen *seen, const char *kind, int actions, const Swarm__SelectBy *by,
                       const Swarm__Version *from)
{
    Swarm__WatchRequest request = SWARM__WATCH_REQUEST__INIT;
    Swarm__WatchRequest__WatchEntry entry = SWARM__WATCH_REQUEST__WATCH_ENTRY__INIT;
    Swarm__WatchRequest__WatchEntry *entries[] = {&entry};
    Swarm__SelectBy *filters[] = {(Swarm__SelectBy *)by};
    entry.kind = kind;
    entry.action = (Swarm__WatchActionKind)actions;
    entry.filters = filters;
    entry.n_filters = by ? 1 : 0;
    request.entries = entries;
    request.n_entries = 1;
    request.include_old_object = 1;
    request.resume_from = (Swarm__Version *)from;
    struct rpc_request_spec spec = {.path = "/docker.swarmkit.v1.Watch/Watch",
                                    .kind = RPC_SERVER_STREAM,
                                    .response = &swarm__watch_message__descriptor,
                                    .wait_for_ready = true,
                                    .on_message = on_message,
                                    .on_done = on_done,
                                    .ctx = seen};
    *seen = (struct seen){.came = false};
    seen->request = rpc_client_call(desk.client, &spec, &request.base);
}

static void watch(struct seen *seen, const char *kind, int actions, const Swarm__SelectBy *by)
{
    watch_from(seen, kind, actions, by, NULL);
}

static void next(struct seen *seen)
{
    desk_wait(&seen->came);
    seen->came = false;
}

START_TEST(a_watcher_hears_that_it_is_live_and_then_each_commit)
{
    static struct seen seen;
    watch(&seen, "service", 7, NULL);
    next(&seen);
    ck_assert_uint_eq(seen.messages[0]->n_events, 0);
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s1"));
    next(&seen);
    const Swarm__WatchMessage *message = seen.messages[1];
    ck_assert_uint_eq(message->n_events, 1);
    ck_assert_int_eq(message->events[0]->action, SWARM__WATCH_ACTION_KIND__WATCH_ACTION_CREATE);
    ck_assert_int_eq(message->events[0]->object->object_case, SWARM__OBJECT__OBJECT_SERVICE);
    ck_assert_str_eq(message->events[0]->object->service->id, "s1");
    ck_assert_uint_eq(message->version->index, 11);
}
END_TEST

START_TEST(an_update_comes_with_what_was_before)
{
    static struct seen seen;
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s1"));
    watch(&seen, "service", 2, NULL);
    next(&seen);
    struct txn *txn = fake_begin(&desk.log, 200);
    Swarm__Service *service = txn_edit(txn, OBJECT_SERVICE, "s1");
    service->spec->replicated->replicas = 7;
    ck_assert_int_eq(txn_update(txn, OBJECT_SERVICE, service, NULL), 0);
    fake_write(&desk.log, txn);
    next(&seen);
    const Swarm__WatchMessage__Event *event = seen.messages[1]->events[0];
    ck_assert_uint_eq(event->object->service->spec->replicated->replicas, 7);
    ck_assert_ptr_nonnull(event->old_object);
    ck_assert_uint_ne(event->old_object->service->spec->replicated->replicas, 7);
}
END_TEST

START_TEST(other_kinds_and_ids_are_not_heard_of)
{
    static struct seen seen;
    Swarm__SelectBy by = SWARM__SELECT_BY__INIT;
    by.by_case = SWARM__SELECT_BY__BY_ID_PREFIX;
    by.id_prefix = "s2";
    watch(&seen, "service", 7, &by);
    next(&seen);
    desk_put(OBJECT_NETWORK, fake_network(&desk.arena, "n1"));
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s1"));
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s2"));
    next(&seen);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_str_eq(seen.messages[1]->events[0]->object->service->id, "s2");
}
END_TEST

START_TEST(who_was_away_goes_on_after_the_last_version_it_saw)
{
    static struct seen first, again;
    watch(&first, "service", 7, NULL);
    next(&first);
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s1"));
    next(&first);
    rpc_request_cancel(first.request);
    desk_wait(&first.done);
    desk_put(OBJECT_NETWORK, fake_network(&desk.arena, "n1"));
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s2"));
    watch_from(&again, "service", 7, NULL, first.messages[1]->version);
    while (again.count < 2)
        next(&again);
    ck_assert_uint_eq(again.messages[0]->n_events, 0);
    ck_assert_str_eq(again.messages[1]->events[0]->object->service->id, "s2");
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "s3"));
    while (again.count < 3)
        next(&again);
    ck_assert_str_eq(again.messages[2]->events[0]->object->service->id, "s3");
    // A version that is not there yet is nobody's to have seen.
    Swarm__Version future = SWARM__VERSION__INIT;
    future.index = again.messages[2]->version->index + 1000;
    watch_from(&first, "service", 7, NULL, &future);
    desk_wait(&first.done);
    ck_assert_int_eq(first.err.code, ERR_OUT_OF_RANGE);
}
END_TEST

START_TEST(secrets_come_without_their_data)
{
    static struct seen seen;
    watch(&seen, "secret", 1, NULL);
    next(&seen);
    Swarm__Secret *secret = fake_secret(&desk.arena, "x1");
    secret->spec->data = (ProtobufCBinaryData){6, (uint8_t *)"hidden"};
    desk_put(OBJECT_SECRET, secret);
    next(&seen);
    ck_assert_uint_eq(seen.messages[1]->events[0]->object->secret->spec->data.len, 0);
}
END_TEST

START_TEST(a_request_without_entries_or_actions_is_refused)
{
    static struct seen seen;
    watch(&seen, "service", 0, NULL);
    desk_wait(&seen.done);
    ck_assert_int_eq(seen.err.code, ERR_INVALID_ARGUMENT);
    watch(&seen, "", 7, NULL);
    desk_wait(&seen.done);
    ck_assert_int_eq(seen.err.code, ERR_INVALID_ARGUMENT);
    Swarm__SelectBy by = SWARM__SELECT_BY__INIT;
    watch(&seen, "service", 7, &by);
    desk_wait(&seen.done);
    ck_assert_int_eq(seen.err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(seen.err.message, "unrecognized watch filter");
}
END_TEST

START_TEST(a_stopping_manager_ends_its_watchers)
{
    static struct seen seen;
    watch(&seen, "node", 7, NULL);
    next(&seen);
    watchers_stop(desk.watchers);
    desk_wait(&seen.done);
    ck_assert_int_eq(seen.err.code, ERR_UNAVAILABLE);
    watch(&seen, "node", 7, NULL);
    desk_wait(&seen.done);
    ck_assert_int_eq(seen.err.code, ERR_UNAVAILABLE);
}
END_TEST

Suite *suite_watch_rpc(void);
Suite *suite_watch_rpc(void)
{
    Suite *suite = suite_create("watch_rpc");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, desk_set_up, desk_tear_down);
    tcase_add_test(tcase, a_watcher_hears_that_it_is_live_and_then_each_commit);
    tcase_add_test(tcase, an_update_comes_with_what_was_before);
    tcase_add_test(tcase, other_kinds_and_ids_are_not_heard_of);
    tcase_add_test(tcase, who_was_away_goes_on_after_the_last_version_it_saw);
    tcase_add_test(tcase, secrets_come_without_their_data);
    tcase_add_test(tcase, a_request_without_entries_or_actions_is_refused);
    tcase_add_test(tcase, a_stopping_manager_ends_its_watchers);
    suite_add_tcase(suite, tcase);
    return suite;
}
