#include "proto/identity/rootca.h"

#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/identity/certificate.h"
#include "proto/identity/chain.h"
#include "proto/identity/csr.h"
#include "proto/identity/pem.h"
#include "proto/identity/sign.h"
#include "proto/identity/x509.h"

#define ROOT_COMMON_NAME "swarm-ca"
#define DER_BYTES_MAX    8192
// Longest subject key identifier taken over from a CA of somebody else's making.
#define IDENTIFIER_BYTES_MAX 64

// How far before "now" certificates begin, for nodes whose clocks are behind.
#define ROOT_BACKDATE_NS (5 * NS_PER_MIN)
#define LEAF_BACKDATE_NS NS_PER_H

static struct cursor cursor_of_buf(const struct buf *buf)
{
    return cursor_of(buf->data, buf->len);
}

static struct wall minute_before(struct wall at)
{
    return (struct wall){at.ns - at.ns % NS_PER_MIN};
}

static struct wall minute_nearest(struct wall at)
{
    return minute_before(wall_add(at, NS_PER_MIN / 2));
}

void rootca_make(const struct rng *rng, struct wall now, struct buf *cert_pem, struct buf *key_pem)
{
    struct key key;
    struct buf name;
    struct buf public_key;
    unsigned char identifier[KEY_SHA1_BYTES];
    key_make(&key, rng);
    buf_init(&name, DER_BYTES_MAX);
    buf_init(&public_key, DER_BYTES_MAX);
    CHECK(certificate_name(NULL, NULL, ROOT_COMMON_NAME, &name));
    key_write_public(&key.pk, &public_key);
    key_identifier(&key.pk, identifier);
    struct wall not_before = wall_add(minute_nearest(now), -ROOT_BACKDATE_NS);
    struct certificate certificate = {
        .issuer = cursor_of_buf(&name),
        .subject = cursor_of_buf(&name),
        .not_before = not_before,
        .not_after = wall_add(not_before, ROOTCA_VALID_S * NS_PER_S),
        .public_key = cursor_of_buf(&public_key),
        .ca = true,
        .key_identifier = cursor_of(identifier, sizeof identifier),
        .authority_identifier = cursor_of("", 0),
    };
    certificate_sign(&certificate, &key, rng, cert_pem);
    key_write_pem(&key, key_pem);
    buf_fini(&public_key);
    buf_fini(&name);
    key_fini(&key);
}

// ---- checking ----------------------------------------------------------------------------------

static int check_root(const mbedtls_x509_crt *crt, size_t number, struct wall now, struct err *err)
{
    // chain_signed_by insists on a CA, on an accepted key and on SHA-256, SHA-384 or SHA-512.
    if (!chain_signed_by(crt, crt, 0))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "root certificate %zu is not a self-signed CA with an accepted signature",
                       number);
    if (wall_before(chain_time(&crt->valid_to), now))
        return err_set(err, ERR_INVALID_ARGUMENT, "root certificate %zu has expired", number);
    if (wall_before(now, chain_time(&crt->valid_from)))
        return err_set(err, ERR_INVALID_ARGUMENT, "root certificate %zu is not yet valid", number);
    return 0;
}

int rootca_check(const char *roots_pem, struct wall now, struct err *err)
{
    mbedtls_x509_crt roots;
    int result = chain_parse(&roots, roots_pem, X509_ROOTS_MAX, err);
    size_t number = 1;
    for (const mbedtls_x509_crt *crt = &roots; !result && crt; crt = crt->next)
        result = check_root(crt, number++, now, err);
    mbedtls_x509_crt_free(&roots);
    return result;
}

void rootca_digest(const void *roots_pem, size_t size, uint8_t out[ROOTCA_DIGEST_BYTES])
{
    CHECK(mbedtls_sha256_ret(roots_pem, size, out, 0) == 0);
}

void rootca_hash_text(const void *roots_pem, size_t size, char out[ROOTCA_HASH_TEXT_BYTES])
{
    uint8_t digest[ROOTCA_DIGEST_BYTES];
    char hex[2 * ROOTCA_DIGEST_BYTES + 1];
    rootca_digest(roots_pem, size, digest);
    hex_encode(digest, sizeof digest, hex);
    CHECK(str_format(out, ROOTCA_HASH_TEXT_BYTES, "sha256:%s", hex));
}

// ---- signing -----------------------------------------------------------------------------------

struct signer {
    struct key key;
    mbedtls_x509_crt crt; // the first is whose key signs
    unsigned char identifier[IDENTIFIER_BYTES_MAX];
    size_t identifier_size;
    char *intermediates_pem; // NULL for none
};

