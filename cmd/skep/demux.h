// The stream in which the API sends a container's two outputs: frames with a header of 8 bytes
// (stream, three zeros, length big-endian). Bytes in, pieces out.
#ifndef CMD_SKEP_DEMUX_H
#define CMD_SKEP_DEMUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

struct demux {
    uint8_t header[8];
    size_t header_bytes; // of it that came
    size_t left;         // of the frame's bytes
};

// Takes the next bytes and calls `piece` for what they hold (stream 1: output, 2: errors, 3: a
// message of the daemon's). INVALID_ARGUMENT when they are no such stream.
int demux_feed(struct demux *demux, const uint8_t *bytes, size_t size,
               void (*piece)(void *owner, int stream, const uint8_t *bytes, size_t size),
               void *owner, struct err *err);

#endif
