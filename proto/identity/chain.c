#include "proto/identity/chain.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/pem.h"
#include "proto/identity/sign.h"

static int parse_blocks(mbedtls_x509_crt *list, struct cursor *text, size_t count_max,
                        struct err *err)
{
    for (size_t count = 0;; count++) {
        struct pem_block block;
        struct err why = ERR_INIT;
        int result = pem_next(text, &block, &why);
        if (result == -ERR_NOT_FOUND)
            return count ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "no certificate found");
        if (result)
            return err_copy(err, &why);
        if (!str_equal(block.type, "CERTIFICATE"))
            result = err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s where a certificate belongs",
                             block.type);
        else if (count == count_max)
            result = err_set(err, ERR_INVALID_ARGUMENT, "more than %zu certificates", count_max);
        else if (!block.der.len ||
                 mbedtls_x509_crt_parse_der(list, block.der.data, block.der.len) != 0)
            result =
                err_set(err, ERR_INVALID_ARGUMENT, "certificate %zu cannot be parsed", count + 1);
        pem_block_fini(&block);
        if (result)
            return result;
    }
}

int chain_parse(mbedtls_x509_crt *list, const char *pem, size_t count_max, struct err *err)
{
    mbedtls_x509_crt_init(list);
    size_t size = strlen(pem);
    if (size > PEM_TEXT_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "certificates are larger than %u bytes",
                       PEM_TEXT_BYTES_MAX);
    struct cursor text = cursor_of(pem, size);
    int result = parse_blocks(list, &text, count_max, err);
    if (result) {
        mbedtls_x509_crt_free(list);
        mbedtls_x509_crt_init(list);
    }
    return result;
}

size_t chain_count(const mbedtls_x509_crt *list)
{
    size_t count = 0;
    for (; list && list->raw.len; list = list->next)
        count++;
    return count;
}

static bool same_bytes(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

bool chain_signed_by(const mbedtls_x509_crt *child, const mbedtls_x509_crt *parent, size_t below)
{
    if (!same_bytes(&child->issuer_raw, &parent->subject_raw))
        return false;
    if (!parent->ca_istrue ||
        mbedtls_x509_crt_check_key_usage(parent, MBEDTLS_X509_KU_KEY_CERT_SIGN) != 0)
        return false;
    // mbedTLS keeps the path length one higher than the certificate says, 0 for none.
    if (parent->max_pathlen > 0 && (size_t)parent->max_pathlen < below + 1)
        return false;
    struct signature signature = {
        .document = child->tbs.p,
        .document_size = child->tbs.len,
        .bytes = child->sig.p,
        .bytes_size = child->sig.len,
        .hash = child->sig_md,
        .kind = child->sig_pk,
        .options = child->sig_opts,
    };
    return sign_check(&signature, &parent->pk);
}

struct wall chain_time(const mbedtls_x509_time *time)
{
    char text[WALL_TEXT_BYTES];
    struct wall wall;
    CHECK(str_format(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", time->year, time->mon,
                     time->day, time->hour, time->min, time->sec));
    if (wall_parse(text, &wall, NULL))
        return (struct wall){time->year < 1970 ? INT64_MIN : INT64_MAX};
    return wall;
}

// The extension's content, or false. mbedTLS checked the extensions' framing when it parsed them.
static bool extension_find(const mbedtls_x509_crt *crt, const char *oid, size_t oid_size,
                           struct cursor *content)
{
    unsigned char *at = crt->v3_ext.p;
    const unsigned char *end = at + crt->v3_ext.len;
    size_t length;
    if (!at || mbedtls_asn1_get_tag(&at, end, &length,
                                    MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
        return false;
    end = at + length;
    while (at < end) {
        if (mbedtls_asn1_get_tag(&at, end, &length,
                                 MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0)
            return false;
        const unsigned char *next = at + length;
        if (mbedtls_asn1_get_tag(&at, next, &length, MBEDTLS_ASN1_OID) != 0)
            return false;
        bool wanted = length == oid_size && memcmp(at, oid, oid_size) == 0;
        at += length;
        int critical;
        if (wanted) {
            mbedtls_asn1_get_bool(&at, next, &critical); // usually absent
            if (mbedtls_asn1_get_tag(&at, next, &length, MBEDTLS_ASN1_OCTET_STRING) != 0)
                return false;
            *content = cursor_of(at, length);
            return true;
        }
        at = (unsigned char *)next;
    }
    return false;
}

size_t chain_key_identifier(const mbedtls_x509_crt *crt, unsigned char *out, size_t max)
{
    CHECK(max >= KEY_SHA1_BYTES);
    struct cursor content;
    if (extension_find(crt, MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER,
                       sizeof MBEDTLS_OID_SUBJECT_KEY_IDENTIFIER - 1, &content)) {
        unsigned char *at = (unsigned char *)content.at;
        size_t length;
        if (mbedtls_asn1_get_tag(&at, content.end, &length, MBEDTLS_ASN1_OCTET_STRING) == 0 &&
            length > 0 && length <= max) {
            memcpy(out, at, length);
            return length;
        }
    }
    key_identifier(&crt->pk, out);
    return KEY_SHA1_BYTES;
}
