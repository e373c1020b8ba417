#include "proto/identity/csr.h"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/pem.h"
#include "proto/identity/sign.h"

#define DOCUMENT_BYTES_MAX 4096

void csr_make(const struct key *key, const struct rng *rng, struct buf *out)
{
    struct buf public_key;
    buf_init(&public_key, DOCUMENT_BYTES_MAX);
    key_write_public(&key->pk, &public_key);

    uint8_t space[DOCUMENT_BYTES_MAX];
    struct der der;
    der_init(&der, space, sizeof space);
    size_t mark = der_mark(&der);
    der_element(&der, DER_EXPLICIT(0), NULL, 0); // no attributes
    der_put(&der, public_key.data, public_key.len);
    der_element(&der, DER_SEQUENCE, NULL, 0); // empty subject
    der_small(&der, 0);                       // version 1
    der_wrap(&der, mark, DER_SEQUENCE);
    CHECK(der_ok(&der));

    struct buf request;
    buf_init(&request, 2 * DOCUMENT_BYTES_MAX);
    sign_document(key, rng, der.at, der_size(&der), &request);
    CHECK(buf_ok(&request));
    pem_write_der(out, "CERTIFICATE REQUEST", request.data, request.len);
    buf_fini(&request);
    buf_fini(&public_key);
}

// The parts of a CertificationRequest that matter. Taken apart here because mbedTLS 2.28 refuses
// requests with an empty subject, which is what swarm nodes send.
struct request {
    mbedtls_pk_context public_key;
    struct signature signature;
};

// The content of the next element if it has that tag: *at to its begin, the end is returned.
static unsigned char *enter(unsigned char **at, const unsigned char *end, int tag)
{
    size_t length;
    return mbedtls_asn1_get_tag(at, end, &length, tag) == 0 ? *at + length : NULL;
}

// CertificationRequestInfo: version, subject, key, attributes.
static bool parse_info(unsigned char *at, const unsigned char *end, struct request *request)
{
    int version;
    if (mbedtls_asn1_get_int(&at, end, &version) != 0 || version != 0)
        return false;
    unsigned char *subject_end = enter(&at, end, DER_SEQUENCE);
    if (!subject_end)
        return false;
    at = subject_end;
    if (mbedtls_pk_parse_subpubkey(&at, end, &request->public_key) != 0)
        return false;
    return at == end || *at == DER_EXPLICIT(0);
}

static bool parse_request(const struct buf *der, struct request *request)
{
    unsigned char *at = der->data;
    unsigned char *end = der->len ? enter(&at, der->data + der->len, DER_SEQUENCE) : NULL;
    if (!end || end != der->data + der->len)
        return false;
    request->signature.document = at;
    unsigned char *info_end = enter(&at, end, DER_SEQUENCE);
    if (!info_end || !parse_info(at, info_end, request))
        return false;
    request->signature.document_size =
        (size_t)(info_end - (const unsigned char *)request->signature.document);
    at = info_end;
    // RSA-PSS, the one algorithm with parameters of its own, is not among those we accept.
    mbedtls_asn1_buf oid;
    mbedtls_asn1_buf params;
    if (mbedtls_asn1_get_alg(&at, end, &oid, &params) != 0 ||
        mbedtls_oid_get_sig_alg(&oid, &request->signature.hash, &request->signature.kind) != 0 ||
        request->signature.kind == MBEDTLS_PK_RSASSA_PSS)
        return false;
    mbedtls_asn1_bitstring bits;
    if (mbedtls_asn1_get_bitstring(&at, end, &bits) != 0 || bits.unused_bits || at != end)
        return false;
    request->signature.bytes = bits.p;
    request->signature.bytes_size = bits.len;
    return true;
}

static int open_der(const struct buf *der, struct buf *public_key, struct err *err)
{
    struct request request = {0};
    mbedtls_pk_init(&request.public_key);
    int result = 0;
    if (!parse_request(der, &request))
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate request cannot be parsed");
    else if (!key_acceptable(&request.public_key))
        result = err_set(err, ERR_INVALID_ARGUMENT,
                         "certificate request holds a key of a kind that is not accepted");
    else if (!sign_check(&request.signature, &request.public_key))
        result =
            err_set(err, ERR_INVALID_ARGUMENT, "certificate request is not signed by its own key");
    else
        key_write_public(&request.public_key, public_key);
    mbedtls_pk_free(&request.public_key);
    return result;
}

int csr_open(const void *pem, size_t size, struct buf *public_key, struct err *err)
{
    if (size > CSR_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate request is larger than %u bytes",
                       CSR_BYTES_MAX);
    struct cursor text = cursor_of(pem, size);
    struct pem_block block;
    int result = pem_next(&text, &block, err);
    if (result)
        return err_set(err, ERR_INVALID_ARGUMENT, "no certificate request found");
    if (!str_equal(block.type, "CERTIFICATE REQUEST") &&
        !str_equal(block.type, "NEW CERTIFICATE REQUEST"))
        result = err_set(err, ERR_INVALID_ARGUMENT, "PEM block %s is no certificate request",
                         block.type);
    else
        result = open_der(&block.der, public_key, err);
    pem_block_fini(&block);
    return result;
}
