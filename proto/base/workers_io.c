#include "proto/base/workers_io.h"

#include <pthread.h>

#include "proto/base/check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct list jobs; // guarded by `lock`

static void *work(void *nothing)
{
    (void)nothing;
    pthread_setname_np(pthread_self(), "worker");
    for (;;) {
        pthread_mutex_lock(&lock);
        while (list_empty(&jobs))
            pthread_cond_wait(&more, &lock);
        struct workers_job *job = LIST_ENTRY(list_pop_front(&jobs), struct workers_job, link);
        pthread_mutex_unlock(&lock);
        job->run(job);
    }
    return NULL;
}

// They live as long as the process: nobody waits for them at its end.
static void make_workers(void)
{
    list_init(&jobs);
    for (int i = 0; i < WORKERS_COUNT; i++) {
        pthread_t thread;
        int result = pthread_create(&thread, NULL, work, NULL);
        CHECK(result == 0);
        pthread_detach(thread);
    }
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
