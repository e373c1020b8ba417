// The loop runs posts in order, timers on time, "later" once a turn, and jobs off the loop's
// thread.
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/loop_io.h"

static bool is_set(void *flag)
{
    return *(int *)flag != 0;
}

struct probe {
    struct loop *loop;
    struct loop_post post;
    struct loop_timer timer;
    struct loop_later later;
    struct loop_work work;
    int runs;
    int number;
    pthread_t where;
    int *order;
};

static void on_timer(struct loop_timer *timer)
{
    struct probe *probe = CONTAINER_OF(timer, struct probe, timer);
    probe->runs++;
    if (probe->order)
        probe->number = (*probe->order)++;
}

START_TEST(timers_fire_once_in_order_and_not_early)
{
    struct loop loop;
    loop_init(&loop);
    int order = 0;
    struct probe late = {.order = &order}, early = {.order = &order}, never = {.order = &order};
    loop_timer_init(&late.timer, &loop, on_timer);
    loop_timer_init(&early.timer, &loop, on_timer);
    loop_timer_init(&never.timer, &loop, on_timer);
    struct mono start = mono_now();
    loop_timer_start(&late.timer, 20);
    loop_timer_start(&early.timer, 5);
    loop_timer_start(&never.timer, 1);
    loop_timer_stop(&never.timer);
    ck_assert(loop_run_until(&loop, is_set, &late.runs, 30000));
    ck_assert_int_ge(mono_since(mono_now(), start), 19 * NS_PER_MS);
    ck_assert_int_eq(early.runs, 1);
    ck_assert_int_eq(never.runs, 0);
    ck_assert_int_lt(early.number, late.number);
    loop_fini(&loop);
}
END_TEST

static void on_timer_again(struct loop_timer *timer)
{
    CONTAINER_OF(timer, struct probe, timer)->runs++;
    loop_timer_start(timer, 0);
}

START_TEST(a_timer_that_starts_itself_for_now_does_not_starve_the_loop)
{
    struct loop loop;
    loop_init(&loop);
    struct probe again = {0}, other = {0};
    loop_timer_init(&again.timer, &loop, on_timer_again);
    loop_timer_init(&other.timer, &loop, on_timer);
    loop_timer_start(&again.timer, 0);
    loop_timer_start(&other.timer, 10);
    ck_assert(loop_run_until(&loop, is_set, &other.runs, 30000));
    ck_assert_int_gt(again.runs, 0);
    loop_timer_stop(&again.timer);
    loop_fini(&loop);
}
END_TEST

static atomic_int posts_run;

static void on_post(struct loop_post *post)
{
    struct probe *probe = CONTAINER_OF(post, struct probe, post);
    probe->number = posts_run++;
    probe->where = pthread_self();
}

START_TEST(posts_from_another_thread_run_in_order_on_the_loops_thread)
{
    enum { POSTS = 100 };
    static struct probe probes[POSTS];
    struct loop_thread thread;
    loop_thread_start(&thread, "test");
    for (int i = 0; i < POSTS; i++)
        loop_post(&thread.loop, &probes[i].post, on_post);
    loop_thread_stop(&thread); // what was posted before still runs
    ck_assert_int_eq(posts_run, POSTS);
    for (int i = 0; i < POSTS; i++) {
        ck_assert_int_eq(probes[i].number, i);
        if (i > 0)
            ck_assert_int_le(probes[i - 1].number, probes[i].number);
    }
}
END_TEST

static void on_later(struct loop_later *later)
{
    CONTAINER_OF(later, struct probe, later)->runs++;
}

static void ask_twice(struct loop_post *post)
{
    struct probe *probe = CONTAINER_OF(post, struct probe, post);
    loop_later_ask(&probe->later);
    loop_later_ask(&probe->later);
    probe->number = 1;
}

START_TEST(later_runs_once_however_often_it_is_asked_for_in_a_turn)
{
    struct loop loop;
    loop_init(&loop);
    struct probe probe = {.loop = &loop}, cancelled = {0};
    loop_later_init(&probe.later, &loop, on_later);
    loop_later_init(&cancelled.later, &loop, on_later);
    loop_later_ask(&cancelled.later);
    loop_later_cancel(&cancelled.later);
    loop_post(&loop, &probe.post, ask_twice);
    ck_assert(loop_run_until(&loop, is_set, &probe.runs, 30000));
    ck_assert_int_eq(probe.runs, 1);
    ck_assert_int_eq(cancelled.runs, 0);
    loop_fini(&loop);
}
END_TEST

