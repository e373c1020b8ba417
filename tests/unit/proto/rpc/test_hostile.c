// Peers that mean harm: each attack is bounded, and named after what made it known.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/proto/rpc/raw.h"

static void put_u32(uint8_t out[4], uint32_t value)
{
    out[0] = (uint8_t)(value >> 24);
    out[1] = (uint8_t)(value >> 16);
    out[2] = (uint8_t)(value >> 8);
    out[3] = (uint8_t)value;
}

static void put_reset(struct buf *out, uint32_t stream)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    raw_frame(out, RST_STREAM, 0, stream, cancel, sizeof cancel);
}

static void put_echo(struct buf *out, uint32_t stream)
{
    static const uint8_t message[] = {0, 0, 0, 0, 1, 'x'};
    raw_request(out, stream, "/t/Echo", END_HEADERS);
    raw_frame(out, DATA, END_STREAM, stream, message, sizeof message);
}

START_TEST(rapid_reset_cve_2023_44487_ends_after_200)
{
    struct victim victim;
    victim_init(&victim, NULL);
    unsigned resets = 0;
    for (uint32_t stream = 1; resets < 10000; stream += 2) {
        raw_request(&victim.in, stream, "/t/Hang", END_HEADERS);
        put_reset(&victim.in, stream);
        if (!victim_feed(&victim))
            break;
        resets++;
    }
    ck_assert_uint_le(resets, H2_RESETS_MAX);
    ck_assert_int_eq(victim_goaway(&victim), H2_ENHANCE_YOUR_CALM);
    ck_assert_uint_eq(victim.calls, victim.over);
    victim_fini(&victim);
}
END_TEST

START_TEST(rapid_reset_in_one_read_does_no_more_work)
{
    struct victim victim;
    victim_init(&victim, NULL);
    for (uint32_t i = 0; i < 10000; i++) {
        raw_request(&victim.in, 2 * i + 1, "/t/Hang", END_HEADERS);
        put_reset(&victim.in, 2 * i + 1);
    }
    ck_assert(!victim_feed(&victim));
    ck_assert_uint_le(victim.calls, H2_RESETS_MAX + 2);
    victim_fini(&victim);
}
END_TEST

START_TEST(resets_beside_served_requests_are_fine)
{
    struct victim victim;
    victim_init(&victim, NULL);
    uint32_t stream = 1;
    for (unsigned i = 0; i < 2000; i++, stream += 4) {
        put_echo(&victim.in, stream);
        raw_request(&victim.in, stream + 2, "/t/Hang", END_HEADERS);
        ck_assert(victim_feed(&victim));
        put_reset(&victim.in, stream + 2);
        ck_assert(victim_feed(&victim));
        buf_clear(&victim.out);
    }
    victim_fini(&victim);
}
END_TEST

// Goal: sessions share the buffer in which frames are built, and none ever sees another's.
START_TEST(sessions_side_by_side_send_what_is_theirs)
{
    enum { SESSIONS = 3, CALLS = 20 };
    struct victim victims[SESSIONS];
    struct cursor last;
    for (int i = 0; i < SESSIONS; i++)
        victim_init(&victims[i], NULL);
    for (uint32_t stream = 1; stream < 2 * CALLS; stream += 2) {
        for (int i = 0; i < SESSIONS; i++) {
            uint8_t message[] = {0, 0, 0, 0, 2, (uint8_t)('a' + i), (uint8_t)stream};
            raw_request(&victims[i].in, stream, "/t/Echo", END_HEADERS);
            raw_frame(&victims[i].in, DATA, END_STREAM, stream, message, sizeof message);
            ck_assert(victim_feed(&victims[i]));
        }
        for (int i = 0; i < SESSIONS; i++) {
            uint8_t message[] = {0, 0, 0, 0, 2, (uint8_t)('a' + i), (uint8_t)stream};
            ck_assert_uint_eq(victim_frames(&victims[i], DATA, stream, &last), 1);
            ck_assert_mem_eq(last.at, message, sizeof message);
            buf_clear(&victims[i].out);
        }
    }
    for (int i = 0; i < SESSIONS; i++)
        victim_fini(&victims[i]);
}
END_TEST

