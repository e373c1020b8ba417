#include "cmd/skepd/pages_io.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// So much of a stack may have been in use and be empty again. The kernel keeps a megabyte below a
// main thread's stack free of anything else.
#define STACK_BYTES ((uintptr_t)512 << 10)

static uintptr_t page_floor(uintptr_t at)
{
    return at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

// Segments that cannot be written to hold just what their file does. (What the loader writes to and
// then closes, pointers among constants, lies in those that can.) A failure means that pages stay.
static int let_go_of_object(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        uintptr_t from = page_floor(object->dlpi_addr + segment->p_vaddr);
        uintptr_t to = object->dlpi_addr + segment->p_vaddr + segment->p_filesz;
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void pages_let_go(void)
{
    dl_iterate_phdr(let_go_of_object, NULL);
    // A page's distance from here: this call's own frames are in use.
    uintptr_t here = page_floor((uintptr_t)__builtin_frame_address(0));
    uintptr_t to = here - (uintptr_t)4 * (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)madvise((void *)(to - STACK_BYTES), STACK_BYTES, MADV_DONTNEED);
}
