// One UDP packet of memberlist as bytes: sealed( crc( compressed( compound of messages | message
// ))) (gossip.md sections 1, 3 and 4).
#ifndef AGENT_GOSSIP_PACKET_H
#define AGENT_GOSSIP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/keyring.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define PACKET_BYTES_MAX    65535 // what a receiver takes; also what one may decompress to
#define PACKET_BUDGET_BYTES 1400  // what senders fill; larger ones get lost as fragments
#define PACKET_PARTS_MAX    255

// What wrapping costs: sealing and checksum, then a compound and each message in it.
#define PACKET_WRAP_BYTES     (KEYRING_OVERHEAD_BYTES + PACKET_CRC_BYTES)
#define PACKET_CRC_BYTES      5
#define PACKET_COMPOUND_BYTES 2
#define PACKET_PART_BYTES     2

struct packet_shape {
    bool crc;      // only for receivers whose protocol maximum is 5 or more
    bool compress; // where it makes the packet shorter
};

// Appends the sealed packet of 1 to PACKET_PARTS_MAX messages as gossip_encode writes them, each of
// at most 65535 bytes. The ring is ready; the nonce is new. Past the limit of `out`, buf_ok tells.
void packet_write(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES],
                  struct packet_shape shape, const struct span *parts, size_t count,
                  struct buf *out);

// The buffers between packets, so that reading allocates only at first.
struct packet_reader {
    struct buf plain;
    struct buf unpacked;
};

void packet_reader_init(struct packet_reader *reader);
void packet_reader_fini(struct packet_reader *reader);

// Called for each message of a packet in its order. The message's bytes die after the call.
typedef void packet_message_fn(void *owner, const struct gossip_message *message);

// Opens a packet and hands out its messages. Those of a compound that cannot be read, and those
// that belong on streams, are counted in *skipped and the others handed out, as stock nodes do.
// UNAUTHENTICATED for junk, foreign clusters and labels; INVALID_ARGUMENT for broken wrapping;
// RESOURCE_EXHAUSTED past PACKET_BYTES_MAX. After an error no message was handed out.
int packet_read(struct packet_reader *reader, struct keyring *ring, const void *bytes, size_t size,
                packet_message_fn *take, void *owner, unsigned *skipped, struct err *err);

// Whether the bytes could start the plain form of a packet or stream: for keyring_open.
bool packet_peek(const uint8_t *start, size_t size);

// CRC-32 of IEEE 802.3, as zlib's.
uint32_t packet_crc(const void *bytes, size_t size);

#endif
