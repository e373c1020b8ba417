#include "manager/store/slab.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/list.h"
#include "proto/base/str.h"

#define RUN_MAGIC 0x736c6162u

// Pieces are rounded up to this.
#define STEP_BYTES 32
#define SIZES      (SLAB_PIECE_BYTES_MAX / STEP_BYTES)

// malloc's own words between two runs: with them, runs lie side by side.
#define RUN_GAP_BYTES 32

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define WATCHED 1
#endif
#endif
#ifndef WATCHED
#define WATCHED 0
#endif

// A piece that is free.
struct spare {
    struct spare *next;
};

struct run {
    unsigned magic;
    uint32_t piece_bytes;
    uint32_t used;
    uint32_t fresh; // the first byte that was never given out
    struct slab *slab;
    struct spare *spare; // given back
    struct list link;    // slab.open of its size while it has room
};

struct slab {
    struct list open[SIZES];        // runs with room, those to be filled first in front
    struct run *empty[SIZES];       // one each is kept: a piece may come and go
    _Atomic(struct spare *) strays; // freed by other threads
    size_t runs;
};

static _Thread_local struct slab *own;

// Where the first piece lies.
static const uint32_t first_byte = (sizeof(struct run) + _Alignof(max_align_t) - 1) /
                                   _Alignof(max_align_t) * _Alignof(max_align_t);

static struct run *run_of(const void *piece)
{
    struct run *run = (struct run *)((uintptr_t)piece & ~(uintptr_t)(SLAB_RUN_BYTES - 1));
    CHECK(run->magic == RUN_MAGIC);
    return run;
}

static unsigned size_of_bytes(size_t bytes)
{
    return bytes == 0 ? 0 : (unsigned)((bytes - 1) / STEP_BYTES);
}

static unsigned size_of_run(const struct run *run)
{
    return run->piece_bytes / STEP_BYTES - 1;
}

static bool has_room(const struct run *run)
{
    return run->spare || run->fresh + run->piece_bytes <= SLAB_RUN_BYTES - RUN_GAP_BYTES;
}

static struct run *run_new(struct slab *slab, unsigned size)
{
    struct run *run = aligned_alloc(SLAB_RUN_BYTES, SLAB_RUN_BYTES - RUN_GAP_BYTES);
    CHECK(run);
    *run = (struct run){
        .magic = RUN_MAGIC,
        .piece_bytes = (size + 1) * STEP_BYTES,
        .fresh = first_byte,
        .slab = slab,
    };
    list_init(&run->link);
    slab->runs++;
    return run;
}

static void run_free(struct slab *slab, struct run *run)
{
    CHECK(run->used == 0);
    list_remove(&run->link);
    run->magic = 0;
    slab->runs--;
    free(run);
}

static void put_back(struct slab *slab, struct run *run, void *piece)
{
    CHECK(run->slab == slab);
    CHECK(run->used > 0);
    struct spare *spare = piece;
    spare->next = run->spare;
    run->spare = spare;
    unsigned size = size_of_run(run);
    // Nearly full: to be filled up before others, which may become empty.
    if (list_empty(&run->link))
        list_push_front(&slab->open[size], &run->link);
    if (--run->used > 0)
        return;
    if (slab->empty[size] && slab->empty[size] != run)
        run_free(slab, slab->empty[size]);
    slab->empty[size] = run;
    list_remove(&run->link);
    list_push_back(&slab->open[size], &run->link);
}

static void take_strays(struct slab *slab)
{
    if (!atomic_load_explicit(&slab->strays, memory_order_relaxed))
        return;
    struct spare *stray = atomic_exchange_explicit(&slab->strays, NULL, memory_order_acquire);
    while (stray) {
        struct spare *next = stray->next;
        put_back(slab, run_of(stray), stray);
        stray = next;
    }
}

static struct slab *own_slab(void)
{
    if (own)
        return own;
    own = MEM_NEW(struct slab);
    for (unsigned size = 0; size < SIZES; size++)
        list_init(&own->open[size]);
    return own;
}

void *slab_alloc(size_t bytes)
{
    if (WATCHED || bytes > SLAB_PIECE_BYTES_MAX) {
        void *piece = malloc(bytes);
        CHECK(piece);
        return piece;
    }
    struct slab *slab = own_slab();
    unsigned size = size_of_bytes(bytes);
    struct list *open = &slab->open[size];
    if (list_empty(open))
        take_strays(slab);
    if (list_empty(open))
        list_push_back(open, &run_new(slab, size)->link);
    struct run *run = LIST_ENTRY(open->next, struct run, link);
    void *piece = run->spare;
    if (piece) {
        run->spare = run->spare->next;
    } else {
        piece = (uint8_t *)run + run->fresh;
        run->fresh += run->piece_bytes;
    }
    if (run->used++ == 0 && slab->empty[size] == run)
        slab->empty[size] = NULL;
    if (!has_room(run))
        list_remove(&run->link);
    return piece;
}

void slab_free(void *piece, size_t bytes)
{
    if (!piece)
        return;
    if (WATCHED || bytes > SLAB_PIECE_BYTES_MAX) {
        free(piece);
        return;
    }
    struct run *run = run_of(piece);
    CHECK(size_of_run(run) == size_of_bytes(bytes));
    struct slab *slab = run->slab;
    if (slab == own) {
        put_back(slab, run, piece);
        return;
    }
    struct spare *stray = piece;
    stray->next = atomic_load_explicit(&slab->strays, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&slab->strays, &stray->next, stray,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

void slab_trim(void)
{
    if (!own)
        return;
    take_strays(own);
    for (unsigned size = 0; size < SIZES; size++)
        if (own->empty[size]) {
            run_free(own, own->empty[size]);
            own->empty[size] = NULL;
        }
}

size_t slab_runs(void)
{
    return own ? own->runs : 0;
}
