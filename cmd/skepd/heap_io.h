// The memory of each of skepd's processes: one heap for all threads, given back when it is idle,
// and with it the pages of the program that only work needs.
//
// A process has one thread that does most of the work and a few that do jobs for it now and then,
// those of nftables, netlink and the log above all, which take megabytes for a moment. With a heap
// for each thread, as malloc would have it, each of them keeps that for ever; and what lies between
// pieces that are still in use goes back only when somebody asks for it.
#ifndef CMD_SKEPD_HEAP_IO_H
#define CMD_SKEPD_HEAP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/loop_io.h"

// How often the process's memory is looked at, at first and later, and how much more of it must be
// of no use than after the last time that free pages were given back.
#define HEAP_FIRST_LOOKS   10
#define HEAP_FIRST_LOOK_MS 500
#define HEAP_LOOK_MS       3000
#define HEAP_WASTE_BYTES   ((size_t)1 << 20)

// A process that worked for less than so many parts of the time since the last look is idle. Then
// less is given back, too, and the pages of files once so many more are mapped than it used the
// last time it was idle.
#define HEAP_IDLE_PARTS 100
#define HEAP_IDLE_BYTES ((size_t)256 << 10)

struct heap {
    struct loop_timer timer;
    size_t settled_bytes;      // resident and of no use, after the last time
    size_t settled_file_bytes; // of files, when idle
    uint64_t worked_ms;        // processor time at the last look
    bool pages_gone;           // at the last look
    unsigned first_looks;      // still to come
    size_t page_bytes;
    int fd; // of what the system says about this process; -1: nothing
};

// Before any thread is made.
void heap_settle(void);

// Gives pages back now and then, until stopped; on the main thread. Before the process is confined;
// later it needs no more than to read what it opens here.
void heap_start(struct heap *heap, struct loop *loop);
void heap_stop(struct heap *heap);

#endif
