#include "agent/net/relay.h"

#include <string.h>

#include "proto/base/codec.h"
#include "proto/base/str.h"

void relay_key(const struct relay_port *port, char out[RELAY_KEY_BYTES])
{
    char at[2 * sizeof port->at + 1];
    for (size_t i = 0; i < sizeof port->at; i++)
        (void)str_format(at + 2 * i, 3, "%02x", port->at[i]);
    (void)str_format(out, RELAY_KEY_BYTES, "%u %u %s %x %u", port->protocol, port->port, at,
                     port->inner, port->inner_port);
}

void relay_pack(struct buf *out, const struct relay_port *port)
{
    buf_put_u8(out, port->protocol);
    buf_put_u16be(out, port->port);
    buf_put(out, port->at, sizeof port->at);
    buf_put_u32be(out, port->inner);
    buf_put_u16be(out, port->inner_port);
}

int relay_parse(const void *payload, size_t size, struct relay_port *out, struct err *err)
{
    struct cursor in = cursor_of(payload, size);
    if (size != RELAY_PORT_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "a port of %zu bytes", size);
    *out = (struct relay_port){.protocol = cursor_u8(&in), .port = cursor_u16be(&in)};
    const void *at = cursor_bytes(&in, sizeof out->at);
    if (at)
        memcpy(out->at, at, sizeof out->at);
    out->inner = cursor_u32be(&in);
    out->inner_port = cursor_u16be(&in);
    if ((out->protocol != RELAY_TCP && out->protocol != RELAY_UDP) || out->port == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "port %u of protocol %u is not relayed",
                       out->port, out->protocol);
    if ((out->inner == 0) != (out->inner_port == 0))
        return err_set(err, ERR_INVALID_ARGUMENT, "port %u leads to half an address", out->port);
    return 0;
}
