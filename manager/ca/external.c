#include "manager/ca/external.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/http/target.h"
#include "proto/identity/csr.h"
#include "proto/identity/key.h"
#include "proto/identity/x509.h"

// The profile of CFSSL's configuration by which authorities are signed (ExternalCrossSignProfile).
#define CROSS_PROFILE "CA"

#define TEXT_BYTES_MAX       ((size_t)1 << 20)
#define PUBLIC_KEY_BYTES_MAX 4096

// ---- what is asked -----------------------------------------------------------------------------

// One "names" entry; empty parts are left out, as Go does.
static void put_subject(struct json_out *out, const char *common, const char *organization,
                        const char *unit)
{
    json_out_object(out, "subject");
    json_out_str(out, "CN", common);
    json_out_array(out, "names");
    if (!str_empty(organization) || !str_empty(unit)) {
        json_out_object(out, NULL);
        if (!str_empty(organization))
            json_out_str(out, "O", organization);
        if (!str_empty(unit))
            json_out_str(out, "OU", unit);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
}

int external_request(const struct external_order *order, struct buf *json, struct err *err)
{
    struct buf public_key;
    buf_init(&public_key, PUBLIC_KEY_BYTES_MAX);
    int result = csr_open(order->csr_pem, order->csr_size, &public_key, err);
    buf_fini(&public_key);
    if (result)
        return result;
    const char *role = identity_role_name(order->role);
    struct json_out out;
    json_out_init(&out, json);
    json_out_object(&out, NULL);
    json_out_array(&out, "hosts");
    json_out_str(&out, NULL, role);
    json_out_str(&out, NULL, order->node_id);
    if (order->role == IDENTITY_MANAGER)
        json_out_str(&out, NULL, SERVER_NAME_CA);
    json_out_end(&out);
    json_out_strn(&out, "certificate_request", order->csr_pem, order->csr_size);
    put_subject(&out, order->node_id, order->cluster_id, role);
    json_out_end(&out);
    CHECK(json_out_done(&out));
    return 0;
}

static int make_request(const char *root_pem, const char *key_pem, const struct rng *rng,
                        struct buf *csr, struct err *err)
{
    struct key key;
    int result = key_parse_pem(&key, key_pem, strlen(key_pem), err);
    if (result)
        return result;
    struct buf public_key;
    buf_init(&public_key, PUBLIC_KEY_BYTES_MAX);
    key_write_public(&key.pk, &public_key);
    if (!x509_has_public_key(root_pem, cursor_of(public_key.data, public_key.len)))
        result = err_set(err, ERR_INVALID_ARGUMENT, "key does not belong to the certificate");
    else
        csr_make(&key, rng, csr);
    buf_fini(&public_key);
    key_fini(&key);
    return result;
}

int external_cross_request(const char *root_pem, const char *key_pem, const struct rng *rng,
                           struct buf *json, struct err *err)
{
    struct identity subject;
    struct buf csr;
    int result = x509_identity(root_pem, &subject, err);
    if (result)
        return result;
    buf_init(&csr, CSR_BYTES_MAX);
    result = make_request(root_pem, key_pem, rng, &csr, err);
    if (result == 0) {
        struct json_out out;
        json_out_init(&out, json);
        json_out_object(&out, NULL);
        json_out_array(&out, "hosts");
        json_out_end(&out);
        json_out_strn(&out, "certificate_request", (const char *)csr.data, csr.len);
        put_subject(&out, subject.node_id, subject.cluster_id,
                    subject.units_count ? subject.units[0] : "");
        json_out_str(&out, "profile", CROSS_PROFILE);
        // CFSSL takes of a request's extensions only the alternative names: that it is for an
        // authority is said again here, as basicConstraints with CA and nothing else.
        json_out_array(&out, "extensions");
        json_out_object(&out, NULL);
        json_out_str(&out, "id", "2.5.29.19");
        json_out_bool(&out, "critical", true);
        json_out_str(&out, "value", "30030101ff");
        json_out_end(&out);
        json_out_end(&out);
        json_out_end(&out);
        CHECK(json_out_done(&out));
    }
    buf_fini(&csr);
    return result;
}

// ---- what is answered --------------------------------------------------------------------------

// CFSSL's reason, without what would break a line of a log.
static const char *reason(const json_t *answer, char out[128])
{
    const json_t *first = json_array_get(json_object_get(answer, "errors"), 0);
    const char *text = json_string_value(json_object_get(first, "message"));
    size_t used = 0;
    for (; text && *text && used < 127; text++)
        if ((unsigned char)*text >= ' ' && *text != 0x7f && *text != '"')
            out[used++] = *text;
    out[used] = '\0';
    return used ? out : "no reason given";
}

static int take_answer(const json_t *answer, struct buf *pem, struct err *err)
{
    const json_t *result = json_object_get(answer, "result");
    const json_t *certificate = json_object_get(result, "certificate");
    char text[128];
    if (!json_is_object(answer))
        return err_set(err, ERR_ABORTED, "the answer is no JSON object");
    if (!json_is_true(json_object_get(answer, "success")))
        return err_set(err, ERR_FAILED_PRECONDITION, "the external CA does not sign: %s",
                       reason(answer, text));
    if (!json_is_string(certificate))
        return err_set(err, ERR_ABORTED, "the answer holds no certificate");
    if (strlen(json_string_value(certificate)) != json_string_length(certificate))
        return err_set(err, ERR_ABORTED, "the certificate in the answer is no text");
    buf_put(pem, json_string_value(certificate), json_string_length(certificate));
    return 0;
}

int external_answer(int status, const void *bytes, size_t size, struct buf *pem, struct err *err)
{
    struct err why = ERR_INIT;
    if (status != 200)
        return err_set(err, ERR_ABORTED, "the external CA answered with status %d", status);
    json_t *answer = json_parse(bytes, size, &why);
    if (!answer)
        return err_set(err, ERR_ABORTED, "the answer is no JSON: %s", why.message);
    int result = take_answer(answer, pem, err);
    json_decref(answer);
    return result;
}

static int unusable(const struct err *why, struct err *err)
{
    return err_set(err, ERR_ABORTED, "the external CA's certificate cannot be used: %s",
                   why->message);
}

// The chain must stand for servers and clients both: every node is either at times.
static int check_chain(const char *chain_pem, const char *roots_pem, struct wall now,
                       struct err *err)
{
    static const enum x509_usage usages[] = {X509_SERVER, X509_CLIENT};
    for (size_t i = 0; i < COUNT_OF(usages); i++) {
        struct x509_check check = {
            .chain_pem = chain_pem, .roots_pem = roots_pem, .now = now, .usage = usages[i]};
        int result = x509_check_chain(&check, err);
        if (result)
            return result;
    }
    return 0;
}

static int check_bundle(const struct external_order *order, const char *bundle, struct wall now,
                        struct err *err)
{
    struct buf public_key;
    buf_init(&public_key, PUBLIC_KEY_BYTES_MAX);
    int result = csr_open(order->csr_pem, order->csr_size, &public_key, err);
    struct x509_node node = {.public_key = cursor_of(public_key.data, public_key.len),
                             .node_id = order->node_id,
                             .cluster_id = order->cluster_id,
                             .role = order->role};
    if (!result)
        result = x509_check_node(bundle, &node, err);
    if (!result)
        result = check_chain(bundle, order->roots_pem, now, err);
    buf_fini(&public_key);
    return result;
}

int external_take(const struct external_order *order, const char *pem, struct wall now,
                  struct buf *chain, struct err *err)
{
    struct err why = ERR_INIT;
    struct buf bundle;
    buf_init(&bundle, TEXT_BYTES_MAX);
    int result = x509_normalise(pem, &bundle, &why);
    if (!result && !str_empty(order->intermediates_pem))
        result = x509_normalise(order->intermediates_pem, &bundle, &why);
    if (!result)
        result = check_bundle(order, buf_cstr(&bundle), now, &why);
    if (!result) {
        buf_put(chain, bundle.data, bundle.len);
        if (!buf_ok(chain))
            result = err_set(&why, ERR_RESOURCE_EXHAUSTED, "it is too large");
    }
    buf_fini(&bundle);
    return result ? unusable(&why, err) : 0;
}

int external_take_crossed(const char *pem, const char *new_root_pem, const char *roots_pem,
                          struct wall now, struct err *err)
{
    struct err why = ERR_INIT;
    if (x509_check_crossed(pem, new_root_pem, &why) || check_chain(pem, roots_pem, now, &why))
        return unusable(&why, err);
    return 0;
}

// ---- the cluster's list ------------------------------------------------------------------------

int external_check(const Swarm__CAConfig *config, struct err *err)
{
    if (config->n_external_cas > EXTERNAL_CAS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d external CAs", EXTERNAL_CAS_MAX);
    for (size_t i = 0; i < config->n_external_cas; i++) {
        const Swarm__ExternalCA *external = config->external_cas[i];
        struct target target;
        struct err why = ERR_INIT;
        if (external->protocol != SWARM__EXTERNAL_CA__CAPROTOCOL__CFSSL)
            return err_set(err, ERR_INVALID_ARGUMENT, "external CA %zu: unknown protocol %d", i + 1,
                           (int)external->protocol);
        if (target_parse(external->url, &target, &why))
            return err_set(err, ERR_INVALID_ARGUMENT, "external CA %zu: %s", i + 1, why.message);
    }
    return 0;
}

bool external_same_certs(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    if (a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0))
        return true;
    struct buf one, other;
    buf_init(&one, TEXT_BYTES_MAX);
    buf_init(&other, TEXT_BYTES_MAX);
    char *first = str_ndup(a.len ? (const char *)a.data : "", a.len);
    char *second = str_ndup(b.len ? (const char *)b.data : "", b.len);
    bool same = x509_normalise(first, &one, NULL) == 0 &&
                x509_normalise(second, &other, NULL) == 0 && one.len == other.len &&
                memcmp(one.data, other.data, one.len) == 0;
    free(first);
    free(second);
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

size_t external_urls(const Swarm__Cluster *cluster, ProtobufCBinaryData root,
                     const char *urls[EXTERNAL_CAS_MAX])
{
    const Swarm__CAConfig *config = cluster->spec->ca_config;
    size_t count = 0;
    for (size_t i = 0; config && i < config->n_external_cas && count < EXTERNAL_CAS_MAX; i++) {
        const Swarm__ExternalCA *external = config->external_cas[i];
        ProtobufCBinaryData served =
            external->ca_cert.len > 0 ? external->ca_cert : cluster->root_ca->ca_cert;
        if (external->protocol == SWARM__EXTERNAL_CA__CAPROTOCOL__CFSSL &&
            external_same_certs(served, root))
            urls[count++] = external->url;
    }
    return count;
}
