// Messages have the bytes that memberlist gives them, and broken maps are refused.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/unit/agent/gossip/ring.h"

#define ADDR11                                                                                     \
    {                                                                                              \
        (const uint8_t *)"\xc0\xa8\x4d\x0b", 4                                                     \
    }
#define NAMED(name)                                                                                \
    {                                                                                              \
        (const uint8_t *)(name), sizeof(name) - 1                                                  \
    }

static const struct {
    struct gossip_message message;
    const char *hex;
} rows[] = {
    {{.type = GOSSIP_PING, .ping = {7, NAMED("n1"), ADDR11, NAMED("n2"), 7946}},
     "00 85 a44e6f6465 a26e31 a55365714e6f 07 aa536f7572636541646472 a4c0a84d0b"
     "aa536f757263654e6f6465 a26e32 aa536f75726365506f7274 cd1f0a"},
    {{.type = GOSSIP_PING, .ping = {.seq = 7, .node = NAMED("n1")}},
     "00 82 a44e6f6465 a26e31 a55365714e6f 07"},
    {{.type = GOSSIP_INDIRECT,
      .indirect = {.seq = 300, .target = ADDR11, .node = NAMED("n1"), .port = 7946, .nack = true}},
     "01 85 a44e61636b c3 a44e6f6465 a26e31 a4506f7274 cd1f0a a55365714e6f cd012c"
     "a6546172676574 a4c0a84d0b"},
    {{.type = GOSSIP_ACK, .ack = {.seq = 7}}, "02 82 a75061796c6f6164 c0 a55365714e6f 07"},
    {{.type = GOSSIP_NACK, .ack = {.seq = 7}}, "0b 81 a55365714e6f 07"},
    {{.type = GOSSIP_SUSPECT, .verdict = {1, NAMED("n1"), NAMED("n2")}},
     "03 83 a446726f6d a26e32 ab496e6361726e6174696f6e 01 a44e6f6465 a26e31"},
    {{.type = GOSSIP_DEAD, .verdict = {1, NAMED("n1"), NAMED("n1")}},
     "05 83 a446726f6d a26e31 ab496e6361726e6174696f6e 01 a44e6f6465 a26e31"},
    {{.type = GOSSIP_ALIVE,
      .alive = {.name = NAMED("n1"),
                .addr = ADDR11,
                .meta = NAMED(""),
                .incarnation = 1,
                .port = 7946,
                .versions = {1, 5, 2}}},
     "04 86 a441646472 a4c0a84d0b ab496e6361726e6174696f6e 01 a44d657461 a0 a44e6f6465 a26e31"
     "a4506f7274 cd1f0a a356736e a6010502000000"},
    {{.type = GOSSIP_PUSH_PULL, .push_pull = {2, 40, true}},
     "06 83 a44a6f696e c3 a54e6f646573 02 ac557365725374617465 4c656e 28"},
    {{.type = GOSSIP_USER, .user = NAMED("\x08\x06")}, "08 08 06"},
    {{.type = GOSSIP_COMPRESS, .compress = {0, NAMED("A")}}, "09 82 a4416c676f 00 a3427566 a141"},
    {{.type = GOSSIP_ERROR, .error = NAMED("no")}, "0d 81 a54572726f72 a26e6f"},
};

START_TEST(every_message_has_its_bytes)
{
    struct buf wanted = bytes_of(rows[_i].hex), out;
    buf_init(&out, 256);
    gossip_encode(&rows[_i].message, &out);
    ASSERT_BYTES(&out, rows[_i].hex);
    // And back: what is decoded encodes to the same.
    struct cursor in = cursor_of(wanted.data, wanted.len);
    struct gossip_message message;
    ck_assert_int_eq(gossip_decode(&in, &message, NULL), 0);
    ck_assert(cursor_done(&in));
    buf_clear(&out);
    gossip_encode(&message, &out);
    ASSERT_BYTES(&out, rows[_i].hex);
    // Cut anywhere it is refused; a raw user message has no end of its own.
    for (size_t size = 0; size < wanted.len && message.type != GOSSIP_USER; size++) {
        in = cursor_of(wanted.data, size);
        ck_assert_int_eq(gossip_decode(&in, &message, NULL), -ERR_INVALID_ARGUMENT);
    }
    buf_fini(&wanted);
    buf_fini(&out);
}
END_TEST

START_TEST(a_state_has_its_bytes)
{
    const char *hex = "87 a441646472 a4c0a84d0b ab496e6361726e6174696f6e 03 a44d657461 a0 "
                      "a44e616d65 a26e31 a4506f7274 cd1f0a a55374617465 00 a356736e a6010502000000";
    struct gossip_node node = {.name = NAMED("n1"),
                               .addr = ADDR11,
                               .meta = NAMED(""),
                               .incarnation = 3,
                               .port = 7946,
                               .versions = {1, 5, 2}};
    struct buf out;
    buf_init(&out, 256);
    gossip_encode_state(&node, &out);
    ASSERT_BYTES(&out, hex);
    struct gossip_node back;
    struct cursor in = cursor_of(out.data, out.len);
    ck_assert_int_eq(gossip_decode_state(&in, &back, NULL), 0);
    ck_assert_uint_eq(back.incarnation, 3);
    ck_assert_uint_eq(back.port, 7946);
    ck_assert_mem_eq(back.name.at, "n1", 2);
    ck_assert_mem_eq(back.versions, node.versions, 6);
    buf_fini(&out);
}
END_TEST

