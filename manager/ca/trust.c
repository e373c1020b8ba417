#include "manager/ca/trust.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"

// The parts a signer is made of, as texts. Wiped after use: one of them is the root's key.
struct parts {
    struct buf cert;
    struct buf key;
    struct buf intermediates;
};

static void put_text(struct buf *out, ProtobufCBinaryData data)
{
    buf_init(out, ROOTCA_TEXT_BYTES_MAX);
    if (data.len > 0)
        buf_put(out, data.data, data.len);
}

static void parts_fini(struct parts *parts)
{
    buf_fini(&parts->cert);
    buf_wipe(&parts->key);
    buf_fini(&parts->intermediates);
}

// During a rotation leaves come from the new key, under the cross-signed certificate, so that nodes
// that trust only the old root still verify them (section 5.1, step 3).
static void parts_init(struct parts *parts, const Swarm__RootCA *ca)
{
    const Swarm__RootRotation *rotation = ca->root_rotation;
    put_text(&parts->cert, rotation ? rotation->cross_signed_ca_cert : ca->ca_cert);
    put_text(&parts->key, rotation ? rotation->ca_key : ca->ca_key);
    put_text(&parts->intermediates,
             rotation ? rotation->cross_signed_ca_cert : (ProtobufCBinaryData){.len = 0});
}

static void parts_digest(struct parts *parts, uint8_t out[ROOTCA_DIGEST_BYTES])
{
    struct buf all;
    buf_init(&all, SIZE_MAX);
    const struct buf *each[] = {&parts->cert, &parts->key, &parts->intermediates};
    for (size_t i = 0; i < COUNT_OF(each); i++) {
        buf_put_u64be(&all, each[i]->len);
        if (each[i]->len > 0)
            buf_put(&all, each[i]->data, each[i]->len);
    }
    rootca_digest(all.data, all.len, out);
    buf_wipe(&all);
}

ProtobufCBinaryData trust_wanted(const Swarm__RootCA *ca)
{
    return ca->root_rotation ? ca->root_rotation->ca_cert : ca->ca_cert;
}

static char *text_of(ProtobufCBinaryData data)
{
    return str_ndup(data.len > 0 ? (const char *)data.data : "", data.len);
}

static void drop_external(struct trust *trust)
{
    for (size_t i = 0; i < trust->external_count; i++)
        free(trust->external_urls[i]);
    free(trust->server_roots_pem);
    free(trust->intermediates_pem);
    trust->external_count = 0;
    trust->server_roots_pem = trust->intermediates_pem = NULL;
}

static void update_external(struct trust *trust, const Swarm__Cluster *cluster)
{
    const Swarm__RootRotation *rotation = cluster->root_ca->root_rotation;
    const char *urls[EXTERNAL_CAS_MAX];
    drop_external(trust);
    trust->external_count = external_urls(cluster, trust_wanted(cluster->root_ca), urls);
    for (size_t i = 0; i < trust->external_count; i++)
        trust->external_urls[i] = str_dup(urls[i]);
    char *present = text_of(cluster->root_ca->ca_cert);
    char *next = rotation ? text_of(rotation->ca_cert) : str_dup("");
    trust->server_roots_pem = str_printf("%s\n%s", present, next);
    trust->intermediates_pem = rotation ? text_of(rotation->cross_signed_ca_cert) : str_dup("");
    free(present);
    free(next);
}

static void drop_signer(struct trust *trust)
{
    signer_free(trust->signer);
    trust->signer = NULL;
}

static void update_signer(struct trust *trust, const Swarm__Cluster *cluster)
{
    uint8_t digest[ROOTCA_DIGEST_BYTES];
    struct parts parts;
    parts_init(&parts, cluster->root_ca);
    parts_digest(&parts, digest);
    bool same = trust->signer && memcmp(digest, trust->signer_digest, sizeof digest) == 0;
    if (trust->external_count > 0) {
        drop_signer(trust);
        err_set(&trust->why, ERR_FAILED_PRECONDITION, "external CAs sign");
    } else if (!same) {
        drop_signer(trust);
        err_clear(&trust->why);
        if (parts.key.len == 0)
            err_set(&trust->why, ERR_FAILED_PRECONDITION, "no valid signer found");
        else if (!buf_cstr(&parts.cert) || !buf_cstr(&parts.key) || !buf_cstr(&parts.intermediates))
            err_set(&trust->why, ERR_RESOURCE_EXHAUSTED, "root certificate or key is too large");
        else
            trust->signer = signer_new(
                buf_cstr(&parts.cert), buf_cstr(&parts.key),
                parts.intermediates.len > 0 ? buf_cstr(&parts.intermediates) : NULL, &trust->why);
        memcpy(trust->signer_digest, digest, sizeof digest);
    }
    parts_fini(&parts);
}

static void replace_text(char **text, const void *bytes, size_t size)
{
    free(*text);
    *text = str_ndup(size > 0 ? bytes : "", size);
}

void trust_update(struct trust *trust, const Swarm__Cluster *cluster)
{
    const Swarm__RootCA *ca = cluster->root_ca;
    const Swarm__JoinTokens *tokens = ca->join_tokens;
    replace_text(&trust->cluster_id, cluster->id, strlen(cluster->id));
    replace_text(&trust->roots_pem, ca->ca_cert.data, ca->ca_cert.len);
    // A token that does not fit can match nothing that was given out.
    if (!str_copy(trust->worker_token, sizeof trust->worker_token, tokens ? tokens->worker : ""))
        trust->worker_token[0] = 0;
    if (!str_copy(trust->manager_token, sizeof trust->manager_token, tokens ? tokens->manager : ""))
        trust->manager_token[0] = 0;
    trust->rotating = ca->root_rotation != NULL;
    trust->expiry_ns = defaults_cluster(cluster).cert_expiry_ns;
    update_external(trust, cluster);
    update_signer(trust, cluster);
}

static void wipe(char *text, size_t size)
{
    volatile char *at = text;
    while (size-- > 0)
        *at++ = 0;
}

void trust_fini(struct trust *trust)
{
    drop_signer(trust);
    drop_external(trust);
    free(trust->cluster_id);
    free(trust->roots_pem);
    wipe(trust->worker_token, sizeof trust->worker_token);
    wipe(trust->manager_token, sizeof trust->manager_token);
    *trust = (struct trust){.signer = NULL};
}

bool trust_admits(const struct trust *trust, const char *token, enum identity_role *role)
{
    // Both are always compared, so that the time does not tell which one came close.
    bool manager = token_equal(token, trust->manager_token);
    bool worker = token_equal(token, trust->worker_token);
    *role = manager ? IDENTITY_MANAGER : IDENTITY_WORKER;
    return (int)manager | (int)worker;
}
