#include "proto/identity/certificate.h"

#include <mbedtls/oid.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/pem.h"
#include "proto/identity/sign.h"

#define DOCUMENT_BYTES_MAX 16384
#define SERIAL_BYTES       20
// X.520's upper bound for CN, O and OU.
#define NAME_PART_CHARS_MAX 64

// PrintableString holds most texts; the rest is UTF8String. The same choice as Go's.
static bool printable(const char *text)
{
    for (; *text; text++)
        if (!(*text >= 'a' && *text <= 'z') && !(*text >= 'A' && *text <= 'Z') &&
            !(*text >= '0' && *text <= '9') && !strchr(" '()+,-./:=?", *text))
            return false;
    return true;
}

// SET { SEQUENCE { oid, text } }.
static bool put_name_part(struct der *der, const char *oid, size_t oid_size, const char *text)
{
    size_t length = strlen(text);
    if (!length || length > NAME_PART_CHARS_MAX || !str_utf8_valid(text, length))
        return false;
    size_t mark = der_mark(der);
    der_element(der, printable(text) ? DER_PRINTABLE : DER_UTF8, text, length);
    der_oid(der, oid, oid_size);
    der_wrap(der, mark, DER_SEQUENCE);
    der_wrap(der, mark, DER_SET);
    return true;
}
#define PUT_NAME_PART(der, oid, text) put_name_part((der), (oid), sizeof(oid) - 1, (text))

bool certificate_name(const char *organization, const char *unit, const char *common,
                      struct buf *out)
{
    uint8_t space[512];
    struct der der;
    der_init(&der, space, sizeof space);
    size_t mark = der_mark(&der);
    bool good = PUT_NAME_PART(&der, MBEDTLS_OID_AT_CN, common);
    if (organization)
        good = good && PUT_NAME_PART(&der, MBEDTLS_OID_AT_ORG_UNIT, unit) &&
               PUT_NAME_PART(&der, MBEDTLS_OID_AT_ORGANIZATION, organization);
    der_wrap(&der, mark, DER_SEQUENCE);
    CHECK(der_ok(&der));
    if (good)
        buf_put(out, der.at, der_size(&der));
    return good;
}

// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
static void put_time(struct der *der, struct wall at)
{
    char text[WALL_TEXT_BYTES];
    char digits[16];
    size_t count = 0;
    wall_format((struct wall){at.ns - at.ns % NS_PER_S}, text);
    for (const char *c = text; *c; c++)
        if ((*c >= '0' && *c <= '9') || *c == 'Z')
            digits[count++] = *c;
    CHECK(count == 15); // YYYYMMDDhhmmssZ
    if (memcmp(digits, "2050", 4) < 0)
        der_element(der, DER_UTC_TIME, digits + 2, count - 2);
    else
        der_element(der, DER_TIME, digits, count);
}

// One Extension around the value put since `mark`.
static void wrap_extension(struct der *der, size_t mark, const char *oid, size_t oid_size,
                           bool critical)
{
    der_wrap(der, mark, DER_OCTETS);
    if (critical)
        der_true(der);
    der_oid(der, oid, oid_size);
    der_wrap(der, mark, DER_SEQUENCE);
}
#define WRAP_EXTENSION(der, mark, oid, critical)                                                   \
    wrap_extension((der), (mark), (oid), sizeof(oid) - 1, (critical))

static void put_san(struct der *der, const struct certificate *certificate)
{
    size_t mark = der_mark(der);
    for (size_t i = certificate->dns_names_count; i-- > 0;)
        der_element(der, DER_CONTEXT(2), certificate->dns_names[i],
                    strlen(certificate->dns_names[i]));
    der_wrap(der, mark, DER_SEQUENCE);
    WRAP_EXTENSION(der, mark, MBEDTLS_OID_SUBJECT_ALT_NAME, false);
}

