// Text codecs agree with published vectors and refuse what they do not write.
#include <check.h>
#include <string.h>

#include "proto/base/codec.h"
#include "proto/base/id.h"

START_TEST(base36_pads_to_its_width_and_refuses_what_does_not_fit)
{
    char out[8];
    ck_assert(base36_encode("\x00\x23", 2, out, 4)); // 35
    ck_assert_str_eq(out, "000z");
    ck_assert(base36_encode("\x05\x0f", 2, out, 2)); // 36 * 36 - 1
    ck_assert_str_eq(out, "zz");
    ck_assert(!base36_encode("\x05\x10", 2, out, 2)); // 36 * 36
    ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(base36_round_trips)
{
    unsigned char bytes[32], back[32];
    struct rand rand;
    rand_init(&rand, 36);
    for (int round = 0; round < 200; round++) {
        rand_bytes(&rand, bytes, sizeof bytes);
        char text[51];
        ck_assert(base36_encode(bytes, sizeof bytes, text, 50)); // a token's digest
        ck_assert_uint_eq(strlen(text), 50);
        ck_assert(base36_decode(text, 50, back, sizeof back));
        ck_assert_mem_eq(bytes, back, sizeof bytes);
    }
    // Of every length, in just as many digits as it takes, and not in fewer.
    for (size_t size = 1; size <= sizeof bytes; size++) {
        char text[56], less[56];
        memset(bytes, 0xff, size);
        size_t width = 1;
        while (!base36_encode(bytes, size, text, width))
            width++;
        ck_assert(text[0] != '0');
        ck_assert(base36_decode(text, width, back, size));
        ck_assert_mem_eq(bytes, back, size);
        ck_assert(!base36_encode(bytes, size, less, width - 1));
        ck_assert(base36_encode(bytes, size, less, width + 1));
        ck_assert_str_eq(less + 1, text);
    }
    ck_assert(!base36_decode("ABC", 3, back, sizeof back));
    ck_assert(!base36_decode("zzzz", 4, back, 1));
}
END_TEST

static const struct {
    const char *plain, *std, *std_raw;
} vectors[] = {
    // RFC 4648 section 10
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+", "+//+"},
};

static void check_base64(enum base64_kind kind, const char *plain, const char *text)
{
    struct buf buf;
    buf_init(&buf, 1024);
    base64_encode(kind, plain, strlen(plain), &buf);
    ck_assert_str_eq(buf_cstr(&buf), text);
    ck_assert_uint_eq(base64_length(kind, strlen(plain)), strlen(text));
    buf_clear(&buf);
    ck_assert(base64_decode(kind, text, strlen(text), &buf));
    ck_assert_str_eq(buf_cstr(&buf), plain);
    buf_fini(&buf);
}

START_TEST(base64_agrees_with_its_rfc)
{
    check_base64(BASE64_STD, vectors[_i].plain, vectors[_i].std);
    check_base64(BASE64_STD_RAW, vectors[_i].plain, vectors[_i].std_raw);
}
END_TEST

START_TEST(base64_url_uses_its_own_letters)
{
    check_base64(BASE64_URL, "\xfb\xff\xfe\xfb", "-__--w==");
    check_base64(BASE64_URL_RAW, "\xfb\xff\xfe\xfb", "-__--w");
}
END_TEST

static const char *const bad_base64[] = {
    "Zg=", "Zg", "Zg===", "Z", "Zh==", "Zm9=", "Zm 9", "-__-", "Zg==Zg==", "====",
};

START_TEST(base64_refuses_what_it_would_not_write)
{
    struct buf buf;
    buf_init(&buf, 1024);
    buf_put_str(&buf, "kept");
    ck_assert(!base64_decode(BASE64_STD, bad_base64[_i], strlen(bad_base64[_i]), &buf));
    ck_assert_str_eq(buf_cstr(&buf), "kept");
    buf_fini(&buf);
}
END_TEST

START_TEST(hex_takes_both_cases_and_exact_lengths)
{
    char text[9];
    ck_assert_str_eq(hex_encode("\xde\xad\xbe\xef", 4, text), "deadbeef");
    unsigned char back[4];
    ck_assert(hex_decode("DEADbeef", 8, back, 4));
    ck_assert_mem_eq(back, "\xde\xad\xbe\xef", 4);
    ck_assert(!hex_decode("deadbee", 7, back, 4));
    ck_assert(!hex_decode("deadbeef", 8, back, 3));
    ck_assert(!hex_decode("deadbeeg", 8, back, 4));
}
END_TEST

START_TEST(ids_have_25_characters_and_repeat_with_their_seed)
{
    struct rand a, b;
    rand_init(&a, 1);
    rand_init(&b, 1);
    for (int i = 0; i < 1000; i++) {
        struct id one = id_from_rand(&a), two = id_from_rand(&b);
        ck_assert(id_valid(one.text));
        ck_assert_str_eq(one.text, two.text);
    }
    unsigned char low[ID_RANDOM_BYTES] = {0}, high[ID_RANDOM_BYTES];
    memset(high, 0xff, sizeof high);
    ck_assert(id_valid(id_from_random(low).text));
    ck_assert(id_valid(id_from_random(high).text));
    ck_assert(!id_valid("short"));
    ck_assert(!id_valid("ABCDEFGHIJKLMNOPQRSTUVWXY"));
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

Suite *suite_codec(void);
Suite *suite_codec(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("codec");
    tcase_add_test(tcase, base36_pads_to_its_width_and_refuses_what_does_not_fit);
    tcase_add_test(tcase, base36_round_trips);
    tcase_add_loop_test(tcase, base64_agrees_with_its_rfc, 0, COUNT(vectors));
    tcase_add_test(tcase, base64_url_uses_its_own_letters);
    tcase_add_loop_test(tcase, base64_refuses_what_it_would_not_write, 0, COUNT(bad_base64));
    tcase_add_test(tcase, hex_takes_both_cases_and_exact_lengths);
    tcase_add_test(tcase, ids_have_25_characters_and_repeat_with_their_seed);
    suite_add_tcase(suite, tcase);
    return suite;
}
