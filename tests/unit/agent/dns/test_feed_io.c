// The node process's side of the feed, against a table of names filled from what it sends.
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/dns/feed_io.h"
#include "proto/base/check.h"

static struct loop loop;
static struct dns_feed *feed;
static struct channel *ours, *theirs;
static struct names *names; // of the present resolver
static size_t messages, host_sockets, sandbox_sockets, errors;

static void on_message(void *owner, const struct channel_message *message)
{
    (void)owner;
    struct arena arena;
    struct feed_message got;
    struct err err = ERR_INIT;
    arena_init(&arena, FEED_ARENA_BYTES);
    messages++;
    int result =
        feed_parse(message->type, message->payload, message->payload_bytes, &arena, &got, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    bool found = true;
    switch (got.type) {
    case FEED_NETWORK_PUT:
        result = names_network_put(names, got.network, got.name, got.internal, &err);
        break;
    case FEED_NETWORK_REMOVE:
        found = names_network_remove(names, got.network);
        break;
    case FEED_RECORD_PUT:
        result = names_record_put(names, got.network, &got.record, &err);
        break;
    case FEED_RECORD_REMOVE:
        found = names_record_remove(names, got.network, got.record.endpoint);
        break;
    case FEED_SANDBOX_PUT:
        result = names_sandbox_put(names, got.sandbox.id, got.sandbox.networks,
                                   got.sandbox.networks_count, &err);
        break;
    case FEED_SANDBOX_REMOVE:
        found = names_sandbox_remove(names, got.sandbox.id);
        sandbox_sockets = 0;
        break;
    case FEED_SOCKETS:
        *(*got.sandbox.id ? &sandbox_sockets : &host_sockets) += message->fds_count;
        break;
    }
    errors += result != 0 || !found;
    arena_fini(&arena);
}

static void on_closed(void *owner, const struct err *why)
{
    (void)owner;
    ck_abort_msg("channel closed: %s", why->message);
}

static bool settled(void *ctx)
{
    (void)ctx;
    return dns_feed_settled(feed);
}

// Everything sent was also received.
static void settle(void)
{
    ck_assert(loop_run_until(&loop, settled, NULL, 60000));
    size_t before;
    do {
        before = messages;
        loop_run_until(&loop, settled, NULL, 0);
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    } while (messages != before);
    ck_assert_uint_eq(errors, 0);
}

static void resolver_start(void)
{
    static const struct channel_rule rows[] = {FEED_ROWS_FROM_NODE};
    static const struct channel_rules takes_all = {rows, COUNT_OF(rows)}, takes_none = {NULL, 0};
    static const struct channel_handler handler = {on_message, on_closed};
    int fds[2];
    names = names_new(1);
    messages = host_sockets = sandbox_sockets = errors = 0;
    ck_assert_int_eq(channel_pair(fds, NULL), 0);
    ck_assert_int_eq(channel_open(&loop, fds[0], &takes_none, &handler, NULL, &ours, NULL), 0);
    ck_assert_int_eq(channel_open(&loop, fds[1], &takes_all, &handler, NULL, &theirs, NULL), 0);
    dns_feed_attach(feed, ours);
}

static void resolver_stop(void)
{
    dns_feed_detach(feed);
    channel_close(ours);
    channel_close(theirs);
    names_free(names);
}

static void setup(void)
{
    loop_init(&loop);
    ck_assert_int_eq(dns_feed_open(&loop, &feed, NULL), 0);
    resolver_start();
}

static void teardown(void)
{
    resolver_stop();
    dns_feed_close(feed);
    loop_fini(&loop);
}

static void put_network(const char *id)
{
    ck_assert_int_eq(dns_feed_network_put(feed, id, id, false, NULL), 0);
}

static void put_record(const char *network, const char *endpoint, uint8_t last)
{
    struct names_record record = {
        .endpoint = endpoint, .name = endpoint, .ips = {{4, {10, 0, 0, last}}}};
    ck_assert_int_eq(dns_feed_record_put(feed, network, &record, NULL), 0);
}

static void put_sandbox(const char *id, const char *first, const char *second)
{
    const char *const networks[] = {first, second};
    struct feed_sandbox sandbox = {
        .id = id, .networks = networks, .networks_count = second ? 2 : 1};
    ck_assert_int_eq(dns_feed_sandbox_put(feed, &sandbox, NULL), 0);
}

// The last byte of the name's address as the sandbox sees it; -1 when there is none.
static int ask(const char *sandbox, const char *text)
{
    struct dns_name name;
    struct names_answer answer;
    const struct names_sandbox *who = names_sandbox_get(names, sandbox);
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    if (!who || !names_lookup(names, who, &name, 4, 1, &answer) || answer.count == 0)
        return -1;
    return answer.ips[0].bytes[3];
}

START_TEST(changes_arrive)
{
    put_network("n1");
    put_record("n1", "a", 1);
    put_sandbox("s1", "n1", NULL);
    settle();
    ck_assert_int_eq(ask("s1", "a"), 1);
    put_record("n1", "a", 2);
    put_record("n1", "b", 3);
    settle();
    ck_assert_int_eq(ask("s1", "a"), 2);
    ck_assert_int_eq(ask("s1", "b"), 3);
    ck_assert(dns_feed_record_remove(feed, "n1", "a"));
    settle();
    ck_assert_int_eq(ask("s1", "a"), -1);
    ck_assert(dns_feed_sandbox_remove(feed, "s1"));
    settle();
    ck_assert_ptr_null(names_sandbox_get(names, "s1"));
}
END_TEST

START_TEST(same_again_says_nothing)
{
    put_network("n1");
    put_record("n1", "a", 1);
    put_sandbox("s1", "n1", NULL);
    settle();
    size_t before = messages;
    put_network("n1");
    put_record("n1", "a", 1);
    put_sandbox("s1", "n1", NULL);
    settle();
    ck_assert_uint_eq(messages, before);
}
END_TEST

// What comes and goes within one turn of the loop never leaves.
START_TEST(short_lives_are_not_told)
{
    put_network("n1");
    settle();
    size_t before = messages;
    put_record("n1", "a", 1);
    ck_assert(dns_feed_record_remove(feed, "n1", "a"));
    ck_assert(!dns_feed_record_remove(feed, "n1", "a"));
    put_network("n2");
    ck_assert(dns_feed_network_remove(feed, "n2"));
    settle();
    ck_assert_uint_eq(messages, before);
}
END_TEST

// A network that comes back at once has lost its records, and sandboxes have lost it.
START_TEST(network_that_comes_back_is_empty)
{
    put_network("n1");
    put_network("n2");
    put_record("n1", "a", 1);
    put_record("n2", "b", 2);
    put_sandbox("s1", "n1", "n2");
    settle();
    ck_assert(dns_feed_network_remove(feed, "n1"));
    put_network("n1");
    put_record("n1", "c", 3);
    settle();
    ck_assert_uint_eq(names_record_count(names, "n1"), 1);
    ck_assert_int_eq(ask("s1", "c"), -1);
    ck_assert_int_eq(ask("s1", "b"), 2);
    put_sandbox("s1", "n1", "n2");
    settle();
    ck_assert_int_eq(ask("s1", "a"), -1);
    ck_assert_int_eq(ask("s1", "c"), 3);
}
END_TEST

START_TEST(new_resolver_is_told_everything)
{
    put_network("n1");
    put_network("gone");
    put_record("n1", "a", 1);
    put_sandbox("s1", "n1", "gone");
    settle();
    ck_assert_uint_ge(host_sockets, DNS_SOCKETS_HOST_UDP + DNS_SOCKETS_HOST_TCP);
    resolver_stop();
    // While there is none.
    put_record("n1", "b", 2);
    ck_assert(dns_feed_network_remove(feed, "gone"));
    ck_assert(!dns_feed_settled(feed));
    resolver_start();
    settle();
    ck_assert_int_eq(ask("s1", "a"), 1);
    ck_assert_int_eq(ask("s1", "b"), 2);
    ck_assert_uint_eq(names_record_count(names, "gone"), 0);
    ck_assert_uint_ge(host_sockets, DNS_SOCKETS_HOST_UDP + DNS_SOCKETS_HOST_TCP);
}
END_TEST

// More than the channel holds at once.
START_TEST(many_records_arrive_in_time)
{
    enum { MANY = 3 * CHANNEL_QUEUE_MESSAGES_MAX };
    char id[16];
    put_network("n1");
    put_sandbox("s1", "n1", NULL);
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "e%d", i);
        put_record("n1", id, 7);
    }
    settle();
    ck_assert_uint_eq(names_record_count(names, "n1"), MANY);
    size_t position = 0, walked = 0;
    while (dns_feed_record_next(feed, "n1", &position))
        walked++;
    ck_assert_uint_eq(walked, MANY);
}
END_TEST

