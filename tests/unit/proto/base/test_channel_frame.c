#include <check.h>
#include <string.h>

#include "proto/base/channel_frame.h"
#include "proto/base/check.h"

Suite *suite_channel_frame(void);

static const struct channel_rule rules[] = {
    {.type = 1, .name = "stop"},
    {.type = 7, .name = "listener", .bytes_min = 2, .bytes_max = 8, .fds_min = 1, .fds_max = 2},
};
static const struct channel_rules table = {rules, COUNT_OF(rules)};

// Packs a message and parses it as if `fds_count` descriptors had come.
static int round_trip(uint16_t type, size_t fds_said, const char *payload, size_t fds_count,
                      struct channel_frame *frame)
{
    static struct buf packet;
    buf_fini(&packet);
    buf_init(&packet, 4096);
    channel_frame_pack(&packet, type, fds_said, payload, strlen(payload));
    return channel_frame_parse(packet.data, packet.len, fds_count, &table, frame, NULL);
}

// Goal: what one side packs, the other reads.
START_TEST(frame_round_trips)
{
    struct channel_frame frame;
    ck_assert_int_eq(round_trip(7, 2, "2377", 2, &frame), 0);
    ck_assert_uint_eq(frame.type, 7);
    ck_assert_uint_eq(frame.fds_count, 2);
    ck_assert_uint_eq(frame.payload_bytes, 4);
    ck_assert_mem_eq(frame.payload, "2377", 4);
    ck_assert_int_eq(round_trip(1, 0, "", 0, &frame), 0);
    ck_assert_uint_eq(frame.payload_bytes, 0);
}
END_TEST

// Goal: what no rule allows is refused, each with its own code.
START_TEST(frame_refuses_what_the_rules_do)
{
    struct channel_frame frame;
    ck_assert_int_eq(round_trip(2, 0, "", 0, &frame), -ERR_UNIMPLEMENTED);
    ck_assert_int_eq(round_trip(1, 0, "x", 0, &frame), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(round_trip(7, 1, "x", 1, &frame), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(round_trip(7, 1, "123456789", 1, &frame), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(round_trip(7, 0, "2377", 0, &frame), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(round_trip(7, 3, "2377", 3, &frame), -ERR_OUT_OF_RANGE);
}
END_TEST

// Goal: descriptors that came must be the ones the message speaks of.
START_TEST(frame_refuses_other_descriptors)
{
    struct channel_frame frame;
    ck_assert_int_eq(round_trip(7, 2, "2377", 1, &frame), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(round_trip(7, 1, "2377", 2, &frame), -ERR_OUT_OF_RANGE);
}
END_TEST

// Goal: packets whose length is not what they say are no messages.
START_TEST(frame_refuses_wrong_lengths)
{
    struct channel_frame frame;
    const uint8_t cut[] = {0, 1, 0, 0, 0, 0, 0};
    const uint8_t more[] = {0, 1, 0, 0, 0, 0, 0, 0, 9};
    const uint8_t less[] = {0, 7, 0, 1, 0, 0, 0, 4, 'a', 'b'};
    const uint8_t huge[] = {0, 7, 0, 1, 0xff, 0xff, 0xff, 0xff, 'a', 'b'};
    ck_assert_int_eq(channel_frame_parse(cut, sizeof cut, 0, &table, &frame, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(channel_frame_parse(more, sizeof more, 0, &table, &frame, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(channel_frame_parse(less, sizeof less, 1, &table, &frame, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(channel_frame_parse(huge, sizeof huge, 1, &table, &frame, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(channel_frame_parse("", 0, 0, &table, &frame, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

// Goal: who sends beyond the limits is wrong, not unlucky.
START_TEST(frame_too_large_is_a_broken_promise)
{
    struct buf packet;
    buf_init(&packet, 1024);
    channel_frame_pack(&packet, 1, CHANNEL_FDS_MAX + 1, "", 0);
}
END_TEST

Suite *suite_channel_frame(void)
{
    Suite *suite = suite_create("channel_frame");
    TCase *tcase = tcase_create("frame");
    tcase_add_test(tcase, frame_round_trips);
    tcase_add_test(tcase, frame_refuses_what_the_rules_do);
    tcase_add_test(tcase, frame_refuses_other_descriptors);
    tcase_add_test(tcase, frame_refuses_wrong_lengths);
    tcase_add_test_raise_signal(tcase, frame_too_large_is_a_broken_promise, 6);
    suite_add_tcase(suite, tcase);
    return suite;
}
