// The heap of each of skepd's processes: one for all threads, and given back when it is idle.
//
// A process has one thread that does most of the work and a few that do jobs for it now and then,
// those of nftables, netlink and the log above all, which take megabytes for a moment. With a heap
// for each thread, as malloc would have it, each of them keeps that for ever; and what lies between
// pieces that are still in use goes back only when somebody asks for it.
#ifndef CMD_SKEPD_HEAP_IO_H
#define CMD_SKEPD_HEAP_IO_H

#include <stddef.h>

#include "proto/base/loop_io.h"

// How often the process's memory is looked at, and how much more of it must be of no use than after
// the last time that free pages were given back.
#define HEAP_LOOK_MS     3000
#define HEAP_WASTE_BYTES ((size_t)1 << 20)

struct heap {
    struct loop_timer timer;
    size_t settled_bytes; // resident and of no use, after the last time
    size_t page_bytes;
    int fd; // of what the system says about this process; -1: nothing
};

// Before any thread is made.
void heap_settle(void);

// Gives free pages back now and then, until stopped. Before the process is confined; later it needs
// no more than to read what it opens here.
void heap_start(struct heap *heap, struct loop *loop);
void heap_stop(struct heap *heap);

#endif
