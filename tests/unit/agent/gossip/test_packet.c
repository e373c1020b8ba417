// Packets of every shape come back; what is wrapped wrongly is refused or skipped as stock nodes
// do.
#include <check.h>
#include <string.h>

#include "agent/gossip/packet.h"
#include "tests/unit/agent/gossip/ring.h"

static struct keyring *ring;
static struct packet_reader reader;
static unsigned taken[GOSSIP_ERROR + 1];

static void setup(void)
{
    ring = ring_golden();
    packet_reader_init(&reader);
    memset(taken, 0, sizeof taken);
}

static void teardown(void)
{
    packet_reader_fini(&reader);
    keyring_free(ring);
}

static void count_message(void *owner, const struct gossip_message *message)
{
    (void)owner;
    taken[message->type]++;
}

// Seals the plain bytes and reads the packet.
static int read_plain(const char *hex, unsigned *skipped)
{
    struct buf plain = bytes_of(hex), sealed;
    buf_init(&sealed, PACKET_BYTES_MAX);
    keyring_seal(ring, nonce_golden, NULL, 0, plain.data, plain.len, &sealed);
    int result =
        packet_read(&reader, ring, sealed.data, sealed.len, count_message, NULL, skipped, NULL);
    buf_fini(&plain);
    buf_fini(&sealed);
    return result;
}

START_TEST(every_shape_comes_back)
{
    struct buf ack = bytes_of("02 82 a75061796c6f6164 c0 a55365714e6f 07");
    static uint8_t user[300] = {GOSSIP_USER, 0x08};
    struct span parts[] = {{ack.data, ack.len}, {user, sizeof user}, {ack.data, ack.len}};
    for (unsigned shape = 0; shape < 4; shape++) {
        for (size_t count = 1; count <= 3; count++) {
            struct buf packet;
            unsigned skipped;
            buf_init(&packet, PACKET_BYTES_MAX);
            packet_write(ring, nonce_golden,
                         (struct packet_shape){.crc = shape & 1, .compress = shape & 2}, parts,
                         count, &packet);
            ck_assert(buf_ok(&packet));
            // Zeros compress; a lone ack does not and goes as it is.
            ck_assert((packet.len < 200) == (count == 1 || (shape & 2)));
            memset(taken, 0, sizeof taken);
            ck_assert_int_eq(packet_read(&reader, ring, packet.data, packet.len, count_message,
                                         NULL, &skipped, NULL),
                             0);
            ck_assert_uint_eq(skipped, 0);
            ck_assert_uint_eq(taken[GOSSIP_ACK], count == 3 ? 2 : 1);
            ck_assert_uint_eq(taken[GOSSIP_USER], count > 1);
            buf_fini(&packet);
        }
    }
    buf_fini(&ack);
}
END_TEST

START_TEST(the_checksum_is_verified)
{
    unsigned skipped;
    ck_assert_int_eq(read_plain("0c a8cb2def 0282a75061796c6f6164c0a55365714e6f07", &skipped), 0);
    ck_assert_uint_eq(taken[GOSSIP_ACK], 1);
    ck_assert_int_eq(read_plain("0c a8cb2dee 0282a75061796c6f6164c0a55365714e6f07", &skipped),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(taken[GOSSIP_ACK], 1);
    ck_assert_uint_eq(packet_crc("123456789", 9), 0xcbf43926);
}
END_TEST

START_TEST(bad_parts_of_a_compound_are_skipped)
{
    unsigned skipped;
    // A nack, a push/pull header, a compound in the compound, an unknown type, and a tail cut
    // short.
    ck_assert_int_eq(read_plain("07 05 0009 0002 0004 0002 0009 0b81a55365714e6f07 0680"
                                "07010000 0e80 0b81a5",
                                &skipped),
                     0);
    ck_assert_uint_eq(skipped, 4);
    ck_assert_uint_eq(taken[GOSSIP_NACK], 1);
    ck_assert_uint_eq(taken[GOSSIP_PUSH_PULL], 0);
    // Without room for its lengths there is nothing to hand out.
    ck_assert_int_eq(read_plain("07 05 0009", &skipped), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(wrong_wrapping_is_refused)
{
    unsigned skipped;
    // Another algorithm, broken compression, a compressed message in a compressed one.
    ck_assert_int_eq(read_plain("09 82 a4416c676f 01 a3427566 a400830404", &skipped),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(read_plain("09 82 a4416c676f 00 a3427566 a3008304", &skipped),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(
        read_plain("06 83 a44a6f696e c3 a54e6f646573 02 ac557365725374617465 4c656e 28", &skipped),
        -ERR_INVALID_ARGUMENT);
    for (unsigned i = 0; i < sizeof taken / sizeof taken[0]; i++)
        ck_assert_uint_eq(taken[i], 0);
}
END_TEST

START_TEST(labels_clear_text_and_foreign_keys_are_refused)
{
    struct buf plain = bytes_of("02 82 a75061796c6f6164 c0 a55365714e6f 07");
    struct buf labelled =
        bytes_of("f4 01 61 01 101112131415161718191a1b c6aca4ff6e36da8076b99d5094429a7055bb"
                 "23eee91178c4a35027822931d5325ec7");
    unsigned skipped;
    ck_assert_int_eq(
        packet_read(&reader, ring, plain.data, plain.len, count_message, NULL, &skipped, NULL),
        -ERR_UNAUTHENTICATED);
    ck_assert_int_eq(packet_read(&reader, ring, labelled.data, labelled.len, count_message, NULL,
                                 &skipped, NULL),
                     -ERR_UNAUTHENTICATED);
    ck_assert_int_eq(packet_read(&reader, ring, "", 0, count_message, NULL, &skipped, NULL),
                     -ERR_UNAUTHENTICATED);
    ck_assert_uint_eq(taken[GOSSIP_ACK], 0);
    buf_fini(&plain);
    buf_fini(&labelled);
}
END_TEST

Suite *suite_packet(void);
Suite *suite_packet(void)
{
    Suite *suite = suite_create("packet");
    TCase *tcase = tcase_create("packet");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_shape_comes_back);
    tcase_add_test(tcase, the_checksum_is_verified);
    tcase_add_test(tcase, bad_parts_of_a_compound_are_skipped);
    tcase_add_test(tcase, wrong_wrapping_is_refused);
    tcase_add_test(tcase, labels_clear_text_and_foreign_keys_are_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
