// Compressed bytes are those of Go's compress/lzw, and nothing hostile decompresses without bound.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/lzw.h"
#include "proto/base/rand.h"
#include "tests/unit/agent/gossip/ring.h"

START_TEST(known_bytes_compress_as_in_go)
{
    struct buf out;
    buf_init(&out, 64);
    lzw_compress("A", 1, &out);
    ASSERT_BYTES(&out, "00830404");
    buf_clear(&out);
    lzw_compress("", 0, &out); // clear and end alone
    ASSERT_BYTES(&out, "000302");
    buf_fini(&out);
}
END_TEST

static void round_trip(const uint8_t *bytes, size_t size)
{
    struct buf packed, plain;
    buf_init(&packed, 4 << 20);
    buf_init(&plain, size);
    lzw_compress(bytes, size, &packed);
    ck_assert(buf_ok(&packed));
    ck_assert_int_eq(lzw_decompress(packed.data, packed.len, &plain, NULL), 0);
    ck_assert_uint_eq(plain.len, size);
    if (size > 0)
        ck_assert_mem_eq(plain.data, bytes, size);
    // Cut anywhere near its end it is refused, and one byte short of room too.
    ck_assert_int_lt(lzw_decompress(packed.data, packed.len - 1, &plain, NULL), 0);
    if (size > 0) {
        struct buf tight;
        buf_init(&tight, size - 1);
        ck_assert_int_eq(lzw_decompress(packed.data, packed.len, &tight, NULL),
                         -ERR_RESOURCE_EXHAUSTED);
        buf_fini(&tight);
    }
    buf_fini(&packed);
    buf_fini(&plain);
}

START_TEST(texts_of_every_kind_come_back)
{
    enum { SIZE = 40000 };
    uint8_t *bytes = malloc(SIZE);
    ck_assert_ptr_nonnull(bytes);
    struct rand rand;
    rand_init(&rand, 7);
    // One value (codes that name themselves), few values (long strings), all values (many tables).
    for (unsigned values = 1; values <= 256; values *= 4) {
        for (size_t i = 0; i < SIZE; i++)
            bytes[i] = (uint8_t)rand_below(&rand, values);
        for (size_t size = 0; size < 600; size++)
            round_trip(bytes, size);
        // Around the sizes where the table fills.
        for (size_t size = 3830; size < 3850; size++)
            round_trip(bytes, size);
        round_trip(bytes, SIZE);
    }
    free(bytes);
}
END_TEST

START_TEST(a_bomb_meets_the_limit)
{
    // 40 MiB of zeros are some 10 KiB compressed.
    size_t size = 40u << 20;
    uint8_t *zeros = calloc(1, size);
    ck_assert_ptr_nonnull(zeros);
    struct buf packed, plain;
    buf_init(&packed, 1 << 20);
    buf_init(&plain, 1 << 16);
    lzw_compress(zeros, size, &packed);
    ck_assert(buf_ok(&packed));
    ck_assert_int_eq(lzw_decompress(packed.data, packed.len, &plain, NULL),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_le(plain.cap, 1 << 16);
    buf_fini(&packed);
    buf_fini(&plain);
    free(zeros);
}
END_TEST

START_TEST(an_unknown_string_is_refused)
{
    // Clear, then code 258 before any string exists.
    struct buf plain, bytes = bytes_of("00050606");
    buf_init(&plain, 64);
    ck_assert_int_eq(lzw_decompress(bytes.data, bytes.len, &plain, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(lzw_decompress("", 0, &plain, NULL), -ERR_INVALID_ARGUMENT);
    buf_fini(&plain);
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_full_table_without_a_clear_stays_as_it_is)
{
    // Go's writer always clears; its reader also takes one that goes on with 12 bits.
    struct buf bytes, plain;
    buf_init(&bytes, 16384);
    buf_init(&plain, 16384);
    uint32_t bits = 0;
    unsigned count = 0, width = 9, next = 257;
    for (unsigned i = 0; i <= 5000; i++) {
        bits |= (i == 5000 ? 257u : i & 0x7f) << count;
        for (count += width; count >= 8; count -= 8, bits >>= 8)
            buf_put_u8(&bytes, (uint8_t)bits);
        if (next < 4096 && ++next == 1u << width && width < 12)
            width++;
    }
    buf_put_u8(&bytes, (uint8_t)bits);
    ck_assert_int_eq(lzw_decompress(bytes.data, bytes.len, &plain, NULL), 0);
    ck_assert_uint_eq(plain.len, 5000);
    for (size_t i = 0; i < plain.len; i++)
        ck_assert_uint_eq(plain.data[i], i & 0x7f);
    buf_fini(&bytes);
    buf_fini(&plain);
}
END_TEST

Suite *suite_lzw(void);
Suite *suite_lzw(void)
{
    Suite *suite = suite_create("lzw");
    TCase *tcase = tcase_create("lzw");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, known_bytes_compress_as_in_go);
    tcase_add_test(tcase, texts_of_every_kind_come_back);
    tcase_add_test(tcase, a_bomb_meets_the_limit);
    tcase_add_test(tcase, an_unknown_string_is_refused);
    tcase_add_test(tcase, a_full_table_without_a_clear_stays_as_it_is);
    suite_add_tcase(suite, tcase);
    return suite;
}
