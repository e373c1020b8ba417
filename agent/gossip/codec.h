// memberlist's messages, as structs and as bytes (gossip.md section 2): one type byte, then a map
// in the old msgpack dialect, which has one raw form for texts and bytes.
//
// Encoding writes keys in ascending order, so that the bytes equal a stock node's. Decoding takes
// any order, passes over unknown keys, and hands out pieces of the input in place: they live as
// long as it.
#ifndef AGENT_GOSSIP_CODEC_H
#define AGENT_GOSSIP_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define GOSSIP_PORT        7946
#define GOSSIP_NAME_BYTES  255 // longest node name taken
#define GOSSIP_META_BYTES  512
#define GOSSIP_ERROR_BYTES 1024 // longest error text taken
#define GOSSIP_KEYS_MAX    32   // most keys a map may have, unknown ones included

enum gossip_type {
    GOSSIP_PING = 0,
    GOSSIP_INDIRECT = 1,
    GOSSIP_ACK = 2,
    GOSSIP_SUSPECT = 3,
    GOSSIP_ALIVE = 4,
    GOSSIP_DEAD = 5,
    GOSSIP_PUSH_PULL = 6,
    GOSSIP_COMPOUND = 7,
    GOSSIP_USER = 8,
    GOSSIP_COMPRESS = 9,
    GOSSIP_ENCRYPT = 10,
    GOSSIP_NACK = 11,
    GOSSIP_CRC = 12,
    GOSSIP_ERROR = 13,
    GOSSIP_LABEL = 244,
};

// Bytes in place, not NUL-terminated. Empty and absent (NULL) mean the same; in a meta or payload
// the wire has two forms for them, which come and go as they are.
struct span {
    const uint8_t *at;
    size_t size;
};

struct gossip_ping { // type 0
    uint32_t seq;
    struct span node; // the receiver meant; empty: anyone
    struct span source_addr;
    struct span source_node;
    uint16_t source_port;
};

struct gossip_indirect { // type 1
    uint32_t seq;        // the requester's
    struct span target;  // 4 or 16 bytes
    struct span node;
    struct span source_addr;
    struct span source_node;
    uint16_t port; // 0: GOSSIP_PORT
    uint16_t source_port;
    bool nack; // send one when the target does not answer
};

struct gossip_ack { // type 2, and 11 (nack) without payload
    uint32_t seq;
    struct span payload;
};

struct gossip_verdict { // types 3 (suspect) and 5 (dead)
    uint32_t incarnation;
    struct span node;
    struct span from; // the accuser; of a dead message the node itself: it left
};

enum gossip_state { GOSSIP_IS_ALIVE, GOSSIP_IS_SUSPECT, GOSSIP_IS_DEAD, GOSSIP_HAS_LEFT };

// A node as type 4 (alive) and the states of a push/pull describe it.
struct gossip_node {
    struct span name;
    struct span addr; // 4 or 16 bytes
    struct span meta; // at most GOSSIP_META_BYTES
    uint32_t incarnation;
    uint16_t port;           // 0: GOSSIP_PORT
    enum gossip_state state; // of a push/pull only; other values are refused
    uint8_t versions[6];     // protocol and delegate: min, max, current; zeros when absent
};

struct gossip_push_pull { // header of type 6
    uint64_t nodes_count;
    uint64_t user_bytes;
    bool join;
};

struct gossip_message {
    enum gossip_type type;
    union {
        struct gossip_ping ping;
        struct gossip_indirect indirect;
        struct gossip_ack ack; // ACK and NACK
        struct gossip_verdict verdict;
        struct gossip_node alive;
        struct gossip_push_pull push_pull;
        struct span user; // of a packet: the raw bytes
        struct {
            uint64_t algorithm;
            struct span bytes;
        } compress;
        struct span error;
    };
};

// Reads one message of a packet or stream, type byte included, off the cursor; a raw user message
// takes all that is left. INVALID_ARGUMENT for what is none, or passes a limit of this header;
// UNIMPLEMENTED for the types that are wrappers (COMPOUND, ENCRYPT, CRC, LABEL) or unknown.
int gossip_decode(struct cursor *in, struct gossip_message *message, struct err *err);

// Appends the message with its type byte. Past the limit of `out`, buf_ok tells. A wrapper type
// (see above) is a broken promise.
void gossip_encode(const struct gossip_message *message, struct buf *out);

// One state behind the header of a push/pull.
int gossip_decode_state(struct cursor *in, struct gossip_node *node, struct err *err);
void gossip_encode_state(const struct gossip_node *node, struct buf *out);

// The header of a user message on a stream, type byte included: how many bytes follow.
int gossip_decode_user_header(struct cursor *in, uint64_t *user_bytes, struct err *err);
void gossip_encode_user_header(uint64_t user_bytes, struct buf *out);

#endif