static void put_extended_usage(struct der *der)
{
    size_t mark = der_mark(der);
    DER_OID_PUT(der, MBEDTLS_OID_CLIENT_AUTH);
    DER_OID_PUT(der, MBEDTLS_OID_SERVER_AUTH);
    der_wrap(der, mark, DER_SEQUENCE);
    WRAP_EXTENSION(der, mark, MBEDTLS_OID_EXTENDED_KEY_USAGE, false);
}

static void put_usage(struct der *der, bool ca)
{
    size_t mark = der_mark(der);
    // Named bits from the left: keyCertSign 5, cRLSign 6; digitalSignature 0, keyEncipherment 2.
    // The first byte counts the unused bits at the end.
    der_element(der, DER_BITS, ca ? "\x01\x06" : "\x05\xa0", 2);
    WRAP_EXTENSION(der, mark, MBEDTLS_OID_KEY_USAGE, true);
}

static void put_extensions(struct der *der, const struct certificate *certificate)
{
    size_t all = der_mark(der);
    if (certificate->dns_names_count)
        put_san(der, certificate);
    size_t mark = der_mark(der);
    if (cursor_left(&certificate->authority_identifier)) {
        der_element(der, DER_CONTEXT(0), certificate->authority_identifier.at,
                    cursor_left(&certificate->authority_identifier));
        der_wrap(der, mark, DER_SEQUENCE);
        WRAP_EXTENSION(der, mark, MBEDTLS_OID_AUTHORITY_KEY_IDENTIFIER, false);
    }
    mark = der_mark(der);
    der_element(der, DER_OCTETS, certificate->key_identifier.at,
                cursor_left(&certificate->key_identifier));
    WRAP_EXTENSION(der, mark, MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER, false);
    mark = der_mark(der);
    if (certificate->ca)
        der_true(der); // false is the default, which DER leaves out
    der_wrap(der, mark, DER_SEQUENCE);
    WRAP_EXTENSION(der, mark, MBEDTLS_OID_BASIC_CONSTRAINTS, true);
    if (!certificate->ca)
        put_extended_usage(der);
    put_usage(der, certificate->ca);
    der_wrap(der, all, DER_SEQUENCE);
    der_wrap(der, all, DER_EXPLICIT(3));
}

void certificate_sign(const struct certificate *certificate, const struct key *signer,
                      const struct rng *rng, struct buf *pem)
{
    CHECK(certificate->dns_names_count <= CERTIFICATE_NAMES_MAX);
    uint8_t *space = mem_alloc(DOCUMENT_BYTES_MAX);
    struct der der;
    der_init(&der, space, DOCUMENT_BYTES_MAX);
    size_t whole = der_mark(&der);
    put_extensions(&der, certificate);
    der_put(&der, certificate->public_key.at, cursor_left(&certificate->public_key));
    der_put(&der, certificate->subject.at, cursor_left(&certificate->subject));
    size_t mark = der_mark(&der);
    put_time(&der, certificate->not_after);
    put_time(&der, certificate->not_before);
    der_wrap(&der, mark, DER_SEQUENCE);
    der_put(&der, certificate->issuer.at, cursor_left(&certificate->issuer));
    sign_algorithm(&der, signer);
    uint8_t serial[SERIAL_BYTES];
    rng_fill(rng, serial, sizeof serial);
    serial[0] &= 0x7f;
    der_uint(&der, serial, sizeof serial);
    mark = der_mark(&der);
    der_small(&der, 2); // version 3
    der_wrap(&der, mark, DER_EXPLICIT(0));
    der_wrap(&der, whole, DER_SEQUENCE);
    CHECK(der_ok(&der));

    struct buf document;
    buf_init(&document, 2 * DOCUMENT_BYTES_MAX);
    sign_document(signer, rng, der.at, der_size(&der), &document);
    CHECK(buf_ok(&document));
    pem_write_der(pem, "CERTIFICATE", document.data, document.len);
    buf_fini(&document);
    free(space);
}
