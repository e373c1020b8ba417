#include "raft/core/mark.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"

static const uint8_t magic[4] = {'S', 'k', 'e', 'P'};
#define MARK_VERSION 1

static_assert(MARK_BYTES <= RAFT_CONTEXT_BYTES_MAX, "a mark fits a context");
static_assert(RAFT_MEMBERS_MAX <= 64, "one bit per voter");

static uint8_t *put_be(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

void mark_write(const struct mark *mark, struct raft_message *message)
{
    uint8_t *at = message->context;
    memcpy(at, magic, sizeof magic);
    at += sizeof magic;
    *at++ = (uint8_t)mark->kind;
    *at++ = MARK_VERSION;
    at = put_be(at, mark->heartbeat_ms, 2);
    at = put_be(at, mark->election_ms, 4);
    at = put_be(at, mark->digest, 4);
    at = put_be(at, mark->ours, 8);
    at = put_be(at, mark->round, 8);
    CHECK(at == message->context + MARK_BYTES);
    message->context_len = MARK_BYTES;
}

bool mark_read(const struct raft_message *message, struct mark *mark)
{
    struct cursor cursor = cursor_of(message->context, message->context_len);
    const uint8_t *head = cursor_bytes(&cursor, sizeof magic);
    if (!head || memcmp(head, magic, sizeof magic) != 0)
        return false;
    uint8_t kind = cursor_u8(&cursor);
    uint8_t version = cursor_u8(&cursor);
    mark->kind = (enum mark_kind)kind;
    mark->heartbeat_ms = cursor_u16be(&cursor);
    mark->election_ms = cursor_u32be(&cursor);
    mark->digest = cursor_u32be(&cursor);
    mark->ours = cursor_u64be(&cursor);
    mark->round = cursor_u64be(&cursor);
    return cursor_done(&cursor) && version == MARK_VERSION &&
           (kind == MARK_HEARTBEAT || kind == MARK_ANSWER);
}

uint32_t mark_digest(const struct raft_conf *conf)
{
    uint32_t digest = UINT32_C(2166136261); // FNV-1a
    for (uint32_t i = 0; i < conf->voters_count; i++)
        for (int shift = 0; shift < 64; shift += 8) {
            digest ^= (uint8_t)(conf->voters[i] >> shift);
            digest *= UINT32_C(16777619);
        }
    return digest;
}
