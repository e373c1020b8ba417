#include "manager/alloc/ipam.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

struct chunk {
    uint64_t bits[IPAM_CHUNK_BITS / 64];
    unsigned held;
};

void ipam_init(struct ipam *ipam, const struct prefix *subnet, const struct prefix *range)
{
    *ipam = (struct ipam){.subnet = prefix_network(*subnet)};
    map_init(&ipam->chunks);
    uint64_t size = prefix_size(&ipam->subnet);
    uint64_t low = size > 2 ? 1 : 0;
    uint64_t high = size - 1 - (size > 2 && ipam->subnet.bytes == 4);
    ipam->first = low;
    ipam->last = high;
    if (range) {
        struct prefix inner = prefix_network(*range);
        CHECK(prefix_contains(&ipam->subnet, &inner));
        CHECK(inner.bits >= ipam->subnet.bits);
        ipam->first = prefix_offset(&ipam->subnet, &inner);
        uint64_t end = ipam->first + (prefix_size(&inner) - 1);
        ipam->last = end < high ? end : high;
        if (ipam->first < low)
            ipam->first = low;
    }
    ipam->cursor = ipam->last; // so that the first comes first
}

void ipam_fini(struct ipam *ipam)
{
    MAP_EACH (entry, &ipam->chunks)
        free(entry->value);
    map_fini(&ipam->chunks);
}

static struct chunk *chunk_at(const struct ipam *ipam, uint64_t offset)
{
    return map_get_u64(&ipam->chunks, offset / IPAM_CHUNK_BITS);
}

static uint64_t chunk_bit(uint64_t offset)
{
    return UINT64_C(1) << (offset % 64);
}

static uint64_t *chunk_word(struct chunk *chunk, uint64_t offset)
{
    return &chunk->bits[offset % IPAM_CHUNK_BITS / 64];
}

bool ipam_is_held(const struct ipam *ipam, uint64_t offset)
{
    struct chunk *chunk = chunk_at(ipam, offset);
    return chunk && (*chunk_word(chunk, offset) & chunk_bit(offset));
}

static bool in_range(const struct ipam *ipam, uint64_t offset)
{
    return offset >= ipam->first && offset <= ipam->last;
}

static void hold(struct ipam *ipam, uint64_t offset)
{
    struct chunk *chunk = chunk_at(ipam, offset);
    if (!chunk) {
        chunk = MEM_NEW(struct chunk);
        map_put_u64(&ipam->chunks, offset / IPAM_CHUNK_BITS, chunk);
    }
    CHECK(!(*chunk_word(chunk, offset) & chunk_bit(offset)));
    *chunk_word(chunk, offset) |= chunk_bit(offset);
    chunk->held++;
    ipam->held += in_range(ipam, offset);
}

bool ipam_take(struct ipam *ipam, uint64_t *offset)
{
    if (ipam->first > ipam->last || ipam->held > ipam->last - ipam->first)
        return false;
    uint64_t at = ipam->cursor;
    for (;;) {
        at = at >= ipam->last ? ipam->first : at + 1;
        const struct chunk *chunk = chunk_at(ipam, at);
        if (chunk && chunk->held == IPAM_CHUNK_BITS) {
            at |= IPAM_CHUNK_BITS - 1; // on to the next chunk
            continue;
        }
        if (!ipam_is_held(ipam, at))
            break;
    }
    hold(ipam, at);
    ipam->cursor = at;
    *offset = at;
    return true;
}

bool ipam_claim(struct ipam *ipam, const struct prefix *address, uint64_t *offset)
{
    if (!prefix_contains(&ipam->subnet, address))
        return false;
    *offset = prefix_offset(&ipam->subnet, address);
    if (ipam_is_held(ipam, *offset))
        return false;
    hold(ipam, *offset);
    return true;
}

void ipam_release(struct ipam *ipam, uint64_t offset)
{
    struct chunk *chunk = chunk_at(ipam, offset);
    CHECK(chunk);
    CHECK(*chunk_word(chunk, offset) & chunk_bit(offset));
    *chunk_word(chunk, offset) &= ~chunk_bit(offset);
    ipam->held -= in_range(ipam, offset);
    if (--chunk->held == 0) {
        map_remove_u64(&ipam->chunks, offset / IPAM_CHUNK_BITS);
        free(chunk);
    }
}

uint64_t ipam_count(const struct ipam *ipam)
{
    uint64_t count = 0;
    MAP_EACH (entry, &ipam->chunks)
        count += ((const struct chunk *)entry->value)->held;
    return count;
}