START_TEST(made_you_reset_cve_2025_8671_counts_too)
{
    struct victim victim;
    victim_init(&victim, NULL);
    static const uint8_t zero[4];
    unsigned streams = 0;
    for (uint32_t stream = 1; streams < 10000; stream += 2, streams++) {
        raw_request(&victim.in, stream, "/t/Hang", END_HEADERS);
        raw_frame(&victim.in, WINDOW_UPDATE, 0, stream, zero, 4); // an error of the stream
        if (!victim_feed(&victim))
            break;
    }
    ck_assert_uint_le(streams, H2_RESETS_MAX);
    victim_fini(&victim);
}
END_TEST

START_TEST(continuation_flood_cve_2024_27316_ends_soon)
{
    struct victim victim;
    victim_init(&victim, NULL);
    raw_request(&victim.in, 1, "/t/Echo", 0);
    struct buf block;
    buf_init(&block, 1024);
    raw_field(&block, "x-more", "and more");
    unsigned frames = 0;
    for (; frames < 1000; frames++) {
        raw_frame(&victim.in, CONTINUATION, 0, 1, block.data, block.len);
        if (!victim_feed(&victim))
            break;
    }
    ck_assert_uint_le(frames, 10);
    buf_fini(&block);
    victim_fini(&victim);
}
END_TEST

// A request whose fields come to about `copies` times 4 KB, from one field in HPACK's table.
static void put_bomb(struct buf *out, uint32_t stream, unsigned copies, bool plant)
{
    struct buf block;
    buf_init(&block, 1 << 20);
    raw_request_fields(&block, "/t/Echo");
    char value[3900];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    size_t at = block.len;
    if (plant) {
        raw_field(&block, "x-big", value);
        block.data[at] = 0x40; // literal with incremental indexing: the table's first from here on
    }
    for (unsigned i = 0; i < copies; i++)
        buf_put_u8(&block, 0xbe); // the table's first
    raw_frame(out, HEADERS, END_HEADERS | END_STREAM, stream, block.data, block.len);
    buf_fini(&block);
}

START_TEST(hpack_bomb_cve_2016_6581_ends_at_once)
{
    struct victim victim;
    victim_init(&victim, NULL);
    put_bomb(&victim.in, 1, 10000, true);
    ck_assert(!victim_feed(&victim));
    ck_assert_int_eq(victim_goaway(&victim), H2_ENHANCE_YOUR_CALM);
    ck_assert_uint_eq(victim.calls, 0);
    victim_fini(&victim);
}
END_TEST

START_TEST(oversized_headers_fail_their_call_and_count)
{
    struct victim victim;
    victim_init(&victim, NULL);
    put_bomb(&victim.in, 1, 10, true);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim.calls, 0); // refused before anybody was asked
    ck_assert_uint_eq(victim_frames(&victim, HEADERS, 1, NULL), 1);
    put_echo(&victim.in, 3); // the connection is none the worse
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim_frames(&victim, DATA, 3, NULL), 1);
    unsigned blocks = 0;
    for (uint32_t stream = 5; blocks < 1000; stream += 2, blocks++) {
        put_bomb(&victim.in, stream, 10, false);
        if (!victim_feed(&victim))
            break;
    }
    ck_assert_uint_lt(blocks, 1000);
    ck_assert_uint_eq(victim.calls, 1);
    victim_fini(&victim);
}
END_TEST

static unsigned flood(int type, size_t size)
{
    struct victim victim;
    victim_init(&victim, NULL);
    raw_request(&victim.in, 1, "/t/Hang", END_HEADERS);
    static const uint8_t zeros[16];
    unsigned frames = 0;
    uint32_t stream = type == DATA || type == PRIORITY ? 1 : 0;
    while (frames < 100000) {
        for (int i = 0; i < 50; i++)
            raw_frame(&victim.in, type, 0, stream, zeros, size);
        if (!victim_feed(&victim))
            break;
        frames += 50;
        ck_assert(victim_pass(&victim, 1));
        buf_clear(&victim.out);
    }
    ck_assert_int_eq(victim_goaway(&victim), H2_ENHANCE_YOUR_CALM);
    victim_fini(&victim);
    return frames;
}

START_TEST(ping_flood_cve_2019_9512_ends)
{
    ck_assert_uint_le(flood(PING, 8), 2 * H2_CONTROL_BURST);
}
END_TEST

