// An arena hands out zeroed, aligned memory up to its limit and remembers a refusal.
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/arena.h"

START_TEST(a_small_arena_grows_like_any_other)
{
    struct arena arena;
    arena_init_small(&arena, 100000);
    char *text = arena_strdup(&arena, "first");
    for (int i = 0; i < 50; i++)
        ck_assert_ptr_nonnull(arena_alloc(&arena, 1000));
    ck_assert_str_eq(text, "first");
    ck_assert_ptr_nonnull(arena_alloc(&arena, 40000)); // larger than any block so far
    ck_assert_ptr_null(arena_alloc(&arena, 20000));
    ck_assert(arena_overflowed(&arena));
    arena_reset(&arena);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 100000));
    arena_fini(&arena);
}
END_TEST

START_TEST(memory_is_zeroed_aligned_and_distinct)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    unsigned char *before = NULL;
    for (size_t size = 0; size < 300; size++) {
        unsigned char *at = arena_alloc(&arena, size);
        ck_assert_ptr_nonnull(at);
        ck_assert_ptr_ne(at, before);
        ck_assert_uint_eq((uintptr_t)at % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(at[i], 0);
        memset(at, 0xff, size);
        before = at;
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(the_limit_refuses_and_is_remembered)
{
    struct arena arena;
    arena_init(&arena, 64);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 64));
    ck_assert(!arena_overflowed(&arena));
    ck_assert_ptr_null(arena_alloc(&arena, 1));
    ck_assert(arena_overflowed(&arena));
    arena_reset(&arena);
    ck_assert(!arena_overflowed(&arena));
    ck_assert_ptr_nonnull(arena_alloc(&arena, 64));
    arena_fini(&arena);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    ck_assert(arena_overflowed(&arena));
    arena_fini(&arena);
}
END_TEST

START_TEST(copies_end_with_a_nul)
{
    struct arena arena;
    arena_init(&arena, 1024);
    ck_assert_str_eq(arena_strdup(&arena, "abc"), "abc");
    ck_assert_str_eq(arena_strndup(&arena, "abcdef", 2), "ab");
    ck_assert_str_eq(arena_printf(&arena, "%s-%d", "n", 5), "n-5");
    ck_assert_mem_eq(arena_memdup(&arena, "xyz", 3), "xyz", 3);
    arena_fini(&arena);
}
END_TEST

START_TEST(large_allocations_get_a_block_of_their_own)
{
    struct arena arena;
    arena_init(&arena, 8 << 20);
    char *small = arena_alloc(&arena, 10);
    char *large = arena_alloc(&arena, 4 << 20);
    ck_assert_ptr_nonnull(small);
    ck_assert_ptr_nonnull(large);
    memset(large, 1, 4 << 20);
    ck_assert_int_eq(small[0], 0);
    arena_fini(&arena);
}
END_TEST

Suite *suite_arena(void);
Suite *suite_arena(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_add_test(tcase, a_small_arena_grows_like_any_other);
    tcase_add_test(tcase, memory_is_zeroed_aligned_and_distinct);
    tcase_add_test(tcase, the_limit_refuses_and_is_remembered);
    tcase_add_test(tcase, sizes_that_overflow_are_refused);
    tcase_add_test(tcase, copies_end_with_a_nul);
    tcase_add_test(tcase, large_allocations_get_a_block_of_their_own);
    suite_add_tcase(suite, tcase);
    return suite;
}
