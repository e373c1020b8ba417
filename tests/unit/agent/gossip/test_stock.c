// What two stock daemons really said to each other: every packet and stream opens, every message is
// understood, and ours have the same bytes. stock_7946.txt tells where they come from.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/lzw.h"
#include "agent/gossip/packet.h"
#include "agent/gossip/payload.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"
#include "tests/unit/agent/gossip/ring.h"

#define LINE_BYTES (64 << 10)

static struct keyring *ring;
static struct packet_reader reader;
static struct arena arena;
static unsigned seen[GOSSIP_ERROR + 1];
static unsigned payloads[NETWORKDB__MESSAGE_TYPE__NODE_EVENT + 1];

typedef void line_fn(const char *kind, const char *hex);

static void each_line(line_fn *take)
{
    FILE *file = fopen(TEST_FOLDER "/stock_7946.txt", "r");
    ck_assert_ptr_nonnull(file);
    char *line = malloc(LINE_BYTES);
    ck_assert_ptr_nonnull(line);
    while (fgets(line, LINE_BYTES, file)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] != '#') {
            line[3] = 0; // "key", "udp" or "tcp"
            take(line, line + 4);
        }
    }
    free(line);
    fclose(file);
}

static void take_key(const char *kind, const char *hex)
{
    static struct key_set set;
    static const uint64_t times[] = {2, 1, 3}; // the file has them in ring order
    if (strcmp(kind, "key") != 0)
        return;
    struct buf key = bytes_of(hex);
    ck_assert_uint_eq(key.len, KEYRING_KEY_BYTES);
    ck_assert_uint_lt(set.count, COUNT_OF(times));
    key_set_add(&set, KEYRING_GOSSIP, key.data, times[set.count]);
    if (set.count == COUNT_OF(times))
        ck_assert_int_eq(keyring_load(ring, set.list, set.count, NULL), 0);
    buf_fini(&key);
}

// One payload and what is in it; at most a bulk sync, its compound, and their events.
static void take_payload(const void *bytes, size_t size, unsigned depth)
{
    ck_assert_uint_le(depth, 2);
    struct err err = ERR_INIT;
    struct payload payload;
    ck_assert_msg(payload_decode(bytes, size, &arena, &payload, &err) == 0, "%s", err.message);
    payloads[payload.type]++;
    struct buf again;
    buf_init(&again, size);
    ck_assert_int_eq(payload_encode(&payload, &again, &err), 0);
    ck_assert_uint_eq(again.len, size);
    ck_assert_mem_eq(again.data, bytes, size);
    buf_fini(&again);
    if (payload.type == NETWORKDB__MESSAGE_TYPE__BULK_SYNC)
        take_payload(payload.bulk_sync->payload.data, payload.bulk_sync->payload.len, depth + 1);
    if (payload.type == NETWORKDB__MESSAGE_TYPE__COMPOUND)
        for (size_t i = 0; i < payload.compound->n_messages; i++)
            take_payload(payload.compound->messages[i]->payload.data,
                         payload.compound->messages[i]->payload.len, depth + 1);
}

static void take_message(void *owner, const struct gossip_message *message)
{
    unsigned *count = owner;
    ++*count;
    seen[message->type]++;
    if (message->type == GOSSIP_USER)
        take_payload(message->user.at, message->user.size, 0);
    // Ours has the bytes that came.
    struct buf again;
    buf_init(&again, PACKET_BYTES_MAX);
    gossip_encode(message, &again);
    const struct buf *from = reader.unpacked.len ? &reader.unpacked : &reader.plain;
    ck_assert_ptr_nonnull(memmem(from->data, from->len, again.data, again.len));
    buf_fini(&again);
}

