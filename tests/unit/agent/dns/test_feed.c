// The resolver's feed as bytes: what is packed reads back the same, what is too much is refused.
#include <check.h>
#include <string.h>

#include "agent/dns/feed.h"
#include "proto/base/check.h"

static struct buf packed;
static struct arena arena;
static struct feed_message got;

static void setup(void)
{
    buf_init(&packed, FEED_MESSAGE_BYTES_MAX);
    arena_init(&arena, FEED_ARENA_BYTES);
}

static void teardown(void)
{
    buf_fini(&packed);
    arena_fini(&arena);
}

static int parse(uint16_t type)
{
    return feed_parse(type, packed.data, packed.len, &arena, &got, NULL);
}

static void round_trip(const struct feed_message *message)
{
    buf_clear(&packed);
    feed_pack(&packed, message);
    ck_assert(buf_ok(&packed));
    ck_assert_int_eq(parse((uint16_t)message->type), 0);
    ck_assert_int_eq(got.type, message->type);
}

START_TEST(record_reads_back)
{
    const char *const aliases[] = {"0123456789ab", "host"};
    const char *const service_aliases[] = {"www"};
    round_trip(&(struct feed_message){
        .type = FEED_RECORD_PUT,
        .network = "n1",
        .record = {.endpoint = "e1",
                   .name = "web.1.x",
                   .service = "web",
                   .aliases = aliases,
                   .aliases_count = 2,
                   .service_aliases = service_aliases,
                   .service_aliases_count = 1,
                   .vips = {{4, {10, 0, 0, 2}}},
                   .ips = {{4, {10, 0, 0, 3}}, {16, {0xfd, [15] = 3}}},
                   .draining = true},
    });
    ck_assert_str_eq(got.network, "n1");
    ck_assert_str_eq(got.record.endpoint, "e1");
    ck_assert_str_eq(got.record.name, "web.1.x");
    ck_assert_str_eq(got.record.service, "web");
    ck_assert_uint_eq(got.record.aliases_count, 2);
    ck_assert_str_eq(got.record.aliases[1], "host");
    ck_assert_uint_eq(got.record.service_aliases_count, 1);
    ck_assert_str_eq(got.record.service_aliases[0], "www");
    ck_assert_uint_eq(got.record.vips[0].bytes[3], 2);
    ck_assert_uint_eq(got.record.ips[0].bytes[3], 3);
    ck_assert_uint_eq(got.record.ips[1].size, 16);
    ck_assert(got.record.draining);
}
END_TEST

START_TEST(sandbox_reads_back)
{
    const char *const networks[] = {"n1", "n2"};
    const char *const search[] = {"corp.example"};
    round_trip(&(struct feed_message){
        .type = FEED_SANDBOX_PUT,
        .sandbox = {.id = "s1",
                    .networks = networks,
                    .networks_count = 2,
                    .search = search,
                    .search_count = 1,
                    .servers = {{{4, {192, 0, 2, 1}}, 53, false}, {{16, {0xfd}}, 5353, true}},
                    .servers_count = 2,
                    .ndots_set = true},
    });
    ck_assert_str_eq(got.sandbox.id, "s1");
    ck_assert_str_eq(got.sandbox.networks[1], "n2");
    ck_assert_str_eq(got.sandbox.search[0], "corp.example");
    ck_assert_uint_eq(got.sandbox.servers[0].port, 53);
    ck_assert(!got.sandbox.servers[0].inside);
    ck_assert_uint_eq(got.sandbox.servers[1].ip.size, 16);
    ck_assert(got.sandbox.servers[1].inside);
    ck_assert(got.sandbox.ndots_set);
}
END_TEST

START_TEST(short_messages_read_back)
{
    round_trip(&(struct feed_message){
        .type = FEED_NETWORK_PUT, .network = "n1", .name = "front", .internal = true});
    ck_assert_str_eq(got.name, "front");
    ck_assert(got.internal);
    round_trip(&(struct feed_message){.type = FEED_NETWORK_REMOVE, .network = "n1"});
    ck_assert_str_eq(got.network, "n1");
    round_trip(&(struct feed_message){
        .type = FEED_RECORD_REMOVE, .network = "n1", .record.endpoint = "e1"});
    ck_assert_str_eq(got.record.endpoint, "e1");
    round_trip(&(struct feed_message){.type = FEED_SANDBOX_REMOVE, .sandbox.id = "s1"});
    ck_assert_str_eq(got.sandbox.id, "s1");
    round_trip(&(struct feed_message){
        .type = FEED_SOCKETS, .sandbox.id = "", .sockets = FEED_SOCKETS_ASK});
    ck_assert_int_eq(got.sockets, FEED_SOCKETS_ASK);
}
END_TEST

