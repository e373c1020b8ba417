#include "cmd/skep/demux.h"

#include <string.h>

int demux_feed(struct demux *demux, const uint8_t *bytes, size_t size,
               void (*piece)(void *owner, int stream, const uint8_t *bytes, size_t size),
               void *owner, struct err *err)
{
    while (size) {
        if (demux->left == 0) {
            size_t part = sizeof demux->header - demux->header_bytes;
            part = part < size ? part : size;
            memcpy(demux->header + demux->header_bytes, bytes, part);
            demux->header_bytes += part;
            bytes += part;
            size -= part;
            if (demux->header_bytes < sizeof demux->header)
                return 0;
            const uint8_t *h = demux->header;
            if (h[0] > 3 || h[1] || h[2] || h[3])
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "the output does not come as a stream of frames");
            demux->left = ((size_t)h[4] << 24) | ((size_t)h[5] << 16) | ((size_t)h[6] << 8) | h[7];
            demux->header_bytes = 0;
            continue;
        }
        size_t part = demux->left < size ? demux->left : size;
        piece(owner, demux->header[0], bytes, part);
        demux->left -= part;
        bytes += part;
        size -= part;
    }
    return 0;
}