static void take_packet(const char *kind, const char *hex)
{
    if (strcmp(kind, "udp") != 0)
        return;
    struct buf packet = bytes_of(hex);
    struct err err = ERR_INIT;
    unsigned skipped, count = 0;
    buf_clear(&reader.unpacked);
    int result =
        packet_read(&reader, ring, packet.data, packet.len, take_message, &count, &skipped, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    ck_assert_uint_eq(skipped, 0);
    ck_assert_uint_ge(count, 1);
    seen[GOSSIP_CRC] += reader.plain.data[0] == GOSSIP_CRC;
    seen[GOSSIP_COMPRESS] += reader.unpacked.len > 0;
    buf_fini(&packet);
}

// The compressed form of `plain` is what Go made of it.
static void same_compression(const struct buf *frame, const struct buf *plain)
{
    struct buf opened, packed;
    buf_init(&opened, STREAM_PLAIN_BYTES_MAX);
    buf_init(&packed, STREAM_PLAIN_BYTES_MAX);
    ck_assert_int_eq(keyring_open(ring, frame->data, STREAM_HEADER_BYTES,
                                  frame->data + STREAM_HEADER_BYTES,
                                  frame->len - STREAM_HEADER_BYTES, packet_peek, &opened, NULL),
                     0);
    ck_assert_int_eq(opened.data[0], GOSSIP_COMPRESS);
    struct cursor in = cursor_of(opened.data, opened.len);
    struct gossip_message message;
    ck_assert_int_eq(gossip_decode(&in, &message, NULL), 0);
    lzw_compress(plain->data, plain->len, &packed);
    ck_assert_uint_eq(packed.len, message.compress.bytes.size);
    ck_assert_mem_eq(packed.data, message.compress.bytes.at, packed.len);
    // And the whole frame is the stock node's, given its nonce.
    struct buf sealed;
    buf_init(&sealed, STREAM_FRAME_BYTES_MAX);
    stream_seal(ring, frame->data + STREAM_HEADER_BYTES + 1, true, plain->data, plain->len,
                &sealed);
    ck_assert_uint_eq(sealed.len, frame->len);
    ck_assert_mem_eq(sealed.data, frame->data, frame->len);
    buf_fini(&sealed);
    buf_fini(&opened);
    buf_fini(&packed);
}

static void take_push_pull(const struct buf *plain)
{
    struct push_pull exchange;
    ck_assert_int_eq(push_pull_parse(plain->data, plain->len, &arena, &exchange, NULL), 0);
    ck_assert_uint_ge(exchange.nodes_count, 1);
    for (size_t i = 0; i < exchange.nodes_count; i++) {
        ck_assert_uint_eq(exchange.nodes[i].name.size, 12);
        ck_assert_uint_eq(exchange.nodes[i].port, GOSSIP_PORT);
        ck_assert_mem_eq(exchange.nodes[i].versions, "\x01\x05\x02\x00\x00\x00", 6);
    }
    take_payload(exchange.user.at, exchange.user.size, 0);
    struct buf again;
    buf_init(&again, plain->len);
    push_pull_write(&exchange, &again);
    ck_assert_uint_eq(again.len, plain->len);
    ck_assert_mem_eq(again.data, plain->data, plain->len);
    buf_fini(&again);
}

static void take_stream(const char *kind, const char *hex)
{
    if (strcmp(kind, "tcp") != 0)
        return;
    struct buf frame = bytes_of(hex), plain;
    struct err err = ERR_INIT;
    size_t frame_size;
    buf_init(&plain, STREAM_PLAIN_BYTES_MAX);
    ck_assert_int_eq(stream_frame_size(frame.data, frame.len, &frame_size, &err), 0);
    ck_assert_uint_eq(frame_size, frame.len);
    int result = stream_unseal(ring, frame.data, frame.len, &plain, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    same_compression(&frame, &plain);
    seen[plain.data[0]]++;
    if (plain.data[0] == GOSSIP_PUSH_PULL) {
        take_push_pull(&plain);
    } else {
        struct span user;
        ck_assert_int_eq(stream_parse_user(plain.data, plain.len, &user, &err), 0);
        take_payload(user.at, user.size, 0);
    }
    buf_fini(&plain);
    buf_fini(&frame);
}

START_TEST(a_stock_conversation_is_understood)
{
    ring = keyring_new();
    packet_reader_init(&reader);
    arena_init(&arena, 16 << 20);
    each_line(take_key);
    ck_assert(keyring_ready(ring));
    each_line(take_packet);
    each_line(take_stream);
    // The conversation has all that matters.
    static const enum gossip_type types[] = {GOSSIP_PING, GOSSIP_ACK,     GOSSIP_ALIVE,
                                             GOSSIP_DEAD, GOSSIP_USER,    GOSSIP_PUSH_PULL,
                                             GOSSIP_CRC,  GOSSIP_COMPRESS};
    for (size_t i = 0; i < COUNT_OF(types); i++)
        ck_assert_msg(seen[types[i]] > 0, "no message of type %d", (int)types[i]);
    for (size_t i = NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT; i < COUNT_OF(payloads); i++)
        ck_assert_msg(payloads[i] > 0, "no payload of type %zu", i);
    arena_fini(&arena);
    packet_reader_fini(&reader);
    keyring_free(ring);
}
END_TEST

Suite *suite_stock(void);
Suite *suite_stock(void)
{
    Suite *suite = suite_create("stock");
    TCase *tcase = tcase_create("stock");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_stock_conversation_is_understood);
    suite_add_tcase(suite, tcase);
    return suite;
}