// A text that is too long is no name, and a service that is none has no aliases.
START_TEST(long_names_are_none)
{
    char longest[FEED_TEXT_BYTES_MAX + 2];
    const char *const aliases[] = {longest, "ok"};
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    round_trip(&(struct feed_message){
        .type = FEED_RECORD_PUT,
        .network = "n1",
        .record = {.endpoint = "e1",
                   .name = longest,
                   .service = longest,
                   .aliases = aliases,
                   .aliases_count = 2,
                   .service_aliases = aliases,
                   .service_aliases_count = 2},
    });
    ck_assert_str_eq(got.record.name, "");
    ck_assert_str_eq(got.record.aliases[0], "");
    ck_assert_str_eq(got.record.aliases[1], "ok");
    ck_assert_uint_eq(got.record.service_aliases_count, 0);
}
END_TEST

// The largest record and the largest sandbox fit into a message.
START_TEST(largest_fit)
{
    char text[FEED_TEXT_BYTES_MAX + 1], id[FEED_ID_BYTES_MAX + 1];
    const char *texts[NAMES_ALIASES_MAX], *ids[NAMES_SANDBOX_NETWORKS_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    memset(id, 'i', sizeof id);
    id[sizeof id - 1] = '\0';
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        texts[i] = text;
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = id;
    round_trip(&(struct feed_message){
        .type = FEED_RECORD_PUT,
        .network = id,
        .record = {.endpoint = id,
                   .name = text,
                   .service = text,
                   .aliases = texts,
                   .aliases_count = NAMES_ALIASES_MAX,
                   .service_aliases = texts,
                   .service_aliases_count = NAMES_ALIASES_MAX,
                   .ips = {{16, {1}}, {16, {2}}},
                   .vips = {{16, {3}}, {16, {4}}}},
    });
    round_trip(&(struct feed_message){
        .type = FEED_SANDBOX_PUT,
        .sandbox = {.id = id,
                    .networks = ids,
                    .networks_count = NAMES_SANDBOX_NETWORKS_MAX,
                    .search = texts,
                    .search_count = RESOLVER_SEARCH_MAX,
                    .servers = {{{16, {1}}, 1, true}, {{16, {1}}, 1, true}, {{16, {1}}, 1, true}},
                    .servers_count = RESOLVER_UPSTREAMS_MAX},
    });
}
END_TEST

START_TEST(checks_say_what_is_wrong)
{
    struct err err = ERR_INIT;
    char id[FEED_ID_BYTES_MAX + 2];
    memset(id, 'i', sizeof id);
    id[sizeof id - 1] = '\0';
    ck_assert_int_eq(feed_check_id("thing", "", &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(feed_check_id("thing", id, &err), -ERR_INVALID_ARGUMENT);
    struct names_record record = {.endpoint = "e", .aliases_count = NAMES_ALIASES_MAX + 1};
    ck_assert_int_eq(feed_check_record(&record, &err), -ERR_RESOURCE_EXHAUSTED);
    record.aliases_count = 0;
    record.ips[0].size = 5;
    ck_assert_int_eq(feed_check_record(&record, &err), -ERR_INVALID_ARGUMENT);
    struct feed_sandbox sandbox = {.id = "s", .servers_count = 1};
    ck_assert_int_eq(feed_check_sandbox(&sandbox, &err), -ERR_INVALID_ARGUMENT);
    sandbox.servers[0] = (struct feed_server){{4, {1}}, 53, false};
    ck_assert_int_eq(feed_check_sandbox(&sandbox, &err), 0);
    sandbox.servers_count = RESOLVER_UPSTREAMS_MAX + 1;
    ck_assert_int_eq(feed_check_sandbox(&sandbox, &err), -ERR_RESOURCE_EXHAUSTED);
}
END_TEST

// No message reads once a byte is missing or added.
START_TEST(cut_and_padded_are_refused)
{
    const char *const networks[] = {"n1"};
    feed_pack(&packed, &(struct feed_message){.type = FEED_SANDBOX_PUT,
                                              .sandbox = {.id = "s1",
                                                          .networks = networks,
                                                          .networks_count = 1,
                                                          .servers = {{{4, {1}}, 53, false}},
                                                          .servers_count = 1}});
    size_t whole = packed.len;
    for (packed.len = 0; packed.len < whole; packed.len++)
        ck_assert_int_eq(parse(FEED_SANDBOX_PUT), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(parse(FEED_SANDBOX_PUT), 0);
    buf_put_u8(&packed, 0);
    ck_assert_int_eq(parse(FEED_SANDBOX_PUT), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(parse(31), -ERR_INVALID_ARGUMENT);
}
END_TEST

Suite *suite_feed(void);

Suite *suite_feed(void)
{
    Suite *suite = suite_create("feed");
    TCase *tcase = tcase_create("feed");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, record_reads_back);
    tcase_add_test(tcase, sandbox_reads_back);
    tcase_add_test(tcase, short_messages_read_back);
    tcase_add_test(tcase, long_names_are_none);
    tcase_add_test(tcase, largest_fit);
    tcase_add_test(tcase, checks_say_what_is_wrong);
    tcase_add_test(tcase, cut_and_padded_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
