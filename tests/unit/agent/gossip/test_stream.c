// Frames on TCP are bound to their header, and what they hold meets limits before memory is taken.
#include <check.h>
#include <string.h>

#include "agent/gossip/stream.h"
#include "tests/unit/agent/gossip/ring.h"

#define ACK "02 82 a75061796c6f6164 c0 a55365714e6f 07"
#define ACK_TCP                                                                                    \
    "0a 0000002f 01 101112131415161718191a1b c6aca4ff6e36da8076b99d5094429a7055bb"                 \
    "9a8efd82bf48a848ac35de9cd21ed2fd"

START_TEST(a_frame_has_memberlists_bytes)
{
    struct keyring *ring = ring_golden();
    struct buf ack = bytes_of(ACK), frame, plain;
    buf_init(&frame, 4096);
    buf_init(&plain, 4096);
    stream_seal(ring, nonce_golden, false, ack.data, ack.len, &frame);
    ASSERT_BYTES(&frame, ACK_TCP);
    ck_assert_int_eq(stream_unseal(ring, frame.data, frame.len, &plain, NULL), 0);
    ASSERT_BYTES(&plain, ACK);
    size_t frame_size;
    for (size_t size = 0; size <= frame.len; size++) {
        ck_assert_int_eq(stream_frame_size(frame.data, size, &frame_size, NULL), 0);
        ck_assert_uint_eq(frame_size, size < STREAM_HEADER_BYTES ? 0 : frame.len);
        if (size < frame.len)
            ck_assert_int_lt(stream_unseal(ring, frame.data, size, &plain, NULL), 0);
    }
    buf_clear(&frame); // compressed, into too small a buffer, then into a fitting one
    buf_clear(&plain);
    stream_seal(ring, nonce_golden, true, ack.data, ack.len, &frame);
    struct buf tight;
    buf_init(&tight, ack.len - 1);
    ck_assert_int_eq(stream_unseal(ring, frame.data, frame.len, &tight, NULL),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(stream_unseal(ring, frame.data, frame.len, &plain, NULL), 0);
    ASSERT_BYTES(&plain, ACK);
    buf_fini(&tight);
    buf_fini(&ack);
    buf_fini(&frame);
    buf_fini(&plain);
    keyring_free(ring);
}
END_TEST

START_TEST(bad_headers_are_refused)
{
    size_t size;
    ck_assert_int_eq(stream_frame_size("\x06", 1, &size, NULL), -ERR_UNAUTHENTICATED);
    ck_assert_int_eq(stream_frame_size("\xf4\x01", 2, &size, NULL), -ERR_UNAUTHENTICATED);
    ck_assert_int_eq(stream_frame_size("\x0a\xff\xff\xff\xff", 5, &size, NULL),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(stream_frame_size("\x0a\x01\x40\x00\x01", 5, &size, NULL),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(stream_frame_size("\x0a\x01\x40\x00\x00", 5, &size, NULL), 0);
    ck_assert_int_eq(stream_frame_size("\x0a\x00\x00\x00\x1d", 5, &size, NULL),
                     -ERR_UNAUTHENTICATED);
}
END_TEST

static int parse(const char *hex, size_t arena_bytes)
{
    struct buf plain = bytes_of(hex);
    struct arena arena;
    struct push_pull out;
    arena_init(&arena, arena_bytes);
    int result = push_pull_parse(plain.data, plain.len, &arena, &out, NULL);
    arena_fini(&arena);
    buf_fini(&plain);
    return result;
}

START_TEST(push_pulls_lie_about_nothing)
{
#define HEADER(nodes, user) "06 82 a54e6f646573 " nodes " ac5573657253746174654c656e " user
    ck_assert_int_eq(parse(HEADER("02", "03") "8080 616263", 4096), 0);
    ck_assert_int_eq(parse(HEADER("02", "04") "8080 616263", 4096), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(parse(HEADER("06", "00") "8080 616263", 4096), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(parse(HEADER("05", "00") "8080 616263", 4096), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(parse(HEADER("02", "03") "8080 616263", 64), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(parse(HEADER("ce00100001", "00"), 4096), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(parse(HEADER("00", "ce01400001"), 4096), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(parse(HEADER("00", "cfffffffffffffffff"), 4096), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(parse("0b 81 a55365714e6f 07", 4096), -ERR_INVALID_ARGUMENT);
    // A state beyond the four known.
    ck_assert_int_eq(parse(HEADER("01", "00") "81 a55374617465 04", 4096), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(user_messages_come_back)
{
    struct buf out;
    struct span user;
    buf_init(&out, 64);
    stream_write_user(span_text("hello"), &out);
    ASSERT_BYTES(&out, "08 81 aa557365724d73674c656e 05 68656c6c6f");
    ck_assert_int_eq(stream_parse_user(out.data, out.len, &user, NULL), 0);
    ck_assert_uint_eq(user.size, 5);
    ck_assert_mem_eq(user.at, "hello", 5);
    for (size_t size = 0; size < out.len; size++)
        ck_assert_int_eq(stream_parse_user(out.data, size, &user, NULL), -ERR_INVALID_ARGUMENT);
    buf_fini(&out);
}
END_TEST

Suite *suite_stream(void);
Suite *suite_stream(void)
{
    Suite *suite = suite_create("stream");
    TCase *tcase = tcase_create("stream");
    tcase_add_test(tcase, a_frame_has_memberlists_bytes);
    tcase_add_test(tcase, bad_headers_are_refused);
    tcase_add_test(tcase, push_pulls_lie_about_nothing);
    tcase_add_test(tcase, user_messages_come_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
