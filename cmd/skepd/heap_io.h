// The heap of the node process: one for all threads, and given back when it is idle.
//
// The node process has one thread that works and a few that do jobs for it now and then, those of
// nftables and netlink above all, which take megabytes for a moment. With a heap for each thread,
// as malloc would have it, each of them keeps that for ever; and what lies between pieces that are
// still in use goes back only when somebody asks for it.
#ifndef CMD_SKEPD_HEAP_IO_H
#define CMD_SKEPD_HEAP_IO_H

#include <stddef.h>

#include "proto/base/loop_io.h"

// How often the process's memory is looked at, and how much more it must be than after the last
// time that free pages were given back.
#define HEAP_LOOK_MS      5000
#define HEAP_GROWTH_BYTES ((size_t)1 << 20)

struct heap {
    struct loop_timer timer;
    size_t settled_bytes; // private and resident, after the last time
};

// Before any thread is made.
void heap_settle(void);

// Gives free pages back now and then, until stopped.
void heap_start(struct heap *heap, struct loop *loop);
void heap_stop(struct heap *heap);

#endif
