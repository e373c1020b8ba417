// The map agrees with a naive model and walks in insertion order.
#include <check.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/map.h"
#include "proto/base/rand.h"

START_TEST(put_replaces_and_remove_returns)
{
    struct map map;
    map_init(&map);
    int a, b;
    ck_assert_ptr_null(map_get_str(&map, "k"));
    ck_assert_ptr_null(map_put_str(&map, "k", &a));
    ck_assert_ptr_eq(map_put_str(&map, "k", &b), &a);
    ck_assert_uint_eq(map_count(&map), 1);
    ck_assert(map_has_str(&map, "k"));
    ck_assert_ptr_eq(map_remove_str(&map, "k"), &b);
    ck_assert_ptr_null(map_remove_str(&map, "k"));
    ck_assert(!map_has_str(&map, "k"));
    map_fini(&map);
}
END_TEST

START_TEST(keys_are_bytes_not_text)
{
    struct map map;
    map_init(&map);
    int a, b, c;
    map_put(&map, "x\0y", 3, &a);
    map_put(&map, "x\0z", 3, &b);
    map_put(&map, NULL, 0, &c);
    ck_assert_ptr_eq(map_get(&map, "x\0y", 3), &a);
    ck_assert_ptr_eq(map_get(&map, "x\0z", 3), &b);
    ck_assert_ptr_null(map_get(&map, "x", 1));
    ck_assert_ptr_eq(map_get(&map, "", 0), &c);
    map_fini(&map);
}
END_TEST

START_TEST(a_long_random_history_agrees_with_a_model)
{
    enum { KEYS = 500 };
    static int marks[KEYS];
    int *model[KEYS] = {0};
    struct map map;
    struct rand rand;
    map_init(&map);
    rand_init(&rand, 11);
    size_t count = 0;
    for (int step = 0; step < 100000; step++) {
        uint64_t key = rand_below(&rand, KEYS);
        if (rand_chance(&rand, 1, 2)) {
            int *value = &marks[rand_below(&rand, KEYS)];
            ck_assert_ptr_eq(map_put_u64(&map, key, value), model[key]);
            count += model[key] == NULL;
            model[key] = value;
        } else {
            ck_assert_ptr_eq(map_remove_u64(&map, key), model[key]);
            count -= model[key] != NULL;
            model[key] = NULL;
        }
        ck_assert_uint_eq(map_count(&map), count);
    }
    for (uint64_t key = 0; key < KEYS; key++)
        ck_assert_ptr_eq(map_get_u64(&map, key), model[key]);
    map_fini(&map);
}
END_TEST

START_TEST(the_walk_goes_in_insertion_order_and_allows_removal)
{
    struct map map;
    map_init(&map);
    int value;
    char key[8];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "%d", i);
        map_put_str(&map, key, &value);
    }
    int next = 0;
    MAP_EACH (entry, &map) {
        snprintf(key, sizeof key, "%d", next++);
        ck_assert_str_eq(entry->key, key);
        if (next % 2 == 0)
            map_remove_str(&map, key);
    }
    ck_assert_int_eq(next, 100);
    ck_assert_uint_eq(map_count(&map), 50);
    map_clear(&map);
    ck_assert_uint_eq(map_count(&map), 0);
    MAP_EACH (entry, &map)
        ck_abort_msg("an empty map has an entry");
    map_fini(&map);
}
END_TEST

Suite *suite_map(void);
Suite *suite_map(void)
{
    Suite *suite = suite_create("map");
    TCase *tcase = tcase_create("map");
    tcase_add_test(tcase, put_replaces_and_remove_returns);
    tcase_add_test(tcase, keys_are_bytes_not_text);
    tcase_add_test(tcase, a_long_random_history_agrees_with_a_model);
    tcase_add_test(tcase, the_walk_goes_in_insertion_order_and_allows_removal);
    suite_add_tcase(suite, tcase);
    return suite;
}
