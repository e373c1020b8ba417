// Any bytes as a row of a mesh node, and what such rows do to what a node believes.
#include <stdint.h>

#include "agent/net/mesh_nodes.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mesh_nodes *nodes = mesh_nodes_new(1);
    struct mono due, now = {0};
    mesh_nodes_own(nodes, 0x0a000002);
    struct cursor cursor = cursor_of(data, size);
    while (cursor_left(&cursor) > 0) {
        // A length, then a row; a length of 0 ends a walk.
        size_t length = cursor_u8(&cursor) % 32;
        const uint8_t *bytes = cursor_bytes(&cursor, length);
        struct mesh_record record;
        if (length == 0) {
            now = mono_add(now, 60 * NS_PER_S);
            mesh_nodes_end(nodes, now);
            mesh_nodes_expire(nodes, now, &due);
            mesh_nodes_begin(nodes);
        } else if (bytes && mesh_record_parse(bytes, length, &record, NULL) == 0) {
            CHECK(record.address != 0);
            mesh_nodes_row(nodes, &record);
        }
    }
    size_t count;
    mesh_nodes_end(nodes, now);
    (void)mesh_nodes_addresses(nodes, &count);
    CHECK(count >= 1);
    mesh_nodes_free(nodes);
    return 0;
}
