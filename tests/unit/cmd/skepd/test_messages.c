#include <check.h>
#include <string.h>

#include "cmd/skepd/messages.h"
#include "proto/base/check.h"

START_TEST(names_and_what_they_stand_for_come_over)
{
    struct message_lookup lookup = {.id = 7, .name = "ca.example"}, asked;
    struct message_found found = {.id = 7, .count = 2}, got;
    static const uint8_t ip[16] = {10, 0, 0, 1};
    struct buf out;
    buf_init(&out, 4096);
    message_lookup_pack(&out, &lookup);
    ck_assert_int_eq(message_lookup_parse(out.data, out.len, &asked, NULL), 0);
    ck_assert_uint_eq(asked.id, 7);
    ck_assert_str_eq(asked.name, "ca.example");
    static const char *const bad[] = {"", "\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0a b",
                                      "\0\0\0\0\0\0\0\0a/b", "\0\0\0\0\0\0\0\0a\0b"};
    static const size_t sizes[] = {0, 8, 11, 11, 11};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_int_lt(message_lookup_parse(bad[i], sizes[i], &asked, NULL), 0);
    buf_clear(&out);
    found.addrs[0] = addr_of_ip(ip, 4, 0);
    found.addrs[1] = addr_of_ip(ip, 16, 0);
    message_found_pack(&out, &found);
    ck_assert_int_eq(message_found_parse(out.data, out.len, &got, NULL), 0);
    ck_assert_uint_eq(got.count, 2);
    ck_assert_str_eq(got.addrs[0].host, "10.0.0.1");
    ck_assert_int_eq(got.addrs[1].kind, ADDR_IP6);
    for (size_t i = 0; i < out.len; i++)
        ck_assert_int_lt(message_found_parse(out.data, i, &got, NULL), 0);
    buf_clear(&out);
    found.count = 0;
    err_set(&found.why, ERR_UNAVAILABLE, "no such name");
    message_found_pack(&out, &found);
    ck_assert_int_eq(message_found_parse(out.data, out.len, &got, NULL), 0);
    ck_assert_uint_eq(got.count, 0);
    ck_assert_str_eq(got.why.message, "no such name");
    buf_fini(&out);
}
END_TEST

Suite *suite_messages(void);

static struct buf packed;

static void setup(void)
{
    buf_init(&packed, MESSAGE_START_BYTES_MIN + MESSAGE_CONFIG_BYTES_MAX);
}

static void teardown(void)
{
    buf_fini(&packed);
}

static const struct message_start sample = {
    .uid = 61180,
    .gid = 61181,
    .log_level = LOG_WARN,
    .log_format = LOG_JSON,
    .config = (const uint8_t *)"{}",
    .config_bytes = 2,
};

static int parse_start(struct message_start *out)
{
    return message_start_parse(packed.data, packed.len, out, NULL);
}

// Goal: the start message arrives as it was sent.
START_TEST(start_round_trips)
{
    struct message_start got;
    message_start_pack(&packed, &sample);
    ck_assert_uint_eq(packed.len, MESSAGE_START_BYTES_MIN + 2);
    ck_assert_int_eq(parse_start(&got), 0);
    ck_assert_uint_eq(got.uid, sample.uid);
    ck_assert_uint_eq(got.gid, sample.gid);
    ck_assert_int_eq(got.log_level, LOG_WARN);
    ck_assert_int_eq(got.log_format, LOG_JSON);
    ck_assert_uint_eq(got.config_bytes, 2);
    ck_assert_mem_eq(got.config, "{}", 2);
}
END_TEST

