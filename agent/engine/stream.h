// A hijacked connection that carries the standard streams of a process: output in docker's frames
// or raw, input until its end or the detach keys, and neither side faster than the other.
#ifndef AGENT_ENGINE_STREAM_H
#define AGENT_ENGINE_STREAM_H

#include "agent/crate/crates_io.h"
#include "agent/engine/request.h"

struct stream;

// Who is at the other end of a stream.
struct stream_target {
    int (*write)(void *target, const void *bytes, size_t size); // RESOURCE_EXHAUSTED: later
    void (*end)(void *target);                                  // of input
    void (*pause)(void *target, bool pause);
    void (*leave)(void *target); // the client is gone; the last call, once, unless it ended itself
};

struct stream_options {
    bool tty; // no frames
    bool in, out, err;
    const char *detach_keys; // "ctrl-p,ctrl-q"; "" is that too
};

// Reads the key sequence of a query or body; false when it is broken.
bool stream_keys_valid(const char *text);

// Takes the request's connection. The target begins afterwards with stream_begin.
// `crates` is not closed before the client's end is.
struct stream *stream_open(struct request *request, struct crates *crates,
                           const struct stream_options *options);
void stream_begin(struct stream *stream, const struct stream_target *class, void *target);

// For crate_attach_events, with the stream as owner.
void stream_output(void *owner, int number, const void *bytes, size_t size);
void stream_ended(void *owner);

#endif