static void job(struct loop_work *work)
{
    CONTAINER_OF(work, struct probe, work)->where = pthread_self();
}

static void job_done(struct loop_work *work)
{
    CONTAINER_OF(work, struct probe, work)->runs++;
}

START_TEST(jobs_run_elsewhere_and_end_here)
{
    struct loop loop;
    loop_init(&loop);
    struct probe probe = {0};
    loop_work_start(&loop, &probe.work, job, job_done);
    ck_assert_int_eq(probe.runs, 0); // never before the call returns
    ck_assert(loop_run_until(&loop, is_set, &probe.runs, 30000));
    ck_assert(!pthread_equal(probe.where, pthread_self()));
    loop_fini(&loop);
}
END_TEST

// Where a job's frames were.
static uintptr_t deep;

static __attribute__((noinline)) unsigned go_deep(void)
{
    volatile unsigned char room[256 << 10];
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof room; i += 512)
        room[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof room; i += 512)
        sum += room[i];
    deep = (uintptr_t)__builtin_frame_address(0) - ((uintptr_t)128 << 10);
    return sum;
}

static void deep_job(struct loop_work *work)
{
    CONTAINER_OF(work, struct probe, work)->number = (int)go_deep();
}

static bool is_let_go(void *ctx)
{
    unsigned char there = 1;
    (void)ctx;
    return mincore((void *)(deep & ~(uintptr_t)4095), 1, &there) == 0 && !(there & 1);
}

static void nothing(struct loop_timer *timer)
{
    loop_timer_start(timer, 50); // only there to have it looked again
}

// Goal: what jobs used of a stack is given back while there are none, and the next ones run.
START_TEST(a_worker_without_jobs_lets_go_of_its_stack)
{
    struct loop loop;
    loop_init(&loop);
    struct probe first = {0}, second = {0}, ticking = {0};
    loop_work_start(&loop, &first.work, deep_job, job_done);
    ck_assert(loop_run_until(&loop, is_set, &first.runs, 30000));
    loop_timer_init(&ticking.timer, &loop, nothing);
    loop_timer_start(&ticking.timer, 50);
    ck_assert(loop_run_until(&loop, is_let_go, NULL, 60000));
    loop_timer_stop(&ticking.timer);
    loop_work_start(&loop, &second.work, deep_job, job_done);
    ck_assert(loop_run_until(&loop, is_set, &second.runs, 30000));
    ck_assert_int_eq(second.number, first.number);
    loop_fini(&loop);
}
END_TEST

START_TEST(a_loop_ends_after_its_jobs)
{
    struct loop loop;
    loop_init(&loop);
    struct probe probes[8] = {0};
    for (int i = 0; i < 8; i++)
        loop_work_start(&loop, &probes[i].work, job, job_done);
    loop_fini(&loop);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(probes[i].runs, 1);
}
END_TEST

START_TEST(waiting_for_what_never_comes_ends_at_the_deadline)
{
    struct loop loop;
    loop_init(&loop);
    int never = 0;
    ck_assert(!loop_run_until(&loop, is_set, &never, 20));
    loop_fini(&loop);
}
END_TEST

Suite *suite_loop_io(void);
Suite *suite_loop_io(void)
{
    Suite *suite = suite_create("loop_io");
    TCase *tcase = tcase_create("loop_io");
    tcase_add_test(tcase, timers_fire_once_in_order_and_not_early);
    tcase_add_test(tcase, a_timer_that_starts_itself_for_now_does_not_starve_the_loop);
    tcase_add_test(tcase, posts_from_another_thread_run_in_order_on_the_loops_thread);
    tcase_add_test(tcase, later_runs_once_however_often_it_is_asked_for_in_a_turn);
    tcase_add_test(tcase, jobs_run_elsewhere_and_end_here);
    tcase_add_test(tcase, a_worker_without_jobs_lets_go_of_its_stack);
    tcase_add_test(tcase, a_loop_ends_after_its_jobs);
    tcase_add_test(tcase, waiting_for_what_never_comes_ends_at_the_deadline);
    suite_add_tcase(suite, tcase);
    return suite;
}
