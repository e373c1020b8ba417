// One message on a TCP connection of memberlist: a sealed frame, one in each direction, and what
// is in it (gossip.md sections 6 and 7).
#ifndef AGENT_GOSSIP_STREAM_H
#define AGENT_GOSSIP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/keyring.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define STREAM_HEADER_BYTES    5          // type and length, which the seal binds
#define STREAM_FRAME_BYTES_MAX (20 << 20) // behind the header
#define STREAM_PLAIN_BYTES_MAX (40 << 20) // once decompressed
#define STREAM_USER_BYTES_MAX  (20 << 20) // of a user message or a user state
#define STREAM_NODES_MAX       (1 << 20)  // of a push/pull

// Says from the first bytes of a connection how many its frame has, header included; 0 as long as
// fewer than STREAM_HEADER_BYTES are there and could still become one. UNAUTHENTICATED for what is
// no sealed frame (answer with an error message and close), RESOURCE_EXHAUSTED for one too large.
int stream_frame_size(const void *bytes, size_t size, size_t *frame_size, struct err *err);

// Opens a whole frame and appends its message, decompressed, to `plain`, whose limit holds besides
// STREAM_PLAIN_BYTES_MAX. Errors as packet_read's.
int stream_unseal(struct keyring *ring, const void *frame, size_t size, struct buf *plain,
                  struct err *err);

// Appends the frame of a message. Stock nodes compress every one; plain ones are as good. Past the
// limit of `out` or STREAM_FRAME_BYTES_MAX, buf_ok tells.
void stream_seal(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES], bool compress,
                 const void *plain, size_t size, struct buf *out);

// The exchange of full states.
struct push_pull {
    bool join;
    const struct gossip_node *nodes;
    size_t nodes_count;
    struct span user; // NetworkDB's
};

// Reads one. The list lies in `arena`, names and bytes in `plain`. INVALID_ARGUMENT for what is
// none, RESOURCE_EXHAUSTED past a limit above or the arena's.
int push_pull_parse(const void *plain, size_t size, struct arena *arena, struct push_pull *out,
                    struct err *err);
void push_pull_write(const struct push_pull *push_pull, struct buf *out);

// A user message on a stream.
int stream_parse_user(const void *plain, size_t size, struct span *user, struct err *err);
void stream_write_user(struct span user, struct buf *out);

#endif
