#include "proto/base/loop_io.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define LOOP_MAGIC 0x6c6f6f70u

static struct loop *loop_of(void *data)
{
    struct loop *loop = data;
    MAGIC_CHECK(loop, LOOP_MAGIC);
    return loop;
}

// ---- timers -------------------------------------------------------------------------------------

static void on_alarm(uv_timer_t *handle);

// Points the alarm at the earliest timer. libuv counts whole milliseconds: round up, or the alarm
// would spin until the last fraction has passed.
static void set_alarm(struct loop *loop)
{
    struct mono due = timers_next_due(&loop->timers);
    if (due.ns == MONO_NEVER.ns) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    int64_t wait_ns = mono_since(due, loop_now(loop));
    uint64_t wait_ms = wait_ns > 0 ? (uint64_t)((wait_ns - 1) / NS_PER_MS + 1) : 0;
    uv_timer_start(&loop->alarm, on_alarm, wait_ms, 0);
}

static void on_alarm(uv_timer_t *handle)
{
    struct loop *loop = loop_of(handle->data);
    // What a callback starts for "now" waits for the next turn, or two of them could starve the
    // rest.
    struct mono now = loop_now(loop);
    uint64_t newest = loop->timers.next_order;
    for (struct timer *timer; (timer = timers_pop_due(&loop->timers, now));) {
        if (timer->order >= newest) {
            timers_set(&loop->timers, timer, timer->due);
            break;
        }
        struct loop_timer *it = CONTAINER_OF(timer, struct loop_timer, timer);
        it->fire(it);
    }
    set_alarm(loop);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
                     void (*fire)(struct loop_timer *timer))
{
    *timer = (struct loop_timer){.loop = loop, .fire = fire};
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_ms)
{
    CHECK(delay_ms >= 0);
    loop_timer_start_at(timer, mono_add(mono_now(), delay_ms * NS_PER_MS));
}

void loop_timer_start_at(struct loop_timer *timer, struct mono due)
{
    timers_set(&timer->loop->timers, &timer->timer, due);
    set_alarm(timer->loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
    // The alarm may now be early; it finds nothing due and is set anew.
    timers_cancel(&timer->loop->timers, &timer->timer);
}

struct mono loop_now(const struct loop *loop)
{
    // libuv's cached time is CLOCK_MONOTONIC in whole milliseconds, the same clock as mono_now.
    return (struct mono){.ns = (int64_t)uv_now(&loop->uv) * NS_PER_MS};
}

// ---- posts and stopping -------------------------------------------------------------------------

// Runs what was posted so far; what those posts post runs in the next turn. True when the loop is
// asked to stop.
static bool run_posts(struct loop *loop)
{
    struct list ready;
    list_init(&ready);
    uv_mutex_lock(&loop->lock);
    loop->woken = false;
    bool stopping = loop->stopping;
    loop->stopping = false;
    while (!list_empty(&loop->posted))
        list_push_back(&ready, list_pop_front(&loop->posted));
    uv_mutex_unlock(&loop->lock);
    for (struct list *link; (link = list_pop_front(&ready));) {
        struct loop_post *post = LIST_ENTRY(link, struct loop_post, link);
        post->run(post);
    }
    return stopping;
}

// Makes the loop look at its posts. Comes with the lock held and gives it back.
//
// An eventfd of our own instead of uv_async_t: libuv's receiver spins until the sender has come
// back from its write, which on busy processors lasts a time slice (workers_io.h). The write is
// outside of the lock, which the woken thread takes first: it would go to sleep again at once. What
// keeps the loop from being freed meanwhile is that loop_fini waits for `wakers`.
static void unlock_and_wake(struct loop *loop)
{
    bool wakes = !loop->woken;
    loop->woken = true;
    if (wakes)
        atomic_fetch_add_explicit(&loop->wakers, 1, memory_order_relaxed);
    uv_mutex_unlock(&loop->lock);
    if (!wakes)
        return;
    int result = eventfd_write(loop->wake_fd, 1);
    CHECK(result == 0);
    atomic_fetch_sub_explicit(&loop->wakers, 1, memory_order_release);
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct loop *loop = loop_of(handle->data);
    // Before the posts are taken: who posts from then on writes again.
    eventfd_t count;
    eventfd_read(loop->wake_fd, &count);
    if (run_posts(loop))
        uv_stop(&loop->uv);
}

void loop_post(struct loop *loop, struct loop_post *post, void (*run)(struct loop_post *post))
{
    uv_mutex_lock(&loop->lock);
    post->run = run;
    list_push_back(&loop->posted, &post->link);
    unlock_and_wake(loop);
}

void loop_stop(struct loop *loop)
{
    uv_mutex_lock(&loop->lock);
    loop->stopping = true;
    unlock_and_wake(loop);
}

// ---- the end of the turn ------------------------------------------------------------------------

static void on_again(uv_idle_t *handle)
{
    (void)handle; // only there to keep the loop from waiting
}

static void on_before_poll(uv_prepare_t *handle)
{
    struct loop *loop = loop_of(handle->data);
    // One that asks again from inside its own run would keep the loop from ever waiting: run each
    // asked so far once, and come straight back for the rest.
    struct list ready;
    list_init(&ready);
    bool ran = !list_empty(&loop->later);
    while (!list_empty(&loop->later))
        list_push_back(&ready, list_pop_front(&loop->later));
    for (struct list *link; (link = list_pop_front(&ready));) {
        struct loop_later *later = LIST_ENTRY(link, struct loop_later, link);
        later->run(later);
    }
    // Somebody who waits for a condition must look again before the loop sleeps on. An idle handle
    // makes the loop look for what is ready without waiting; the eventfd would cost two system
    // calls more.
    if (!list_empty(&loop->later) || (loop->watched && ran))
        uv_idle_start(&loop->again, on_again);
    else
        uv_idle_stop(&loop->again);
}

void loop_later_init(struct loop_later *later, struct loop *loop,
                     void (*run)(struct loop_later *later))
{
    *later = (struct loop_later){.loop = loop, .run = run};
    list_init(&later->link);
}

void loop_later_ask(struct loop_later *later)
{
    if (list_empty(&later->link))
        list_push_back(&later->loop->later, &later->link);
}

void loop_later_cancel(struct loop_later *later)
{
    list_remove(&later->link);
}

// ---- jobs ---------------------------------------------------------------------------------------

static void on_work_done(struct loop_post *post)
{
    struct loop_work *work = CONTAINER_OF(post, struct loop_work, post);
    struct loop *loop = work->loop;
    if (--loop->jobs == 0 && loop->ending)
        uv_unref((uv_handle_t *)&loop->wake);
    work->done(work);
}

static void on_work(struct workers_job *job)
{
    struct loop_work *work = CONTAINER_OF(job, struct loop_work, job);
    work->work(work);
    loop_post(work->loop, &work->post, on_work_done);
}

void loop_work_start(struct loop *loop, struct loop_work *work, void (*run)(struct loop_work *work),
                     void (*done)(struct loop_work *work))
{
    work->loop = loop;
    work->work = run;
    work->done = done;
    // The loop does not end before its jobs have: they come back to it.
    if (loop->jobs++ == 0 && loop->ending)
        uv_ref((uv_handle_t *)&loop->wake);
    workers_start(&work->job, on_work);
}

// ---- life ---------------------------------------------------------------------------------------

void loop_init(struct loop *loop)
{
    // libuv writes to sockets whose peer may be gone; the error says so, the signal would kill.
    signal(SIGPIPE, SIG_IGN);
    *loop = (struct loop){0};
    MAGIC_SET(loop, LOOP_MAGIC);
    int result = uv_loop_init(&loop->uv);
    CHECK(result == 0);
    result = uv_mutex_init(&loop->lock);
    CHECK(result == 0);
    list_init(&loop->posted);
    list_init(&loop->later);
    timers_init(&loop->timers);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(loop->wake_fd >= 0);
    result = uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd);
    CHECK(result == 0);
    uv_timer_init(&loop->uv, &loop->alarm);
    uv_prepare_init(&loop->uv, &loop->before_poll);
    uv_idle_init(&loop->uv, &loop->again);
    loop->wake.data = loop->alarm.data = loop->before_poll.data = loop;
    uv_prepare_start(&loop->before_poll, on_before_poll);
    result = uv_poll_start(&loop->wake, UV_READABLE, on_wake);
    CHECK(result == 0);
}