START_TEST(sockets_go_with_their_sandbox)
{
    struct dns_sockets sockets = {.answer_udp = dup(0), .answer_tcp = dup(0)};
    ck_assert_int_eq(dns_feed_sandbox_sockets(feed, "s1", &sockets, NULL), -ERR_NOT_FOUND);
    put_network("n1");
    put_sandbox("s1", "n1", NULL);
    ck_assert_int_eq(dns_feed_sandbox_sockets(feed, "s1", &sockets, NULL), 0);
    ck_assert_int_eq(sockets.answer_udp, -1);
    settle();
    ck_assert_uint_eq(sandbox_sockets, 2);
    // Others in their place: the old ones are forgotten first.
    sockets = (struct dns_sockets){.answer_udp = dup(0), .answer_tcp = dup(0)};
    ck_assert_int_eq(dns_feed_sandbox_sockets(feed, "s1", &sockets, NULL), 0);
    settle();
    ck_assert_uint_eq(sandbox_sockets, 2);
    ck_assert(dns_feed_sandbox_remove(feed, "s1"));
    put_sandbox("s1", "n1", NULL);
    settle();
    ck_assert_uint_eq(sandbox_sockets, 0);
}
END_TEST

START_TEST(unknown_is_refused)
{
    const char *const networks[] = {"none"};
    struct feed_sandbox sandbox = {.id = "s1", .networks = networks, .networks_count = 1};
    ck_assert_int_eq(dns_feed_sandbox_put(feed, &sandbox, NULL), -ERR_NOT_FOUND);
    ck_assert_int_eq(
        dns_feed_record_put(feed, "none", &(struct names_record){.endpoint = "e"}, NULL),
        -ERR_NOT_FOUND);
    ck_assert_int_eq(dns_feed_network_put(feed, "", "x", false, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert(!dns_feed_network_remove(feed, "none"));
    ck_assert(!dns_feed_sandbox_remove(feed, "none"));
}
END_TEST

Suite *suite_feed_io(void);

Suite *suite_feed_io(void)
{
    Suite *suite = suite_create("feed_io");
    TCase *tcase = tcase_create("feed_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, changes_arrive);
    tcase_add_test(tcase, same_again_says_nothing);
    tcase_add_test(tcase, short_lives_are_not_told);
    tcase_add_test(tcase, network_that_comes_back_is_empty);
    tcase_add_test(tcase, new_resolver_is_told_everything);
    tcase_add_test(tcase, many_records_arrive_in_time);
    tcase_add_test(tcase, sockets_go_with_their_sandbox);
    tcase_add_test(tcase, unknown_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