struct signer *signer_new(const char *cert_pem, const char *key_pem, const char *intermediates_pem,
                          struct err *err)
{
    struct signer *signer = MEM_NEW(struct signer);
    mbedtls_pk_init(&signer->key.pk);
    int result = chain_parse(&signer->crt, cert_pem, X509_CHAIN_MAX, err);
    if (!result)
        result = key_parse_pem(&signer->key, key_pem, strlen(key_pem), err);
    if (!result && !key_same_public(&signer->key.pk, &signer->crt.pk))
        result = err_set(err, ERR_INVALID_ARGUMENT, "CA key does not belong to the CA certificate");
    if (!result && !signer->crt.ca_istrue)
        result = err_set(err, ERR_INVALID_ARGUMENT, "signing certificate is not a CA's");
    if (!result && !str_empty(intermediates_pem)) {
        struct buf text;
        buf_init(&text, PEM_TEXT_BYTES_MAX);
        result = x509_normalise(intermediates_pem, &text, err);
        if (!result)
            signer->intermediates_pem = str_ndup((const char *)text.data, text.len);
        buf_fini(&text);
    }
    if (result) {
        signer_free(signer);
        return NULL;
    }
    signer->identifier_size =
        chain_key_identifier(&signer->crt, signer->identifier, sizeof signer->identifier);
    return signer;
}

void signer_free(struct signer *signer)
{
    if (!signer)
        return;
    key_fini(&signer->key);
    mbedtls_x509_crt_free(&signer->crt);
    free(signer->intermediates_pem);
    free(signer);
}

// Signs a leaf for the public key.
static int issue(struct signer *signer, const struct signer_order *order,
                 const struct buf *public_key, const struct rng *rng, struct buf *chain_pem,
                 struct err *err)
{
    struct buf name;
    buf_init(&name, DER_BYTES_MAX);
    const char *role = identity_role_name(order->role);
    if (!certificate_name(order->cluster_id, role, order->node_id, &name)) {
        buf_fini(&name);
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "node id or cluster id does not fit a certificate");
    }
    mbedtls_pk_context pk;
    mbedtls_pk_init(&pk);
    CHECK(mbedtls_pk_parse_public_key(&pk, public_key->data, public_key->len) == 0);
    unsigned char identifier[KEY_SHA1_BYTES];
    key_identifier(&pk, identifier);
    mbedtls_pk_free(&pk);

    int64_t expiry =
        order->expiry_ns < ROOTCA_LEAF_EXPIRY_NS_MIN ? ROOTCA_LEAF_EXPIRY_NS : order->expiry_ns;
    struct wall not_before = wall_add(minute_nearest(order->now), -LEAF_BACKDATE_NS);
    struct certificate certificate = {
        .issuer = cursor_of(signer->crt.subject_raw.p, signer->crt.subject_raw.len),
        .subject = cursor_of_buf(&name),
        .not_before = not_before,
        .not_after = wall_add(wall_add(not_before, expiry), LEAF_BACKDATE_NS),
        .public_key = cursor_of_buf(public_key),
        .dns_names = {role, order->node_id, SERVER_NAME_CA},
        .dns_names_count = order->role == IDENTITY_MANAGER ? 3 : 2,
        .key_identifier = cursor_of(identifier, sizeof identifier),
        .authority_identifier = cursor_of(signer->identifier, signer->identifier_size),
    };
    certificate_sign(&certificate, &signer->key, rng, chain_pem);
    if (signer->intermediates_pem)
        buf_put_str(chain_pem, signer->intermediates_pem);
    buf_fini(&name);
    return buf_ok(chain_pem)
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "issued certificate is too large");
}

int signer_issue(struct signer *signer, const struct signer_order *order, const struct rng *rng,
                 struct buf *chain_pem, struct err *err)
{
    struct buf public_key;
    buf_init(&public_key, DER_BYTES_MAX);
    int result = csr_open(order->csr_pem, order->csr_size, &public_key, err);
    if (!result)
        result = issue(signer, order, &public_key, rng, chain_pem, err);
    buf_fini(&public_key);
    return result;
}

int signer_cross_sign(struct signer *signer, const char *new_root_pem, const struct rng *rng,
                      struct buf *cert_pem, struct err *err)
{
    mbedtls_x509_crt crt;
    int result = chain_parse(&crt, new_root_pem, 1, err);
    if (!result && !crt.ca_istrue)
        result = err_set(err, ERR_INVALID_ARGUMENT, "the certificate to cross-sign is not a CA's");
    if (!result) {
        unsigned char identifier[IDENTIFIER_BYTES_MAX];
        size_t identifier_size = chain_key_identifier(&crt, identifier, sizeof identifier);
        struct certificate certificate = {
            .issuer = cursor_of(signer->crt.subject_raw.p, signer->crt.subject_raw.len),
            .subject = cursor_of(crt.subject_raw.p, crt.subject_raw.len),
            .not_before = chain_time(&crt.valid_from),
            .not_after = chain_time(&crt.valid_to),
            .public_key = cursor_of(crt.pk_raw.p, crt.pk_raw.len),
            .ca = true,
            .key_identifier = cursor_of(identifier, identifier_size),
            .authority_identifier = cursor_of(signer->identifier, signer->identifier_size),
        };
        certificate_sign(&certificate, &signer->key, rng, cert_pem);
    }
    mbedtls_x509_crt_free(&crt);
    return result;
}