// Goal: no message makes a process root, is of another layout, cut, or out of range.
START_TEST(start_refuses_what_is_wrong)
{
    struct message_start got;
    const struct {
        size_t at;
        uint8_t value;
        size_t count; // bytes set
    } breaks[] = {{3, 2, 1}, {4, 0, 4}, {8, 0, 4}, {12, LOG_ERROR + 1, 1}, {13, LOG_JSON + 1, 1}};
    for (size_t i = 0; i < sizeof breaks / sizeof breaks[0]; i++) {
        buf_clear(&packed);
        message_start_pack(&packed, &sample);
        memset(packed.data + breaks[i].at, breaks[i].value, breaks[i].count);
        ck_assert_int_eq(parse_start(&got), -ERR_INVALID_ARGUMENT);
    }
    ck_assert_int_eq(message_start_parse(packed.data, MESSAGE_START_BYTES_MIN - 1, &got, NULL),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

// Goal: nobody packs a start message that makes root.
START_TEST(start_as_root_is_a_broken_promise)
{
    struct message_start root = sample;
    root.uid = 0;
    message_start_pack(&packed, &root);
}
END_TEST

// Goal: what a process says of its confinement arrives, and nothing else is taken for it.
START_TEST(ready_round_trips)
{
    struct message_ready got;
    message_ready_pack(&packed, &(struct message_ready){.seccomp = true, .landlock = 3});
    ck_assert_uint_eq(packed.len, MESSAGE_READY_BYTES);
    ck_assert_int_eq(message_ready_parse(packed.data, packed.len, &got, NULL), 0);
    ck_assert(got.seccomp);
    ck_assert_uint_eq(got.landlock, 3);
    ck_assert_int_eq(message_ready_parse("\2\1", 2, &got, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(message_ready_parse("\1", 1, &got, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(message_ready_parse("\1\1\1", 3, &got, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

// Goal: only levels are log levels.
START_TEST(log_level_is_checked)
{
    enum log_level level;
    ck_assert(message_log_parse("\2", 1, &level));
    ck_assert_int_eq(level, LOG_WARN);
    ck_assert(!message_log_parse("\4", 1, &level));
    ck_assert(!message_log_parse("", 0, &level));
    ck_assert(!message_log_parse("\1\1", 2, &level));
}
END_TEST

// Goal: an error comes out as it went in, and nothing else comes out as one.
START_TEST(messages_carry_errors)
{
    struct err why = ERR_INIT, again = ERR_INIT;
    struct buf out;
    err_set(&why, ERR_NOT_FOUND, "removed");
    buf_init(&out, ERR_MESSAGE_BYTES + 1);
    message_err_pack(&out, &why);
    ck_assert_int_eq(message_err_parse(out.data, out.len, &again, NULL), 0);
    ck_assert_int_eq(again.code, ERR_NOT_FOUND);
    ck_assert_str_eq(again.message, "removed");
    buf_fini(&out);
    ck_assert_int_lt(message_err_parse("", 0, &again, NULL), 0);
    ck_assert_int_lt(message_err_parse("\0text", 5, &again, NULL), 0);
    ck_assert_int_lt(message_err_parse("\x63text", 5, &again, NULL), 0);
    ck_assert_int_lt(message_err_parse("\x05te\0xt", 6, &again, NULL), 0);
}
END_TEST

// Goal: a lock comes out as it went in, with or without a key, and nothing else comes out as one.
START_TEST(messages_carry_locks)
{
    struct message_lock lock = {.version = UINT64_C(0x0102030405060708), .locked = true}, again;
    struct buf out;
    memset(lock.key, 9, sizeof lock.key);
    buf_init(&out, MESSAGE_LOCK_BYTES_MIN + LOCK_KEY_BYTES);
    message_lock_pack(&out, &lock);
    ck_assert_int_eq(message_lock_parse(out.data, out.len, &again, NULL), 0);
    ck_assert_uint_eq(again.version, lock.version);
    ck_assert(again.locked);
    ck_assert_mem_eq(again.key, lock.key, sizeof lock.key);
    ck_assert_int_lt(message_lock_parse(out.data, out.len - 1, &again, NULL), 0);
    buf_clear(&out);
    lock.locked = false;
    message_lock_pack(&out, &lock);
    ck_assert_int_eq(message_lock_parse(out.data, out.len, &again, NULL), 0);
    ck_assert_uint_eq(again.version, lock.version);
    ck_assert(!again.locked);
    ck_assert_int_lt(message_lock_parse("", 0, &again, NULL), 0);
    buf_fini(&out);
}
END_TEST

Suite *suite_messages(void)
{
    Suite *suite = suite_create("messages");
    TCase *tcase = tcase_create("messages");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, start_round_trips);
    tcase_add_test(tcase, start_refuses_what_is_wrong);
    tcase_add_test_raise_signal(tcase, start_as_root_is_a_broken_promise, 6);
    tcase_add_test(tcase, ready_round_trips);
    tcase_add_test(tcase, log_level_is_checked);
    tcase_add_test(tcase, messages_carry_errors);
    tcase_add_test(tcase, messages_carry_locks);
    tcase_add_test(tcase, names_and_what_they_stand_for_come_over);
    suite_add_tcase(suite, tcase);
    return suite;
}
