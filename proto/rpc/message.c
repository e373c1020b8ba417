#include "proto/rpc/message.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/grpc.h"

struct incoming *incoming_new(uint8_t *bytes, size_t size)
{
    struct incoming *incoming = MEM_NEW(struct incoming);
    list_init(&incoming->link);
    incoming->bytes = bytes;
    incoming->size = size;
    return incoming;
}

int incoming_decode(struct incoming *incoming, const ProtobufCMessageDescriptor *type,
                    const struct wire_limits *limits, struct err *err)
{
    CHECK(!incoming->message);
    size_t most;
    if (!size_mul(limits->fields, MESSAGE_FIELD_BYTES, &most) ||
        !size_add(most, limits->bytes, &most))
        most = SIZE_MAX / 2;
    arena_init_small(&incoming->arena, most);
    struct err inner = ERR_INIT;
    incoming->message =
        wire_unpack(type, incoming->bytes, incoming->size, limits, &incoming->arena, &inner);
    if (incoming->message)
        return 0;
    if (inner.code == ERR_RESOURCE_EXHAUSTED)
        return err_set(err, inner.code, "grpc: %s", inner.message);
    return err_set(err, ERR_INTERNAL, "grpc: error unmarshalling request: %s", inner.message);
}

void incoming_free(struct incoming *incoming)
{
    if (!incoming)
        return;
    arena_fini(&incoming->arena);
    free(incoming->bytes);
    free(incoming);
}

static int make_frame(size_t bytes_size, uint8_t **frame, size_t *size, struct err *err)
{
    if (bytes_size > GRPC_CLIENT_MESSAGE_BYTES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "grpc: trying to send message larger than max (%zu vs. %u)", bytes_size,
                       GRPC_CLIENT_MESSAGE_BYTES_MAX);
    *size = GRPC_PREFIX_BYTES + bytes_size;
    *frame = malloc(*size); // filled whole by the callers: not worth zeroing
    CHECK(*frame);
    grpc_prefix_write(*frame, (uint32_t)bytes_size);
    return 0;
}

int message_frame(const ProtobufCMessage *message, uint8_t **frame, size_t *size, struct err *err)
{
    size_t bytes_size = protobuf_c_message_get_packed_size(message);
    int result = make_frame(bytes_size, frame, size, err);
    if (result < 0)
        return result;
    size_t written = protobuf_c_message_pack(message, *frame + GRPC_PREFIX_BYTES);
    CHECK(written == bytes_size);
    return 0;
}

int message_frame_raw(const void *bytes, size_t bytes_size, uint8_t **frame, size_t *size,
                      struct err *err)
{
    int result = make_frame(bytes_size, frame, size, err);
    if (result < 0)
        return result;
    if (bytes_size)
        memcpy(*frame + GRPC_PREFIX_BYTES, bytes, bytes_size);
    return 0;
}
