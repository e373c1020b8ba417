#include "cmd/skepd/messages.h"

#include <string.h>

#include "proto/base/check.h"

// Changes when the layout of MESSAGE_START does. Both ends are the same program file, so a mismatch
// is a mistake and not a version to support.
#define START_LAYOUT 1u

void message_start_pack(struct buf *out, const struct message_start *start)
{
    CHECK(start->uid != 0);
    CHECK(start->gid != 0);
    CHECK(start->config_bytes <= MESSAGE_CONFIG_BYTES_MAX);
    buf_put_u32be(out, START_LAYOUT);
    buf_put_u32be(out, start->uid);
    buf_put_u32be(out, start->gid);
    buf_put_u8(out, (uint8_t)start->log_level);
    buf_put_u8(out, (uint8_t)start->log_format);
    buf_put(out, start->config, start->config_bytes);
}

int message_start_parse(const void *payload, size_t size, struct message_start *out,
                        struct err *err)
{
    struct cursor at = cursor_of(payload, size);
    uint32_t layout = cursor_u32be(&at);
    *out = (struct message_start){.uid = cursor_u32be(&at), .gid = cursor_u32be(&at)};
    uint8_t level = cursor_u8(&at), format = cursor_u8(&at);
    if (!cursor_ok(&at) || layout != START_LAYOUT)
        return err_set(err, ERR_INVALID_ARGUMENT, "start message of another layout");
    if (out->uid == 0 || out->gid == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "start message that asks for root");
    if (level > LOG_ERROR || format > LOG_JSON || cursor_left(&at) > MESSAGE_CONFIG_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "start message with values out of range");
    out->log_level = (enum log_level)level;
    out->log_format = (enum log_format)format;
    out->config_bytes = cursor_left(&at);
    out->config = cursor_bytes(&at, out->config_bytes);
    return 0;
}

void message_ready_pack(struct buf *out, const struct message_ready *ready)
{
    buf_put_u8(out, ready->seccomp);
    buf_put_u8(out, ready->landlock);
}

int message_ready_parse(const void *payload, size_t size, struct message_ready *out,
                        struct err *err)
{
    struct cursor at = cursor_of(payload, size);
    uint8_t seccomp = cursor_u8(&at);
    *out = (struct message_ready){.seccomp = seccomp == 1, .landlock = cursor_u8(&at)};
    if (!cursor_done(&at) || seccomp > 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "ready message with values out of range");
    return 0;
}

void message_lock_pack(struct buf *out, const struct message_lock *lock)
{
    buf_put_u64be(out, lock->version);
    if (lock->locked)
        buf_put(out, lock->key, LOCK_KEY_BYTES);
}

int message_lock_parse(const void *payload, size_t size, struct message_lock *out, struct err *err)
{
    const uint8_t *bytes = payload;
    if (size != MESSAGE_LOCK_BYTES_MIN && size != MESSAGE_LOCK_BYTES_MIN + LOCK_KEY_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "no lock message");
    *out = (struct message_lock){.locked = size > MESSAGE_LOCK_BYTES_MIN};
    for (size_t i = 0; i < MESSAGE_LOCK_BYTES_MIN; i++)
        out->version = out->version << 8 | bytes[i];
    if (out->locked)
        memcpy(out->key, bytes + MESSAGE_LOCK_BYTES_MIN, LOCK_KEY_BYTES);
    return 0;
}

void message_err_pack(struct buf *out, const struct err *why)
{
    CHECK(why->code != ERR_OK);
    buf_put_u8(out, (uint8_t)why->code);
    buf_put_str(out, why->message);
}

int message_err_parse(const void *payload, size_t size, struct err *out, struct err *err)
{
    const uint8_t *bytes = payload;
    if (size < 1 || bytes[0] == ERR_OK || bytes[0] > ERR_UNAUTHENTICATED ||
        memchr(bytes + 1, '\0', size - 1))
        return err_set(err, ERR_INVALID_ARGUMENT, "no error message");
    err_set(out, (enum err_code)bytes[0], "%.*s", (int)(size - 1), (const char *)(bytes + 1));
    return 0;
}

void message_lookup_pack(struct buf *out, const struct message_lookup *lookup)
{
    buf_put_u64be(out, lookup->id);
    buf_put_str(out, lookup->name);
}

static bool is_host_name(const char *name)
{
    for (const char *at = name; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '-' || *at == '.' || *at == '_'))
            return false;
    return *name != '\0';
}

int message_lookup_parse(const void *payload, size_t size, struct message_lookup *out,
                         struct err *err)
{
    struct cursor at = cursor_of(payload, size);
    *out = (struct message_lookup){.id = cursor_u64be(&at)};
    size_t length = cursor_left(&at);
    if (!cursor_ok(&at) || length >= sizeof out->name)
        return err_set(err, ERR_INVALID_ARGUMENT, "no lookup message");
    memcpy(out->name, cursor_bytes(&at, length), length);
    if (strlen(out->name) != length || !is_host_name(out->name))
        return err_set(err, ERR_INVALID_ARGUMENT, "lookup of something that is no host name");
    return 0;
}

void message_found_pack(struct buf *out, const struct message_found *found)
{
    CHECK(found->count <= MESSAGE_FOUND_MAX);
    buf_put_u64be(out, found->id);
    buf_put_u8(out, (uint8_t)found->count);
    for (size_t i = 0; i < found->count; i++) {
        uint8_t size = found->addrs[i].kind == ADDR_IP4 ? 4 : 16;
        buf_put_u8(out, size);
        buf_put(out, found->addrs[i].ip, size);
    }
    if (found->count == 0)
        message_err_pack(out, &found->why);
}

int message_found_parse(const void *payload, size_t size, struct message_found *out,
                        struct err *err)
{
    struct cursor at = cursor_of(payload, size);
    *out = (struct message_found){.id = cursor_u64be(&at), .count = cursor_u8(&at)};
    if (!cursor_ok(&at) || out->count > MESSAGE_FOUND_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "no answer to a lookup");
    if (out->count == 0)
        return message_err_parse(at.at, cursor_left(&at), &out->why, err);
    for (size_t i = 0; i < out->count; i++) {
        uint8_t length = cursor_u8(&at);
        const uint8_t *ip = length == 4 || length == 16 ? cursor_bytes(&at, length) : NULL;
        if (!ip)
            return err_set(err, ERR_INVALID_ARGUMENT, "answer to a lookup with a strange address");
        out->addrs[i] = addr_of_ip(ip, length, 0);
    }
    if (!cursor_done(&at))
        return err_set(err, ERR_INVALID_ARGUMENT, "answer to a lookup with more behind it");
    return 0;
}

bool message_log_parse(const void *payload, size_t size, enum log_level *out)
{
    struct cursor at = cursor_of(payload, size);
    uint8_t level = cursor_u8(&at);
    *out = (enum log_level)level;
    return cursor_done(&at) && level <= LOG_ERROR;
}
