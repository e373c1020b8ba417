#include "agent/net/mesh_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct node {
    uint32_t address;
    uint32_t life;
    uint64_t digest;
    bool keeps;   // it said so, in this life
    bool present; // its row is there
    bool seen;    // between begin and end
    struct mono gone;
};

struct mesh_nodes {
    uint32_t own;
    uint32_t life;
    struct node *nodes; // sorted by address
    size_t count, cap;
    uint32_t *addresses; // with our own, sorted
    size_t addresses_count;
    uint64_t digest; // of own and the present
    bool changed;
};

void mesh_record_pack(const struct mesh_record *record, uint8_t out[MESH_RECORD_BYTES])
{
    struct buf buf;
    buf_init(&buf, MESH_RECORD_BYTES);
    buf_put_u8(&buf, MESH_RECORD_VERSION);
    buf_put_u32be(&buf, record->address);
    buf_put_u32be(&buf, record->life);
    buf_put_u64be(&buf, record->digest);
    CHECK(buf_ok(&buf) && buf.len == MESH_RECORD_BYTES);
    memcpy(out, buf.data, MESH_RECORD_BYTES);
    buf_fini(&buf);
}

int mesh_record_parse(const void *bytes, size_t size, struct mesh_record *out, struct err *err)
{
    struct cursor cursor = cursor_of(bytes, size);
    uint8_t version = cursor_u8(&cursor);
    out->address = cursor_u32be(&cursor);
    out->life = cursor_u32be(&cursor);
    out->digest = cursor_u64be(&cursor);
    if (!cursor_ok(&cursor) || version < MESH_RECORD_VERSION || out->address == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "not a record of a mesh node");
    return 0;
}

struct mesh_nodes *mesh_nodes_new(uint32_t life)
{
    struct mesh_nodes *nodes = MEM_NEW(struct mesh_nodes);
    nodes->life = life;
    return nodes;
}

void mesh_nodes_free(struct mesh_nodes *nodes)
{
    if (!nodes)
        return;
    free(nodes->nodes);
    free(nodes->addresses);
    free(nodes);
}

// Spreads an address over 64 bits (the finalizer of splitmix64), so that sums of few do not meet.
static uint64_t spread(uint32_t address)
{
    uint64_t z = address + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int address_order(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

// Works out the addresses, the digest and who said that it keeps.
static void derive(struct mesh_nodes *nodes)
{
    size_t count = 0;
    uint32_t *addresses = mem_alloc_array(nodes->count + 1, sizeof *addresses);
    uint64_t digest = 0;
    if (nodes->own) {
        addresses[count++] = nodes->own;
        digest += spread(nodes->own);
    }
    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *node = &nodes->nodes[i];
        if (node->address == nodes->own)
            continue;
        addresses[count++] = node->address;
        if (node->present)
            digest += spread(node->address);
    }
    if (count > 1)
        qsort(addresses, count, sizeof *addresses, address_order);
    nodes->changed |=
        digest != nodes->digest || count != nodes->addresses_count ||
        (count > 0 && memcmp(addresses, nodes->addresses, count * sizeof *addresses) != 0);
    free(nodes->addresses);
    nodes->addresses = addresses;
    nodes->addresses_count = count;
    nodes->digest = digest;
    for (size_t i = 0; i < nodes->count; i++) {
        struct node *node = &nodes->nodes[i];
        if (node->present && nodes->own && node->digest == digest && !node->keeps) {
            node->keeps = true;
            nodes->changed = true;
        }
    }
}

void mesh_nodes_own(struct mesh_nodes *nodes, uint32_t address)
{
    if (nodes->own == address)
        return;
    nodes->own = address;
    // What others said was about the other address.
    for (size_t i = 0; i < nodes->count; i++)
        nodes->nodes[i].keeps = false;
    derive(nodes);
    nodes->changed = true;
}

static struct node *find(const struct mesh_nodes *nodes, uint32_t address)
{
    if (nodes->count == 0)
        return NULL;
    struct node key = {.address = address};
    return bsearch(&key, nodes->nodes, nodes->count, sizeof key, address_order);
}

void mesh_nodes_begin(struct mesh_nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        nodes->nodes[i].seen = false;
}

void mesh_nodes_row(struct mesh_nodes *nodes, const struct mesh_record *record)
{
    if (record->address == 0 || record->address == nodes->own)
        return;
    struct node *node = find(nodes, record->address);
    if (!node) {
        if (nodes->count == MESH_NODES_COUNT_MAX)
            return;
        if (nodes->count == nodes->cap) {
            nodes->cap = nodes->cap ? 2 * nodes->cap : 16;
            nodes->nodes =
                (struct node *)mem_realloc(nodes->nodes, nodes->cap * sizeof(struct node));
        }
        size_t at = nodes->count++;
        while (at > 0 && nodes->nodes[at - 1].address > record->address) {
            nodes->nodes[at] = nodes->nodes[at - 1];
            at--;
        }
        node = &nodes->nodes[at];
        *node = (struct node){.address = record->address, .life = record->life};
    }
    if (node->life != record->life) {
        nodes->changed |= node->keeps;
        node->keeps = false;
    }
    node->life = record->life;
    node->digest = record->digest;
    node->present = true;
    node->seen = true;
}

bool mesh_nodes_end(struct mesh_nodes *nodes, struct mono now)
{
    for (size_t i = 0; i < nodes->count; i++) {
        struct node *node = &nodes->nodes[i];
        if (node->seen || !node->present)
            continue;
        // It may come back in the same life, but what it brings back meanwhile is not known.
        nodes->changed |= node->keeps;
        node->present = false;
        node->keeps = false;
        node->gone = now;
    }
    derive(nodes);
    bool changed = nodes->changed;
    nodes->changed = false;
    return changed;
}

bool mesh_nodes_expire(struct mesh_nodes *nodes, struct mono now, struct mono *due)
{
    size_t kept = 0;
    *due = MONO_NEVER;
    for (size_t i = 0; i < nodes->count; i++) {
        struct mono end = mono_add(nodes->nodes[i].gone, MESH_NODES_GRACE_MS * NS_PER_MS);
        if (!nodes->nodes[i].present) {
            if (!mono_before(now, end))
                continue;
            if (mono_before(end, *due))
                *due = end;
        }
        nodes->nodes[kept++] = nodes->nodes[i];
    }
    bool some = kept < nodes->count;
    nodes->count = kept;
    if (some)
        derive(nodes);
    return some;
}

const uint32_t *mesh_nodes_addresses(const struct mesh_nodes *nodes, size_t *count)
{
    *count = nodes->addresses_count;
    return nodes->addresses;
}

bool mesh_nodes_record(const struct mesh_nodes *nodes, struct mesh_record *out)
{
    *out =
        (struct mesh_record){.address = nodes->own, .life = nodes->life, .digest = nodes->digest};
    return nodes->own != 0;
}

bool mesh_nodes_keeps(const struct mesh_nodes *nodes, uint32_t address)
{
    if (address == 0)
        return false;
    if (address == nodes->own)
        return true;
    const struct node *node = find(nodes, address);
    return node && node->present && node->keeps;
}
