#include "agent/lb/closer_io.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent/lb/nftlib_io.h"
#include "proto/base/check.h"

// A context holds half a megabyte.
#define WAITING_MAX 16
#define STACK_BYTES (256u << 10)

struct leaving {
    struct nft_ctx *ctx;
    int fd;
};

// How long the end of the program waits for the thread.
#define END_SECONDS_MAX 2

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool tidied;  // end_with_program is asked for
    bool running; // the thread looks once more before it ends
    size_t count;
    struct leaving waiting[WAITING_MAX];
} closer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};

static void leave(const struct leaving *leaving)
{
    if (leaving->ctx)
        nftlib()->nft_ctx_free(leaving->ctx);
    if (leaving->fd >= 0)
        close(leaving->fd);
}

static bool closer_next(struct leaving *out)
{
    pthread_mutex_lock(&closer.mutex);
    bool some = closer.count > 0;
    closer.running = some;
    if (some)
        *out = closer.waiting[--closer.count];
    else
        pthread_cond_broadcast(&closer.ended);
    pthread_mutex_unlock(&closer.mutex);
    return some;
}

static void *closer_thread(void *arg)
{
    struct leaving leaving;
    (void)arg;
    while (closer_next(&leaving))
        leave(&leaving);
    return NULL;
}

// The library takes itself down when the program ends: nothing may still run in it then.
static void end_with_program(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += END_SECONDS_MAX;
    pthread_mutex_lock(&closer.mutex);
    while (closer.running && pthread_cond_timedwait(&closer.ended, &closer.mutex, &until) == 0) {
    }
    pthread_mutex_unlock(&closer.mutex);
}

// It takes no signals: these are the loop's.
static bool thread_start(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    bool started = pthread_create(&thread, &attr, closer_thread, NULL) == 0;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    pthread_attr_destroy(&attr);
    return started;
}

void closer_take(struct nft_ctx *ctx, int fd)
{
    const struct leaving leaving = {.ctx = ctx, .fd = fd};
    if (!ctx && fd < 0)
        return;
    pthread_mutex_lock(&closer.mutex);
    if (!closer.tidied)
        closer.tidied = atexit(end_with_program) == 0;
    if (closer.tidied && !closer.running)
        closer.running = thread_start();
    bool taken = closer.running && closer.count < WAITING_MAX;
    if (taken)
        closer.waiting[closer.count++] = leaving;
    pthread_mutex_unlock(&closer.mutex);
    if (!taken)
        leave(&leaving);
}