// Goal: a stock peer, which sends a PING with each burst of data it gets, is no flood however many
// calls it makes.
START_TEST(a_ping_for_each_reply_is_no_flood)
{
    struct victim victim;
    victim_init(&victim, NULL);
    static const uint8_t zeros[8];
    uint32_t stream = 1;
    for (int i = 0; i < 5 * H2_CONTROL_BURST; i++, stream += 2) {
        put_echo(&victim.in, stream);
        raw_frame(&victim.in, PING, 0, 0, zeros, sizeof zeros);
        ck_assert(victim_feed(&victim));
        buf_clear(&victim.out);
    }
    ck_assert_uint_eq(victim.calls, 5 * H2_CONTROL_BURST);
    victim_fini(&victim);
}
END_TEST

START_TEST(settings_flood_cve_2019_9515_ends)
{
    ck_assert_uint_le(flood(SETTINGS, 0), 2 * H2_CONTROL_BURST);
}
END_TEST

START_TEST(empty_frames_flood_cve_2019_9518_ends)
{
    ck_assert_uint_le(flood(DATA, 0), 2 * H2_CONTROL_BURST);
}
END_TEST

START_TEST(priority_flood_cve_2019_9513_ends)
{
    ck_assert_uint_le(flood(PRIORITY, 5), 2 * H2_CONTROL_BURST);
}
END_TEST

START_TEST(pings_at_a_stock_peers_rate_are_answered_for_ever)
{
    struct victim victim;
    victim_init(&victim, NULL);
    static const uint8_t payload[8] = {2, 4, 16, 16, 9, 14, 7, 7};
    for (unsigned i = 0; i < 20000; i++) {
        raw_frame(&victim.in, PING, 0, 0, payload, sizeof payload);
        ck_assert(victim_feed(&victim));
        struct cursor last;
        ck_assert_uint_eq(victim_frames(&victim, PING, 0, &last), 1);
        ck_assert_mem_eq(last.at, payload, sizeof payload);
        buf_clear(&victim.out);
        ck_assert(victim_pass(&victim, 5));
    }
    victim_fini(&victim);
}
END_TEST

START_TEST(zero_window_cve_2019_9517_is_reset_in_time)
{
    struct victim victim;
    victim_init(&victim, &(struct victim_options){.slow_ms = 1000});
    static const uint8_t no_window[6] = {0, 4, 0, 0, 0, 0};
    raw_frame(&victim.in, SETTINGS, 0, 0, no_window, sizeof no_window);
    put_echo(&victim.in, 1);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim_frames(&victim, DATA, 1, NULL), 0);
    ck_assert_uint_eq(grpc_conn_streams(victim.channel), 1);
    ck_assert(victim_pass(&victim, 999));
    ck_assert_uint_eq(grpc_conn_streams(victim.channel), 1);
    ck_assert(victim_pass(&victim, 2));
    ck_assert_uint_eq(victim_frames(&victim, RST_STREAM, 1, NULL), 1);
    ck_assert_uint_eq(grpc_conn_streams(victim.channel), 0);
    victim_fini(&victim);
}
END_TEST

START_TEST(oversized_message_is_refused_at_its_prefix)
{
    struct victim victim;
    victim_init(&victim, NULL);
    uint8_t prefix[5] = {0};
    put_u32(prefix + 1, GRPC_SERVER_MESSAGE_BYTES_MAX + 1);
    raw_request(&victim.in, 1, "/t/Echo", END_HEADERS);
    raw_frame(&victim.in, DATA, 0, 1, prefix, sizeof prefix);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim.over, 1);
    ck_assert_int_eq(victim.last_over.err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(victim_frames(&victim, RST_STREAM, 1, NULL), 1); // send no more of it
    ck_assert_uint_eq(grpc_conn_streams(victim.channel), 0);
    victim_fini(&victim);
}
END_TEST

