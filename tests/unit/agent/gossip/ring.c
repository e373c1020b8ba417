#include "tests/unit/agent/gossip/ring.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"

const uint8_t nonce_golden[KEYRING_NONCE_BYTES] = {0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
                                                   0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b};

struct buf bytes_of(const char *hex)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        uint8_t byte;
        bool good = hex_decode(hex, 2, &byte, 1);
        CHECK(good);
        buf_put_u8(&out, byte);
        hex += 2;
    }
    return out;
}

void key_set_add(struct key_set *set, const char *subsystem, const uint8_t *key,
                 uint64_t lamport_time)
{
    size_t i = set->count++;
    CHECK(i < COUNT_OF(set->keys));
    memcpy(set->bytes[i], key, KEYRING_KEY_BYTES);
    swarm__encryption_key__init(&set->keys[i]);
    set->keys[i].subsystem = subsystem;
    set->keys[i].key = (ProtobufCBinaryData){KEYRING_KEY_BYTES, set->bytes[i]};
    set->keys[i].lamport_time = lamport_time;
    set->list[i] = &set->keys[i];
}

struct keyring *ring_golden(void)
{
    struct key_set set = {0};
    uint8_t key[KEYRING_KEY_BYTES];
    memset(key, 0xbb, sizeof key);
    key_set_add(&set, KEYRING_GOSSIP, key, 30);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    key_set_add(&set, KEYRING_GOSSIP, key, 20);
    memset(key, 0xaa, sizeof key);
    key_set_add(&set, KEYRING_GOSSIP, key, 10);
    struct keyring *ring = keyring_new();
    int result = keyring_load(ring, set.list, set.count, NULL);
    CHECK(result == 0);
    return ring;
}

struct span span_text(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}
