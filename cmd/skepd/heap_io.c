#include "cmd/skepd/heap_io.h"

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

// Resident memory that is ours alone. What malloc says of free bytes does not tell whether they
// have pages.
static size_t private_bytes(void)
{
    size_t resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %zu %zu", &resident, &shared) != 2 || shared > resident)
        resident = shared = 0;
    fclose(file);
    return (resident - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

static void look(struct loop_timer *timer)
{
    struct heap *heap = CONTAINER_OF(timer, struct heap, timer);
    size_t bytes = private_bytes();
    if (bytes > heap->settled_bytes + HEAP_GROWTH_BYTES) {
        malloc_trim(0);
        heap->settled_bytes = private_bytes();
    } else if (bytes < heap->settled_bytes) {
        heap->settled_bytes = bytes;
    }
    loop_timer_start(timer, HEAP_LOOK_MS);
}

void heap_start(struct heap *heap, struct loop *loop)
{
    loop_timer_init(&heap->timer, loop, look);
    loop_timer_start(&heap->timer, HEAP_LOOK_MS);
}

void heap_stop(struct heap *heap)
{
    loop_timer_stop(&heap->timer);
}
