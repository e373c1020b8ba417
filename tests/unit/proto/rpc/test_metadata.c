// Metadata sets, and header fields in and out.
#include <check.h>
#include <string.h>

#include "proto/rpc/head.h"

static struct arena arena;

static void begin(void)
{
    arena_init(&arena, 1 << 20);
}

static void end(void)
{
    arena_fini(&arena);
}

START_TEST(keys_repeat_and_keep_their_order)
{
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    ck_assert(metadata_add(&metadata, "a", "1"));
    ck_assert(metadata_add(&metadata, "b", "2"));
    ck_assert(metadata_add(&metadata, "a", "3"));
    ck_assert_uint_eq(metadata_values(&metadata, "a"), 2);
    ck_assert_str_eq(metadata_at(&metadata, "a", 1)->value, "3");
    ck_assert_ptr_null(metadata_at(&metadata, "a", 2));
    metadata_remove(&metadata, "a");
    ck_assert_ptr_null(metadata_get(&metadata, "a"));
    ck_assert_str_eq(metadata_get(&metadata, "b"), "2");
    ck_assert_uint_eq(metadata.bytes, 2);
}
END_TEST

START_TEST(bad_keys_and_values_are_refused)
{
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    ck_assert(!metadata_add(&metadata, "", "1"));
    ck_assert(!metadata_add(&metadata, "Key", "1"));
    ck_assert(!metadata_add(&metadata, "k y", "1"));
    ck_assert(!metadata_add(&metadata, "key", "a\nb"));
    ck_assert(!metadata_add(&metadata, "key", "\xc3\xa9"));
    ck_assert(metadata_add_bytes(&metadata, "key-bin", "\0\xff", 2));
    ck_assert_uint_eq(metadata.count, 1);
}
END_TEST

START_TEST(sets_have_limits)
{
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    for (int i = 0; i < METADATA_ENTRIES_MAX; i++)
        ck_assert(metadata_add(&metadata, "k", "v"));
    ck_assert(!metadata_add(&metadata, "k", "v"));
    static char big[METADATA_BYTES_MAX];
    memset(big, 'v', sizeof big - 1);
    metadata_init(&metadata, &arena);
    ck_assert(!metadata_add(&metadata, "key", big));
    ck_assert(metadata_add(&metadata, "k", big));
    ck_assert(!metadata_add(&metadata, "k", ""));
}
END_TEST

static void feed(struct head *head, struct metadata *metadata, const char *name, const char *value)
{
    struct h2_field field = {name, value, strlen(name), strlen(value)};
    head_field(head, metadata, &field);
}

START_TEST(fields_go_to_their_places)
{
    struct head head = {0};
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    feed(&head, &metadata, ":method", "POST");
    feed(&head, &metadata, ":path", "/a/b");
    feed(&head, &metadata, ":authority", "x");
    feed(&head, &metadata, "te", "trailers");
    feed(&head, &metadata, "user-agent", "x");
    feed(&head, &metadata, "content-type", "application/grpc+proto");
    feed(&head, &metadata, "grpc-timeout", "5S");
    feed(&head, &metadata, "grpc-encoding", "identity");
    feed(&head, &metadata, "grpc-accept-encoding", "gzip");
    feed(&head, &metadata, "redirect", "1.2.3.4:5");
    feed(&head, &metadata, "x-bin", "AAE,Ag==,!!");
    ck_assert(head.is_post && head.is_grpc && head.has_timeout);
    ck_assert(!head.bad_timeout && !head.overflow);
    ck_assert_ptr_null(head.encoding);
    ck_assert_int_eq(head.timeout_ns, 5000000000);
    ck_assert_str_eq(head.path, "/a/b");
    ck_assert_uint_eq(metadata.count, 3);
    ck_assert_str_eq(metadata_get(&metadata, "redirect"), "1.2.3.4:5");
    ck_assert_uint_eq(metadata_at(&metadata, "x-bin", 0)->size, 2);
    ck_assert_uint_eq(metadata_at(&metadata, "x-bin", 1)->size, 1);
}
END_TEST

START_TEST(what_is_no_grpc_is_seen)
{
    static const char *const types[] = {"", "text/html", "application/grpcx", "application/grp"};
    for (size_t i = 0; i < 4; i++) {
        struct head head = {0};
        struct metadata metadata;
        metadata_init(&metadata, &arena);
        feed(&head, &metadata, "content-type", types[i]);
        feed(&head, &metadata, "grpc-timeout", "5 S");
        feed(&head, &metadata, "grpc-encoding", "gzip");
        ck_assert(!head.is_grpc && head.bad_timeout && !head.has_timeout);
        ck_assert_str_eq(head.encoding, "gzip");
    }
}
END_TEST

START_TEST(statuses_come_back_as_they_were_sent)
{
    static const uint8_t details[] = {0, 255, 7};
    struct rpc_status status = rpc_status_make(ERR_ABORTED, "50%% off: é");
    status.details = details;
    status.details_size = sizeof details;
    struct head_fields fields;
    head_make_trailers(&status, NULL, true, 200, &arena, &fields);
    struct head head = {0};
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    for (size_t i = 0; i < fields.count; i++)
        head_field(&head, &metadata, &fields.list[i]);
    ck_assert_uint_eq(head.http_status, 200);
    ck_assert(head.is_grpc && head.has_status);
    ck_assert_int_eq(head.status, ERR_ABORTED);
    ck_assert_str_eq(head.message, "50% off: é");
    ck_assert_uint_eq(head.details_size, 3);
    ck_assert_mem_eq(head.details, details, 3);
}
END_TEST

START_TEST(codes_map_as_grpc_says)
{
    ck_assert_int_eq(rpc_status_parse_code("0", 1), ERR_OK);
    ck_assert_int_eq(rpc_status_parse_code("16", 2), ERR_UNAUTHENTICATED);
    ck_assert_int_eq(rpc_status_parse_code("17", 2), ERR_UNKNOWN);
    ck_assert_int_eq(rpc_status_parse_code("", 0), ERR_UNKNOWN);
    ck_assert_int_eq(rpc_status_parse_code("-1", 2), ERR_UNKNOWN);
    ck_assert_int_eq(rpc_status_of_http(404), ERR_UNIMPLEMENTED);
    ck_assert_int_eq(rpc_status_of_http(503), ERR_UNAVAILABLE);
    ck_assert_int_eq(rpc_status_of_http(500), ERR_UNKNOWN);
    ck_assert_int_eq(rpc_status_of_reset(8), ERR_CANCELLED);
    ck_assert_int_eq(rpc_status_of_reset(7), ERR_UNAVAILABLE);
    ck_assert_int_eq(rpc_status_of_reset(2), ERR_INTERNAL);
}
END_TEST

Suite *suite_metadata(void);
Suite *suite_metadata(void)
{
    Suite *suite = suite_create("metadata");
    TCase *fields = tcase_create("fields");
    tcase_add_checked_fixture(fields, begin, end);
    tcase_add_test(fields, keys_repeat_and_keep_their_order);
    tcase_add_test(fields, bad_keys_and_values_are_refused);
    tcase_add_test(fields, sets_have_limits);
    tcase_add_test(fields, fields_go_to_their_places);
    tcase_add_test(fields, what_is_no_grpc_is_seen);
    tcase_add_test(fields, statuses_come_back_as_they_were_sent);
    tcase_add_test(fields, codes_map_as_grpc_says);
    suite_add_tcase(suite, fields);
    return suite;
}
