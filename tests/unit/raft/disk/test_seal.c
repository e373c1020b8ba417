// Sealed records open in their own place with their own key, and nowhere else.
#include <check.h>
#include <stddef.h>
#include <string.h>

#include "proto/base/rand.h"
#include "raft/disk/row.h"
#include "raft/disk/seal.h"

static struct rand rand_state;

static void seeded(void *out, size_t size)
{
    rand_bytes(&rand_state, out, size);
}

static struct seal_key key_of(int seed)
{
    struct seal_key key;
    memset(key.bytes, seed, sizeof key.bytes);
    return key;
}

START_TEST(a_record_opens_in_its_place)
{
    struct seal_key key = key_of(1);
    struct seal *seal = seal_new(&key, NULL, seeded);
    struct buf sealed, plain;
    buf_init(&sealed, 4096);
    buf_init(&plain, 4096);
    seal_put(seal, "place", 5, "secret", 6, &sealed);
    ck_assert_uint_eq(sealed.len, 6 + SEAL_OVERHEAD_BYTES);
    ck_assert_ptr_null(memmem(sealed.data, sealed.len, "secret", 6));
    ck_assert_int_eq(seal_open(seal, "place", 5, sealed.data, sealed.len, &plain, NULL), 0);
    ck_assert_str_eq(buf_cstr(&plain), "secret");
    struct err err = ERR_INIT;
    ck_assert_int_eq(seal_open(seal, "other", 5, sealed.data, sealed.len, &plain, &err),
                     -ERR_DATA_LOSS);
    ck_assert_uint_eq(plain.len, 6); // as it was
    buf_fini(&sealed);
    buf_fini(&plain);
    seal_free(seal);
}
END_TEST

// From processors that do AES to others and back, of any size.
START_TEST(both_ways_to_seal_are_one)
{
    struct seal_key key = key_of(9);
    struct seal *quick = seal_new(&key, NULL, seeded), *slow = seal_new(&key, NULL, seeded);
    seal_go_slow(slow);
    struct buf sealed, plain;
    buf_init(&sealed, 8192);
    buf_init(&plain, 8192);
    uint8_t text[4000];
    for (size_t size = 0; size < sizeof text; size += size < 300 ? 1 : 217) {
        seeded(text, size);
        struct seal *from = size % 2 ? quick : slow, *to = size % 2 ? slow : quick;
        buf_clear(&sealed);
        buf_clear(&plain);
        seal_put(from, text, size % 40, text, size, &sealed);
        ck_assert_int_eq(seal_open(to, text, size % 40, sealed.data, sealed.len, &plain, NULL), 0);
        ck_assert_uint_eq(plain.len, size);
        ck_assert(size == 0 || memcmp(plain.data, text, size) == 0);
        sealed.data[sealed.len - 1] ^= 1;
        ck_assert_int_eq(seal_open(to, text, size % 40, sealed.data, sealed.len, &plain, NULL),
                         -ERR_DATA_LOSS);
        ck_assert_uint_eq(plain.len, size);
    }
    buf_fini(&sealed);
    buf_fini(&plain);
    seal_free(quick);
    seal_free(slow);
}
END_TEST

START_TEST(every_changed_or_missing_byte_is_noticed)
{
    struct seal_key key = key_of(2);
    struct seal *seal = seal_new(&key, NULL, seeded);
    struct buf sealed, plain;
    buf_init(&sealed, 4096);
    buf_init(&plain, 4096);
    seal_put(seal, "p", 1, "abc", 3, &sealed);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 0x40;
        ck_assert_int_eq(seal_open(seal, "p", 1, sealed.data, sealed.len, &plain, NULL),
                         -ERR_DATA_LOSS);
        sealed.data[i] ^= 0x40;
        ck_assert_int_eq(seal_open(seal, "p", 1, sealed.data, i, &plain, NULL), -ERR_DATA_LOSS);
    }
    ck_assert_int_eq(seal_open(seal, "p", 1, sealed.data, sealed.len, &plain, NULL), 0);
    buf_fini(&sealed);
    buf_fini(&plain);
    seal_free(seal);
}
END_TEST

