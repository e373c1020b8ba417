// Any bytes as a sealed packet or stream, and, sealed here, as the plain form of both: past the key
// stand other nodes of the cluster, which may be broken or taken over.
#include <stdint.h>
#include <string.h>

#include "agent/gossip/packet.h"
#include "agent/gossip/payload.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES (8 << 20)

static struct keyring *ring_make(void)
{
    Swarm__EncryptionKey keys[KEYRING_KEYS], *list[KEYRING_KEYS];
    uint8_t bytes[KEYRING_KEYS][KEYRING_KEY_BYTES];
    for (size_t i = 0; i < KEYRING_KEYS; i++) {
        memset(bytes[i], (int)i, sizeof bytes[i]);
        swarm__encryption_key__init(&keys[i]);
        keys[i].subsystem = KEYRING_GOSSIP;
        keys[i].key = (ProtobufCBinaryData){sizeof bytes[i], bytes[i]};
        keys[i].lamport_time = i;
        list[i] = &keys[i];
    }
    struct keyring *ring = keyring_new();
    int result = keyring_load(ring, list, KEYRING_KEYS, NULL);
    CHECK(result == 0);
    return ring;
}

static void try_payload(const void *bytes, size_t size)
{
    struct arena arena;
    struct payload payload;
    struct err err = ERR_INIT;
    arena_init(&arena, ARENA_BYTES);
    if (payload_decode(bytes, size, &arena, &payload, &err) != 0)
        CHECK(err.code != ERR_OK);
    arena_fini(&arena);
}

// What is taken encodes, and what that gives is taken again.
static void on_message(void *owner, const struct gossip_message *message)
{
    (void)owner;
    struct buf again;
    buf_init(&again, PACKET_BYTES_MAX * 2);
    gossip_encode(message, &again);
    CHECK(buf_ok(&again));
    struct cursor in = cursor_of(again.data, again.len);
    struct gossip_message twice;
    int result = gossip_decode(&in, &twice, NULL);
    CHECK(result == 0);
    CHECK(twice.type == message->type);
    if (message->type == GOSSIP_USER)
        try_payload(message->user.at, message->user.size);
    buf_fini(&again);
}

static void try_packet(struct keyring *ring, const void *bytes, size_t size)
{
    struct packet_reader reader;
    unsigned skipped;
    packet_reader_init(&reader);
    packet_read(&reader, ring, bytes, size, on_message, NULL, &skipped, NULL);
    packet_reader_fini(&reader);
}

static void try_stream(struct keyring *ring, const void *bytes, size_t size)
{
    struct buf plain;
    buf_init(&plain, 1 << 20);
    if (stream_unseal(ring, bytes, size, &plain, NULL) == 0) {
        struct arena arena;
        struct push_pull exchange;
        struct span user;
        arena_init(&arena, ARENA_BYTES);
        if (push_pull_parse(plain.data, plain.len, &arena, &exchange, NULL) == 0)
            try_payload(exchange.user.at, exchange.user.size);
        if (stream_parse_user(plain.data, plain.len, &user, NULL) == 0)
            try_payload(user.at, user.size);
        arena_fini(&arena);
    }
    buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > PACKET_BYTES_MAX - KEYRING_OVERHEAD_BYTES)
        return 0;
    static const uint8_t nonce[KEYRING_NONCE_BYTES];
    struct keyring *ring = ring_make();
    try_packet(ring, data, size);
    try_stream(ring, data, size);
    struct buf sealed;
    buf_init(&sealed, PACKET_BYTES_MAX);
    keyring_seal(ring, nonce, NULL, 0, data, size, &sealed);
    try_packet(ring, sealed.data, sealed.len);
    buf_clear(&sealed);
    stream_seal(ring, nonce, false, data, size, &sealed);
    try_stream(ring, sealed.data, sealed.len);
    buf_fini(&sealed);
    keyring_free(ring);
    return 0;
}
