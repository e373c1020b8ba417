#include "manager/found.h"

#include "manager/ca/external.h"
#include "proto/base/check.h"
#include "proto/identity/csr.h"
#include "proto/identity/rootca.h"
#include "proto/wire/defaults.h"

#define PEM_BYTES_MAX ((size_t)1 << 20)

// A NUL-terminated copy of PEM bytes.
static char *text_of(ProtobufCBinaryData pem, struct arena *arena)
{
    char *text = arena_strndup(arena, (const char *)pem.data, pem.len);
    CHECK(text);
    return text;
}

static int issue(const char *roots_pem, const char *root_key_pem, const struct signer_order *order,
                 const struct rng *rng, struct buf *chain, struct err *err)
{
    struct signer *signer = signer_new(roots_pem, root_key_pem, NULL, err);
    if (!signer)
        return -(int)ERR_INVALID_ARGUMENT;
    int result = signer_issue(signer, order, rng, chain, err);
    signer_free(signer);
    return result;
}

int found_cluster(const struct bootstrap *bootstrap, const char *node_id, const struct rng *rng,
                  struct wall now, struct arena *arena, Swarm__Cluster **cluster,
                  struct credentials *credentials, struct err *err)
{
    const Swarm__CAConfig *config = bootstrap->spec ? bootstrap->spec->ca_config : NULL;
    if (config && external_check(config, err))
        return -(int)err->code;
    *cluster = bootstrap_cluster(bootstrap, rng, now, arena);
    char *roots_pem = text_of((*cluster)->root_ca->ca_cert, arena);
    char *root_key_pem = text_of((*cluster)->root_ca->ca_key, arena);
    struct key key;
    struct buf csr, key_pem, chain;
    buf_init(&csr, PEM_BYTES_MAX);
    buf_init(&key_pem, PEM_BYTES_MAX);
    buf_init(&chain, PEM_BYTES_MAX);
    key_make(&key, rng);
    csr_make(&key, rng, &csr);
    key_write_pem(&key, &key_pem);
    struct signer_order order = {
        .csr_pem = csr.data,
        .csr_size = csr.len,
        .node_id = node_id,
        .cluster_id = bootstrap->cluster_id,
        .role = IDENTITY_MANAGER,
        .expiry_ns = defaults_cluster(*cluster).cert_expiry_ns,
        .now = now,
    };
    int result = issue(roots_pem, root_key_pem, &order, rng, &chain, err);
    if (!result)
        result =
            credentials_init(credentials, buf_cstr(&chain), buf_cstr(&key_pem), roots_pem, err);
    key_fini(&key);
    buf_fini(&csr);
    buf_wipe(&key_pem);
    buf_fini(&chain);
    return result;
}
