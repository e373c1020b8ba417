// Pieces of the store's memory: each its own, packed, and given back.
#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "manager/store/slab.h"
#include "proto/base/rand.h"

#define PIECES 4000

// A piece that is full of its own number.
struct piece {
    uint8_t *at;
    size_t bytes;
    uint8_t fill;
};

static struct piece pieces[PIECES];

static void make(struct piece *piece, size_t bytes, uint8_t fill)
{
    *piece = (struct piece){.at = slab_alloc(bytes), .bytes = bytes, .fill = fill};
    ck_assert_uint_eq((uintptr_t)piece->at % _Alignof(max_align_t), 0);
    memset(piece->at, fill, bytes);
}

static void drop(struct piece *piece)
{
    bool whole = true;
    for (size_t i = 0; i < piece->bytes; i++)
        whole = whole && piece->at[i] == piece->fill;
    ck_assert(whole);
    slab_free(piece->at, piece->bytes);
    piece->at = NULL;
}

static void drop_all(void)
{
    for (size_t i = 0; i < PIECES; i++)
        if (pieces[i].at)
            drop(&pieces[i]);
}

START_TEST(pieces_of_all_sizes_come_and_go_and_keep_what_is_in_them)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i + 1);
    for (int step = 0; step < 10 * PIECES; step++) {
        struct piece *piece = &pieces[rand_below(&rand, PIECES)];
        if (piece->at)
            drop(piece);
        else
            make(piece, 1 + rand_below(&rand, SLAB_PIECE_BYTES_MAX + 200), (uint8_t)step);
        if (step % PIECES == 0)
            slab_trim();
    }
    drop_all();
    slab_trim();
    ck_assert_uint_eq(slab_runs(), 0);
}
END_TEST

START_TEST(what_stays_of_many_is_filled_up_before_more_is_taken)
{
    for (size_t i = 0; i < PIECES; i++)
        make(&pieces[i], 500, (uint8_t)i);
    size_t full = slab_runs();
    for (size_t i = 0; i < PIECES; i += 2)
        drop(&pieces[i]);
    for (size_t i = 0; i < PIECES; i += 2)
        make(&pieces[i], 510, (uint8_t)i);
    ck_assert_uint_eq(slab_runs(), full);
    drop_all();
    slab_trim();
    ck_assert_uint_eq(slab_runs(), 0);
}
END_TEST

START_TEST(runs_go_back_with_the_last_piece_in_them)
{
    for (size_t i = 0; i < PIECES; i++)
        make(&pieces[i], 500, (uint8_t)i);
    size_t full = slab_runs();
    for (size_t i = 0; i < PIECES / 2; i++)
        drop(&pieces[i]);
    slab_trim();
    ck_assert_uint_le(slab_runs(), full / 2 + 1); // what was made together lies together
    drop_all();
    slab_trim();
    ck_assert_uint_eq(slab_runs(), 0);
}
END_TEST

static void *drop_them(void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < PIECES; i++)
        if (i % 3)
            drop(&pieces[i]);
    return NULL;
}

static void drop_them_elsewhere(void)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, drop_them, NULL), 0);
    pthread_join(thread, NULL);
}

START_TEST(pieces_that_another_thread_frees_come_back)
{
    for (size_t i = 0; i < PIECES; i++)
        make(&pieces[i], 300, (uint8_t)i);
    size_t full = slab_runs();
    drop_them_elsewhere();
    for (size_t i = 0; i < PIECES; i++)
        if (!pieces[i].at)
            make(&pieces[i], 300, (uint8_t)i);
    ck_assert_uint_eq(slab_runs(), full);
    drop_them_elsewhere();
    drop_all();
    slab_trim();
    ck_assert_uint_eq(slab_runs(), 0);
}
END_TEST

Suite *suite_slab(void);
Suite *suite_slab(void)
{
    Suite *suite = suite_create("slab");
    TCase *tcase = tcase_create("slab");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, pieces_of_all_sizes_come_and_go_and_keep_what_is_in_them, 0, 4);
    tcase_add_test(tcase, what_stays_of_many_is_filled_up_before_more_is_taken);
    tcase_add_test(tcase, runs_go_back_with_the_last_piece_in_them);
    tcase_add_test(tcase, pieces_that_another_thread_frees_come_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
