// The pool of threads for what would block a loop: a few threads, made with the first job, that
// take jobs in order. One that has none for a second gives back what they used of its stack.
//
// libuv has such a pool, but tells its loop of a finished job by uv_async_send, and the loop then
// spins until the sender has come back from its system call: with more threads than processors a
// wake-up so burns a whole time slice (seen: 25 ms for each commit on two busy processors).
#ifndef PROTO_BASE_WORKERS_IO_H
#define PROTO_BASE_WORKERS_IO_H

#include "proto/base/list.h"

#define WORKERS_COUNT 4

struct workers_job {
    struct list link;
    void (*run)(struct workers_job *job); // on a worker's thread
};

// From any thread. The job is its owner's again when run is called.
void workers_start(struct workers_job *job, void (*run)(struct workers_job *job));

#endif
