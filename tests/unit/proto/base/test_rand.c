// The generator repeats with its seed and is even.
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/entropy_io.h"
#include "proto/base/rand.h"

START_TEST(one_seed_gives_one_history)
{
    struct rand a, b, c;
    rand_init(&a, 42);
    rand_init(&b, 42);
    rand_init(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rand_u64(&a);
        ck_assert_uint_eq(value, rand_u64(&b));
        same += value == rand_u64(&c);
    }
    ck_assert_int_eq(same, 0);
}
END_TEST

START_TEST(below_is_even_and_in_range)
{
    struct rand rand;
    rand_init(&rand, 7);
    int counts[10] = {0};
    for (int i = 0; i < 100000; i++)
        counts[rand_below(&rand, 10)]++;
    for (int i = 0; i < 10; i++) // five standard deviations are about 475
        ck_assert(counts[i] > 9500 && counts[i] < 10500);
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_eq(rand_below(&rand, 1), 0);
        int64_t between = rand_between(&rand, -3, 3);
        ck_assert(between >= -3 && between <= 3);
        double unit = rand_unit(&rand);
        ck_assert(unit >= 0 && unit < 1);
    }
    rand_between(&rand, INT64_MIN, INT64_MAX);
}
END_TEST

START_TEST(bytes_of_any_length_are_filled)
{
    struct rand rand;
    rand_init(&rand, 9);
    for (size_t size = 0; size < 40; size++) {
        unsigned char bytes[41];
        memset(bytes, 0xa5, sizeof bytes);
        rand_bytes(&rand, bytes, size);
        ck_assert_uint_eq(bytes[size], 0xa5);
    }
}
END_TEST

START_TEST(the_kernel_gives_ids_that_differ)
{
    struct id a = entropy_id(), b = entropy_id();
    ck_assert(id_valid(a.text));
    ck_assert_str_ne(a.text, b.text);
    struct rand x, y;
    entropy_seed(&x);
    entropy_seed(&y);
    ck_assert_uint_ne(rand_u64(&x), rand_u64(&y));
}
END_TEST

Suite *suite_rand(void);
Suite *suite_rand(void)
{
    Suite *suite = suite_create("rand");
    TCase *tcase = tcase_create("rand");
    tcase_add_test(tcase, one_seed_gives_one_history);
    tcase_add_test(tcase, below_is_even_and_in_range);
    tcase_add_test(tcase, bytes_of_any_length_are_filled);
    tcase_add_test(tcase, the_kernel_gives_ids_that_differ);
    suite_add_tcase(suite, tcase);
    return suite;
}
