// Clients, agents and publishers of the test's own around the broker.
#include <check.h>
#include <string.h>

#include "manager/logs/broker.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct arena arena;
static struct broker *broker;

struct client {
    struct log_reader core;
    bool full;
    bool ended;
    int code;
    char text[512];
    size_t lines;
};

static bool client_writable(struct log_reader *core)
{
    return !CONTAINER_OF(core, struct client, core)->full;
}

static int client_send(struct log_reader *core, const Swarm__SubscribeLogsMessage *message,
                       struct err *err)
{
    (void)err;
    CONTAINER_OF(core, struct client, core)->lines += message->n_messages;
    return 0;
}

static void client_end(struct log_reader *core, const struct err *err)
{
    struct client *client = CONTAINER_OF(core, struct client, core);
    ck_assert(!client->ended);
    client->ended = true;
    client->code = err ? (int)err->code : 0;
    str_copy(client->text, sizeof client->text, err ? err->message : "");
}

struct agent {
    struct log_agent core;
    int told;
    bool deaf;
    bool ended;
    const Swarm__SubscriptionMessage *message;
};

static int agent_send(struct log_agent *core, const Swarm__SubscriptionMessage *message,
                      struct err *err)
{
    struct agent *agent = CONTAINER_OF(core, struct agent, core);
    if (agent->deaf)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "full");
    agent->told++;
    agent->message = wire_copy(message, &arena);
    return 0;
}

static void agent_end(struct log_agent *core, const struct err *err)
{
    (void)err;
    CONTAINER_OF(core, struct agent, core)->ended = true;
}

struct publisher {
    struct log_writer core;
    bool paused;
    int ended; // its code
};

static void publisher_pause(struct log_writer *core)
{
    CONTAINER_OF(core, struct publisher, core)->paused = true;
}

static void publisher_resume(struct log_writer *core)
{
    CONTAINER_OF(core, struct publisher, core)->paused = false;
}

static void publisher_end(struct log_writer *core, const struct err *err)
{
    CONTAINER_OF(core, struct publisher, core)->ended = (int)err->code;
}

static struct client client;
static struct agent one;
static struct agent two;
static struct publisher publisher;

static void listen_as(struct agent *agent, const char *node_id)
{
    *agent = (struct agent){.core = {.send = agent_send, .end = agent_end}};
    broker_listen(broker, node_id, &agent->core);
}

static void publisher_init(const char *node_id)
{
    publisher = (struct publisher){
        .core = {.pause = publisher_pause, .resume = publisher_resume, .end = publisher_end}};
    broker_publish_begin(&publisher.core, node_id);
}