START_TEST(a_stream_user_header_has_its_bytes)
{
    struct buf out;
    buf_init(&out, 64);
    gossip_encode_user_header(5, &out);
    ASSERT_BYTES(&out, "08 81 aa557365724d73674c656e 05");
    struct cursor in = cursor_of(out.data, out.len);
    uint64_t bytes;
    ck_assert_int_eq(gossip_decode_user_header(&in, &bytes, NULL), 0);
    ck_assert_uint_eq(bytes, 5);
    buf_fini(&out);
}
END_TEST

static int decode(const char *hex, struct gossip_message *message)
{
    static struct buf bytes; // what is decoded points into it
    buf_fini(&bytes);
    bytes = bytes_of(hex);
    struct cursor in = cursor_of(bytes.data, bytes.len);
    return gossip_decode(&in, message, NULL);
}

START_TEST(newer_forms_and_unknown_keys_are_taken)
{
    struct gossip_message message;
    // Any order; str8, bin8 and a map16; keys nobody knows with a number, a list and a map in a
    // map.
    ck_assert_int_eq(decode("02 de0005 a55365714e6f cc07 a178 c0 a179 92 01 81 c0 9101"
                            "a17a 81 a161 81 a162 c3 d9075061796c6f6164 c40141",
                            &message),
                     0);
    ck_assert_uint_eq(message.ack.seq, 7);
    ck_assert_uint_eq(message.ack.payload.size, 1);
    // An alive with a nil meta and a version vector too short.
    ck_assert_int_eq(decode("04 82 a44d657461 c0 a356736e a20105", &message), 0);
    ck_assert_uint_eq(message.alive.meta.size, 0);
    ck_assert_uint_eq(message.alive.versions[1], 0);
}
END_TEST

START_TEST(broken_maps_are_refused)
{
    static const char *const bad[] = {
        "02",                                    // nothing behind the type
        "02 07",                                 // no map
        "02 91 07",                              // a list
        "02 df ffffffff",                        // a map of billions
        "02 dc ffff",                            // a list as large
        "02 81 a178 dd ffffffff",                // an unknown key with a list of billions
        "02 81 a178 db ffffffff",                // a text of billions
        "02 81 8101 07",                         // a map as key
        "02 81 a55365714e6f cf0000000100000000", // more than 32 bits
        "02 81 a55365714e6f ff",                 // a negative number
        "02 81 a55365714e6f a107",               // a text as number
        "02 81 a75061796c6f6164 07",             // a number as bytes
        "04 81 a441646472 a3010203",             // an address of three bytes
        "04 81 a4506f7274 ce00010000",           // a port beyond 16 bits
        "01 81 a44e61636b 01",                   // a number as truth
        "02 81 c1 07",                           // a byte msgpack does not know
    };
    struct gossip_message message;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(decode(bad[i], &message) == -ERR_INVALID_ARGUMENT, "%s", bad[i]);
    ck_assert_int_eq(decode("07 01 0001 02", &message), -ERR_UNIMPLEMENTED);
    ck_assert_int_eq(decode("0e 80", &message), -ERR_UNIMPLEMENTED);
    ck_assert_int_eq(decode("f4 01 61", &message), -ERR_UNIMPLEMENTED);
}
END_TEST

START_TEST(limits_hold)
{
    struct buf out;
    struct gossip_message message = {.type = GOSSIP_ALIVE};
    uint8_t long_one[GOSSIP_META_BYTES + 1] = {0};
    buf_init(&out, 4096);
    for (size_t extra = 0; extra < 2; extra++) {
        for (int name = 0; name < 2; name++) {
            message.alive.meta = message.alive.name = (struct span){0};
            *(name ? &message.alive.name : &message.alive.meta) =
                (struct span){long_one, (name ? GOSSIP_NAME_BYTES : GOSSIP_META_BYTES) + extra};
            buf_clear(&out);
            gossip_encode(&message, &out);
            struct cursor in = cursor_of(out.data, out.len);
            struct gossip_message back;
            ck_assert_int_eq(gossip_decode(&in, &back, NULL), extra ? -ERR_INVALID_ARGUMENT : 0);
        }
    }
    // More keys than any message has.
    buf_clear(&out);
    buf_put(&out, "\x02\xde\x00\x21", 4);
    for (int i = 0; i < GOSSIP_KEYS_MAX + 1; i++)
        buf_put(&out, "\xa1x\x01", 3);
    struct cursor in = cursor_of(out.data, out.len);
    ck_assert_int_eq(gossip_decode(&in, &message, NULL), -ERR_INVALID_ARGUMENT);
    buf_fini(&out);
}
END_TEST

Suite *suite_codec(void);
Suite *suite_codec(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("codec");
    tcase_add_loop_test(tcase, every_message_has_its_bytes, 0, COUNT_OF(rows));
    tcase_add_test(tcase, a_state_has_its_bytes);
    tcase_add_test(tcase, a_stream_user_header_has_its_bytes);
    tcase_add_test(tcase, newer_forms_and_unknown_keys_are_taken);
    tcase_add_test(tcase, broken_maps_are_refused);
    tcase_add_test(tcase, limits_hold);
    suite_add_tcase(suite, tcase);
    return suite;
}
