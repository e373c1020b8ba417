#include "agent/gossip/stream.h"

#include <string.h>

#include "agent/gossip/lzw.h"
#include "agent/gossip/packet.h"
#include "proto/base/check.h"

#define ALGORITHM_LZW 0

// ---- frames ------------------------------------------------------------------------------------

int stream_frame_size(const void *bytes, size_t size, size_t *frame_size, struct err *err)
{
    *frame_size = 0;
    struct cursor in = cursor_of(bytes, size);
    if (size > 0 && cursor_u8(&in) != GOSSIP_ENCRYPT)
        return err_set(err, ERR_UNAUTHENTICATED, "gossip connection is not encrypted");
    if (size < STREAM_HEADER_BYTES)
        return 0;
    uint32_t length = cursor_u32be(&in);
    if (length > STREAM_FRAME_BYTES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "gossip frame of %u bytes is too large",
                       length);
    if (length <= KEYRING_OVERHEAD_BYTES)
        return err_set(err, ERR_UNAUTHENTICATED, "gossip frame is empty");
    *frame_size = STREAM_HEADER_BYTES + (size_t)length;
    return 0;
}

static int decompress(const struct buf *packed, struct buf *plain, struct err *err)
{
    struct cursor in = cursor_of(packed->data, packed->len);
    struct gossip_message message;
    int result = gossip_decode(&in, &message, err);
    if (result)
        return result;
    if (message.compress.algorithm != ALGORITHM_LZW)
        return err_set(err, ERR_INVALID_ARGUMENT, "frame compressed by an unknown algorithm");
    struct buf unpacked;
    size_t room = plain->limit - plain->len;
    buf_init(&unpacked, room < STREAM_PLAIN_BYTES_MAX ? room : STREAM_PLAIN_BYTES_MAX);
    result = lzw_decompress(message.compress.bytes.at, message.compress.bytes.size, &unpacked, err);
    if (result == 0)
        buf_put(plain, unpacked.data, unpacked.len);
    buf_fini(&unpacked);
    return result;
}

int stream_unseal(struct keyring *ring, const void *frame, size_t size, struct buf *plain,
                  struct err *err)
{
    size_t frame_size;
    int result = stream_frame_size(frame, size, &frame_size, err);
    if (result)
        return result;
    if (frame_size == 0 || frame_size != size)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip frame is cut short");
    struct buf opened;
    buf_init(&opened, STREAM_FRAME_BYTES_MAX);
    result =
        keyring_open(ring, frame, STREAM_HEADER_BYTES, (const uint8_t *)frame + STREAM_HEADER_BYTES,
                     size - STREAM_HEADER_BYTES, packet_peek, &opened, err);
    if (result == 0 && opened.data[0] == GOSSIP_COMPRESS) {
        result = decompress(&opened, plain, err);
    } else if (result == 0) {
        buf_put(plain, opened.data, opened.len);
        if (!buf_ok(plain))
            result =
                err_set(err, ERR_RESOURCE_EXHAUSTED, "gossip frame holds %zu bytes", opened.len);
    }
    buf_fini(&opened);
    return result;
}

static void seal(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES], const void *plain,
                 size_t size, struct buf *out)
{
    if (size > STREAM_FRAME_BYTES_MAX - KEYRING_OVERHEAD_BYTES) {
        out->overflow = true; // the peer would refuse it
        return;
    }
    struct buf header;
    buf_init(&header, STREAM_HEADER_BYTES);
    buf_put_u8(&header, GOSSIP_ENCRYPT);
    buf_put_u32be(&header, (uint32_t)(size + KEYRING_OVERHEAD_BYTES));
    buf_put(out, header.data, header.len);
    keyring_seal(ring, nonce, header.data, header.len, plain, size, out);
    buf_fini(&header);
}

