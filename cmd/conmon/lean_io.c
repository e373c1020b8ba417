// libsystemd for conmon, without what it takes.
//
// conmon is linked with libsystemd for one call: writing a container's output to the journal, which
// we never ask for. The library brings six others with it (gcrypt, lzma, zstd, ...), whose
// relocated pages are private to every process: a third of what a conmon holds, for each container
// on the node. Loaded before it (LD_PRELOAD), this file has its name, so that it is not loaded at
// all. skepd tries at its start whether the conmon it found runs with it; one that needs more of
// libsystemd gets the real one.
#include <errno.h>
#include <stdlib.h>

__attribute__((visibility("default"))) int
sd_journal_sendv_with_location(const char *file, const char *line, const char *func,
                               const void *pieces, int count);

int sd_journal_sendv_with_location(const char *file, const char *line, const char *func,
                                   const void *pieces, int count)
{
    (void)file;
    (void)line;
    (void)func;
    (void)pieces;
    (void)count;
    return -ENOSYS;
}

// What conmon starts (the runtime, and through it the container) is to have the real library.
__attribute__((constructor)) static void lean_begin(void)
{
    unsetenv("LD_PRELOAD");
}
