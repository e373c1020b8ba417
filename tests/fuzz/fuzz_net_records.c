// Rows of the gossip's two tables: what is taken for one holds what its users rely on.
#include <stdint.h>
#include <string.h>

#include "agent/net/records.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct overlay_peer peer;
    struct records_endpoint endpoint;
    struct arena arena;
    struct buf bytes;
    arena_init(&arena, 8 << 20);
    buf_init(&bytes, 1 << 20);
    if (records_parse_peer(data, size, &peer, NULL) == 0) {
        struct overlay_peer back;
        records_pack_peer(&peer, &bytes);
        int rc = records_parse_peer(bytes.data, bytes.len, &back, NULL);
        CHECK(rc == 0);
        CHECK(memcmp(&peer, &back, sizeof peer) == 0);
        buf_clear(&bytes);
    }
    if (records_parse_endpoint(data, size, &arena, &endpoint, NULL) == 0) {
        CHECK(endpoint.name[0]);
        CHECK(ipnet_is_unicast(&endpoint.ip));
        records_pack_endpoint(&endpoint, &bytes);
        CHECK(buf_ok(&bytes));
    }
    buf_fini(&bytes);
    arena_fini(&arena);
    return 0;
}
