// Memory of what the store keeps: objects and tree nodes, in runs of equal pieces. Internal to the
// store.
//
// The heap at large would do, but for what lies between: each change makes megabytes of messages,
// entries and rows for a moment, and what stays of it, a few hundred bytes each, would pin the
// pages all around. Here what stays lies next to its like, so that memory is what the store holds
// and not how it came about. A run that has become empty goes back to the heap.
//
// A thread makes pieces in runs of its own, without locks (of a store that is the control thread).
// Any thread may free any piece: those of other threads wait until the owner makes another. Under
// the sanitizers each piece is one of the heap's, so that they see what is wrong with its life.
#ifndef MANAGER_STORE_SLAB_H
#define MANAGER_STORE_SLAB_H

#include <stddef.h>

// Larger pieces are the heap's.
#define SLAB_PIECE_BYTES_MAX 2048

// Bytes of a run, and the boundary it lies on.
#define SLAB_RUN_BYTES 32768

// Not zeroed, aligned for any type; never NULL. The piece outlives the thread that made it.
void *slab_alloc(size_t bytes);

// `bytes` as when it was made. NULL is fine.
void slab_free(void *piece, size_t bytes);

// Takes back what other threads freed of this thread's pieces and gives empty runs to the heap.
void slab_trim(void);

// Runs that this thread has: for tests and measurements.
size_t slab_runs(void);

#endif
