#include "agent/net/relay.h"

void relay_pack(struct buf *out, struct relay_port port)
{
    buf_put_u8(out, port.protocol);
    buf_put_u16be(out, port.port);
}

int relay_parse(const void *payload, size_t size, struct relay_port *out, struct err *err)
{
    const uint8_t *bytes = payload;
    if (size != RELAY_PORT_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "a port of %zu bytes", size);
    *out = (struct relay_port){bytes[0], (uint16_t)(bytes[1] << 8 | bytes[2])};
    if ((out->protocol != RELAY_TCP && out->protocol != RELAY_UDP) || out->port == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "port %u of protocol %u is not relayed",
                       out->port, out->protocol);
    return 0;
}
