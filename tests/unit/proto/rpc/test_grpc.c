// Frames cut anywhere, percent-encoding, timeouts.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/rpc/grpc.h"

START_TEST(frames_survive_any_cut)
{
    static const uint8_t stream[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0,  0,
                                     0, 0, 0, 0, 0, 0,   0,   1,   'z'};
    static const char *const wanted[] = {"abc", "", "z"};
    for (size_t cut = 1; cut <= sizeof stream; cut++) {
        struct grpc_reader reader;
        grpc_reader_init(&reader, 100);
        size_t found = 0;
        for (size_t at = 0; at < sizeof stream; at += cut) {
            const uint8_t *bytes = stream + at;
            size_t size = sizeof stream - at < cut ? sizeof stream - at : cut;
            struct err err = ERR_INIT;
            while (grpc_reader_feed(&reader, &bytes, &size, &err) == 1) {
                size_t got;
                uint8_t *message = grpc_reader_take(&reader, &got);
                ck_assert_uint_lt(found, 3);
                ck_assert_uint_eq(got, strlen(wanted[found]));
                ck_assert_mem_eq(message, wanted[found], got);
                free(message);
                found++;
            }
            ck_assert_int_eq(err.code, ERR_OK);
        }
        ck_assert_uint_eq(found, 3);
        ck_assert(grpc_reader_idle(&reader));
        grpc_reader_fini(&reader);
    }
}
END_TEST

static void refuses(const uint8_t prefix[5], size_t limit, enum err_code code, const char *text)
{
    struct grpc_reader reader;
    grpc_reader_init(&reader, limit);
    size_t size = 5;
    struct err err = ERR_INIT;
    ck_assert_int_eq(grpc_reader_feed(&reader, &prefix, &size, &err), -(int)code);
    ck_assert_str_eq(err.message, text);
    grpc_reader_fini(&reader);
}

START_TEST(bad_prefixes_are_refused)
{
    refuses((const uint8_t[]){0, 0, 0, 0, 101}, 100, ERR_RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (101 vs. 100)");
    refuses((const uint8_t[]){0, 255, 255, 255, 255}, 100, ERR_RESOURCE_EXHAUSTED,
            "grpc: received message larger than max (4294967295 vs. 100)");
    refuses((const uint8_t[]){1, 0, 0, 0, 1}, 100, ERR_INTERNAL,
            "grpc: compressed flag set with identity or empty encoding");
    refuses((const uint8_t[]){7, 0, 0, 0, 1}, 100, ERR_INTERNAL,
            "grpc: received unexpected payload format 7");
}
END_TEST

static void encodes(const char *text, const char *wanted)
{
    struct buf out, back;
    buf_init(&out, 1000);
    buf_init(&back, 1000);
    grpc_percent_encode(text, strlen(text), &out);
    ck_assert_str_eq(buf_cstr(&out), wanted);
    grpc_percent_decode(wanted, strlen(wanted), &back);
    ck_assert_str_eq(buf_cstr(&back), text);
    buf_fini(&out);
    buf_fini(&back);
}

START_TEST(messages_are_percent_encoded)
{
    encodes("", "");
    encodes("plain ~ text", "plain ~ text");
    encodes("100%", "100%25");
    encodes("a\nb\x7f", "a%0Ab%7F");
    encodes("é", "%C3%A9");
}
END_TEST

START_TEST(broken_percent_encoding_stays_as_it_is)
{
    static const char *const rows[][2] = {
        {"100%", "100%"}, {"%2", "%2"}, {"%zz", "%zz"}, {"%00x", "x"}, {"%c3%A9", "é"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 100);
        grpc_percent_decode(rows[i][0], strlen(rows[i][0]), &out);
        ck_assert_str_eq(buf_cstr(&out), rows[i][1]);
        buf_fini(&out);
    }
}
END_TEST

START_TEST(timeouts_are_written_in_eight_digits)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {-5, "0n"},
        {0, "0n"},
        {1, "1n"},
        {99999999, "99999999n"},
        {100000000, "100000u"},
        {100000001, "100001u"}, // never shorter than asked for
        {2000000000, "2000000u"},
        {INT64_C(100) * 3600 * 1000000000, "360000S"},
        {INT64_MAX, "2562048H"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[GRPC_TIMEOUT_BYTES];
        grpc_timeout_format(rows[i].ns, out);
        int64_t back;
        ck_assert(grpc_timeout_parse(out, strlen(out), &back));
        ck_assert_int_ge(back, rows[i].ns);
        if (i < 7)
            ck_assert_str_eq(out, rows[i].text);
    }
}
END_TEST

START_TEST(timeouts_are_read_strictly)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"1n", 1},
                {"2u", 2000},
                {"3m", 3000000},
                {"4S", 4000000000},
                {"5M", 300000000000},
                {"99999999H", INT64_MAX},
                {"00000001S", 1000000000}};
    static const char *const bad[] = {"",    "n",   "1",    "1s",         "-1S", "+1S",
                                      " 1S", "1 S", "1.5S", "123456789S", "1SS"};
    int64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert(grpc_timeout_parse(good[i].text, strlen(good[i].text), &ns));
        ck_assert_int_eq(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!grpc_timeout_parse(bad[i], strlen(bad[i]), &ns), "%s", bad[i]);
}
END_TEST

Suite *suite_grpc(void);
Suite *suite_grpc(void)
{
    Suite *suite = suite_create("grpc");
    TCase *framing = tcase_create("framing");
    tcase_add_test(framing, frames_survive_any_cut);
    tcase_add_test(framing, bad_prefixes_are_refused);
    tcase_add_test(framing, messages_are_percent_encoded);
    tcase_add_test(framing, broken_percent_encoding_stays_as_it_is);
    tcase_add_test(framing, timeouts_are_written_in_eight_digits);
    tcase_add_test(framing, timeouts_are_read_strictly);
    suite_add_tcase(suite, framing);
    return suite;
}