void stream_seal(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES], bool compress,
                 const void *plain, size_t size, struct buf *out)
{
    CHECK(size > 0);
    if (!compress) {
        seal(ring, nonce, plain, size, out);
        return;
    }
    struct buf packed, wrapped;
    buf_init(&packed, STREAM_FRAME_BYTES_MAX);
    buf_init(&wrapped, STREAM_FRAME_BYTES_MAX);
    lzw_compress(plain, size, &packed);
    struct gossip_message message = {
        .type = GOSSIP_COMPRESS,
        .compress = {.algorithm = ALGORITHM_LZW, .bytes = {packed.data, packed.len}}};
    gossip_encode(&message, &wrapped);
    if (buf_ok(&packed) && buf_ok(&wrapped))
        seal(ring, nonce, wrapped.data, wrapped.len, out);
    else
        out->overflow = true;
    buf_fini(&packed);
    buf_fini(&wrapped);
}

// ---- push/pull ---------------------------------------------------------------------------------

int push_pull_parse(const void *plain, size_t size, struct arena *arena, struct push_pull *out,
                    struct err *err)
{
    struct cursor in = cursor_of(plain, size);
    struct gossip_message message;
    int result = gossip_decode(&in, &message, err);
    if (result)
        return result;
    if (message.type != GOSSIP_PUSH_PULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "not a push/pull message");
    const struct gossip_push_pull *header = &message.push_pull;
    if (header->nodes_count > STREAM_NODES_MAX || header->user_bytes > STREAM_USER_BYTES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "push/pull of too many nodes or bytes");
    // A state takes a byte or more, so that memory follows what was really sent.
    if (header->nodes_count > cursor_left(&in))
        return err_set(err, ERR_INVALID_ARGUMENT, "push/pull is cut short");
    struct gossip_node *nodes =
        arena_alloc_array(arena, (size_t)header->nodes_count, sizeof *nodes);
    if (!nodes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "push/pull of too many nodes");
    for (size_t i = 0; i < header->nodes_count; i++) {
        result = gossip_decode_state(&in, &nodes[i], err);
        if (result)
            return result;
    }
    const uint8_t *user = cursor_bytes(&in, (size_t)header->user_bytes);
    if (!cursor_ok(&in))
        return err_set(err, ERR_INVALID_ARGUMENT, "push/pull is cut short");
    *out = (struct push_pull){.join = header->join,
                              .nodes = nodes,
                              .nodes_count = (size_t)header->nodes_count,
                              .user = {user, (size_t)header->user_bytes}};
    return 0;
}

void push_pull_write(const struct push_pull *push_pull, struct buf *out)
{
    CHECK(push_pull->nodes_count <= STREAM_NODES_MAX);
    CHECK(push_pull->user.size <= STREAM_USER_BYTES_MAX);
    struct gossip_message header = {.type = GOSSIP_PUSH_PULL,
                                    .push_pull = {.nodes_count = push_pull->nodes_count,
                                                  .user_bytes = push_pull->user.size,
                                                  .join = push_pull->join}};
    gossip_encode(&header, out);
    for (size_t i = 0; i < push_pull->nodes_count; i++)
        gossip_encode_state(&push_pull->nodes[i], out);
    buf_put(out, push_pull->user.at, push_pull->user.size);
}

// ---- user messages -----------------------------------------------------------------------------

int stream_parse_user(const void *plain, size_t size, struct span *user, struct err *err)
{
    struct cursor in = cursor_of(plain, size);
    uint64_t bytes;
    int result = gossip_decode_user_header(&in, &bytes, err);
    if (result)
        return result;
    if (bytes > STREAM_USER_BYTES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "user message is too large");
    user->size = (size_t)bytes;
    user->at = cursor_bytes(&in, user->size);
    if (!cursor_ok(&in))
        return err_set(err, ERR_INVALID_ARGUMENT, "user message is cut short");
    return 0;
}

void stream_write_user(struct span user, struct buf *out)
{
    CHECK(user.size <= STREAM_USER_BYTES_MAX);
    gossip_encode_user_header(user.size, out);
    buf_put(out, user.at, user.size);
}
