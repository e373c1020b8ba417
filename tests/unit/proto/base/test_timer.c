// Timers come out in order of their moment, ties in the order set; state machines keep to their
// table.
#include <check.h>
#include <signal.h>
#include <stdint.h>

#include "proto/base/fsm.h"
#include "proto/base/list.h"
#include "proto/base/rand.h"
#include "proto/base/timer.h"

START_TEST(timers_come_out_in_order_whatever_was_cancelled)
{
    enum { TIMERS = 300 };
    static struct timer timer[TIMERS];
    struct timers timers;
    struct rand rand;
    timers_init(&timers);
    rand_init(&rand, 5);
    for (int step = 0; step < 20000; step++) {
        struct timer *it = &timer[rand_below(&rand, TIMERS)];
        if (rand_chance(&rand, 1, 3))
            timers_cancel(&timers, it);
        else
            timers_set(&timers, it, (struct mono){(int64_t)rand_below(&rand, 50)});
    }
    size_t left = timers.count;
    struct timer *before = NULL;
    for (struct timer *it; (it = timers_pop_due(&timers, (struct mono){100})); before = it) {
        ck_assert(!timer_is_set(it));
        if (before)
            ck_assert(before->due.ns < it->due.ns ||
                      (before->due.ns == it->due.ns && before->order < it->order));
        left--;
    }
    ck_assert_uint_eq(left, 0);
    timers_fini(&timers);
}
END_TEST

START_TEST(nothing_is_due_before_its_time)
{
    struct timers timers;
    struct timer timer = {0};
    timers_init(&timers);
    ck_assert_int_eq(timers_next_due(&timers).ns, MONO_NEVER.ns);
    timers_set(&timers, &timer, (struct mono){10});
    ck_assert_ptr_null(timers_pop_due(&timers, (struct mono){9}));
    ck_assert_ptr_eq(timers_pop_due(&timers, (struct mono){10}), &timer);
    timers_set(&timers, &timer, (struct mono){10});
    timers_fini(&timers);
    ck_assert(!timer_is_set(&timer));
}
END_TEST

enum { IDLE, BUSY, ENDED };
static const struct fsm_state states[] = {
    [IDLE] = {"idle", FSM_BIT(BUSY)},
    [BUSY] = {"busy", FSM_BIT(IDLE) | FSM_BIT(ENDED)},
    [ENDED] = {"ended", 0},
};

START_TEST(a_machine_moves_along_its_table)
{
    struct fsm fsm;
    fsm_init(&fsm, states, 3, IDLE);
    ck_assert(fsm_may(&fsm, BUSY));
    ck_assert(!fsm_may(&fsm, ENDED));
    fsm_move(&fsm, BUSY);
    fsm_move(&fsm, ENDED);
    ck_assert_str_eq(fsm_name(&fsm), "ended");
}
END_TEST

START_TEST(a_move_outside_the_table_stops_the_process)
{
    struct fsm fsm;
    fsm_init(&fsm, states, 3, IDLE);
    fsm_move(&fsm, ENDED);
}
END_TEST

static bool never(const void *owner, unsigned state)
{
    (void)owner;
    return state == IDLE;
}

START_TEST(a_broken_invariant_stops_the_process)
{
    struct fsm fsm;
    fsm_init(&fsm, states, 3, IDLE);
    fsm_set_invariant(&fsm, never, NULL);
    fsm_move(&fsm, BUSY);
}
END_TEST

struct item {
    int number;
    struct list link;
};

START_TEST(lists_keep_order_and_survive_removal_while_walking)
{
    struct list list;
    struct item items[5];
    list_init(&list);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        list_push_back(&list, &items[i].link);
    }
    int next = 0;
    LIST_EACH_SAFE (link, &list) {
        ck_assert_int_eq(LIST_ENTRY(link, struct item, link)->number, next++);
        list_remove(link);
    }
    ck_assert_int_eq(next, 5);
    ck_assert(list_empty(&list));
    ck_assert_ptr_null(list_pop_front(&list));
}
END_TEST

Suite *suite_timer(void);
Suite *suite_timer(void)
{
    Suite *suite = suite_create("timer");
    TCase *tcase = tcase_create("timer");
    tcase_add_test(tcase, timers_come_out_in_order_whatever_was_cancelled);
    tcase_add_test(tcase, nothing_is_due_before_its_time);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("fsm");
    tcase_add_test(tcase, a_machine_moves_along_its_table);
    tcase_add_test_raise_signal(tcase, a_move_outside_the_table_stops_the_process, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_broken_invariant_stops_the_process, SIGABRT);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("list");
    tcase_add_test(tcase, lists_keep_order_and_survive_removal_while_walking);
    suite_add_tcase(suite, tcase);
    return suite;
}
