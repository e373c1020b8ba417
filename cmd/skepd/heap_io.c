#include "cmd/skepd/heap_io.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/check.h"

void heap_settle(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

// Resident memory that is ours alone and in no piece of the heap that is in use. What malloc says
// of free bytes does not tell whether they have pages; nor of its large blocks, which may be room
// nobody has written to: these count as settled after the first time.
static size_t waste_bytes(const struct heap *heap)
{
    char text[128];
    size_t resident = 0, shared = 0;
    ssize_t size = pread(heap->fd, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    if (sscanf(text, "%*u %zu %zu", &resident, &shared) != 2 || shared > resident)
        return 0;
    size_t bytes = (resident - shared) * heap->page_bytes;
    size_t used = mallinfo2().uordblks;
    return bytes > used ? bytes - used : 0;
}

static void look(struct loop_timer *timer)
{
    struct heap *heap = CONTAINER_OF(timer, struct heap, timer);
    size_t bytes = waste_bytes(heap);
    if (bytes > heap->settled_bytes + HEAP_WASTE_BYTES) {
        malloc_trim(0);
        heap->settled_bytes = waste_bytes(heap);
    } else if (bytes < heap->settled_bytes) {
        heap->settled_bytes = bytes;
    }
    loop_timer_start(timer, HEAP_LOOK_MS);
}

void heap_start(struct heap *heap, struct loop *loop)
{
    heap->settled_bytes = 0;
    heap->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    heap->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    loop_timer_init(&heap->timer, loop, look);
    if (heap->fd >= 0)
        loop_timer_start(&heap->timer, HEAP_LOOK_MS);
}

void heap_stop(struct heap *heap)
{
    loop_timer_stop(&heap->timer);
    if (heap->fd >= 0)
        close(heap->fd);
    heap->fd = -1;
}
