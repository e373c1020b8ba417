// An event loop on one thread: libuv with the four things every shell here needs: work posted from
// other threads, timers, jobs for the worker pool, and "once, at the end of this turn".
//
// One loop belongs to one thread. Everything here is called on that thread, but for loop_post and
// loop_stop. Structs are embedded in the caller's own and found again with CONTAINER_OF, so
// starting something never allocates and never fails; the caller keeps them alive until they ran or
// were stopped. Callbacks never run before the call that starts them returns.
#ifndef PROTO_BASE_LOOP_IO_H
#define PROTO_BASE_LOOP_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/timer.h"
#include "proto/base/workers_io.h"

struct loop {
    unsigned magic;
    uv_loop_t uv; // for handles of the caller's own: uv_tcp_init(&loop->uv, ...)
    uv_poll_t wake;
    int wake_fd;        // an eventfd: readable when woken
    uv_mutex_t lock;    // guards posted, stopping and woken
    struct list posted; // loop_post.link, oldest first
    bool stopping;
    bool woken;
    atomic_uint wakers; // threads about to write to wake_fd
    size_t jobs;        // of loop_work_start, under way
    bool ending;        // in loop_fini
    struct timers timers;
    uv_timer_t alarm;  // wakes for the earliest of `timers`
    struct list later; // loop_later.link
    bool watched;      // inside loop_run_until
    uv_prepare_t before_poll;
    uv_idle_t again; // runs while the loop must come straight back instead of waiting
};

// Also has the process ignore SIGPIPE, which nobody who owns a loop wants.
void loop_init(struct loop *loop);

// Frees the loop, once what is closing has closed: it runs for so long, with its timers and what
// was asked for the end of a turn. Jobs under way end first and tell it. Every handle of the
// callers must be closed or closing: one left open is a broken invariant, or keeps this from ever
// returning. Posts that did not run yet run now.
void loop_fini(struct loop *loop);

// Runs until loop_stop. May be called again afterwards.
void loop_run(struct loop *loop);

// Runs callbacks until `done` says true or the time is over; true when it was done. For tests and
// for programs that wait for one thing.
bool loop_run_until(struct loop *loop, bool (*done)(void *ctx), void *ctx, int64_t timeout_ms);

// Ends loop_run after the present turn. From any thread.
void loop_stop(struct loop *loop);

// The monotonic time as of this turn's start: cheap, the same for all callbacks of one turn.
struct mono loop_now(const struct loop *loop);

// ---- posts: from any thread to the loop ---------------------------------------------------------

struct loop_post {
    struct list link;
    void (*run)(struct loop_post *post);
};

// Runs post->run on the loop's thread, in the order posted. From any thread; `post` must not be
// posted already. Queues of posts are bounded by who owns them: each owner has a fixed number of
// posts.
void loop_post(struct loop *loop, struct loop_post *post, void (*run)(struct loop_post *post));

// ---- timers -------------------------------------------------------------------------------------

struct loop_timer {
    struct timer timer;
    struct loop *loop;
    void (*fire)(struct loop_timer *timer);
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
                     void (*fire)(struct loop_timer *timer));

// Fires once, `delay_ms` from now (not from the turn's start); starting again moves it.
void loop_timer_start(struct loop_timer *timer, int64_t delay_ms);

// Fires once at `due`, on the clock of loop_now.
void loop_timer_start_at(struct loop_timer *timer, struct mono due);

// Harmless when it is not running.
void loop_timer_stop(struct loop_timer *timer);

static inline bool loop_timer_running(const struct loop_timer *timer)
{
    return timer_is_set(&timer->timer);
}

// ---- once, at the end of the turn ---------------------------------------------------------------

struct loop_later {
    struct list link;
    struct loop *loop;
    void (*run)(struct loop_later *later);
};

void loop_later_init(struct loop_later *later, struct loop *loop,
                     void (*run)(struct loop_later *later));

// Runs once after all callbacks that are ready now, before the loop waits again; asking twice in
// one turn is once. This is how many writes become one commit and one flush.
void loop_later_ask(struct loop_later *later);
void loop_later_cancel(struct loop_later *later);

// ---- jobs for the worker pool -------------------------------------------------------------------

struct loop_work {
    struct workers_job job;
    struct loop *loop;
    struct loop_post post; // it is done
    void (*work)(struct loop_work *work);
    void (*done)(struct loop_work *work);
};

// Runs `work` on a pool thread, then `done` on the loop. `work` touches nothing but its own inputs.
void loop_work_start(struct loop *loop, struct loop_work *work, void (*run)(struct loop_work *work),
                     void (*done)(struct loop_work *work));

// ---- a loop with a thread of its own ------------------------------------------------------------

struct loop_thread {
    struct loop loop;
    uv_thread_t thread;
    char name[16];
};

// Starts a thread that runs its loop. `name` is cut to 15 characters.
void loop_thread_start(struct loop_thread *thread, const char *name);

// Stops the loop, waits for the thread and frees the loop (see loop_fini).
void loop_thread_stop(struct loop_thread *thread);

#endif
