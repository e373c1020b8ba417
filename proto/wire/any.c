#include "proto/wire/any.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define URL_PREFIX "type.googleapis.com/"

static void *allocate(struct arena *arena, size_t size)
{
    return arena ? arena_alloc(arena, size) : mem_alloc(size);
}

Google__Any *any_new(const void *message, struct arena *arena)
{
    const wire_type *type = ((const ProtobufCMessage *)message)->descriptor;
    size_t url_size = strlen(URL_PREFIX) + strlen(type->name) + 1;
    CHECK(url_size <= ANY_URL_BYTES);
    size_t size = wire_size(message);
    Google__Any *any = wire_new(&google__any__descriptor, arena);
    char *url = allocate(arena, url_size);
    uint8_t *value = size ? allocate(arena, size) : NULL;
    if (!any || !url || (size && !value))
        return NULL; // only an arena refuses, and it gives the pieces back
    bool whole = str_format(url, url_size, "%s%s", URL_PREFIX, type->name);
    CHECK(whole);
    any->type_url = url;
    any->value = (ProtobufCBinaryData){.len = size, .data = value};
    if (size)
        protobuf_c_message_pack(message, value);
    return any;
}

bool any_is(const Google__Any *any, const wire_type *type)
{
    const char *slash = strrchr(any->type_url, '/');
    return slash && str_equal(slash + 1, type->name);
}

void *any_open(const Google__Any *any, const wire_type *type, const struct wire_limits *limits,
               struct arena *arena, struct err *err)
{
    if (!any_is(any, type)) {
        err_set(err, ERR_INVALID_ARGUMENT, "expected a %s, not %.*s", type->name, ANY_URL_BYTES,
                any->type_url);
        return NULL;
    }
    return wire_unpack(type, any->value.data, any->value.len, limits, arena, err);
}
