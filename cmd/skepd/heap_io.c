#include "cmd/skepd/heap_io.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cmd/skepd/pages_io.h"
#include "proto/base/check.h"

void heap_settle(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

// What is resident: of the process's own in no piece of the heap that is in use, and of files.
struct use {
    size_t waste_bytes;
    size_t file_bytes;
};

// What malloc says of free bytes does not tell whether they have pages; nor of its large blocks,
// which may be room nobody has written to: these count as settled after the first time.
static struct use measure(const struct heap *heap)
{
    char text[128];
    size_t resident = 0, shared = 0;
    ssize_t size = pread(heap->fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return (struct use){0};
    text[size] = '\0';
    if (sscanf(text, "%*u %zu %zu", &resident, &shared) != 2 || shared > resident)
        return (struct use){0};
    size_t bytes = (resident - shared) * heap->page_bytes;
    size_t used = mallinfo2().uordblks;
    return (struct use){.waste_bytes = bytes > used ? bytes - used : 0,
                        .file_bytes = shared * heap->page_bytes};
}

static uint64_t worked_ms(void)
{
    struct timespec time = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void settle_heap(struct heap *heap, size_t waste_bytes, size_t slack_bytes)
{
    if (waste_bytes > heap->settled_bytes + slack_bytes) {
        malloc_trim(0);
        heap->settled_bytes = measure(heap).waste_bytes;
    } else if (waste_bytes < heap->settled_bytes) {
        heap->settled_bytes = waste_bytes;
    }
}

// What is there again at the next look is what an idle process uses.
static void settle_pages(struct heap *heap, size_t file_bytes)
{
    if (heap->pages_gone) {
        heap->pages_gone = false;
        heap->settled_file_bytes = file_bytes;
    } else if (file_bytes > heap->settled_file_bytes + HEAP_IDLE_BYTES) {
        pages_let_go();
        heap->pages_gone = true;
    }
}

// Of the time until the next look. What a start took goes soon.
static int64_t look_ms(const struct heap *heap)
{
    return heap->first_looks > 0 ? HEAP_FIRST_LOOK_MS : HEAP_LOOK_MS;
}

static void look(struct loop_timer *timer)
{
    struct heap *heap = CONTAINER_OF(timer, struct heap, timer);
    uint64_t worked = worked_ms();
    bool idle = worked - heap->worked_ms < (uint64_t)look_ms(heap) / HEAP_IDLE_PARTS;
    if (heap->first_looks > 0)
        heap->first_looks--;
    heap->worked_ms = worked;
    struct use use = measure(heap);
    settle_heap(heap, use.waste_bytes, idle ? HEAP_IDLE_BYTES : HEAP_WASTE_BYTES);
    if (idle)
        settle_pages(heap, use.file_bytes);
    else
        heap->pages_gone = false; // what is there now is what work uses
    loop_timer_start(timer, look_ms(heap));
}

void heap_start(struct heap *heap, struct loop *loop)
{
    *heap = (struct heap){
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
        .worked_ms = worked_ms(),
        .first_looks = HEAP_FIRST_LOOKS,
    };
    heap->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    loop_timer_init(&heap->timer, loop, look);
    if (heap->fd >= 0)
        loop_timer_start(&heap->timer, look_ms(heap));
}

void heap_stop(struct heap *heap)
{
    loop_timer_stop(&heap->timer);
    if (heap->fd >= 0)
        close(heap->fd);
    heap->fd = -1;
}