void loop_fini(struct loop *loop)
{
    MAGIC_CHECK(loop, LOOP_MAGIC);
    (void)run_posts(loop);
    // What is closing may need some turns more: a connection says goodbye, a client is freed at the
    // end of a turn, with a timer to limit both. The loop's own handles must not keep it running,
    // but have to work until then.
    loop->ending = true;
    if (loop->jobs == 0)
        uv_unref((uv_handle_t *)&loop->wake);
    uv_unref((uv_handle_t *)&loop->alarm);
    uv_unref((uv_handle_t *)&loop->before_poll);
    uv_unref((uv_handle_t *)&loop->again);
    do {
        on_before_poll(&loop->before_poll);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    } while (!list_empty(&loop->later));
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_close((uv_handle_t *)&loop->before_poll, NULL);
    uv_close((uv_handle_t *)&loop->again, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int result = uv_loop_close(&loop->uv);
    CHECK(result == 0); // a handle was left open
    while (atomic_load_explicit(&loop->wakers, memory_order_acquire) > 0)
        ; // one system call of theirs, which we may not be allowed to yield to
    close(loop->wake_fd);
    timers_fini(&loop->timers);
    uv_mutex_destroy(&loop->lock);
    MAGIC_CLEAR(loop);
}

void loop_run(struct loop *loop)
{
    MAGIC_CHECK(loop, LOOP_MAGIC);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void nothing(struct loop_timer *timer)
{
    (void)timer; // only there to wake the loop
}

bool loop_run_until(struct loop *loop, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms)
{
    struct mono deadline = mono_add(mono_now(), timeout_ms * NS_PER_MS);
    struct loop_timer alarm;
    loop_timer_init(&alarm, loop, nothing);
    loop_timer_start_at(&alarm, deadline);
    bool is_done;
    loop->watched = true;
    while (!(is_done = done(ctx)) && mono_before(mono_now(), deadline))
        uv_run(&loop->uv, UV_RUN_ONCE);
    loop->watched = false;
    loop_timer_stop(&alarm);
    return is_done;
}

static void thread_main(void *data)
{
    struct loop_thread *thread = data;
    pthread_setname_np(pthread_self(), thread->name);
    loop_run(&thread->loop);
}

void loop_thread_start(struct loop_thread *thread, const char *name)
{
    loop_init(&thread->loop);
    str_copy(thread->name, sizeof thread->name, name);
    int result = uv_thread_create(&thread->thread, thread_main, thread);
    CHECK(result == 0);
}

void loop_thread_stop(struct loop_thread *thread)
{
    loop_stop(&thread->loop);
    uv_thread_join(&thread->thread);
    loop_fini(&thread->loop);
}