static void put_task(const char *id, const char *node_id, int state)
{
    struct txn *txn = fake_begin(&log_, 100);
    Swarm__Task *task = fake_task(&arena, id, "s1", 1);
    task->node_id = node_id;
    task->status->state = (Swarm__TaskState)state;
    ck_assert_int_eq(txn_create(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&log_, txn);
}

static void set_up(void)
{
    struct broker_config config = {.rng = &rng_kernel};
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
    config.store = log_.store;
    broker = broker_new(&config);
}

static void tear_down(void)
{
    if (publisher.core.node_id)
        broker_publish_end(&publisher.core);
    broker_free(broker);
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static int subscribe(bool following, struct err *err)
{
    static const char *services[] = {"s1"};
    Swarm__SubscribeLogsRequest request = SWARM__SUBSCRIBE_LOGS_REQUEST__INIT;
    Swarm__LogSelector selector = SWARM__LOG_SELECTOR__INIT;
    Swarm__LogSubscriptionOptions options = SWARM__LOG_SUBSCRIPTION_OPTIONS__INIT;
    selector.service_ids = services;
    selector.n_service_ids = 1;
    options.follow = following;
    request.selector = &selector;
    if (following)
        request.options = &options;
    client = (struct client){
        .core = {.writable = client_writable, .send = client_send, .end = client_end}};
    return broker_subscribe(broker, &request, &client.core, err);
}

static int publish(const char *subscription_id, const char *node_id, bool close, bool *closed,
                   struct err *err)
{
    Swarm__PublishLogsMessage message = SWARM__PUBLISH_LOGS_MESSAGE__INIT;
    Swarm__LogMessage line = SWARM__LOG_MESSAGE__INIT;
    Swarm__LogMessage *lines[] = {&line};
    Swarm__LogContext context = SWARM__LOG_CONTEXT__INIT;
    context.node_id = node_id;
    line.context = &context;
    message.subscription_id = subscription_id;
    message.close = close;
    if (!close) {
        message.messages = lines;
        message.n_messages = 1;
    }
    return broker_publish(broker, &publisher.core, &message, closed, err);
}

START_TEST(lines_travel_from_agents_to_the_client_until_all_have_closed)
{
    struct err err = ERR_INIT;
    bool closed;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    put_task("b", "n2", SWARM__TASK_STATE__FAILED);
    put_task("young", "n3", SWARM__TASK_STATE__STARTING); // has no logs yet
    listen_as(&one, "n1");
    listen_as(&two, "n2");
    ck_assert_int_eq(subscribe(false, &err), 0);
    ck_assert_int_eq(one.told, 1);
    ck_assert_int_eq(two.told, 1);
    ck_assert(!one.message->close);
    ck_assert_ptr_nonnull(one.message->options); // even when the client sent none
    ck_assert_str_eq(one.message->selector->service_ids[0], "s1");
    publisher_init("n1");
    ck_assert_int_eq(publish(one.message->id, "n1", false, &closed, &err), 0);
    ck_assert_int_eq(publish(one.message->id, "n1", false, &closed, &err), 0);
    ck_assert_int_eq(publish(one.message->id, "n1", true, &closed, &err), 0);
    ck_assert(closed);
    ck_assert_uint_eq(client.lines, 2);
    ck_assert(!client.ended);
    publisher_init("n2");
    ck_assert_int_eq(publish(one.message->id, "n2", true, &closed, &err), 0);
    ck_assert(client.ended);
    ck_assert_int_eq(client.code, 0);
    ck_assert(one.message->close); // and the agents may forget it
}
END_TEST

START_TEST(what_is_missing_is_named_at_the_end)
{
    struct err err = ERR_INIT;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    put_task("b", "n2", SWARM__TASK_STATE__RUNNING);
    listen_as(&one, "n1");
    ck_assert_int_eq(subscribe(false, &err), 0);
    ck_assert(!client.ended);
    broker_unlisten(&one.core);
    ck_assert(client.ended);
    ck_assert_int_eq(client.code, ERR_UNKNOWN);
    ck_assert_str_eq(client.text,
                     "warning: incomplete log stream. some logs could not be retrieved for the "
                     "following reasons: node n2 is not available, node n1 disconnected "
                     "unexpectedly");
}
END_TEST

START_TEST(following_adds_nodes_as_tasks_come_and_lasts_until_the_client_leaves)
{
    struct err err = ERR_INIT;
    listen_as(&one, "n1");
    ck_assert_int_eq(subscribe(true, &err), 0);
    ck_assert_int_eq(one.told, 0);
    put_task("a", "", SWARM__TASK_STATE__PENDING);
    broker_step(broker);
    ck_assert_int_eq(one.told, 0);
    put_task("b", "n1", SWARM__TASK_STATE__ASSIGNED);
    broker_step(broker);
    ck_assert_int_eq(one.told, 1);
    ck_assert(one.message->options->follow);
    broker_unlisten(&one.core); // the agent comes back
    ck_assert(!client.ended);
    listen_as(&two, "n1");
    ck_assert_int_eq(two.told, 1);
    publisher_init("n1");
    bool closed;
    ck_assert_int_eq(publish(two.message->id, "n1", false, &closed, &err), 0);
    broker_leave(&client.core);
    ck_assert(!client.ended);
    ck_assert(two.message->close);
    ck_assert_int_eq(publisher.ended, ERR_CANCELLED);
}
END_TEST

START_TEST(publishers_may_only_bring_their_own_lines_into_what_exists)
{
    struct err err = ERR_INIT;
    bool closed;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    listen_as(&one, "n1");
    ck_assert_int_eq(subscribe(false, &err), 0);
    publisher_init("n1");
    ck_assert_int_eq(publish("", "n1", false, &closed, &err), -ERR_INVALID_ARGUMENT);
    publisher_init("n1");
    ck_assert_int_eq(publish("nothing", "n1", false, &closed, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "unknown subscription ID");
    publisher_init("n9"); // none of its tasks were asked for
    ck_assert_int_eq(publish(one.message->id, "n9", false, &closed, &err), -ERR_NOT_FOUND);
    publisher_init("n1");
    ck_assert_int_eq(publish(one.message->id, "n1", false, &closed, &err), 0);
    ck_assert_int_eq(publish("other", "n1", false, &closed, &err), -ERR_INVALID_ARGUMENT);
    ck_assert(client.ended); // its only node broke off
}
END_TEST

START_TEST(a_foreign_line_is_refused)
{
    struct err err = ERR_INIT;
    bool closed;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    listen_as(&one, "n1");
    ck_assert_int_eq(subscribe(false, &err), 0);
    publisher_init("n1");
    ck_assert_int_eq(publish(one.message->id, "n2", false, &closed, &err), -ERR_PERMISSION_DENIED);
    ck_assert_uint_eq(client.lines, 0);
}
END_TEST

START_TEST(a_slow_client_slows_its_publishers)
{
    struct err err = ERR_INIT;
    bool closed;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    listen_as(&one, "n1");
    ck_assert_int_eq(subscribe(false, &err), 0);
    publisher_init("n1");
    client.full = true;
    ck_assert_int_eq(publish(one.message->id, "n1", false, &closed, &err), 0);
    ck_assert(publisher.paused);
    broker_readable(&client.core); // not yet
    ck_assert(publisher.paused);
    client.full = false;
    broker_readable(&client.core);
    ck_assert(!publisher.paused);
}
END_TEST

START_TEST(requests_without_selector_are_refused)
{
    struct err err = ERR_INIT;
    Swarm__SubscribeLogsRequest request = SWARM__SUBSCRIBE_LOGS_REQUEST__INIT;
    Swarm__LogSelector selector = SWARM__LOG_SELECTOR__INIT;
    ck_assert_int_eq(broker_subscribe(broker, &request, &client.core, &err), -ERR_INVALID_ARGUMENT);
    request.selector = &selector;
    ck_assert_int_eq(broker_subscribe(broker, &request, &client.core, &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_second_listening_stream_replaces_the_first)
{
    listen_as(&one, "n1");
    listen_as(&two, "n1");
    ck_assert(one.ended);
    broker_unlisten(&one.core); // harmless
    struct err err = ERR_INIT;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    ck_assert_int_eq(subscribe(false, &err), 0);
    ck_assert_int_eq(two.told, 1);
}
END_TEST

START_TEST(an_agent_that_cannot_be_told_is_ended)
{
    struct err err = ERR_INIT;
    put_task("a", "n1", SWARM__TASK_STATE__RUNNING);
    listen_as(&one, "n1");
    one.deaf = true;
    ck_assert_int_eq(subscribe(false, &err), 0);
    ck_assert(one.ended);
    ck_assert(client.ended);
    ck_assert_int_eq(client.code, ERR_UNKNOWN);
}
END_TEST

Suite *suite_broker(void);
Suite *suite_broker(void)
{
    Suite *suite = suite_create("broker");
    TCase *tcase = tcase_create("broker");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, lines_travel_from_agents_to_the_client_until_all_have_closed);
    tcase_add_test(tcase, what_is_missing_is_named_at_the_end);
    tcase_add_test(tcase, following_adds_nodes_as_tasks_come_and_lasts_until_the_client_leaves);
    tcase_add_test(tcase, publishers_may_only_bring_their_own_lines_into_what_exists);
    tcase_add_test(tcase, a_foreign_line_is_refused);
    tcase_add_test(tcase, a_slow_client_slows_its_publishers);
    tcase_add_test(tcase, requests_without_selector_are_refused);
    tcase_add_test(tcase, a_second_listening_stream_replaces_the_first);
    tcase_add_test(tcase, an_agent_that_cannot_be_told_is_ended);
    suite_add_tcase(suite, tcase);
    return suite;
}
