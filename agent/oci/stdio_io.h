// Attaching to a container's standard streams through conmon's socket, any number at once.
#ifndef AGENT_OCI_STDIO_IO_H
#define AGENT_OCI_STDIO_IO_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct stdio;

// Most bytes that may wait for the container to read its input.
#define STDIO_INPUT_BYTES (1u << 20)

struct stdio_events {
    // Bytes on stream 1 (also everything of a TTY) or 2, from the moment of attaching on.
    void (*output)(void *owner, int stream, const void *bytes, size_t size);
    // Once, when the container or conmon ended. The stdio is still to be closed.
    void (*ended)(void *owner);
};

// `dir` is the container's state folder (runtime_dir). Attach between create and start to miss
// nothing. NOT_FOUND, UNAVAILABLE.
int stdio_attach(struct loop *loop, const char *dir, const struct stdio_events *events, void *owner,
                 struct stdio **out, struct err *err);

// Queues input (copied). RESOURCE_EXHAUSTED when more than STDIO_INPUT_BYTES wait.
int stdio_write(struct stdio *stdio, const void *bytes, size_t size, struct err *err);

// Ends the container's standard input once the queue is written.
void stdio_close_stdin(struct stdio *stdio);

int stdio_resize(struct stdio *stdio, uint16_t rows, uint16_t columns, struct err *err);

// Stops or restarts reading: a slow reader must pause, or conmon drops what its socket cannot hold.
void stdio_pause(struct stdio *stdio, bool pause);

// Detaches; no callback comes afterwards. The container runs on.
void stdio_close(struct stdio *stdio);

#endif
