#include "proto/identity/x509.h"

#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/chain.h"
#include "proto/identity/pem.h"

static bool oid_is(const mbedtls_x509_buf *oid, const char *wanted, size_t size)
{
    return oid->len == size && memcmp(oid->p, wanted, size) == 0;
}
#define OID_IS(oid, wanted) oid_is((oid), (wanted), sizeof(wanted) - 1)

// Copies a name's value; false when it is too long or holds control characters, which no id or role
// has and which could end a text early.
static bool name_copy(char out[IDENTITY_TEXT_BYTES], const mbedtls_x509_buf *value)
{
    if (value->len >= IDENTITY_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < value->len; i++)
        if (value->p[i] < 0x20 || value->p[i] == 0x7f)
            return false;
    memcpy(out, value->p, value->len);
    out[value->len] = '\0';
    return true;
}

static int read_subject(const mbedtls_x509_name *name, struct identity *identity, struct err *err)
{
    *identity = (struct identity){0};
    for (; name; name = name->next) {
        char *to = NULL;
        if (OID_IS(&name->oid, MBEDTLS_OID_AT_CN)) {
            to = identity->node_id; // of several the last, as Go
        } else if (OID_IS(&name->oid, MBEDTLS_OID_AT_ORGANIZATION)) {
            to = *identity->cluster_id ? NULL : identity->cluster_id;
        } else if (OID_IS(&name->oid, MBEDTLS_OID_AT_ORG_UNIT)) {
            if (identity->units_count == IDENTITY_UNITS_MAX)
                return err_set(err, ERR_INVALID_ARGUMENT, "certificate names more than %d OUs",
                               IDENTITY_UNITS_MAX);
            to = identity->units[identity->units_count++];
        }
        if (to && !name_copy(to, &name->val))
            return err_set(err, ERR_INVALID_ARGUMENT, "certificate has an unusable subject");
    }
    return 0;
}

int x509_identity(const char *chain_pem, struct identity *identity, struct err *err)
{
    mbedtls_x509_crt chain;
    *identity = (struct identity){0};
    int result = chain_parse(&chain, chain_pem, X509_CHAIN_MAX, err);
    if (!result)
        result = read_subject(&chain.subject, identity, err);
    mbedtls_x509_crt_free(&chain);
    return result;
}

int x509_identity_der(const void *der, size_t size, struct identity *identity, struct err *err)
{
    mbedtls_x509_crt crt;
    mbedtls_x509_crt_init(&crt);
    *identity = (struct identity){0};
    int result;
    if (!size || mbedtls_x509_crt_parse_der(&crt, der, size) != 0)
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate cannot be parsed");
    else
        result = read_subject(&crt.subject, identity, err);
    mbedtls_x509_crt_free(&crt);
    return result;
}

int x509_validity(const char *chain_pem, struct wall *not_before, struct wall *not_after,
                  struct err *err)
{
    mbedtls_x509_crt chain;
    int result = chain_parse(&chain, chain_pem, X509_CHAIN_MAX, err);
    if (!result) {
        *not_before = chain_time(&chain.valid_from);
        *not_after = chain_time(&chain.valid_to);
    }
    mbedtls_x509_crt_free(&chain);
    return result;
}

bool x509_has_dns_name(const char *chain_pem, const char *name)
{
    mbedtls_x509_crt chain;
    bool found = false;
    if (chain_parse(&chain, chain_pem, X509_CHAIN_MAX, NULL) == 0) {
        const int dns = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
        for (const mbedtls_x509_sequence *at = &chain.subject_alt_names; at && !found;
             at = at->next)
            found = at->buf.tag == dns && at->buf.len == strlen(name) &&
                    memcmp(at->buf.p, name, at->buf.len) == 0;
    }
    mbedtls_x509_crt_free(&chain);
    return found;
}

// ---- checking a chain --------------------------------------------------------------------------

static int parse_roots(mbedtls_x509_crt *roots, const char *pem, struct err *err)
{
    int result = chain_parse(roots, pem, X509_ROOTS_MAX, err);
    if (result)
        err_wrap(err, "trusted roots");
    return result;
}

static int check_time(const mbedtls_x509_crt *crt, struct wall now, struct err *err)
{
    char text[WALL_TEXT_BYTES];
    wall_format(now, text);
    if (wall_before(chain_time(&crt->valid_to), now))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "x509: certificate has expired or is not yet valid: it is %s and the "
                       "certificate has expired",
                       text);
    if (wall_before(now, chain_time(&crt->valid_from)))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "x509: certificate has expired or is not yet valid: it is %s and the "
                       "certificate is not yet valid",
                       text);
    return 0;
}

