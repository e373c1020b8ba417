#include "manager/ca/absent.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/net/addr.h"
#include "proto/wire/raw.h"
#include "proto/wire/types.pb-c.h"

// Field numbers of Node and NodeStatus: nodes change often, and only this much is asked of them.
enum { NODE_DESCRIPTION = 4, NODE_STATUS = 5, STATUS_ADDR = 3 };

struct absent_address {
    unsigned count;
};

struct absent_node {
    struct absent_address *address;
    uint8_t key[16];
    size_t key_size;
};

void absent_init(struct absent *absent)
{
    map_init(&absent->nodes);
    map_init(&absent->addresses);
}

void absent_fini(struct absent *absent)
{
    MAP_EACH (entry, &absent->nodes)
        free(entry->value);
    map_fini(&absent->nodes);
    MAP_EACH (entry, &absent->addresses)
        free(entry->value);
    map_fini(&absent->addresses);
}

// 0 bytes: no address that could be counted by.
static size_t key_of(const char *text, uint8_t key[16])
{
    struct addr addr;
    if (str_empty(text) || addr_parse(text, 1, &addr, NULL) != 0)
        return 0;
    return addr.kind == ADDR_IP4 || addr.kind == ADDR_IP6 ? addr_peer_key(&addr, key) : 0;
}

void absent_forget(struct absent *absent, const char *node_id)
{
    struct absent_node *node = map_remove_str(&absent->nodes, node_id);
    if (!node)
        return;
    if (--node->address->count == 0)
        free(map_remove(&absent->addresses, node->key, node->key_size));
    free(node);
}

void absent_add(struct absent *absent, const char *node_id, const char *addr)
{
    uint8_t key[16];
    size_t size = key_of(addr, key);
    absent_forget(absent, node_id);
    if (size == 0)
        return;
    struct absent_node *node = MEM_NEW(struct absent_node);
    memcpy(node->key, key, size);
    node->key_size = size;
    node->address = map_get(&absent->addresses, key, size);
    if (!node->address) {
        node->address = MEM_NEW(struct absent_address);
        map_put(&absent->addresses, node->key, size, node->address);
    }
    node->address->count++;
    map_put_str(&absent->nodes, node_id, node);
}

// A manager that has just become leader knows nobody's state until the nodes come back: unknown is
// absent only when the node was never heard of, which its description tells.
static bool is_absent(const struct object *object)
{
    size_t size;
    struct raw description;
    const uint8_t *bytes = object_bytes(object, &size);
    switch (object_node(object)->state) {
    case SWARM__NODE_STATUS__STATE__READY:
        return false;
    case SWARM__NODE_STATUS__STATE__UNKNOWN:
        return !raw_find(bytes, size, NODE_DESCRIPTION, &description) || description.size == 0;
    default:
        return true;
    }
}

void absent_see(struct absent *absent, const struct object *object)
{
    const char *id = object_id(object);
    bool known = map_get_str(&absent->nodes, id) != NULL;
    if (!is_absent(object)) {
        absent_forget(absent, id);
        return;
    }
    if (known)
        return;
    size_t size;
    const uint8_t *bytes = object_bytes(object, &size);
    struct cursor status = raw_inside(bytes, size, NODE_STATUS);
    struct raw addr;
    char text[ADDR_TEXT_BYTES];
    if (raw_find(status.at, cursor_left(&status), STATUS_ADDR, &addr) &&
        str_format(text, sizeof text, "%.*s", (int)addr.size, (const char *)addr.bytes))
        absent_add(absent, id, text);
}

bool absent_allows(const struct absent *absent, const char *addr)
{
    uint8_t key[16];
    size_t size = key_of(addr, key);
    const struct absent_address *address = size ? map_get(&absent->addresses, key, size) : NULL;
    return !address || address->count < ABSENT_MAX;
}