START_TEST(lying_length_prefix_costs_what_was_sent)
{
    struct victim victim;
    victim_init(&victim, NULL);
    uint8_t data[15] = {0};
    put_u32(data + 1, GRPC_SERVER_MESSAGE_BYTES_MAX);
    raw_request(&victim.in, 1, "/t/Hang", END_HEADERS);
    raw_frame(&victim.in, DATA, 0, 1, data, sizeof data);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim.over, 0);
    ck_assert_uint_eq(victim.open->held, 10);
    ck_assert_uint_le(victim.open->reader.message.cap, 4096);
    raw_frame(&victim.in, DATA, END_STREAM, 1, data, 1);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim.over, 1);
    ck_assert_int_eq(victim.last_over.err.code, ERR_INTERNAL);
    victim_fini(&victim);
}
END_TEST

START_TEST(compressed_message_is_refused)
{
    struct victim victim;
    victim_init(&victim, NULL);
    static const uint8_t data[] = {1, 0, 0, 0, 1, 'x'};
    raw_request(&victim.in, 1, "/t/Echo", END_HEADERS);
    raw_frame(&victim.in, DATA, END_STREAM, 1, data, sizeof data);
    ck_assert(victim_feed(&victim));
    ck_assert_int_eq(victim.last_over.err.code, ERR_INTERNAL);
    victim_fini(&victim);
}
END_TEST

START_TEST(slow_body_ends_in_time)
{
    struct victim victim;
    victim_init(&victim, &(struct victim_options){.slow_ms = 1000});
    uint8_t data[6] = {0, 0, 0, 1, 0, 0};
    raw_request(&victim.in, 1, "/t/Echo", END_HEADERS);
    raw_frame(&victim.in, DATA, 0, 1, data, 5);
    ck_assert(victim_feed(&victim));
    for (int i = 0; i < 9; i++) {
        ck_assert(victim_pass(&victim, 100));
        raw_frame(&victim.in, DATA, 0, 1, data, 1);
        ck_assert(victim_feed(&victim));
        ck_assert_uint_eq(victim.over, 0);
    }
    ck_assert(victim_pass(&victim, 200));
    ck_assert_uint_eq(victim.over, 1);
    ck_assert_int_eq(victim.last_over.err.code, ERR_DEADLINE_EXCEEDED);
    ck_assert_uint_eq(grpc_conn_streams(victim.channel), 0);
    victim_fini(&victim);
}
END_TEST

START_TEST(request_without_a_body_ends_in_time)
{
    struct victim victim;
    victim_init(&victim, &(struct victim_options){.slow_ms = 1000});
    raw_request(&victim.in, 1, "/t/Echo", END_HEADERS);
    ck_assert(victim_feed(&victim));
    ck_assert(victim_pass(&victim, 1001));
    ck_assert_uint_eq(victim.over, 1);
    victim_fini(&victim);
}
END_TEST

