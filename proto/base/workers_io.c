#include "proto/base/workers_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/check.h"

// Of a worker's stack; and how much of it may be worth giving back: nftables uses some 40 KB.
#define STACK_BYTES  ((size_t)8 << 20)
#define USED_BYTES   ((size_t)512 << 10)
#define REST_SECONDS 1

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct list jobs; // guarded by `lock`

// Gives back what the last jobs used of the thread's stack, below this call's own frames.
static void let_go_of_stack(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t to = ((uintptr_t)__builtin_frame_address(0) & ~(page - 1)) - 4 * page;
    // A failure means that pages stay.
    (void)madvise((void *)(to - USED_BYTES), USED_BYTES, MADV_DONTNEED);
}

// With the lock held. A worker that had nothing to do for a while lets go of its stack, once.
static void wait_for_jobs(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += REST_SECONDS;
    int rc = 0;
    while (list_empty(&jobs) && rc != ETIMEDOUT)
        rc = pthread_cond_clockwait(&more, &lock, CLOCK_MONOTONIC, &until);
    if (list_empty(&jobs)) {
        pthread_mutex_unlock(&lock);
        let_go_of_stack();
        pthread_mutex_lock(&lock);
    }
    while (list_empty(&jobs))
        pthread_cond_wait(&more, &lock);
}

static void *work(void *nothing)
{
    (void)nothing;
    pthread_setname_np(pthread_self(), "worker");
    for (;;) {
        pthread_mutex_lock(&lock);
        if (list_empty(&jobs))
            wait_for_jobs();
        struct workers_job *job = LIST_ENTRY(list_pop_front(&jobs), struct workers_job, link);
        pthread_mutex_unlock(&lock);
        job->run(job);
    }
    return NULL;
}

// They live as long as the process: nobody waits for them at its end.
static void make_workers(void)
{
    pthread_attr_t attr;
    list_init(&jobs);
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    for (int i = 0; i < WORKERS_COUNT; i++) {
        pthread_t thread;
        int result = pthread_create(&thread, &attr, work, NULL);
        CHECK(result == 0);
    }
    pthread_attr_destroy(&attr);
}

void workers_start(struct workers_job *job, void (*run)(struct workers_job *job))
{
    int result = pthread_once(&once, make_workers);
    CHECK(result == 0);
    job->run = run;
    pthread_mutex_lock(&lock);
    list_push_back(&jobs, &job->link);
    pthread_mutex_unlock(&lock);
    // Outside of the lock, or the woken worker meets it at once and goes to sleep again.
    pthread_cond_signal(&more);
}
