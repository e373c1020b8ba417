#include "proto/rpc/metadata.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void metadata_init(struct metadata *metadata, struct arena *arena)
{
    *metadata = (struct metadata){.arena = arena};
}

static bool is_binary(const char *key)
{
    return str_ends(key, "-bin");
}

static bool value_ok(const uint8_t *value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return false;
    return true;
}

static bool grow(struct metadata *metadata)
{
    size_t cap = metadata->cap ? metadata->cap * 2 : 8;
    struct metadata_entry *entries =
        arena_alloc_array(metadata->arena, cap, sizeof *metadata->entries);
    if (!entries)
        return false;
    if (metadata->count)
        memcpy(entries, metadata->entries, metadata->count * sizeof *entries);
    metadata->entries = entries;
    metadata->cap = cap;
    return true;
}

bool metadata_add_bytes(struct metadata *metadata, const char *key, const void *value, size_t size)
{
    size_t key_size = strlen(key);
    if (!metadata_key_ok(key, key_size) || size > METADATA_BYTES_MAX ||
        key_size > METADATA_BYTES_MAX || metadata->count >= METADATA_ENTRIES_MAX ||
        metadata->bytes + key_size + size > METADATA_BYTES_MAX)
        return false;
    if (!is_binary(key) && !value_ok(value, size))
        return false;
    if (metadata->count == metadata->cap && !grow(metadata))
        return false;
    char *key_copy = arena_strndup(metadata->arena, key, key_size);
    char *copy = arena_alloc(metadata->arena, size + 1);
    if (!key_copy || !copy)
        return false;
    if (size)
        memcpy(copy, value, size);
    metadata->entries[metadata->count++] =
        (struct metadata_entry){.key = key_copy, .value = copy, .size = size};
    metadata->bytes += key_size + size;
    return true;
}

bool metadata_add(struct metadata *metadata, const char *key, const char *value)
{
    return metadata_add_bytes(metadata, key, value, strlen(value));
}

void metadata_remove(struct metadata *metadata, const char *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < metadata->count; i++) {
        struct metadata_entry *entry = &metadata->entries[i];
        if (strcmp(entry->key, key) == 0)
            metadata->bytes -= strlen(entry->key) + entry->size;
        else
            metadata->entries[kept++] = *entry;
    }
    metadata->count = kept;
}

size_t metadata_values(const struct metadata *metadata, const char *key)
{
    size_t values = 0;
    for (size_t i = 0; i < metadata->count; i++)
        values += strcmp(metadata->entries[i].key, key) == 0;
    return values;
}

const struct metadata_entry *metadata_at(const struct metadata *metadata, const char *key,
                                         size_t index)
{
    for (size_t i = 0; i < metadata->count; i++)
        if (strcmp(metadata->entries[i].key, key) == 0 && index-- == 0)
            return &metadata->entries[i];
    return NULL;
}

const char *metadata_get(const struct metadata *metadata, const char *key)
{
    const struct metadata_entry *entry = metadata_at(metadata, key, 0);
    return entry ? entry->value : NULL;
}

bool metadata_copy(struct metadata *metadata, const struct metadata *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct metadata_entry *entry = &from->entries[i];
        if (!metadata_add_bytes(metadata, entry->key, entry->value, entry->size))
            return false;
    }
    return true;
}

bool metadata_key_ok(const char *key, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = key[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!ok)
            return false;
    }
    return length > 0;
}

bool metadata_key_reserved(const char *key, size_t length)
{
    static const char *const names[] = {
        "te",         "content-type",   "user-agent",       "host",
        "connection", "keep-alive",     "proxy-connection", "transfer-encoding",
        "upgrade",    "content-length", "accept-encoding",
    };
    struct str_part part = {.at = key, .len = length};
    if (length > 0 && key[0] == ':')
        return true;
    if (length >= 5 && memcmp(key, "grpc-", 5) == 0)
        return true;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_part_is(part, names[i]))
            return true;
    return false;
}
