// Writing DER from its end to its start, where every length is known when it is needed. Used inside
// this room for certificates, requests and keys.
//
// Parts are put in reverse order: the last one first. Overflow is remembered; der_ok once at the
// end.
#ifndef PROTO_IDENTITY_DER_H
#define PROTO_IDENTITY_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DER_BOOLEAN     0x01
#define DER_INTEGER     0x02
#define DER_BITS        0x03
#define DER_OCTETS      0x04
#define DER_NULL        0x05
#define DER_OID         0x06
#define DER_UTF8        0x0c
#define DER_PRINTABLE   0x13
#define DER_UTC_TIME    0x17
#define DER_TIME        0x18
#define DER_SEQUENCE    0x30
#define DER_SET         0x31
#define DER_CONTEXT(n)  (0x80 | (n)) // primitive
#define DER_EXPLICIT(n) (0xa0 | (n)) // constructed

struct der {
    uint8_t *start; // of the caller's space
    uint8_t *at;    // first byte written so far
    uint8_t *end;
    bool overflow;
};

void der_init(struct der *der, uint8_t *space, size_t size);
bool der_ok(const struct der *der);
size_t der_size(const struct der *der); // bytes from der->at to the end

// Bytes as they are, put before what is there.
void der_put(struct der *der, const void *bytes, size_t size);
void der_put_u8(struct der *der, uint8_t byte);

// Where we are: what is put from here on becomes the content of der_wrap.
size_t der_mark(const struct der *der);
void der_wrap(struct der *der, size_t mark, uint8_t tag);

// A whole element.
void der_element(struct der *der, uint8_t tag, const void *bytes, size_t size);
void der_oid(struct der *der, const char *oid, size_t size);       // MBEDTLS_OID_* and its size
void der_uint(struct der *der, const uint8_t *bytes, size_t size); // big-endian, any leading zeros
void der_small(struct der *der, unsigned value);                   // an INTEGER
void der_true(struct der *der);
// A BIT STRING of whole bytes around what was put since `mark`.
void der_wrap_bits(struct der *der, size_t mark);

#define DER_OID_PUT(der, oid) der_oid((der), (oid), sizeof(oid) - 1)

#endif
