// What is sent least often goes first, of these the longest, of these the newest; each a limited
// number of times.
#include <check.h>
#include <string.h>

#include "agent/gossip/broadcast.h"
#include "proto/base/check.h"

static char taken[256];

static size_t take(void *ctx, const void *bytes, size_t size)
{
    size_t *room = ctx;
    strncat(taken, bytes, size);
    strcat(taken, " ");
    return *room -= size;
}

static const char *take_some(struct broadcasts *queue, unsigned limit, size_t room)
{
    taken[0] = 0;
    broadcasts_take(queue, limit, room, take, &room);
    return taken;
}

static void put(struct broadcasts *queue, const char *key, const char *text)
{
    broadcasts_put(queue, key, strlen(key), text, strlen(text));
}

START_TEST(limits_grow_with_the_number_of_digits)
{
    ck_assert_uint_eq(broadcast_limit(1), 4);
    ck_assert_uint_eq(broadcast_limit(9), 4);
    ck_assert_uint_eq(broadcast_limit(10), 8);
    ck_assert_uint_eq(broadcast_limit(99), 8);
    ck_assert_uint_eq(broadcast_limit(100), 12);
}
END_TEST

START_TEST(order_is_transmissions_then_length_then_age)
{
    struct broadcasts queue;
    broadcasts_init(&queue, 10);
    put(&queue, "a", "aaaa");
    put(&queue, "b", "bbbbb");
    put(&queue, "c", "cccc");
    ck_assert_str_eq(take_some(&queue, 3, 100), "bbbbb cccc aaaa ");
    put(&queue, "d", "dddd");
    ck_assert_str_eq(take_some(&queue, 3, 9), "dddd bbbbb ");
    ck_assert_str_eq(take_some(&queue, 3, 8), "dddd cccc ");
    ck_assert_str_eq(take_some(&queue, 3, 4), "aaaa ");
    // What does not fit lets shorter ones pass, and stays where it was.
    ck_assert_str_eq(take_some(&queue, 3, 4), "dddd ");
    ck_assert_str_eq(take_some(&queue, 3, 100), "bbbbb cccc aaaa ");
    ck_assert_str_eq(take_some(&queue, 3, 100), "");
    ck_assert_uint_eq(queue.count, 0);
    broadcasts_fini(&queue);
}
END_TEST

START_TEST(newer_replaces_older_of_its_key_and_room_is_bounded)
{
    struct broadcasts queue;
    broadcasts_init(&queue, 2);
    put(&queue, "a", "old a");
    put(&queue, "a", "new a");
    ck_assert(broadcasts_has(&queue, "a", 1));
    ck_assert_str_eq(take_some(&queue, 9, 100), "new a ");
    put(&queue, "", "nobody's");
    put(&queue, "b", "third");
    // Past the bound the one that was sent most often went.
    ck_assert(!broadcasts_has(&queue, "a", 1));
    ck_assert_uint_eq(queue.dropped, 1);
    ck_assert_str_eq(take_some(&queue, 9, 100), "nobody's third ");
    broadcasts_fini(&queue);
}
END_TEST

Suite *suite_broadcast(void);
Suite *suite_broadcast(void)
{
    Suite *suite = suite_create("broadcast");
    TCase *queue = tcase_create("queue");
    tcase_add_test(queue, limits_grow_with_the_number_of_digits);
    tcase_add_test(queue, order_is_transmissions_then_length_then_age);
    tcase_add_test(queue, newer_replaces_older_of_its_key_and_room_is_bounded);
    suite_add_tcase(suite, queue);
    return suite;
}