static bool good_for(const mbedtls_x509_crt *crt, enum x509_usage usage)
{
    const char *oid = usage == X509_SERVER ? MBEDTLS_OID_SERVER_AUTH : MBEDTLS_OID_CLIENT_AUTH;
    return mbedtls_x509_crt_check_extended_key_usage(crt, oid, strlen(oid)) == 0;
}

// The root that vouches for the chain: it signed one of its certificates, or is one of them
// (bundles never carry their root, but nothing is wrong with one that does). When only roots
// outside of their validity vouch, *err says so.
static int check_roots(const mbedtls_x509_crt *chain, const mbedtls_x509_crt *roots,
                       const struct x509_check *check, struct err *err)
{
    bool outdated = false;
    size_t below = 0;
    for (const mbedtls_x509_crt *crt = chain; crt; crt = crt->next, below++) {
        for (const mbedtls_x509_crt *root = roots; root; root = root->next) {
            bool same = below > 0 && root->raw.len == crt->raw.len &&
                        memcmp(root->raw.p, crt->raw.p, crt->raw.len) == 0;
            if (!same && !chain_signed_by(crt, root, below))
                continue;
            if (check->allow_expired || check_time(root, check->now, err) == 0)
                return 0;
            outdated = true;
        }
    }
    if (outdated)
        return -ERR_FAILED_PRECONDITION;
    return err_set(err, ERR_UNAUTHENTICATED, "x509: certificate signed by unknown authority");
}

static int check_links(const mbedtls_x509_crt *chain, const struct x509_check *check,
                       struct err *err)
{
    size_t below = 0;
    for (const mbedtls_x509_crt *crt = chain; crt; crt = crt->next, below++) {
        if (!key_acceptable(&crt->pk))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "certificate %zu holds a key of a kind that is not accepted", below + 1);
        if (crt->next && !chain_signed_by(crt, crt->next, below))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "certificate %zu of the chain is not signed by the next one", below + 1);
        if (!good_for(crt, check->usage))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "x509: certificate specifies an incompatible key usage");
        if (!check->allow_expired && check_time(crt, check->now, err))
            return -ERR_FAILED_PRECONDITION;
    }
    return 0;
}

int x509_check_chain(const struct x509_check *check, struct err *err)
{
    mbedtls_x509_crt chain;
    mbedtls_x509_crt roots;
    mbedtls_x509_crt_init(&roots);
    int result = chain_parse(&chain, check->chain_pem, X509_CHAIN_MAX, err);
    if (!result)
        result = parse_roots(&roots, check->roots_pem, err);
    if (!result && check->key && !key_same_public(&chain.pk, &check->key->pk))
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate does not belong to the key");
    if (!result)
        result = check_links(&chain, check, err);
    if (!result)
        result = check_roots(&chain, &roots, check, err);
    mbedtls_x509_crt_free(&chain);
    mbedtls_x509_crt_free(&roots);
    return result;
}

// ---- what a certificate says -------------------------------------------------------------------

static bool is_name(const mbedtls_x509_buf *name, const char *wanted)
{
    return name->len == strlen(wanted) && memcmp(name->p, wanted, name->len) == 0;
}

// Names that let a server pass as a manager, and those that match more than one.
static bool is_reserved(const mbedtls_x509_buf *name)
{
    return is_name(name, SERVER_NAME_MANAGER) || is_name(name, SERVER_NAME_CA) ||
           memchr(name->p, '*', name->len) != NULL;
}

static int check_names(const mbedtls_x509_crt *crt, const struct x509_node *node, struct err *err)
{
    const int dns = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
    const char *const wanted[] = {identity_role_name(node->role), node->node_id, SERVER_NAME_CA};
    size_t wanted_count = node->role == IDENTITY_MANAGER ? 3 : 2;
    bool found[COUNT_OF(wanted)] = {false};
    for (const mbedtls_x509_sequence *at = &crt->subject_alt_names; at; at = at->next) {
        bool known = false;
        if (at->buf.tag != dns)
            continue;
        for (size_t i = 0; i < wanted_count; i++) {
            bool same = is_name(&at->buf, wanted[i]);
            found[i] |= same;
            known |= same;
        }
        if (!known && is_reserved(&at->buf))
            return err_set(err, ERR_INVALID_ARGUMENT, "certificate has a name that is not its");
    }
    for (size_t i = 0; i < wanted_count; i++)
        if (!found[i])
            return err_set(err, ERR_INVALID_ARGUMENT, "certificate lacks the name %s", wanted[i]);
    return 0;
}