START_TEST(incomplete_messages_are_bounded_over_all_streams)
{
    struct victim victim;
    size_t limit = 1 << 20;
    victim_init(&victim, &(struct victim_options){.held_bytes_max = limit});
    uint8_t data[16384] = {0};
    put_u32(data + 1, GRPC_SERVER_MESSAGE_BYTES_MAX);
    for (uint32_t i = 0; i < 500; i++) {
        raw_request(&victim.in, 2 * i + 1, "/t/Hang", END_HEADERS);
        raw_frame(&victim.in, DATA, 0, 2 * i + 1, data, sizeof data);
        if (!victim_feed(&victim))
            break;
    }
    // What came in time keeps its place, the rest is refused.
    ck_assert_uint_ge(victim.over, 200);
    ck_assert_int_eq(victim.last_over.err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_le(victim.calls - victim.over, limit / (sizeof data - 5));
    victim_fini(&victim);
}
END_TEST

START_TEST(requests_that_never_were_complete_are_nobodys)
{
    struct victim victim;
    victim_init(&victim, NULL);
    struct buf block;
    buf_init(&block, 1024);
    raw_field(&block, ":method", "POST"); // and no path: an error of the stream
    raw_frame(&victim.in, HEADERS, END_HEADERS, 1, block.data, block.len);
    ck_assert(victim_feed(&victim));
    ck_assert_uint_eq(victim_frames(&victim, RST_STREAM, 1, NULL), 1);
    raw_frame(&victim.in, HEADERS, 0, 3, block.data, block.len); // to be continued
    ck_assert(victim_feed(&victim));
    buf_fini(&block);
    victim_fini(&victim);
    ck_assert_uint_eq(victim.calls, 0);
    ck_assert_uint_eq(victim.over, 0);
}
END_TEST

START_TEST(half_dead_peer_is_pinged_then_given_up)
{
    struct victim victim;
    victim_init(&victim, &(struct victim_options){.keepalive_ms = 10000});
    ck_assert(victim_pass(&victim, 9999));
    ck_assert_uint_eq(victim_frames(&victim, PING, 0, NULL), 0);
    ck_assert(victim_pass(&victim, 2));
    struct cursor last;
    ck_assert_uint_eq(victim_frames(&victim, PING, 0, &last), 1);
    raw_frame(&victim.in, PING, ACK, 0, last.at, 8); // alive after all
    ck_assert(victim_feed(&victim));
    ck_assert(victim_pass(&victim, 9000));
    ck_assert_uint_eq(victim_frames(&victim, PING, 0, NULL), 1);
    ck_assert(victim_pass(&victim, 1001));
    ck_assert_uint_eq(victim_frames(&victim, PING, 0, NULL), 2);
    ck_assert(!victim_pass(&victim, 1001));
    ck_assert_int_eq(victim.err.code, ERR_UNAVAILABLE);
    victim_fini(&victim);
}
END_TEST

START_TEST(garbage_is_no_preface)
{
    struct grpc_conn_config config = {
        .side = H2_SERVER,
        .stream_bytes = sizeof(struct stream),
        .message_bytes_max = 1,
        .held_bytes_max = 1,
        .streams_max = 1,
    };
    static const struct grpc_conn_events none;
    struct grpc_conn *channel = grpc_conn_new(&config, &none, NULL, (struct mono){0});
    struct err err = ERR_INIT;
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    ck_assert_int_lt(
        grpc_conn_receive(channel, (const uint8_t *)text, sizeof text - 1, (struct mono){0}, &err),
        0);
    grpc_conn_free(channel, NULL);
}
END_TEST

Suite *suite_hostile(void);
Suite *suite_hostile(void)
{
    Suite *suite = suite_create("hostile");
    TCase *bounds = tcase_create("bounds");
    tcase_set_timeout(bounds, 30);
    tcase_add_test(bounds, rapid_reset_cve_2023_44487_ends_after_200);
    tcase_add_test(bounds, rapid_reset_in_one_read_does_no_more_work);
    tcase_add_test(bounds, resets_beside_served_requests_are_fine);
    tcase_add_test(bounds, sessions_side_by_side_send_what_is_theirs);
    tcase_add_test(bounds, made_you_reset_cve_2025_8671_counts_too);
    tcase_add_test(bounds, continuation_flood_cve_2024_27316_ends_soon);
    tcase_add_test(bounds, hpack_bomb_cve_2016_6581_ends_at_once);
    tcase_add_test(bounds, oversized_headers_fail_their_call_and_count);
    tcase_add_test(bounds, ping_flood_cve_2019_9512_ends);
    tcase_add_test(bounds, a_ping_for_each_reply_is_no_flood);
    tcase_add_test(bounds, settings_flood_cve_2019_9515_ends);
    tcase_add_test(bounds, empty_frames_flood_cve_2019_9518_ends);
    tcase_add_test(bounds, priority_flood_cve_2019_9513_ends);
    tcase_add_test(bounds, pings_at_a_stock_peers_rate_are_answered_for_ever);
    tcase_add_test(bounds, zero_window_cve_2019_9517_is_reset_in_time);
    tcase_add_test(bounds, oversized_message_is_refused_at_its_prefix);
    tcase_add_test(bounds, lying_length_prefix_costs_what_was_sent);
    tcase_add_test(bounds, compressed_message_is_refused);
    tcase_add_test(bounds, slow_body_ends_in_time);
    tcase_add_test(bounds, request_without_a_body_ends_in_time);
    tcase_add_test(bounds, incomplete_messages_are_bounded_over_all_streams);
    tcase_add_test(bounds, requests_that_never_were_complete_are_nobodys);
    tcase_add_test(bounds, half_dead_peer_is_pinged_then_given_up);
    tcase_add_test(bounds, garbage_is_no_preface);
    suite_add_tcase(suite, bounds);
    return suite;
}
