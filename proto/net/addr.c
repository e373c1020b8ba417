#include "proto/net/addr.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static_assert(ADDR_PATH_BYTES <= ADDR_HOST_BYTES, "a path is kept in host");

struct addr addr_of_ip(const uint8_t *ip, size_t size, uint16_t port)
{
    CHECK(size == 4 || size == 16);
    struct addr addr = {.kind = size == 4 ? ADDR_IP4 : ADDR_IP6, .port = port};
    memcpy(addr.ip, ip, size);
    const char *text = inet_ntop(size == 4 ? AF_INET : AF_INET6, ip, addr.host, sizeof addr.host);
    CHECK(text);
    return addr;
}

// Fills host, ip and kind from a text without port: an address when it is one, else a name.
static int set_host(struct addr *out, const char *host, size_t length, struct err *err)
{
    if (length >= sizeof out->host)
        return err_set(err, ERR_INVALID_ARGUMENT, "host name longer than %zu characters",
                       sizeof out->host - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)host[i] <= ' ' || host[i] == '/' || host[i] == 0x7f)
            return err_set(err, ERR_INVALID_ARGUMENT, "host name holds a forbidden character");
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    if (length == 0) {
        out->kind = ADDR_IP6;
        str_copy(out->host, sizeof out->host, "::");
        return 0;
    }
    char plain[ADDR_HOST_BYTES];
    memcpy(plain, out->host, length + 1);
    char *scope = strchr(plain, '%');
    if (scope)
        *scope++ = '\0';
    if (!scope && inet_pton(AF_INET, plain, out->ip) == 1)
        out->kind = ADDR_IP4;
    else if (inet_pton(AF_INET6, plain, out->ip) == 1)
        out->kind = ADDR_IP6;
    else if (strchr(plain, ':') || scope)
        return err_set(err, ERR_INVALID_ARGUMENT, "\"%s\" is no address", out->host);
    else
        out->kind = ADDR_NAME;
    return 0;
}

static int set_unix(struct addr *out, const char *path, struct err *err)
{
    if (!*path)
        return err_set(err, ERR_INVALID_ARGUMENT, "empty socket path");
    if (!str_copy(out->host, ADDR_PATH_BYTES, path))
        return err_set(err, ERR_INVALID_ARGUMENT, "socket path longer than %d characters",
                       ADDR_PATH_BYTES - 1);
    out->kind = ADDR_UNIX;
    return 0;
}

// Splits off ":port". Sets *host_length to what stands before it, brackets still included.
static int split_port(const char *text, uint16_t default_port, size_t *host_length, uint16_t *port,
                      struct err *err)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    // A bare IPv6 address has several colons and no port.
    bool bare6 = colon && text[0] != '[' && strchr(text, ':') != colon;
    if (!colon || bare6 || (bracket && bracket > colon)) {
        *host_length = strlen(text);
        *port = default_port;
        if (default_port == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "no port in \"%.300s\"", text);
        return 0;
    }
    uint64_t number;
    if (!str_to_u64(colon + 1, UINT16_MAX, &number))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid port in \"%.300s\"", text);
    *host_length = (size_t)(colon - text);
    *port = (uint16_t)number;
    return 0;
}

int addr_parse(const char *text, uint16_t default_port, struct addr *out, struct err *err)
{
    CHECK(text);
    *out = (struct addr){0};
    if (str_starts(text, "unix://"))
        return set_unix(out, text + strlen("unix://"), err);
    if (text[0] == '/')
        return set_unix(out, text, err);
    if (str_starts(text, "tcp://"))
        text += strlen("tcp://");
    if (!*text)
        return err_set(err, ERR_INVALID_ARGUMENT, "empty address");
    size_t length = 0;
    int rc = split_port(text, default_port, &length, &out->port, err);
    if (rc)
        return rc;
    if (text[0] == '[') {
        if (length < 2 || text[length - 1] != ']')
            return err_set(err, ERR_INVALID_ARGUMENT, "missing ']' in \"%.300s\"", text);
        rc = set_host(out, text + 1, length - 2, err);
        if (rc == 0 && (out->kind != ADDR_IP6 || length == 2))
            return err_set(err, ERR_INVALID_ARGUMENT, "no IPv6 address in \"%.300s\"", text);
        return rc;
    }
    return set_host(out, text, length, err);
}

const char *addr_format(const struct addr *addr, char out[ADDR_TEXT_BYTES])
{
    if (addr->kind == ADDR_UNIX)
        str_format(out, ADDR_TEXT_BYTES, "unix://%s", addr->host);
    else
        str_format(out, ADDR_TEXT_BYTES, addr->kind == ADDR_IP6 ? "[%s]:%u" : "%s:%u", addr->host,
                   addr->port);
    return out;
}

size_t addr_peer_key(const struct addr *addr, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (addr->kind != ADDR_IP4 && addr->kind != ADDR_IP6)
        return 0;
    if (addr->kind == ADDR_IP4) {
        memcpy(out, addr->ip, 4);
        return 4;
    }
    if (memcmp(addr->ip, mapped, sizeof mapped) == 0) {
        memcpy(out, addr->ip + 12, 4);
        return 4;
    }
    memcpy(out, addr->ip, 8);
    return 8;
}