static bool has_key(const mbedtls_x509_crt *crt, struct cursor public_key)
{
    struct buf der;
    buf_init(&der, PEM_DER_BYTES_MAX);
    key_write_public(&crt->pk, &der);
    bool same = buf_ok(&der) && der.len == cursor_left(&public_key) &&
                memcmp(der.data, public_key.at, der.len) == 0;
    buf_fini(&der);
    return same;
}

static int check_node(const mbedtls_x509_crt *crt, const struct x509_node *node, struct err *err)
{
    struct identity identity;
    int result = read_subject(&crt->subject, &identity, err);
    if (result)
        return result;
    if (!has_key(crt, node->public_key))
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another key");
    if (!str_equal(identity.node_id, node->node_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another node");
    if (!str_equal(identity.cluster_id, node->cluster_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another cluster");
    if (identity.units_count != 1 || !str_equal(identity.units[0], identity_role_name(node->role)))
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another role");
    if (crt->ca_istrue)
        return err_set(err, ERR_INVALID_ARGUMENT, "certificate is an authority's");
    return check_names(crt, node, err);
}

bool x509_has_public_key(const char *chain_pem, struct cursor public_key)
{
    mbedtls_x509_crt chain;
    bool same =
        chain_parse(&chain, chain_pem, X509_CHAIN_MAX, NULL) == 0 && has_key(&chain, public_key);
    mbedtls_x509_crt_free(&chain);
    return same;
}

int x509_check_node(const char *chain_pem, const struct x509_node *node, struct err *err)
{
    mbedtls_x509_crt chain;
    int result = chain_parse(&chain, chain_pem, X509_CHAIN_MAX, err);
    if (!result)
        result = check_node(&chain, node, err);
    mbedtls_x509_crt_free(&chain);
    return result;
}

int x509_check_crossed(const char *crossed_pem, const char *root_pem, struct err *err)
{
    mbedtls_x509_crt crossed;
    mbedtls_x509_crt root;
    mbedtls_x509_crt_init(&root);
    int result = chain_parse(&crossed, crossed_pem, 1, err);
    if (!result)
        result = chain_parse(&root, root_pem, 1, err);
    if (!result && (crossed.subject_raw.len != root.subject_raw.len ||
                    memcmp(crossed.subject_raw.p, root.subject_raw.p, root.subject_raw.len) != 0))
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another name");
    if (!result && !key_same_public(&crossed.pk, &root.pk))
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate is for another key");
    if (!result && !crossed.ca_istrue)
        result = err_set(err, ERR_INVALID_ARGUMENT, "certificate is no authority's");
    mbedtls_x509_crt_free(&crossed);
    mbedtls_x509_crt_free(&root);
    return result;
}

// ---- other forms -------------------------------------------------------------------------------

int x509_normalise(const char *pem, struct buf *out, struct err *err)
{
    mbedtls_x509_crt chain;
    int result = chain_parse(&chain, pem, X509_ROOTS_MAX, err);
    if (!result)
        for (const mbedtls_x509_crt *crt = &chain; crt; crt = crt->next)
            pem_write_der(out, "CERTIFICATE", crt->raw.p, crt->raw.len);
    mbedtls_x509_crt_free(&chain);
    if (!result && !buf_ok(out))
        result = err_set(err, ERR_RESOURCE_EXHAUSTED, "certificates are too large");
    return result;
}

// ---- who issued it -----------------------------------------------------------------------------

int x509_issuer(const char *chain_pem, const char *roots_pem, struct x509_issuer *issuer,
                struct err *err)
{
    mbedtls_x509_crt chain;
    mbedtls_x509_crt roots;
    mbedtls_x509_crt_init(&roots);
    buf_init(&issuer->subject, PEM_DER_BYTES_MAX);
    buf_init(&issuer->public_key, PEM_DER_BYTES_MAX);
    int result = chain_parse(&chain, chain_pem, X509_CHAIN_MAX, err);
    if (!result)
        result = parse_roots(&roots, roots_pem, err);
    if (!result) {
        const mbedtls_x509_crt *parent = chain.next;
        if (!parent || !chain_signed_by(&chain, parent, 0))
            for (parent = &roots; parent && !chain_signed_by(&chain, parent, 0);)
                parent = parent->next;
        if (!parent) {
            result = err_set(err, ERR_NOT_FOUND, "x509: certificate signed by unknown authority");
        } else {
            buf_put(&issuer->subject, parent->subject_raw.p, parent->subject_raw.len);
            buf_put(&issuer->public_key, parent->pk_raw.p, parent->pk_raw.len);
        }
    }
    mbedtls_x509_crt_free(&chain);
    mbedtls_x509_crt_free(&roots);
    return result;
}

void x509_issuer_fini(struct x509_issuer *issuer)
{
    buf_fini(&issuer->subject);
    buf_fini(&issuer->public_key);
}
