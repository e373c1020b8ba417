// Sealed records: both ciphers go both ways, and Fernet agrees with its published vector.
#include <check.h>
#include <string.h>

#include "proto/base/codec.h"
#include "proto/identity/record.h"
#include "tests/unit/proto/identity/vectors.h"

static const uint8_t key[RECORD_KEY_BYTES] = {1, 2, 3};
static const uint8_t wrong[RECORD_KEY_BYTES] = {1, 2, 4};

START_TEST(what_is_sealed_opens_with_its_key_only)
{
    enum record_algorithm algorithm = (enum record_algorithm)_i;
    for (size_t size = 0; size < 40; size++) {
        static const char text[40] = "0123456789abcdefghijklmnopqrstuvwxyzABC";
        struct buf sealed;
        struct buf plain;
        buf_init(&sealed, 4096);
        buf_init(&plain, 4096);
        record_seal(algorithm, key, text, size, vector_rng(), (struct wall){0}, &sealed);
        ck_assert_int_eq(record_open(key, sealed.data, sealed.len, &plain, NULL), 0);
        ck_assert_uint_eq(plain.len, size);
        if (size)
            ck_assert_mem_eq(plain.data, text, size);
        ck_assert_int_eq(record_open(wrong, sealed.data, sealed.len, &plain, NULL),
                         -ERR_UNAUTHENTICATED);
        ck_assert_int_eq(record_open(NULL, sealed.data, sealed.len, &plain, NULL),
                         -ERR_FAILED_PRECONDITION);
        // Any flipped bit of the payload is noticed.
        sealed.data[sealed.len / 2] ^= 1;
        ck_assert_int_ne(record_open(key, sealed.data, sealed.len, &plain, NULL), 0);
        ck_assert_uint_eq(plain.len, size);
        buf_fini(&sealed);
        buf_fini(&plain);
    }
}
END_TEST

START_TEST(records_in_clear_need_no_key)
{
    struct buf sealed;
    struct buf plain;
    buf_init(&sealed, 64);
    buf_init(&plain, 64);
    record_seal(RECORD_CLEAR, NULL, "abc", 3, vector_rng(), (struct wall){0}, &sealed);
    ck_assert_uint_eq(sealed.len, 5);
    ck_assert_mem_eq(sealed.data,
                     "\x12\x03"
                     "abc",
                     5);
    ck_assert_int_eq(record_open(NULL, sealed.data, sealed.len, &plain, NULL), 0);
    ck_assert_mem_eq(plain.data, "abc", 3);
    buf_fini(&sealed);
    buf_fini(&plain);
}
END_TEST

// generate.json and verify.json of the Fernet specification.
START_TEST(fernet_agrees_with_its_specification)
{
    static const char token[] =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVU"
        "PgJobwOz7JcbmrR64jVmpU4IwqDA==";
    struct buf secret;
    struct buf record;
    struct buf plain;
    buf_init(&secret, 64);
    buf_init(&record, 1024);
    buf_init(&plain, 64);
    ck_assert(
        base64_decode(BASE64_URL, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=", 44, &secret));
    buf_put(&record, "\x08\x02\x12", 3);
    buf_put_uvarint(&record, sizeof token - 1);
    buf_put_str(&record, token);
    ck_assert_int_eq(record_open(secret.data, record.data, record.len, &plain, NULL), 0);
    ck_assert_uint_eq(plain.len, 5);
    ck_assert_mem_eq(plain.data, "hello", 5);
    buf_fini(&secret);
    buf_fini(&record);
    buf_fini(&plain);
}
END_TEST

START_TEST(bytes_that_are_no_record_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"\x12\x04"
         "abc",
         5},
        {"\x08", 1},
        {"\x08\x03\x12\x00", 4},
        {"\x08\x01\x12\x00", 4},
        {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x08\x02\x12\x01?", 5},
        {"\x0b", 1}, // a group
        {"\x00", 1}, // field 0
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf plain;
        buf_init(&plain, 64);
        ck_assert_msg(record_open(key, rows[i].bytes, rows[i].size, &plain, NULL) ==
                          -ERR_INVALID_ARGUMENT,
                      "row %zu", i);
        ck_assert_uint_eq(plain.len, 0);
    }
}
END_TEST

START_TEST(fields_from_later_versions_are_skipped)
{
    struct buf plain;
    buf_init(&plain, 64);
    static const char bytes[] = "\x20\x01\x2a\x01x\x35"
                                "abcd\x39"
                                "abcdefgh\x12\x01y";
    ck_assert_int_eq(record_open(NULL, bytes, sizeof bytes - 1, &plain, NULL), 0);
    ck_assert_uint_eq(plain.len, 1);
    buf_fini(&plain);
}
END_TEST

Suite *suite_record(void);
Suite *suite_record(void)
{
    Suite *suite = suite_create("record");
    TCase *tcase = tcase_create("record");
    tcase_add_loop_test(tcase, what_is_sealed_opens_with_its_key_only, RECORD_SECRETBOX,
                        RECORD_FERNET + 1);
    tcase_add_test(tcase, records_in_clear_need_no_key);
    tcase_add_test(tcase, fernet_agrees_with_its_specification);
    tcase_add_test(tcase, bytes_that_are_no_record_are_refused);
    tcase_add_test(tcase, fields_from_later_versions_are_skipped);
    suite_add_tcase(suite, tcase);
    return suite;
}
