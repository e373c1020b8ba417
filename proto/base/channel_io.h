// A channel between two of our processes: bounded, typed messages, with descriptors if wanted, over
// a unix socket pair that keeps message borders (SOCK_SEQPACKET).
//
// Neither side trusts the other: what breaks the rules (channel_frame.h) closes the channel. A
// channel lives on one loop and is used on its thread alone.
#ifndef PROTO_BASE_CHANNEL_IO_H
#define PROTO_BASE_CHANNEL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/channel_frame.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

// Most messages and bytes waiting to be sent. Who sends much asks channel_room first.
#define CHANNEL_QUEUE_MESSAGES_MAX 1024
#define CHANNEL_QUEUE_BYTES_MAX    (4 * 1024 * 1024)

struct channel;

struct channel_message {
    uint16_t type;
    const uint8_t *payload; // valid during the callback
    size_t payload_bytes;
    int *
        fds; // close-on-exec. Whoever keeps one puts -1 in its place; the rest is closed afterwards
    size_t fds_count;
};

// Both run from the loop, never inside a call of this module.
struct channel_handler {
    void (*on_message)(void *owner, const struct channel_message *message);

    // The end, at most once and not after channel_close: why->code is ERR_OK when the other side
    // closed or its process ended. The owner then calls channel_close.
    void (*on_closed)(void *owner, const struct err *why);
};

// Makes both ends of a channel, close-on-exec and non-blocking. One is handed to a child.
int channel_pair(int fds[2], struct err *err);

// Starts on one end, which belongs to the channel from here on. `rules` (what this side takes) and
// `handler` outlive it. INVALID_ARGUMENT when the descriptor is no such socket; it is closed then.
int channel_open(struct loop *loop, int fd, const struct channel_rules *rules,
                 const struct channel_handler *handler, void *owner, struct channel **out,
                 struct err *err);

// Queues one message; it leaves at the latest when the loop turns. Descriptors are duplicated, so
// they stay the caller's. RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE when the channel
// has ended; nothing was queued then.
int channel_send(struct channel *channel, uint16_t type, const void *payload, size_t payload_bytes,
                 const int *fds, size_t fds_count, struct err *err);

// Whether a message of that many bytes would be taken now.
bool channel_room(const struct channel *channel, size_t payload_bytes);

// Nothing waits to be sent.
bool channel_flushed(const struct channel *channel);

// Closes; what could not be sent yet is lost. The memory goes back when the loop has closed the
// handle. No callback comes any more. NULL is harmless.
void channel_close(struct channel *channel);

#endif