START_TEST(a_rotation_opens_the_previous_keys_records_and_writes_the_new)
{
    struct seal_key old_key = key_of(3), new_key = key_of(4);
    struct seal *before = seal_new(&old_key, NULL, seeded);
    struct seal *during = seal_new(&new_key, &old_key, seeded);
    struct seal *after = seal_new(&new_key, NULL, seeded);
    struct buf old_row, new_row, plain;
    buf_init(&old_row, 4096);
    buf_init(&new_row, 4096);
    buf_init(&plain, 4096);
    seal_put(before, "p", 1, NULL, 0, &old_row);
    ck_assert(!seal_is_current(during, old_row.data, old_row.len));
    ck_assert_int_eq(seal_open(during, "p", 1, old_row.data, old_row.len, &plain, NULL), 0);
    seal_put(during, "p", 1, "x", 1, &new_row);
    ck_assert(seal_is_current(after, new_row.data, new_row.len));
    ck_assert_int_eq(seal_open(after, "p", 1, new_row.data, new_row.len, &plain, NULL), 0);
    struct err err = ERR_INIT;
    ck_assert_int_lt(seal_open(after, "p", 1, old_row.data, old_row.len, &plain, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "another data key"));
    buf_fini(&old_row);
    buf_fini(&new_row);
    buf_fini(&plain);
    seal_free(before);
    seal_free(during);
    seal_free(after);
}
END_TEST

START_TEST(no_two_records_share_a_nonce)
{
    struct seal_key key = key_of(5);
    struct seal *seal = seal_new(&key, NULL, seeded);
    uint8_t seen[64][SEAL_NONCE_BYTES];
    for (int i = 0; i < 64; i++) {
        struct buf sealed;
        buf_init(&sealed, 4096);
        seal_put(seal, "p", 1, "x", 1, &sealed);
        memcpy(seen[i], sealed.data + SEAL_KEY_ID_BYTES, SEAL_NONCE_BYTES);
        for (int k = 0; k < i; k++)
            ck_assert_mem_ne(seen[i], seen[k], SEAL_NONCE_BYTES);
        buf_fini(&sealed);
    }
    seal_free(seal);
}
END_TEST

START_TEST(entries_and_facts_round_trip_and_name_themselves_when_damaged)
{
    struct seal_key key = key_of(6);
    struct seal *seal = seal_new(&key, NULL, seeded);
    struct buf row;
    buf_init(&row, 1 << 16);
    struct raft_entry entry = {.term = 7, .index = 42, .type = RAFT_ENTRY_CONF_CHANGE}, back;
    entry.data = raft_blob_new("body", 4);
    row_put_entry(seal, &entry, &row);
    ck_assert_uint_eq(row_entry_term(row.data, row.len), 7);
    ck_assert_int_eq(row_get_entry(seal, 42, row.data, row.len, &back, NULL), 0);
    ck_assert_uint_eq(back.term, 7);
    ck_assert_int_eq(back.type, RAFT_ENTRY_CONF_CHANGE);
    ck_assert_mem_eq(back.data->bytes, "body", 4);
    raft_blob_unref(back.data);
    struct err err = ERR_INIT;
    ck_assert_int_eq(row_get_entry(seal, 43, row.data, row.len, &back, &err), -ERR_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(err.message, "log entry 43"));
    row.data[0] ^= 1; // the term is in clear, but verified
    ck_assert_int_eq(row_get_entry(seal, 42, row.data, row.len, &back, &err), -ERR_DATA_LOSS);
    raft_blob_unref(entry.data);

    buf_clear(&row);
    struct raft_conf conf = {.voters_count = 3, .voters = {1, 2, 3}, .auto_leave = true}, conf_back;
    row_put_conf(seal, &conf, &row);
    ck_assert_int_eq(row_get_conf(seal, row.data, row.len, &conf_back, NULL), 0);
    ck_assert(raft_conf_equal(&conf, &conf_back));
    struct raft_hard_state hard;
    ck_assert_int_eq(row_get_hard(seal, row.data, row.len, &hard, &err), -ERR_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(err.message, "'hard'"));
    buf_fini(&row);
    seal_free(seal);
}
END_TEST

Suite *suite_seal(void);
Suite *suite_seal(void)
{
    Suite *suite = suite_create("seal");
    TCase *tcase = tcase_create("seal");
    tcase_add_test(tcase, a_record_opens_in_its_place);
    tcase_add_test(tcase, both_ways_to_seal_are_one);
    tcase_add_test(tcase, every_changed_or_missing_byte_is_noticed);
    tcase_add_test(tcase, a_rotation_opens_the_previous_keys_records_and_writes_the_new);
    tcase_add_test(tcase, no_two_records_share_a_nonce);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("row");
    tcase_add_test(tcase, entries_and_facts_round_trip_and_name_themselves_when_damaged);
    suite_add_tcase(suite, tcase);
    return suite;
}
