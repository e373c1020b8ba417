#include "proto/identity/der.h"

#include <string.h>

#include "proto/base/check.h"

void der_init(struct der *der, uint8_t *space, size_t size)
{
    *der = (struct der){.start = space, .at = space + size, .end = space + size};
}

bool der_ok(const struct der *der)
{
    return !der->overflow;
}

size_t der_size(const struct der *der)
{
    return (size_t)(der->end - der->at);
}

void der_put(struct der *der, const void *bytes, size_t size)
{
    if (der->overflow || size > (size_t)(der->at - der->start)) {
        der->overflow = true;
        return;
    }
    der->at -= size;
    if (size)
        memcpy(der->at, bytes, size);
}

void der_put_u8(struct der *der, uint8_t byte)
{
    der_put(der, &byte, 1);
}

size_t der_mark(const struct der *der)
{
    return der_size(der);
}

void der_wrap(struct der *der, size_t mark, uint8_t tag)
{
    CHECK(mark <= der_size(der));
    size_t length = der_size(der) - mark;
    if (length < 0x80) {
        der_put_u8(der, (uint8_t)length);
    } else {
        uint8_t count = 0;
        for (size_t rest = length; rest; rest >>= 8, count++)
            der_put_u8(der, (uint8_t)rest);
        der_put_u8(der, 0x80 | count);
    }
    der_put_u8(der, tag);
}

void der_element(struct der *der, uint8_t tag, const void *bytes, size_t size)
{
    size_t mark = der_mark(der);
    der_put(der, bytes, size);
    der_wrap(der, mark, tag);
}

void der_oid(struct der *der, const char *oid, size_t size)
{
    der_element(der, DER_OID, oid, size);
}

void der_uint(struct der *der, const uint8_t *bytes, size_t size)
{
    while (size > 1 && !*bytes) {
        bytes++;
        size--;
    }
    CHECK(size > 0);
    size_t mark = der_mark(der);
    der_put(der, bytes, size);
    if (*bytes & 0x80)
        der_put_u8(der, 0); // else it would read as negative
    der_wrap(der, mark, DER_INTEGER);
}

void der_small(struct der *der, unsigned value)
{
    uint8_t bytes[] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                       (uint8_t)value};
    der_uint(der, bytes, sizeof bytes);
}

void der_true(struct der *der)
{
    der_element(der, DER_BOOLEAN, "\xff", 1);
}

void der_wrap_bits(struct der *der, size_t mark)
{
    der_put_u8(der, 0); // no unused bits
    der_wrap(der, mark, DER_BITS);
}
